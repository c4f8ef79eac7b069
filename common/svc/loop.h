/* The loop: one thread that waits for timers, signals, children and posts of other threads.
 *
 *     SCOPED(loop) loop = NULL;
 *     TRY(loop_new(&loop));
 *     loop_on_signal(loop, drain, daemon);            -- SIGTERM, SIGINT; a second one kills
 *     loop_post(loop, group_done, group);             -- from any thread: runs in the loop's, in the order posted
 *     TRY(loop_run(loop));                            -- until loop_stop
 *
 * Owner: the thread that calls loop_run; only loop_post and loop_stop may be called from others.
 * Declare the loop first: it outlives its timers and every thread that posts. */
#pragma once
#include "base/err.h"
#include "base/scoped.h"
#include <stdbool.h>
#include <stdint.h>

struct loop;
struct loop_timer;

/* EXHAUSTED: the system has no more descriptors. */
err_t loop_new(struct loop **ret);

/* Runs callbacks until loop_stop. May be called again. */
err_t loop_run(struct loop *loop);

/* Runs fn(arg) in the loop's thread: each once, in the order of posting (of one thread, and of
 * threads that order their posts themselves). Never refuses, never blocks, never lost: the loop
 * must outlive the call. Posts that remain when the loop is freed are not run: a part that posts
 * joins its threads, then calls loop_run_posted. Any thread. */
void loop_post(struct loop *loop, void (*fn)(void *arg), void *arg);

/* Runs the posts that are there, and those that they make, without waiting. For teardown and
 * tests. */
void loop_run_posted(struct loop *loop);

/* loop_run returns once the callback that runs now has. Before loop_run, the next one returns at
 * once. Any thread. */
void loop_stop(struct loop *loop);

/* fn is called at the first SIGTERM or SIGINT; the second ends the process (svc_end_by_signals).
 * Until this is called, the first does too. Once per process. */
void loop_on_signal(struct loop *loop, void (*fn)(void *arg, int signal), void *arg);

/* A timer that calls fn(arg) in the loop's thread; it begins stopped. Free it before the loop; fn
 * may free it. */
struct loop_timer *loop_timer_new(struct loop *loop, void (*fn)(void *arg), void *arg);

/* First call after after_ms, then every repeat_ms (0: once). A new start replaces the one
 * before. */
void loop_timer_start(struct loop_timer *timer, int64_t after_ms, int64_t repeat_ms);
void loop_timer_stop(struct loop_timer *timer);
bool loop_timer_running(const struct loop_timer *timer);
void loop_timer_free(struct loop_timer *timer);
DEFINE_SCOPED(loop_timer)

/* Its timers, threads that post, and children are gone by now. */
void loop_free(struct loop *loop);
DEFINE_SCOPED(loop)
