#include "svc/mailbox.h"
#include "base/heartbeat.h"
#include "base/mem.h"
#include <assert.h>
#include <pthread.h>
#include <stdlib.h>
#include <time.h>

struct mailbox {
    pthread_mutex_t mutex;
    pthread_cond_t arrived, left;
    size_t capacity, first, count;
    size_t room; // of message: more than the capacity after pushes
    bool closed, refused;
    size_t waiting; // posters in mailbox_post_wait
    void (*on_room)(void *arg);
    void *on_room_arg;
    void **message; // a ring of room
};

struct mailbox *mailbox_new(size_t capacity)
{
    assert(capacity > 0);
    struct mailbox *mailbox = mem_new(sizeof *mailbox);
    pthread_condattr_t monotonic;
    pthread_condattr_init(&monotonic);
    pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
    pthread_mutex_init(&mailbox->mutex, NULL);
    pthread_cond_init(&mailbox->arrived, &monotonic);
    pthread_cond_init(&mailbox->left, &monotonic);
    pthread_condattr_destroy(&monotonic);
    mailbox->capacity = mailbox->room = capacity;
    mailbox->message = mem_array(capacity, sizeof *mailbox->message);
    return mailbox;
}

/* Twice the room, with the oldest message at its beginning. */
static void grow(struct mailbox *mailbox)
{
    void **more = mem_array(2 * mailbox->room, sizeof *more);
    for (size_t i = 0; i < mailbox->count; i++)
        more[i] = mailbox->message[(mailbox->first + i) % mailbox->room];
    free(mailbox->message);
    mailbox->message = more;
    mailbox->room *= 2;
    mailbox->first = 0;
}

static void put(struct mailbox *mailbox, void *message)
{
    if (mailbox->count == mailbox->room)
        grow(mailbox);
    mailbox->message[(mailbox->first + mailbox->count++) % mailbox->room] = message;
    pthread_cond_signal(&mailbox->arrived);
}

bool mailbox_post(struct mailbox *mailbox, void *message)
{
    assert(message);
    pthread_mutex_lock(&mailbox->mutex);
    bool room = !mailbox->closed && mailbox->count < mailbox->capacity;
    if (room)
        put(mailbox, message);
    else if (!mailbox->closed)
        mailbox->refused = true;
    pthread_mutex_unlock(&mailbox->mutex);
    return room;
}

bool mailbox_post_wait(struct mailbox *mailbox, void *message)
{
    assert(message);
    pthread_mutex_lock(&mailbox->mutex);
    mailbox->waiting++;
    while (!mailbox->closed && mailbox->count >= mailbox->capacity) {
        heartbeat_rest();
        pthread_cond_wait(&mailbox->left, &mailbox->mutex);
        heartbeat_step();
    }
    mailbox->waiting--;
    bool open = !mailbox->closed;
    if (open)
        put(mailbox, message);
    pthread_mutex_unlock(&mailbox->mutex);
    return open;
}

bool mailbox_push(struct mailbox *mailbox, void *message)
{
    assert(message);
    pthread_mutex_lock(&mailbox->mutex);
    bool open = !mailbox->closed;
    if (open)
        put(mailbox, message);
    pthread_mutex_unlock(&mailbox->mutex);
    return open;
}

/* The moment timeout_ms from now; not for negative ones. */
static struct timespec deadline(int64_t timeout_ms)
{
    struct timespec at;
    clock_gettime(CLOCK_MONOTONIC, &at);
    at.tv_sec += timeout_ms / 1000;
    at.tv_nsec += timeout_ms % 1000 * 1000000;
    if (at.tv_nsec >= 1000000000) {
        at.tv_sec++;
        at.tv_nsec -= 1000000000;
    }
    return at;
}

/* Waits, locked, until there is a message, the mailbox is closed, or the time is over. */
static void wait_for_one(struct mailbox *mailbox, int64_t timeout_ms)
{
    if (mailbox->count || mailbox->closed || timeout_ms == 0)
        return;
    struct timespec until = timeout_ms > 0 ? deadline(timeout_ms) : (struct timespec){0};
    bool over = false;
    heartbeat_rest();
    while (!mailbox->count && !mailbox->closed && !over) {
        if (timeout_ms < 0)
            pthread_cond_wait(&mailbox->arrived, &mailbox->mutex);
        else
            over = pthread_cond_timedwait(&mailbox->arrived, &mailbox->mutex, &until) != 0;
    }
    heartbeat_step();
}

bool mailbox_take(struct mailbox *mailbox, int64_t timeout_ms, void **ret)
{
    bool tell = false;
    pthread_mutex_lock(&mailbox->mutex);
    wait_for_one(mailbox, timeout_ms);
    bool found = mailbox->count > 0;
    if (found) {
        *ret = mailbox->message[mailbox->first];
        mailbox->first = (mailbox->first + 1) % mailbox->room;
        mailbox->count--;
        if (mailbox->waiting)
            pthread_cond_signal(&mailbox->left);
        tell = mailbox->refused && mailbox->count <= mailbox->capacity / 2;
        if (tell)
            mailbox->refused = false;
    }
    pthread_mutex_unlock(&mailbox->mutex);
    if (tell && mailbox->on_room)
        mailbox->on_room(mailbox->on_room_arg);
    return found;
}

void mailbox_on_room(struct mailbox *mailbox, void (*fn)(void *arg), void *arg)
{
    mailbox->on_room = fn;
    mailbox->on_room_arg = arg;
}

void mailbox_close(struct mailbox *mailbox)
{
    pthread_mutex_lock(&mailbox->mutex);
    mailbox->closed = true;
    pthread_cond_broadcast(&mailbox->arrived);
    pthread_cond_broadcast(&mailbox->left);
    pthread_mutex_unlock(&mailbox->mutex);
}

bool mailbox_closed(struct mailbox *mailbox)
{
    pthread_mutex_lock(&mailbox->mutex);
    bool closed = mailbox->closed;
    pthread_mutex_unlock(&mailbox->mutex);
    return closed;
}

size_t mailbox_count(struct mailbox *mailbox)
{
    pthread_mutex_lock(&mailbox->mutex);
    size_t count = mailbox->count;
    pthread_mutex_unlock(&mailbox->mutex);
    return count;
}

void mailbox_free(struct mailbox *mailbox)
{
    if (!mailbox)
        return;
    pthread_mutex_destroy(&mailbox->mutex);
    pthread_cond_destroy(&mailbox->arrived);
    pthread_cond_destroy(&mailbox->left);
    free(mailbox->message);
    free(mailbox);
}
