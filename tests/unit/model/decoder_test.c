/* A decoder over a real directory: rows in, stamped completions out, whatever waits, stands still
 * or is forgotten meanwhile. */
#include "base/file.h"
#include "model/engine/decoder.h"
#include "model/text/tokenizer_trainer.h"
#include "unit/model/tiny.h"
#include <stdio.h>

enum { MAX_PROMPT = 12, MAX_TOKENS = 40, SLOTS = 6, REQUESTS = 9, K = 2 };

/* A model of two layers and a tokenizer of letters. */
static const char *make_directory(void)
{
    static const char *const special[] = {"<pad>", "<eos>"};
    const char *directory = testing_directory();
    const struct tokenizer_training training = {
        .vocab_size = 18, .special = special, .specials = 2};
    SCOPED(tokenizer_trainer) trainer = NULL;
    SCOPED(tokenizer) tokenizer = NULL;
    assert_ok(tokenizer_trainer_new(&training, &trainer));
    tokenizer_trainer_feed(trainer, "abcdefghijklmnop", 16);
    assert_ok(tokenizer_trainer_finish(trainer, &tokenizer));
    assert_ok(tokenizer_save(tokenizer, directory));
    struct model_config config =
        config_default(tokenizer_vocab(tokenizer), 64, 48, 2, 4, 2, 96, true);
    config.max_positions = 60;
    config.eos[0] = tokenizer_eos(tokenizer);
    config.eos_count = 1;
    SCOPED(backend) be = tiny_backend(1);
    SCOPED(model) model = NULL;
    assert_ok(model_new(be, &config, 5, &model));
    assert_ok(model_save(model, directory));
    return directory;
}

static struct decoder_options options_of(const char *directory)
{
    return (struct decoder_options){.directory = directory,
                                    .backend = {.threads = 1},
                                    .kv = KV_F32,
                                    .rows = {.names = {"prompt", "completion", "text"}},
                                    .max_prompt_tokens = MAX_PROMPT,
                                    .max_tokens = MAX_TOKENS,
                                    .sampling = {.temperature = 1, .seed = 3},
                                    .slots = SLOTS};
}

static struct decoder *open(const struct decoder_options *options)
{
    struct decoder *decoder = NULL;
    assert_ok(decoder_open(options, &decoder));
    return decoder;
}

static struct digest id_of(uint64_t i)
{
    return hash128(&i, sizeof i, 0);
}

/* Request i: its prompt has 1 + i % MAX_PROMPT letters; row adds keys, or is "". */
static err_t admit_ranked(struct decoder *decoder, uint64_t i, const char *more, void *arg,
                          uint64_t rank)
{
    char text[128], letters[MAX_PROMPT + 1] = "";
    SCOPED_JSON json_t *row = NULL;
    for (uint64_t t = 0; t <= i % MAX_PROMPT; t++)
        letters[t] = (char)('a' + (i + 3 * t) % 16);
    snprintf(text, sizeof text, "{\"prompt\": \"%s\"%s}", letters, more);
    assert_ok(json_parse(text, strlen(text), "row", &row));
    return decoder_admit(decoder, &(struct decoder_request){.id = id_of(i),
                                                            .arg = arg,
                                                            .row = row,
                                                            .name = "row",
                                                            .prompt = i,
                                                            .epoch = 1,
                                                            .completions = K,
                                                            .rank = rank});
}

static err_t admit(struct decoder *decoder, uint64_t i, const char *more, void *arg)
{
    return admit_ranked(decoder, i, more, arg, 0);
}

static struct decoded *next(struct decoder *decoder)
{
    struct decoded *decoded;
    while (!(decoded = decoder_take(decoder))) {
        assert_true(decoder_busy(decoder));
        assert_ok(decoder_step(decoder));
    }
    return decoded;
}

static void assert_same(const struct decoded *a, const struct decoded *b)
{
    assert_int_equal(a->prompt_tokens, b->prompt_tokens);
    for (int i = 0; i < K; i++) {
        const struct decoded_completion *x = &a->completion[i], *y = &b->completion[i];
        assert_int_equal(x->tokens, y->tokens);
        assert_memory_equal(x->token, y->token, (size_t)x->tokens * sizeof *x->token);
        assert_memory_equal(x->logp, y->logp, (size_t)x->tokens * sizeof *x->logp);
        assert_int_equal(x->text_len, y->text_len);
        assert_string_equal(x->text, y->text);
        assert_int_equal(x->finish, y->finish);
    }
}

