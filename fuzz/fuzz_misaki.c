/* Kokoro's front end: the first byte chooses the language, the rest is the text. Chunks must cover
 * the text, fit the model and be UTF-8 without space at their ends; the same text gives them again.
 * Two languages only, one of them without espeak-ng: that leaks some memory whenever the voice
 * changes. */
#include <string.h>

#include "fuzz.h"
#include "text/misaki.h"
#include "text/segment.h"
#include "text/utf8_walk.h"

static void check_chunks(const struct ut_sentences *list, const char *text, size_t n) {
    for (size_t i = 0; i < list->n; i++) {
        const struct ut_sentence *s = &list->items[i];
        size_t n_symbols = 0;
        REQUIRE(strlen(s->phonemes) == s->n_bytes && s->n_bytes > 0);
        REQUIRE(ut_utf8_check(s->phonemes, s->n_bytes, NULL) == UTTER_OK);
        REQUIRE(s->phonemes[0] != ' ' && s->phonemes[s->n_bytes - 1] != ' ');
        for (size_t at = 0; at < s->n_bytes; at++) {
            n_symbols += !ut_utf8_is_tail(s->phonemes[at]);
        }
        REQUIRE(n_symbols <= UT_MISAKI_MAX_SYMBOLS);
        REQUIRE(s->text_begin == (i > 0 ? list->items[i - 1].text_end : 0));
        REQUIRE(s->text_end >= s->text_begin && s->text_end <= n);
        REQUIRE(s->text_end == n || !ut_utf8_is_tail(text[s->text_end]));
    }
    REQUIRE(list->n == 0 || list->items[list->n - 1].text_end == n);
}

static void check_same(const struct ut_sentences *a, const struct ut_sentences *b) {
    REQUIRE(a->n == b->n);
    for (size_t i = 0; i < a->n; i++) {
        REQUIRE(strcmp(a->items[i].phonemes, b->items[i].phonemes) == 0);
        REQUIRE(a->items[i].text_end == b->items[i].text_end);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n) {
    static const char languages[] = "az";
    if (n == 0) {
        return 0;
    }
    struct ut_mem mem;
    struct ut_misaki misaki = {.language = languages[data[0] % (sizeof languages - 1)]};
    struct ut_sentences first, second;
    utter_error err;
    char *text = malloc(n);
    REQUIRE(text);
    memcpy(text, data + 1, n - 1);
    n--;
    ut_mem_init(&mem, NULL);
    utter_status status = ut_phonemize_misaki(&mem, &misaki, text, n, &first, NULL, &err);
    if (status == UTTER_OK) {
        check_chunks(&first, text, n);
        REQUIRE(ut_phonemize_misaki(&mem, &misaki, text, n, &second, NULL, &err) == UTTER_OK);
        check_same(&first, &second);
        ut_sentences_free(&second);
    } else {
        REQUIRE(status == UTTER_ERROR_ARGUMENT || status == UTTER_ERROR_UNSUPPORTED);
        REQUIRE(first.n == 0 && err.message[0]);
    }
    ut_sentences_free(&first);
    free(text);
    REQUIRE(atomic_load(&mem.bytes[UT_MEM_SESSION]) == 0);
    return 0;
}
