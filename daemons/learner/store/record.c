#include "learner/store/record.h"
#include "base/mem.h"
#include "learner/store/record_parts.h"
#include "wire/rollout_v3.h"
#include <string.h>

enum { HEADER = STORED_HEADER };

void key_slot(uint64_t slot, uint8_t ret[KEY_SLOT])
{
    be64_store(ret, slot);
}

void key_gone(uint64_t slot, uint32_t attempt, uint8_t ret[KEY_GONE])
{
    be64_store(ret, slot);
    for (int i = 0; i < 4; i++)
        ret[8 + i] = (uint8_t)(attempt >> (24 - 8 * i));
}

void key_group(uint64_t age, uint64_t slot, uint8_t ret[KEY_GROUP])
{
    be64_store(ret, age);
    be64_store(ret + 8, slot);
}

void key_round(char kind, uint32_t lineage, uint64_t number, uint8_t ret[KEY_ROUND])
{
    ret[0] = (uint8_t)kind;
    for (int i = 0; i < 4; i++)
        ret[1 + i] = (uint8_t)(lineage >> (24 - 8 * i));
    be64_store(ret + 5, number);
}

static void put_summary(struct bytes *out, const struct summary *summary)
{
    put_digest(out, &summary->content);
    bytes_f64(out, summary->reward);
    bytes_be64(out, summary->tokens);
    bytes_be64(out, summary->oldest_version);
    bytes_be64(out, summary->newest_version);
    bytes_be32(out, summary->completions);
    bytes_f64(out, summary->spread);
}

static bool get_summary(struct reader *in, struct summary *ret)
{
    return get_digest(in, &ret->content) && read_f64(in, &ret->reward) &&
           read_be64(in, &ret->tokens) && read_be64(in, &ret->oldest_version) &&
           read_be64(in, &ret->newest_version) && read_be32(in, &ret->completions) &&
           read_f64(in, &ret->spread);
}

void schema_encode(const struct schema *schema, struct bytes *ret)
{
    put_header(ret, 'M');
    put_text(ret, schema->run);
    put_digest(ret, &schema->data);
    bytes_be64(ret, schema->rows);
    bytes_be64(ret, schema->seed);
    bytes_u8(ret, schema->shuffle);
}

err_t schema_decode(const uint8_t *data, size_t len, struct schema *ret)
{
    if (len >= HEADER && data[0] == 'M' && data[1] < STORE_FORMAT_OLDEST)
        return err_new(ERR_PRECONDITION,
                       "its format is %d, this build reads %d to %d: finish the run with the build "
                       "that made it, or begin another run from its newest checkpoint",
                       data[1], STORE_FORMAT_OLDEST, STORE_FORMAT);
    if (len >= HEADER && data[0] == 'M' && data[1] > STORE_FORMAT)
        return err_new(ERR_PRECONDITION,
                       "its format is %d, of a newer build; this one reads %d to %d: use the newer "
                       "build, or a backup made before it",
                       data[1], STORE_FORMAT_OLDEST, STORE_FORMAT);
    struct reader in = {data, len};
    SCOPED_VALUE(schema) schema = {0};
    uint8_t shuffle = 0;
    if (!get_format(&in, 'M', &schema.format) || !get_text(&in, NAME_MAX_BYTES, &schema.run) ||
        !get_digest(&in, &schema.data) || !read_be64(&in, &schema.rows) ||
        !read_be64(&in, &schema.seed) || !get_kind(&in, 1, &shuffle) || in.left || !schema.rows)
        return damaged("schema", data, len);
    schema.shuffle = shuffle;
    *ret = schema;
    schema.run = NULL;
    return OK;
}

void schema_done(struct schema *schema)
{
    free(schema->run);
    schema->run = NULL;
}

void counters_encode(const struct counters *c, struct bytes *ret)
{
    put_header(ret, 'C');
    bytes_be32(ret, c->lineage);
    const uint64_t numbers[] = {c->clock_ms,     c->next_slot,   c->low_slot,     c->next_round,
                                c->next_version, c->rounds_done, c->last_version, c->granted,
                                c->given_back,   c->expired,     c->revoked};
    put_all(ret, numbers, sizeof numbers / sizeof *numbers);
    put_all(ret, c->checkpoint_round, 2);
    put_all(ret, c->checkpoint_version, 2);
    put_all(ret, c->gone, REASONS);
    put_all(ret, c->outcomes, OUTCOME_REJECTED + 1);
    bytes_be64(ret, c->floor);
}

