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
    assert_true(config.norm_eps == 1e-6 && config.rope_theta == 10000);
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
    assert_true(config.rope_theta == 500000 && config.dtype == DTYPE_BF16);
    assert_ok(parse_with(
        "'rope_parameters':{'rope_theta':5e5,'rope_type':'default'},'dtype':'float16'", &config));
    assert_true(config.rope_theta == 500000 && config.dtype == DTYPE_F16);
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

static void what_is_not_computed_is_refused_by_name(void **state)
{
    (void)state;
    static const struct {
        const char *member, *message;
    } cases[] = {
        {"'rope_scaling':{'type':'linear','factor':2}", "'rope_scaling' is"},
        {"'rope_parameters':{'rope_theta':1e4,'rope_type':'llama3'}", "'rope_type' is \"llama3\""},
        {"'rope_parameters':{'rope_theta':1e4,'partial_rotary_factor':0.5}",
         "'partial_rotary_factor'"},
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
    json_object_set_new(json, "model_type", json_string("gpt2"));
    assert_err(ERR_INVALID, "'model_type' is 'gpt2'", config_parse(json, "c", &config));
    SCOPED_JSON json_t *list = json_array();
    assert_err(ERR_INVALID, "object", config_parse(list, "c", &config));
    assert_err(ERR_NOT_FOUND, "config.json", config_read(testing_directory(), &config));
}

static void what_is_written_reads_back(void **state)
{
    (void)state;
    struct model_config want = config_default(100, 64, 176, 3, 4, 2, 96, true), got;
    want.norm_eps = 3e-6;
    want.rope_theta = 123456.7;
    want.eos_count = 2;
    want.eos[0] = 3;
    want.eos[1] = 5;
    want.pad = 0;
    SCOPED_JSON json_t *json = config_json(&want);
    assert_ok(config_parse(json, "written", &got));
    SCOPED_JSON json_t *again = config_json(&got);
    assert_true(json_equal(json, again));
    assert_true(got.rope_theta == want.rope_theta && got.norm_eps == want.norm_eps);
    assert_int_equal(got.dtype, DTYPE_BF16);
    want.eos_count = 1;
    SCOPED_JSON json_t *generation = config_generation_json(&want);
    assert_int_equal(json_integer_value(json_object_get(generation, "eos_token_id")), 3);
    assert_true(json_is_null(json_object_get(generation, "bos_token_id")));
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
      cmocka_unit_test(what_is_not_computed_is_refused_by_name),
      cmocka_unit_test(a_missing_or_absurd_shape_is_refused_with_its_range),
      cmocka_unit_test(what_is_written_reads_back),
      cmocka_unit_test(generation_settings_name_the_end_tokens))
