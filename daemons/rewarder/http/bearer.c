#include "rewarder/http/bearer.h"
#include "base/file.h"
#include "base/log.h"
#include "base/mem.h"
#include "rewarder/answer_fault.h"
#include <string.h>
#include <sys/stat.h>

struct bearer {
    char *path;
    struct stat seen; // zero: no file
    size_t len;       // 0: no key counts
    char key[BEARER_LEN_MAX + 1];
};

static bool is_blank(uint8_t c)
{
    return c == ' ' || c == '\t' || c == '\r' || c == '\n';
}

/* The file's text without white space at its ends. */
static err_t take(struct bearer *bearer, const struct bytes *text)
{
    size_t begin = 0, end = text->len;
    while (end > begin && is_blank(text->data[end - 1]))
        end--;
    while (begin < end && is_blank(text->data[begin]))
        begin++;
    if (begin == end || end - begin > BEARER_LEN_MAX)
        return err_new(ERR_INVALID, "'%s': %zu bytes; a key has 1 to %d", bearer->path, end - begin,
                       BEARER_LEN_MAX);
    for (size_t i = begin; i < end; i++)
        if (text->data[i] <= ' ' || text->data[i] >= 0x7f)
            return err_new(ERR_INVALID,
                           "'%s': byte %zu is none of a key; printable ASCII without "
                           "spaces is allowed",
                           bearer->path, i);
    bearer->len = end - begin;
    memcpy(bearer->key, text->data + begin, bearer->len);
    bearer->key[bearer->len] = 0;
    return OK;
}

static err_t read_file(struct bearer *bearer)
{
    SCOPED_VALUE(bytes) text = {0};
    bearer->len = 0;
    if (bearer->seen.st_mode & S_IRWXO)
        return err_new(ERR_DENIED, "'%s' is open to others (mode %03o); allowed: 0600 or 0640",
                       bearer->path, (unsigned)bearer->seen.st_mode & 0777);
    err_t failed = file_read(bearer->path, 2 * BEARER_LEN_MAX, &text);
    if (!err_failed(failed))
        failed = take(bearer, &text);
    if (text.data)
        explicit_bzero(text.data, text.len);
    return failed;
}

/* Looks before the reading, so that a change under the reading is found at the next look. */
static err_t look(struct bearer *bearer, bool *ret_changed)
{
    struct stat now = {0};
    if (stat(bearer->path, &now) != 0)
        now = (struct stat){0};
    *ret_changed = !file_is_unchanged(&now, &bearer->seen);
    if (!*ret_changed && bearer->len)
        return OK;
    bearer->seen = now;
    return read_file(bearer);
}

err_t bearer_header(struct bearer *bearer, struct bytes *ret)
{
    bool changed;
    err_t failed = look(bearer, &changed);
    if (err_failed(failed)) {
        err_t fault = answer_fault(ANSWER_NO_KEY, "%s", err_message(failed));
        err_free(failed);
        return fault;
    }
    if (changed)
        log_info("bearer key read again", "file=\"%s\"", bearer->path);
    bytes_printf(ret, "Authorization: Bearer %s", bearer->key);
    return OK;
}

err_t bearer_open(const char *path, struct bearer **ret)
{
    SCOPED(bearer) bearer = mem_new(sizeof *bearer);
    bool changed;
    bearer->path = mem_string(path);
    TRY(look(bearer, &changed));
    *ret = STEAL(bearer);
    return OK;
}

void bearer_free(struct bearer *bearer)
{
    if (!bearer)
        return;
    explicit_bzero(bearer->key, sizeof bearer->key);
    mem_free(bearer->path);
    mem_free(bearer);
}
