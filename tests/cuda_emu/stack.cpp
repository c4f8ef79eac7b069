/* Stacks of the fibers, the change from one to another, and the message where a page is missing. */
#include "emu.h"
#include <memory>
#include <signal.h>
#include <sys/mman.h>

/* System V's preserved registers and a stack. The end is no ret, which would be predicted to return
 * to where another fiber called from. */
asm(".text\n.p2align 4\n.hidden emu_switch\n.globl emu_switch\n.type emu_switch,@function\n"
    "emu_switch:\n"
    "  pushq %rbp\n  pushq %rbx\n  pushq %r12\n  pushq %r13\n  pushq %r14\n  pushq %r15\n"
    "  movq %rsp, (%rdi)\n  movq %rsi, %rsp\n"
    "  popq %r15\n  popq %r14\n  popq %r13\n  popq %r12\n  popq %rbx\n  popq %rbp\n"
    "  popq %rcx\n  jmp *%rcx\n"
    ".size emu_switch,.-emu_switch\n");

namespace emu
{
enum { STACK = 256 << 10, PAGE = 4096, COLOR = 64 * 7 };
char *stacks_begin, *stacks_end;
static int free_stack[THREADS_MAX], free_stacks;
static struct sigaction before;

/* The handler has a stack of its own, since the fiber's may be used up. Faults that are not ours go
 * to the handler that was there before. */
static void segfault(int, siginfo_t *info, void *)
{
    const char *at = (const char *)info->si_addr, *why;
    sigaction(SIGSEGV, &before, NULL);
    if (!on_device && (at < arena_begin || at >= arena_end))
        return;
    if (at >= stacks_begin && at < stacks_end)
        fail("more than %d KiB of stack", STACK >> 10);
    if (at >= shared_range_begin && at < shared_range_end)
        fail("touches byte %zd of shared memory, which has %zu", at - shared_begin, shared_bytes);
    if (!device_holds(at, 1, &why))
        fail("touches %s", why);
}

/* At each launch: tests set a handler of their own meanwhile. */
void signal_take()
{
    enum { BYTES = 64 << 10 };
    /* Small itself: a module has little room for a thread's data. */
    static thread_local std::unique_ptr<char[]> own;
    struct sigaction action = {}, now;
    if (!own) {
        own.reset(new char[BYTES]);
        const stack_t stack = {own.get(), 0, BYTES};
        sigaltstack(&stack, NULL);
    }
    action.sa_sigaction = segfault;
    action.sa_flags = SA_SIGINFO | SA_ONSTACK;
    sigaction(SIGSEGV, NULL, &now);
    if (now.sa_sigaction == segfault)
        return;
    before = now;
    sigaction(SIGSEGV, &action, NULL);
}

void stacks_make()
{
    if (stacks_begin)
        return;
    stacks_begin = (char *)mmap(NULL, (size_t)THREADS_MAX * STACK, PROT_READ | PROT_WRITE,
                                MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (stacks_begin == MAP_FAILED)
        fail("no room for %d stacks", (int)THREADS_MAX);
    stacks_end = stacks_begin + (size_t)THREADS_MAX * STACK;
    for (int i = 0; i < THREADS_MAX; i++)
        mprotect(stacks_begin + (size_t)i * STACK, PAGE, PROT_NONE);
    for (int i = THREADS_MAX; i-- > 0;)
        free_stack[free_stacks++] = i;
}

/* Tops of stacks differ modulo the page, or all frames would fall into the same sets of the
 * cache. */
void stack_take(lane *l, void (*main)())
{
    l->stack = free_stack[--free_stacks];
    char *top = stacks_begin + (size_t)(l->stack + 1) * STACK;
    top -= (size_t)(l->stack * COLOR) % (4 * PAGE);
    void **sp = (void **)((uintptr_t)top & ~(uintptr_t)63);
    *--sp = NULL;
    *--sp = (void *)main;
    for (int i = 0; i < 6; i++)
        *--sp = NULL;
    l->sp = sp;
}

void stack_give(lane *l)
{
    free_stack[free_stacks++] = l->stack;
}
} // namespace emu
