/* See gguf_cases.h. */
#include "gguf_cases.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

size_t check_gguf_cases(struct ut_mem *mem, const struct gguf_case *cases, size_t n) {
    size_t n_hostile = 0;
    for (size_t i = 0; i < n; i++) {
        struct gguf_text text = {0};
        gguf_text_append(&text, cases[i].words);
        utter_status expected = !cases[i].message       ? UTTER_OK
                                : cases[i].unsupported ? UTTER_ERROR_UNSUPPORTED
                                                       : UTTER_ERROR_FORMAT;
        utter_status status = try_parse(mem, &text.file, cases[i].message);
        if (status != expected) {
            fail_msg("case %zu: %s: %s", i, cases[i].words, utter_status_name(status));
        }
        n_hostile += cases[i].message != NULL;
        gguf_text_free(&text);
    }
    return n_hostile;
}

struct parsed parse_gguf(struct ut_mem *mem, const char *words) {
    struct gguf_text text = {0};
    gguf_text_append(&text, words);
    struct parsed parsed = parse_copy(mem, text.file.data, text.file.n);
    if (parsed.status) {
        fail_msg("%s: %s", words, parsed.err.message);
    }
    use_weights(parsed.weights);
    gguf_text_free(&text);
    return parsed;
}
