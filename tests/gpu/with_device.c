/* Runs a command with RLHFD_BACKEND=MODULE where that backend opens, that is, where there is a GPU.
 *
 *     gpu_with_device MODULE COMMAND...
 *
 * Elsewhere the reason is printed, and the exit status is 77: ctest calls that skipped. */
#include "tensor/backend.h"
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

int main(int argc, char **argv)
{
    struct backend *be = NULL;
    if (argc < 3) {
        fprintf(stderr, "with_device MODULE COMMAND...\n");
        return 2;
    }
    err_t e = backend_open(argv[1], &(struct backend_config){.threads = 1}, &be);
    if (err_failed(e)) {
        const enum err_code code = err_code(e);
        printf("skipped: %s\n", err_message(e));
        err_free(e);
        return code == ERR_NOT_FOUND || code == ERR_PRECONDITION ? 77 : 1;
    }
    backend_free(be);
    setenv("RLHFD_BACKEND", argv[1], 1);
    execvp(argv[2], argv + 2);
    perror(argv[2]);
    return 1;
}
