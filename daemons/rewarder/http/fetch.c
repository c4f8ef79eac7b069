#include "rewarder/http/fetch.h"
#include "base/clock.h"
#include "base/mem.h"
#include "rewarder/answer_fault.h"
#include "rewarder/circuit.h"
#include "rewarder/http/bearer.h"
#include "rewarder/http/verdict.h"
#include "svc/metrics.h"
#include "svc/worker.h"
#include <math.h>
#include <stdbool.h>
#include <string.h>

enum { PAUSE_MS = 100, PAUSE_MS_MOST = 10000, POLL_MS_MOST = 500, MAILBOX = 4096 };
enum { HEAD_BYTES_MOST = 64 << 10 };

/* A try under way. */
struct fetch_slot {
    struct fetcher *fetcher;
    CURL *easy;
    struct fetch *fetch; // NULL: it is free
    struct curl_slist *headers;
    double begun_s;
    struct fetch_verdict verdict;
};

struct fetcher {
    struct fetcher_options options;
    char *url, *shown, *ca_file; // shown: without what may be secret
    struct bearer *bearer;
    struct worker *worker;
    CURLM *multi;
    bool stopped;
    size_t busy;
    struct fetch_slot *slot;          // (concurrency)
    struct fetch *ready, **ready_end; // in the order they came
    struct fetch *paused;             // before another try
};

struct errand {
    void (*fn)(void *state, void *arg);
    void *state, *arg;
};

static struct metric seconds =
    METRIC_HISTOGRAM("rlhfd_fetch_seconds", "one try of a request to a server outside", 0.001, 0.01,
                     0.1, 1, 10, 100);
static struct metric again =
    METRIC_COUNTER("rlhfd_fetch_retries_total", "requests to servers outside that were sent again");
static struct metric *const rows[] = {&seconds, &again};

/* ---- lists */

static void link_at(struct fetch *fetch, struct fetch **at)
{
    fetch->prev = at;
    fetch->next = *at;
    if (fetch->next)
        fetch->next->prev = &fetch->next;
    *at = fetch;
}

static void unlink_fetch(struct fetcher *fetcher, struct fetch *fetch)
{
    if (fetch->next)
        fetch->next->prev = fetch->prev;
    else if (fetcher->ready_end == &fetch->next)
        fetcher->ready_end = fetch->prev;
    *fetch->prev = fetch->next;
    fetch->prev = NULL;
    fetch->next = NULL;
}

static void make_ready(struct fetcher *fetcher, struct fetch *fetch)
{
    link_at(fetch, fetcher->ready_end);
    fetcher->ready_end = &fetch->next;
}

/* ---- a try's end */

static double pause_s(const struct fetcher *fetcher, const struct fetch *fetch)
{
    const int64_t first_ms = fetcher->options.pause_ms ? fetcher->options.pause_ms : PAUSE_MS;
    return circuit_pause_s(fetch->salt, (uint32_t)fetch->tried - 1, (double)first_ms,
                           PAUSE_MS_MOST);
}

/* Takes why. */
static void end_try(struct fetcher *fetcher, struct fetch *fetch, err_t why)
{
    const double begins_s = clock_s() + (fetch->tried ? pause_s(fetcher, fetch) : 0);
    if (!err_failed(why) || !err_is_transient(why) || fetch->tried >= fetcher->options.tries ||
        begins_s >= fetch->due_s) {
        if (fetch->tried > 1)
            why = err_wrap(why, "try %lld of %lld", (long long)fetch->tried,
                           (long long)fetcher->options.tries);
        fetch->done(fetch, why);
        return;
    }
    err_free(why);
    metric_add(&again, 1);
    fetch->begins_s = begins_s;
    link_at(fetch, &fetcher->paused);
}

static void leave_slot(struct fetch_slot *slot)
{
    curl_multi_remove_handle(slot->fetcher->multi, slot->easy);
    curl_slist_free_all(slot->headers);
    slot->headers = NULL;
    slot->fetch->slot = NULL;
    slot->fetch = NULL;
    slot->fetcher->busy--;
}

static void end_transfer(struct fetcher *fetcher, CURL *easy, CURLcode code)
{
    struct fetch_slot *slot = NULL;
    long status = 0;
    curl_easy_getinfo(easy, CURLINFO_PRIVATE, (char **)&slot);
    curl_easy_getinfo(easy, CURLINFO_RESPONSE_CODE, &status);
    struct fetch *fetch = slot->fetch;
    metric_observe(&seconds, clock_s() - slot->begun_s);
    err_t failed = fetch_verdict(&slot->verdict, code, status);
    if (!err_failed(failed))
        failed = fetch->read(fetch, slot->verdict.body.data, slot->verdict.body.len);
    leave_slot(slot);
    end_try(fetcher, fetch, err_wrap(failed, "%s", fetcher->shown));
}

/* ---- a try's beginning */

