#include "rewarder/stage_lanes.h"
#include "base/clock.h"
#include "base/cpus.h"
#include "base/mem.h"
#include "svc/worker.h"
#include <assert.h>
#include <math.h>

struct lane_thread {
    struct worker *worker;
    struct lane_work *work; // NULL: it is free
    struct lane *lane;
};

struct lane {
    size_t count;
    struct lane_thread *thread; // (count)
    struct lane_work *first, **end;
};

struct stage_lanes {
    const struct stage_list *list;
    bool stopped;
    size_t count;
    struct lane lane[1 + STAGES_MAX]; // the first is the pool
    struct lane *of[STAGES_MAX];      // by stage; NULL: on the loop
};

static err_t open_lane(struct stage_lanes *lanes, const char *name, size_t threads,
                       struct lane **ret)
{
    struct lane *lane = &lanes->lane[lanes->count++];
    lane->end = &lane->first;
    lane->thread = mem_array(threads, sizeof *lane->thread);
    for (; lane->count < threads; lane->count++) {
        struct worker_options worker = {.name = name,
                                        .capacity = 1,
                                        .cpus = lanes->list->recipe->rewarder.cpus,
                                        .heartbeats = true};
        struct lane_thread *thread = &lane->thread[lane->count];
        thread->lane = lane;
        TRY(worker_start(&worker, &thread->worker));
    }
    *ret = lane;
    return OK;
}

/* The lane of an earlier stage of the class; NULL: there is none. */
static struct lane *shared_lane(const struct stage_lanes *lanes, size_t stage)
{
    for (size_t i = 0; i < stage; i++)
        if (lanes->list->at[i].class == lanes->list->at[stage].class)
            return lanes->of[i];
    return NULL;
}

static err_t open_lanes(struct stage_lanes *lanes)
{
    struct lane *pool = NULL;
    const size_t threads = (size_t)cpus_threads(lanes->list->recipe->rewarder.threads);
    for (size_t i = 0; i < lanes->list->count; i++) {
        const struct stage_class *class = lanes->list->at[i].class;
        if (class->thread == STAGE_ON_LOOP)
            continue;
        if (class->thread == STAGE_TOGETHER)
            lanes->of[i] = shared_lane(lanes, i);
        if (class->thread == STAGE_IN_POOL && !pool)
            TRY(open_lane(lanes, "score", threads, &pool));
        if (class->thread == STAGE_IN_POOL)
            lanes->of[i] = pool;
        else if (!lanes->of[i])
            TRY(open_lane(lanes, class->name,
                          class->threads ? class->threads(lanes->list->at[i].keys) : 1,
                          &lanes->of[i]));
    }
    return OK;
}

err_t stage_lanes_open(const struct stage_list *list, struct stage_lanes **ret)
{
    struct stage_lanes *lanes = mem_new(sizeof *lanes);
    lanes->list = list;
    err_t failed = open_lanes(lanes);
    if (err_failed(failed)) {
        stage_lanes_stop(lanes);
        stage_lanes_free(lanes);
        return failed;
    }
    *ret = lanes;
    return OK;
}

/* Gives free threads what waits. */
static void feed(struct stage_lanes *lanes, struct lane *lane)
{
    for (size_t i = 0; i < lane->count && lane->first && !lanes->stopped; i++) {
        struct lane_thread *thread = &lane->thread[i];
        if (thread->work)
            continue;
        struct lane_work *work = lane->first;
        lane->first = work->next;
        if (!lane->first)
            lane->end = &lane->first;
        thread->work = work;
        work->thread = thread;
        work->at = i;
        work->begun_s = clock_s();
        bool posted = worker_post(thread->worker, work->run, work);
        assert(posted); // as the thread was free
        (void)posted;
    }
}

void stage_lanes_run(struct stage_lanes *lanes, struct lane_work *work)
{
    struct lane *lane = lanes->of[work->stage];
    if (!lane) {
        work->begun_s = clock_s();
        work->run(NULL, work);
        return;
    }
    work->next = NULL;
    *lane->end = work;
    lane->end = &work->next;
    feed(lanes, lane);
}

void stage_lanes_ended(struct stage_lanes *lanes, struct lane_work *work)
{
    if (!work->thread)
        return;
    work->thread->work = NULL;
    feed(lanes, work->thread->lane);
}

void stage_lanes_withdraw(struct stage_lanes *lanes, struct lane_work *work)
{
    struct lane *lane = lanes->of[work->stage];
    for (struct lane_work **p = &lane->first; *p; p = &(*p)->next)
        if (*p == work) {
            *p = work->next;
            if (lane->end == &work->next)
                lane->end = p;
            return;
        }
}

double stage_lanes_stuck_s(const struct stage_lanes *lanes, size_t stage)
{
    const struct lane *lane = lanes->of[stage];
    double since_s = 0;
    for (size_t i = 0; lane && i < lane->count; i++) {
        const struct lane_work *work = lane->thread[i].work;
        if (!work || !work->late_s)
            return 0;
        since_s = fmax(since_s, work->late_s);
    }
    return since_s;
}

void stage_lanes_stop(struct stage_lanes *lanes)
{
    lanes->stopped = true;
    for (size_t i = 0; i < lanes->count; i++)
        for (size_t k = 0; k < lanes->lane[i].count; k++)
            worker_free(STEAL(lanes->lane[i].thread[k].worker));
}

void stage_lanes_free(struct stage_lanes *lanes)
{
    if (!lanes)
        return;
    for (size_t i = 0; i < lanes->count; i++)
        mem_free(lanes->lane[i].thread);
    mem_free(lanes);
}
