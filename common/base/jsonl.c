#include "base/jsonl.h"
#include "base/env.h"
#include "base/file.h"
#include "base/json.h"
#include "base/mem.h"
#include "base/packed_text.h"
#include "base/zst.h"
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <string.h>
#include <sys/stat.h>

struct jsonl {
    int fd;
    struct packed_text *packed; // of a file of zstd's, whose rows cannot be read by offset; NULL
    char *path;
    struct digest digest;
    uint64_t rows;
    size_t longest;
    uint64_t
        *begin; // (rows + 1) offsets; the last one: the file's length, as if a line began there
};

/* Reading through the file once. */
struct scan {
    struct jsonl *jsonl;
    bool nul;    // strings may hold U+0000
    size_t room; // of jsonl->begin
    struct hash *hash;
    struct bytes line;          // the part of a line that was read
    uint64_t offset;            // of the next byte in the text
    struct zst_stream *unpacks; // NULL: the file is the text
};

static err_t add_row(struct scan *scan, uint64_t end)
{
    struct jsonl *jsonl = scan->jsonl;
    SCOPED_MEM char *name = mem_printf("%s:%" PRIu64, jsonl->path, jsonl->rows + 1);
    if (jsonl->rows == JSONL_ROWS)
        return err_new(ERR_INVALID, "%s: more than %d rows", name, JSONL_ROWS);
    const char *text = (const char *)scan->line.data;
    size_t len = scan->line.len;
    if (!len || strspn(text, " \t\r") == len)
        return err_new(ERR_INVALID, "%s: an empty line; every line must be a JSON object", name);
    SCOPED_JSON json_t *value = NULL;
    TRY(scan->nul ? json_parse_nul(text, len, name, &value) : json_parse(text, len, name, &value));
    if (!json_is_object(value))
        return err_new(ERR_INVALID, "%s: %.60s is not a JSON object", name, text);
    if (jsonl->rows + 2 > scan->room) {
        scan->room = scan->room ? 2 * scan->room : 1024;
        jsonl->begin = mem_grow(jsonl->begin, scan->room, sizeof *jsonl->begin);
    }
    if (!jsonl->rows)
        jsonl->begin[0] = json_mark(text, len);
    jsonl->begin[++jsonl->rows] = end;
    jsonl->longest = len > jsonl->longest ? len : jsonl->longest;
    bytes_clear(&scan->line);
    return OK;
}

static err_t add_part(struct scan *scan, const char *part, size_t len)
{
    if (scan->line.len + len > JSONL_LINE_BYTES)
        return err_new(ERR_INVALID, "%s:%" PRIu64 ": a line of more than %d bytes",
                       scan->jsonl->path, scan->jsonl->rows + 1, JSONL_LINE_BYTES);
    bytes_put(&scan->line, part, len);
    return OK;
}

static err_t scan_chunk(void *arg, const char *data, size_t len)
{
    struct scan *scan = arg;
    hash_put(scan->hash, data, len);
    if (scan->jsonl->packed)
        packed_text_put(scan->jsonl->packed, data, len);
    for (size_t at = 0; at < len;) {
        const char *newline = memchr(data + at, '\n', len - at);
        size_t end = newline ? (size_t)(newline - data) : len;
        TRY(add_part(scan, data + at, end - at));
        if (newline)
            TRY(add_row(scan, scan->offset + end + 1));
        at = end + (newline != NULL);
    }
    scan->offset += len;
    return OK;
}

/* The text of `got` bytes of the file. */
static err_t scan_read(struct scan *scan, const char *data, size_t got)
{
    if (!scan->unpacks)
        return scan_chunk(scan, data, got);
    err_t failed = zst_stream_put(scan->unpacks, data, got, scan_chunk, scan);
    const bool bad_line = err_failed(failed) && strncmp(err_message(failed), "zstd: ", 6) != 0;
    return bad_line ? failed
                    : err_wrap(failed, "%s:%" PRIu64, scan->jsonl->path, scan->jsonl->rows + 1);
}

static err_t scan_end(struct scan *scan)
{
    struct jsonl *jsonl = scan->jsonl;
    if (scan->unpacks) {
        TRY(err_wrap(zst_stream_end(scan->unpacks), "%s:%" PRIu64, jsonl->path, jsonl->rows + 1));
        packed_text_end(jsonl->packed);
    }
    if (scan->line.len)
        TRY(add_row(scan, scan->offset + 1)); // the last line may lack its newline
    if (!jsonl->rows)
        return err_new(ERR_INVALID, "'%s' has no rows", jsonl->path);
    return OK;
}

static err_t scan_file(struct scan *scan)
{
    enum { CHUNK = 1 << 18 };
    SCOPED_MEM char *chunk = mem_new(CHUNK);
    struct jsonl *jsonl = scan->jsonl;
    for (uint64_t offset = 0;;) {
        size_t got;
        TRY(file_get(jsonl->fd, jsonl->path, offset, chunk, CHUNK, &got));
        if (!got)
            return scan_end(scan);
        if (!offset && zst_is(chunk, got)) {
            scan->unpacks = zst_stream_new();
            jsonl->packed = packed_text_new();
        }
        TRY(scan_read(scan, chunk, got));
        offset += got;
    }
}

