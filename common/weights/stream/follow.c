#include "weights/stream/follow.h"
#include "base/clock.h"
#include "base/mem.h"
#include "rpc/message.h"
#include "svc/loop.h"
#include "weights/stream/relay_wire.h"
#include "weights/stream/subscriber_inside.h"
#include <stdio.h>
#include <stdlib.h>

struct follow {
    struct subscriber *subscriber;
    struct loop_timer *timer;
    char *home, *at, *next, *lost; // at, next: NULL: home, nowhere
    bool moves;
    int64_t silence_ms, heard_ms;
    uint64_t beat;
};

static void watch(struct follow *follow)
{
    follow->heard_ms = clock_ms();
    loop_timer_start(follow->timer, follow->silence_ms / 4 + 1, follow->silence_ms / 4 + 1);
}

/* Streams are not freed in their own handlers: by the timer. */
static void move_soon(struct follow *follow, const char *next)
{
    free(follow->next);
    follow->next = next ? mem_string(next) : NULL;
    follow->moves = true;
    loop_timer_start(follow->timer, 1, 0);
}

static void go_home(struct follow *follow)
{
    free(follow->lost);
    follow->lost = STEAL(follow->at);
    move_soon(follow, NULL);
}

static void move(struct follow *follow)
{
    follow->moves = false;
    free(follow->at);
    follow->at = STEAL(follow->next);
    err_t e = subscriber_connect(follow->subscriber, follow->at ? follow->at : follow->home);
    if (err_failed(e) && follow->at)
        go_home(follow); // no address that we may use
    else if (follow->at)
        watch(follow);
    else
        loop_timer_stop(follow->timer);
    err_free(e);
}

static void on_timer(void *arg)
{
    struct follow *follow = arg;
    if (follow->moves)
        move(follow);
    else if (follow->subscriber->complete) // we do not read now
        follow->heard_ms = clock_ms();
    else if (clock_ms() - follow->heard_ms > follow->silence_ms)
        go_home(follow);
}

struct follow *follow_new(struct subscriber *subscriber, const char *home, int64_t silence_ms)
{
    struct follow *follow = mem_new(sizeof *follow);
    follow->subscriber = subscriber;
    follow->home = mem_string(home);
    follow->silence_ms = silence_ms;
    follow->timer = loop_timer_new(subscriber->options.loop, on_timer, follow);
    return follow;
}

bool follow_hear(struct follow *follow, struct rpc_message *message)
{
    struct relay_message heard;
    if (!follow)
        return false;
    follow->heard_ms = clock_ms();
    err_t e = relay_message_decode(message, &heard);
    if (err_failed(e)) { // what else it may be is judged by others
        err_free(e);
        free(STEAL(follow->lost));
        return false;
    }
    if (*heard.address) {
        move_soon(follow, heard.address);
        return true;
    }
    free(STEAL(follow->lost));
    const struct subscriber *subscriber = follow->subscriber;
    if (heard.beat > follow->beat && subscriber->handlers.beat)
        subscriber->handlers.beat(follow->subscriber, heard.beat, subscriber->user);
    follow->beat = heard.beat; // a learner that comes again counts from the beginning
    return true;
}

bool follow_down(struct follow *follow)
{
    const bool away = follow && follow->at;
    if (away && !follow->moves)
        go_home(follow);
    return away;
}

char *follow_lost(const struct follow *follow)
{
    return follow ? follow->lost : NULL;
}

void follow_free(struct follow *follow)
{
    if (!follow)
        return;
    loop_timer_free(follow->timer);
    free(follow->home);
    free(follow->at);
    free(follow->next);
    free(follow->lost);
    free(follow);
}
