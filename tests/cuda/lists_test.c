/* Lists of changes by NCCL into a device's memory. Daemons are real, on the emulator of a GPU and
 * on the CPU; broadcasts of NCCL's stand-in are work on the emulator's streams. */
#include "base/clock.h"
#include "base/file.h"
#include "base/mem.h"
#include "base/scoped.h"
#include "model/model.h"
#include "testing/daemons.h"
#include "testing/testing.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { WAIT_MS = 240000, ENOUGH = 3 };

static char module[4096], settings[8192];

/* The checked build's turn is with `RLHFD_EMU=full`: it is twenty times slower. */
static int choose(void **state)
{
    (void)state;
    const char *path = getenv("RLHFD_BACKEND");
    snprintf(module, sizeof module, "%s", path ? path : TEST_BIN "/librlhfd_cuda_emu.so");
    setenv("RLHFD_BACKEND", module, 1);
    if (strstr(module, "_checked") && !getenv("RLHFD_EMU"))
        exit(77);
    snprintf(settings, sizeof settings,
             "publish.transport=nccl publish.nccl_library=" FAKE_NCCL_LIBRARY
             " publish.cudart_library=%s publish.settle_ms=100 publish.carry_ms=20000"
             " publish.end_ms=5000 publish.retry_ms=500 publish.bucket_bytes=4096"
             " publish.anchor_every=5"
             " rewarder.backend=cpu learner.optimizer.lr=1e-5",
             module);
    return 0;
}

struct stage {
    struct ring ring;
    struct daemons daemons;
    char settings[sizeof settings + 256]; // of all daemons
    struct extra extra[3];
    size_t extras;
    size_t elements; // of the model's flat array
};

static size_t elements_of(const char *directory)
{
    SCOPED(backend) be = NULL;
    SCOPED(model) model = NULL;
    assert_ok(backend_open("cpu", &(struct backend_config){.threads = 1}, &be));
    assert_ok(model_load_compact(be, directory, &model));
    return model->params->layout->elements;
}

/* manner: the learner's NCCL's, and the first generator's. */
static void stage_open_with(struct stage *stage, const char *manner, const char *more)
{
    snprintf(stage->settings, sizeof stage->settings, "%s%s", settings, more);
    setenv("FAKE_NCCL", manner, 1);
    stage->extras = 0;
    stage->ring = ring_prepare(
        &(struct ring_options){.rounds = 1000000, .groups = 8, .lag = 2, .straggler = "drop"});
    stage->elements = elements_of(stage->ring.model);
    stage->daemons = daemons_start(&stage->ring, stage->settings);
    setenv("FAKE_NCCL", "", 1);
}

static void stage_open(struct stage *stage, const char *manner)
{
    stage_open_with(stage, manner, " generator.backend=cuda learner.backend=cpu");
}

static struct extra *one_more(struct stage *stage, const char *name, const char *its,
                              const char *manner)
{
    setenv("FAKE_NCCL", manner, 1);
    stage->extra[stage->extras] = daemons_extra(&stage->daemons, name, its);
    setenv("FAKE_NCCL", "", 1);
    return &stage->extra[stage->extras++];
}

static void wait_metric(const struct stage *stage, const char *http, const char *name,
                        double at_least)
{
    for (int64_t until = clock_ms() + WAIT_MS; clock_ms() < until; clock_sleep_ms(50)) {
        daemons_assert_running(&stage->daemons, LEARNER);
        daemons_assert_running(&stage->daemons, GENERATOR);
        if (daemons_metric_at(http, name) >= at_least)
            return;
    }
    SCOPED_MEM char *log = file_join(stage->ring.run, "learner.log");
    file_print_end("learner", log);
    fail_msg("%s stays at %g, below %g", name, daemons_metric_at(http, name), at_least);
}

static void wait_learner(const struct stage *stage, const char *name, double at_least)
{
    wait_metric(stage, stage->daemons.metrics[LEARNER], name, at_least);
}

static double of_learner(const struct stage *stage, const char *name)
{
    return daemons_metric(&stage->daemons, LEARNER, name);
}

static void stage_close(struct stage *stage)
{
    for (size_t i = 0; i < stage->extras; i++) {
        process_kill(&stage->extra[i].process, SIGKILL);
        process_wait(&stage->extra[i].process, WAIT_MS);
    }
    process_kill(&stage->daemons.process[LEARNER], SIGTERM);
    assert_int_equal(daemons_wait_learner(&stage->daemons, WAIT_MS), 0);
    ring_audit(&stage->ring);
}

static const char BY_DEVICE[] = "rlhfd_weights_by_nccl_device_total",
                  BY_NCCL[] = "rlhfd_weights_by_nccl_total";

static void lists_come_to_devices_and_to_the_host(void **state)
{
    struct stage stage;
    (void)state;
    stage_open(&stage, "");
    const struct extra *second = one_more(&stage, "second", "", "");
    const struct extra *host = one_more(&stage, "host", "generator.backend=cpu", "");
    wait_learner(&stage, "rlhfd_nccl_members", 3);
    wait_metric(&stage, stage.daemons.metrics[GENERATOR], BY_DEVICE, ENOUGH);
    wait_metric(&stage, second->metrics, BY_DEVICE, ENOUGH);
    wait_metric(&stage, host->metrics, BY_NCCL, ENOUGH);
    assert_int_equal((int)daemons_metric_at(host->metrics, BY_DEVICE), 0);
    wait_learner(&stage, "rlhfd_nccl_lists_total", ENOUGH);
    assert_int_equal((int)of_learner(&stage, "rlhfd_nccl_failed_epochs_total"), 0);
    stage_close(&stage);
}