err_t counters_decode(const uint8_t *data, size_t len, struct counters *ret)
{
    struct reader in = {data, len};
    struct counters c = {0};
    uint8_t format = 0;
    uint64_t *const numbers[] = {&c.clock_ms,     &c.next_slot,   &c.low_slot,     &c.next_round,
                                 &c.next_version, &c.rounds_done, &c.last_version, &c.granted,
                                 &c.given_back,   &c.expired,     &c.revoked};
    bool good = get_format(&in, 'C', &format) && read_be32(&in, &c.lineage);
    for (size_t i = 0; good && i < sizeof numbers / sizeof *numbers; i++)
        good = read_be64(&in, numbers[i]);
    good = good && get_all(&in, c.checkpoint_round, 2) && get_all(&in, c.checkpoint_version, 2) &&
           get_all(&in, c.gone, format < 5 ? REASON_QUARANTINED : REASONS) &&
           get_all(&in, c.outcomes, OUTCOME_REJECTED + 1) && read_be64(&in, &c.floor);
    if (!good || in.left || c.low_slot > c.next_slot || c.rounds_done > c.next_round ||
        c.last_version > c.next_version)
        return damaged("counters", data, len);
    *ret = c;
    return OK;
}

void slot_encode(const struct slot *slot, struct bytes *ret)
{
    put_header(ret, 'S');
    bytes_u8(ret, (uint8_t)slot->state);
    bytes_u8(ret, (uint8_t)slot->reason);
    bytes_u8(ret, (uint8_t)slot->answered);
    bytes_be32(ret, slot->attempt);
    bytes_be32(ret, slot->failures);
    bytes_be32(ret, slot->lineage);
    const uint64_t numbers[] = {slot->start_round, slot->version, slot->deadline_ms, slot->term,
                                slot->age};
    put_all(ret, numbers, 5);
    put_text(ret, slot->generator);
    put_summary(ret, &slot->summary);
    bytes_be32(ret, slot->uses);
    bytes_be64(ret, slot->trained_in);
    put_text(ret, slot->why);
}

static bool has_group(uint8_t state)
{
    return state == SLOT_STORED || state == SLOT_QUARANTINED;
}

err_t slot_decode(uint64_t number, const uint8_t *data, size_t len, struct slot *ret)
{
    struct reader in = {data, len};
    SCOPED_VALUE(slot) slot = {.number = number};
    uint8_t format = 0, state = 0, reason = 0, answered = 0;
    bool good = get_format(&in, 'S', &format) &&
                get_kind(&in, format < 5 ? SLOT_GONE : SLOT_QUARANTINED, &state) &&
                get_kind(&in, REASONS - 1, &reason) && get_kind(&in, OUTCOME_REJECTED, &answered) &&
                read_be32(&in, &slot.attempt) && read_be32(&in, &slot.failures) &&
                read_be32(&in, &slot.lineage) && read_be64(&in, &slot.start_round) &&
                read_be64(&in, &slot.version) && read_be64(&in, &slot.deadline_ms) &&
                read_be64(&in, &slot.term) && read_be64(&in, &slot.age) &&
                get_text(&in, NAME_MAX_BYTES, &slot.generator) && get_summary(&in, &slot.summary) &&
                read_be32(&in, &slot.uses) && read_be64(&in, &slot.trained_in) &&
                (format < 5 || get_text(&in, WHY_MAX, &slot.why));
    if (!good || in.left || !state || !slot.attempt || (state == SLOT_GONE) != (reason != 0) ||
        (state == SLOT_LEASED && !*slot.generator) ||
        (*slot.generator && state != SLOT_LEASED && !has_group(state)) ||
        (slot.why && *slot.why && state != SLOT_QUARANTINED))
        return damaged("slot", data, len);
    if (!*slot.generator)
        mem_free(STEAL(slot.generator));
    if (state != SLOT_QUARANTINED)
        mem_free(STEAL(slot.why));
    slot.state = (enum slot_state)state;
    slot.reason = (enum reason)reason;
    slot.answered = (enum outcome)answered;
    *ret = slot;
    slot.generator = slot.why = NULL;
    return OK;
}

void slot_done(struct slot *slot)
{
    free(slot->generator);
    free(slot->why);
    slot->generator = slot->why = NULL;
}

