/* Text: the first byte chooses the size of the pieces, the rest is the text. Pieces and sentences
 * must cover it; the phonemes of text are its own characters. espeak-ng is not built for the
 * fuzzer, so it gives no coverage, but a sanitizer sees what it does to our memory. */
#include <string.h>

#include "fuzz.h"
#include "text/marks.h"
#include "text/phonemes.h"
#include "text/segment.h"
#include "text/utf8_walk.h"
#include "ut_config.h"

static void check_sentences(const struct ut_sentences *list, size_t n) {
    for (size_t i = 0; i < list->n; i++) {
        const struct ut_sentence *s = &list->items[i];
        REQUIRE(strlen(s->phonemes) == s->n_bytes);
        REQUIRE(ut_utf8_check(s->phonemes, s->n_bytes, NULL) == UTTER_OK);
        REQUIRE(s->text_begin == (i > 0 ? list->items[i - 1].text_end : 0));
        REQUIRE(s->text_end >= s->text_begin && s->text_end <= n);
    }
    REQUIRE(list->n == 0 || list->items[list->n - 1].text_end == n);
}

static void phonemize_piece(struct ut_mem *mem, const char *text, size_t n) {
    struct ut_sentences list;
    /* Without ICU some text cannot be decomposed. */
    utter_status status = ut_phonemize_text(mem, text, n, &list, NULL);
    REQUIRE(status == UTTER_OK || (!UT_HAVE_ICU && status == UTTER_ERROR_UNSUPPORTED));
    check_sentences(&list, n);
    ut_sentences_free(&list);
#if UT_HAVE_ESPEAK
    status = ut_phonemize_espeak(mem, "en-us", text, n, &list, NULL, NULL);
    REQUIRE(status == UTTER_OK || (!UT_HAVE_ICU && status == UTTER_ERROR_UNSUPPORTED));
    check_sentences(&list, n);
    ut_sentences_free(&list);
#endif
}

static void use_text(struct ut_mem *mem, const char *text, size_t n, size_t max_bytes) {
    struct ut_segmenter *segmenter;
    struct ut_piece piece;
    size_t at = 0;
    REQUIRE(ut_segmenter_create(mem, text, n, "en", max_bytes, &segmenter, NULL) == UTTER_OK);
    while (ut_segmenter_next(segmenter, &piece)) {
        REQUIRE(piece.begin == at && piece.end > at && piece.end <= n);
        REQUIRE(piece.end - piece.begin <= max_bytes);
        REQUIRE((piece.after == UT_BREAK_END) == (piece.end == n));
        /* In a block of its own, so that reading over the piece shows. */
        char *copy = malloc(piece.end - piece.begin);
        REQUIRE(copy);
        memcpy(copy, text + piece.begin, piece.end - piece.begin);
        phonemize_piece(mem, copy, piece.end - piece.begin);
        free(copy);
        at = piece.end;
    }
    REQUIRE(at == n);
    ut_segmenter_destroy(segmenter);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n) {
    if (n == 0) {
        return 0;
    }
    struct ut_mem mem;
    utter_error err;
    char *text = malloc(n);
    REQUIRE(text);
    memcpy(text, data + 1, n - 1);
    n--;
    ut_mem_init(&mem, NULL);
    if (ut_utf8_check(text, n, &err) == UTTER_OK) {
        (void)ut_text_is_speakable(text, n);
        (void)ut_ends_sentence(text, n);
        use_text(&mem, text, n, 64 + 4 * (size_t)data[0]);
    } else {
        struct ut_sentences list;
        REQUIRE(ut_phonemize_text(&mem, text, n, &list, NULL) == UTTER_ERROR_ARGUMENT);
        REQUIRE(strstr(err.message, "offset"));
    }
    free(text);
    REQUIRE(atomic_load(&mem.bytes[UT_MEM_SESSION]) == 0);
    return 0;
}
