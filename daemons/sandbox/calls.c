#include "sandbox/confine.h"
#include <errno.h>
#include <fcntl.h>
#include <linux/sched.h>
#include <seccomp.h>
#include <sys/ioctl.h>
#include <sys/resource.h>

/* Denied whatever the arguments: the network, other processes, mounts and namespaces, and ways
 * round this filter or Landlock. */
static const int denied[] = {
    SCMP_SYS(ptrace),
    SCMP_SYS(process_vm_readv),
    SCMP_SYS(process_vm_writev),
    SCMP_SYS(kcmp),
    SCMP_SYS(pidfd_getfd),
    SCMP_SYS(process_madvise),
    SCMP_SYS(process_mrelease),
    SCMP_SYS(migrate_pages),
    SCMP_SYS(move_pages),
    SCMP_SYS(unshare),
    SCMP_SYS(setns),
    SCMP_SYS(mount),
    SCMP_SYS(umount2),
    SCMP_SYS(pivot_root),
    SCMP_SYS(chroot),
    SCMP_SYS(move_mount),
    SCMP_SYS(open_tree),
    SCMP_SYS(fsopen),
    SCMP_SYS(fsconfig),
    SCMP_SYS(fsmount),
    SCMP_SYS(fspick),
    SCMP_SYS(mount_setattr),
    SCMP_SYS(open_by_handle_at),
    SCMP_SYS(name_to_handle_at),
    SCMP_SYS(fanotify_init),
    SCMP_SYS(io_uring_setup),
    SCMP_SYS(io_uring_enter),
    SCMP_SYS(io_uring_register),
    SCMP_SYS(bpf),
    SCMP_SYS(perf_event_open),
    SCMP_SYS(userfaultfd),
    SCMP_SYS(keyctl),
    SCMP_SYS(add_key),
    SCMP_SYS(request_key),
    SCMP_SYS(kexec_load),
    SCMP_SYS(kexec_file_load),
    SCMP_SYS(init_module),
    SCMP_SYS(finit_module),
    SCMP_SYS(delete_module),
    SCMP_SYS(reboot),
    SCMP_SYS(swapon),
    SCMP_SYS(swapoff),
    SCMP_SYS(acct),
    SCMP_SYS(quotactl),
    SCMP_SYS(syslog),
    SCMP_SYS(settimeofday),
    SCMP_SYS(clock_settime),
    SCMP_SYS(clock_adjtime),
    SCMP_SYS(adjtimex),
    SCMP_SYS(sethostname),
    SCMP_SYS(setdomainname),
    SCMP_SYS(vhangup),
    SCMP_SYS(nfsservctl),
    SCMP_SYS(mq_open),
    SCMP_SYS(shmget),
    SCMP_SYS(semget),
    SCMP_SYS(msgget),
    SCMP_SYS(mknod),
    SCMP_SYS(mknodat),
    SCMP_SYS(memfd_secret),
    SCMP_SYS(lookup_dcookie),
#ifdef __x86_64__
    SCMP_SYS(iopl),
    SCMP_SYS(ioperm),
    SCMP_SYS(modify_ldt),
#endif
};

/* Without namespaces a program could leave its group of processes, or keep memory that no process
 * has mapped. */
static const int denied_outside[] = {SCMP_SYS(setsid), SCMP_SYS(setpgid), SCMP_SYS(memfd_create)};

/* Signals to others, where Landlock does not deny them. */
static const int signals[] = {SCMP_SYS(tkill), SCMP_SYS(tgkill), SCMP_SYS(rt_sigqueueinfo),
                              SCMP_SYS(rt_tgsigqueueinfo), SCMP_SYS(pidfd_send_signal)};

static int deny(scmp_filter_ctx ctx, const int *call, size_t count)
{
    int failed = 0;
    for (size_t i = 0; i < count && !failed; i++) {
        failed = seccomp_rule_add(ctx, SCMP_ACT_ERRNO(EPERM), call[i], 0);
        if (failed == -EDOM) // not of this architecture
            failed = 0;
    }
    return failed;
}

static int deny_if(scmp_filter_ctx ctx, int call, struct scmp_arg_cmp when)
{
    return seccomp_rule_add_array(ctx, SCMP_ACT_ERRNO(EPERM), call, 1, &when);
}

