#include "base/scoped.h"
#include "sandbox/confine.h"
#include <errno.h>
#include <fcntl.h>
#include <linux/landlock.h>
#include <stdint.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

/* Rights and fields that came after this system's header. */
enum {
    RIGHT_TRUNCATE = 1 << 14,
    RIGHT_IOCTL_DEVICE = 1 << 15,
    NET_BIND = 1 << 0,
    NET_CONNECT = 1 << 1,
    SCOPE_ABSTRACT = 1 << 0,
    SCOPE_SIGNAL = 1 << 1,
};
enum { ABI_REFER = 2, ABI_TRUNCATE, ABI_NET, ABI_IOCTL, ABI_SCOPES };

struct ruleset {
    uint64_t files, net, scopes;
};

enum {
    READING =
        LANDLOCK_ACCESS_FS_EXECUTE | LANDLOCK_ACCESS_FS_READ_FILE | LANDLOCK_ACCESS_FS_READ_DIR,
    OF_FILES = LANDLOCK_ACCESS_FS_EXECUTE | LANDLOCK_ACCESS_FS_READ_FILE |
               LANDLOCK_ACCESS_FS_WRITE_FILE | RIGHT_TRUNCATE | RIGHT_IOCTL_DEVICE,
    DEVICES = LANDLOCK_ACCESS_FS_MAKE_CHAR | LANDLOCK_ACCESS_FS_MAKE_BLOCK,
};

/* Interpreters and libraries read these. Of /etc there is nothing where keys may be. */
static const char *const of_system[] = {
    "/usr",
    "/bin",
    "/sbin",
    "/lib",
    "/lib32",
    "/lib64",
    "/libx32",
    "/opt",
    "/nix/store",
    "/proc",
    "/sys/devices/system/cpu",
    "/dev/null",
    "/dev/zero",
    "/dev/full",
    "/dev/random",
    "/dev/urandom",
    "/etc/ld.so.cache",
    "/etc/ld.so.conf",
    "/etc/ld.so.conf.d",
    "/etc/ld.so.preload",
    "/etc/passwd",
    "/etc/group",
    "/etc/nsswitch.conf",
    "/etc/localtime",
    "/etc/timezone",
    "/etc/alternatives",
    "/etc/ssl/certs",
    "/etc/ssl/openssl.cnf",
    "/etc/mime.types",
    "/etc/python3",
    "/etc/python3.11",
    "/etc/os-release",
    "/etc/debian_version",
    "/etc/locale.alias",
};

struct files {
    int fd, abi;
    uint64_t handled;
};

/* As root the program is nobody, which surprises where files are root's alone. */
static err_t cannot_read(const char *path, const struct orders *orders)
{
    return err_errno(errno, "cannot let the program%s read '%s'",
                     orders->root ? ", which runs as uid 65534," : "", path);
}

static err_t allow(const struct files *files, const char *path, uint64_t rights,
                   const struct orders *required)
{
    struct landlock_path_beneath_attr rule = {.allowed_access = rights & files->handled};
    struct stat found;
    SCOPED_FD at = open(path, O_PATH | O_CLOEXEC);
    if (at < 0 && !required)
        return OK;
    if (at < 0 || fstat(at, &found))
        return required ? cannot_read(path, required) : OK;
    if (!S_ISDIR(found.st_mode))
        rule.allowed_access &= OF_FILES;
    rule.parent_fd = at;
    if (syscall(SYS_landlock_add_rule, files->fd, LANDLOCK_RULE_PATH_BENEATH, &rule, 0))
        return err_errno(errno, "Landlock: '%s'", path);
    return OK;
}

static err_t allow_all(const struct files *files, const struct orders *orders)
{
    for (size_t i = 0; i < sizeof of_system / sizeof *of_system; i++)
        TRY(allow(files, of_system[i], READING, NULL));
    TRY(allow(files, "/dev/null", LANDLOCK_ACCESS_FS_WRITE_FILE | RIGHT_TRUNCATE, NULL));
    if (orders->network) {
        TRY(allow(files, "/etc/resolv.conf", READING, NULL));
        TRY(allow(files, "/etc/hosts", READING, NULL));
    }
    for (size_t i = 0; i < orders->reads; i++)
        TRY(allow(files, orders->read[i], READING, orders));
    if (orders->level == LEVEL_STRONG) // its own, and empty
        TRY(allow(files, "/dev/shm", ~(uint64_t)DEVICES, NULL));
    return allow(files, orders->work, ~(uint64_t)DEVICES, orders);
}

static void rights_of(int abi, bool network, struct ruleset *ret)
{
    ret->files = LANDLOCK_ACCESS_FS_MAKE_SYM * 2 - 1; // those of the first version
    if (abi >= ABI_REFER)
        ret->files |= LANDLOCK_ACCESS_FS_REFER;
    if (abi >= ABI_TRUNCATE)
        ret->files |= RIGHT_TRUNCATE;
    if (abi >= ABI_IOCTL)
        ret->files |= RIGHT_IOCTL_DEVICE;
    ret->net = abi >= ABI_NET && !network ? NET_BIND | NET_CONNECT : 0;
    ret->scopes = abi >= ABI_SCOPES ? SCOPE_ABSTRACT | SCOPE_SIGNAL : 0;
}

err_t files_confine(const struct orders *orders, bool *ret_keeps_signals)
{
    struct ruleset asked = {0};
    struct files files;
    files.abi = (int)syscall(SYS_landlock_create_ruleset, NULL, 0, LANDLOCK_CREATE_RULESET_VERSION);
    if (files.abi < 1)
        return err_new(ERR_UNIMPLEMENTED, "Landlock: %s", strerror(errno));
    rights_of(files.abi, orders->network, &asked);
    files.handled = asked.files;
    const size_t size = files.abi >= ABI_SCOPES ? 3 : files.abi >= ABI_NET ? 2 : 1;
    SCOPED_FD fd = (int)syscall(SYS_landlock_create_ruleset, &asked, size * sizeof asked.files, 0);
    if (fd < 0)
        return err_errno(errno, "Landlock");
    files.fd = fd;
    TRY(allow_all(&files, orders));
    if (syscall(SYS_landlock_restrict_self, fd, 0))
        return err_errno(errno, "Landlock");
    *ret_keeps_signals = files.abi >= ABI_SCOPES;
    return OK;
}
