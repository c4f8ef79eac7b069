#include "base/bytes.h"
#include "base/file.h"
#include "base/mem.h"
#include "base/scoped.h"
#include "model/files/config.h"
#include "testing/testing.h"
#include <string.h>

static const char base[] =
    "{'model_type':'llama','vocab_size':48,'hidden_size':32,'intermediate_size':56,"
    "'num_hidden_layers':2,'num_attention_heads':2%s%s}";

/* base with single quotes doubled and one more member. */
static err_t parse_with(const char *member, struct model_config *ret)
{
    SCOPED_MEM char *text = mem_printf(base, *member ? "," : "", member);
    for (char *p = text; *p; p++)
        *p = *p == '\'' ? '"' : *p;
    SCOPED_JSON json_t *json = NULL;
    TRY(json_parse(text, strlen(text), "config.json", &json));
    return config_parse(json, "config.json", ret);
}

static void absent_keys_take_transformers_defaults(void **state)
{
    (void)state;
    struct model_config config;
    assert_ok(parse_with("", &config));
    assert_int_equal(config.K, 2);
    assert_int_equal(config.D, 16);
    assert_int_equal(config.max_positions, 2048);
    assert_true(config.norm_eps == 1e-6 && config.rope.theta == 10000);
    assert_false(config.tied);
    assert_int_equal(config.bos, -1);
    assert_int_equal(config.eos_count, 0);
    assert_int_equal(config.dtype, DTYPE_F32);
}

static void both_spellings_of_rope_and_dtype_are_read(void **state)
{
    (void)state;
    struct model_config config;
    assert_ok(parse_with("'rope_theta':500000,'torch_dtype':'bfloat16'", &config));
    assert_true(config.rope.theta == 500000 && config.dtype == DTYPE_BF16);
    assert_ok(parse_with(
        "'rope_parameters':{'rope_theta':5e5,'rope_type':'default'},'dtype':'float16'", &config));
    assert_true(config.rope.theta == 500000 && config.dtype == DTYPE_F16);
}

static void end_tokens_may_be_one_or_a_list(void **state)
{
    (void)state;
    struct model_config config;
    assert_ok(parse_with("'eos_token_id':7", &config));
    assert_true(config.eos_count == 1 && config.eos[0] == 7);
    assert_ok(parse_with("'eos_token_id':[7,9],'bos_token_id':1,'pad_token_id':-1", &config));
    assert_true(config.eos_count == 2 && config.eos[0] == 7 && config.eos[1] == 9);
    assert_int_equal(config.bos, 1);
    assert_int_equal(config.pad, -1);
}

static void head_sizes_are_multiples_of_eight(void **state)
{
    (void)state;
    struct model_config config;
    for (int D = 1; D <= 128; D++) {
        SCOPED_MEM char *member = mem_printf("'head_dim':%d", D);
        if (D % 8) {
            assert_err(ERR_INVALID, "is not a multiple of 8", parse_with(member, &config));
            continue;
        }
        assert_ok(parse_with(member, &config));
        assert_int_equal(config.D, D);
    }
}

