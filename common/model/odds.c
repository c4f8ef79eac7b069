#include "model/odds.h"
#include "base/mem.h"
#include "model/forward.h"
#include "model/pack.h"
#include <math.h>

struct odds {
    struct forward *forward;
    struct pack *pack;
    int longest, vocabulary;
    int32_t *target;       // (pack->max_rows) of the prompts
    float *first, *second; // likewise
};

err_t odds_new(struct model *model, int micro_tokens, int longest, struct odds **ret)
{
    SCOPED(odds) o = mem_new(sizeof *o);
    if (!(model->config.parts & PART_VOCABULARY))
        return err_new(ERR_INVALID, "a model without a vocabulary's head prefers no token");
    if (longest < 1)
        return err_new(ERR_INVALID, "%d tokens of a prompt; 1 and more are allowed", longest);
    o->longest = longest;
    o->vocabulary = model->config.V;
    TRY(pack_new(micro_tokens, longest + 1, &o->pack));
    TRY(forward_new(model, o->pack->max_rows, ODDS_HEAD_ROWS, FORWARD_NOTHING, &o->forward));
    const size_t targets = (size_t)o->pack->max_rows;
    o->target = mem_array(targets, sizeof *o->target);
    o->first = mem_array(targets, sizeof *o->first);
    o->second = mem_array(targets, sizeof *o->second);
    *ret = STEAL(o);
    return OK;
}

static err_t check(const struct odds *o, const struct odds_prompt *prompt, const int32_t token[2])
{
    if (prompt->tokens < 1 || prompt->tokens > o->longest)
        return err_new(ERR_RANGE, "%d tokens; 1 to %d fit", prompt->tokens, o->longest);
    for (int i = 0; i < 2; i++)
        if (token[i] < 0 || token[i] >= o->vocabulary)
            return err_new(ERR_INVALID, "token %d is none of the model's %d", token[i],
                           o->vocabulary);
    for (int i = 0; i < prompt->tokens; i++)
        if (prompt->token[i] < 0 || prompt->token[i] >= o->vocabulary)
            return err_new(ERR_INVALID, "its token %d is none of the model's %d", prompt->token[i],
                           o->vocabulary);
    return OK;
}

/* Of the micro-batch's prompts, whose last rows predict. */
static err_t label_logp(struct odds *o, int32_t token, float *ret)
{
    for (int i = 0; i < o->pack->targets; i++)
        o->target[i] = token;
    return forward_logp(o->forward, o->pack->row, o->target, o->pack->targets, 1, ret, NULL);
}

/* The micro-batch that begins with the first of `count` prompts; *ret_taken: how many it has. */
static err_t run_micro(struct odds *o, const struct sequence *sequence, size_t count,
                       const int32_t token[2], double *ret, size_t *ret_taken)
{
    const struct pack *pack = o->pack;
    const size_t taken = pack_fill(o->pack, sequence, count, NULL);
    TRY(forward_run(o->forward, pack->token, pack->position, pack->rows, pack->segment,
                    pack->segments));
    TRY(label_logp(o, token[0], o->first));
    TRY(label_logp(o, token[1], o->second));
    for (size_t i = 0; i < taken; i++)
        ret[i] = (double)o->first[i] - (double)o->second[i];
    *ret_taken = taken;
    return OK;
}

err_t odds_run(struct odds *o, const struct odds_prompt *prompt, size_t count,
               const int32_t token[2], const struct scores_watch *watch, double *ret)
{
    SCOPED_MEM struct sequence *sequence = mem_array(count, sizeof *sequence);
    const uint32_t behind = (uint32_t)token[0]; // predicted, and never fed
    for (size_t i = 0; i < count; i++) {
        TRY(err_wrap(check(o, &prompt[i], token), "prompt %zu", i));
        sequence[i] = (struct sequence){.prompt = (const uint32_t *)prompt[i].token,
                                        .prompt_tokens = prompt[i].tokens,
                                        .token = &behind,
                                        .tokens = 1,
                                        .context = prompt[i].tokens};
    }
    for (size_t at = 0, taken; at < count; at += taken) {
        if (watch)
            TRY(watch->look(watch->context, at));
        TRY(run_micro(o, sequence + at, count - at, token, ret + at, &taken));
        for (size_t i = at; i < at + taken; i++)
            if (!isfinite(ret[i]))
                return err_new(ERR_DATA_LOSS, "prompt %zu: log-odds are %g", i, ret[i]);
    }
    return OK;
}

void odds_free(struct odds *o)
{
    if (!o)
        return;
    forward_free(o->forward);
    pack_free(o->pack);
    mem_free(o->target);
    mem_free(o->first);
    mem_free(o->second);
    mem_free(o);
}
