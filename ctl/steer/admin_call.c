#include "ctl/steer/admin_call.h"
#include "admin/admin_client.h"
#include "admin/face.h"
#include "base/env.h"
#include "base/file.h"
#include "base/mem.h"
#include "base/printable.h"
#include "ctl/words/command.h"
#include "ctl/words/output.h"
#include <pwd.h>
#include <string.h>

enum { TIMEOUT_S = 10 };

/* DIR itself has the keys, or holds those of an operator. */
static char *directory_of_keys(const char *directory)
{
    static const char *const names[] = {"", "admin", "viewer"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        SCOPED_MEM char *at = *names[i] ? file_join(directory, names[i]) : mem_string(directory);
        SCOPED_MEM char *certificate = file_join(at, "tls.crt");
        if (file_exists(certificate))
            return STEAL(at);
    }
    return mem_string(directory); // whose opening says what is missing
}

err_t admin_secure(struct admin *admin)
{
    admin->security.insecure = true; // whoever runs it names the address
    if (!admin->target->tls)
        return OK;
    SCOPED_MEM char *directory = directory_of_keys(admin->target->tls);
    TRY(err_wrap(tls_keys_open(directory, &admin->security.keys), "--tls"));
    struct tls_set *set = tls_keys_now(admin->security.keys, NULL);
    admin->tls_run = mem_string(tls_set_identity(set)->run);
    admin->security.run = admin->tls_run;
    tls_set_unref(set);
    return OK;
}

err_t admin_open(const struct admin_flags *flags, struct admin **ret)
{
    SCOPED(admin) admin = mem_new(sizeof *admin);
    long timeout_s = TIMEOUT_S;
    TRY(output_format(flags->output, &admin->json));
    if (flags->timeout)
        TRY(flag_int("--timeout", flags->timeout, 1, 3600, &timeout_s));
    admin->timeout_ms = 1000 * timeout_s;
    TRY(target_find(&flags->target, &admin->target));
    TRY(admin_secure(admin));
    TRY(loop_new(&admin->loop));
    TRY(rpc_new(admin->loop, &admin->rpc));
    *ret = STEAL(admin);
    return OK;
}

void admin_free(struct admin *admin)
{
    if (!admin)
        return;
    for (size_t i = 0; admin->target && i < admin->target->count; i++)
        rpc_channel_free(admin->channel[i]);
    if (admin->rpc)
        rpc_free(admin->rpc);
    if (admin->loop)
        loop_free(admin->loop);
    target_free(admin->target);
    security_done(&admin->security);
    mem_free(admin->tls_run);
    mem_free(admin);
}

err_t admin_channel(struct admin *admin, size_t daemon, struct rpc_channel **ret)
{
    struct rpc_channel **channel = &admin->channel[daemon];
    if (!*channel)
        TRY(rpc_channel_new(
            admin->rpc,
            &(struct rpc_channel_options){.target = admin->target->daemon[daemon].address,
                                          .security = &admin->security,
                                          .servers = CALLER_DAEMONS,
                                          .max_recv_bytes = ADMIN_REPLY_MAX_BYTES,
                                          .reconnect_max_ms = 1000},
            channel));
    *ret = *channel;
    return OK;
}

void admin_look_again(struct admin *admin, size_t daemon)
{
    if (!target_look_again(admin->target, daemon))
        return;
    rpc_channel_free(admin->channel[daemon]);
    admin->channel[daemon] = NULL;
}

/* ---- one call */

err_t admin_said(const struct target_daemon *daemon, const char *method, err_t why)
{
    if (!err_failed(why))
        return OK;
    SCOPED_MEM char *prefix = mem_printf("/rlhfd.admin.v1.%s of %s: ", method, daemon->address);
    const bool has = strncmp(err_message(why), prefix, strlen(prefix)) == 0;
    const bool named = strcmp(daemon->name, daemon->address) != 0;
    const enum err_code code = err_code(why) == ERR_INVALID ? ERR_RANGE : err_code(why);
    err_t e =
        err_new(code, "%s%s%s%s: %s", daemon->name, named ? " (" : "", named ? daemon->address : "",
                named ? ")" : "", err_message(why) + (has ? strlen(prefix) : 0));
    if (err_field_name(why))
        e = err_field(e, err_field_name(why), err_field_allowed(why));
    if (err_reason_word(why))
        e = err_reason(e, err_reason_word(why));
    err_free(why);
    return e;
}

struct waiting {
    struct loop *loop;
    bool exact; // for JSON
    json_t *reply;
    err_t failed;
};

static void on_reply(void *arg, const json_t *message)
{
    struct waiting *waiting = arg;
    waiting->reply = json_incref((json_t *)message);
    if (!waiting->exact)
        output_printable(waiting->reply);
}

static void on_close(void *arg, err_t why)
{
    struct waiting *waiting = arg;
    waiting->failed = why;
    loop_stop(waiting->loop);
}

err_t admin_call_daemon(struct admin *admin, size_t daemon, const char *method, json_t *request,
                        int64_t wait_ms, json_t **ret)
{
    SCOPED_JSON json_t *owned = request;
    struct rpc_channel *channel = NULL;
    struct waiting waiting = {.loop = admin->loop, .exact = admin->json};
    const struct rpc_admin_handlers handlers = {.message = on_reply, .close = on_close};
    TRY(admin_channel(admin, daemon, &channel));
    TRY(rpc_admin_ask(channel, method, owned, admin->timeout_ms + wait_ms, &handlers, &waiting,
                      NULL));
    TRY(loop_run(admin->loop));
    SCOPED_JSON json_t *reply = waiting.reply;
    TRY(admin_said(&admin->target->daemon[daemon], method, waiting.failed));
    if (ret)
        *ret = STEAL(reply);
    return OK;
}

err_t admin_call(struct admin *admin, const char *method, json_t *request, json_t **ret)
{
    if (admin->target->learner < admin->target->count)
        return admin_call_daemon(admin, admin->target->learner, method, request, 0, ret);
    json_decref(request);
    return err_new(ERR_NOT_FOUND, "'%s': endpoints.json names no learner", admin->target->run);
}

static void stop(void *arg)
{
    loop_stop(arg);
}

void admin_sleep(struct admin *admin, int64_t ms)
{
    SCOPED(loop_timer) timer = loop_timer_new(admin->loop, stop, admin->loop);
    loop_timer_start(timer, ms, 0);
    err_free(loop_run(admin->loop));
}

/* ---- requests and answers */

json_t *admin_signed(const char *reason)
{
    uint64_t id[2] = {0};
    char text[40];
    const struct passwd *user = getpwuid(getuid());
    if (env()->random(id, sizeof id) != sizeof id)
        id[0] = (uint64_t)getpid(); // a kernel without random numbers yet
    snprintf(text, sizeof text, "%016llx%016llx", (unsigned long long)id[0],
             (unsigned long long)id[1]);
    const char *author = user && utf8_is(user->pw_name) ? user->pw_name : "";
    return json_pack("{s:s, s:s, s:s}", "request_id", text, "author", author, "reason",
                     reason ? reason : "");
}

const char *answer_text(const json_t *object, const char *key)
{
    const char *text = json_string_value(json_object_get(object, key));
    return text ? text : "";
}

double answer_number(const json_t *object, const char *key)
{
    return json_number_value(json_object_get(object, key));
}

int64_t answer_whole(const json_t *object, const char *key)
{
    return json_integer_value(json_object_get(object, key));
}

bool answer_flag(const json_t *object, const char *key)
{
    return json_is_true(json_object_get(object, key));
}
