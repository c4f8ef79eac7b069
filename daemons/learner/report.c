#include "learner/report.h"
#include "base/bytes.h"
#include "base/file.h"
#include "base/json.h"
#include "base/mem.h"
#include <errno.h>
#include <math.h>
#include <string.h>

struct report {
    char *path;
    FILE *file;
    double time_offset;
};

enum { REPORT_MAX_BYTES = 1 << 30 };

/* Length of the leading lines whose round is below first_round. */
static size_t kept_length(struct report *report, const struct bytes *text, uint64_t first_round)
{
    size_t at = 0;
    while (at < text->len) {
        const char *line = (const char *)text->data + at;
        const char *end = memchr(line, '\n', text->len - at);
        SCOPED_JSON json_t *object = end ? json_loadb(line, (size_t)(end - line), 0, NULL) : NULL;
        const json_t *round = json_object_get(object, "round");
        if (!json_is_integer(round) || (uint64_t)json_integer_value(round) >= first_round)
            break;
        report->time_offset = json_number_value(json_object_get(object, "time_s"));
        at += (size_t)(end - line) + 1;
    }
    return at;
}

err_t report_open(const char *path, uint64_t first_round, struct report **ret)
{
    SCOPED(report) report = mem_new(sizeof *report);
    report->path = mem_string(path);
    SCOPED_VALUE(bytes) text = {0};
    if (file_exists(path))
        TRY(file_read(path, REPORT_MAX_BYTES, &text));
    size_t kept = kept_length(report, &text, first_round);
    if (kept < text.len || !file_exists(path))
        TRY(file_write(path, text.data, kept));
    report->file = fopen(path, "ae");
    if (!report->file)
        return err_errno(errno, "cannot open '%s'", path);
    *ret = STEAL(report);
    return OK;
}

err_t report_round(struct report *report, const struct round_report *round)
{
    SCOPED_JSON json_t *object = json_object();
    json_object_set_new(object, "round", json_integer((json_int_t)round->round));
    json_object_set_new(object, "version", json_integer((json_int_t)round->version));
#define FIGURE_PUT(name, what)                                                                     \
    json_object_set_new(object, #name,                                                             \
                        isfinite(round->name) ? json_real(round->name) : json_null());
    ROUND_FIGURES(FIGURE_PUT)
#undef FIGURE_PUT
    json_object_set_new(object, "idle_cause",
                        json_string(round->idle_cause ? round->idle_cause : ""));
    SCOPED_MEM char *line = json_dumps(object, JSON_COMPACT | JSON_REAL_PRECISION(9));
    if (fprintf(report->file, "%s\n", line) < 0 || fflush(report->file))
        return err_errno(errno, "cannot write '%s'", report->path);
    return OK;
}

double report_time_offset(const struct report *report)
{
    return report->time_offset;
}

void report_free(struct report *report)
{
    if (!report)
        return;
    if (report->file)
        fclose(report->file);
    mem_free(report->path);
    mem_free(report);
}
