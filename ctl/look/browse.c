/* open: the pages of a run's daemons for a browser on this machine. A browser has no certificate of
 * the run, so this process asks for it, with the keys of the context. The address that it prints
 * has a secret in it: other users of the machine and other pages in the browser do not know it. */
#include "base/clock.h"
#include "base/env.h"
#include "base/mem.h"
#include "ctl/steer/admin_call.h"
#include "ctl/words/command.h"
#include "svc/http.h"
#include "svc/http_get.h"
#include <signal.h>
#include <stdio.h>
#include <string.h>

enum { PAGE_MS = 10000, STATE_MS = 2000, INDEX_MS = 8000, SECRET_BYTES = 16, BAD_GATEWAY = 502 };
#define TEXT_PLAIN "text/plain; charset=utf-8"

struct opened {
    const struct target_flags *flags;
    const struct security *security;
};

/* ---- pages, on the server's thread */

static void put_html(struct bytes *ret, const char *text)
{
    for (; *text && *text != '\n'; text++)
        switch (*text) {
        case '<':
            bytes_text(ret, "&lt;");
            break;
        case '>':
            bytes_text(ret, "&gt;");
            break;
        case '&':
            bytes_text(ret, "&amp;");
            break;
        case '"':
            bytes_text(ret, "&quot;");
            break;
        default:
            bytes_u8(ret, (uint8_t)*text);
        }
}

static err_t ask(const struct opened *opened, const struct target_daemon *daemon, const char *path,
                 int64_t timeout_ms, struct http_got *ret)
{
    return http_get(&(struct http_get_options){.address = daemon->metrics,
                                               .path = path,
                                               .security = opened->security,
                                               .timeout_ms = timeout_ms},
                    ret);
}

static void put_state(const struct opened *opened, const struct target_daemon *daemon,
                      int64_t left_ms, struct bytes *ret)
{
    SCOPED_VALUE(http_got) got = {0};
    if (left_ms <= 0) {
        bytes_text(ret, "not asked: the others took too long");
        return;
    }
    err_t failed = ask(opened, daemon, "/readyz", left_ms < STATE_MS ? left_ms : STATE_MS, &got);
    if (err_failed(failed))
        put_html(ret, err_message(failed));
    else if (got.body.len)
        put_html(ret, (const char *)got.body.data);
    err_free(failed);
}

static unsigned index_page(const struct opened *opened, const struct target *target,
                           struct bytes *ret)
{
    const int64_t until_ms = clock_ms() + INDEX_MS;
    bytes_text(ret, "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">"
                    "<title>rlhfd</title></head><body>\n<h1>");
    put_html(ret, target->run ? target->run : target->daemon[0].name);
    bytes_text(ret, "</h1>\n<table>\n<tr><th>daemon<th>state<th>pages\n");
    for (size_t i = 0; i < target->count; i++) {
        bytes_text(ret, "<tr><td>");
        put_html(ret, target->daemon[i].name);
        bytes_text(ret, "<td>");
        put_state(opened, &target->daemon[i], until_ms - clock_ms(), ret);
        bytes_printf(ret,
                     "<td><a href=\"%zu/metrics\">metrics</a> <a href=\"%zu/readyz\">readyz</a>\n",
                     i, i);
    }
    bytes_text(ret, "</table>\n</body></html>\n");
    return 200;
}

static unsigned forward(const struct opened *opened, const struct target_daemon *daemon,
                        const char *path, struct bytes *ret)
{
    SCOPED_VALUE(http_got) got = {0};
    err_t failed = ask(opened, daemon, path, PAGE_MS, &got);
    if (err_failed(failed)) {
        bytes_printf(ret, "%s\n", err_message(failed));
        err_free(failed);
        return BAD_GATEWAY;
    }
    bytes_put(ret, got.body.data, got.body.len);
    return got.status;
}

/* "/" or "/N/metrics", "/N/readyz". The daemons are looked up each time: one that was started again
 * may listen elsewhere. Nothing that they send is shown as HTML. */
static unsigned page(void *arg, const char *path, const char **ret_type, struct bytes *ret)
{
    static const char *const pages[] = {"/metrics", "/readyz"};
    const struct opened *opened = arg;
    SCOPED(target) target = NULL;
    err_t failed = target_find(opened->flags, &target);
    if (err_failed(failed)) {
        bytes_printf(ret, "%s\n", err_message(failed));
        err_free(failed);
        return BAD_GATEWAY;
    }
    if (strcmp(path, "/") == 0 && target->count) {
        *ret_type = "text/html; charset=utf-8";
        return index_page(opened, target, ret);
    }
    for (size_t i = 0; i < target->count; i++) {
        SCOPED_MEM char *number = mem_printf("/%zu/", i);
        const size_t len = strlen(number) - 1;
        for (size_t k = 0; k < sizeof pages / sizeof *pages; k++)
            if (strncmp(path, number, len) == 0 && strcmp(path + len, pages[k]) == 0)
                return forward(opened, &target->daemon[i], pages[k], ret);
    }
    return 0;
}

/* ---- the command */

static err_t make_secret(char ret[2 * SECRET_BYTES + 1])
{
    uint8_t random[SECRET_BYTES];
    if (env()->random(random, sizeof random) != sizeof random)
        return err_new(ERR_UNAVAILABLE, "the system gives no random numbers");
    for (size_t i = 0; i < sizeof random; i++)
        snprintf(ret + 2 * i, 3, "%02x", random[i]);
    return OK;
}

static void on_signal(void *arg, int number)
{
    (void)number;
    loop_stop(arg);
}

static err_t serve(struct admin *admin, const struct target_flags *flags, long port)
{
    SCOPED(http) http = NULL;
    struct opened opened = {.flags = flags, .security = &admin->security};
    char secret[2 * SECRET_BYTES + 1];
    SCOPED_MEM char *address = mem_printf("127.0.0.1:%ld", port);
    TRY(make_secret(secret));
    TRY(http_start(&(struct http_options){.address = address,
                                          .other = page,
                                          .arg = &opened,
                                          .guard = {.loopback = true, .secret = secret}},
                   &http));
    loop_on_signal(admin->loop, on_signal, admin->loop);
    printf("http://%s/%s/\n", http_address(http), secret);
    if (fflush(stdout))
        return err_new(ERR_UNAVAILABLE, "cannot write the address");
    fputs("Ctrl-C ends\n", stderr);
    return loop_run(admin->loop);
}

err_t command_open(int argc, char **argv)
{
    struct admin_flags flags = {0};
    const char *port_text = NULL;
    long port = 0;
    bool helped;
    const struct argument_flag rows[] = {
        {"port", "N", "of this machine (0: any free one)", .text = &port_text}, ADMIN_FLAGS(flags)};
    const struct arguments arguments = {
        .usage = "open",
        .purpose =
            "Shows state and metrics of a run's daemons to a browser on this machine: prints an address on\n"
            "127.0.0.1 and passes requests on, with the certificate of the context. The address is a secret.",
        .examples = "  rlhfctl open --run RUN\n  rlhfctl open --context cluster --port 8080",
        .flags = rows,
        .flags_count = sizeof rows / sizeof *rows};
    TRY(arguments_read(&arguments, argc, argv, &helped));
    if (helped)
        return OK;
    if (port_text)
        TRY(flag_int("--port", port_text, 0, UINT16_MAX, &port));
    SCOPED(admin) admin = NULL;
    signal(SIGPIPE, SIG_IGN); // a browser or a daemon that leaves is no end of it
    TRY(admin_open(&flags, &admin));
    return serve(admin, &flags.target, port);
}
