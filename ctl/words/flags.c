#include "base/mem.h"
#include "base/scoped.h"
#include "ctl/words/command.h"
#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

err_t flag_int(const char *flag, const char *text, long min, long max, long *ret)
{
    char *end;
    errno = 0;
    long value = strtol(text, &end, 10);
    if (errno || end == text || *end || value < min || value > max)
        return err_new(ERR_INVALID, "%s: '%s' is not a whole number from %ld to %ld", flag, text,
                       min, max);
    *ret = value;
    return OK;
}

err_t flag_number(const char *flag, const char *text, double min, double max, double *ret)
{
    char *end;
    double value = strtod(text, &end);
    if (end == text || *end || !isfinite(value) || value < min || value > max)
        return err_new(ERR_INVALID, "%s: '%s' is not a number from %g to %g", flag, text, min, max);
    *ret = value;
    return OK;
}

char *program_beside(const char *name)
{
    char self[4096];
    ssize_t len = readlink("/proc/self/exe", self, sizeof self - 1);
    if (len <= 0)
        return mem_string(name);
    self[len] = 0;
    char *slash = strrchr(self, '/');
    return slash ? mem_printf("%.*s/%s", (int)(slash - self), self, name) : mem_string(name);
}
