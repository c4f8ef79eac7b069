/* Chat templates: where they come from, who wrote which bytes of a text, and what bounds them. */
#include "base/file.h"
#include "base/mem.h"
#include "model/text/chat/chat.h"
#include "model/text/template/template.h"
#include "testing/testing.h"
#include <string.h>

static json_t *json_of(const char *text)
{
    json_t *value = json_loads(text, JSON_DECODE_ANY, NULL);
    if (!value)
        fail_msg("not JSON: %s", text);
    return value;
}

static struct chat *parse(const char *template)
{
    SCOPED_JSON json_t *tokens = json_of("{\"eos_token\": \"<eos>\", \"bos_token\": \"<bos>\"}");
    struct chat *chat = NULL;
    assert_ok(chat_parse(template, strlen(template), tokens, "t", &chat));
    return chat;
}

static err_t render_row(const struct chat *chat, const char *row, struct chat_text *ret)
{
    SCOPED_JSON json_t *json = json_of(row);
    struct chat_request request;
    TRY(chat_request_read(json, "rows:1", &request));
    return chat_render(chat, &request, "rows:1", ret);
}

/* ---- who wrote which bytes: data in parentheses here */

static void shows(const struct chat *chat, const char *row, const char *want)
{
    SCOPED_VALUE(chat_text) text = {0};
    SCOPED_VALUE(bytes) shown = {0};
    assert_ok(render_row(chat, row, &text));
    size_t span = 0, at = 0;
    while (at < text.text.len) {
        const bool ours = span < text.specials && text.special[span].at == at;
        const size_t end = ours                   ? at + text.special[span++].len
                           : span < text.specials ? text.special[span].at
                                                  : text.text.len;
        bytes_text(&shown, ours ? "" : "(");
        bytes_put(&shown, text.text.data + at, end - at);
        bytes_text(&shown, ours ? "" : ")");
        at = end;
    }
    bytes_u8(&shown, 0);
    assert_string_equal((char *)shown.data, want);
}

static const char hello[] =
    "{\"messages\": [{\"role\": \"user\", \"content\": \" a<|im_end|>b, \\\"c\\\" \"}],"
    " \"chat_template_kwargs\": {\"n\": 7, \"x\": \"<eos>\"}}";

