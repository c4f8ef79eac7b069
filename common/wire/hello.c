#include "wire/hello.h"
#include "base/mem.h"
#include "base/version.h"
#include "rollout.pb-c.h"
#include "wire/rollout.h"
#include "wire/unpack.h"
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

typedef Rlhfd__V1__Setting PbSetting;

enum {
    KEY_MAX_BYTES = 128,
    SHOWN = 60,  // bytes of a value in a message
    BEFORE = 12, // of these, what both values have in common
    DIFFER = 3,  // differences in one message
    FIELDS_MAX = 8 + 3 * HELLO_SETTINGS_MAX,
    WELCOME_BYTES = 16
};

void hello_put(void *arg, const char *key, const char *value)
{
    struct hello *hello = arg;
    hello->protocol = HELLO_PROTOCOL;
    hello->setting = mem_grow(hello->setting, hello->settings + 1, sizeof *hello->setting);
    hello->setting[hello->settings++] = (struct hello_setting){mem_string(key), mem_string(value)};
}

void hello_done(struct hello *hello)
{
    for (uint32_t i = 0; i < hello->settings; i++) {
        free(hello->setting[i].key);
        free(hello->setting[i].value);
    }
    free(hello->setting);
    free(hello->forward);
    free(hello->same_forward);
    free(hello->build);
    *hello = (struct hello){0};
}

/* ---- comparing */

static const char *value_of(const struct hello *hello, const char *key)
{
    for (uint32_t i = 0; i < hello->settings; i++)
        if (strcmp(hello->setting[i].key, key) == 0)
            return hello->setting[i].value;
    return NULL;
}

/* The part of a long value that differs from the other one. */
static void put_value(struct bytes *out, const char *value, const char *other)
{
    size_t same = 0, len = value ? strlen(value) : 0;
    if (!value) {
        bytes_text(out, "not said");
        return;
    }
    while (other && len > SHOWN && value[same] && value[same] == other[same])
        same++;
    size_t from = same > BEFORE ? same - BEFORE : 0, left = len - from;
    bytes_printf(out, "%s%.*s%s", from ? "..." : "", left > SHOWN ? SHOWN : (int)left, value + from,
                 left > SHOWN ? "..." : "");
}

static void put_difference(struct bytes *out, const char *key, const char *theirs, const char *ours)
{
    bytes_printf(out, "%s%s is ", out->len ? "; " : "", key);
    put_value(out, theirs, ours);
    bytes_text(out, " there, ");
    put_value(out, ours, theirs);
    bytes_text(out, " here");
}

static bool differ(const char *a, const char *b)
{
    return !a || !b || strcmp(a, b) != 0;
}

err_t hello_same_protocol(uint32_t theirs, const char *who)
{
    if (theirs == HELLO_PROTOCOL)
        return OK;
    return err_new(ERR_PRECONDITION,
                   "%s speaks protocol %" PRIu32
                   ", this process %d: start daemons of one build (here %s)",
                   who, theirs, HELLO_PROTOCOL, version_text);
}

/* Older workers are taken, newer ones come after the learner. */
static err_t check_protocol(uint32_t theirs, const char *who)
{
    if (theirs >= HELLO_PROTOCOL_OLDEST && theirs <= HELLO_PROTOCOL)
        return OK;
    return err_new(ERR_PRECONDITION,
                   "%s speaks protocol %" PRIu32 ", this learner %d to %d (version %s): upgrade %s",
                   who, theirs, HELLO_PROTOCOL_OLDEST, HELLO_PROTOCOL, version_text,
                   theirs > HELLO_PROTOCOL ? "the learner first, then rewarders, then generators"
                                           : "that worker to the learner's version");
}

static err_t check_forward(const struct hello *ours, const struct hello *theirs, const char *who)
{
    const size_t len = ours->same_forward ? strlen(ours->same_forward) : 0;
    if (!len || !theirs->forward ||
        (strncmp(theirs->forward, ours->same_forward, len) == 0 &&
         (!theirs->forward[len] || theirs->forward[len] == ' ')))
        return OK;
    return err_new(ERR_PRECONDITION,
                   "%s computes log-probabilities by '%s', this learner by '%s', so their bits "
                   "differ: run.mixed_numerics: tolerate takes such workers and measures the "
                   "distance",
                   who, theirs->forward, ours->same_forward);
}

static bool is_asked(const struct hello *ours, const char *key)
{
    return !ours->unasked || strcmp(ours->unasked, key) != 0;
}

err_t hello_check(const struct hello *ours, const struct hello *theirs, const char *who)
{
    SCOPED_VALUE(bytes) text = {0};
    int count = 0;
    SCOPED_MEM char *sender =
        theirs->build ? mem_printf("%s (version %s)", who, theirs->build) : mem_string(who);
    TRY(check_protocol(theirs->protocol, sender));
    for (uint32_t i = 0; i < ours->settings; i++) {
        const struct hello_setting *mine = &ours->setting[i];
        const char *value = value_of(theirs, mine->key);
        if (differ(value, mine->value) && is_asked(ours, mine->key) && count++ < DIFFER)
            put_difference(&text, mine->key, value, mine->value);
    }
    for (uint32_t i = 0; i < theirs->settings; i++) {
        const struct hello_setting *other = &theirs->setting[i];
        if (!value_of(ours, other->key) && is_asked(ours, other->key) && count++ < DIFFER)
            put_difference(&text, other->key, other->value, NULL);
    }
    if (count > DIFFER)
        bytes_printf(&text, "; %d more differ", count - DIFFER);
    return count ? err_new(ERR_PRECONDITION, "%s has another recipe: %s", who,
                           (const char *)text.data)
                 : check_forward(ours, theirs, sender);
}

