/* The exit statuses of the daemons, by cause: for supervisors, which restart a process or do not.
 * svc_exit gives them, --help and docs/daemons.md name them.
 *
 *     EXIT_STATUSES(X)     -- X(name, status, help, text); help: whether the same start may do better
 *
 * With systemd: RestartPreventExitStatus=2 4 6 7. In Kubernetes the status stands in the pod's
 * lastState. A daemon that has served ends with 1, 5, 9, or 4 if it is refused for good: the next
 * start finds out what is wrong with its files. Numbers from 64 on are others': sysexits, shells,
 * systemd. */
#pragma once

#define EXIT_STATUSES(X)                                                                           \
    X(DONE, 0, false, "drained, or its run is complete")                                           \
    X(FAILED, 1, true, "any other failure")                                                        \
    X(USAGE, 2, false, "recipe, command line, keys, permissions or device are wrong")              \
    X(REFUSED, 4, false, "a peer refuses it for good: another run, recipe, model or protocol")     \
    X(UNREACHABLE, 5, true, "a peer was not reached in net.join_timeout_s")                        \
    X(DAMAGED, 6, false, "the run's files are damaged, or some are lost")                          \
    X(MISMATCH, 7, false,                                                                          \
      "the run's files are of another run, recipe or build, or of two moments")                    \
    X(BUSY, 8, true, "a port, or the run's directory, is in use by another process")               \
    X(RESOURCES, 9, true, "memory, disk, descriptors or threads do not suffice")

enum {
#define EXIT_STATUS_ENUM(name, status, help, text) EXIT_STATUS_##name = (status),
    EXIT_STATUSES(EXIT_STATUS_ENUM)
#undef EXIT_STATUS_ENUM
};
