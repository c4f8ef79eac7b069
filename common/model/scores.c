#include "model/scores.h"
#include "base/mem.h"
#include "model/forward.h"
#include <math.h>
#include <string.h>

struct scores {
    struct model *model;
    struct forward *forward;
    struct pack *pack;
    int32_t *position;
    int longest;
};

err_t scores_new_micro(struct model *model, int micro_tokens, int longest, struct scores **ret)
{
    SCOPED(scores) s = mem_new(sizeof *s);
    if (!(model->config.parts & PART_VALUE))
        return err_new(ERR_INVALID, "a model without a value's head scores nothing");
    s->model = model;
    s->longest = longest;
    TRY(pack_new(micro_tokens, longest, &s->pack));
    TRY(forward_new(model, s->pack->max_rows, PACK_SHARING, FORWARD_NOTHING, &s->forward));
    s->position = mem_array((size_t)longest, sizeof *s->position);
    for (int i = 0; i < longest; i++)
        s->position[i] = i;
    *ret = STEAL(s);
    return OK;
}

err_t scores_new(struct model *model, int longest, struct scores **ret)
{
    return scores_new_micro(model, SCORES_MICRO_TOKENS, longest, ret);
}

int scores_place(const int32_t *token, int count, int pad)
{
    int last = count - 1;
    while (pad >= 0 && last > 0 && token[last] == pad)
        last--;
    return last;
}

static err_t check_length(const struct scores *s, long count)
{
    if (count < 1 || count > s->longest)
        return err_new(ERR_RANGE, "%ld tokens to score; 1 to %d fit", count, s->longest);
    return OK;
}

static err_t check_finite(float score)
{
    return isfinite(score) ? OK : err_new(ERR_DATA_LOSS, "the score is %g", (double)score);
}

err_t scores_run(struct scores *s, const int32_t *token, int count, float *ret)
{
    TRY(check_length(s, count));
    const int32_t row = scores_place(token, count, s->model->config.pad);
    const struct segment segment = {.count = row + 1}; // no later token is seen
    float score;
    TRY(forward_run(s->forward, token, s->position, row + 1, &segment, 1));
    TRY(forward_value(s->forward, s->model, &row, 1, &score));
    TRY(check_finite(score));
    *ret = score;
    return OK;
}

/* ---- many */

/* Sequences as the pack takes them. There the last token is not fed, so each gets one more token
 * behind the one that its score is read at: its last row is that token's. */
struct scored {
    uint32_t *token; // completions, each with a token more
    struct sequence *sequence;
};

static void scored_done(struct scored *scored)
{
    mem_free(scored->token);
    mem_free(scored->sequence);
}

static uint32_t token_at(const struct sequence *of, int i)
{
    return i < of->prompt_tokens ? of->prompt[i] : of->token[i - of->prompt_tokens];
}

/* scores_place of prompt and completion. */
static int place_of(const struct sequence *of, int pad)
{
    int last = of->prompt_tokens + of->tokens - 1;
    while (pad >= 0 && last > 0 && token_at(of, last) == (uint32_t)pad)
        last--;
    return last;
}

/* The tokens up to the place. A prompt has at least one of them: the pack shares whole prompts
 * alone, so one that is cut, or had none, shares with nobody. to: room for the completion and a
 * token more. */
static struct sequence cut(const struct sequence *of, int pad, uint32_t *to)
{
    const int kept = place_of(of, pad) + 1;
    struct sequence ret = {.prompt = of->prompt, .prompt_tokens = of->prompt_tokens, .token = to};
    if (!ret.prompt_tokens) {
        ret.prompt = of->token;
        ret.prompt_tokens = 1;
    } else if (kept < ret.prompt_tokens)
        ret.prompt_tokens = kept;
    const int tokens = kept - ret.prompt_tokens;
    for (int i = 0; i < tokens; i++)
        to[i] = token_at(of, ret.prompt_tokens + i);
    to[tokens] = 0;
    ret.tokens = tokens + 1;
    ret.context = ret.prompt_tokens;
    return ret;
}

static err_t prepare(const struct scores *s, const struct sequence *sequence, size_t count,
                     struct scored *ret)
{
    size_t tokens = 0;
    for (size_t i = 0; i < count; i++) {
        const struct sequence *of = &sequence[i];
        TRY(err_wrap(check_length(s, (long)of->prompt_tokens + of->tokens), "sequence %zu", i));
        tokens += (size_t)of->tokens + 1;
    }
    ret->sequence = mem_array(count, sizeof *ret->sequence);
    ret->token = mem_array(tokens, sizeof *ret->token);
    uint32_t *to = ret->token;
    for (size_t i = 0; i < count; i++) {
        ret->sequence[i] = cut(&sequence[i], s->model->config.pad, to);
        to += sequence[i].tokens + 1;
    }
    return OK;
}

/* The micro-batch that begins with the first of `count` sequences; *ret_taken: how many it has. */
static err_t run_micro(struct scores *s, const struct sequence *sequence, size_t count, float *ret,
                       size_t *ret_taken)
{
    struct pack *pack = s->pack;
    const size_t taken = pack_fill(pack, sequence, count, NULL);
    TRY(forward_run(s->forward, pack->token, pack->position, pack->rows, pack->segment,
                    pack->segments));
    for (size_t i = 0; i < taken; i++) // its last target is predicted by its last row
        pack->row[i] = pack->row[pack->first[i + 1] - 1];
    TRY(forward_value(s->forward, s->model, pack->row, (int)taken, ret));
    *ret_taken = taken;
    return OK;
}

err_t scores_run_all(struct scores *s, const struct sequence *sequence, size_t count,
                     const struct scores_watch *watch, float *ret)
{
    SCOPED_VALUE(scored) scored = {0};
    TRY(prepare(s, sequence, count, &scored));
    for (size_t at = 0, taken = 0; at < count; at += taken) {
        if (watch)
            TRY(watch->look(watch->context, at));
        TRY(err_wrap(run_micro(s, scored.sequence + at, count - at, ret + at, &taken),
                     "sequences from %zu on", at));
        for (size_t i = at; i < at + taken; i++)
            TRY(err_wrap(check_finite(ret[i]), "sequence %zu", i));
    }
    return OK;
}

void scores_free(struct scores *s)
{
    if (!s)
        return;
    forward_free(s->forward);
    pack_free(s->pack);
    mem_free(s->position);
    mem_free(s);
}