/* Both spellings, a scaling's defaults, and what a written config says again. */
static void scalings_are_read_in_both_spellings(void **state)
{
    (void)state;
    static const struct {
        const char *member;
        struct rope want;
    } cases[] = {
        {"'rope_theta':5e5,'rope_scaling':{'type':'linear','factor':2}",
         {.kind = ROPE_LINEAR, .theta = 5e5, .factor = 2}},
        {"'rope_scaling':{'rope_type':'dynamic','factor':4.0}",
         {.kind = ROPE_DYNAMIC, .theta = 1e4, .factor = 4}},
        {"'rope_scaling':{'rope_type':'default'}", {.theta = 1e4}},
        {"'rope_parameters':{'rope_theta':5e5,'rope_type':'llama3','factor':32.0,"
         "'low_freq_factor':1.0,'high_freq_factor':4.0,'original_max_position_embeddings':8192}",
         {.kind = ROPE_LLAMA3, .theta = 5e5, .factor = 32, .original = 8192, .low = 1, .high = 4}},
        {"'rope_theta':7,'rope_scaling':{'type':'yarn','factor':4}",
         {.kind = ROPE_YARN,
          .theta = 7,
          .factor = 4,
          .original = 2048,
          .beta_fast = 32,
          .beta_slow = 1,
          .whole = true}},
        {"'rope_scaling':{'type':'yarn','original_max_position_embeddings':512,'truncate':false,"
         "'attention_factor':1.5,'beta_fast':16,'mscale':null}",
         {.kind = ROPE_YARN,
          .theta = 1e4,
          .factor = 4,
          .original = 512,
          .beta_fast = 16,
          .beta_slow = 1,
          .attention = 1.5}},
        {"'rope_scaling':{'type':'linear','factor':2},"
         "'rope_parameters':{'rope_type':'linear','factor':2.0,'rope_theta':9e3}",
         {.kind = ROPE_LINEAR, .theta = 9e3, .factor = 2}},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct model_config config, again;
        assert_ok(parse_with(cases[i].member, &config));
        SCOPED_JSON json_t *written = config_json(&config);
        assert_ok(config_parse(written, "written", &again));
        json_object_del(written, "rope_parameters"); // as transformers 4 reads it
        assert_ok(config_parse(written, "written", &again));
        for (int which = 0; which < 2; which++) {
            const struct rope *got = which ? &again.rope : &config.rope, *want = &cases[i].want;
            assert_int_equal(got->kind, want->kind);
            assert_int_equal(got->original, want->original);
            assert_int_equal(got->whole, want->whole);
            assert_true(got->theta == want->theta && got->factor == want->factor);
            assert_true(got->low == want->low && got->high == want->high);
            assert_true(got->beta_fast == want->beta_fast && got->beta_slow == want->beta_slow);
            assert_true(got->attention == want->attention && got->mscale == 0);
        }
    }
}