/* Each alone, then all at once: more than there are slots for. */
static void requests_wait_for_slots_and_change_nothing(void **state)
{
    (void)state;
    const struct decoder_options options = options_of(make_directory());
    SCOPED(decoder) one = open(&options);
    SCOPED(decoder) all = open(&options);
    int name[REQUESTS], done = 0;
    for (uint64_t i = 0; i < REQUESTS; i++) {
        assert_int_equal(decoder_has_room(all, K), i == 0); // the first waits for a step
        assert_ok(admit(all, i, "", &name[i]));
    }
    while (decoder_busy(all)) {
        SCOPED(decoded) decoded = next(all);
        SCOPED(decoded) alone = NULL;
        assert_in_range((int *)decoded->arg - name, 0, REQUESTS - 1);
        assert_ok(admit(one, (uint64_t)((int *)decoded->arg - name), "", NULL));
        alone = next(one);
        assert_same(decoded, alone);
        done++;
    }
    assert_int_equal(done, REQUESTS);
    const struct decoder_figures figures = decoder_figures(all);
    assert_int_equal(figures.tokens, decoder_figures(one).tokens);
    assert_int_equal(figures.active_slots, 0);
    assert_int_equal(decoder_in_flight(all), 0);
    assert_true(figures.busy_s > 0 && figures.bytes > 0);
}

/* As long as nothing is known of what rows cost: the first steps. */
static void a_higher_rank_waits_while_it_would_be_in_the_way(void **state)
{
    (void)state;
    static const char *const five = ", \"max_tokens\": 5, \"ignore_eos\": true";
    const struct decoder_options options = options_of(make_directory());
    SCOPED(decoder) decoder = open(&options);
    int name[3];
    assert_ok(admit_ranked(decoder, 0, five, &name[0], 7));
    assert_ok(admit_ranked(decoder, 1, five, &name[1], 8));
    assert_ok(admit_ranked(decoder, 2, five, &name[2], 8));
    assert_ok(decoder_step(decoder));
    assert_int_equal(decoder_figures(decoder).active_slots, K); // of 6 slots
    SCOPED(decoded) first = next(decoder);
    assert_ptr_equal(first->arg, &name[0]);
    assert_true(decoder_busy(decoder));
    assert_ok(decoder_step(decoder));
    assert_int_equal(decoder_figures(decoder).active_slots, 2 * K); // equals wait for nobody
    SCOPED(decoded) second = next(decoder);
    SCOPED(decoded) third = next(decoder);
    assert_int_not_equal((int *)second->arg - name, (int *)third->arg - name);
    assert_false(decoder_busy(decoder));
}

/* A request that stands still keeps nobody waiting for ever. */
static void a_suspended_lower_rank_is_not_waited_for(void **state)
{
    (void)state;
    const struct decoder_options options = options_of(make_directory());
    SCOPED(decoder) decoder = open(&options);
    int name[2];
    const struct digest id = id_of(0);
    assert_ok(admit_ranked(decoder, 0, "", &name[0], 7));
    assert_ok(decoder_step(decoder));
    for (int i = 0; i < K; i++)
        assert_true(decoder_suspend(decoder, &id, i));
    assert_ok(admit_ranked(decoder, 1, "", &name[1], 8));
    SCOPED(decoded) younger = next(decoder);
    assert_ptr_equal(younger->arg, &name[1]);
    assert_ptr_equal(decoder_cancel(decoder, &id), &name[0]);
}

