/* What the ids of numerics say of an emulated device: how its tensor cores round. */
#include "runtime.h"

extern "C" const char *cuda_device_words(void)
{
    static const char *const words[] = {" emulated=exact", " emulated=chain", " emulated=truncate"};
    return words[emu::mma];
}
