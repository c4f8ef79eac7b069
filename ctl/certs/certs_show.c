/* certs show: who a certificate names, how long it is valid, and what is wrong with it. */
#include "base/clock.h"
#include "base/json.h"
#include "base/mem.h"
#include "base/scoped.h"
#include "ctl/certs/certs.h"
#include "ctl/words/command.h"
#include "ctl/words/output.h"
#include "tls/certificate_text.h"
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

struct shown {
    json_t *rows; // {"path", "identity", "hosts", "issuer", "from_ms", "until_ms", "error"}
    size_t count, wrong;
};

/* Takes why: OK is a certificate that can be used. */
static void add(struct shown *shown, const char *path, const struct certificate *one, err_t why)
{
    SCOPED_MEM char *message = err_failed(why) ? mem_string(err_message(why)) : NULL;
    json_array_append_new(shown->rows,
                          json_pack("{s:s, s:s, s:s, s:s, s:s, s:I, s:I, s:s?}", "path", path,
                                    "identity", one->identity, "hosts", one->hosts, "subject",
                                    one->subject, "issuer", one->issuer, "from_ms",
                                    (json_int_t)one->from_ms, "until_ms", (json_int_t)one->until_ms,
                                    "error", message));
    shown->count++;
    shown->wrong += err_failed(why);
    err_free(why);
}

static err_t check_time(const struct certificate *one)
{
    const int64_t now_ms = clock_wall_ms();
    if (now_ms < one->from_ms)
        return err_new(ERR_DENIED, "not valid yet");
    return now_ms > one->until_ms ? err_new(ERR_DENIED, "expired") : OK;
}

static err_t show_file(struct shown *shown, const char *path)
{
    SCOPED_VALUE(bytes) text = {0};
    SCOPED_VALUE(certificates) all = {0};
    TRY(file_read(path, CERTIFICATE_BYTES_MAX, &text));
    TRY(certificates_read(&text, path, &all));
    for (size_t i = 0; i < all.count; i++)
        add(shown, path, &all.at[i], check_time(&all.at[i]));
    return OK;
}

static err_t check_key_mode(const char *path)
{
    struct stat at;
    if (stat(path, &at) == 0 && at.st_mode & (S_IRWXO | S_IWGRP))
        return err_new(ERR_DENIED, "tls.key is open to others (mode %03o); allowed: 0600 or 0640",
                       (unsigned)at.st_mode & 0777);
    return OK;
}

/* Takes what is wrong with one holder for a row of its own. */
static err_t check_holder(const char *directory, const struct bytes *certificate,
                          const struct certificate *one)
{
    SCOPED_MEM char *key_path = file_join(directory, "tls.key");
    SCOPED_MEM char *roots_path = file_join(directory, "ca.crt");
    SCOPED_VALUE(bytes) key = {0};
    SCOPED_VALUE(bytes) roots = {0};
    TRY(check_time(one));
    TRY(file_read(key_path, CERTIFICATE_BYTES_MAX, &key));
    TRY(file_read(roots_path, CERTIFICATE_BYTES_MAX, &roots));
    TRY(certificate_check(certificate, &key, &roots, clock_wall_ms()));
    TRY(check_key_mode(key_path));
    return *one->identity ? OK : err_new(ERR_DENIED, "it has no URI, so its holder has no role");
}

static err_t show_holder(struct shown *shown, const char *directory)
{
    SCOPED_MEM char *path = file_join(directory, "tls.crt");
    SCOPED_VALUE(bytes) text = {0};
    SCOPED_VALUE(certificates) all = {0};
    err_t failed = file_read(path, CERTIFICATE_BYTES_MAX, &text);
    if (!err_failed(failed))
        failed = certificates_read(&text, path, &all);
    if (err_failed(failed))
        add(shown, path, &(struct certificate){"", "", "", ""}, failed);
    else
        add(shown, path, &all.at[0], check_holder(directory, &text, &all.at[0]));
    return OK;
}

static err_t show_directory(struct shown *shown, const char *directory)
{
    SCOPED_MEM char *roots = certs_path(directory, "ca", "ca.crt");
    SCOPED_MEM char *own = file_join(directory, "tls.crt");
    SCOPED_VALUE(file_names) holders = {0};
    if (file_exists(own))
        return show_holder(shown, directory);
    TRY(certs_holders(directory, &holders));
    if (file_exists(roots))
        TRY(show_file(shown, roots));
    for (size_t i = 0; i < holders.count; i++) {
        SCOPED_MEM char *one = file_join(directory, holders.at[i]);
        TRY(show_holder(shown, one));
    }
    if (!shown->count)
        return err_new(ERR_NOT_FOUND, "'%s' has no certificates; `rlhfctl certs init` makes some",
                       directory);
    return OK;
}

static void print_rows(const json_t *rows)
{
    SCOPED(table) table = table_new("FILE|IDENTITY|HOSTS|ISSUER|FROM|UNTIL|STATE");
    size_t i;
    json_t *row;
    json_array_foreach (rows, i, row) {
        const int64_t until_ms = json_integer_value(json_object_get(row, "until_ms"));
        const char *wrong = json_string_value(json_object_get(row, "error"));
        static const char *const texts[] = {"path", "identity", "hosts", "issuer"};
        for (size_t k = 0; k < sizeof texts / sizeof *texts; k++)
            table_cell(table, "%s", json_string_value(json_object_get(row, texts[k])));
        table_cell(table, "%s",
                   figure_time(json_integer_value(json_object_get(row, "from_ms"))).text);
        table_cell(table, "%s", figure_time(until_ms).text);
        if (wrong)
            table_cell(table, "%s", wrong);
        else
            table_cell(table, "valid for %s",
                       figure_seconds((double)(until_ms - clock_wall_ms()) / 1000).text);
    }
    table_print(table, stdout);
}

err_t command_certs_show(int argc, char **argv)
{
    const char *path, *output = NULL;
    bool helped, json;
    struct stat at;
    const struct argument_flag rows[] = {{"o", "FORMAT", "table, wide or json", .text = &output}};
    const struct arguments arguments = {
        .usage = "certs show DIR|FILE",
        .purpose =
            "Shows certificates: identity, hosts, issuer, validity, and whether those who trust DIR/NAME/ca.crt\n"
            "accept DIR/NAME/tls.crt. Exit status 1: one of them cannot be used.",
        .flags = rows,
        .flags_count = 1,
        .words = &path,
        .words_min = 1,
        .words_max = 1};
    TRY(arguments_read(&arguments, argc, argv, &helped));
    if (helped)
        return OK;
    TRY(output_format(output, &json));
    SCOPED_JSON json_t *all = json_pack("{s:[]}", "certificates");
    struct shown shown = {.rows = json_object_get(all, "certificates")};
    const bool directory = stat(path, &at) == 0 && S_ISDIR(at.st_mode);
    TRY(directory ? show_directory(&shown, path) : show_file(&shown, path));
    if (json)
        output_json(all);
    else
        print_rows(shown.rows);
    if (shown.wrong)
        return err_new(ERR_DATA_LOSS, "%zu of %zu certificates cannot be used", shown.wrong,
                       shown.count);
    return OK;
}
