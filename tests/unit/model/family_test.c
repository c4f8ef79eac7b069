/* A model computes as its family's row and its config say. The rows are those of the table and two
 * of this test, which have biases everywhere and a second head. Options of config.json follow. */
#include "model/workspace.h"
#include "reference.h"

enum { V = 11, C = 16, F = 24, L = 2, H = 2, K = 1, D = 8, SEQUENCES = 3, ROWS = 15 };
static const int lengths[SEQUENCES] = {9, 1, 5};

/* Names, order and biases unlike any of the table's. */
static struct model_family family_of(enum layer_order order)
{
    return (struct model_family){
        .model_type = "test",
        .architecture = "TestForCausalLM",
        .keys = family_at(0)->keys,
        .norm = NORM_RMS,
        .activation = ACTIVATION_SWIGLU,
        .order = order,
        .embed = {"wte", DIM_V, DIM_C},
        .layer = {[PARAM_NORM1] = {"h.%d.ln_1", DIM_C, .bias = true},
                  [PARAM_Q] = {"h.%d.q", DIM_HD, DIM_C, .bias = true},
                  [PARAM_K] = {"h.%d.k", DIM_KD, DIM_C, .bias = true},
                  [PARAM_V] = {"h.%d.v", DIM_KD, DIM_C, .bias = true},
                  [PARAM_O] = {"h.%d.o", DIM_C, DIM_HD, .bias = true},
                  [PARAM_NORM2] = {"h.%d.ln_2", DIM_C, .bias = true},
                  [PARAM_GATE] = {"h.%d.gate", DIM_F, DIM_C},
                  [PARAM_UP] = {"h.%d.up", DIM_F, DIM_C, .bias = true},
                  [PARAM_DOWN] = {"h.%d.down", DIM_C, DIM_F, .bias = true}},
        .final_norm = {"ln_f", DIM_C, .bias = true},
        .head = {[HEAD_VOCABULARY] = {"out", DIM_V, DIM_C},
                 [HEAD_VALUE] = {"score", DIM_ONE, DIM_C, .bias = true}},
    };
}

/* The test's two rows, then the table's; NULL past the last. */
static const struct model_family *family_of_test(int i)
{
    static struct model_family ours[2];
    if (i >= 2)
        return family_at(i - 2);
    ours[i] = family_of(i ? LAYER_PARALLEL : LAYER_SEQUENTIAL);
    return &ours[i];
}

static struct model_config config_of(const struct model_family *family, bool tied)
{
    struct model_config config = config_default(V, C, F, L, H, K, 32, tied);
    config_family(&config, family);
    if (!family_key(config.family, offsetof(struct model_config, K)))
        config.K = H;
    if (family != family_find(family->model_type)) // the test's own has both heads
        config.parts |= PART_VALUE;
    return config;
}

/* Options of a config that a family has beside its plain form. */
enum option {
    PLAIN,
    LINEAR,
    LLAMA3,
    WINDOW,      // in all layers
    LATE_WINDOW, // in the second
    PARTIAL,     // half of a head turns
    SEQUENTIAL,
    BY_TANH,
    OPTIONS
};
static struct model_config config_with(const struct model_family *family, bool tied,
                                       enum option option)
{
    struct model_config config = config_of(family, tied);
    switch (option) {
    case PLAIN:
    case OPTIONS:
        break;
    case LINEAR:
        config.rope = (struct rope){.kind = ROPE_LINEAR, .theta = 300, .factor = 2.5};
        break;
    case LLAMA3: // of four pairs one keeps its turns, one is between
        config.rope = (struct rope){
            .kind = ROPE_LLAMA3, .theta = 300, .factor = 4, .original = 16, .low = 1, .high = 2};
        break;
    case WINDOW:
    case LATE_WINDOW:
        config.windowed = true;
        config.window = option == WINDOW ? 3 : 4;
        config.window_from = option == LATE_WINDOW;
        break;
    case PARTIAL:
        config.rotary = 0.5;
        break;
    case SEQUENTIAL:
        config.order = LAYER_SEQUENTIAL;
        break;
    case BY_TANH:
        config.activation = ACTIVATION_GELU_TANH;
        break;
    }
    return config;
}

