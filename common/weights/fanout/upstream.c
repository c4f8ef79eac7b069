#include "weights/fanout/upstream.h"
#include "base/clock.h"
#include "base/mem.h"
#include "rpc/message.h"
#include "svc/loop.h"
#include "weights/fanout/fanout_wire.h"
#include <stdio.h>
#include <stdlib.h>

struct upstream {
    const struct receiving *receiving;
    struct loop_timer *timer;
    char *serves; // where this generator passes versions on; NULL: nowhere
    char *home;   // the learner
    char *at;     // a generator; NULL: at home
    char *next;   // the target of the move that is due; NULL: home
    char *lost;   // the generator that failed this subscriber last, until it is said; NULL: none
    bool moves;   // the timer makes the move
    int64_t silence_ms, heard_ms;
    uint64_t beat;
};

static void watch(struct upstream *upstream)
{
    upstream->heard_ms = clock_ms();
    loop_timer_start(upstream->timer, upstream->silence_ms / 4 + 1, upstream->silence_ms / 4 + 1);
}

/* The timer makes the move, as a stream must not be freed in its own handler. */
static void move_soon(struct upstream *upstream, const char *next)
{
    free(upstream->next);
    upstream->next = next ? mem_string(next) : NULL;
    upstream->moves = true;
    loop_timer_start(upstream->timer, 1, 0);
}

static void go_home(struct upstream *upstream)
{
    free(upstream->lost);
    upstream->lost = STEAL(upstream->at);
    move_soon(upstream, NULL);
}

static void move(struct upstream *upstream)
{
    upstream->moves = false;
    free(upstream->at);
    upstream->at = STEAL(upstream->next);
    const struct receiving *receiving = upstream->receiving;
    err_t e = receiving->move(receiving->arg, upstream->at ? upstream->at : upstream->home);
    if (err_failed(e) && upstream->at)
        go_home(upstream); // no address that we may use
    else if (upstream->at)
        watch(upstream);
    else
        loop_timer_stop(upstream->timer);
    err_free(e);
}

static void on_timer(void *arg)
{
    struct upstream *upstream = arg;
    if (upstream->moves)
        move(upstream);
    else if (receiver_is_complete(upstream->receiving->receiver)) // nothing is read now
        upstream->heard_ms = clock_ms();
    else if (clock_ms() - upstream->heard_ms > upstream->silence_ms)
        go_home(upstream);
}

static err_t open_upstream(const struct receiving *receiving, void *means, void **ret)
{
    (void)means;
    if (!receiving->serves && !receiving->silence_ms)
        return OK;
    struct upstream *upstream = mem_new(sizeof *upstream);
    upstream->receiving = receiving;
    upstream->home = mem_string(receiving->home);
    upstream->serves = receiving->serves ? mem_string(receiving->serves) : NULL;
    upstream->silence_ms = receiving->silence_ms;
    upstream->timer = loop_timer_new(receiving->loop, on_timer, upstream);
    *ret = upstream;
    return OK;
}

static void introduce(void *state, struct subscription *hello)
{
    const struct upstream *upstream = state;
    hello->serves = upstream->serves;
    hello->lost = upstream->lost;
}

static err_t hear(void *state, struct rpc_message *message, bool *ret_taken)
{
    struct upstream *upstream = state;
    const struct receiving *receiving = upstream->receiving;
    struct fanout_message heard;
    upstream->heard_ms = clock_ms();
    err_t e = fanout_message_decode(message, &heard);
    *ret_taken = !err_failed(e);
    if (err_failed(e)) { // the other carriers judge what it may be
        err_free(e);
        free(STEAL(upstream->lost));
        return OK;
    }
    if (*heard.address) {
        move_soon(upstream, heard.address);
        return OK;
    }
    free(STEAL(upstream->lost));
    if (heard.beat > upstream->beat)
        receiving->beat(receiving->arg, heard.beat);
    upstream->beat = heard.beat; // a learner that comes again counts from the beginning
    return OK;
}

static void down(void *state, err_t *why)
{
    struct upstream *upstream = state;
    const bool away = upstream->at != NULL;
    if (away && !upstream->moves)
        go_home(upstream);
    if (!away || err_code(*why) != ERR_PRECONDITION)
        return;
    err_t other = err_new(ERR_UNAVAILABLE, "%s", err_message(*why));
    err_free(*why); // no word of the learner's, to which it goes back
    *why = other;
}

static void close_upstream(void *state)
{
    struct upstream *upstream = state;
    loop_timer_free(upstream->timer);
    free(upstream->serves);
    free(upstream->home);
    free(upstream->at);
    free(upstream->next);
    free(upstream->lost);
    free(upstream);
}

const struct carrier_receive fanout_receive = {.open = open_upstream,
                                               .introduce = introduce,
                                               .hear = hear,
                                               .down = down,
                                               .close = close_upstream};
