#include "learner/offline/ledger.h"
#include "base/file.h"
#include "base/json.h"
#include "base/lines.h"
#include "base/mem.h"
#include <inttypes.h>
#include <string.h>

enum { LEDGER_MAX_BYTES = 1 << 30 };

struct ledger {
    struct lines *lines;
    struct bytes text; // as it was opened: whole lines
    size_t *at;        // (before) where each one begins
    uint64_t before, versions;
};

static err_t check_line(const struct ledger *ledger, const char *path, size_t end)
{
    const size_t at = ledger->at[ledger->before];
    SCOPED_JSON json_t *line = json_loadb((const char *)ledger->text.data + at, end - at, 0, NULL);
    int64_t version;
    SCOPED_MEM char *name = mem_printf("%s:%" PRIu64, path, ledger->before + 1);
    if (!line)
        return err_new(ERR_DATA_LOSS, "%s: the line is damaged", name);
    TRY(json_get_int(line, name, "version", 1, INT64_MAX, &version));
    if ((uint64_t)version != ledger->before + 1)
        return err_new(ERR_DATA_LOSS, "%s: version %" PRId64 " stands here; %" PRIu64 " is due",
                       name, version, ledger->before + 1);
    return OK;
}

static err_t read_lines(struct ledger *ledger, const char *path)
{
    const char *data = (const char *)ledger->text.data;
    size_t lines = 0;
    for (size_t i = 0; i < ledger->text.len; i++)
        lines += data[i] == '\n';
    ledger->at = mem_array(lines + 1, sizeof *ledger->at);
    for (size_t i = 0; i < ledger->text.len; i++) {
        if (data[i] != '\n')
            continue;
        TRY(check_line(ledger, path, i));
        ledger->at[++ledger->before] = i + 1;
    }
    ledger->versions = ledger->before;
    return OK;
}

err_t ledger_open(const char *path, struct ledger **ret)
{
    SCOPED(ledger) ledger = mem_new(sizeof *ledger);
    if (file_exists(path))
        TRY(file_read(path, LEDGER_MAX_BYTES, &ledger->text));
    TRY(read_lines(ledger, path));
    const size_t whole = ledger->at[ledger->before];
    if (whole < ledger->text.len) // torn
        TRY(file_write(path, ledger->text.data, whole));
    TRY(lines_open(path, &ledger->lines));
    *ret = STEAL(ledger);
    return OK;
}

uint64_t ledger_versions(const struct ledger *ledger)
{
    return ledger->versions;
}

static char *line_of(uint64_t version, uint64_t round, const struct trainee_digests *digests)
{
    SCOPED_JSON json_t *line =
        json_pack("{s:I, s:I}", "version", (json_int_t)version, "round", (json_int_t)round);
    for (uint32_t i = 0; i < digests->count; i++) {
        char text[DIGEST_TEXT];
        json_object_set_new(line, digests->at[i].name,
                            json_string(digest_text(&digests->at[i].weights, text)));
    }
    return json_dumps(line, JSON_COMPACT);
}

/* Lines are compared as they are written. */
static err_t compare(const struct ledger *ledger, uint64_t version, const char *line)
{
    const size_t at = ledger->at[version - 1], len = ledger->at[version] - 1 - at;
    const char *had = (const char *)ledger->text.data + at;
    if (strlen(line) == len && memcmp(line, had, len) == 0)
        return OK;
    return err_new(ERR_DATA_LOSS,
                   "%s: version %" PRIu64
                   " was made as %.*s and is %s now: training did not repeat; the machine, the "
                   "build or a file that training reads has changed",
                   lines_path(ledger->lines), version, (int)len, had, line);
}

err_t ledger_note(struct ledger *ledger, uint64_t version, uint64_t round,
                  const struct trainee_digests *digests)
{
    SCOPED_MEM char *line = line_of(version, round, digests);
    if (version <= ledger->before)
        return compare(ledger, version, line);
    if (version <= ledger->versions)
        return OK; // of this process
    ledger->versions = version;
    return lines_put(ledger->lines, line);
}

err_t ledger_sync(struct ledger *ledger)
{
    return lines_sync(ledger->lines);
}

void ledger_free(struct ledger *ledger)
{
    if (!ledger)
        return;
    lines_free(ledger->lines);
    bytes_done(&ledger->text);
    mem_free(ledger->at);
    mem_free(ledger);
}