/* Every family, tied and not, and the options where they mean something; false past the last. */
static bool case_of(int i, struct model_config *ret)
{
    static const struct {
        const char *model_type;
        enum option option;
    } more[] = {{"llama", LINEAR},        {"llama", LLAMA3},    {"mistral", WINDOW},
                {"qwen2", LATE_WINDOW},   {"qwen3", LLAMA3},    {"gpt_neox", PARTIAL},
                {"gpt_neox", SEQUENTIAL}, {"gpt_neox", BY_TANH}};
    int families = 0;
    while (family_of_test(families))
        families++;
    const int at = i / 2 - families;
    if (at >= (int)(sizeof more / sizeof *more))
        return false;
    *ret = at < 0 ? config_of(family_of_test(i / 2), i % 2)
                  : config_with(family_find(more[at].model_type), i % 2, more[at].option);
    return true;
}

/* A model whose every weight is drawn, its norms and biases too. */
static struct model *model_of(struct backend *be, const struct model_config *config)
{
    struct model *model = NULL;
    assert_ok(model_new(be, config, 5, &model));
    const struct layout *layout = model->params->layout;
    SCOPED_MEM bf16 *value = mem_array(layout->elements, sizeof *value);
    for (int i = 0; i < layout->count; i++) {
        const struct layout_tensor *t = &layout->tensor[i];
        const struct rng rng = rng_keyed(7, RNG_TEST, (uint64_t)i, 0);
        for (size_t j = 0; j < t->count; j++)
            value[t->offset + j] = bf16_from_float(
                (float)((2 * rng_uniform(&rng, j) - 1) * (t->cols ? 0.4 : 1.0) + 0.1));
    }
    assert_ok(model_put(model, value, NULL));
    return model;
}

/* Hidden states are below 4, each a float32 chain of some 30 roundings in each of two layers. */
static void the_forward_is_the_rows_definition(void **state)
{
    (void)state;
    struct model_config config;
    for (int i = 0; case_of(i, &config); i++) {
        SCOPED(backend) be = tiny_backend(2);
        SCOPED(model) model = model_of(be, &config);
        SCOPED(forward) fw = NULL;
        SCOPED_VALUE(reference) ref = reference_of(model);
        SCOPED_VALUE(tiny_batch) b = tiny_batch_of(lengths, 0, SEQUENCES, V, 1);
        assert_ok(forward_new(model, ROWS, 4, FORWARD_NOTHING, &fw));
        tiny_forward(fw, &b);
        SCOPED_MEM float *got = rows_of(be, forward_hidden(fw), b.N, C);
        for (int s = 0; s < SEQUENCES; s++) {
            reference_row hidden[REFERENCE_ROWS];
            reference_hidden(&ref, b.token + b.segment[s].first, b.segment[s].count, hidden);
            for (int r = 0; r < b.segment[s].count; r++)
                for (int c = 0; c < C; c++)
                    assert_near(got[(b.segment[s].first + r) * C + c], hidden[r][c], 4e-6);
        }
    }
}