static err_t open_rows(const char *path, bool nul, struct jsonl **ret)
{
    SCOPED(jsonl) jsonl = mem_new(sizeof *jsonl);
    jsonl->path = mem_string(path);
    jsonl->fd =
        env()->open(path, O_RDONLY | O_NONBLOCK | O_CLOEXEC, 0); // opening a pipe may wait for ever
    struct stat status;
    if (jsonl->fd < 0 || fstat(jsonl->fd, &status))
        return err_errno(errno, "cannot open '%s'", path);
    if (!S_ISREG(status.st_mode))
        return err_new(ERR_INVALID, "'%s' is not a file", path); // rows are read again by offset
    struct scan scan = {.jsonl = jsonl, .nul = nul, .hash = hash_begin()};
    err_t failed = scan_file(&scan);
    jsonl->digest = hash_end(scan.hash);
    bytes_done(&scan.line);
    zst_stream_free(scan.unpacks);
    TRY(failed);
    *ret = STEAL(jsonl);
    return OK;
}

err_t jsonl_open(const char *path, struct jsonl **ret)
{
    return open_rows(path, false, ret);
}

err_t jsonl_open_nul(const char *path, struct jsonl **ret)
{
    return open_rows(path, true, ret);
}

uint64_t jsonl_rows(const struct jsonl *jsonl)
{
    return jsonl->rows;
}

const char *jsonl_path(const struct jsonl *jsonl)
{
    return jsonl->path;
}

struct digest jsonl_digest(const struct jsonl *jsonl)
{
    return jsonl->digest;
}

size_t jsonl_longest(const struct jsonl *jsonl)
{
    return jsonl->longest;
}

static err_t changed(const struct jsonl *jsonl, uint64_t i)
{
    return err_new(ERR_DATA_LOSS, "%s:%" PRIu64 ": the file changed while it was in use",
                   jsonl->path, i + 1);
}

err_t jsonl_row(const struct jsonl *jsonl, uint64_t i, struct bytes *ret)
{
    if (i >= jsonl->rows)
        return err_new(ERR_RANGE, "%s: no row %" PRIu64 "; it has %" PRIu64, jsonl->path, i,
                       jsonl->rows);
    size_t len = (size_t)(jsonl->begin[i + 1] - jsonl->begin[i] - 1), have = 0;
    SCOPED_VALUE(bytes) text = {0};
    uint8_t *to = bytes_extend(&text, len);
    if (jsonl->packed)
        TRY(packed_text_get(jsonl->packed, jsonl->begin[i], to, len, &have));
    else
        TRY(file_get(jsonl->fd, jsonl->path, jsonl->begin[i], to, len, &have));
    if (have < len)
        return changed(jsonl, i);
    if (memchr(to, '\n', len))
        return changed(jsonl, i);
    if (to[len - 1] == '\r')
        len--;
    bytes_put(ret, to, len);
    return OK;
}

static err_t look_at(const struct jsonl *jsonl, uint64_t i, jsonl_look fn, void *arg)
{
    SCOPED_VALUE(bytes) text = {0};
    SCOPED_JSON json_t *row = NULL;
    SCOPED_MEM char *name = mem_printf("%s:%" PRIu64, jsonl->path, i + 1);
    TRY(jsonl_row(jsonl, i, &text));
    TRY(json_parse((const char *)text.data, text.len, name, &row));
    return fn(arg, row, name);
}

err_t jsonl_probe(const struct jsonl *jsonl, const char *done, jsonl_look fn, void *arg,
                  char **ret_note)
{
    enum { PROBED = 1000 };
    const uint64_t rows = jsonl->rows < PROBED ? jsonl->rows : PROBED;
    uint64_t refused = 0;
    SCOPED_MEM char *first = NULL;
    for (uint64_t i = 0; i < rows; i++) {
        err_t why = look_at(jsonl, i, fn, arg);
        if (err_failed(why) && !refused++)
            first = mem_string(err_message(why));
        err_free(why);
    }
    if (refused == rows)
        return err_new(ERR_INVALID, "none of the first %" PRIu64 " rows can be %s: %s", rows, done,
                       first);
    *ret_note = refused ? mem_printf("%" PRIu64 " of the first %" PRIu64
                                     " rows cannot be %s; the first: %s",
                                     refused, rows, done, first)
                        : NULL;
    return OK;
}

void jsonl_free(struct jsonl *jsonl)
{
    if (!jsonl)
        return;
    if (jsonl->fd >= 0)
        close(jsonl->fd);
    packed_text_free(jsonl->packed);
    free(jsonl->begin);
    free(jsonl->path);
    free(jsonl);
}
