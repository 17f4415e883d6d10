/* The one door to libespeak-ng: lock, initialisation, voice, formant synthesis. Works with
 * espeak-ng 1.50 and later (checked with 1.51). MBROLA voices are refused: espeak-ng starts another
 * program for them and writes to the terminal when it is missing. */
#include "text/espeak_lib.h"

#include "ut_config.h"

void ut_espeak_warn_blanked(size_t n, const struct ut_log *log) {
    if (n > 0) {
        ut_log(log, UTTER_LOG_WARNING,
               "%zu characters are left out: the voice cannot read their script", n);
    }
}

#if UT_HAVE_ESPEAK

#include <ctype.h>
#include <errno.h>
#include <espeak-ng/espeak_ng.h>
#include <limits.h>
#include <locale.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/checked.h"
#include "base/nearest.h"
#include "base/thread.h"
#include "text/utf8_walk.h"

/* Globals because the library behind them is one: espeak-ng keeps its translator, its voice and its
 * position in the text in globals of its own. All are read and written under the mutex only. */
static pthread_mutex_t espeak_mutex = PTHREAD_MUTEX_INITIALIZER;
static bool is_initialized;
static bool output_is_open, voices_are_listed;
static bool voice_is_set; /* by the last ut_espeak_set_voice */

/* espeak-ng copies names into buffers of 40 bytes, partly without looking at their length. */
enum { MAX_NAME = 39, MAX_VARIANT = 12, N_NEAREST = 3 };

/* The voice that espeak-ng has loaded, "" if that is not known. Loading takes 0.06 ms and leaks 1.3
 * kB (espeak-ng 1.51), so the one that is there is not loaded again. */
static char loaded_voice[MAX_NAME + 1];

utter_status ut_espeak_check_files(utter_error *err) {
    char text[128];
    int error = errno;
    if (error == 0 || error == ENOENT || error == ENOTDIR) { /* it searches in several places */
        return UTTER_OK;
    }
    loaded_voice[0] = '\0';
    return ut_fail(err, UTTER_ERROR_IO, "espeak-ng cannot read its data: %s",
                   strerror_r(error, text, sizeof text));
}

/* Lock held. Tried again by the next call when it fails: the data may have been installed
 * meanwhile. */
static utter_status initialize(utter_error *err) {
    /* espeak-ng sets LC_CTYPE of the whole process and does not need it afterwards. */
    const char *current = setlocale(LC_CTYPE, NULL);
    char saved[128];
    snprintf(saved, sizeof saved, "%s", current ? current : "C");
    errno = 0;
    espeak_ng_InitializePath(NULL);
    espeak_ng_ERROR_CONTEXT context = NULL;
    espeak_ng_STATUS status = espeak_ng_Initialize(&context);
    espeak_ng_ClearErrorContext(&context);
    utter_status files = ut_espeak_check_files(err);
    setlocale(LC_CTYPE, saved);
    if (files != UTTER_OK) {
        return files;
    }
    if (status != ENS_OK) {
        char reason[256];
        const char *path = "";
        espeak_ng_GetStatusCodeMessage(status, reason, sizeof reason);
        espeak_Info(&path);
        return ut_fail(err, UTTER_ERROR_UNSUPPORTED,
                       "espeak-ng cannot start with its data in '%s' (%s): install the package "
                       "espeak-ng-data or set ESPEAK_DATA_PATH",
                       path, reason);
    }
    is_initialized = true;
    return UTTER_OK;
}

utter_status ut_espeak_lock(utter_error *err) {
    pthread_mutex_lock(&espeak_mutex);
    utter_status status = is_initialized ? UTTER_OK : initialize(err);
    if (status != UTTER_OK) {
        pthread_mutex_unlock(&espeak_mutex);
    }
    return status;
}

void ut_espeak_unlock(void) {
    pthread_mutex_unlock(&espeak_mutex);
}

/* ---- Voice -------------------------------------------------------------------------------- */

/* Names come from voice files: nothing that leads out of espeak-ng's data folder or overruns its
 * buffers may pass. */
static bool name_is_sane(const char *name) {
    size_t n = strlen(name);
    const char *variant = strchr(name, '+');
    if (n == 0 || n > MAX_NAME || name[0] == '/' || (variant && n > MAX_NAME - MAX_VARIANT) ||
        (variant && strlen(variant) > MAX_VARIANT)) {
        return false;
    }
    for (const char *s = name; *s; s++) {
        if (!strchr("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_/+ (),", *s)) {
            return false;
        }
    }
    return true;
}

/* By the folder of its voice file or the name of its family. */
static bool is_mbrola(const char *name) {
    return strncasecmp(name, "mb/", 3) == 0 || strcasestr(name, "mb-") ||
           strcasestr(name, "mbrola");
}

