/* Checkpoints: written, found again, passed over when damaged, and never gone for a moment. */
#include "base/file.h"
#include "base/json.h"
#include "base/mem.h"
#include "learner/train/checkpoint.h"
#include "unit/model/tiny.h"
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

struct kit {
    const char *run;
    struct backend *be;
    struct trainees trainees;
};

static struct kit kit_new(void)
{
    struct kit kit = {.run = testing_directory(), .be = tiny_backend(1)};
    struct model_config shape = tiny_config(true);
    struct optimizer_config config = {.beta1 = 0.9, .beta2 = 0.99, .eps = 1e-8};
    struct model *model;
    assert_ok(model_new(kit.be, &shape, 5, &model));
    assert_ok(trainees_add(&kit.trainees, "policy", model, &config, NULL));
    return kit;
}

static void kit_done(struct kit *kit)
{
    trainees_done(&kit->trainees);
    backend_free(kit->be);
}

static struct checkpoint_info info_of(const struct kit *kit, uint64_t round)
{
    return (struct checkpoint_info){.run = "run",
                                    .lineage = 1,
                                    .round = round,
                                    .version = 2 * round,
                                    .trainees = trainees_digests(&kit->trainees)};
}

static void write_one(const struct kit *kit, uint64_t round, int keep)
{
    struct checkpoint_info info = info_of(kit, round);
    struct checkpoint_tokenizer tokenizer = checkpoint_tokenizer(kit->run);
    assert_ok(checkpoint_write(kit->run, &kit->trainees, &tokenizer, &info, keep));
}

/* The newest whole one's round; whether a damaged one was passed over. */
static uint64_t newest(const struct kit *kit, bool *ret_damaged)
{
    SCOPED_MEM char *path = NULL;
    SCOPED_MEM char *damaged = NULL;
    struct checkpoint_info info;
    SCOPED_VALUE(checkpoint_list) list = {0};
    assert_ok(checkpoint_list(kit->run, &list));
    assert_ok(checkpoint_newest(kit->run, &list, 0, &path, &damaged, &info));
    assert_non_null(path);
    *ret_damaged = damaged != NULL;
    return info.round;
}

static char *file_of(const struct kit *kit, uint64_t round, const char *name)
{
    return mem_printf("%s/checkpoints/v%llu/%s", kit->run, (unsigned long long)(2 * round), name);
}

static struct stat status_of(const char *path)
{
    struct stat status;
    assert_int_equal(stat(path, &status), 0);
    return status;
}

static void the_newest_whole_one_is_found(void **)
{
    struct kit kit = kit_new();
    bool damaged;
    for (uint64_t round = 1; round <= 4; round++)
        write_one(&kit, round, 2);
    assert_int_equal(newest(&kit, &damaged), 4);
    assert_false(damaged);
    SCOPED_MEM char *gone = file_of(&kit, 2, "manifest.json");
    assert_false(file_exists(gone));
    SCOPED_MEM char *state = file_of(&kit, 4, "optimizer.safetensors");
    assert_int_equal(truncate(state, status_of(state).st_size - 1), 0);
    assert_int_equal(newest(&kit, &damaged), 3);
    assert_true(damaged);
    kit_done(&kit);
}

/* What is there and whole is not taken away to be written again; what is damaged is. */
static void the_same_one_stays(void **)
{
    struct kit kit = kit_new();
    bool damaged;
    SCOPED_MEM char *state = file_of(&kit, 3, "optimizer.safetensors");
    write_one(&kit, 3, 1);
    struct stat before = status_of(state);
    write_one(&kit, 3, 1);
    struct stat after = status_of(state);
    assert_true(before.st_ino == after.st_ino && before.st_mtim.tv_nsec == after.st_mtim.tv_nsec);
    assert_int_equal(truncate(state, before.st_size - 1), 0);
    write_one(&kit, 3, 1);
    assert_int_equal(status_of(state).st_size, before.st_size);
    assert_int_equal(newest(&kit, &damaged), 3);
    assert_false(damaged);
    kit_done(&kit);
}

static void flip(const char *path, size_t at, int bit)
{
    SCOPED_VALUE(bytes) all = {0};
    assert_ok(file_read(path, 1 << 20, &all));
    all.data[at] ^= (uint8_t)(1 << bit);
    assert_ok(file_write(path, all.data, all.len));
}

