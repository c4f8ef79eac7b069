/* The rows whose losses read whole distributions of the next token: rl/objective_table.h has the form of a row, joins them with
 * the others, and is what others include. */
#pragma once

// clang-format off
#define ROWS_VOCABULARY(X)
// clang-format on