/* Keeps the three nearest languages in order of distance, each once. */
static utter_status fail_not_found(const char *name, utter_error *err) {
    const char *nearest[N_NEAREST] = {"", "", ""};
    int distance[N_NEAREST] = {INT_MAX, INT_MAX, INT_MAX};
    const espeak_VOICE **voices = espeak_ListVoices(NULL);
    for (; voices && *voices; voices++) {
        if (is_mbrola((*voices)->identifier) || (*voices)->languages[0] == '\0') {
            continue;
        }
        const char *language = (*voices)->languages + 1; /* behind its priority byte */
        int d = ut_edit_distance(name, language);
        for (int i = 0; i < N_NEAREST && strcmp(nearest[i], language) != 0; i++) {
            if (d < distance[i]) {
                memmove(&distance[i + 1], &distance[i],
                        (size_t)(N_NEAREST - 1 - i) * sizeof *distance);
                memmove(&nearest[i + 1], &nearest[i],
                        (size_t)(N_NEAREST - 1 - i) * sizeof *nearest);
                distance[i] = d;
                nearest[i] = language;
                break;
            }
        }
    }
    return ut_fail(
        err, UTTER_ERROR_NOT_FOUND,
        "espeak-ng has no voice '%.100s'; the nearest are %s, %s and %s (all: espeak-ng --voices)",
        name, nearest[0], nearest[1], nearest[2]);
}

/* espeak-ng makes the list when it first looks for a voice, and keeps it, whole or not. */
static utter_status list_voices(utter_error *err) {
    errno = 0;
    if (!voices_are_listed) {
        espeak_ListVoices(NULL);
    }
    utter_status status = ut_espeak_check_files(err);
    voices_are_listed = status == UTTER_OK;
    return status;
}

static void *prepare(void *unused) {
    if (ut_espeak_lock(NULL) == UTTER_OK) {
        (void)(list_voices(NULL) == UTTER_OK);
        ut_espeak_unlock();
    }
    return NULL;
}

void ut_espeak_begin_early(struct ut_espeak_early *early) {
    early->runs = ut_thread_start(&early->thread, prepare, NULL);
}

void ut_espeak_end_early(struct ut_espeak_early *early) {
    if (early->runs) {
        pthread_join(early->thread, NULL);
        early->runs = false;
    }
}

/* Loads a voice unless it is there. A name that espeak-ng refuses leaves the old one loaded. */
static bool load_voice(const char *name) {
    if (strcmp(name, loaded_voice) == 0) {
        return true;
    }
    espeak_ng_STATUS status = espeak_ng_SetVoiceByName(name);
    if (status == ENS_OK) {
        snprintf(loaded_voice, sizeof loaded_voice, "%s", name);
    } else if (status != ENS_VOICE_NOT_FOUND) {
        loaded_voice[0] = '\0';
    }
    return status == ENS_OK;
}

/* Tries the names that mean nearly the same; `name` is sane. */
static bool set_substitute(const char *name, const struct ut_log *log) {
    static const char *const table[][2] = {{"en-gb", "en-gb-x-rp"}, {"fr-fr", "fr"}};
    char spelled[MAX_NAME + 1];
    snprintf(spelled, sizeof spelled, "%s", name);
    for (char *s = spelled; *s; s++) {
        *s = *s == '_' ? '-' : (char)tolower((unsigned char)*s);
    }
    bool is_set = strcmp(spelled, name) != 0 && load_voice(spelled);
    for (size_t i = 0; !is_set && i < UT_COUNT(table); i++) {
        if (strcmp(spelled, table[i][0]) == 0) {
            snprintf(spelled, sizeof spelled, "%s", table[i][1]);
            is_set = load_voice(spelled);
        }
    }
    for (char *dash; !is_set && (dash = strrchr(spelled, '-')) != NULL && dash > spelled;) {
        *dash = '\0';
        is_set = load_voice(spelled);
    }
    if (is_set) {
        ut_log(log, UTTER_LOG_WARNING, "espeak-ng has no voice '%s': '%s' is used instead", name,
               spelled);
    }
    return is_set;
}

