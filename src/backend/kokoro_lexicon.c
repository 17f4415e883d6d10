/* The lexicons of a Kokoro model; see kokoro_lexicon.h. The keys of the rules inside a GGUF file
 * are those of TTS.cpp's "no espeak" models, which speak English only. misaki's files (us_gold.json
 * and so on) are looked for beside the model and in lexicon/ beside it. */
#include "backend/kokoro_lexicon.h"

#include <limits.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>

#include "weights/gguf.h"

enum { AMERICAN, BRITISH, N_ACCENTS };

/* `rules` and `folder` are fixed once it is created; `accents` are read and written under the
 * lock. */
struct ut_kokoro_lexicons {
    struct ut_mem *mem;
    struct ut_log log;
    char *folder;             /* of the model */
    struct ut_lexicon *rules; /* from the GGUF file, for both accents */
    pthread_mutex_t lock;     /* over the rest */
    struct {
        struct ut_lexicon *lexicon;
        bool looked_for;
    } accents[N_ACCENTS];
};

/* ---- Rules in a GGUF file ----------------------------------------------------------------- */

/* Five arrays of strings, of which two pairs must be of one length. ut_lexicon_from_rules copies
 * them. */
static utter_status read_rules(struct ut_kokoro_lexicons *lexicons, const struct ut_weights *gguf,
                               utter_error *err) {
    struct ut_lexicon_rules rules = {0};
    size_t n_keys = 0, n_phonemes = 0, n_words = 0, n_values = 0;
    utter_status status = ut_gguf_get_strings(gguf, "phonemizer.graphemes", &rules.graphemes,
                                              &rules.n_graphemes, err);
    status =
        status ? status
               : ut_gguf_get_strings(gguf, "phonemizer.rules.keys", &rules.rule_keys, &n_keys, err);
    status = status ? status
                    : ut_gguf_get_strings(gguf, "phonemizer.rules.phonemes", &rules.rule_phonemes,
                                          &n_phonemes, err);
    status = status ? status
                    : ut_gguf_get_strings(gguf, "phonemizer.dictionary.keys",
                                          &rules.dictionary_keys, &n_words, err);
    status = status ? status
                    : ut_gguf_get_strings(gguf, "phonemizer.dictionary.values",
                                          &rules.dictionary_values, &n_values, err);
    if (status != UTTER_OK) {
        return status;
    }
    if (n_keys != n_phonemes || n_words != n_values) {
        return ut_fail(err, UTTER_ERROR_FORMAT,
                       "phonemizer: %zu rules have %zu phoneme strings and %zu words have %zu "
                       "values: they must be as many",
                       n_keys, n_phonemes, n_words, n_values);
    }
    rules.n_rules = n_keys;
    rules.n_dictionary = n_words;
    return ut_lexicon_from_rules(lexicons->mem, &rules, &lexicons->rules, err);
}

/* phonemizer.type 0: the file brings its rules; 1, or no such key: espeak-ng. */
static bool has_rules(const struct ut_weights *gguf) {
    int64_t type = 1;
    return gguf && ut_gguf_get_int(gguf, "phonemizer.type", &type, NULL) == UTTER_OK && type == 0;
}

/* ---- misaki's files ----------------------------------------------------------------------- */

/* A folder without misaki's files is no error; a damaged file in it is. */
static utter_status look_for(struct ut_kokoro_lexicons *lexicons, int accent, utter_error *err) {
    static const char *const places[] = {"", "/lexicon"};
    struct ut_lexicon **out = &lexicons->accents[accent].lexicon;
    char folder[PATH_MAX];
    for (size_t i = 0; i < sizeof places / sizeof *places; i++) {
        int n = snprintf(folder, sizeof folder, "%s%s", lexicons->folder, places[i]);
        utter_status status = n < PATH_MAX ? ut_lexicon_open_misaki(lexicons->mem, folder,
                                                                    accent == AMERICAN, out, err)
                                           : UTTER_ERROR_NOT_FOUND;
        if (status == UTTER_OK) {
            ut_log(&lexicons->log, UTTER_LOG_INFO, "words are looked up in the lexicon in %s",
                   folder);
        }
        if (status != UTTER_ERROR_NOT_FOUND) {
            return status;
        }
    }
    return UTTER_OK;
}

/* The lock is held while a lexicon is read: others who want it wait, instead of reading it too.
 * After a failure the next call tries again. */
utter_status ut_kokoro_lexicons_get(struct ut_kokoro_lexicons *lexicons, char language,
                                    const struct ut_lexicon **out, utter_error *err) {
    *out = NULL;
    if (language != 'a' && language != 'b') {
        return UTTER_OK;
    }
    if (lexicons->rules) {
        *out = lexicons->rules;
        return UTTER_OK;
    }
    int accent = language == 'a' ? AMERICAN : BRITISH;
    pthread_mutex_lock(&lexicons->lock);
    utter_status status = UTTER_OK;
    if (!lexicons->accents[accent].looked_for) {
        status = look_for(lexicons, accent, err);
        lexicons->accents[accent].looked_for = status == UTTER_OK;
    }
    *out = lexicons->accents[accent].lexicon;
    pthread_mutex_unlock(&lexicons->lock);
    return status;
}

/* ---- Life --------------------------------------------------------------------------------- */

/* "a/b.pth" -> "a", "b.pth" -> ".". */
static char *folder_of(struct ut_mem *mem, const char *file) {
    const char *slash = strrchr(file, '/');
    size_t n = slash == file ? 1 : slash ? (size_t)(slash - file) : 1;
    char *folder = ut_mem_calloc(mem, UT_MEM_OTHER, n + 1, 1);
    if (folder) {
        memcpy(folder, slash ? file : ".", n);
    }
    return folder;
}

utter_status ut_kokoro_lexicons_create(struct ut_mem *mem, const char *model_file,
                                       const struct ut_weights *gguf, const struct ut_log *log,
                                       struct ut_kokoro_lexicons **out, utter_error *err) {
    *out = NULL;
    struct ut_kokoro_lexicons *lexicons = ut_mem_calloc(mem, UT_MEM_OTHER, 1, sizeof *lexicons);
    if (!lexicons || pthread_mutex_init(&lexicons->lock, NULL) != 0) {
        ut_mem_free(mem, lexicons);
        return ut_fail_memory(err, sizeof *lexicons);
    }
    lexicons->mem = mem;
    lexicons->log = *log;
    lexicons->folder = folder_of(mem, model_file);
    utter_status status = lexicons->folder ? UTTER_OK : ut_fail_memory(err, strlen(model_file) + 1);
    if (status == UTTER_OK && has_rules(gguf)) {
        status = read_rules(lexicons, gguf, err);
        status = status ? ut_fail_context(err, status, "%s", model_file) : status;
    }
    if (status != UTTER_OK) {
        ut_kokoro_lexicons_destroy(lexicons);
        return status;
    }
    *out = lexicons;
    return UTTER_OK;
}

void ut_kokoro_lexicons_destroy(struct ut_kokoro_lexicons *lexicons) {
    if (lexicons) {
        for (int i = 0; i < N_ACCENTS; i++) {
            ut_lexicon_destroy(lexicons->accents[i].lexicon);
        }
        ut_lexicon_destroy(lexicons->rules);
        ut_mem_free(lexicons->mem, lexicons->folder);
        pthread_mutex_destroy(&lexicons->lock);
        ut_mem_free(lexicons->mem, lexicons);
    }
}