static void the_backward_is_the_slope_of_the_definition(void **state)
{
    (void)state;
    struct model_config config;
    for (int i = 0; case_of(i, &config); i++) {
        if (i % 2 && i > 6) // slow, and what is tied is no matter of the family's
            continue;
        SCOPED(backend) be = tiny_backend(1);
        SCOPED(model) model = model_of(be, &config);
        SCOPED(forward) fw = NULL;
        SCOPED(gradient) grad = NULL;
        SCOPED_VALUE(reference) ref = reference_of(model);
        SCOPED_VALUE(tiny_batch) b = tiny_batch_of(lengths, 0, SEQUENCES, V, 1);
        assert_ok(forward_new(model, ROWS, 4, FORWARD_ALL, &fw));
        assert_ok(gradient_new(model, &grad));
        tiny_backward(fw, &b, grad);
        assert_ok(gradient_sum(grad));
        SCOPED_MEM float *flat = gradient_of(grad);
        double largest = 0, worst = 0;
        for (size_t j = 0; j < model->params->layout->elements; j++) {
            const double h = 1e-5, at = ref.w[j];
            ref.w[j] = at + h;
            const double up = reference_loss(&ref, &b);
            ref.w[j] = at - h;
            const double slope = (up - reference_loss(&ref, &b)) / (2 * h);
            ref.w[j] = at;
            largest = fmax(largest, fabs(slope));
            worst = fmax(worst, fabs(slope - (double)flat[j]));
        }
        print_message("case %d, %s, %s: largest slope %.3g, worst difference %.2e\n", i,
                      config.family->model_type, i % 2 ? "tied" : "untied", largest, worst);
        assert_true(largest > 0.1 && worst < 2e-6 * fmax(largest, 1));
    }
}
/* The score head reads the same hidden states as the vocabulary's, whatever was asked for
 * before. */
static void a_second_head_has_its_own_outputs(void **state)
{
    (void)state;
    SCOPED(backend) be = tiny_backend(1);
    for (int tied = 0; tied < 2; tied++) {
        const struct model_config config = config_of(family_of_test(1), tied);
        SCOPED(model) model = model_of(be, &config);
        SCOPED(forward) fw = NULL;
        SCOPED_VALUE(reference) ref = reference_of(model);
        SCOPED_VALUE(tiny_batch) b = tiny_batch_of(lengths, 0, SEQUENCES, V, 1);
        float logp[4];
        assert_string_equal(model_head(model, HEAD_VALUE)->name, "score.weight");
        assert_int_equal(model_head(model, HEAD_VALUE)->rows, 1);
        assert_ok(forward_new(model, ROWS, 4, FORWARD_NOTHING, &fw));
        tiny_forward(fw, &b);
        SCOPED_MEM float *all = rows_of(be, forward_hidden(fw), b.N, C);
        SCOPED_MEM float *logits = outputs_of(model, fw, HEAD_VOCABULARY, b.row, b.rows);
        SCOPED_MEM float *score = outputs_of(model, fw, HEAD_VALUE, b.row, b.rows);
        for (int i = 0; i < b.rows; i++) {
            reference_row hidden, want;
            for (int c = 0; c < C; c++)
                hidden[c] = all[b.row[i] * C + c];
            reference_map(&ref, model->params->head[HEAD_VALUE], hidden, want);
            assert_near(score[i], want[0], 1e-6);
            reference_map(&ref, model->params->head[HEAD_VOCABULARY], hidden, want);
            for (int v = 0; v < V; v++)
                assert_near(logits[i * V + v], want[v], 1e-6);
        }
        assert_ok(forward_logp(fw, b.row, b.target, 4, 1, logp, NULL)); // leaves its logits there
        assert_ok(forward_head_chunk(fw, HEAD_VALUE, b.row, 4, fw->head_out));
        SCOPED_MEM float *again = rows_of(be, fw->head_out, 4, 1);
        assert_memory_equal(again, score, 4 * sizeof *score);
    }
}