utter_status ut_espeak_set_voice(const char *name, const struct ut_log *log, utter_error *err) {
    voice_is_set = false;
    if (is_mbrola(name)) {
        return ut_fail(
            err, UTTER_ERROR_UNSUPPORTED,
            "'%.100s' is an MBROLA voice: choose one of espeak-ng's own (espeak-ng --voices)",
            name);
    }
    if (!name_is_sane(name)) {
        return fail_not_found(name, err);
    }
    utter_status status = list_voices(err);
    if (status != UTTER_OK) {
        return status;
    }
    errno = 0;
    bool is_loaded =
        load_voice(name) || (ut_espeak_check_files(NULL) == UTTER_OK && set_substitute(name, log));
    status = ut_espeak_check_files(err);
    if (status == UTTER_OK && !is_loaded) {
        return fail_not_found(name, err);
    }
    voice_is_set = status == UTTER_OK;
    return status;
}

int ut_espeak_sample_rate(void) {
    return espeak_ng_GetSampleRate();
}

const char *ut_espeak_version(void) {
    return espeak_Info(NULL);
}

/* ---- Formant synthesis -------------------------------------------------------------------- */

/* Whatever the mode, espeak-ng 1.51 asks for a sound device here: PulseAudio makes folders in the
 * home folder, starts threads and ends the process when a system call of its own fails. So only
 * when its own voice is to speak, not where its phonemes are all that is wanted; and the program utter
 * keeps it from the device then too (cli/no_sound_server.c). */
static utter_status open_output(utter_error *err) {
    espeak_ng_STATUS status =
        output_is_open ? ENS_OK : espeak_ng_InitializeOutput(ENOUTPUT_MODE_SYNCHRONOUS, 0, NULL);
    output_is_open = status == ENS_OK;
    if (!output_is_open) {
        char reason[256];
        espeak_ng_GetStatusCodeMessage(status, reason, sizeof reason);
        return ut_fail(err, UTTER_ERROR_UNSUPPORTED, "espeak-ng cannot prepare to speak: %s",
                       reason);
    }
    return UTTER_OK;
}

/* What the callback is given; espeak-ng hands user_data through. */
struct synthesis {
    bool (*sink)(void *user, const int16_t *samples, size_t n);
    void *user;
    bool stopped;
};

/* A wave of NULL is the end of the text. */
static int on_samples(short *wave, int n, espeak_EVENT *events) {
    struct synthesis *run = events->user_data;
    int error = errno; /* of espeak-ng, not of what the sink does */
    if (wave && n > 0 && !run->stopped) {
        run->stopped = !run->sink(run->user, wave, (size_t)n);
    }
    errno = error;
    return run->stopped;
}

/* ---- What it must not see -----------------------------------------------------------------------
 */

/* Of the names of symbols and emoji that its languages have, some overrun a buffer, which ends the process
 * (Braille in Finnish, circled letters in Telugu), and some leave a foreign accent to all that follows. These
 * languages have none of either kind. */
#define SYMBOL_LANGUAGES \
    " en es it pl ca cs cy el eu hu is lb kk nb lv nl ro sk sl sv sr sw tr uk cmn ja "

/* Characters that espeak-ng must not see, and the languages that have them for their own. Scripts it reads with
 * another of its languages, which it may free while it still reads with it (letters without a name, digits), and
 * then reads and writes freed memory; or, where no language has a name for a letter, it spells a number and keeps
 * that accent until another voice is loaded. Found by trying every code point below U+1FB00, with freed memory
 * unmapped, and what a sentence behind it sounds like. */
static const struct script {
    uint32_t first, last;
    const char *languages; /* their codes, a space around each */
    bool others;           /* all languages but these */
} scripts[] = {
    {0xA9, 0xA9, " pt ", true},
    {0x370, 0x3FF, " el grc en ", false}, /* en reads Greek letters without a fault */
    {0x530, 0x58F, " hy hyw ", false},
    {0x900, 0x97F, " hi mr ne kok sa bpy ", false},
    {0x980, 0x9FF, " bn as bpy ", false},
    {0xA00, 0xA7F, " pa ", false},
    {0xA80, 0xAFF, " gu ", false},
    {0xB00, 0xB7F, " or ", false},
    {0xB80, 0xBFF, " ta ", false},
    {0xC00, 0xC7F, " te ", false},
    {0xC80, 0xCFF, " kn ", false},
    {0xD00, 0xD7F, " ml ", false},
    {0xD80, 0xDFF, " si ", false},
    {0x10A0, 0x10FF, " ka ", false},
    {0x1100, 0x11FF, " ko ", false},
    {0x13A0, 0x13FF, " chr ", false},
    {0x1C90, 0x1CBF, " ka ", false},
    {0x2300, 0x28FF, SYMBOL_LANGUAGES, false}, /* keys, circled letters, pictures, Braille */
    {0x3130, 0x318F, " ko ", false}, /* en, es and it name these, but then read on as another English */
    {0x3200, 0x32FF, SYMBOL_LANGUAGES, false},
    {0xA700, 0xABFF, "", false},
    {0xAC00, 0xD7FF, " ko ", false},
    {0x1F000, 0x1FAFF, SYMBOL_LANGUAGES, false}, /* emoji */
};