static void rows_say_how_long_and_long_ones_are_refused(void **state)
{
    (void)state;
    struct decoder_options options = options_of(make_directory());
    SCOPED(decoder) decoder = open(&options);
    SCOPED_JSON json_t *row = json_pack("{s:s}", "prompt", "abcdefghabcde");
    SCOPED_VALUE(prompt_row) prompt = {0};
    assert_err(ERR_RANGE, "row: a prompt of 13 tokens; 1 to 12 are allowed",
               decoder_read(decoder, row, "row", &prompt));
    assert_ok(admit(decoder, 2, ", \"max_tokens\": 7, \"ignore_eos\": true", NULL));
    SCOPED(decoded) decoded = next(decoder);
    for (int i = 0; i < K; i++) {
        assert_int_equal(decoded->completion[i].tokens, 7);
        assert_int_equal(decoded->completion[i].finish, ENGINE_LENGTH);
    }
    assert_err(ERR_INVALID, "max_tokens", admit(decoder, 2, ", \"max_tokens\": 0", NULL));
    assert_err(ERR_INVALID, "7 completions; 1 to 6, the slots",
               decoder_admit(decoder, &(struct decoder_request){
                                          .row = row, .name = "row", .completions = 7}));
    assert_false(decoder_busy(decoder));
    options.max_tokens = 60;
    SCOPED(decoder) none = NULL;
    assert_err(ERR_INVALID, "generator.max_tokens", decoder_open(&options, &none));
    options = options_of(make_directory());
    options.stop = (struct stop_names){.token = (char *[]){"<nope>"}, .tokens = 1};
    assert_err(ERR_INVALID, "generator.stop_tokens", decoder_open(&options, &none));
}

/* The oldest completion stands still for a while; memory for it stays, or does not. */
static void a_completion_stands_still_and_goes_on_to_the_same_bits(void **state)
{
    (void)state;
    struct decoder_options options = options_of(make_directory());
    SCOPED(decoder) plain = open(&options);
    assert_ok(admit(plain, 4, ", \"ignore_eos\": true", NULL));
    SCOPED(decoded) straight = next(plain);
    const size_t page = engine_page_bytes(decoder_model(plain));
    for (int pages = 0; pages <= 2; pages += 2)
        for (int at = 1; at < MAX_TOKENS; at += 6) {
            options.kv_bytes = (size_t)pages * page;
            SCOPED(decoder) decoder = open(&options);
            struct digest id = id_of(4), other = id_of(77);
            assert_ok(admit(decoder, 4, ", \"ignore_eos\": true", NULL));
            for (int i = 0; i < at; i++)
                assert_ok(decoder_step(decoder));
            assert_false(decoder_suspend(decoder, &other, 0));
            for (int i = 0; i < K; i++)
                assert_true(decoder_suspend(decoder, &id, i));
            assert_false(decoder_busy(decoder));
            assert_ok(admit(decoder, 5, ", \"ignore_eos\": true", decoder));
            SCOPED(decoded) rival = next(decoder);
            assert_ptr_equal(rival->arg, decoder);
            assert_false(decoder_busy(decoder));
            assert_int_equal(decoder_in_flight(decoder), K * at);
            assert_int_equal(decoder_figures(decoder).preemptions > 0, pages > 0);
            for (int i = 0; i < K; i++)
                assert_true(decoder_resume(decoder, &id, i));
            SCOPED(decoded) late = next(decoder);
            assert_same(late, straight);
        }
}

static void what_is_cancelled_or_dropped_comes_back_to_its_owner(void **state)
{
    (void)state;
    const struct decoder_options options = options_of(make_directory());
    SCOPED(decoder) decoder = open(&options);
    int name[REQUESTS];
    for (uint64_t i = 0; i < REQUESTS; i++)
        assert_ok(admit(decoder, i, ", \"ignore_eos\": true", &name[i]));
    assert_ok(decoder_step(decoder)); // three run, the others wait
    const struct digest running = id_of(1), waiting = id_of(8), unknown = id_of(99);
    assert_ptr_equal(decoder_cancel(decoder, &running), &name[1]);
    assert_null(decoder_cancel(decoder, &running));
    assert_ptr_equal(decoder_cancel(decoder, &waiting), &name[8]);
    assert_null(decoder_cancel(decoder, &unknown));
    assert_int_equal(decoder_figures(decoder).active_slots, 2 * K);
    decoder_hold(decoder, true); // nothing begins, what has begun goes on
    for (int i = 0; i < 2; i++) {
        SCOPED(decoded) decoded = next(decoder);
        assert_true(decoded->arg == &name[0] || decoded->arg == &name[2]);
    }
    assert_false(decoder_busy(decoder));
    decoder_hold(decoder, false);
    assert_true(decoder_busy(decoder));
    assert_ok(decoder_step(decoder));
    unsigned seen = 0;
    for (void *arg; (arg = decoder_drop(decoder));)
        seen |= 1u << ((int *)arg - name);
    assert_int_equal(seen, 0xf8); // 3 to 7
    assert_false(decoder_busy(decoder));
    assert_int_equal(decoder_figures(decoder).active_slots, 0);
}