/* Directories of other families as transformers 4 and 5 write them. */
static void other_families_have_their_keys(void **state)
{
    (void)state;
    static const struct {
        const char *text, *message; // NULL: taken
    } cases[] = {
        {"{'model_type':'gpt_neox','vocab_size':48,'hidden_size':32,'intermediate_size':64,"
         "'num_hidden_layers':2,'num_attention_heads':2,'rotary_pct':0.25}",
         NULL},
        {"{'model_type':'gpt_neox','vocab_size':48,'hidden_size':32,'intermediate_size':64,"
         "'num_hidden_layers':2,'num_attention_heads':2,'rotary_pct':0.2}",
         "0.2 of a head of 16 turns"},
        {"{'model_type':'gpt_neox','vocab_size':48,'hidden_size':32,'intermediate_size':64,"
         "'num_hidden_layers':2,'num_attention_heads':2,'attention_bias':false}",
         "'attention_bias' is false"},
        {"{'model_type':'gpt_neox','vocab_size':48,'hidden_size':32,'intermediate_size':64,"
         "'num_hidden_layers':2,'num_attention_heads':2,'hidden_act':'relu'}",
         "'hidden_act' is \"relu\"; it must be \"gelu\", "},
        {"{'model_type':'gpt2','vocab_size':48,'n_embd':32,'n_layer':2,'n_head':2,"
         "'n_inner':null,'pruned_heads':{}}",
         NULL},
        {"{'model_type':'gpt2','vocab_size':48,'n_embd':32,'n_layer':2,'n_head':2,"
         "'scale_attn_by_inverse_layer_idx':true}",
         "'scale_attn_by_inverse_layer_idx' is true"},
        {"{'model_type':'gpt2','vocab_size':48,'n_embd':40,'n_layer':2,'n_head':2}",
         "head size 20 is not a multiple of 8 ('D', or 'n_embd' / 'n_head')"},
        {"{'model_type':'qwen2','vocab_size':48,'hidden_size':32,'intermediate_size':64,"
         "'num_hidden_layers':2,'num_attention_heads':2,'num_key_value_heads':1,"
         "'use_sliding_window':true,'sliding_window':9,'max_window_layers':1,"
         "'layer_types':['full_attention','sliding_attention']}",
         NULL},
        {"{'model_type':'qwen2','vocab_size':48,'hidden_size':32,'intermediate_size':64,"
         "'num_hidden_layers':2,'num_attention_heads':2,'num_key_value_heads':1,"
         "'layer_types':['full_attention','sliding_attention']}",
         "'layer_types' has \"sliding_attention\" for layer 1"},
        {"{'model_type':'mistral','vocab_size':48,'hidden_size':32,'intermediate_size':64,"
         "'num_hidden_layers':2,'num_attention_heads':2,'num_key_value_heads':1,"
         "'sliding_window':null}",
         NULL},
        {"{'model_type':'mistral','vocab_size':48,'hidden_size':32,'intermediate_size':64,"
         "'num_hidden_layers':2,'num_attention_heads':2,'num_key_value_heads':1,"
         "'sliding_window':0}",
         "'sliding_window' is 0"},
    };
    struct model_config got[sizeof cases / sizeof *cases];
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        SCOPED_MEM char *text = mem_string(cases[i].text);
        SCOPED_JSON json_t *json = NULL;
        for (char *p = text; *p; p++)
            *p = *p == '\'' ? '"' : *p;
        assert_ok(json_parse(text, strlen(text), "config.json", &json));
        if (cases[i].message)
            assert_err(ERR_INVALID, cases[i].message, config_parse(json, "c", &got[i]));
        else
            assert_ok(config_parse(json, "c", &got[i]));
    }
    assert_int_equal(config_rope(&got[0]).R, 4);
    assert_int_equal(got[0].order, LAYER_PARALLEL);
    assert_int_equal(got[0].activation, ACTIVATION_GELU);
    assert_int_equal(config_rope(&got[4]).R, 0);
    assert_int_equal(got[4].F, 128);
    assert_true(got[4].tied && got[4].activation == ACTIVATION_GELU_TANH);
    assert_int_equal(config_window(&got[7], 0), 0);
    assert_int_equal(config_window(&got[7], 1), 9);
    assert_int_equal(config_window(&got[9], 1), 0);
}

