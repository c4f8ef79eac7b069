/* A config.json: what is accepted fits its own bounds, and is accepted again as we write it. */
#include "model/files/config.h"
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    struct model_config config;
    SCOPED_JSON json_t *json = NULL;
    err_t e = json_parse((const char *)data, len, "fuzz", &json);
    if (!err_failed(e))
        e = config_parse(json, "fuzz", &config);
    if (!err_failed(e)) {
        SCOPED_JSON json_t *written = config_json(&config);
        e = config_parse(written, "written", &config);
        if (err_failed(e))
            abort();
    }
    err_free(e);
    return 0;
}