/* Every process that lives comes to a version made from now on. */
static void assert_converges(const struct stage *stage, const char *http)
{
    wait_metric(stage, http, "rlhfd_weights_version", ring_read(&stage->ring).rounds + 2);
}

/* A generator dies in the middle of a list. Members that lack a part of it get the version over
 * gRPC. Later versions come by NCCL again. */
static void a_killed_generator_ends_a_list(void **state)
{
    struct stage stage;
    (void)state;
    stage_open(&stage, "");
    const struct extra *second = one_more(&stage, "second", "", "");
    wait_learner(&stage, "rlhfd_nccl_members", 2);
    struct extra *victim = one_more(&stage, "victim", "", "signal_at=9,signal=9");
    wait_learner(&stage, "rlhfd_nccl_members", 3);
    assert_int_equal(process_wait(&victim->process, WAIT_MS), 128 + SIGKILL);
    stage.extras--;
    wait_learner(&stage, "rlhfd_nccl_failed_epochs_total", 1);
    const double before = of_learner(&stage, "rlhfd_nccl_versions_total");
    wait_learner(&stage, "rlhfd_nccl_versions_total", before + ENOUGH);
    const double more = daemons_metric_at(second->metrics, BY_DEVICE);
    wait_metric(&stage, second->metrics, BY_DEVICE, more + 1);
    assert_converges(&stage, second->metrics);
    stage_close(&stage);
}

static bool log_has(const struct stage *stage, const char *name, const char *part)
{
    SCOPED_MEM char *path = mem_printf("%s/%s.log", stage->ring.run, name);
    SCOPED_MEM char *text = file_text(path);
    return strstr(text, part) != NULL;
}

/* In each session, on the way to all of its members. */
static void a_flipped_bit_falls_back(void **state)
{
    struct stage stage;
    (void)state;
    stage_open(&stage, "corrupt_at=7");
    wait_learner(&stage, "rlhfd_nccl_members", 1);
    wait_learner(&stage, "rlhfd_nccl_fallbacks_total", 1);
    const double before = daemons_metric(&stage.daemons, GENERATOR, BY_DEVICE);
    wait_metric(&stage, stage.daemons.metrics[GENERATOR], BY_DEVICE, before + ENOUGH);
    assert_true(log_has(&stage, "generator", "by=nccl what=\"a list of ") ||
                log_has(&stage, "generator", "by=nccl what=\"weights: a list"));
    assert_false(log_has(&stage, "generator", "weights are not what they should be"));
    assert_converges(&stage, stage.daemons.metrics[GENERATOR]);
    stage_close(&stage);
}

/* A learner whose memory is not the host's lists what its optimizer marked: so much less comes to
 * the host for a version, beside all values. */
static void a_learner_reads_lists_in_place_of_all_values(void **state)
{
    struct stage stage;
    (void)state;
    setenv("RLHFD_BACKEND", "opaque", 1);
    stage_open_with(&stage, "", " generator.backend=cpu learner.backend=auto");
    setenv("RLHFD_BACKEND", module, 1);
    const struct extra *device = one_more(&stage, "device", "generator.backend=cuda", "");
    wait_learner(&stage, "rlhfd_nccl_members", 2);
    wait_metric(&stage, device->metrics, BY_DEVICE, ENOUGH);
    wait_learner(&stage, "rlhfd_publish_lists_total", ENOUGH);
    wait_learner(&stage, "rlhfd_nccl_lists_total", ENOUGH);
    const double read = of_learner(&stage, "rlhfd_publish_read_bytes");
    assert_true(read < 2 * (double)stage.elements / 4);
    assert_converges(&stage, device->metrics);
    assert_converges(&stage, stage.daemons.metrics[GENERATOR]);
    stage_close(&stage);
}

/* Learner and generators on devices: no list touches a host on its way. With the same numerics and
 * no lag each token's log-probability is held against the learner's to the bit: the weights there
 * are those. */
static void lists_go_from_device_to_device(void **state)
{
    struct stage stage;
    (void)state;
    stage_open_with(&stage, "", " generator.backend=cuda learner.backend=cuda lag.max=0");
    const struct extra *host = one_more(&stage, "host", "generator.backend=cpu", "");
    wait_learner(&stage, "rlhfd_nccl_members", 2);
    wait_metric(&stage, stage.daemons.metrics[GENERATOR], BY_DEVICE, ENOUGH);
    wait_metric(&stage, host->metrics, BY_NCCL, ENOUGH);
    wait_learner(&stage, "rlhfd_nccl_device_total", ENOUGH);
    wait_learner(&stage, "rlhfd_publish_lists_total", ENOUGH);
    const double read = of_learner(&stage, "rlhfd_publish_read_bytes");
    const double all = 2 * (double)stage.elements;
    print_message("a version: %.0f bytes came to the host, where all values are %.0f\n", read, all);
    assert_true(read < all / 4);
    const double compared = of_learner(&stage, "rlhfd_logp_compared_total");
    wait_learner(&stage, "rlhfd_logp_compared_total", compared + 1); // since those lists
    assert_converges(&stage, stage.daemons.metrics[GENERATOR]);
    stage_close(&stage);
    const struct ring_result result = ring_read(&stage.ring);
    assert_true(result.logp_compared > 0);
    assert_int_equal((int)result.logp_differing, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(lists_come_to_devices_and_to_the_host),
        cmocka_unit_test(a_killed_generator_ends_a_list),
        cmocka_unit_test(a_flipped_bit_falls_back),
        cmocka_unit_test(a_learner_reads_lists_in_place_of_all_values),
        cmocka_unit_test(lists_go_from_device_to_device),
    };
    return cmocka_run_group_tests(tests, choose, NULL);
}
