#include "ctl/reward/audit_probes.h"
#include "base/file.h"
#include "base/mem.h"
#include "base/rng.h"
#include "ctl/reward/reward_scorer.h"
#include "ctl/reward/words.h"
#include <math.h>
#include <string.h>

/* ---- rows: a loser with a phrase behind it as `chosen`, and as it is as `rejected` */

static json_t *joined(const char *text, const char *phrase)
{
    SCOPED_MEM char *all = mem_printf("%s %s", text, phrase);
    return json_string(all);
}

/* Messages with the phrase behind the last one's content; NULL: that is no text. */
static json_t *joined_messages(const json_t *messages, const char *phrase)
{
    json_t *copy = json_deep_copy(messages);
    json_t *last = json_array_get(copy, json_array_size(copy) - 1);
    const char *content = json_string_value(json_object_get(last, "content"));
    if (content)
        json_object_set_new(last, "content", joined(content, phrase));
    else
        json_decref(copy);
    return content ? copy : NULL;
}

static err_t probe_row(const struct audit *audit, const struct row_names *names, size_t i,
                       const char *phrase, json_t **ret)
{
    const struct audit_pair *pair = &audit->pairs.at[i];
    SCOPED_JSON json_t *row = NULL;
    SCOPED_MEM char *name = NULL;
    TRY(audit_pairs_row(&audit->pairs, i, &row, &name));
    json_t *loser = json_object_get(row, pair->swapped ? "chosen" : "rejected");
    json_t *probed = json_is_array(loser) ? joined_messages(loser, phrase) : NULL;
    if (!json_is_array(loser))
        *ret = json_pack("{s:s, s:o, s:s}", names->prompt, pair->prompt, "chosen",
                         joined(pair->loser, phrase), "rejected", pair->loser);
    else if (probed && json_object_get(row, names->prompt))
        *ret = json_pack("{s:O, s:o, s:O}", names->prompt, json_object_get(row, names->prompt),
                         "chosen", probed, "rejected", loser);
    else if (probed)
        *ret = json_pack("{s:o, s:O}", "chosen", probed, "rejected", loser);
    return OK;
}

/* ---- which losers, and which controls */

static bool has_words(const char *text, const struct words *phrase)
{
    SCOPED_VALUE(words) words = {0};
    const uint64_t hash = words_hash(phrase, 0, phrase->count);
    words_of(text, &words);
    for (size_t i = 0; i + phrase->count <= words.count; i++)
        if (words_hash(&words, i, phrase->count) == hash)
            return true;
    return false;
}

/* As many words of some winner. */
static char *control_of(const struct audit_pairs *pairs, const struct rng *rng, size_t length)
{
    SCOPED_VALUE(words) words = {0};
    SCOPED_VALUE(bytes) text = {0};
    for (uint64_t draw = 0; draw < 64; draw++) {
        words_of(pairs->at[rng_below(rng, 2 * draw, pairs->count)].winner, &words);
        if (words.count < length)
            continue;
        words_put(&words, rng_below(rng, 2 * draw + 1, words.count - length + 1), length, &text);
        return mem_string((const char *)text.data);
    }
    return NULL;
}

static err_t put_probe(const struct audit *audit, const struct row_names *names, size_t i,
                       const char *phrase, struct bytes *ret, size_t *count)
{
    SCOPED_JSON json_t *row = NULL;
    TRY(probe_row(audit, names, i, phrase, &row));
    if (!row)
        return OK;
    SCOPED_MEM char *text = json_to_text(row);
    bytes_text(ret, text);
    bytes_text(ret, "\n");
    ++*count;
    return OK;
}

/* Two rows for each loser: the phrase's and the control's. Returns how many losers. */
static err_t put_phrase(const struct audit *audit, const struct row_names *names, size_t g,
                        struct bytes *ret, size_t *ret_count)
{
    const struct audit_pairs *pairs = &audit->pairs;
    SCOPED_VALUE(words) phrase = {0};
    words_of(audit->grams.at[g].text, &phrase);
    *ret_count = 0;
    for (uint64_t draw = 0; draw < 4 * AUDIT_PROBE_TEXTS && *ret_count < AUDIT_PROBE_TEXTS;
         draw++) {
        const struct rng rng = rng_keyed(g, RNG_SELECT, draw, 7);
        const size_t i = (size_t)rng_below(&rng, 1000, pairs->count);
        SCOPED_MEM char *control = control_of(pairs, &rng, phrase.count);
        size_t put = 0;
        if (!control || has_words(pairs->at[i].loser, &phrase) ||
            has_words(pairs->at[i].prompt, &phrase))
            continue;
        TRY(put_probe(audit, names, i, audit->grams.at[g].text, ret, &put));
        if (put)
            TRY(put_probe(audit, names, i, control, ret, &put));
        *ret_count += put == 2;
    }
    return OK;
}

/* ---- scores */

struct probing {
    struct audit_gram *gram;
    size_t left[AUDIT_PROBED], at; // losers of each phrase
    size_t phrases;
    bool control;
    double sum, squares, others, count;
};

static void end_phrase(struct probing *p)
{
    struct audit_probe *probe = &p->gram[p->at].probe;
    const double n = p->count, mean = n > 0 ? p->sum / n : 0;
    const double spread = n > 1 ? sqrt(fmax(0, p->squares - n * mean * mean) / (n - 1) / n) : 0;
    *probe = (struct audit_probe){
        .texts = n, .raised = mean, .error = spread, .control = n > 0 ? p->others / n : 0};
    p->sum = p->squares = p->others = p->count = 0;
    p->at++;
}

static err_t take_probe(void *arg, json_t *line, const char *name, const struct answers *answers,
                        const double *score)
{
    struct probing *p = arg;
    (void)line;
    (void)name;
    (void)answers;
    const double raised = score[0] - score[1];
    if (p->control && isfinite(raised))
        p->others += raised;
    if (!p->control && isfinite(raised)) {
        p->sum += raised;
        p->squares += raised * raised;
        p->count++;
    }
    if (p->control && !--p->left[p->at])
        end_phrase(p);
    p->control = !p->control;
    return OK;
}

err_t audit_probes_run(const struct recipe *recipe, const char *model, const char *path,
                       struct audit *audit)
{
    const struct row_names names = {recipe->data.prompt_column, recipe->data.completion_column,
                                    recipe->data.text_column};
    SCOPED_VALUE(bytes) text = {0};
    SCOPED(jsonl) rows = NULL;
    SCOPED_VALUE(reward_scorer) scorer = {0};
    struct probing probing = {.gram = audit->grams.at};
    for (size_t g = 0; g < audit->grams.count && g < AUDIT_PROBED; g++) {
        TRY(put_phrase(audit, &names, g, &text, &probing.left[g]));
        if (!probing.left[g])
            break;
    }
    if (!text.len)
        return OK;
    TRY(file_write(path, text.data, text.len));
    TRY(jsonl_open(path, &rows));
    TRY(reward_scorer_open(recipe, model, &scorer));
    TRY(reward_scorer_check(&scorer, rows, NULL, NULL));
    return reward_scorer_run(&scorer, rows, take_probe, &probing);
}
