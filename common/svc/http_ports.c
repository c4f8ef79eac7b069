#include "svc/http_ports.h"
#include "base/heartbeat.h"
#include "base/log.h"
#include "base/mem.h"
#include "svc/address.h"
#include "svc/metrics.h"
#include <inttypes.h>
#include <pthread.h>
#include <string.h>

enum { STATUS_OK = 200, STATUS_NOT_READY = 503, PROBES = 2, PAGES = 3 };
#define TEXT_PLAIN "text/plain; charset=utf-8"

struct http_ports {
    struct http_page probe[PROBES], page[PAGES];
    int64_t stuck_ms;
    struct tokens *tokens;
    struct http *probes, *metrics;
    pthread_mutex_t mutex;
    bool ready;  // this and the next under the mutex
    char *state; // why it is not ready, or what it waits for; NULL: nothing
};

/* Whoever asks is about to end the process: the log keeps why. */
static bool is_stuck(const struct http_ports *ports, struct heartbeat *ret)
{
    if (!ports->stuck_ms || !heartbeat_late(ports->stuck_ms, ret))
        return false;
    log_limited(LOG_ERROR, 1, "stuck", "thread=%s silent_s=%" PRId64 " bound_s=%" PRId64, ret->name,
                ret->silent_ms / 1000, ports->stuck_ms / 1000);
    return true;
}

static unsigned probe_livez(void *arg, struct bytes *body)
{
    struct heartbeat late;
    const bool stuck = is_stuck(arg, &late);
    bytes_text(body, stuck ? "not ready\n" : "ok\n");
    return stuck ? STATUS_NOT_READY : STATUS_OK;
}

static unsigned page_livez(void *arg, struct bytes *body)
{
    struct heartbeat late;
    if (!is_stuck(arg, &late)) {
        bytes_text(body, "ok\n");
        return STATUS_OK;
    }
    bytes_printf(body, "the thread '%s' has made no step for %" PRId64 " s\n", late.name,
                 late.silent_ms / 1000);
    return STATUS_NOT_READY;
}

static unsigned probe_readyz(void *arg, struct bytes *body)
{
    struct http_ports *ports = arg;
    pthread_mutex_lock(&ports->mutex);
    const bool ready = ports->ready;
    pthread_mutex_unlock(&ports->mutex);
    bytes_text(body, ready ? "ok\n" : "not ready\n");
    return ready ? STATUS_OK : STATUS_NOT_READY;
}

static unsigned page_metrics(void *arg, struct bytes *body)
{
    (void)arg;
    metrics_render(body);
    return STATUS_OK;
}

static unsigned page_readyz(void *arg, struct bytes *body)
{
    struct http_ports *ports = arg;
    pthread_mutex_lock(&ports->mutex);
    const bool ready = ports->ready;
    const char *state = ports->state ? ports->state : "";
    bytes_printf(body, "%s%s%s\n", ready ? "ok" : "", ready && *state ? ": " : "", state);
    pthread_mutex_unlock(&ports->mutex);
    return ready ? STATUS_OK : STATUS_NOT_READY;
}

static bool speaks_tls(const struct http_ports_options *options)
{
    return options->security && options->security->keys;
}

err_t http_ports_open(const struct http_ports_options *options, struct http_ports **ret)
{
    SCOPED(http_ports) ports = mem_new(sizeof *ports);
    pthread_mutex_init(&ports->mutex, NULL);
    ports->state = mem_string("starting");
    ports->stuck_ms = options->stuck_ms;
    const struct http_page probe[PROBES] = {{"/livez", TEXT_PLAIN, probe_livez, ports},
                                            {"/readyz", TEXT_PLAIN, probe_readyz, ports}};
    const struct http_page page[PAGES] = {
        {"/metrics", "text/plain; version=0.0.4; charset=utf-8", page_metrics, ports},
        {"/readyz", TEXT_PLAIN, page_readyz, ports},
        {"/livez", TEXT_PLAIN, page_livez, ports}};
    memcpy(ports->probe, probe, sizeof probe);
    memcpy(ports->page, page, sizeof page);
    struct http_options probes = {
        .address = options->probes, .pages = ports->probe, .page_count = PROBES};
    struct http_options metrics = {
        .address = options->metrics, .pages = ports->page, .page_count = PAGES};
    TRY(err_wrap(address_check(options->metrics, options->security), "metrics"));
    if (options->tokens && *options->tokens)
        TRY(err_wrap(tokens_open(options->tokens, &ports->tokens), "metrics.tokens"));
    const bool loopback = address_is_loopback(options->metrics);
    metrics.guard = (struct http_guard){.tokens = ports->tokens,
                                        .certificates = speaks_tls(options) && !loopback,
                                        .loopback = loopback};
    metrics.security = options->security;
    TRY(http_start(&probes, &ports->probes));
    TRY(http_start(&metrics, &ports->metrics));
    *ret = STEAL(ports);
    return OK;
}

static void set_state(struct http_ports *ports, bool ready, const char *state)
{
    char *copy = mem_string(state);
    for (char *p = copy; p && *p; p++)
        if (*p == '\n')
            *p = ' ';
    pthread_mutex_lock(&ports->mutex);
    char *old = ports->state;
    ports->state = copy;
    ports->ready = ready;
    pthread_mutex_unlock(&ports->mutex);
    mem_free(old);
}

void http_ports_set_ready(struct http_ports *ports, const char *reason)
{
    set_state(ports, !reason, reason);
}

void http_ports_set_waiting(struct http_ports *ports, const char *why)
{
    set_state(ports, true, why);
}

const char *http_ports_probes(const struct http_ports *ports)
{
    return http_address(ports->probes);
}

const char *http_ports_metrics(const struct http_ports *ports)
{
    return http_address(ports->metrics);
}

void http_ports_free(struct http_ports *ports)
{
    if (!ports)
        return;
    http_free(ports->probes);
    http_free(ports->metrics);
    tokens_free(ports->tokens);
    pthread_mutex_destroy(&ports->mutex);
    mem_free(ports->state);
    mem_free(ports);
}
