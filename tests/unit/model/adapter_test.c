/* Adapters of every family: the gradient against finite differences in double, the micro-batches'
 * against one large batch's, the base without the adapter against the base. Files there and
 * back. */
#include "base/file.h"
#include "model/adapter.h"
#include "reference.h"

enum { V = 11, C = 16, F = 24, L = 2, H = 2, K = 1, SEQUENCES = 3, ROWS = 15 };
static const int lengths[SEQUENCES] = {9, 1, 5};

static struct model_config config_of(const struct model_family *family)
{
    struct model_config config = config_default(V, C, F, L, H, K, 32, false);
    config_family(&config, family);
    if (!family_key(family, offsetof(struct model_config, K)))
        config.K = H;
    return config;
}

/* All of its matrices, by one rank and scale; or what PEFT would take, by others. */
static struct lora lora_of(const struct model_family *family, bool all)
{
    static const char *const names[] = {"all-linear"};
    struct lora lora = {.r = all ? 3 : 8, .alpha = all ? 5 : 4, .rslora = all};
    assert_ok(adapter_targets(family, names, all ? 1 : 0, &lora.roles));
    return lora;
}

/* Every value drawn, B's too. */
static void draw(struct model *model, double size, uint64_t seed)
{
    const struct layout *layout = model->params->layout;
    SCOPED_MEM bf16 *value = mem_array(layout->elements, sizeof *value);
    for (int i = 0; i < layout->count; i++) {
        const struct layout_tensor *t = &layout->tensor[i];
        const struct rng rng = rng_keyed(seed, RNG_TEST, (uint64_t)i, 0);
        for (size_t j = 0; j < t->count; j++)
            value[t->offset + j] =
                bf16_from_float((float)((2 * rng_uniform(&rng, j) - 1) * (t->cols ? size : 1.0) +
                                        (t->cols ? 0 : 0.1)));
    }
    assert_ok(model_put(model, value, NULL));
}

static struct model *model_of(struct backend *be, const struct model_family *family, bool all)
{
    struct model *model = NULL;
    const struct model_config config = config_of(family);
    const struct lora lora = lora_of(family, all);
    assert_ok(model_new(be, &config, 5, &model));
    draw(model, 0.4, 7);
    assert_ok(adapter_new(model, "base", &lora, LORA_KAIMING, 3));
    draw(model->adapter, 0.3, 8);
    return model;
}

static void gradients_are_those_of_finite_differences(void **state)
{
    (void)state;
    for (int i = 0; family_at(i); i++)
        for (int all = 0; all < 2; all++) {
            SCOPED(backend) be = tiny_backend(1);
            SCOPED(model) model = model_of(be, family_at(i), all);
            SCOPED(forward) fw = NULL;
            SCOPED(gradient) grad = NULL;
            SCOPED_VALUE(reference) ref = reference_of(model);
            SCOPED_VALUE(tiny_batch) b = tiny_batch_of(lengths, 0, SEQUENCES, V, 2);
            assert_ok(forward_new(model, ROWS, 4, FORWARD_INPUTS, &fw));
            assert_ok(gradient_new(model, &grad));
            tiny_backward(fw, &b, grad);
            SCOPED_MEM float *got = gradient_of(grad);
            const struct layout *layout = model->adapter->params->layout;
            double largest = 0, worst = 0;
            for (int t = 0; t < layout->count; t++)
                for (size_t n = 0; n < layout->tensor[t].count;
                     n += 1 + layout->tensor[t].count / 9) {
                    const size_t j = layout->tensor[t].offset + n;
                    const double h = 1e-5, at = ref.low[j];
                    ref.low[j] = at + h;
                    const double above = reference_loss(&ref, &b);
                    ref.low[j] = at - h;
                    const double slope = (above - reference_loss(&ref, &b)) / (2 * h);
                    ref.low[j] = at;
                    largest = fmax(largest, fabs(slope));
                    worst = fmax(worst, fabs(slope - (double)got[j]));
                }
            print_message("%s, %s: %.1e of %.1e\n", family_at(i)->model_type,
                          all ? "all" : "PEFT's", worst, largest);
            assert_true(largest > 0.02 && worst < 2e-6 * fmax(largest, 1));
        }
}