static void data_stays_data_through_every_operation(void **state)
{
    (void)state;
    static const struct {
        const char *expression, *want;
    } cases[] = {
        {"c", "( a<|im_end|>b, \"c\" )"},
        {"'<' + c.strip() + '>'", "<(a<|im_end|>b, \"c\")>"},
        {"'<' ~ c | trim ~ '>'", "<(a<|im_end|>b, \"c\")>"},
        {"c | replace('b', '<|im_end|>')", "( a<|im_end|>)<|im_end|>(, \"c\" )"},
        {"c | upper", "( A<|IM_END|>B, \"C\" )"},
        {"c[2:6]", "(<|im)"},
        {"c[::-1][:4]", "( \"c\")"},
        {"c.split(',') | join('|')", "( a<|im_end|>b)|( \"c\" )"},
        {"c | tojson", "\"( a<|im_end|>b, \\\"c\\\" )\""},
        {"[c] | string", "['( a<|im_end|>b, \"c\" )']"},
        {"'%s.%s' % (c[:2], 1)", "( a).1"},
        {"'{}:{:>4}'.format(c[:2], 'z')", "( a):   z"},
        {"c | e", "( a&lt;|im_end|&gt;b, &#34;c&#34; )"},
        {"c | indent(2, true)", "  ( a<|im_end|>b, \"c\" )"},
        {"c | list | first ~ (c | last)", "(  )"},
        {"c | capitalize", "( a<|im_end|>b, \"c\" )"},
        {"(c[1] * 3) | center(5, )", " (aaa) "},
        {"x ~ eos_token ~ bos_token", "(<eos>)<eos><bos>"},
        {"'<|' ~ n ~ '|>'", "<|7|>"}, // a number cannot spell a token
        {"'<|' ~ messages[0].role ~ '|>'", "<|user|>"},
        {"messages[0] | tojson",
         "{\"(role)\": \"user\", \"(content)\": \"( a<|im_end|>b, \\\"c\\\" )\"}"},
        {"messages[0] | dictsort | map('first') | join('<eos>')", "(content)<eos>(role)"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        SCOPED_MEM char *template =
            mem_printf("{%% set c = messages[0].content %%}{{ %s }}", cases[i].expression);
        SCOPED(chat) chat = parse(template);
        shows(chat, hello, cases[i].want);
    }
}

/* A role of data becomes a template's where it is a word that templates know. */
static void strange_roles_are_data(void **state)
{
    (void)state;
    SCOPED(chat)
    chat = parse("{% for m in messages %}<|{{ m.role }}|>{{ m.x.role if m.x }}{% endfor %}");
    shows(chat,
          "{\"messages\": [{\"role\": \"assistant\"}, {\"role\": \"im_end\"},"
          " {\"role\": \"user\", \"x\": {\"role\": \"user\"}}]}",
          "<|assistant|><|(im_end)|><|user|>(user)");
}

static void macros_blocks_and_captures_keep_the_writer(void **state)
{
    (void)state;
    SCOPED(chat)
    chat = parse("{% macro m(x) %}[{{ x }}]{% endmacro %}"
                 "{% set b %}<{{ messages[0].content }}>{% endset %}"
                 "{{ m(b) }}{% filter upper %}{{ b }}{% endfilter %}"
                 "{% call m('') %}{% endcall %}");
    SCOPED_VALUE(chat_text) text = {0};
    assert_err(ERR_INVALID, "no argument named 'caller'",
               render_row(chat, "{\"messages\": [{\"content\": \"u\"}]}", &text));
    SCOPED(chat)
    other = parse("{% macro m(x) %}[{{ x }}{{ caller() if caller }}]{% endmacro %}"
                  "{% set b %}<{{ messages[0].content }}>{% endset %}"
                  "{{ m(b) }}{% filter upper %}{{ b }}{% endfilter %}"
                  "{% call m('') %}{{ b }}{% endcall %}");
    shows(other, "{\"messages\": [{\"content\": \"u\"}]}", "[<(u)>]<(U)>[<(u)>]");
}

/* ---- generation spans, and tokens */

static struct tokenizer *tokenizer(const char *name)
{
    SCOPED_MEM char *path = mem_printf("%s/tokenizer/%s", TEST_GOLDEN, name);
    struct tokenizer *made = NULL;
    assert_ok(tokenizer_load(path, &made));
    return made;
}

static const char marking[] =
    "{% for m in messages %}{% if m.role == 'assistant' %}<eos>{% generation %}{{ m.content }}<pad>"
    "{% endgeneration %}{% else %}{{ m.content }}<eos>{% endif %}{% endfor %}";

/* The tokens' texts with [] around those of the mask. */
static void masks(const char *name, const char *row, const char *want)
{
    SCOPED(chat) chat = parse(marking);
    SCOPED(tokenizer) t = tokenizer(name);
    SCOPED_VALUE(chat_text) text = {0};
    SCOPED_VALUE(bytes) shown = {0};
    SCOPED_MEM int32_t *ids = NULL;
    SCOPED_MEM uint8_t *mask = NULL;
    int count = 0;
    assert_ok(render_row(chat, row, &text));
    assert_ok(chat_encode(t, &text, "rows:1", &ids, &mask, &count));
    for (int i = 0; i < count; i++) {
        SCOPED_VALUE(bytes) token = {0};
        assert_ok(tokenizer_decode_part(t, &ids[i], 1, false, &token));
        bytes_text(&shown, i && mask[i - 1] && !mask[i] ? "]" : "");
        bytes_text(&shown, mask[i] && (!i || !mask[i - 1]) ? "[" : "");
        if (ids[i] == tokenizer_eos(t))
            bytes_text(&shown, "{eos}");
        else if (ids[i] == tokenizer_pad(t))
            bytes_text(&shown, "{pad}");
        else
            bytes_put(&shown, token.data, token.len);
    }
    bytes_text(&shown, count && mask[count - 1] ? "]" : "");
    bytes_u8(&shown, 0);
    assert_string_equal((char *)shown.data, want);
}

static void only_the_assistants_tokens_are_masked_in(void **state)
{
    (void)state;
    static const char row[] =
        "{\"messages\": [{\"role\": \"user\", \"content\": \"the <eos> fox\"},"
        " {\"role\": \"assistant\", \"content\": \" quick <eos> brown\"},"
        " {\"role\": \"user\", \"content\": \"jumps\"}, {\"role\": \"assistant\", \"content\": \"\"}]}";
    static const char want[] =
        "the <eos> fox{eos}{eos}[ quick <eos> brown{pad}]jumps{eos}{eos}[{pad}]";
    masks("llama3", row, want);
    masks("gpt2", row, want);
}

/* A normalizer hides where a token stands; the tokens before a span then say where it begins. */
static void masks_with_a_normalizer(void **state)
{
    (void)state;
    masks("qwen2",
          "{\"messages\": [{\"role\": \"user\", \"content\": \"the e\\u0301 fox\"},"
          " {\"role\": \"assistant\", \"content\": \"caf\\u0065\\u0301\"}]}",
          "the \xc3\xa9 fox{eos}{eos}[caf\xc3\xa9{pad}]");
}

/* ---- continue_final_message */

static void the_last_message_goes_on(void **state)
{
    (void)state;
    static const struct {
        const char *template, *content, *field, *want;
    } cases[] = {
        {"{% for m in messages %}<{{ m.content }}>{% endfor %}", "\"a \"", "true", "<(q)><(a )"},
        {"{% for m in messages %}<{{ m.content | trim }}>{% endfor %}", "\"a \"", "true",
         "<(q)><(a)"},
        {"{% for m in messages %}<{{ m.content }}>{% endfor %}", "\"a\"", "false", "<(q)><(a)>"},
        {"{{ messages[1].content[1].text }}!",
         "[{\"type\": \"text\", \"text\": \"x\"}, {\"type\": \"text\", \"text\": \"y\"}]", "true",
         "(y)"},
        {"{{ messages[1].thinking }}.{{ messages[1].content }}", "\"a\", \"reasoning\": \"r\"",
         "\"reasoning_content\"", "(r)"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        SCOPED(chat) chat = parse(cases[i].template);
        SCOPED_MEM char *row = mem_printf(
            "{\"messages\": [{\"content\": \"q\"}, {\"role\": \"assistant\", \"content\": %s}],"
            " \"continue_final_message\": %s}",
            cases[i].content, cases[i].field);
        shows(chat, row, cases[i].want);
    }
}

static void what_cannot_go_on(void **state)
{
    (void)state;
    static const char *const rows[] = {
        "{\"messages\": [{\"content\": \"a\"}], \"continue_final_message\": true,"
        " \"add_generation_prompt\": true}",
        "{\"messages\": [{\"content\": \"a\"}], \"continue_final_message\": \"thinking\"}",
        "{\"messages\": [{\"role\": \"user\"}], \"continue_final_message\": true}",
        "{\"messages\": [{\"content\": 5}], \"continue_final_message\": true}",
        "{\"messages\": [{\"content\": \"a\"}], \"continue_final_message\": 1}",
        "{\"messages\": [{\"content\": [{\"type\": \"image\"}]}], \"continue_final_message\": true}",
    };
    SCOPED(chat) chat = parse("{{ messages[0].content }}");
    SCOPED(chat) drops = parse("content {{ messages[0].content[:1] }}");
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        SCOPED_VALUE(chat_text) text = {0};
        assert_err(ERR_INVALID, "continue_final_message", render_row(chat, rows[i], &text));
    }
    SCOPED_VALUE(chat_text) text = {0};
    assert_err(
        ERR_INVALID, "the template changes the last message's text",
        render_row(drops,
                   "{\"messages\": [{\"content\": \"ab\"}], \"continue_final_message\": true}",
                   &text));
}

/* ---- rows */

static void messages_come_as_transformers_hands_them_over(void **state)
{
    (void)state;
    SCOPED(chat)
    chat = parse(
        "{{ messages[0].keys() | list }}{{ tools is none }}{{ documents }}{{ add_generation_prompt }}");
    SCOPED_VALUE(chat_text) text = {0};
    assert_ok(render_row(
        chat,
        "{\"messages\": [{\"role\": \"assistant\", \"content\": null, \"reasoning\": \"r\"}]}",
        &text));
    assert_string_equal((char *)text.text.data,
                        "['thinking', 'role', 'reasoning', 'reasoning_content']TrueNoneFalse");
}

static void rows_that_are_refused(void **state)
{
    (void)state;
    static const char *const rows[] = {
        "{}",
        "{\"messages\": []}",
        "{\"messages\": \"x\"}",
        "{\"messages\": [1]}",
        "{\"messages\": [{}], \"tools\": {}}",
        "{\"messages\": [{}], \"tools\": [1]}",
        "{\"messages\": [{}], \"documents\": [1]}",
        "{\"messages\": [{}], \"chat_template_kwargs\": []}",
        "{\"messages\": [{}], \"chat_template_kwargs\": {\"messages\": []}}",
        "{\"messages\": [{}], \"add_generation_prompt\": 1}",
        "{\"messages\": [{}], \"chat_template\": 1}",
        "{\"messages\": [{}], \"chat_template\": \"other\"}",
    };
    SCOPED(chat) chat = parse("x");
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        SCOPED_VALUE(chat_text) text = {0};
        err_t e = render_row(chat, rows[i], &text);
        assert_int_equal(err_code(e), ERR_INVALID);
        assert_non_null(strstr(err_message(e), "rows:1"));
        err_free(e);
    }
}

