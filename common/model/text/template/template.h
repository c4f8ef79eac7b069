/* Templates of Jinja as far as chat templates use it, rendered as transformers has jinja2 do it:
 * an immutable sandbox with trim_blocks, lstrip_blocks, loop controls and {% generation %}.
 *
 *     SCOPED(template) template = NULL;
 *     TRY(template_parse(source, len, "chat_template.jinja", &template));
 *     const struct template_variable messages = {.name = "messages", .value = array, .data = true};
 *     SCOPED_VALUE(template_text) text = {0};
 *     TRY(template_render(template, &(struct template_input){&messages, 1}, &text));
 *
 * A construct that is not supported is refused when it is parsed, by its name and line. Values are
 * those of Python: texts are code points, True prints as True. Whole numbers beyond 64 bits are an
 * error.
 *
 * Each byte of the text knows whether a variable of data brought it. Text that is made of numbers,
 * truth values and the signs of JSON is the template's.
 *
 * A template may be hostile: it reaches no file, clock or environment, and steps, memory, depth
 * and text are bounded (values/value_run.h). Any thread: a template does not change once made. */
#pragma once
#include "base/err.h"
#include "base/json.h"
#include "base/scoped.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { TEMPLATE_BYTES = 512 << 10 }; // of a source

struct template;

/* name is what errors call the source. INVALID: "NAME:LINE: ...". */
err_t template_parse(const char *source, size_t len, const char *name, struct template **ret);

struct template_variable {
    const char *name;
    const json_t *value;
    bool data; // its strings are no template's
    /* Which texts in the objects of an array are the template's all the same; NULL: none */
    bool (*trusted)(const char *key, const char *text);
};

struct template_input {
    const struct template_variable *variable; // a later one of the same name counts
    size_t variables;
    int64_t now_s;  // strftime_now: seconds since 1970, UTC
    uint64_t steps; // of all that are allowed; 0: RUN_STEPS
};

enum { TEMPLATE_FROM_DATA = 1, TEMPLATE_GENERATION = 2 };
struct template_text {
    char *data;    // (len) UTF-8, with a zero behind it; owned
    uint8_t *from; // (len) a byte's TEMPLATE_FROM_DATA and TEMPLATE_GENERATION; owned
    size_t len;
};

/* INVALID: "NAME:LINE: ...": it fails, or calls raise_exception. RANGE: a bound. */
err_t template_render(const struct template *template, const struct template_input *input,
                      struct template_text *ret);

void template_text_done(struct template_text *text);
void template_free(struct template *template);
DEFINE_SCOPED(template)
