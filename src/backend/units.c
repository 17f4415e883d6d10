/* The list of units that a piece of text was cut into. */
#include "base/checked.h"
#include "backend/backend.h"

void ut_units_init(struct ut_units *units, struct ut_mem *mem) {
    *units = (struct ut_units){.mem = mem};
}

void ut_units_clear(struct ut_units *units) {
    units->n = 0;
    units->n_skipped_symbols = 0;
}

/* After a failure the list is as it was. */
utter_status ut_units_append(struct ut_units *units, struct ut_unit unit, utter_error *err) {
    if (units->n == units->capacity) {
        size_t capacity = UT_MAX(units->capacity * 2, 16);
        struct ut_unit *grown =
            ut_mem_realloc(units->mem, UT_MEM_SESSION, units->items, capacity * sizeof *grown);
        if (!grown) {
            return ut_fail_memory(err, capacity * sizeof *grown);
        }
        units->items = grown;
        units->capacity = capacity;
    }
    units->items[units->n++] = unit;
    return UTTER_OK;
}

void ut_units_free(struct ut_units *units) {
    ut_mem_free(units->mem, units->items);
    ut_units_init(units, units->mem);
}
