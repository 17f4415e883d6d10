/* See sweep.h. */
#include "support/sweep.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

void sweep_start(struct sweep *sweep, struct ut_mem *mem, bool and_later) {
    *sweep = (struct sweep){.and_later = and_later};
    sweep->allocator = failing_allocator_start(&sweep->memory);
    if (mem) {
        ut_mem_init(mem, &sweep->allocator);
    }
}

bool sweep_next(struct sweep *sweep) {
    size_t n_blocks = sweep->memory.n_blocks;
    bool is_first = sweep->fail_at == 0, failed = sweep->memory.n_failed > 0;
    if (sweep->memory.wrong_size || (!is_first && n_blocks != sweep->n_blocks)) {
        fail_msg("allocation %zu failed: %zu blocks are left, %zu were there before%s",
                 sweep->fail_at, n_blocks, sweep->n_blocks,
                 sweep->memory.wrong_size ? ", and one was overrun or freed with a wrong size"
                                          : "");
    }
    sweep->n_blocks = n_blocks;
    sweep->n_injected += failed;
    bool goes_on = is_first || failed;
    sweep->fail_at++;
    failing_allocator_reset(&sweep->memory, goes_on ? sweep->fail_at : 0, sweep->and_later);
    return goes_on;
}

void sweep_check(const struct sweep *sweep, utter_status status) {
    bool failed = sweep->memory.n_failed > 0;
    if (status != (failed ? UTTER_ERROR_MEMORY : UTTER_OK)) {
        fail_msg("allocation %zu %s: status is '%s'", sweep->fail_at,
                 failed ? "failed" : "did not fail", utter_status_name(status));
    }
}
