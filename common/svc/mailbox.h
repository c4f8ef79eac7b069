/* A bounded queue of owned messages: many threads post, one takes.
 *
 *     SCOPED(mailbox) mailbox = mailbox_new(64);
 *     if (!mailbox_post(mailbox, group))            -- full or closed: group is still ours; stop reading the stream
 *         ...
 *     while (mailbox_take(mailbox, -1, &message))   -- false: closed and empty
 *         handle(message);
 *
 * Posting and closing: any thread; taking: one thread. */
#pragma once
#include "base/scoped.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct mailbox;

/* Holds up to capacity messages, capacity > 0. */
struct mailbox *mailbox_new(size_t capacity);

/* Takes the message over and returns true; false if full or closed: it stays the caller's. Never
 * blocks. In order of posting per thread. message is not NULL. */
bool mailbox_post(struct mailbox *mailbox, void *message);

/* The same, but waits for room; false only if closed. Not for a thread that must not block. */
bool mailbox_post_wait(struct mailbox *mailbox, void *message);

/* The same beyond the capacity, never waiting: false only if closed. For messages that must arrive
 * and whose number the sender bounds. Messages of outsiders go through mailbox_post. */
bool mailbox_push(struct mailbox *mailbox, void *message);

/* The oldest message, waiting for one up to timeout_ms (0: not at all; negative: without end).
 * False: none in time, or closed and empty (mailbox_closed tells which). */
bool mailbox_take(struct mailbox *mailbox, int64_t timeout_ms, void **ret);

/* After a full mailbox has refused a message, the taking thread calls fn(arg) once, when at most
 * half of the capacity is in use. Then the poster may read on (fn may loop_post). Set before the
 * first post. */
void mailbox_on_room(struct mailbox *mailbox, void (*fn)(void *arg), void *arg);

/* From now on posts are refused; queued messages can still be taken. Again is harmless. */
void mailbox_close(struct mailbox *mailbox);
bool mailbox_closed(struct mailbox *mailbox);
size_t mailbox_count(struct mailbox *mailbox);

/* Empty it first: queued messages are not freed. No other thread uses it any more. */
void mailbox_free(struct mailbox *mailbox);
DEFINE_SCOPED(mailbox)
