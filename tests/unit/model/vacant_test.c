/* A model with rows of the vocabulary that have no token, whose logits are the largest: what it
 * draws, its log-probabilities and gradients are, bit for bit, those of the model without these
 * rows. */
#include "tiny.h"

static const int lengths[] = {5, 40, 33, 1, 17, 2};
enum { SEQUENCES = 6, ROWS = 98, MORE = 3, DRAWS = 60 };

struct scene {
    struct backend *be;
    struct model *narrow, *wide;
    struct tiny_batch batch; // of tokens that both have
};

static struct scene scene_open(bool tied)
{
    const struct model_config config = tiny_config(tied);
    const struct token_range padding = {config.V, MORE};
    struct scene s = {.be = tiny_backend(2)};
    assert_ok(model_new(s.be, &config, 5, &s.narrow));
    s.wide = padded_model(s.narrow, MORE);
    s.wide->vacant = mem_copy(&padding, sizeof padding);
    s.wide->vacants = 1;
    s.batch = tiny_batch_of(lengths, 0, SEQUENCES, config.V, 1);
    return s;
}

static void scene_close(struct scene *s)
{
    tiny_batch_done(&s->batch);
    model_free(s->narrow);
    model_free(s->wide);
    backend_free(s->be);
}

/* Tokens drawn after one sequence's rows; greedy every seventh. */
static void draw(struct model *model, const struct tiny_batch *b, struct token_draw ret[DRAWS])
{
    SCOPED(forward) fw = NULL;
    struct token_request request[DRAWS];
    assert_ok(forward_new(model, ROWS, DRAWS, FORWARD_NOTHING, &fw));
    tiny_forward(fw, b);
    for (int i = 0; i < DRAWS; i++)
        request[i] = (struct token_request){.row = i,
                                            .greedy = i % 7 == 0,
                                            .inverse_temperature = 1.25f,
                                            .top_p = i % 3 ? 0 : 0.9f,
                                            .counter = (uint64_t)i};
    assert_ok(forward_draw(fw, b->row, DRAWS, request, DRAWS, ret));
}

static void padding_is_never_drawn(void **state)
{
    (void)state;
    for (int tied = 0; tied < 2; tied++) {
        struct scene s = scene_open(tied);
        const int V = s.narrow->config.V, padded = s.wide->vacants;
        struct token_draw want[DRAWS], got[DRAWS];
        int strayed = 0;
        draw(s.narrow, &s.batch, want);
        draw(s.wide, &s.batch, got);
        for (int i = 0; i < DRAWS; i++) {
            assert_true(got[i].finite && got[i].token < V);
            assert_int_equal(got[i].token, want[i].token);
            assert_memory_equal(&got[i].logp, &want[i].logp, sizeof want[i].logp);
        }
        s.wide->vacants = 0; // these rows are what unmasked draws take
        draw(s.wide, &s.batch, got);
        for (int i = 0; i < DRAWS; i++)
            strayed += got[i].token >= V;
        assert_true(strayed > DRAWS * 3 / 4);
        s.wide->vacants = padded;
        scene_close(&s);
    }
}

static void log_probabilities_are_those_without_padding(void **state)
{
    (void)state;
    for (int tied = 0; tied < 2; tied++) {
        struct scene s = scene_open(tied);
        float logp[2][ROWS], entropy[2][ROWS];
        for (int w = 0; w < 2; w++) {
            SCOPED(forward) fw = NULL;
            assert_ok(forward_new(w ? s.wide : s.narrow, ROWS, w ? 7 : 256, FORWARD_NOTHING, &fw));
            tiny_forward(fw, &s.batch);
            assert_ok(forward_logp(fw, s.batch.row, s.batch.target, s.batch.rows, 0.8f, logp[w],
                                   entropy[w]));
        }
        assert_memory_equal(logp[0], logp[1], (size_t)s.batch.rows * sizeof(float));
        assert_memory_equal(entropy[0], entropy[1], (size_t)s.batch.rows * sizeof(float));
        scene_close(&s);
    }
}

/* Of rows without a token the gradient is 0, of all else the same bits. */
static void gradients_are_those_without_padding(void **state)
{
    (void)state;
    for (int tied = 0; tied < 2; tied++) {
        struct scene s = scene_open(tied);
        float *flat[2];
        for (int w = 0; w < 2; w++) {
            SCOPED(forward) fw = NULL;
            SCOPED(gradient) grad = NULL;
            assert_ok(forward_new(w ? s.wide : s.narrow, ROWS, w ? 7 : 256, FORWARD_ALL, &fw));
            assert_ok(gradient_new(w ? s.wide : s.narrow, &grad));
            tiny_backward(fw, &s.batch, grad);
            assert_ok(gradient_sum(grad));
            flat[w] = gradient_of(grad);
        }
        const struct layout *narrow = s.narrow->params->layout, *wide = s.wide->params->layout;
        for (int i = 0; i < narrow->count; i++) {
            const struct layout_tensor *a = &narrow->tensor[i], *b = &wide->tensor[i];
            assert_string_equal(a->name, b->name);
            assert_memory_equal(flat[0] + a->offset, flat[1] + b->offset, a->count * sizeof(float));
            for (size_t j = a->count; j < b->count; j++)
                assert_true(flat[1][b->offset + j] == 0);
        }
        mem_free(flat[0]);
        mem_free(flat[1]);
        scene_close(&s);
    }
}

TESTS(cmocka_unit_test(padding_is_never_drawn),
      cmocka_unit_test(log_probabilities_are_those_without_padding),
      cmocka_unit_test(gradients_are_those_without_padding))
