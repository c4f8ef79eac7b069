#include "testing/golden.h"
#include "base/file.h"
#include "base/mem.h"
#include "base/scoped.h"
#include "testing/process.h"
#include "testing/testing.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char path[] = TEST_GOLDEN "/weights.json";

static void write_part(json_t *all, const char *part, const char *name, const json_t *digests)
{
    json_t *object = json_object_get(all, part);
    if (!object) {
        object = json_object();
        json_object_set_new(all, part, object);
    }
    json_object_set_new(object, name, json_deep_copy(digests));
    char *text = json_dumps(all, JSON_INDENT(1) | JSON_SORT_KEYS);
    SCOPED_MEM char *lines = mem_printf("%s\n", text);
    assert_ok(file_write(path, lines, strlen(lines)));
    free(text);
}

static void compare(const char *part, const char *name, const json_t *made, const json_t *golden)
{
    if (!golden)
        fail_msg("%s has no '%s' in '%s'", path, name, part);
    if (json_is_string(made)) {
        assert_string_equal(json_string_value(made), json_string_value(golden));
        return;
    }
    assert_int_equal(json_array_size(made), json_array_size(golden));
    size_t i;
    json_t *value;
    json_array_foreach ((json_t *)made, i, value) {
        const char *is = json_string_value(value),
                   *was = json_string_value(json_array_get(golden, i));
        if (strcmp(is, was) != 0)
            fail_msg("%s, %s: version %d is %s; the golden one is %s", part, name, (int)i + 1, is,
                     was);
    }
}

void golden_check(const char *part, const char *name, const json_t *digests)
{
    const char *wish = getenv("RLHFD_GOLDEN");
    const bool write = wish && strcmp(wish, "write") == 0;
    SCOPED_JSON json_t *all = NULL;
    if (write && !file_exists(path))
        all = json_object();
    else
        assert_ok(json_read_file(path, 1 << 20, &all));
    if (write)
        write_part(all, part, name, digests);
    else
        compare(part, name, digests, json_object_get(json_object_get(all, part), name));
}

/* NULL: the update trained none of that name. */
static json_t *digest_of(const json_t *update, const char *trainee)
{
    const json_t *trainees = json_object_get(update, "trainees");
    for (size_t i = 0; i < json_array_size(trainees); i++) {
        const json_t *one = json_array_get(trainees, i);
        if (strcmp(json_string_value(json_object_get(one, "name")), trainee) == 0)
            return json_object_get(one, "weights");
    }
    return NULL;
}

/* One version's round has all updates of that round. */
static void add_round(const char *recipe, const char *run, const char *trainee, size_t version,
                      json_t *list)
{
    SCOPED_MEM char *number = mem_printf("%zu", version);
    char *output;
    const int status = process_run(&output, 60000, "rlhfctl", "explain", "version", number, recipe,
                                   "--run", run, "-o", "json", NULL);
    SCOPED_JSON json_t *object = status ? NULL : json_loads(output, 0, NULL);
    const json_t *updates = json_object_get(object, "updates");
    if (!json_array_size(updates))
        print_error("explain version %s: status %d:\n%s\n", number, status, output);
    assert_true(json_array_size(updates) > 0);
    free(output);
    size_t i;
    json_t *update;
    json_array_foreach ((json_t *)updates, i, update) {
        json_t *weights = digest_of(update, trainee);
        assert_true(json_is_string(weights));
        json_array_append(list, weights);
    }
}

json_t *golden_versions(const char *recipe, const char *run, const char *trainee, size_t count)
{
    json_t *list = json_array();
    while (json_array_size(list) < count)
        add_round(recipe, run, trainee, json_array_size(list) + 1, list);
    assert_int_equal(json_array_size(list), count);
    return list;
}