/* Parts of a fused map share an A, whose gradient is one chain all the same. */
static void micro_batches_add_up_to_the_large_batch(void **state)
{
    (void)state;
    for (int i = 0; family_at(i); i++) {
        SCOPED(backend) be = tiny_backend(2);
        SCOPED(model) model = model_of(be, family_at(i), true);
        SCOPED(forward) fw = NULL;
        SCOPED(gradient) whole = NULL;
        SCOPED(gradient) parts = NULL;
        assert_ok(forward_new(model, ROWS, 4, FORWARD_ALL, &fw));
        assert_ok(gradient_new(model, &whole));
        assert_ok(gradient_new(model, &parts));
        SCOPED_VALUE(tiny_batch) all = tiny_batch_of(lengths, 0, SEQUENCES, V, 2);
        tiny_backward(fw, &all, whole);
        for (int s = 0; s < SEQUENCES; s++) {
            SCOPED_VALUE(tiny_batch) one = tiny_batch_of(lengths, s, 1, V, 2);
            tiny_backward(fw, &one, parts);
        }
        assert_same_gradient(whole, parts);
    }
}

static void logits_into(struct model *model, float **ret)
{
    SCOPED(forward) fw = NULL;
    int32_t row[ROWS];
    SCOPED_VALUE(tiny_batch) b = tiny_batch_of(lengths, 0, SEQUENCES, V, 2);
    for (int i = 0; i < b.N; i++)
        row[i] = i;
    assert_ok(forward_new(model, ROWS, 4, FORWARD_NOTHING, &fw));
    tiny_forward(fw, &b);
    *ret = logits_of(model, fw, row, b.N);
}

static void a_fresh_one_and_one_that_is_off_leave_the_base(void **state)
{
    (void)state;
    for (int i = 0; family_at(i); i++) {
        SCOPED(backend) be = tiny_backend(1);
        SCOPED(model) model = NULL;
        SCOPED_MEM float *base = NULL;
        SCOPED_MEM float *fresh = NULL;
        SCOPED_MEM float *trained = NULL;
        SCOPED_MEM float *off = NULL;
        const struct model_config config = config_of(family_at(i));
        const struct lora lora = lora_of(family_at(i), true);
        const size_t bytes = ROWS * V * sizeof(float);
        assert_ok(model_new(be, &config, 5, &model));
        logits_into(model, &base);
        assert_ok(adapter_new(model, "base", &lora, LORA_GAUSSIAN, 3));
        logits_into(model, &fresh);
        draw(model->adapter, 0.3, 8);
        logits_into(model, &trained);
        model->adapter_off = true;
        logits_into(model, &off);
        assert_memory_equal(base, fresh, bytes);
        assert_memory_not_equal(base, trained, bytes);
        assert_memory_equal(base, off, bytes);
    }
}

/* A step moves the adapter alone. */
static void a_step_leaves_the_base_as_it_is(void **state)
{
    (void)state;
    SCOPED(backend) be = tiny_backend(1);
    SCOPED(model) model = model_of(be, family_at(0), true);
    SCOPED(forward) fw = NULL;
    SCOPED(gradient) grad = NULL;
    SCOPED(optimizer) opt = NULL;
    struct optimizer_result made;
    const struct digest base = weights_digest_of(model);
    assert_ok(forward_new(model, ROWS, 4, FORWARD_ALL, &fw));
    assert_ok(gradient_new(model, &grad));
    assert_ok(optimizer_new(model->adapter, &OPTIMIZER_DEFAULTS, NULL, &opt));
    assert_int_equal(optimizer_bytes(opt).device, 12 * model->adapter->params->layout->elements);
    SCOPED_VALUE(tiny_batch) b = tiny_batch_of(lengths, 0, SEQUENCES, V, 2);
    tiny_backward(fw, &b, grad);
    assert_ok(optimizer_step(opt, grad, 1e-2, &made));
    assert_true(made.changed > 0.9);
    assert_ok(optimizer_verify(opt));
    const struct digest after = weights_digest_of(model), adapter = optimizer_digest(opt),
                        found = weights_digest_of(model->adapter);
    assert_true(digest_equal(&base, &after));
    assert_true(digest_equal(&adapter, &found));
}

