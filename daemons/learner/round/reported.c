#include "learner/round/reported.h"
#include "base/json.h"
#include <string.h>

enum kind { STAYS, AGAIN, UNREADABLE };

struct line {
    enum kind kind;
    bool rollback, ours;
    uint64_t round; // of a rollback: rounds that stay
    uint32_t lineage;
    double time_s;
};

struct walk {
    struct reported *found;
    uint64_t number, expected; // of this line; the round that comes next
    uint64_t pending;          // lines since the last that stays which cannot be read
    uint64_t pending_line;     // the first of them
    uint64_t again;            // lines since then that are made again
    size_t held;               // end of the last of them
    uint64_t told;             // rounds that the lines which stay tell of, by their count
    uint32_t lineage;          // of the last line that could be read
};

/* One without a lineage is an older learner's, which had cut what was not of the history. A newline
 * that was damaged leaves an object with something behind it. */
static struct line parse(const struct walk *walk, const char *text, size_t len, bool ended)
{
    SCOPED_JSON json_t *object = json_loadb(text, len, ended ? 0 : JSON_DISABLE_EOF_CHECK, NULL);
    const json_t *lineage = json_object_get(object, "lineage");
    struct line line = {.rollback = json_is_true(json_object_get(object, "rollback"))};
    const json_t *round = json_object_get(object, line.rollback ? "rounds" : "round");
    line.lineage = lineage ? (uint32_t)json_integer_value(lineage) : 0;
    line.ours = !lineage || line.lineage == walk->found->branch->lineage;
    line.round = (uint64_t)json_integer_value(round);
    line.time_s = json_number_value(json_object_get(object, "time_s"));
    if (!json_is_integer(round))
        line.kind = UNREADABLE;
    else
        line.kind =
            !line.rollback && line.ours && line.round >= walk->found->first_round ? AGAIN : STAYS;
    return line;
}

static void count_damaged(struct walk *walk, uint64_t lines, uint64_t first)
{
    struct reported *found = walk->found;
    if (lines && !found->damaged)
        found->first_line = first;
    found->damaged += lines;
}

/* All up to here stays. */
static void keep(struct walk *walk, size_t end)
{
    count_damaged(walk, walk->pending + walk->again, walk->pending_line);
    walk->told += walk->pending + walk->again;
    walk->pending = walk->again = 0;
    walk->found->kept = end;
}

static void hold(struct walk *walk, uint64_t *count, size_t end)
{
    walk->held = end;
    if (!walk->pending && !walk->again)
        walk->pending_line = walk->number;
    ++*count;
}

/* A damaged line may have any lineage: several must agree on one that we do not know. */
static void note_lineage(struct walk *walk, const struct line *line)
{
    struct reported *found = walk->found;
    if (line->lineage > found->branch->lineage && line->lineage == walk->lineage)
        found->foreign = line->lineage;
    if (line->rollback || (walk->lineage && line->lineage > walk->lineage))
        walk->expected = walk->told = line->round; // a new lineage, its first line damaged or not
    walk->lineage = line->lineage;
    if (line->lineage > found->lineage)
        found->lineage = line->lineage;
}

static void take_readable(struct walk *walk, const struct line *line, size_t end)
{
    struct reported *found = walk->found;
    note_lineage(walk, line);
    if (!line->rollback && line->round < walk->expected) {
        count_damaged(walk, 1, walk->number);
        walk->expected++;
    } else if (!line->rollback) {
        if (line->ours && line->round == walk->expected)
            found->rounds = line->round + 1;
        walk->expected = line->round + 1;
    }
    if (line->kind == AGAIN) {
        hold(walk, &walk->again, end);
        return;
    }
    keep(walk, end);
    walk->told += !line->rollback;
    found->begun |= line->lineage == found->branch->lineage;
    found->time_s = line->time_s;
}

/* Before first_round every line is needed. There a number that is too high is no number either, and
 * once all are there, neither is one that is too low. */
static void take(struct walk *walk, const struct line *line, size_t end)
{
    const uint64_t first = walk->found->first_round;
    const bool needed = walk->expected < first;
    const bool surplus = walk->told >= first && line->ours && line->round < walk->expected;
    if (line->kind == AGAIN && line->round == first && walk->again == 1 && walk->told < first) {
        keep(walk, walk->held); // two have this number: the one before is the damaged one
        walk->expected = first;
    }
    if ((line->kind == STAYS && (!surplus || line->rollback)) ||
        (line->kind == AGAIN && (!needed || line->round == first))) {
        take_readable(walk, line, end);
        return;
    }
    hold(walk, &walk->pending, end);
    if (!needed)
        return;
    keep(walk, end);
    walk->expected++;
}

void reported_read(struct reported *lines, const struct bytes *text)
{
    struct walk walk = {.found = lines};
    const char *all = (const char *)text->data;
    for (size_t at = 0; at < text->len;) {
        const char *end = memchr(all + at, '\n', text->len - at);
        const size_t len = end ? (size_t)(end - all) - at : text->len - at;
        walk.number++;
        const struct line line = parse(&walk, all + at, len, end != NULL);
        at += len + (end != NULL);
        take(&walk, &line, at);
        lines->unended = !end && lines->kept == text->len;
    }
}
