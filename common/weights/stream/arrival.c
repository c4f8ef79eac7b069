#include "weights/stream/arrival.h"
#include <stddef.h>

enum { ANY = -1 };

#define IN(name) (1u << INCOMING_##name)
#define AT(name) (1u << READY_##name)
enum {
    ALL_IN = (1 << INCOMING_STATES) - 1,
    ALL_AT = (1 << READY_STATES) - 1,
    TAKEN = AT(TAKEN) | AT(TAINTED),
    FREE = ALL_AT & ~TAKEN,
};

/* A transition: from any state of the two sets. ANY: that place stays as it is. */
struct row {
    enum arrival_event event;
    unsigned incoming, ready;
    int to_incoming, to_ready;
    unsigned actions;
};

/* The first row that fits counts. */
static const struct row table[] = {
    {ARRIVAL_BEGIN, ALL_IN & ~IN(COMPLETE), ALL_AT, INCOMING_RECEIVING, ANY, 0},
    {ARRIVAL_GO_ON, IN(UNFINISHED), ALL_AT, INCOMING_RECEIVING, ANY, 0},
    {ARRIVAL_KNOWN, IN(RECEIVING), ALL_AT, INCOMING_NOTHING, ANY, 0},
    {ARRIVAL_RIGHT, IN(RECEIVING), TAKEN, INCOMING_COMPLETE, ANY, ARRIVAL_PAUSE},
    {ARRIVAL_RIGHT, IN(RECEIVING), AT(STAGED), INCOMING_NOTHING, READY_STAGED,
     ARRIVAL_REPLACE | ARRIVAL_STAGE},
    {ARRIVAL_RIGHT, IN(RECEIVING), FREE, INCOMING_NOTHING, READY_STAGED, ARRIVAL_STAGE},
    {ARRIVAL_WRONG, IN(RECEIVING), ALL_AT, INCOMING_NOTHING, ANY, 0},
    {ARRIVAL_AGAIN, IN(NOTHING), ALL_AT, INCOMING_RECEIVING, ANY, 0},
    {ARRIVAL_POISON, IN(COMPLETE), TAKEN, INCOMING_NOTHING, READY_TAINTED,
     ARRIVAL_FORGET | ARRIVAL_READ},
    {ARRIVAL_POISON, ALL_IN, TAKEN, INCOMING_NOTHING, READY_TAINTED, ARRIVAL_FORGET},
    {ARRIVAL_POISON, ALL_IN, FREE, INCOMING_NOTHING, READY_EMPTY, ARRIVAL_FORGET},
    {ARRIVAL_DROP, IN(COMPLETE), ALL_AT, ANY, ANY, 0},
    {ARRIVAL_DROP, ALL_IN, ALL_AT, INCOMING_NOTHING, ANY, 0},
    {ARRIVAL_LOST, IN(RECEIVING), ALL_AT, INCOMING_UNFINISHED, ANY, 0},
    {ARRIVAL_LOST, ALL_IN, ALL_AT, ANY, ANY, 0},
    {ARRIVAL_TAKE, ALL_IN, AT(STAGED), ANY, READY_TAKEN, 0},
    {ARRIVAL_APPLIED, IN(COMPLETE), AT(TAKEN), INCOMING_NOTHING, READY_STAGED,
     ARRIVAL_SERVE | ARRIVAL_STAGE | ARRIVAL_READ},
    {ARRIVAL_APPLIED, IN(COMPLETE), AT(TAINTED), INCOMING_NOTHING, READY_STAGED,
     ARRIVAL_STAGE | ARRIVAL_READ},
    {ARRIVAL_APPLIED, ALL_IN, AT(TAKEN), ANY, READY_SERVED, ARRIVAL_SERVE},
    {ARRIVAL_APPLIED, ALL_IN, AT(TAINTED), ANY, READY_EMPTY, 0},
};

static bool fits(const struct row *row, const struct arrival *arrival, enum arrival_event event)
{
    return row->event == event && row->incoming >> arrival->incoming & 1 &&
           row->ready >> arrival->ready & 1;
}

unsigned arrival_step(struct arrival *arrival, enum arrival_event event)
{
    for (size_t i = 0; i < sizeof table / sizeof *table; i++) {
        const struct row *row = &table[i];
        if (!fits(row, arrival, event))
            continue;
        if (row->to_incoming != ANY)
            arrival->incoming = (enum incoming)row->to_incoming;
        if (row->to_ready != ANY)
            arrival->ready = (enum ready)row->to_ready;
        return row->actions;
    }
    return ARRIVAL_REFUSED;
}