/* PEFT's bounds: kaiming_uniform_(a=sqrt(5)) is +-1/sqrt(columns). */
static void a_begins_as_peft_begins_it(void **state)
{
    (void)state;
    SCOPED(backend) be = tiny_backend(1);
    SCOPED(model) model = NULL;
    SCOPED(model) again = NULL;
    const struct model_config config = config_of(family_at(0));
    struct lora lora = lora_of(family_at(0), true);
    lora.r = 64;
    assert_ok(model_new(be, &config, 5, &model));
    assert_ok(model_new(be, &config, 6, &again));
    assert_ok(adapter_new(model, "base", &lora, LORA_KAIMING, 3));
    assert_ok(adapter_new(again, "base", &lora, LORA_KAIMING, 3));
    assert_same_weights(model->adapter, again->adapter);
    SCOPED_MEM bf16 *flat = flat_of(model->adapter);
    const struct layout *layout = model->adapter->params->layout;
    for (int i = 0; i < layout->count; i++) {
        const struct layout_tensor *t = &layout->tensor[i];
        const bool is_a = strstr(t->name, ".lora_A.") != NULL;
        double most = 0, squares = 0;
        for (size_t j = 0; j < t->count; j++) {
            const double value = bf16_to_float(flat[t->offset + j]);
            most = fmax(most, fabs(value));
            squares += value * value / (double)t->count;
        }
        const double bound = is_a ? 1 / sqrt(t->cols) : 0;
        assert_true(most <= bound * 1.004 && most >= bound * 0.95);
        assert_near(squares, bound * bound / 3, bound * bound * 0.03); // 1024 draws and more
    }
    assert_ok(adapter_new(again, "base", &lora, LORA_GAUSSIAN, 3));
    SCOPED_MEM bf16 *normal = flat_of(again->adapter);
    double squares = 0;
    for (size_t j = 0; j < layout->tensor[0].count; j++)
        squares += pow(bf16_to_float(normal[j]) * lora.r, 2) / (double)layout->tensor[0].count;
    assert_near(squares, 1, 0.15);
}

static void assert_roles(const char *model_type, const char *name, unsigned want)
{
    unsigned roles = 0;
    assert_ok(adapter_targets(family_find(model_type), &name, 1, &roles));
    assert_int_equal(roles, want);
}

static void targets_are_modules_by_pefts_names(void **state)
{
    (void)state;
    enum { Q = 1 << PARAM_Q, KK = 1 << PARAM_K, VV = 1 << PARAM_V, O = 1 << PARAM_O };
    enum { GATE = 1 << PARAM_GATE, UP = 1 << PARAM_UP, DOWN = 1 << PARAM_DOWN };
    unsigned roles;
    static const char *const one[] = {"q_proj"};
    assert_roles("llama", "q_proj", Q);
    assert_roles("qwen3", "self_attn.o_proj", O);
    assert_roles("mistral", "all-linear", Q | KK | VV | O | GATE | UP | DOWN);
    assert_roles("gpt2", "c_attn", Q | KK | VV);
    assert_roles("gpt2", "c_proj", O | DOWN);
    assert_roles("gpt2", "attn.c_proj", O);
    assert_roles("gpt2", "mlp.c_proj", DOWN);
    assert_roles("gpt_neox", "query_key_value", Q | KK | VV);
    assert_roles("gpt_neox", "dense", O);
    assert_roles("gpt_neox", "all-linear", Q | KK | VV | O | UP | DOWN);
    assert_ok(adapter_targets(family_find("qwen2"), NULL, 0, &roles));
    assert_int_equal(roles, Q | VV);
    assert_ok(adapter_targets(family_find("gpt2"), NULL, 0, &roles));
    assert_int_equal(roles, Q | KK | VV);
    SCOPED_MEM char *names = adapter_target_names(family_find("gpt2"), Q | KK | VV | O | DOWN);
    assert_string_equal(names, "c_attn, attn.c_proj, mlp.c_proj");
    assert_err(ERR_INVALID,
               "'q_proj' is no matrix of a layer of gpt2; allowed: c_attn, attn.c_proj, c_fc, "
               "mlp.c_proj, all-linear",
               adapter_targets(family_find("gpt2"), one, 1, &roles));
    static const char *const head[] = {"lm_head"};
    assert_err(ERR_INVALID,
               "'lm_head' is the model's head, which has no adapter; allowed of llama: q_proj, "
               "k_proj, v_proj, o_proj, gate_proj, up_proj, down_proj, all-linear",
               adapter_targets(family_find("llama"), head, 1, &roles));
}

