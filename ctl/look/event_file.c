#include "ctl/look/event_file.h"
#include "base/crc32c.h"
#include "base/env.h"
#include "base/file.h"
#include "base/mem.h"
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

/* Fields of tensorboard/compat/proto/event.proto and summary.proto: number << 3 | wire type. */
enum {
    EVENT_WALL_TIME = 1 << 3 | 1,
    EVENT_STEP = 2 << 3 | 0,
    EVENT_FILE_VERSION = 3 << 3 | 2,
    EVENT_SUMMARY = 5 << 3 | 2,
    EVENT_SESSION_LOG = 7 << 3 | 2,
    SUMMARY_VALUE = 1 << 3 | 2,
    VALUE_TAG = 1 << 3 | 2,
    VALUE_SIMPLE = 2 << 3 | 5,
    SESSION_STATUS = 1 << 3 | 0,
    SESSION_START = 1
};

struct event_file {
    int fd;
    char *path;
    struct crc32c crc;
};

static void put_varint(struct bytes *out, uint64_t value)
{
    for (; value >= 0x80; value >>= 7)
        bytes_u8(out, (uint8_t)(value | 0x80));
    bytes_u8(out, (uint8_t)value);
}

static void put_le(struct bytes *out, uint64_t value, int bytes)
{
    for (int i = 0; i < bytes; i++)
        bytes_u8(out, (uint8_t)(value >> 8 * i));
}

static void put_message(struct bytes *out, uint8_t field, const void *data, size_t len)
{
    bytes_u8(out, field);
    put_varint(out, len);
    bytes_put(out, data, len);
}

static void put_begin(struct bytes *out, double wall_s, int64_t step)
{
    uint64_t bits;
    memcpy(&bits, &wall_s, sizeof bits);
    bytes_u8(out, EVENT_WALL_TIME);
    put_le(out, bits, 8);
    if (step) {
        bytes_u8(out, EVENT_STEP);
        put_varint(out, (uint64_t)step);
    }
}

static void put_checksum(const struct event_file *file, struct bytes *out, const uint8_t *data,
                         size_t len)
{
    put_le(out, crc32c_masked(~crc32c_add(&file->crc, UINT32_MAX, data, len)), 4);
}

/* One write, so that a reader that looks meanwhile sees a whole record or a torn last one. */
static err_t put_record(struct event_file *file, const struct bytes *event)
{
    SCOPED_VALUE(bytes) record = {0};
    put_le(&record, event->len, 8);
    put_checksum(file, &record, record.data, 8);
    bytes_put(&record, event->data, event->len);
    put_checksum(file, &record, event->data, event->len);
    return file_put(file->fd, file->path, record.data, record.len);
}

err_t event_file_open(const char *path, double wall_s, struct event_file **ret)
{
    static const char version[] = "brain.Event:2";
    SCOPED(event_file) file = mem_new(sizeof *file);
    SCOPED_VALUE(bytes) event = {0};
    crc32c_init(&file->crc);
    file->path = mem_string(path);
    file->fd = env()->open(path, O_WRONLY | O_CREAT | O_TRUNC | O_APPEND | O_CLOEXEC, 0644);
    if (file->fd < 0)
        return err_errno(errno, "cannot write '%s'", path);
    put_begin(&event, wall_s, 0);
    put_message(&event, EVENT_FILE_VERSION, version, strlen(version));
    TRY(put_record(file, &event));
    *ret = STEAL(file);
    return OK;
}

err_t event_file_put(struct event_file *file, double wall_s, int64_t step,
                     const struct event_figure *figure, size_t count)
{
    SCOPED_VALUE(bytes) event = {0};
    SCOPED_VALUE(bytes) summary = {0};
    for (size_t i = 0; i < count; i++) {
        SCOPED_VALUE(bytes) value = {0};
        const float simple = (float)figure[i].value;
        uint32_t bits;
        memcpy(&bits, &simple, sizeof bits);
        put_message(&value, VALUE_TAG, figure[i].tag, strlen(figure[i].tag));
        bytes_u8(&value, VALUE_SIMPLE);
        put_le(&value, bits, 4);
        put_message(&summary, SUMMARY_VALUE, value.data, value.len);
    }
    put_begin(&event, wall_s, step);
    put_message(&event, EVENT_SUMMARY, summary.data, summary.len);
    return put_record(file, &event);
}

err_t event_file_back(struct event_file *file, double wall_s, int64_t step)
{
    static const uint8_t start[] = {SESSION_STATUS, SESSION_START};
    SCOPED_VALUE(bytes) event = {0};
    put_begin(&event, wall_s, step);
    put_message(&event, EVENT_SESSION_LOG, start, sizeof start);
    return put_record(file, &event);
}

void event_file_free(struct event_file *file)
{
    if (!file)
        return;
    if (file->fd >= 0)
        close(file->fd);
    mem_free(file->path);
    mem_free(file);
}