/* ---- bytes */

void hello_to_pb(const struct hello *hello, Rlhfd__V1__Hello *pb, void **rows)
{
    const size_t n = hello->settings;
    PbSetting **of = mem_new(n * (sizeof(PbSetting *) + sizeof(PbSetting)) + 1);
    PbSetting *row = (PbSetting *)(void *)(of + n);
    rlhfd__v1__hello__init(pb);
    for (size_t i = 0; i < n; i++) {
        rlhfd__v1__setting__init(&row[i]);
        row[i].key = hello->setting[i].key;
        row[i].value = hello->setting[i].value;
        of[i] = &row[i];
    }
    pb->protocol = hello->protocol;
    pb->n_settings = n;
    pb->settings = of;
    pb->forward = hello->forward ? hello->forward : pb->forward;
    pb->build = (char *)version_text;
    pb->scores_again = hello->scores_again;
    *rows = of;
}

err_t hello_from_pb(const Rlhfd__V1__Hello *pb, struct hello *ret)
{
    SCOPED_VALUE(hello) hello = {0};
    size_t bytes = 0;
    if (pb->n_settings > HELLO_SETTINGS_MAX)
        return err_new(ERR_INVALID, "hello: %zu settings; at most %d are allowed", pb->n_settings,
                       HELLO_SETTINGS_MAX);
    for (size_t i = 0; i < pb->n_settings; i++) {
        const PbSetting *setting = pb->settings[i];
        const size_t key = strlen(setting->key);
        bytes += strlen(setting->value);
        if (!key || key > KEY_MAX_BYTES || bytes > HELLO_MAX_BYTES)
            return err_new(ERR_INVALID,
                           "hello: settings[%zu]: a key of %zu bytes, values of %zu: allowed are 1 "
                           "to %d and at most %d",
                           i, key, bytes, KEY_MAX_BYTES, HELLO_MAX_BYTES);
        hello_put(&hello, setting->key, setting->value);
    }
    if (strlen(pb->forward) > NAME_MAX_BYTES)
        return err_new(ERR_INVALID, "hello: forward has %zu bytes; at most %d are allowed",
                       strlen(pb->forward), NAME_MAX_BYTES);
    if (strlen(pb->build) > NAME_MAX_BYTES)
        return err_new(ERR_INVALID, "hello: build has %zu bytes; at most %d are allowed",
                       strlen(pb->build), NAME_MAX_BYTES);
    hello.protocol = pb->protocol;
    hello.forward = *pb->forward ? mem_string(pb->forward) : NULL;
    hello.build = *pb->build ? mem_string(pb->build) : NULL;
    hello.scores_again = pb->scores_again;
    *ret = hello;
    hello = (struct hello){0};
    return OK;
}

void hello_encode(const struct hello *hello, struct bytes *ret)
{
    SCOPED_MEM void *rows = NULL;
    Rlhfd__V1__Group pb;
    Rlhfd__V1__Hello inner;
    rlhfd__v1__group__init(&pb);
    hello_to_pb(hello, &inner, &rows);
    pb.hello = &inner;
    wire_pack(&pb.base, ret);
}

err_t hello_decode(const uint8_t *data, size_t len, struct hello *ret)
{
    SCOPED_PB ProtobufCMessage *base = NULL;
    const struct wire_bounds bounds = {HELLO_MAX_BYTES, FIELDS_MAX};
    if (len > HELLO_MAX_BYTES)
        return err_new(ERR_NOT_FOUND, "no hello");
    err_t e = wire_unpack(&rlhfd__v1__group__descriptor, data, len, &bounds, &base);
    if (err_failed(e)) { // what it is then is judged by others
        err_free(e);
        return err_new(ERR_NOT_FOUND, "no hello");
    }
    const Rlhfd__V1__Group *pb = (const void *)base;
    if (!pb->hello)
        return err_new(ERR_NOT_FOUND, "no hello");
    if (pb->id.len)
        return err_new(ERR_INVALID, "hello: with a group in the same message");
    return hello_from_pb(pb->hello, ret);
}

void welcome_encode(uint32_t protocol, struct bytes *ret)
{
    Rlhfd__V1__Disposition pb;
    rlhfd__v1__disposition__init(&pb);
    pb.welcome = true;
    pb.protocol = protocol;
    pb.knows_waiting = true;
    wire_pack(&pb.base, ret);
}

bool welcome_decode(const uint8_t *data, size_t len, uint32_t *ret_protocol,
                    bool *ret_knows_waiting)
{
    SCOPED_PB ProtobufCMessage *base = NULL;
    const struct wire_bounds bounds = {WELCOME_BYTES, 4};
    err_t e = wire_unpack(&rlhfd__v1__disposition__descriptor, data, len, &bounds, &base);
    const Rlhfd__V1__Disposition *pb = (const void *)base;
    const bool welcome = !err_failed(e) && pb->welcome && !pb->id.len;
    if (welcome) {
        *ret_protocol = pb->protocol;
        *ret_knows_waiting = pb->knows_waiting;
    }
    err_free(e);
    return welcome;
}