/* A good config of a model of two layers, in which one key has another value; NULL: none. */
static err_t parse_with(const char *key, const char *value)
{
    static const char good[] =
        "{\"peft_type\": \"LORA\", \"task_type\": \"CAUSAL_LM\", \"r\": 4, \"lora_alpha\": 8, "
        "\"target_modules\": [\"q_proj\"], \"lora_dropout\": 0.05, \"rank_pattern\": {}}";
    struct lora lora;
    const struct model_config base = config_of(family_at(0));
    SCOPED_JSON json_t *json = json_loads(good, 0, NULL);
    if (value)
        json_object_set_new(json, key, json_loads(value, JSON_DECODE_ANY, NULL));
    else
        json_object_del(json, key);
    return adapter_config_parse(json, "a.json", &base, &lora);
}

static void what_would_be_other_arithmetic_is_refused_by_name(void **state)
{
    (void)state;
    static const struct {
        const char *key, *value, *message;
    } cases[] = {
        {"peft_type", "\"IA3\"", "a.json: 'peft_type' is \"IA3\"; allowed: \"LORA\""},
        {"task_type", "\"SEQ_CLS\"", "'task_type' is \"SEQ_CLS\"; allowed: \"CAUSAL_LM\", null"},
        {"r", NULL, "a.json: 'r'"},
        {"r", "0", "a.json: 'r'"},
        {"r", "1025", "a.json: 'r'"},
        {"lora_alpha", "0", "'lora_alpha' is 0; allowed: a number above 0, up to 1e6"},
        {"lora_alpha", NULL, "'lora_alpha' is not there"},
        {"target_modules", NULL, "'target_modules' is not there; allowed: a list"},
        {"target_modules", "[]", "'target_modules' is []; allowed: a list"},
        {"target_modules", "\".*proj\"", "'target_modules' is \".*proj\"; allowed: a list"},
        {"target_modules", "[\"lm_head\"]", "'lm_head' is the model's head"},
        {"target_modules", "[\"model.layers.1.mlp.up_proj\"]",
         "a.json: 'target_modules': 'mlp.up_proj' is named of 1 of 2 layers; allowed: of all"},
        {"target_modules", "[\"model.layers.2.mlp.up_proj\"]", "is no matrix of a layer of llama"},
        {"use_dora", "true", "'use_dora' is true; allowed: null, false, \"none\" or empty"},
        {"bias", "\"all\"", "'bias' is \"all\""},
        {"rank_pattern", "{\"q_proj\": 8}", "'rank_pattern' is {\"q_proj\":8}"},
        {"modules_to_save", "[\"lm_head\"]", "'modules_to_save' is [\"lm_head\"]"},
        {"layers_to_transform", "[0]", "'layers_to_transform' is [0]"},
        {"init_lora_weights", "\"pissa\"", "'init_lora_weights' is \"pissa\""},
        {"a_key_of_later", "1", "'a_key_of_later' is 1"},
    };
    assert_ok(parse_with("lora_dropout", "0.1"));
    assert_ok(parse_with("init_lora_weights", "\"gaussian\""));
    assert_ok(parse_with("target_modules", "\"all-linear\""));
    assert_ok(parse_with("target_modules", "[\"model.layers.1.mlp.up_proj\", "
                                           "\"model.layers.0.mlp.up_proj\", \"k_proj\"]"));
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        assert_err(ERR_INVALID, cases[i].message, parse_with(cases[i].key, cases[i].value));
}