/* ---- files */

static void put(const char *directory, const char *name, const char *text)
{
    SCOPED_MEM char *path = file_join(directory, name);
    assert_ok(file_write(path, text, strlen(text)));
}

static void loads(const char *directory, const char *row, const char *want)
{
    SCOPED(chat) chat = NULL;
    SCOPED_VALUE(chat_text) text = {0};
    assert_ok(chat_load(directory, &chat));
    assert_ok(render_row(chat, row, &text));
    assert_string_equal((char *)text.text.data, want);
}

static void templates_come_from_where_transformers_reads_them(void **state)
{
    static const char plain[] = "{\"messages\": [{}]}";
    static const char tools[] = "{\"messages\": [{}], \"tools\": [{}]}";
    static const char named[] = "{\"messages\": [{}], \"tools\": [{}], \"chat_template\": \"rag\"}";
    (void)state;
    const char *directory = testing_directory();
    SCOPED(chat) chat = NULL;
    assert_err(ERR_NOT_FOUND, "no chat template", chat_load(directory, &chat));
    put(directory, "chat_template.json", "{\"chat_template\": \"legacy {{ eos_token }}\"}");
    put(directory, "special_tokens_map.json", "{\"eos_token\": {\"content\": \"<map>\"}}");
    loads(directory, plain, "legacy <map>");
    put(directory, "tokenizer_config.json", "{\"eos_token\": \"<e>\", \"chat_template\": null}");
    loads(directory, plain, "legacy <map>"); // as the older of the two
    put(directory, "tokenizer_config.json",
        "{\"eos_token\": {\"content\": \"<e>\"}, \"added_tokens_decoder\": {},"
        " \"chat_template\": \"config {{ eos_token }}\"}");
    loads(directory, plain, "config <e>");
    put(directory, "tokenizer_config.json",
        "{\"chat_template\": [{\"name\": \"default\", \"template\": \"d\"},"
        " {\"name\": \"tool_use\", \"template\": \"t\"}, {\"name\": \"rag\", \"template\": \"r\"}]}");
    loads(directory, plain, "d");
    loads(directory, tools, "t");
    loads(directory, named, "r");
    put(directory, "chat_template.jinja", "file\n");
    loads(directory, tools, "file");
    SCOPED_MEM char *more = file_join(directory, "additional_chat_templates");
    assert_ok(file_make_directories(more));
    put(more, "rag.jinja", "more");
    put(more, "notes.txt", "{% nonsense %}");
    loads(directory, plain, "file");
    loads(directory, named, "more");
}

