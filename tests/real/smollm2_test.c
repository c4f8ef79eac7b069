/* SmolLM2-135M-Instruct, from a file in float32 and one in bf16, against transformers
 * (tests/golden/real.py): greedy tokens, logits, log-probabilities, a supervised step's loss and
 * gradients. Our weights are bf16, whatever the file has. transformers with rounded weights
 * (`bfloat16`) differs by the order of float32 sums alone. With the file's own (`float32`) the
 * rounding comes on top, 2^-9 of each weight. */
#include "model/engine/decoder.h"
#include "model/likelihood.h"
#include "real.h"
#include "unit/model/tiny.h"
#include <math.h>

enum { QUESTIONS = 3, TOP = 20, PAIRS = 6, LONGEST = 512, MOST = 40 };

/* Largest differences, with the reasons above; each is some twice what was measured. */
struct limits {
    double logit, logp, logp_mean, loss, norm; // norm: relative
};
static const struct limits ROUNDED = {2e-4, 2e-4, 2e-5, 4e-6, 6e-4};
static const struct limits ROUNDED_KV = {0.1, 0.1, 0.01, 0.01, 0.1}; // keys and values in bf16
static const struct limits WHOLE = {0.1, 0.3, 0.02, 0.005, 0.06};

static json_t *golden_of(const char *name)
{
    json_t *json = NULL;
    SCOPED_MEM char *path = mem_printf("%s/real/%s", TEST_GOLDEN, name);
    assert_ok(json_read_file(path, 1 << 20, &json));
    return json;
}

static struct model *model_of(struct backend *be, const char *name, enum kv_format kv)
{
    struct model *model = NULL;
    assert_ok(model_load(be, real_path(name), &model));
    model->kv = kv;
    return model;
}

static void both_files_hold_the_same_weights(void **state)
{
    (void)state;
    SCOPED(backend) be = tiny_backend(2);
    SCOPED(model) whole = model_of(be, "smollm2", KV_F32);
    SCOPED(model) rounded = model_of(be, "smollm2_bf16", KV_F32);
    struct digest a, b;
    assert_int_equal(whole->params->layout->parameters, 134515008);
    assert_ok(model_digest(whole, &a));
    assert_ok(model_digest(rounded, &b));
    assert_memory_equal(&a, &b, sizeof a);
}

/* ---- greedy text, as a generator decodes it */

static void decode(const json_t *golden, const json_t *answers, enum kv_format kv)
{
    SCOPED(decoder) decoder = NULL;
    const struct decoder_options options = {
        .directory = real_path("smollm2"),
        .backend = {.threads = 2},
        .kv = kv,
        .rows = {.names = {"prompt", "completion", "text"}, .special = true},
        .max_prompt_tokens = LONGEST,
        .max_tokens = MOST,
        .sampling = {.temperature = 0},
        .slots = QUESTIONS};
    assert_ok(decoder_open(&options, &decoder));
    for (size_t i = 0; i < QUESTIONS; i++) {
        SCOPED_JSON json_t *row = json_object();
        json_object_set(row, "prompt", json_array_get(json_object_get(golden, "questions"), i));
        const json_t *answer = json_array_get(answers, i);
        assert_ok(decoder_admit(decoder, &(struct decoder_request){.id = {{(uint8_t)(i + 1)}},
                                                                   .arg = (void *)answer,
                                                                   .row = row,
                                                                   .name = "question",
                                                                   .completions = 1}));
    }
    for (int left = QUESTIONS; left;) {
        assert_true(decoder_busy(decoder));
        assert_ok(decoder_step(decoder));
        struct decoded *next;
        while ((next = decoder_take(decoder))) {
            SCOPED(decoded) got = next;
            int prompt = 0, count = 0;
            SCOPED_MEM int32_t *prompt_ids =
                real_ids(json_object_get(got->arg, "prompt_ids"), &prompt);
            SCOPED_MEM int32_t *ids = real_ids(json_object_get(got->arg, "greedy_ids"), &count);
            print_message("%s\n", got->completion[0].text);
            assert_int_equal(got->prompt_tokens, prompt);
            assert_memory_equal(got->prompt_token, prompt_ids, (size_t)prompt * sizeof *ids);
            assert_int_equal(got->completion[0].tokens, count);
            assert_memory_equal(got->completion[0].token, ids, (size_t)count * sizeof *ids);
            left--;
        }
    }
}