/* Token by token through pages, and packed alone: the bits of the whole sequence. */
static void decoding_and_compact_weights_change_no_bit(void **state)
{
    (void)state;
    struct model_config config;
    for (int i = 0; case_of(i, &config); i++) {
        SCOPED(backend) be = tiny_backend(1);
        SCOPED(model) model = model_of(be, &config);
        SCOPED(model) compact = NULL;
        SCOPED(forward) whole = NULL;
        SCOPED(forward) steps = NULL;
        struct kv_pages *kv = NULL;
        SCOPED_VALUE(tiny_batch) b = tiny_batch_of(lengths, 0, 1, V, 1);
        assert_ok(model_empty_compact(be, &model->config, &compact));
        copy_weights(compact, model);
        model->kv = compact->kv = i % 2 ? KV_F32 : KV_BF16;
        assert_ok(forward_new(model, ROWS, 4, FORWARD_NOTHING, &whole));
        assert_ok(forward_new(compact, 1, 1, FORWARD_NOTHING, &steps));
        assert_ok(be->ops->kv_new(be, L, &model->shape, model->kv, 1, &kv));
        tiny_forward(whole, &b);
        SCOPED_MEM float *want = rows_of(be, forward_hidden(whole), b.N, C);
        for (int n = 0; n < b.N; n++) {
            const struct segment one = {.count = 1, .start = n, .kv = kv, .page = (int32_t[]){0}};
            assert_ok(forward_run(steps, &b.token[n], &b.position[n], 1, &one, 1));
            SCOPED_MEM float *got = rows_of(be, forward_hidden(steps), 1, C);
            assert_memory_equal(got, want + n * C, C * sizeof(float));
        }
        be->ops->kv_free(be, kv);
    }
}

/* From inputs alone, by other threads, in two micro-batches: the same bits. */
static void gradients_do_not_depend_on_how_they_are_computed(void **state)
{
    (void)state;
    struct model_config config;
    for (int i = 0; case_of(i, &config); i++) {
        SCOPED_MEM float *kept = NULL;
        SCOPED(backend) be = tiny_backend(1);
        SCOPED(model) model = model_of(be, &config);
        for (int way = 0; way < 3; way++) {
            SCOPED(backend) other = tiny_backend(1 + way);
            SCOPED(model) twin = model_of(way ? other : be, &config);
            SCOPED(forward) fw = NULL;
            SCOPED(gradient) grad = NULL;
            assert_ok(forward_new(twin, ROWS, 4, way ? FORWARD_INPUTS : FORWARD_ALL, &fw));
            assert_ok(gradient_new(twin, &grad));
            for (int first = 0, count = way == 2 ? 1 : SEQUENCES; first < SEQUENCES;
                 first += count) {
                SCOPED_VALUE(tiny_batch) b = tiny_batch_of(lengths, first, count, V, 1);
                tiny_backward(fw, &b, grad);
            }
            assert_ok(gradient_sum(grad));
            SCOPED_MEM float *flat = gradient_of(grad);
            if (kept)
                assert_memory_equal(kept, flat, grad->count * sizeof(float));
            else
                kept = STEAL(flat);
        }
    }
}

static void tensors_lie_in_the_order_of_their_roles(void **state)
{
    (void)state;
    static const char *const llama[] = {"model.embed_tokens.weight",
                                        "model.layers.0.input_layernorm.weight",
                                        "model.layers.0.self_attn.q_proj.weight",
                                        "model.layers.0.self_attn.k_proj.weight",
                                        "model.layers.0.self_attn.v_proj.weight",
                                        "model.layers.0.self_attn.o_proj.weight",
                                        "model.layers.0.post_attention_layernorm.weight",
                                        "model.layers.0.mlp.gate_proj.weight",
                                        "model.layers.0.mlp.up_proj.weight",
                                        "model.layers.0.mlp.down_proj.weight",
                                        "model.norm.weight",
                                        "lm_head.weight",
                                        NULL};
    static const char *const ours[] = {
        "wte.weight",      "h.0.ln_1.weight", "h.0.ln_1.bias", "h.0.q.weight",
        "h.0.q.bias",      "h.0.k.weight",    "h.0.k.bias",    "h.0.v.weight",
        "h.0.v.bias",      "h.0.o.weight",    "h.0.o.bias",    "h.0.ln_2.weight",
        "h.0.ln_2.bias",   "h.0.gate.weight", "h.0.up.weight", "h.0.up.bias",
        "h.0.down.weight", "h.0.down.bias",   "ln_f.weight",   "ln_f.bias",
        "out.weight",      "score.weight",    "score.bias",    NULL};
    for (int i = 0; i < 2; i++) {
        const char *const *name = i ? ours : llama;
        struct model_config config = config_of(i ? family_of_test(0) : family_find("llama"), false);
        config.L = 1;
        SCOPED(params) params = params_new(&config);
        for (int t = 0; t < params->layout->count; t++)
            assert_string_equal(params->layout->tensor[t].name, name[t]);
        assert_null(name[params->layout->count]);
    }
    struct model_config config = config_of(family_of_test(0), true);
    SCOPED(params) params = params_new(&config);
    const struct layout_tensor *bias = layout_find(params->layout, "h.1.q.bias");
    assert_non_null(bias);
    assert_int_equal(bias->rows, H * D);
    assert_int_equal(bias->cols, 0);
    assert_null(layout_find(params->layout, "h.1.gate.bias"));
    assert_null(layout_find(params->layout, "out.weight")); // tied
}