static void what_is_not_computed_is_refused_by_name(void **state)
{
    (void)state;
    static const struct {
        const char *member, *message;
    } cases[] = {
        {"'rope_scaling':{'type':'longrope','factor':2}",
         "config.json: rope_scaling: 'type' is \"longrope\"; it must be \"default\", \"linear\""},
        {"'rope_scaling':{'type':'linear'}", "rope_scaling: 'factor' is missing"},
        {"'rope_scaling':{'type':'linear','factor':0.5}", "'factor' is 0.5; it must be from 1"},
        {"'rope_scaling':{'type':'linear','factor':2,'short_factor':[1]}",
         "rope_scaling: 'short_factor' is [1]"},
        {"'rope_scaling':{'rope_type':'llama3','factor':8,'low_freq_factor':1}",
         "'high_freq_factor' is missing"},
        {"'rope_scaling':{'rope_type':'llama3','factor':8,'low_freq_factor':4,"
         "'high_freq_factor':1}",
         "'low_freq_factor' 4 and 'high_freq_factor' 1"},
        {"'rope_scaling':{'rope_type':'yarn','factor':8,'beta_fast':1,'beta_slow':32}",
         "'beta_fast' 1 and 'beta_slow' 32"},
        {"'rope_scaling':{'rope_type':'yarn','factor':8,'attention_factor':-1}",
         "'attention_factor' is -1; it must be above 0"},
        {"'rope_scaling':{'rope_type':'yarn','factor':8,'attention_factor':0}",
         "'attention_factor' is 0"},
        {"'original_max_position_embeddings':4096", "'original_max_position_embeddings' is 4096"},
        {"'rope_scaling':{'rope_type':'yarn','factor':8,'truncate':1}", "'truncate' is 1"},
        {"'rope_scaling':{'rope_type':'yarn','factor':8,'original_max_position_embeddings':0}",
         "'original_max_position_embeddings' is 0"},
        {"'rope_scaling':{'type':'linear','factor':2},"
         "'rope_parameters':{'rope_type':'linear','factor':3}",
         "'rope_scaling' and 'rope_parameters' are not the same"},
        {"'rope_scaling':7", "'rope_scaling' must be an object"},
        {"'rope_parameters':{'rope_theta':1e4,'rope_type':'llama3'}", "'factor' is missing"},
        {"'rope_parameters':{'full_attention':{'rope_type':'default'}}", "'full_attention' is"},
        {"'rope_parameters':{'rope_theta':1e4,'partial_rotary_factor':0.5}",
         "'partial_rotary_factor' is 0.5; only 1 is supported"},
        {"'layer_types':['full_attention','sliding_attention']",
         "'layer_types' has \"sliding_attention\" for layer 1"},
        {"'layer_types':['full_attention']", "'layer_types' must be a list of 2 words"},
        {"'rope_parameters':3", "'rope_parameters' must be an object"},
        {"'attention_bias':true", "'attention_bias' is true"},
        {"'mlp_bias':true", "'mlp_bias' is true"},
        {"'hidden_act':'gelu'", "'hidden_act' is \"gelu\""},
        {"'quantization_config':{'bits':4}", "'quantization_config' is"},
        {"'architectures':['LlamaForTokenClassification']", "'architectures'"},
        {"'architectures':['LlamaForSequenceClassification']", "'id2label'"},
        {"'dtype':'int8'", "'dtype' is \"int8\""},
        {"'num_key_value_heads':3", "not a multiple"},
        {"'head_dim':20", "head size 20 is not a multiple of 8"},
        {"'head_dim':0", "'head_dim' is 0"},
        {"'head_dim':1024,'max_position_embeddings':4194304",
         "the angles of 1024 elements a head would take 16384 MiB; at most 4096"},
        {"'max_position_embeddings':1e3", "'max_position_embeddings' is"},
        {"'rms_norm_eps':0", "'rms_norm_eps' is 0"},
        {"'rope_theta':0", "'rope_theta' is 0"},
        {"'tie_word_embeddings':1", "'tie_word_embeddings' is 1"},
        {"'eos_token_id':48", "'eos_token_id' 48"},
        {"'eos_token_id':[1,2,3,4,5,6,7,8,9]", "lists 9 tokens"},
        {"'eos_token_id':['a']", "must be a token id"},
        {"'eos_token_id':'a'", "must be a token id"},
        {"'pad_token_id':48", "'pad_token_id' 48"},
        {"'vocab_size':48", "duplicate"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct model_config config;
        assert_err(ERR_INVALID, cases[i].message, parse_with(cases[i].member, &config));
    }
}

static void a_missing_or_absurd_shape_is_refused_with_its_range(void **state)
{
    (void)state;
    struct model_config config;
    SCOPED_JSON json_t *json = json_pack("{s:s}", "model_type", "llama");
    assert_err(ERR_INVALID, "c: 'vocab_size' is missing; it must be a whole number from 1",
               config_parse(json, "c", &config));
    json_object_set_new(json, "vocab_size", json_integer(1LL << 40));
    assert_err(ERR_INVALID, "'vocab_size' is 1099511627776", config_parse(json, "c", &config));
    json_object_set_new(json, "model_type", json_string("bloom"));
    assert_err(ERR_INVALID, "'model_type' is 'bloom'; it must be 'llama', ",
               config_parse(json, "c", &config));
    SCOPED_JSON json_t *list = json_array();
    assert_err(ERR_INVALID, "object", config_parse(list, "c", &config));
    assert_err(ERR_NOT_FOUND, "config.json", config_read(testing_directory(), &config));
}

static void what_is_written_reads_back(void **state)
{
    (void)state;
    struct model_config want = config_default(100, 64, 176, 3, 4, 2, 96, true), got;
    want.norm_eps = 3e-6;
    want.rope.theta = 123456.7;
    want.eos_count = 2;
    want.eos[0] = 3;
    want.eos[1] = 5;
    want.pad = 0;
    SCOPED_JSON json_t *json = config_json(&want);
    assert_ok(config_parse(json, "written", &got));
    SCOPED_JSON json_t *again = config_json(&got);
    assert_true(json_equal(json, again));
    assert_true(got.rope.theta == want.rope.theta && got.norm_eps == want.norm_eps);
    assert_int_equal(got.dtype, DTYPE_BF16);
    want.eos_count = 1;
    SCOPED_JSON json_t *generation = config_generation_json(&want);
    assert_int_equal(json_integer_value(json_object_get(generation, "eos_token_id")), 3);
    assert_true(json_is_null(json_object_get(generation, "bos_token_id")));
}

/* llama.cpp's converter reads GPT-2's longest sequence by its older name. */
static void a_dimension_is_written_by_its_older_name_too(void **state)
{
    (void)state;
    struct model_config config;
    SCOPED_JSON json_t *json = NULL;
    const char *text = "{\"model_type\":\"gpt2\",\"vocab_size\":37,\"n_embd\":16,\"n_layer\":2,"
                       "\"n_head\":2,\"n_positions\":96,\"n_ctx\":\"unread\"}";
    assert_ok(json_parse(text, strlen(text), "gpt2", &json));
    assert_ok(config_parse(json, "gpt2", &config));
    assert_int_equal(config.max_positions, 96);
    SCOPED_JSON json_t *written = config_json(&config);
    assert_int_equal(json_integer_value(json_object_get(written, "n_ctx")), 96);
}

static void put(const char *directory, const char *name, const char *text)
{
    SCOPED_MEM char *path = file_join(directory, name);
    assert_ok(file_write(path, text, strlen(text)));
}

static void generation_settings_name_the_end_tokens(void **state)
{
    (void)state;
    struct model_config config = config_default(100, 64, 176, 3, 4, 2, 96, true), got;
    const char *directory = testing_directory();
    SCOPED_JSON json_t *json = config_json(&config);
    SCOPED_MEM char *text = json_to_text(json);
    put(directory, "config.json", text);
    assert_ok(config_read(directory, &got));
    assert_int_equal(got.eos_count, 0);
    put(directory, "generation_config.json", "{\"eos_token_id\": [7, 8]}");
    assert_ok(config_read(directory, &got));
    assert_int_equal(got.eos_count, 2);
    put(directory, "generation_config.json", "{\"eos_token_id\": 100}");
    assert_err(ERR_INVALID, "generation_config.json: 'eos_token_id' 100",
               config_read(directory, &got));
    put(directory, "generation_config.json", "[");
    assert_err(ERR_INVALID, "generation_config.json: not JSON", config_read(directory, &got));
    put(directory, "generation_config.json", "[]");
    assert_err(ERR_INVALID, "generation_config.json: must hold a JSON object",
               config_read(directory, &got));
    put(directory, "generation_config.json", "\xef\xbb\xbf{\"eos_token_id\": 9}");
    assert_ok(config_read(directory, &got)); // a byte order mark is nothing
    assert_int_equal(got.eos[0], 9);
}

TESTS(cmocka_unit_test(absent_keys_take_transformers_defaults),
      cmocka_unit_test(both_spellings_of_rope_and_dtype_are_read),
      cmocka_unit_test(end_tokens_may_be_one_or_a_list),
      cmocka_unit_test(head_sizes_are_multiples_of_eight),
      cmocka_unit_test(scalings_are_read_in_both_spellings),
      cmocka_unit_test(other_families_have_their_keys),
      cmocka_unit_test(what_is_not_computed_is_refused_by_name),
      cmocka_unit_test(a_missing_or_absurd_shape_is_refused_with_its_range),
      cmocka_unit_test(what_is_written_reads_back),
      cmocka_unit_test(a_dimension_is_written_by_its_older_name_too),
      cmocka_unit_test(generation_settings_name_the_end_tokens))
