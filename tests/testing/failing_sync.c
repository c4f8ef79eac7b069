/* LD_PRELOAD: fsync and fdatasync fail with EIO while the file $FAILING_SYNC exists, as on a disk
 * that breaks. */
#include <dlfcn.h>
#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <unistd.h>

static bool fails(void)
{
    const char *path = getenv("FAILING_SYNC");
    if (!path || access(path, F_OK) != 0)
        return false;
    errno = EIO;
    return true;
}

int fdatasync(int fd)
{
    int (*real)(int fd) = (int (*)(int))dlsym(RTLD_NEXT, "fdatasync");
    return fails() ? -1 : real(fd);
}

int fsync(int fd)
{
    int (*real)(int fd) = (int (*)(int))dlsym(RTLD_NEXT, "fsync");
    return fails() ? -1 : real(fd);
}
