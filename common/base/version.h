/* The version of this build, from git (cmake/version.cmake).
 *
 *     printf("rlhfctl %s\n", version_text);     -- "0.1.0", or "0.1.0-12-gabc1234-dirty"
 *
 * Any thread; constant. */
#pragma once

extern const char version_text[];
/* Of git, 12 digits; "unknown": built without it. */
extern const char version_commit[];
