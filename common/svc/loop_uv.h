/* Inside svc only: the libuv loop of a loop, for parts that own handles in it. Owner: the loop's
 * thread. */
#pragma once
#include "svc/loop.h"
#include <uv.h>

uv_loop_t *loop_uv(struct loop *loop);

/* Closes a handle and frees it with free() when libuv has let go of it; NULL is allowed. */
void loop_uv_close(uv_handle_t *handle);