static void greedy_tokens_are_those_of_transformers(void **state)
{
    (void)state;
    SCOPED_JSON json_t *golden = golden_of("smollm2.json");
    const json_t *whole = json_object_get(golden, "float32");
    const json_t *rounded = json_object_get(golden, "bfloat16");
    decode(golden, json_object_get(rounded, "answers"), KV_F32);
    decode(golden, json_object_get(whole, "answers"), KV_BF16);
}

/* ---- logits and log-probabilities */

static double logits_off(struct model *model, const json_t *answers)
{
    SCOPED(forward) fw = NULL;
    double worst = 0;
    assert_ok(forward_new(model, LONGEST, 1, FORWARD_NOTHING, &fw));
    for (size_t i = 0; i < QUESTIONS; i++) {
        const json_t *answer = json_array_get(answers, i), *top = json_object_get(answer, "top");
        int count = 0;
        SCOPED_MEM int32_t *ids = real_ids(json_object_get(answer, "prompt_ids"), &count);
        int32_t position[LONGEST];
        assert_in_range(count, 1, LONGEST);
        for (int p = 0; p < count; p++)
            position[p] = p;
        const struct segment segment = {.first = 0, .count = count};
        assert_ok(forward_run(fw, ids, position, count, &segment, 1));
        SCOPED_MEM float *logits = logits_of(model, fw, (int32_t[]){count - 1}, 1);
        for (size_t k = 0; k < TOP; k++) {
            const json_t *entry = json_array_get(top, k);
            const json_int_t id = json_integer_value(json_array_get(entry, 0));
            assert_in_range(id, 0, model->config.V - 1);
            worst = fmax(worst, fabs(logits[id] - json_real_value(json_array_get(entry, 1))));
        }
    }
    return worst;
}

struct off {
    double worst, sum, pair; // pair: largest difference of a completion's sum
    int count;
};

static void logp_off(struct likelihood *likelihood, const json_t *prompt_ids, const json_t *ids,
                     const json_t *want, struct off *off)
{
    int prompt = 0, count = 0;
    SCOPED_MEM int32_t *context = real_ids(prompt_ids, &prompt);
    SCOPED_MEM int32_t *token = real_ids(ids, &count);
    float logp[LONGEST];
    double sums = 0;
    assert_int_equal(json_array_size(want), count);
    assert_in_range(count, 1, LONGEST);
    const struct sequence sequence = {.prompt = (const uint32_t *)context,
                                      .token = (const uint32_t *)token,
                                      .prompt_tokens = prompt,
                                      .tokens = count,
                                      .context = prompt};
    assert_ok(likelihood_run(likelihood, &sequence, 1, 1, logp));
    for (int i = 0; i < count; i++) {
        const double difference = logp[i] - json_real_value(json_array_get(want, (size_t)i));
        off->worst = fmax(off->worst, fabs(difference));
        off->sum += fabs(difference);
        sums += difference;
    }
    off->count += count;
    off->pair = fmax(off->pair, fabs(sums));
}

static void compare_forward(const char *file, enum kv_format kv, const char *reference,
                            const struct limits *limits)
{
    static const char *const sides[] = {"chosen", "rejected"};
    SCOPED(backend) be = tiny_backend(2);
    SCOPED(model) model = model_of(be, file, kv);
    SCOPED(likelihood) likelihood = NULL;
    SCOPED_JSON json_t *golden = golden_of("smollm2.json");
    SCOPED_JSON json_t *pairs = golden_of("pairs.json");
    const json_t *of = json_object_get(golden, reference),
                 *answers = json_object_get(of, "answers");
    struct off off = {0};
    assert_int_equal(json_array_size(pairs), PAIRS);
    assert_ok(likelihood_new(model, LONGEST, LONGEST, &likelihood));
    for (size_t i = 0; i < QUESTIONS; i++) {
        const json_t *answer = json_array_get(answers, i);
        logp_off(likelihood, json_object_get(answer, "prompt_ids"),
                 json_object_get(answer, "greedy_ids"), json_object_get(answer, "logp"), &off);
    }
    for (size_t i = 0; i < 2 * PAIRS; i++) {
        const json_t *pair = json_array_get(pairs, i / 2);
        SCOPED_MEM char *ids = mem_printf("%s_ids", sides[i % 2]);
        const json_t *want = json_array_get(json_object_get(of, "pairs"), i / 2);
        logp_off(likelihood, json_object_get(pair, "prompt_ids"), json_object_get(pair, ids),
                 json_object_get(want, sides[i % 2]), &off);
    }
    const double logit = logits_off(model, answers);
    print_message("%s, kv %s, %s: logits %.1e; %d log-probabilities %.1e, mean %.1e; sums %.1e\n",
                  file, kv == KV_F32 ? "fp32" : "bf16", reference, logit, off.count, off.worst,
                  off.sum / off.count, off.pair);
    assert_true(logit <= limits->logit);
    assert_true(off.worst <= limits->logp);
    assert_true(off.sum / off.count <= limits->logp_mean);
}