/* Its digest of itself covers what no other file tells: round, version, lineage, the controller's
 * place. */
static void every_bit_of_a_manifest_counts(void **)
{
    struct kit kit = kit_new();
    struct checkpoint_info info;
    SCOPED_VALUE(bytes) all = {0};
    write_one(&kit, 3, 1);
    SCOPED_MEM char *manifest = file_of(&kit, 3, "manifest.json");
    SCOPED_MEM char *path = checkpoint_path(kit.run, 6);
    assert_ok(file_read(manifest, 1 << 20, &all));
    int harmless = 0;
    for (size_t at = 0; at < all.len; at++) {
        const int bit = (int)(at * 3 % 8);
        flip(manifest, at, bit);
        err_t failed = checkpoint_read(path, 0, &info);
        if (!err_failed(failed)) // a space that became another one
            harmless += all.data[at] <= ' ' ? 1 : 1000;
        err_free(failed);
        flip(manifest, at, bit);
    }
    assert_true(harmless < 1000);
    kit_done(&kit);
}

/* Of a model directory that has a tokenizer each checkpoint has it, or it is none. */
static void without_its_tokenizer_it_is_not_whole(void **)
{
    struct kit kit = kit_new();
    bool damaged;
    struct checkpoint_info info = info_of(&kit, 2);
    write_one(&kit, 1, 2); // an older learner's, written when the tokenizer was away
    SCOPED_MEM char *path = checkpoint_path(kit.run, 2);
    assert_ok(checkpoint_read(path, 0, &info));
    assert_err(ERR_DATA_LOSS, "does not name tokenizer.json",
               checkpoint_read(path, CHECKPOINT_TOKENIZER, &info));
    SCOPED_MEM char *file = file_join(kit.run, "tokenizer.json");
    assert_ok(file_write(file, "{}", 2));
    struct checkpoint_tokenizer tokenizer = checkpoint_tokenizer(kit.run);
    info = info_of(&kit, 2);
    assert_int_equal(tokenizer.files, CHECKPOINT_TOKENIZER);
    assert_int_equal(remove(file), 0);
    assert_err(ERR_NOT_FOUND, "tokenizer.json",
               checkpoint_write(kit.run, &kit.trainees, &tokenizer, &info, 2));
    assert_int_equal(newest(&kit, &damaged), 1);
    assert_ok(file_write(file, "{}", 2));
    assert_ok(checkpoint_write(kit.run, &kit.trainees, &tokenizer, &info, 2));
    SCOPED_MEM char *whole = checkpoint_path(kit.run, 4);
    assert_ok(checkpoint_read(whole, CHECKPOINT_TOKENIZER, &info));
    kit_done(&kit);
}

/* A second trainee, of another shape, with its files in a directory of its name. */
static void add_critic(struct kit *kit)
{
    const struct model_config shape = config_default(37, 32, 32, 1, 2, 2, 96, false);
    struct model *model;
    assert_ok(model_new(kit->be, &shape, 6, &model));
    assert_ok(trainees_add(&kit->trainees, "critic", model, &OPTIMIZER_DEFAULTS, NULL));
}

static void every_trainee_is_in_it(void **)
{
    struct kit kit = kit_new();
    struct checkpoint_info info, wanted;
    add_critic(&kit);
    write_one(&kit, 3, 1);
    wanted = info_of(&kit, 3);
    SCOPED_MEM char *path = checkpoint_path(kit.run, 6);
    assert_ok(checkpoint_read(path, 0, &info));
    assert_int_equal(info.trainees.count, 2);
    assert_string_equal(info.trainees.at[0].name, "policy");
    assert_null(trainee_digests_differ(&info.trainees, &wanted.trainees));
    for (size_t i = 0; i < 2; i++) { // each loads by itself
        const struct trainee *trainee = &kit.trainees.at[i];
        SCOPED_MEM char *directory = checkpoint_trainee(path, &info.trainees, trainee->name);
        SCOPED(model) model = NULL;
        assert_ok(model_load(kit.be, directory, &model));
        assert_int_equal(model->params->layout->elements, trainee->model->params->layout->elements);
        assert_same_weights(model, trainee->model);
    }
    SCOPED_MEM char *state = file_of(&kit, 3, "critic/optimizer.safetensors");
    flip(state, 1000, 3);
    assert_err(ERR_DATA_LOSS, "critic/optimizer.safetensors' is damaged",
               checkpoint_read(path, 0, &info));
    flip(state, 1000, 3);
    assert_ok(checkpoint_read(path, 0, &info));
    assert_int_equal(remove(state), 0);
    assert_err(ERR_NOT_FOUND, "critic/optimizer.safetensors", checkpoint_read(path, 0, &info));
    kit_done(&kit);
}

