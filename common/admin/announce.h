/* The file in which a daemon says where it listens. While that process lives no other takes the
 * path over.
 *
 *     TRY(announce_write("RUN/logs/generator.json", "{\"pid\": 17, ...}", &fd));     -- EXISTS: another process's
 *     close(fd);                                                                     -- from here on others may
 *
 * The file is locked by flock(2) for as long as fd is open. Readers see all of its text or the one
 * before. */
#pragma once
#include "base/err.h"

err_t announce_write(const char *path, const char *text, int *ret_fd);