static bool is_foreign(uint32_t c, const char *language) {
    for (size_t i = 0; i < UT_COUNT(scripts); i++) {
        if (c >= scripts[i].first && c <= scripts[i].last) {
            return !strstr(scripts[i].languages, language) != scripts[i].others;
        }
    }
    return false;
}

/* The code of the voice's language, "hi" of "hi" or "en" of "en-us", a space around it. */
static void find_language(char *out, size_t capacity) {
    const espeak_VOICE *voice = espeak_GetCurrentVoice();
    const char *name = voice && voice->languages ? voice->languages : "";
    name += *name != '\0'; /* behind its priority byte */
    snprintf(out, capacity, " %.*s ", (int)strcspn(name, "-"), name);
}

/* 0x01 would change the voice or fill a fixed buffer, 0x02 begin phonemes. */
size_t ut_espeak_blank(char *text, size_t n) {
    char language[8];
    size_t n_foreign = 0;
    find_language(language, sizeof language);
    for (size_t at = 0, begin; at < n;) {
        begin = at;
        uint32_t c = ut_utf8_next(text, n, &at);
        bool foreign = c >= scripts[0].first && is_foreign(c, language);
        bool is_control = c < ' ' && !(c >= '\t' && c <= '\r');
        n_foreign += foreign;
        if (foreign || is_control) {
            memset(text + begin, ' ', at - begin);
        }
    }
    return n_foreign;
}

utter_status ut_espeak_synth(const char *text, int rate_wpm,
                             bool (*sink)(void *user, const int16_t *samples, size_t n), void *user,
                             utter_error *err) {
    if (!voice_is_set) {
        return ut_fail(err, UTTER_ERROR_ARGUMENT, "no espeak-ng voice is chosen");
    }
    if (rate_wpm < espeakRATE_MINIMUM || rate_wpm > espeakRATE_MAXIMUM) {
        return ut_fail(err, UTTER_ERROR_ARGUMENT,
                       "speaking rate %d is not in %d..%d words per minute", rate_wpm,
                       espeakRATE_MINIMUM, espeakRATE_MAXIMUM);
    }
    for (const char *s = text; *s; s++) {
        if ((unsigned char)*s < ' ' && !isspace((unsigned char)*s)) {
            return ut_fail(err, UTTER_ERROR_ARGUMENT,
                           "control character 0x%02x at byte %zu of the text", *s,
                           (size_t)(s - text));
        }
    }
    utter_status opened = open_output(err);
    if (opened != UTTER_OK) {
        return opened;
    }
    struct synthesis run = {.sink = sink, .user = user};
    espeak_SetSynthCallback(on_samples);
    espeak_ng_SetParameter(espeakRATE, rate_wpm, 0);
    errno = 0;
    espeak_ng_STATUS status = espeak_ng_Synthesize(text, strlen(text) + 1, 0, POS_CHARACTER, 0,
                                                   espeakCHARS_UTF8 | espeakENDPAUSE, NULL, &run);
    if (run.stopped) {
        return ut_fail(err, UTTER_ERROR_CANCELLED, "stopped");
    }
    if (status != ENS_OK) {
        char reason[256];
        espeak_ng_GetStatusCodeMessage(status, reason, sizeof reason);
        return ut_fail(err, UTTER_ERROR_INTERNAL, "espeak-ng could not speak: %s", reason);
    }
    return ut_espeak_check_files(err);
}

#else

static utter_status fail_without(utter_error *err) {
    return ut_fail(err, UTTER_ERROR_UNSUPPORTED,
                   "built without espeak-ng: install libespeak-ng-dev, "
                   "then configure with -Despeak=enabled and build again");
}

utter_status ut_espeak_lock(utter_error *err) {
    return fail_without(err);
}

void ut_espeak_unlock(void) {
}

void ut_espeak_begin_early(struct ut_espeak_early *early) {
    early->runs = false;
}

void ut_espeak_end_early(struct ut_espeak_early *early) {
}

utter_status ut_espeak_set_voice(const char *name, const struct ut_log *log, utter_error *err) {
    return fail_without(err);
}

int ut_espeak_sample_rate(void) {
    return 0;
}

const char *ut_espeak_version(void) {
    return "";
}

size_t ut_espeak_blank(char *text, size_t n) {
    return 0;
}

utter_status ut_espeak_synth(const char *text, int rate_wpm,
                             bool (*sink)(void *user, const int16_t *samples, size_t n), void *user,
                             utter_error *err) {
    return fail_without(err);
}

#endif
