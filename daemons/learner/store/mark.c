#include "learner/store/mark.h"
#include "base/bytes.h"
#include "base/env.h"
#include "base/file.h"
#include "base/hash.h"
#include "base/log.h"
#include "base/mem.h"
#include <errno.h>
#include <fcntl.h>
#include <string.h>

/* "RLHM", version, sequence number, hash64 of what is before; big-endian. */
enum { MAGIC = 0x524c484d, VERSION = 1, HASHED = 16, BYTES = 24, READ_MAX = 4096 };

struct mark {
    int fd;
};

static char *path_of(const char *dir)
{
    return file_join(dir, "high-water");
}

static void encode(uint64_t sequence, struct bytes *ret)
{
    bytes_be32(ret, MAGIC);
    bytes_be32(ret, VERSION);
    bytes_be64(ret, sequence);
    bytes_be64(ret, hash64(ret->data, HASHED, 0));
}

static bool decode(const struct bytes *bytes, uint64_t *ret)
{
    struct reader in = {bytes->data, bytes->len};
    uint32_t magic, version;
    uint64_t sequence, hash;
    if (bytes->len != BYTES || !read_be32(&in, &magic) || !read_be32(&in, &version) ||
        !read_be64(&in, &sequence) || !read_be64(&in, &hash) || magic != MAGIC ||
        version != VERSION || hash != hash64(bytes->data, HASHED, 0))
        return false;
    *ret = sequence;
    return true;
}

err_t mark_open(const char *dir, struct mark **ret)
{
    SCOPED_MEM char *path = path_of(dir);
    int fd = env()->open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0644);
    if (fd < 0)
        return err_errno(errno, "cannot open '%s'", path);
    struct mark *mark = mem_new(sizeof *mark);
    mark->fd = fd;
    *ret = mark;
    return OK;
}

void mark_free(struct mark *mark)
{
    if (!mark)
        return;
    close(mark->fd);
    mem_free(mark);
}

/* A mark that cannot be written stays behind, which is safe. */
void mark_set(struct mark *mark, uint64_t sequence)
{
    SCOPED_VALUE(bytes) bytes = {0};
    encode(sequence, &bytes);
    ssize_t wrote = env()->pwrite(mark->fd, bytes.data, bytes.len, 0);
    (void)wrote;
}

err_t mark_read(const char *dir, uint64_t *ret_sequence)
{
    SCOPED_MEM char *path = path_of(dir);
    SCOPED_VALUE(bytes) bytes = {0};
    *ret_sequence = 0;
    if (!file_exists(path))
        return OK;
    TRY(file_read(path, READ_MAX, &bytes));
    if (!decode(&bytes, ret_sequence))
        log_warning("damaged mark passed over: the end of the log is not checked this time",
                    "file=%s", path);
    return OK;
}
