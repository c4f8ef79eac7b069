/* What a message says: the kernel's name, who is meant, the line of the source. */
#include "emu.h"
#include <cxxabi.h>
#include <dlfcn.h>
#include <elf.h>
#include <fcntl.h>
#include <map>
#include <spawn.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

namespace emu
{
void *access_pc;

/* The file of the program or module that holds `at`, and where it begins in memory. */
static std::string object_of(const void *at, const char **ret_begin)
{
    Dl_info info;
    if (!dladdr(at, &info))
        return "";
    *ret_begin = (const char *)info.dli_fbase;
    return info.dli_fname[0] == '/' ? info.dli_fname : "/proc/self/exe";
}

/* The symbol of .symtab at this offset: kernels are static, so the loader does not know them. */
static std::string symbol_at(const char *file, size_t size, size_t offset)
{
    const Elf64_Ehdr *head = (const Elf64_Ehdr *)file;
    const Elf64_Shdr *section = (const Elf64_Shdr *)(file + head->e_shoff);
    for (int i = 0; head->e_shoff < size && i < head->e_shnum; i++) {
        if (section[i].sh_type != SHT_SYMTAB)
            continue;
        const Elf64_Sym *symbol = (const Elf64_Sym *)(file + section[i].sh_offset);
        const char *names = file + section[section[i].sh_link].sh_offset;
        for (size_t s = 0; s < section[i].sh_size / sizeof *symbol; s++)
            if (ELF64_ST_TYPE(symbol[s].st_info) == STT_FUNC && symbol[s].st_value == offset)
                return names + symbol[s].st_name;
    }
    return "";
}

/* Where the parameters begin. Arguments of templates may have parentheses, too. */
static size_t end_of_name(const std::string &name)
{
    int depth = 0;
    for (size_t i = 0; i < name.size(); i++) {
        depth += (name[i] == '<') - (name[i] == '>');
        if (name[i] == '(' && !depth)
            return i;
    }
    return name.size();
}

static std::string find_name(const void *kernel)
{
    const char *begin;
    const std::string object = object_of(kernel, &begin);
    const int fd = open(object.c_str(), O_RDONLY | O_CLOEXEC);
    struct stat st;
    std::string name;
    if (fd >= 0 && !fstat(fd, &st)) {
        const size_t size = (size_t)st.st_size;
        const char *file = (const char *)mmap(NULL, size, PROT_READ, MAP_PRIVATE, fd, 0);
        if (file != MAP_FAILED) {
            // A program that is not position-independent has addresses, others have offsets.
            const bool fixed = ((const Elf64_Ehdr *)file)->e_type == ET_EXEC;
            name = symbol_at(file, size,
                             fixed ? (size_t)kernel : (size_t)((const char *)kernel - begin));
            munmap((void *)file, size);
        }
    }
    if (fd >= 0)
        close(fd);
    int status;
    char *plain = abi::__cxa_demangle(name.c_str(), NULL, NULL, &status);
    name = plain ? plain : name.empty() ? "a kernel without a name" : name;
    free(plain);
    for (const char *word : {"void ", "(anonymous namespace)::"})
        for (size_t at; (at = name.find(word)) != std::string::npos;)
            name.erase(at, strlen(word));
    return name.substr(0, end_of_name(name));
}

const char *kernel_name(const void *kernel)
{
    static std::map<const void *, std::string> names;
    const auto known = names.find(kernel);
    if (known != names.end())
        return known->second.c_str();
    return (names[kernel] = find_name(kernel)).c_str();
}

/* The source line before access_pc. */
static void say_line()
{
    const char *begin;
    char offset[32];
    if (!access_pc)
        return;
    std::string object = object_of(access_pc, &begin);
    if (object == "/proc/self/exe")
        object = "/proc/" + std::to_string(getpid()) + "/exe";
    snprintf(offset, sizeof offset, "%#zx", (size_t)((char *)access_pc - begin - 1));
    const char *words[] = {"addr2line", "-s", "-e", object.c_str(), offset, NULL};
    posix_spawn_file_actions_t actions;
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_adddup2(&actions, STDERR_FILENO, STDOUT_FILENO);
    fputs("cuda_emu: at ", stderr);
    fflush(stderr);
    pid_t child;
    if (posix_spawnp(&child, words[0], &actions, NULL, (char *const *)words, environ))
        fputs("?\n", stderr);
    else
        waitpid(child, NULL, 0);
}

void fail(const char *format, ...)
{
    char message[1024];
    va_list args;
    va_start(args, format);
    vsnprintf(message, sizeof message, format, args);
    va_end(args);
    fflush(stdout);
    const char *kernel = current ? kernel_name(current->kernel) : "";
    if (on_device && self)
        fprintf(stderr, "cuda_emu: %s, block (%u,%u,%u), thread (%u,%u,%u): %s [seed %llu]\n",
                kernel, blockIdx.x, blockIdx.y, blockIdx.z, self->thread.x, self->thread.y,
                self->thread.z, message, (unsigned long long)seed);
    else
        fprintf(stderr, "cuda_emu: %s%s%s\n", on_device ? kernel : "",
                on_device && *kernel ? ": " : "", message);
    fflush(stderr);
    say_line();
    abort();
}
} // namespace emu