/* Namespaces by clone; clone3 keeps its flags in memory, which a filter cannot read, and libc goes
 * on with clone where that is not there. */
static int deny_namespaces(scmp_filter_ctx ctx)
{
    static const uint64_t flags[] = {CLONE_NEWUSER, CLONE_NEWNS,  CLONE_NEWPID,   CLONE_NEWNET,
                                     CLONE_NEWIPC,  CLONE_NEWUTS, CLONE_NEWCGROUP};
    int failed = seccomp_rule_add(ctx, SCMP_ACT_ERRNO(ENOSYS), SCMP_SYS(clone3), 0);
    for (size_t i = 0; i < sizeof flags / sizeof *flags && !failed; i++)
        failed = deny_if(ctx, SCMP_SYS(clone), SCMP_A0(SCMP_CMP_MASKED_EQ, flags[i], flags[i]));
    return failed;
}

/* A process of one user may change the limits, priority and cores of the user's others, among them
 * the rewarder. 0 names the caller. */
static int deny_others(scmp_filter_ctx ctx)
{
    static const int by_pid[] = {SCMP_SYS(prlimit64), SCMP_SYS(sched_setaffinity),
                                 SCMP_SYS(sched_setscheduler), SCMP_SYS(sched_setparam),
                                 SCMP_SYS(sched_setattr)};
    int failed = 0;
    for (size_t i = 0; i < sizeof by_pid / sizeof *by_pid && !failed; i++)
        failed = deny_if(ctx, by_pid[i], SCMP_A0_32(SCMP_CMP_NE, 0));
    for (int command = 0; command < 2 && !failed; command++) {
        const int call = command ? SCMP_SYS(ioprio_set) : SCMP_SYS(setpriority);
        const unsigned self = command ? 1 /* IOPRIO_WHO_PROCESS */ : PRIO_PROCESS;
        failed = deny_if(ctx, call, SCMP_A0_32(SCMP_CMP_NE, self));
        if (!failed)
            failed = deny_if(ctx, call, SCMP_A1_32(SCMP_CMP_NE, 0));
    }
    static const unsigned owners[] = {F_SETOWN, F_SETOWN_EX, F_SETSIG};
    for (size_t i = 0; i < sizeof owners / sizeof *owners && !failed; i++)
        failed = deny_if(ctx, SCMP_SYS(fcntl), SCMP_A1_32(SCMP_CMP_EQ, owners[i]));
    static const unsigned input[] = {TIOCSTI, TIOCLINUX};
    for (size_t i = 0; i < sizeof input / sizeof *input && !failed; i++)
        failed = deny_if(ctx, SCMP_SYS(ioctl), SCMP_A1_32(SCMP_CMP_EQ, input[i]));
    return failed;
}

static int add_rules(scmp_filter_ctx ctx, const struct orders *orders, bool keeps_signals)
{
    int failed = deny(ctx, denied, sizeof denied / sizeof *denied);
    if (!failed && !orders->network) { // pairs of sockets reach nobody else: asyncio needs them
        static const int sockets[] = {SCMP_SYS(socket)};
        failed = deny(ctx, sockets, 1);
    }
    if (!failed && orders->level != LEVEL_STRONG)
        failed = deny(ctx, denied_outside, sizeof denied_outside / sizeof *denied_outside);
    if (!failed && !keeps_signals) {
        failed = deny(ctx, signals, sizeof signals / sizeof *signals);
        if (!failed)
            failed = deny_if(ctx, SCMP_SYS(kill), SCMP_A0_32(SCMP_CMP_NE, 0));
    }
    if (!failed)
        failed = deny_namespaces(ctx);
    return failed ? failed : deny_others(ctx);
}

err_t calls_confine(const struct orders *orders, bool keeps_signals)
{
    scmp_filter_ctx ctx = seccomp_init(SCMP_ACT_ALLOW);
    if (!ctx)
        return err_new(ERR_UNIMPLEMENTED, "seccomp: no filter can be made");
    int failed = add_rules(ctx, orders, keeps_signals);
    if (!failed)
        failed = seccomp_load(ctx);
    seccomp_release(ctx);
    return failed ? err_errno(-failed, "seccomp") : OK;
}
