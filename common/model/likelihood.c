#include "model/likelihood.h"
#include "base/mem.h"
#include "model/adapter.h"
#include "model/forward.h"
#include "model/text/tokenizer.h"
#include <math.h>
#include <string.h>

struct likelihood {
    struct forward *forward;
    struct pack *pack;
    int longest;
};

err_t likelihood_new(struct model *model, int micro_tokens, int longest, struct likelihood **ret)
{
    SCOPED(likelihood) l = mem_new(sizeof *l);
    l->longest = longest;
    TRY(pack_new(micro_tokens, longest, &l->pack));
    TRY(forward_new(model, l->pack->max_rows, LIKELIHOOD_HEAD_ROWS, false, &l->forward));
    *ret = STEAL(l);
    return OK;
}

static err_t check_lengths(const struct likelihood *l, const struct sequence *sequences,
                           size_t count)
{
    for (size_t i = 0; i < count; i++)
        if (sequence_rows(&sequences[i]) >= l->longest)
            return err_new(ERR_RANGE, "completion %zu: %d tokens with its prompt; at most %d fit",
                           i, sequence_rows(&sequences[i]) + 1, l->longest);
    return OK;
}

/* The micro-batch that begins with the first of `count` sequences; *ret_taken: how many it has. */
static err_t run_micro(struct likelihood *l, const struct sequence *sequences, size_t count,
                       size_t *ret_taken)
{
    const struct pack *pack = l->pack;
    *ret_taken = pack_fill(l->pack, sequences, count, NULL);
    return forward_run(l->forward, pack->token, pack->position, pack->rows, pack->segment,
                       pack->segments);
}

static err_t check_finite(const struct pack *pack, const char *what, const float *value)
{
    for (int i = 0; i < pack->targets; i++)
        if (!isfinite(value[i]))
            return err_new(ERR_DATA_LOSS, "token %d has %s %g", pack->target[i], what,
                           (double)value[i]);
    return OK;
}

err_t likelihood_run(struct likelihood *l, const struct sequence *sequences, size_t count,
                     float inverse_temperature, float *ret_logp)
{
    const struct pack *pack = l->pack;
    TRY(check_lengths(l, sequences, count));
    for (size_t at = 0, taken; at < count; at += taken) {
        TRY(run_micro(l, sequences + at, count - at, &taken));
        TRY(forward_logp(l->forward, pack->row, pack->target, pack->targets, inverse_temperature,
                         ret_logp, NULL));
        TRY(check_finite(pack, "log-probability", ret_logp));
        ret_logp += pack->targets;
    }
    return OK;
}

err_t likelihood_values(struct likelihood *l, struct model *of, const struct sequence *sequences,
                        size_t count, float *ret_value)
{
    const struct pack *pack = l->pack;
    TRY(check_lengths(l, sequences, count));
    for (size_t at = 0, taken; at < count; at += taken) {
        TRY(run_micro(l, sequences + at, count - at, &taken));
        TRY(forward_value(l->forward, of, pack->row, pack->targets, ret_value));
        TRY(check_finite(pack, "value", ret_value));
        ret_value += pack->targets;
    }
    return OK;
}

void likelihood_free(struct likelihood *l)
{
    if (!l)
        return;
    forward_free(l->forward);
    pack_free(l->pack);
    mem_free(l);
}

static err_t compare_tokenizers(const char *policy, const char *reference)
{
    SCOPED(tokenizer) a = NULL;
    SCOPED(tokenizer) b = NULL;
    TRY(tokenizer_load(policy, &a));
    TRY(tokenizer_load(reference, &b));
    struct digest of_a = tokenizer_digest(a), of_b = tokenizer_digest(b);
    if (digest_equal(&of_a, &of_b))
        return OK;
    return err_new(
        ERR_PRECONDITION,
        "'%s' has another tokenizer than '%s' (%d and %d tokens): the same text is other "
        "tokens there",
        reference, policy, tokenizer_vocab(b), tokenizer_vocab(a));
}

err_t likelihood_comparable(const char *policy, const char *reference, int tokens)
{
    struct model_config ours, theirs;
    SCOPED_MEM char *under = NULL;
    TRY(config_read_any(reference, &theirs)); // model_load tells one that is no language model
    TRY(adapter_under(policy, &under));
    TRY(config_read(policy = under, &ours));
    if (ours.V != theirs.V)
        return err_new(ERR_PRECONDITION,
                       "'%s' has a vocabulary of %d tokens, '%s' one of %d: they must be the same",
                       reference, theirs.V, policy, ours.V);
    if (tokens > ours.max_positions)
        tokens = ours.max_positions;
    if (theirs.max_positions < tokens)
        return err_new(ERR_PRECONDITION,
                       "'%s' takes sequences of %d tokens at most, those of '%s' may have %d",
                       reference, theirs.max_positions, policy, tokens);
    return strcmp(policy, reference) == 0 ? OK : compare_tokenizers(policy, reference);
}