/* Biases 0 and norms 1; the vocabulary's head and the score's near 0. */
static void a_fresh_model_begins_with_nothing_added(void **state)
{
    (void)state;
    SCOPED(backend) be = tiny_backend(1);
    SCOPED(model) model = NULL;
    struct model_config config = config_of(family_of_test(1), false);
    assert_ok(model_new(be, &config, 1, &model));
    const struct layout *layout = model->params->layout;
    SCOPED_MEM bf16 *value = flat_of(model);
    for (int i = 0; i < layout->count; i++) {
        const struct layout_tensor *t = &layout->tensor[i];
        const bool bias = strstr(t->name, ".bias"), norm = strstr(t->name, "ln_");
        for (size_t j = 0; !t->cols && j < t->count; j++)
            assert_true(bf16_to_float(value[t->offset + j]) == (norm && !bias ? 1 : 0));
        double square = 0;
        for (size_t j = 0; j < t->count; j++)
            square += pow(bf16_to_float(value[t->offset + j]), 2);
        if (strcmp(t->name, "score.weight") == 0 || strcmp(t->name, "out.weight") == 0)
            assert_true(square > 0 && sqrt(square / (double)t->count) < 0.04); // std 0.02
    }
}

/* Config and weights of every family of the table and every option, written and read, in bf16 and
 * as an optimizer's masters. */
static void a_family_is_written_and_read(void **state)
{
    (void)state;
    struct model_config config;
    for (int i = 4; case_of(i, &config); i++) { // behind the test's own
        SCOPED(backend) be = tiny_backend(1);
        SCOPED(model) model = model_of(be, &config);
        SCOPED(model) got = NULL;
        SCOPED_VALUE(buffer) masters = {0};
        const size_t elements = model->params->layout->elements;
        const char *directory = testing_directory();
        assert_ptr_equal(family_find(config.family->model_type), config.family);
        assert_ok(model_save(model, directory));
        assert_ok(model_load(be, directory, &got));
        SCOPED_JSON json_t *written = config_json(&model->config);
        SCOPED_JSON json_t *again = config_json(&got->config);
        assert_true(json_equal(written, again));
        assert_int_equal(got->config.order, config.order);
        assert_int_equal(got->config.activation, config.activation);
        assert_same_weights(model, got);
        assert_ok(buffer_alloc(be, elements * sizeof(float), &masters));
        assert_ok(model_read_f32(model, directory, &masters));
        SCOPED_MEM float *master = rows_of(be, masters.address, 1, (int)elements);
        SCOPED_MEM bf16 *value = flat_of(model);
        for (size_t j = 0; j < elements; j++)
            assert_true(master[j] == bf16_to_float(value[j]));
    }
    assert_null(family_find("gpt"));
}

TESTS(cmocka_unit_test(the_forward_is_the_rows_definition),
      cmocka_unit_test(the_backward_is_the_slope_of_the_definition),
      cmocka_unit_test(a_second_head_has_its_own_outputs),
      cmocka_unit_test(decoding_and_compact_weights_change_no_bit),
      cmocka_unit_test(gradients_do_not_depend_on_how_they_are_computed),
      cmocka_unit_test(tensors_lie_in_the_order_of_their_roles),
      cmocka_unit_test(a_fresh_model_begins_with_nothing_added),
      cmocka_unit_test(a_family_is_written_and_read))
