#include "base/json.h"
#include "base/log.h"
#include "base/log_json.h"
#include "base/mem.h"
#include "base/scoped.h"
#include "testing/process.h"
#include "testing/testing.h"
#include <fcntl.h>
#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

/* The object that a format and its values make; it must be one line of JSON. */
static json_t *object_of(const char *format, ...) __attribute__((format(printf, 1, 2)));
static json_t *object_of(const char *format, ...)
{
    SCOPED_VALUE(bytes) line = {0};
    va_list args;
    bytes_text(&line, "{\"x\":0");
    va_start(args, format);
    log_json_fields(&line, format, args);
    va_end(args);
    bytes_text(&line, "}");
    assert_null(strchr((char *)line.data, '\n'));
    json_error_t error;
    json_t *object = json_loadb((char *)line.data, line.len, JSON_REJECT_DUPLICATES, &error);
    if (!object)
        fail_msg("%s: %s", error.text, line.data);
    return object;
}

static void assert_text(json_t *object, const char *key, const char *wanted)
{
    const char *text = json_string_value(json_object_get(object, key));
    assert_non_null(text);
    assert_string_equal(text, wanted);
}

static void fields_have_their_types(void **)
{
    SCOPED_JSON json_t *o = object_of(
        "round=%d slots=%" PRIu64 " share=%.2f name=%s why=\"%s\" ms=%dms id=%x for_s=%.0f "
        "bad=%g time=%s",
        -7, UINT64_MAX, 0.25, "g-1", "a \"b\" c=d \\", 5, 255, 3.0, NAN, "noon");
    assert_int_equal(json_integer_value(json_object_get(o, "round")), -7);
    assert_text(o, "slots", "18446744073709551615"); // beyond what readers take for a number
    assert_near(json_real_value(json_object_get(o, "share")), 0.25, 0);
    assert_int_equal(json_integer_value(json_object_get(o, "for_s")), 3);
    assert_text(o, "name", "g-1");
    assert_text(o, "why", "a \"b\" c=d \\");
    assert_text(o, "ms", "5ms");
    assert_text(o, "id", "ff");
    assert_text(o, "bad", "nan");
    assert_text(o, "time_", "noon"); // the line has one of its own
    assert_int_equal(json_object_size(o), 11);
}

/* Other formats are one text. */
static void formats_of_other_forms(void **)
{
    SCOPED_JSON json_t *none = object_of("%s", "");
    assert_text(none, "text", "");
    SCOPED_JSON json_t *text = object_of("%s a=%d", "the end", 3);
    assert_text(text, "text", "the end a=3");
    SCOPED_JSON json_t *open = object_of("why=\"%s", "x");
    assert_text(open, "text", "why=\"x");
    SCOPED_JSON json_t *percent = object_of("load=%d%% of=%s", 30, "all");
    assert_text(percent, "load", "30%");
    assert_text(percent, "of", "all");
}

/* No byte of a value makes a field, ends the string, or breaks the line. */
static void values_of_any_bytes(void **)
{
    uint64_t state = 88172645463325252;
    for (int round = 0; round < 20000; round++) {
        char value[24];
        size_t len = 0;
        for (; len < sizeof value - 1; len++) {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            static const char often[] = "\"\\\x1e\n =,{}\xc3\xa4\xff\xed\xa0\x80\xe2\x80\xae\x1b";
            value[len] = state % 3 ? often[state / 3 % (sizeof often - 1)] : (char)(state >> 32);
            if (!value[len])
                break;
        }
        value[len] = 0;
        SCOPED_JSON json_t *o = object_of("a=%d why=\"%s\" b=%d", 1, value, 2);
        const bool marked = strchr(value, 0x1e);
        assert_int_equal(json_object_size(o), marked ? 2 : 4);
        assert_true(json_is_string(json_object_get(o, marked ? "text" : "why")));
    }
    SCOPED_JSON json_t *o = object_of("why=\"%s\"", "a\nb\x1b[2J\xff\xc3\xa4\xe2\x80\xae");
    assert_text(o, "why", "a\nb\x1b[2J\xef\xbf\xbd\xc3\xa4\xe2\x80\xae");
}

/* A process logs to its standard output; lines that were left out are counted. */
static void lines_of_a_process(void **)
{
    SCOPED_MEM char *path = mem_printf("%s/log", testing_directory());
    const pid_t pid = fork();
    if (pid == 0) {
        const int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0600);
        dup2(fd, STDOUT_FILENO);
        log_open("we \"are\"", LOG_INFO);
        log_as(LOG_JSON);
        err_free(log_to_output());
        struct log_limit limit = {0};
        for (int i = 0; i < 3; i++)
            log_event_limited(&limit, 1, LOG_WARNING, "twice", "i=%d", i);
        limit.minute -= 60000;
        log_event_limited(&limit, 1, LOG_WARNING, "twice", "i=%d", 3);
        log_info("no more", "%s", "");
        log_debug("not shown", "i=%d", 1);
        _exit(0);
    }
    int status;
    assert_int_equal(waitpid(pid, &status, 0), pid);
    SCOPED_MEM char *text = file_text(path);
    const char *wanted[] = {"0", "3", NULL};
    char *line = text;
    for (int i = 0; i < 3; i++) {
        char *end = strchr(line, '\n');
        assert_non_null(end);
        *end = 0;
        SCOPED_JSON json_t *o = json_loads(line, JSON_REJECT_DUPLICATES, NULL);
        assert_non_null(o);
        assert_text(o, "program", "we \"are\"");
        assert_int_equal(strlen(json_string_value(json_object_get(o, "time"))), 24);
        if (wanted[i])
            assert_int_equal(json_integer_value(json_object_get(o, "i")),
                             strtol(wanted[i], NULL, 10));
        if (i == 1)
            assert_int_equal(json_integer_value(json_object_get(o, "left_out")), 2);
        line = end + 1;
    }
    assert_string_equal(line, "");
}

TESTS(cmocka_unit_test(fields_have_their_types), cmocka_unit_test(formats_of_other_forms),
      cmocka_unit_test(values_of_any_bytes), cmocka_unit_test(lines_of_a_process))
