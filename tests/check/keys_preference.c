/* Names of preferences. */
#include "check/check.h"

static const struct check_key keys[] = {
    {"dpo beta=#",
     "online_dpo",
     CHECK_PAIRS,
     COLUMN_BIT(COLUMN_REFERENCE_LOGP),
     {ARG(pair.beta, 0), SET(gate.gate, GATE_NONE)}},
};

const struct check_key *check_preference_key(size_t i)
{
    return i < sizeof keys / sizeof *keys ? &keys[i] : NULL;
}
