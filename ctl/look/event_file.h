/* Event files of TensorBoard: records of protobuf's Event, each with its length and masked
 * checksums of both.
 *
 *     struct event_file *file;
 *     TRY(event_file_open("RUN/tensorboard/events.out.tfevents.0.rlhfd", wall_s, &file));
 *     TRY(event_file_put(file, wall_s, round, figures, count));       -- scalars of one step
 *     TRY(event_file_back(file, wall_s, round));                      -- later steps are made anew
 *
 * A file that is there is replaced. Owner: one thread. */
#pragma once
#include "base/bytes.h"
#include "base/err.h"
#include "base/scoped.h"

struct event_figure {
    const char *tag;
    double value;
};

struct event_file;
err_t event_file_open(const char *path, double wall_s, struct event_file **ret);
err_t event_file_put(struct event_file *file, double wall_s, int64_t step,
                     const struct event_figure *figure, size_t count);
err_t event_file_back(struct event_file *file, double wall_s, int64_t step);
void event_file_free(struct event_file *file);
DEFINE_SCOPED(event_file)