static err_t set_headers(struct fetch_slot *slot)
{
    SCOPED_VALUE(bytes) key = {0};
    static const char *const fixed[] = {"Content-Type: application/json",
                                        "Accept: application/json", "Expect:"};
    for (size_t i = 0; i < sizeof fixed / sizeof *fixed; i++)
        slot->headers = curl_slist_append(slot->headers, fixed[i]);
    if (slot->fetcher->bearer) {
        TRY(bearer_header(slot->fetcher->bearer, &key));
        slot->headers = curl_slist_append(slot->headers, (char *)key.data);
        explicit_bzero(key.data, key.len);
    }
    curl_easy_setopt(slot->easy, CURLOPT_HTTPHEADER, slot->headers);
    return OK;
}

static void set_fixed(struct fetch_slot *slot)
{
    const struct fetcher *fetcher = slot->fetcher;
    CURL *easy = slot->easy;
    curl_easy_setopt(easy, CURLOPT_PRIVATE, slot);
    curl_easy_setopt(easy, CURLOPT_URL, fetcher->url);
    curl_easy_setopt(easy, CURLOPT_PROTOCOLS_STR, "http,https");
    curl_easy_setopt(easy, CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_1_1);
    curl_easy_setopt(easy, CURLOPT_PROXY, "");
    curl_easy_setopt(easy, CURLOPT_FOLLOWLOCATION, 0L);
    curl_easy_setopt(easy, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(easy, CURLOPT_QUICK_EXIT, 1L);        // a resolver that hangs is left behind
    curl_easy_setopt(easy, CURLOPT_CA_CACHE_TIMEOUT, 60L); // ca_file may be replaced
    curl_easy_setopt(easy, CURLOPT_SSLVERSION, (long)CURL_SSLVERSION_TLSv1_2);
    if (*fetcher->ca_file)
        curl_easy_setopt(easy, CURLOPT_CAINFO, fetcher->ca_file);
    curl_easy_setopt(easy, CURLOPT_ERRORBUFFER, slot->verdict.why);
    curl_easy_setopt(easy, CURLOPT_WRITEFUNCTION, fetch_verdict_body);
    curl_easy_setopt(easy, CURLOPT_WRITEDATA, &slot->verdict);
    curl_easy_setopt(easy, CURLOPT_HEADERFUNCTION, fetch_verdict_header);
    curl_easy_setopt(easy, CURLOPT_HEADERDATA, &slot->verdict);
}

static err_t begin_try(struct fetch_slot *slot, struct fetch *fetch, double now_s)
{
    const double left_ms = (fetch->due_s - now_s) * 1000;
    const double most_ms = fmin((double)slot->fetcher->options.timeout_ms, left_ms);
    if (most_ms < 1)
        return answer_fault(ANSWER_LATE, "no time was left to begin");
    if (!slot->easy) {
        slot->easy = curl_easy_init();
        if (!slot->easy)
            return err_new(ERR_EXHAUSTED, "libcurl has no memory");
        set_fixed(slot);
    }
    TRY(set_headers(slot));
    fetch_verdict_begin(&slot->verdict, HEAD_BYTES_MOST, slot->fetcher->options.answer_bytes_most,
                        most_ms);
    curl_easy_setopt(slot->easy, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)fetch->body_len);
    curl_easy_setopt(slot->easy, CURLOPT_POSTFIELDS, fetch->body);
    curl_easy_setopt(slot->easy, CURLOPT_TIMEOUT_MS, (long)most_ms);
    slot->begun_s = now_s;
    if (curl_multi_add_handle(slot->fetcher->multi, slot->easy) != CURLM_OK)
        return err_new(ERR_EXHAUSTED, "libcurl took no other request");
    slot->fetch = fetch;
    fetch->slot = slot;
    slot->fetcher->busy++;
    return OK;
}

static struct fetch_slot *free_slot(struct fetcher *fetcher)
{
    for (int64_t i = 0; i < fetcher->options.concurrency; i++)
        if (!fetcher->slot[i].fetch)
            return &fetcher->slot[i];
    return NULL;
}

static void begin_ready(struct fetcher *fetcher)
{
    const double now_s = clock_s();
    for (struct fetch *fetch = fetcher->paused, *next; fetch; fetch = next) {
        next = fetch->next;
        if (fetch->begins_s > now_s)
            continue;
        unlink_fetch(fetcher, fetch);
        make_ready(fetcher, fetch);
    }
    while (fetcher->ready && fetcher->busy < (size_t)fetcher->options.concurrency) {
        struct fetch *fetch = fetcher->ready;
        struct fetch_slot *slot = free_slot(fetcher);
        unlink_fetch(fetcher, fetch);
        fetch->tried++;
        err_t failed = begin_try(slot, fetch, now_s);
        if (!err_failed(failed))
            continue;
        curl_slist_free_all(slot->headers);
        slot->headers = NULL;
        end_try(fetcher, fetch, err_wrap(failed, "%s", fetcher->shown));
    }
}

/* ---- the thread */

