#include "rpc/pace.h"
#include "base/clock.h"
#include "base/mem.h"
#include "rpc/call_state.h"
#include "svc/loop.h"

enum { TICK_MS = 10, BURST_S = 2 };

/* Calls of one connection that wait. */
struct lane {
    struct lane *next;
    uint32_t serial;
    struct rpc_call *first, **end;
};

struct pace {
    struct rpc *rpc;
    int per_s;
    void (*admit)(struct rpc_call *call);
    struct loop_timer *timer; // the loop's thread
    struct rpc_tag on_wait;
    int waking; // on_wait is on its way; rpc->mutex

    pthread_mutex_t mutex; // of what follows
    double tokens;
    int64_t at_ms;
    bool woken; // the timer runs, or will
    struct lane *lanes, **lanes_end;
};

static void refill(struct pace *pace)
{
    const int64_t now = clock_ms();
    const double most = (double)pace->per_s * BURST_S;
    pace->tokens += (double)(now - pace->at_ms) * pace->per_s / 1000;
    pace->tokens = pace->tokens > most ? most : pace->tokens;
    pace->at_ms = now;
}

/* Calls that their clients gave up hold memory of their connections until they leave. */
static void drop_over(struct pace *pace)
{
    for (struct lane **at = &pace->lanes; *at;) {
        struct lane *lane = *at;
        lane->end = &lane->first;
        while (*lane->end) {
            struct rpc_call *call = *lane->end;
            if (rpc_call_is_over(call)) {
                *lane->end = call->next_waiting;
                rpc_call_unref(call);
            } else {
                lane->end = &call->next_waiting;
            }
        }
        if (!lane->first) {
            *at = lane->next;
            mem_free(lane);
        } else {
            at = &lane->next;
        }
        pace->lanes_end = at;
    }
    if (!pace->lanes)
        pace->lanes_end = &pace->lanes;
}

/* The first lane's first call; the lane goes to the end. */
static struct rpc_call *take_first(struct pace *pace)
{
    struct lane *lane = pace->lanes;
    pace->lanes = lane->next;
    if (!pace->lanes)
        pace->lanes_end = &pace->lanes;
    struct rpc_call *call = lane->first;
    lane->first = call->next_waiting;
    lane->next = NULL;
    if (lane->first) {
        *pace->lanes_end = lane;
        pace->lanes_end = &lane->next;
    } else {
        mem_free(lane);
    }
    return call;
}

static struct rpc_call *take_turn(struct pace *pace)
{
    if (!pace->lanes || pace->tokens < 1)
        return NULL;
    pace->tokens--;
    return take_first(pace);
}

static void on_tick(void *arg)
{
    struct pace *pace = arg;
    pthread_mutex_lock(&pace->mutex);
    refill(pace);
    drop_over(pace);
    for (struct rpc_call *call; (call = take_turn(pace));) {
        pthread_mutex_unlock(&pace->mutex);
        pace->admit(call);
        pthread_mutex_lock(&pace->mutex);
    }
    pace->woken = pace->lanes != NULL;
    if (!pace->woken)
        loop_timer_stop(pace->timer);
    pthread_mutex_unlock(&pace->mutex);
}

static void on_wait(struct rpc_tag *tag, bool)
{
    struct pace *pace = CONTAINER(tag, struct pace, on_wait);
    loop_timer_start(pace->timer, TICK_MS, TICK_MS);
    rpc_count(pace->rpc, &pace->waking, -1);
}

/* mutex held. */
static void wait_in_lane(struct pace *pace, struct rpc_call *call)
{
    struct lane *lane = pace->lanes;
    while (lane && lane->serial != call->ticket.serial)
        lane = lane->next;
    if (!lane) {
        lane = mem_new(sizeof *lane);
        lane->serial = call->ticket.serial;
        lane->end = &lane->first;
        *pace->lanes_end = lane;
        pace->lanes_end = &lane->next;
    }
    *lane->end = rpc_call_ref(call);
    lane->end = &call->next_waiting;
}

bool pace_admits(struct pace *pace, struct rpc_call *call)
{
    if (!pace->per_s)
        return true;
    pthread_mutex_lock(&pace->mutex);
    refill(pace);
    const bool now = !pace->lanes && pace->tokens >= 1;
    const bool wake = !now && !pace->woken;
    if (now)
        pace->tokens--;
    else
        wait_in_lane(pace, call);
    pace->woken |= wake;
    pthread_mutex_unlock(&pace->mutex);
    if (wake) {
        rpc_count(pace->rpc, &pace->waking, 1);
        rpc_push(pace->rpc, &pace->on_wait);
    }
    return now;
}

struct pace *pace_new(struct rpc *rpc, int per_s, void (*admit)(struct rpc_call *call))
{
    struct pace *pace = mem_new(sizeof *pace);
    *pace = (struct pace){.rpc = rpc,
                          .per_s = per_s,
                          .admit = admit,
                          .tokens = (double)per_s * BURST_S,
                          .at_ms = clock_ms(),
                          .on_wait = {.fn = on_wait}};
    pace->lanes_end = &pace->lanes;
    pace->timer = loop_timer_new(rpc->loop, on_tick, pace);
    pthread_mutex_init(&pace->mutex, NULL);
    return pace;
}

void pace_free(struct pace *pace)
{
    if (!pace)
        return;
    rpc_wait(pace->rpc, &pace->waking);
    for (struct lane *lane = pace->lanes, *next; lane; lane = next) {
        next = lane->next;
        for (struct rpc_call *call = lane->first, *after; call; call = after) {
            after = call->next_waiting;
            rpc_call_unref(call);
        }
        mem_free(lane);
    }
    loop_timer_free(pace->timer);
    pthread_mutex_destroy(&pace->mutex);
    mem_free(pace);
}