/* Into files and back, both kinds of memory; and onto weights that it was not trained beside. */
static void files_hold_it(void **state)
{
    (void)state;
    for (int i = 0; family_at(i); i++) {
        SCOPED(backend) be = tiny_backend(1);
        SCOPED(model) model = model_of(be, family_at(i), i % 2);
        SCOPED(model) whole = NULL;
        SCOPED(model) compact = NULL;
        SCOPED(model) other = NULL;
        char *base = testing_path(testing_directory(), family_at(i)->model_type);
        SCOPED_MEM char *directory = mem_printf("%s-adapter", base);
        SCOPED_MEM char *found = NULL;
        assert_ok(model_save(model, base));
        mem_free(model->adapter->base->directory);
        model->adapter->base->directory = mem_string(base);
        assert_ok(model_save(model->adapter, directory));
        assert_true(adapter_is(directory) && !adapter_is(base));
        assert_ok(adapter_base(directory, &found));
        assert_string_equal(found, base);
        assert_ok(model_load(be, base, &whole));
        assert_ok(model_load_compact(be, base, &compact));
        assert_ok(adapter_load(whole, base, directory));
        assert_ok(adapter_load(compact, base, directory));
        assert_same_weights(model->adapter, whole->adapter);
        assert_same_weights(model->adapter, compact->adapter);
        assert_true(lora_scale(&model->adapter->config.lora) ==
                    lora_scale(&whole->adapter->config.lora));
        const struct model_config config = config_of(family_at(i));
        assert_ok(model_new(be, &config, 9, &other));
        assert_err(ERR_PRECONDITION, "was trained beside weights of digest",
                   adapter_load(other, base, directory));
    }
}

/* W + scale B A: a model whose logits are the pair's, but for the float32 of the sum. */
static void merged_it_is_a_model_by_itself(void **state)
{
    (void)state;
    for (int i = 0; family_at(i); i++) {
        SCOPED(backend) be = tiny_backend(1);
        SCOPED(model) model = model_of(be, family_at(i), true);
        SCOPED_VALUE(reference) pair = reference_of(model);
        SCOPED_VALUE(buffer) merged = {0};
        SCOPED_VALUE(tiny_batch) b = tiny_batch_of(lengths, 0, SEQUENCES, V, 2);
        const size_t elements = model->params->layout->elements;
        const double want = reference_loss(&pair, &b);
        assert_ok(buffer_alloc(be, elements * sizeof(float), &merged));
        assert_ok(adapter_merge(model, NULL, &merged));
        SCOPED_MEM float *value = mem_array(elements, sizeof *value);
        assert_ok(buffer_get(&merged, 0, merged.bytes, value));
        for (size_t j = 0; j < elements; j++)
            pair.w[j] = (double)value[j];
        free(STEAL(pair.low));
        assert_near(reference_loss(&pair, &b), want, 1e-5);
    }
}

TESTS(cmocka_unit_test(gradients_are_those_of_finite_differences),
      cmocka_unit_test(micro_batches_add_up_to_the_large_batch),
      cmocka_unit_test(a_fresh_one_and_one_that_is_off_leave_the_base),
      cmocka_unit_test(a_step_leaves_the_base_as_it_is),
      cmocka_unit_test(a_begins_as_peft_begins_it),
      cmocka_unit_test(targets_are_modules_by_pefts_names), cmocka_unit_test(files_hold_it),
      cmocka_unit_test(what_would_be_other_arithmetic_is_refused_by_name),
      cmocka_unit_test(merged_it_is_a_model_by_itself))