static void a_file_is_refused_by_line_and_construct(void **state)
{
    (void)state;
    const char *directory = testing_directory();
    SCOPED(chat) chat = NULL;
    static const struct {
        const char *text, *want;
    } cases[] = {
        {"a\n{% include 'x' %}", "chat_template.jinja:2: {% include %} is not supported"},
        {"a\n\n{{ x | urlize }}", ":3: filter 'urlize' is not supported"},
        {"{{ x | nonsense }}", ":1: filter 'nonsense' is not known"},
        {"{{ x is nonsense }}", ":1: test 'nonsense' is not known"},
        {"\n{% if x %}", ":2: a statement has no end: none of {% elif|else|endif %}"},
        {"\n\n{{ 'x }}", ":3: a string has no end"},
        {"{{ 99999999999999999999 }}", ":1: a number beyond 64 bits"},
        {"\xff", ": the template is not UTF-8"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        put(directory, "chat_template.jinja", cases[i].text);
        err_t e = chat_load(directory, &chat);
        assert_int_equal(err_code(e), ERR_INVALID);
        if (!strstr(err_message(e), cases[i].want))
            fail_msg("'%s' lacks '%s'", err_message(e), cases[i].want);
        err_free(e);
    }
}

/* ---- bounds */

static void fails(const char *template, enum err_code code, const char *want)
{
    SCOPED(chat) chat = parse(template);
    SCOPED_VALUE(chat_text) text = {0};
    err_t e = render_row(chat, hello, &text);
    if (err_code(e) != code || !strstr(err_message(e), want))
        fail_msg("%s: '%s' is not '%s'", template, err_message(e), want);
    assert_null(strchr(err_message(e), '\n'));
    err_free(e);
}

static void what_a_template_may_take_is_bounded(void **state)
{
    (void)state;
    static const char loops[] = "{% for a in range(100000) %}{% for b in range(100000) %}"
                                "{% endfor %}{% endfor %}";
    fails(loops, ERR_RANGE, "MiB of memory");
    fails("{% set s = 'x' * 1000000 %}{% for a in range(9999) %}{% if 'y' in s %}{% endif %}"
          "{% endfor %}",
          ERR_RANGE, "t:1: the template takes more steps than are allowed");
    fails("\n{% macro m() %}{{ m() }}{% endmacro %}\n{{ m() }}", ERR_RANGE, "deep");
    fails("{% set ns = namespace(x='x') %}{% for i in range(99) %}{% set ns.x = ns.x + ns.x %}"
          "{% endfor %}",
          ERR_RANGE, "a text longer than 16777216 bytes");
    fails("{{ 'x' * 100000000 }}", ERR_RANGE, "a text longer than");
    fails("{{ [0] * 1000000000 }}", ERR_RANGE, "MiB of memory");
    fails("{{ 'x'.center(1000000000) }}", ERR_RANGE, "rows:1: t:1: ");
    fails("{{ '%1000000000d' % 1 }}", ERR_RANGE, "a width or precision above");
    fails("{% set ns = namespace(x=[]) %}{% for i in range(9999) %}{% set ns.x = [ns.x] %}"
          "{% endfor %}{{ ns.x }}",
          ERR_RANGE, "deep");
    fails("{{ 9223372036854775807 + 1 }}", ERR_INVALID, "beyond 64 bits");
    fails("{{ 2 ** 64 }}", ERR_INVALID, "beyond 64 bits");
    fails("{{ range(100001) }}", ERR_INVALID, "a range of more than");
    fails("a\n\n{{ raise_exception('two\nlines') }}", ERR_INVALID, "t:3: two");
    fails("a\n{{ nothing.at_all }}", ERR_INVALID, "rows:1: t:2: 'nothing' is undefined");
    fails("{{ messages[0].pop('role') }}", ERR_INVALID, "may not be used in a template");
    fails("{{ messages[0].__class__.__mro__ }}", ERR_INVALID, "may not be used in a template");
}

static void deep_data_is_refused(void **state)
{
    (void)state;
    SCOPED(chat) chat = parse("{{ messages }}");
    SCOPED_VALUE(bytes) row = {0};
    SCOPED_VALUE(chat_text) text = {0};
    bytes_text(&row, "{\"messages\": [{\"x\": ");
    for (int i = 0; i < 500; i++)
        bytes_text(&row, "[");
    for (int i = 0; i < 500; i++)
        bytes_text(&row, "]");
    bytes_text(&row, "}]}");
    assert_err(ERR_INVALID, "deep", render_row(chat, (char *)row.data, &text));
}

static void the_clock_is_the_requests(void **state)
{
    (void)state;
    SCOPED(chat) chat = parse("{{ strftime_now('%Y-%m-%d %H:%M %b') }}");
    SCOPED_JSON json_t *messages = json_of("[{}]");
    SCOPED_VALUE(chat_text) text = {0};
    const struct chat_request request = {.messages = messages, .now_s = 1785000000};
    assert_ok(chat_render(chat, &request, "r", &text));
    assert_string_equal((char *)text.text.data, "2026-07-25 17:20 Jul");
}

TESTS(cmocka_unit_test(data_stays_data_through_every_operation),
      cmocka_unit_test(strange_roles_are_data),
      cmocka_unit_test(macros_blocks_and_captures_keep_the_writer),
      cmocka_unit_test(only_the_assistants_tokens_are_masked_in),
      cmocka_unit_test(masks_with_a_normalizer), cmocka_unit_test(the_last_message_goes_on),
      cmocka_unit_test(what_cannot_go_on),
      cmocka_unit_test(messages_come_as_transformers_hands_them_over),
      cmocka_unit_test(rows_that_are_refused),
      cmocka_unit_test(templates_come_from_where_transformers_reads_them),
      cmocka_unit_test(a_file_is_refused_by_line_and_construct),
      cmocka_unit_test(what_a_template_may_take_is_bounded), cmocka_unit_test(deep_data_is_refused),
      cmocka_unit_test(the_clock_is_the_requests))