void gone_encode(const struct gone *gone, struct bytes *ret)
{
    put_header(ret, 'X');
    bytes_u8(ret, (uint8_t)gone->answered);
    bytes_u8(ret, (uint8_t)gone->reason);
    bytes_be64(ret, gone->round);
    bytes_be64(ret, gone->age);
    put_summary(ret, &gone->summary);
    put_text(ret, gone->generator);
    bytes_be32(ret, gone->uses);
}

err_t gone_decode(const uint8_t *data, size_t len, struct gone *ret)
{
    struct reader in = {data, len};
    SCOPED_VALUE(gone) gone = {0};
    uint8_t answered = 0, reason = 0;
    if (!get_header(&in, 'X') || !get_kind(&in, OUTCOME_REJECTED, &answered) ||
        !get_kind(&in, REASONS - 1, &reason) || !reason || !read_be64(&in, &gone.round) ||
        !read_be64(&in, &gone.age) || !get_summary(&in, &gone.summary) ||
        !get_text(&in, NAME_MAX_BYTES, &gone.generator) || !read_be32(&in, &gone.uses) || in.left)
        return damaged("gone", data, len);
    gone.answered = (enum outcome)answered;
    gone.reason = (enum reason)reason;
    *ret = gone;
    gone.generator = NULL;
    return OK;
}

void gone_done(struct gone *gone)
{
    free(gone->generator);
    gone->generator = NULL;
}

void last_encode(uint64_t last_version, struct bytes *ret)
{
    put_header(ret, 'D');
    bytes_be64(ret, last_version);
}

err_t last_decode(const uint8_t *data, size_t len, uint64_t *ret)
{
    struct reader in = {data, len};
    uint64_t last;
    if (!get_header(&in, 'D') || !read_be64(&in, &last) || in.left)
        return damaged("round end", data, len);
    *ret = last;
    return OK;
}

void tries_encode(const struct tries *tries, struct bytes *ret)
{
    put_header(ret, 'T');
    bytes_be32(ret, tries->starts);
    bytes_be32(ret, tries->failures);
    bytes_u8(ret, tries->voided);
    put_text(ret, tries->why);
}

err_t tries_decode(const uint8_t *data, size_t len, struct tries *ret)
{
    struct reader in = {data, len};
    SCOPED_VALUE(tries) tries = {0};
    uint8_t voided = 0;
    if (!get_header(&in, 'T') || !read_be32(&in, &tries.starts) ||
        !read_be32(&in, &tries.failures) || !get_kind(&in, 1, &voided) ||
        !get_text(&in, WHY_MAX, &tries.why) || in.left)
        return damaged("tries", data, len);
    tries.voided = voided;
    *ret = tries;
    tries.why = NULL;
    return OK;
}

void tries_done(struct tries *tries)
{
    free(tries->why);
    tries->why = NULL;
}

void fork_encode(const struct fork *fork, struct bytes *ret)
{
    put_header(ret, 'F');
    bytes_be32(ret, fork->parent);
    bytes_be64(ret, fork->round);
    bytes_be64(ret, fork->version);
}

err_t fork_decode(uint32_t lineage, const uint8_t *data, size_t len, struct fork *ret)
{
    struct reader in = {data, len};
    struct fork fork = {.lineage = lineage};
    if (!get_header(&in, 'F') || !read_be32(&in, &fork.parent) || !read_be64(&in, &fork.round) ||
        !read_be64(&in, &fork.version) || in.left || fork.parent >= lineage)
        return damaged("fork", data, len);
    *ret = fork;
    return OK;
}

void stored_header(struct bytes *ret)
{
    put_header(ret, 'G');
}

err_t stored_decode(const uint8_t *data, size_t len, const struct digest *content,
                    struct group **ret)
{
    if (len < HEADER || data[0] != 'G' || data[1] < STORE_FORMAT_OLDEST || data[1] > STORE_FORMAT)
        return damaged("group", data, len);
    struct digest found = hash128(data + HEADER, len - HEADER, 0);
    if (!digest_equal(&found, content))
        return err_new(ERR_DATA_LOSS, "a stored group's bytes are not those that were recorded");
    struct group_limits limits = GROUP_LIMITS;
    return (data[1] < 4 ? group_decode_v3 : group_decode)(data + HEADER, len - HEADER, &limits,
                                                          ret);
}
