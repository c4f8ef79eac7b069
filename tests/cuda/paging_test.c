/* Pages of the optimizer's states on the emulator: copies in both directions beside the ops, in any
 * order in which streams go on. */
#include "cuda/module.h"
#include "testing/paging.h"

static void every_order_of_the_streams_is_right(void **state)
{
    (void)state;
    static const char *const seeds[] = {"0", "1", "2", "3", "4", "5"};
    for (size_t i = 0; i < sizeof seeds / sizeof *seeds; i++) {
        cuda_module_seed(seeds[i]);
        SCOPED(backend) be = cuda_module_open();
        paging_check(be, 32 * 600);
    }
}

TESTS(cmocka_unit_test(every_order_of_the_streams_is_right))
