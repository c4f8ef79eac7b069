/* rlhfd-sandbox: becomes a small watch over one program, which it restricts first. */
#include "base/version.h"
#include "sandbox/trial.h"
#include "sandbox/watch.h"
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

enum { EXIT_USAGE = 2 };

static bool number(const char *text, int64_t least, int64_t *ret)
{
    char *end;
    errno = 0;
    *ret = strtoll(text, &end, 10);
    return !errno && end != text && !*end && *ret >= least;
}

static bool level_of(const char *text, enum level *ret)
{
    static const char *const words[] = {"none", "restricted", "strong"};
    for (int i = 0; i < 3; i++)
        if (strcmp(text, words[i]) == 0) {
            *ret = (enum level)i;
            return true;
        }
    return false;
}

enum {
    OPTION_LEVEL = 256,
    OPTION_WORK,
    OPTION_READ,
    OPTION_MEMORY,
    OPTION_DISK,
    OPTION_PROCESSES,
    OPTION_CPU,
    OPTION_NETWORK,
    OPTION_REPORT,
    OPTION_PARENT,
    OPTION_TRIAL,
    OPTION_VERSION,
    OPTION_HELP
};
static const struct option options[] = {
    {"level", required_argument, NULL, OPTION_LEVEL},
    {"work", required_argument, NULL, OPTION_WORK},
    {"read", required_argument, NULL, OPTION_READ},
    {"memory", required_argument, NULL, OPTION_MEMORY},
    {"disk", required_argument, NULL, OPTION_DISK},
    {"processes", required_argument, NULL, OPTION_PROCESSES},
    {"cpu", required_argument, NULL, OPTION_CPU},
    {"network", no_argument, NULL, OPTION_NETWORK},
    {"report", required_argument, NULL, OPTION_REPORT},
    {"parent", required_argument, NULL, OPTION_PARENT},
    {"trial", no_argument, NULL, OPTION_TRIAL},
    {"version", no_argument, NULL, OPTION_VERSION},
    {"help", no_argument, NULL, OPTION_HELP},
    {0},
};
static const char usage_text[] =
    "rlhfd-sandbox [OPTION...] --work DIR -- PROGRAM [ARGUMENT...]\n"
    "Runs PROGRAM within limits, and ends with all of its processes. rlhfd-rewarder starts it.\n\n"
    "  --level LEVEL      none, restricted or strong (restricted)\n"
    "  --work DIR         an empty directory where it runs and may write; it is removed at the end\n"
    "  --read PATH        a file or directory that it may read beside the system's; may be repeated\n"
    "  --memory BYTES     of one process, and of all together (2 GiB)\n"
    "  --disk BYTES       below DIR (256 MiB)\n"
    "  --processes N      at once, threads are processes (64)\n"
    "  --cpu SECONDS      of one process (no limit)\n"
    "  --network          the network is not denied\n"
    "  --report FD        where one line tells how it ended (2)\n"
    "  --parent PID       who must be the caller\n"
    "  --trial            in place of a program: tries what must be denied\n";

static bool take(int option, const char *value, struct orders *orders)
{
    int64_t n = 0;
    switch (option) {
    case OPTION_LEVEL:
        return level_of(value, &orders->level);
    case OPTION_WORK:
        orders->work = value;
        return *value == '/';
    case OPTION_READ:
        orders->read[orders->reads] = value;
        return orders->reads++ < READS_MAX - 1;
    case OPTION_MEMORY:
        return number(value, 1 << 20, &n) && (orders->memory_bytes = (uint64_t)n);
    case OPTION_DISK:
        return number(value, 1 << 12, &n) && (orders->disk_bytes = (uint64_t)n);
    case OPTION_PROCESSES:
        return number(value, 1, &orders->processes) && orders->processes <= 1 << 16;
    case OPTION_CPU:
        return number(value, 0, &orders->cpu_s);
    case OPTION_NETWORK:
        return orders->network = true;
    case OPTION_REPORT:
        orders->report = number(value, 0, &n) && n < 1024 ? (int)n : -1;
        return orders->report >= 0 && fcntl(orders->report, F_SETFD, FD_CLOEXEC) == 0;
    case OPTION_PARENT:
        orders->parent = number(value, 1, &n) ? (pid_t)n : -1;
        return orders->parent > 0;
    default:
        return false;
    }
}

int main(int argc, char **argv)
{
    struct orders orders = {.level = LEVEL_RESTRICTED,
                            .memory_bytes = UINT64_C(2) << 30,
                            .disk_bytes = 256 << 20,
                            .processes = 64,
                            .report = fcntl(STDERR_FILENO, F_DUPFD_CLOEXEC, 3),
                            .root = geteuid() == 0};
    for (int option, last;
         last = optind, (option = getopt_long(argc, argv, "+", options, NULL)) >= 0;) {
        if (option == OPTION_TRIAL)
            return trial_run();
        if (option == OPTION_VERSION || option == OPTION_HELP) {
            printf("%s", option == OPTION_HELP ? usage_text : "rlhfd-sandbox ");
            printf("%s\n", option == OPTION_HELP ? "" : version_text);
            return 0;
        }
        if (!take(option, optarg, &orders)) {
            fprintf(stderr, "rlhfd-sandbox: '%s' is no option or value; see --help\n", argv[last]);
            return EXIT_USAGE;
        }
    }
    if (!orders.work || !argv[optind]) {
        fprintf(stderr, "%s", usage_text);
        return EXIT_USAGE;
    }
    orders.argv = argv + optind;
    if (orders.report > 3)
        syscall(SYS_close_range, 3, (unsigned)orders.report - 1, 0);
    syscall(SYS_close_range, (unsigned)orders.report + 1, ~0U, 0); // nothing of the caller's
    if (orders.root && orders.level != LEVEL_NONE && chown(orders.work, NOBODY, NOBODY)) {
        report(&orders, "failed", "cannot give away '%s': %s", orders.work, strerror(errno));
        return 1;
    }
    prctl(PR_SET_PDEATHSIG, SIGTERM);
    if (orders.parent && getppid() != orders.parent)
        return 1; // the caller has ended
    return watch_program(&orders);
}
