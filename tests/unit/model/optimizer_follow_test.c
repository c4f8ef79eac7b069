/* An optimizer that follows another model: a reference that moves. */
#include "model/optimizer.h"
#include "tiny.h"
#include <math.h>

/* Masters go a third of the way to another model's values, twice; then all of it. */
static void it_follows_another_model(void **)
{
    enum { AT = 100 };
    struct digest digest;
    const struct model_config shape = tiny_config(true), other = tiny_config(false);
    SCOPED(backend) be = tiny_backend(1);
    SCOPED(model) model = NULL;
    SCOPED(model) source = NULL;
    SCOPED(model) strange = NULL;
    SCOPED(optimizer) opt = NULL;
    bf16 mine[AT], theirs[AT], now[AT];
    assert_ok(model_new(be, &shape, 5, &model));
    assert_ok(optimizer_new(model, &OPTIMIZER_DEFAULTS, NULL, &opt));
    assert_ok(model_new(be, &shape, 6, &source));
    assert_ok(model_new(be, &other, 6, &strange));
    assert_ok(model_copy(model, 0, AT, mine));
    assert_ok(model_copy(source, 0, AT, theirs));
    assert_ok(optimizer_follow(opt, source, 1.0 / 3));
    assert_ok(optimizer_follow(opt, source, 1.0 / 3));
    assert_ok(model_copy(model, 0, AT, now));
    for (int i = 0; i < AT; i++) {
        const double to = (double)bf16_to_float(theirs[i]),
                     want = to + 4.0 / 9 * ((double)bf16_to_float(mine[i]) - to);
        assert_near((double)bf16_to_float(now[i]), want, fabs(want) / 250);
    }
    assert_ok(optimizer_verify(opt));
    assert_err(ERR_INVALID, "other shapes", optimizer_follow(opt, strange, 1));
    assert_ok(optimizer_follow(opt, source, 1));
    assert_ok(model_digest(source, &digest));
    const struct digest is = optimizer_digest(opt);
    assert_true(digest_equal(&digest, &is));
}

TESTS(cmocka_unit_test(it_follows_another_model))
