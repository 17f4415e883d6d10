/* The file of utter tune: what is accepted is a table that layers can be packed by, and the same
 * table again when it was written; every refusal says why and leaves no rule. */
#include <string.h>

#include "base/checked.h"
#include "compute/tuning.h"
#include "fuzz.h"

static const char *const levels[] = {"scalar", "avx512"};

static void check_rule(const struct ut_minimal_rule *rule) {
    const struct ut_minimal_scheme *scheme = rule->scheme;
    REQUIRE(rule->n_in > 0 && rule->n_out > 0 && rule->n_taps > 0);
    REQUIRE(!scheme || ut_minimal_find(rule->n_taps, scheme->name) == scheme);
}

static void check_table(struct ut_mem *mem, const char *cpu, const struct ut_minimal_table *table) {
    struct ut_minimal_table again;
    utter_error err;
    char *text;
    REQUIRE(table->n_rules >= 0 && table->n_rules <= UT_MINIMAL_MAX_RULES);
    for (int i = 0; i < table->n_rules; i++) {
        check_rule(&table->rules[i]);
    }
    REQUIRE(ut_tuning_format(mem, cpu, table, &text, &err) == UTTER_OK);
    REQUIRE(ut_tuning_parse(mem, text, strlen(text), cpu, &again, &err) == UTTER_OK);
    REQUIRE(again.n_rules == table->n_rules);
    for (int i = 0; i < table->n_rules; i++) {
        const struct ut_minimal_rule *a = &table->rules[i], *b = &again.rules[i];
        REQUIRE(a->n_in == b->n_in && a->n_out == b->n_out && a->n_taps == b->n_taps);
        REQUIRE(a->scheme == b->scheme);
    }
    ut_mem_free(mem, text);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n) {
    struct ut_mem mem;
    ut_mem_init(&mem, NULL);
    for (size_t i = 0; i < UT_COUNT(levels); i++) {
        struct ut_minimal_table table;
        utter_error err = {0};
        utter_status status = ut_tuning_parse(&mem, (const char *)data, n, levels[i], &table, &err);
        if (status == UTTER_OK) {
            check_table(&mem, levels[i], &table);
        } else {
            REQUIRE(status == UTTER_ERROR_FORMAT || status == UTTER_ERROR_UNSUPPORTED);
            REQUIRE(err.code == status && err.message[0] != '\0' && table.n_rules == 0);
        }
    }
    for (int i = 0; i < UT_MEM_N_OWNERS; i++) {
        REQUIRE(atomic_load(&mem.bytes[i]) == 0);
    }
    return 0;
}
