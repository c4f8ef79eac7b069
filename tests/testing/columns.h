/* A group as an earlier stop of the ring left it.
 *
 *     column_list_keep(&group->columns, ORIGIN_GENERATOR);      -- drops scores, reference, advantages
 */
#pragma once
#include "wire/column_list.h"
#include <stdlib.h>

/* Drops the columns that stops after this one fill. */
static inline void column_list_keep(struct column_list *list, enum column_origin last)
{
    uint32_t kept = 0;
    for (uint32_t i = 0; i < list->count; i++) {
        const struct column_row *row = column_row(list->at[i].id);
        if (!row || row->origin <= last) {
            list->at[kept++] = list->at[i];
            continue;
        }
        free(list->at[i].completion);
        free(list->at[i].data);
    }
    list->count = kept;
}