static void logits_and_log_probabilities_agree(void **state)
{
    (void)state;
    compare_forward("smollm2", KV_F32, "bfloat16", &ROUNDED);
    compare_forward("smollm2_bf16", KV_F32, "bfloat16", &ROUNDED);
    compare_forward("smollm2_bf16", KV_BF16, "bfloat16", &ROUNDED_KV);
    compare_forward("smollm2", KV_F32, "float32", &WHOLE);
}

/* ---- a supervised step */

/* The mean cross-entropy of the first pair's better answer; its gradients at the model's layout. */
static double step(struct model *model, const json_t *pair, float **ret_gradient)
{
    SCOPED(forward) fw = NULL;
    SCOPED(gradient) grad = NULL;
    int prompt = 0, count = 0;
    SCOPED_MEM int32_t *context = real_ids(json_object_get(pair, "prompt_ids"), &prompt);
    SCOPED_MEM int32_t *answer = real_ids(json_object_get(pair, "chosen_ids"), &count);
    int32_t token[LONGEST], position[LONGEST], row[LONGEST];
    float dlogp[LONGEST], logp[LONGEST];
    const int N = prompt + count - 1;
    assert_in_range(N, 2, LONGEST);
    for (int i = 0; i < N; i++) {
        token[i] = i < prompt ? context[i] : answer[i - prompt];
        position[i] = i;
    }
    for (int i = 0; i < count; i++) {
        row[i] = prompt - 1 + i;
        dlogp[i] = -1.0f / (float)count;
    }
    const struct segment segment = {.first = 0, .count = N};
    assert_ok(forward_new(model, N, 64, FORWARD_ALL, &fw));
    assert_ok(gradient_new(model, &grad));
    assert_ok(forward_run(fw, token, position, N, &segment, 1));
    assert_ok(forward_logp(fw, row, answer, count, 1, logp, NULL));
    assert_ok(backward_run(fw, row, answer, dlogp, count, 1, grad));
    assert_ok(gradient_sum(grad));
    *ret_gradient = gradient_of(grad);
    double loss = 0;
    for (int i = 0; i < count; i++)
        loss -= logp[i] / count;
    return loss;
}

static void compare_step(const char *file, const char *reference, const struct limits *limits)
{
    SCOPED(backend) be = tiny_backend(2);
    SCOPED(model) model = model_of(be, file, KV_F32);
    SCOPED_JSON json_t *golden = golden_of("smollm2.json");
    SCOPED_JSON json_t *pairs = golden_of("pairs.json");
    const json_t *of = json_object_get(golden, reference);
    const json_t *norms = json_object_get(of, "gradient_norms");
    SCOPED_MEM float *gradient = NULL;
    const double want = json_real_value(json_object_get(of, "sft_loss"));
    const double loss = step(model, json_array_get(pairs, 0), &gradient);
    double worst = 0;
    for (int i = 0; i < model->params->layout->count; i++) {
        const struct layout_tensor *t = &model->params->layout->tensor[i];
        const json_t *norm = json_object_get(norms, model->params->stored[i].name);
        double square = 0;
        assert_non_null(norm);
        for (size_t k = 0; k < t->count; k++)
            square += (double)gradient[t->offset + k] * gradient[t->offset + k];
        worst = fmax(worst, fabs(sqrt(square) / json_real_value(norm) - 1));
    }
    print_message("%s, %s: loss %.6f, %.1e away; %zu gradients' norms %.1e\n", file, reference,
                  loss, fabs(loss - want), json_object_size(norms), worst);
    assert_int_equal(json_object_size(norms), model->params->layout->count);
    assert_true(fabs(loss - want) <= limits->loss);
    assert_true(worst <= limits->norm);
}

static void a_supervised_step_agrees(void **state)
{
    (void)state;
    compare_step("smollm2", "bfloat16", &ROUNDED);
    compare_step("smollm2", "float32", &WHOLE);
}

REAL_TESTS(cmocka_unit_test(both_files_hold_the_same_weights),
           cmocka_unit_test(greedy_tokens_are_those_of_transformers),
           cmocka_unit_test(logits_and_log_probabilities_agree),
           cmocka_unit_test(a_supervised_step_agrees))
