/* The records of rounds and of the versions that they make. */
#include "base/mem.h"
#include "learner/store/record.h"
#include "learner/store/record_parts.h"
#include <string.h>

enum { ROUND_GROUP = 2 * 16 + 2 * 8 + 2 * 4 };

void round_free(struct round *round)
{
    if (!round)
        return;
    free(round->settings);
    free(round->fingerprint);
    free(round->group);
    column_list_done(&round->columns);
    free(round);
}

struct trainee_digests trainees_policy(const struct digest *weights)
{
    return (struct trainee_digests){1, {{"policy", *weights}}};
}

void round_encode(const struct round *round, struct bytes *ret)
{
    put_header(ret, 'R');
    bytes_be32(ret, round->lineage);
    bytes_be32(ret, round->updates);
    const uint64_t numbers[] = {round->round, round->first_version, round->seed, round->limit};
    put_all(ret, numbers, 4);
    put_text(ret, round->settings);
    put_text(ret, round->fingerprint);
    bytes_u8(ret, (uint8_t)round->policy);
    bytes_be32(ret, round->max_uses);
    bytes_be32(ret, (uint32_t)round->groups);
    for (size_t i = 0; i < round->groups; i++) {
        const struct round_group *group = &round->group[i];
        put_digest(ret, &group->id);
        put_digest(ret, &group->content);
        bytes_be64(ret, group->slot);
        bytes_be64(ret, group->age);
        bytes_be32(ret, group->attempt);
        bytes_be32(ret, group->use);
    }
    SCOPED_VALUE(bytes) columns = {0};
    column_list_encode(&round->columns, &columns);
    bytes_be32(ret, (uint32_t)columns.len);
    bytes_put(ret, columns.data, columns.len);
    bytes_be64(ret, round->run_rounds);
}

static bool get_columns(struct reader *in, struct column_list *ret)
{
    const struct column_bounds bounds = {ORIGIN_LEARNER, ROUND_COMPLETIONS_MAX};
    uint32_t len;
    const uint8_t *data;
    if (!read_be32(in, &len) || !read_bytes(in, len, &data))
        return false;
    err_t failed = column_list_decode(data, len, &bounds, ret);
    bool good = !err_failed(failed);
    err_free(failed);
    return good;
}

/* What format 4 added. Its first records ended with the columns. */
static bool get_added(struct reader *in, struct round *ret)
{
    if (!get_columns(in, &ret->columns))
        return false;
    return !in->left ||
           (read_be64(in, &ret->run_rounds) && (!ret->run_rounds || ret->run_rounds > ret->round));
}

static bool get_round_group(struct reader *in, struct round_group *ret)
{
    return get_digest(in, &ret->id) && get_digest(in, &ret->content) && read_be64(in, &ret->slot) &&
           read_be64(in, &ret->age) && read_be32(in, &ret->attempt) && read_be32(in, &ret->use);
}

err_t round_decode(const uint8_t *data, size_t len, struct round **ret)
{
    struct reader in = {data, len};
    SCOPED(round) round = mem_new(sizeof *round);
    uint8_t policy = REPLAY_FIFO;
    uint32_t groups = 0;
    uint8_t format = 0;
    bool good = get_format(&in, 'R', &format) && read_be32(&in, &round->lineage) &&
                read_be32(&in, &round->updates) && read_be64(&in, &round->round) &&
                read_be64(&in, &round->first_version) && read_be64(&in, &round->seed) &&
                read_be64(&in, &round->limit) && get_text(&in, ROUND_TEXT_MAX, &round->settings) &&
                get_text(&in, ROUND_TEXT_MAX, &round->fingerprint) &&
                get_kind(&in, REPLAY_PRIORITY, &policy) && read_be32(&in, &round->max_uses);
    if (!good || !read_be32(&in, &groups) || !groups || groups > ROUND_GROUPS_MAX ||
        in.left / ROUND_GROUP < groups || !round->updates)
        return damaged("round", data, len);
    round->policy = (enum replay_policy)policy;
    round->group = mem_array(groups, sizeof *round->group);
    round->groups = groups;
    for (size_t i = 0; good && i < groups; i++)
        good = get_round_group(&in, &round->group[i]);
    if (!good || (format >= 4 && !get_added(&in, round)) || in.left)
        return damaged("round", data, len);
    *ret = STEAL(round);
    return OK;
}

void update_encode(const struct update *update, struct bytes *ret)
{
    put_header(ret, 'U');
    bytes_be64(ret, update->round);
    bytes_u8(ret, update->ends_round);
    bytes_u8(ret, (uint8_t)update->trainees.count);
    for (uint32_t i = 0; i < update->trainees.count; i++) {
        put_text(ret, update->trainees.at[i].name);
        put_digest(ret, &update->trainees.at[i].weights);
    }
}

static bool get_trainee(struct reader *in, struct trainee_digests *list)
{
    struct trainee_digest *ret = &list->at[list->count];
    uint32_t len;
    const uint8_t *name;
    if (!read_be32(in, &len) || !len || len >= sizeof ret->name || !read_bytes(in, len, &name) ||
        memchr(name, 0, len))
        return false;
    *ret = (struct trainee_digest){0};
    memcpy(ret->name, name, len);
    for (uint32_t i = 0; i < list->count; i++)
        if (strcmp(list->at[i].name, ret->name) == 0)
            return false;
    list->count++;
    return get_digest(in, &ret->weights);
}

/* What format 3 had: the policy's digest, then whether the round ends. */
static bool get_policy_alone(struct reader *in, struct update *ret)
{
    uint8_t ends = 0;
    struct digest weights;
    bool good = get_digest(in, &weights) && get_kind(in, 1, &ends);
    if (good)
        ret->trainees = trainees_policy(&weights);
    ret->ends_round = ends;
    return good;
}

static bool get_trainees(struct reader *in, struct update *ret)
{
    uint8_t ends = 0, count = 0;
    bool good = get_kind(in, 1, &ends) && get_kind(in, TRAINEES_MAX, &count) && count;
    while (good && ret->trainees.count < count)
        good = get_trainee(in, &ret->trainees);
    ret->ends_round = ends;
    return good;
}

err_t update_decode(const uint8_t *data, size_t len, struct update *ret)
{
    struct reader in = {data, len};
    struct update update = {0};
    uint8_t format = 0;
    bool good = get_format(&in, 'U', &format) && read_be64(&in, &update.round);
    if (!good || !(format < 4 ? get_policy_alone(&in, &update) : get_trainees(&in, &update)) ||
        in.left)
        return damaged("update", data, len);
    *ret = update;
    return OK;
}