static int64_t wait_ms(const struct fetcher *fetcher)
{
    const double now_s = clock_s();
    double least_ms = POLL_MS_MOST;
    for (const struct fetch *fetch = fetcher->paused; fetch; fetch = fetch->next)
        least_ms = fmin(least_ms, (fetch->begins_s - now_s) * 1000);
    return (int64_t)ceil(fmax(least_ms, 0));
}

/* The worker's idle: until a post comes, or there is nothing to wait for. */
static int64_t work(void *state)
{
    struct fetcher *fetcher = state;
    int running, left;
    if (fetcher->stopped)
        return -1;
    begin_ready(fetcher);
    curl_multi_perform(fetcher->multi, &running);
    for (CURLMsg *told; (told = curl_multi_info_read(fetcher->multi, &left));)
        if (told->msg == CURLMSG_DONE)
            end_transfer(fetcher, told->easy_handle, told->data.result);
    if (!fetcher->busy && !fetcher->paused && !fetcher->ready)
        return -1;
    if (!fetcher->ready || fetcher->busy == (size_t)fetcher->options.concurrency)
        curl_multi_poll(fetcher->multi, NULL, 0, (int)wait_ms(fetcher), NULL);
    return 0;
}

static void run_errand(void *none, void *arg)
{
    struct errand errand = *(struct errand *)arg;
    (void)none;
    mem_free(arg);
    errand.fn(errand.state, errand.arg);
}

static void set_stopped(void *state, void *none)
{
    (void)none;
    ((struct fetcher *)state)->stopped = true;
}

void fetcher_run(struct fetcher *fetcher, void (*fn)(void *state, void *arg), void *state,
                 void *arg)
{
    struct errand *errand = mem_new(sizeof *errand);
    *errand = (struct errand){fn, state, arg};
    if (!worker_push(fetcher->worker, run_errand, errand))
        mem_free(errand); // the fetcher ends
    curl_multi_wakeup(fetcher->multi);
}

void fetch_start(struct fetcher *fetcher, struct fetch *fetch)
{
    fetch->slot = NULL;
    fetch->tried = 0;
    make_ready(fetcher, fetch);
}

void fetch_cancel(struct fetcher *fetcher, struct fetch *fetch)
{
    if (fetch->slot)
        leave_slot(fetch->slot);
    else if (fetch->prev)
        unlink_fetch(fetcher, fetch);
}

/* ---- begin and end */

err_t fetcher_open(const struct fetcher_options *options, struct fetcher **ret)
{
    metrics_register(rows, sizeof rows / sizeof *rows);
    answer_faults_register();
    SCOPED_MEM char *shown = NULL;
    TRY(fetch_url_check(options->url, &shown));
    if (curl_global_init(CURL_GLOBAL_DEFAULT) != CURLE_OK)
        return err_new(ERR_INTERNAL, "libcurl does not begin");
    SCOPED(fetcher) fetcher = mem_new(sizeof *fetcher);
    fetcher->options = *options;
    fetcher->url = mem_string(options->url);
    fetcher->shown = STEAL(shown);
    fetcher->ca_file = mem_string(options->ca_file);
    fetcher->ready_end = &fetcher->ready;
    TRY(fetch_ca_check(options->ca_file, options->url));
    if (*options->key_file)
        TRY(err_wrap(bearer_open(options->key_file, &fetcher->bearer), "key_file"));
    fetcher->slot = mem_array((size_t)options->concurrency, sizeof *fetcher->slot);
    for (int64_t i = 0; i < options->concurrency; i++)
        fetcher->slot[i].fetcher = fetcher;
    fetcher->multi = curl_multi_init();
    if (!fetcher->multi)
        return err_new(ERR_EXHAUSTED, "libcurl has no memory");
    curl_multi_setopt(fetcher->multi, CURLMOPT_MAXCONNECTS, (long)options->concurrency);
    const struct worker_options worker = {.name = options->name,
                                          .capacity = MAILBOX,
                                          .cpus = options->cpus,
                                          .state = fetcher,
                                          .idle = work,
                                          .heartbeats = true};
    TRY(worker_start(&worker, &fetcher->worker));
    *ret = STEAL(fetcher);
    return OK;
}

void fetcher_stop(struct fetcher *fetcher)
{
    if (!fetcher->worker)
        return;
    fetcher_run(fetcher, set_stopped, fetcher, NULL);
    worker_free(fetcher->worker);
    fetcher->worker = NULL;
}

void fetcher_free(struct fetcher *fetcher)
{
    if (!fetcher)
        return;
    fetcher_stop(fetcher);
    for (int64_t i = 0; fetcher->slot && i < fetcher->options.concurrency; i++) {
        struct fetch_slot *slot = &fetcher->slot[i];
        if (slot->fetch)
            leave_slot(slot);
        curl_easy_cleanup(slot->easy);
        fetch_verdict_done(&slot->verdict);
    }
    curl_multi_cleanup(fetcher->multi);
    bearer_free(fetcher->bearer);
    mem_free(fetcher->slot);
    mem_free(fetcher->url);
    mem_free(fetcher->shown);
    mem_free(fetcher->ca_file);
    mem_free(fetcher);
}
