/* An adapter's directory: a digit for the family, adapter_config.json, a NUL and
 * adapter_model.safetensors. A config that is accepted is accepted again as we write it, and means
 * the same. A directory that loads computes. */
#include "base/file.h"
#include "base/mem.h"
#include "model/adapter.h"
#include "model/forward.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

enum { V = 8, FAMILIES = 10 };

static struct backend *be;
static struct model *models[FAMILIES];
static int config_fd, weights_fd;
static char directory[] = "/tmp/adapter-fuzz-XXXXXX";

static void clean(void)
{
    for (int i = 0; i < FAMILIES; i++)
        model_free(models[i]);
    backend_free(be);
    err_free(file_remove_tree(directory));
}

static void must(err_t e)
{
    if (!err_failed(e))
        return;
    fprintf(stderr, "%s\n", err_message(e));
    abort();
}

/* The directory's file is a link to memory. */
static int link_to_memory(const char *name)
{
    char memory[40];
    SCOPED_MEM char *path = file_join(directory, name);
    const int fd = memfd_create(name, MFD_CLOEXEC);
    snprintf(memory, sizeof memory, "/proc/self/fd/%d", fd);
    if (fd < 0 || symlink(memory, path))
        abort();
    return fd;
}

static void put(int fd, const uint8_t *data, size_t len)
{
    if (ftruncate(fd, 0) || pwrite(fd, data, len, 0) != (ssize_t)len)
        abort();
}

/* One layer of each family. */
static void begin(void)
{
    must(backend_open("cpu", &(struct backend_config){.threads = 1}, &be));
    if (!mkdtemp(directory))
        abort();
    for (int i = 0; i < FAMILIES && family_at(i); i++) {
        struct model_config config = config_default(V, 8, 8, 1, 1, 1, 8, false);
        config_family(&config, family_at(i));
        must(model_new(be, &config, 1, &models[i]));
    }
    config_fd = link_to_memory(ADAPTER_CONFIG);
    weights_fd = link_to_memory(ADAPTER_WEIGHTS);
    atexit(clean);
}

static void check_again(const struct model_config *base, const struct lora *lora)
{
    struct lora again;
    struct model_config adapter = *base;
    adapter.lora = *lora;
    SCOPED_JSON json_t *written = adapter_config_json(&adapter, "base");
    must(adapter_config_parse(written, "written", base, &again));
    if (again.r != lora->r || again.alpha != lora->alpha || again.rslora != lora->rslora ||
        again.roles != lora->roles)
        abort();
}

static void compute(struct model *model)
{
    static const int32_t token[] = {1, 2, 3}, position[] = {0, 1, 2};
    const struct segment segment = {.count = 3};
    SCOPED(forward) fw = NULL;
    must(forward_new(model, 3, 3, FORWARD_NOTHING, &fw));
    must(forward_run(fw, token, position, 3, &segment, 1));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    struct lora lora;
    if (!be)
        begin();
    struct model *model = len && data[0] >= '0' && data[0] <= '9' ? models[data[0] - '0'] : NULL;
    if (!model)
        return 0;
    const uint8_t *nul = memchr(data, 0, len);
    const size_t config = nul ? (size_t)(nul - data) : len;
    put(config_fd, data + 1, config - 1);
    put(weights_fd, nul ? nul + 1 : data, nul ? len - config - 1 : 0);
    err_t e = adapter_config_read(directory, &model->config, &lora);
    if (!err_failed(e)) {
        check_again(&model->config, &lora);
        e = adapter_load(model, "base", directory);
    }
    if (!err_failed(e))
        compute(model);
    err_free(e);
    return 0;
}