/* What a manifest says of itself: a digest of all but that. */
static void write_manifest(const char *path, json_t *manifest, bool signs)
{
    char text[DIGEST_TEXT];
    json_object_del(manifest, "digest");
    if (signs) {
        SCOPED_MEM char *rest = json_dumps(manifest, JSON_COMPACT | JSON_SORT_KEYS);
        const struct digest digest = hash128(rest, strlen(rest), 0);
        json_object_set_new(manifest, "digest", json_string(digest_text(&digest, text)));
    }
    SCOPED_MEM char *json = json_dumps(manifest, JSON_INDENT(2));
    assert_ok(file_write(path, json, strlen(json)));
}

/* Formats 1 and 2 had `weights` and `files` of the one model there was; 1 had no digest. */
static void an_older_manifest_is_the_policys(void **)
{
    struct kit kit = kit_new();
    struct checkpoint_info info, wanted;
    write_one(&kit, 3, 1);
    wanted = info_of(&kit, 3);
    SCOPED_MEM char *path = checkpoint_path(kit.run, 6);
    SCOPED_MEM char *file = file_of(&kit, 3, "manifest.json");
    for (int format = 2; format; format--) {
        SCOPED_JSON json_t *manifest = NULL;
        assert_ok(json_read_file(file, 1 << 20, &manifest));
        json_t *trainee = json_array_get(json_object_get(manifest, "trainees"), 0);
        if (trainee)
            json_object_set(manifest, "files", json_object_get(trainee, "files"));
        json_object_del(manifest, "trainees");
        json_object_set_new(manifest, "format_version", json_integer(format));
        write_manifest(file, manifest, format == 2);
        assert_ok(checkpoint_read(path, 0, &info));
        assert_int_equal(info.trainees.count, 1);
        assert_int_equal(info.version, 6);
        assert_null(trainee_digests_differ(&info.trainees, &wanted.trainees));
        SCOPED_MEM char *state = file_of(&kit, 3, "optimizer.safetensors");
        flip(state, 1000, 3);
        assert_err(ERR_DATA_LOSS, "is damaged", checkpoint_read(path, 0, &info));
        flip(state, 1000, 3);
    }
    kit_done(&kit);
}

/* A name becomes a path. */
static void names_of_trainees_are_looked_at(void **)
{
    static const char *const bad[] = {"",       "..",     "../policy",
                                      "critic", "Critic", "a_name_too_long_"};
    struct kit kit = kit_new();
    struct checkpoint_info info;
    add_critic(&kit);
    write_one(&kit, 3, 1);
    SCOPED_MEM char *path = checkpoint_path(kit.run, 6);
    SCOPED_MEM char *file = file_of(&kit, 3, "manifest.json");
    SCOPED_JSON json_t *manifest = NULL;
    assert_ok(json_read_file(file, 1 << 20, &manifest));
    json_t *policy = json_array_get(json_object_get(manifest, "trainees"), 0);
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        json_object_set_new(policy, "name", json_string(bad[i]));
        write_manifest(file, manifest, true);
        assert_err(ERR_DATA_LOSS, "cannot be one", checkpoint_manifest(path, &info));
        struct model *model;
        struct model_config shape = tiny_config(true);
        assert_ok(model_new(kit.be, &shape, 5, &model));
        assert_err(ERR_INVALID, "allowed are",
                   trainees_add(&kit.trainees, bad[i], model, &OPTIMIZER_DEFAULTS, NULL));
    }
    kit_done(&kit);
}

TESTS(cmocka_unit_test(every_trainee_is_in_it), cmocka_unit_test(an_older_manifest_is_the_policys),
      cmocka_unit_test(names_of_trainees_are_looked_at),
      cmocka_unit_test(the_newest_whole_one_is_found), cmocka_unit_test(the_same_one_stays),
      cmocka_unit_test(every_bit_of_a_manifest_counts),
      cmocka_unit_test(without_its_tokenizer_it_is_not_whole))