/* The directory's model gets rows without a token that an unmasked draw would take, and a list of
 * end tokens of which the first is an ordinary one. */
static const char *padded_directory(int rows, const char *generation)
{
    const char *directory = make_directory();
    SCOPED(backend) be = tiny_backend(1);
    SCOPED(model) model = NULL;
    SCOPED(model) wide = NULL;
    SCOPED_MEM char *path = file_join(directory, "generation_config.json");
    assert_ok(model_load(be, directory, &model));
    wide = padded_model(model, rows);
    assert_ok(model_save(wide, directory));
    if (generation)
        assert_ok(file_write(path, generation, strlen(generation)));
    return directory;
}

static void rows_without_a_token_are_not_drawn(void **state)
{
    (void)state;
    static const struct sampling ways[] = {
        {.temperature = 1, .seed = 3},
        {.temperature = 0, .seed = 3},
        {.temperature = 0, .repetition_penalty = 1.3, .seed = 3},
        {.temperature = 0.7, .top_p = 0.9, .repetition_penalty = 1.1, .seed = 3}};
    struct decoder_options narrow = options_of(make_directory());
    struct decoder_options wide = options_of(padded_directory(5, NULL));
    for (size_t way = 0; way < sizeof ways / sizeof *ways; way++) {
        narrow.sampling = wide.sampling = ways[way];
        SCOPED(decoder) a = open(&narrow);
        SCOPED(decoder) b = open(&wide);
        assert_int_equal(decoder_model(a)->vacants, 0);
        assert_int_equal(decoder_model(b)->vacants, 1);
        for (uint64_t i = 0; i < REQUESTS; i++) {
            assert_ok(admit(a, i, "", NULL));
            assert_ok(admit(b, i, "", NULL));
            SCOPED(decoded) want = next(a);
            SCOPED(decoded) got = next(b);
            assert_same(got, want);
        }
    }
}

/* Token 2 is the letter a. */
static void any_token_of_a_list_ends(void **state)
{
    (void)state;
    struct decoder_options options = options_of(padded_directory(5, "{\"eos_token_id\": [2, 1]}"));
    SCOPED(decoder) decoder = open(&options);
    SCOPED(decoder) none = NULL;
    int ended[3] = {0};
    for (uint64_t i = 0; i < 40; i++) {
        assert_ok(admit(decoder, i, "", NULL));
        SCOPED(decoded) decoded = next(decoder);
        for (int k = 0; k < K; k++) {
            const struct decoded_completion *c = &decoded->completion[k];
            const int32_t last = c->token[c->tokens - 1];
            for (int t = 0; t + 1 < c->tokens; t++)
                assert_true(c->token[t] != 1 && c->token[t] != 2);
            assert_int_equal(c->finish == ENGINE_EOS, last == 1 || last == 2);
            assert_null(strchr(c->text, 'a'));
            ended[c->finish == ENGINE_EOS ? last : 0]++;
        }
    }
    assert_true(ended[1] > 0 && ended[2] > 0);
    options.directory = padded_directory(5, "{\"eos_token_id\": [1, 20]}");
    assert_err(ERR_PRECONDITION,
               "generation_config.json: 'eos_token_id' 20 has no token: the tokenizer has 18",
               decoder_open(&options, &none));
    options.directory = padded_directory(5, "{\"eos_token_id\": [1, 23]}");
    assert_err(ERR_INVALID, "generation_config.json: 'eos_token_id' 23 is outside the vocabulary",
               decoder_open(&options, &none));
}

TESTS(cmocka_unit_test(rows_without_a_token_are_not_drawn),
      cmocka_unit_test(any_token_of_a_list_ends),
      cmocka_unit_test(requests_wait_for_slots_and_change_nothing),
      cmocka_unit_test(a_higher_rank_waits_while_it_would_be_in_the_way),
      cmocka_unit_test(a_suspended_lower_rank_is_not_waited_for),
      cmocka_unit_test(rows_say_how_long_and_long_ones_are_refused),
      cmocka_unit_test(a_completion_stands_still_and_goes_on_to_the_same_bits),
      cmocka_unit_test(what_is_cancelled_or_dropped_comes_back_to_its_owner))
