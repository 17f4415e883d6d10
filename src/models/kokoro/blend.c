/* Mixtures of voices: NAME, or NAME(WEIGHT) joined by '+' and '-', blanks between them allowed. A
 * '-' may also be part of a name: the longest name that exists is meant. */
#include <stdio.h>
#include <string.h>

#include "base/nearest.h"
#include "models/kokoro/voices.h"

enum { MAX_NAME = 64, MAX_DIGITS = 9 };

struct parser {
    const struct ut_kokoro_voices *voices;
    const char *text;
    size_t at;
    utter_error *err;
};

static void skip_blanks(struct parser *p) {
    while (p->text[p->at] == ' ') {
        p->at++;
    }
}

static utter_status fail_expected(struct parser *p, const char *what) {
    char found[16] = "the end";
    unsigned char c = (unsigned char)p->text[p->at];
    if (c) {
        snprintf(found, sizeof found, c > ' ' && c < 0x7F ? "'%c'" : "byte 0x%02X", c);
    }
    return ut_fail(p->err, UTTER_ERROR_ARGUMENT, "voice \"%s\": expected %s at byte %zu, found %s",
                   p->text, what, p->at, found);
}

/* ---- Names ----------------------------------------------------------------------------------- */

static size_t name_length(const char *text) {
    return strspn(text, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-");
}

static const char *voice_at(const void *user, int32_t i) {
    return ut_kokoro_voices_name(user, (size_t)i);
}

/* Index of the voice called text[0..n), -1 when there is none. */
static int64_t find_voice(const struct ut_kokoro_voices *voices, const char *text, size_t n) {
    size_t low = 0, high = ut_kokoro_voices_count(voices);
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        const char *name = ut_kokoro_voices_name(voices, middle);
        int order = strncmp(name, text, n);
        order = order ? order : name[n] != '\0';
        if (order == 0) {
            return (int64_t)middle;
        }
        if (order < 0) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return -1;
}

static utter_status fail_unknown(struct parser *p, size_t n) {
    char name[MAX_NAME + 1];
    int32_t n_voices = (int32_t)ut_kokoro_voices_count(p->voices), nearest = -1;
    /* A '-' may have been meant as an operator: then the name ends at the first. */
    for (size_t length = n; nearest < 0 && length > 0;) {
        snprintf(name, sizeof name, "%.*s", (int)(length < MAX_NAME ? length : MAX_NAME),
                 p->text + p->at);
        nearest = ut_nearest(name, voice_at, p->voices, n_voices);
        size_t shorter = strcspn(name, "-");
        length = shorter < length ? shorter : 0;
    }
    if (nearest >= 0) {
        return ut_fail(p->err, UTTER_ERROR_NOT_FOUND,
                       "there is no voice \"%.*s\": did you mean \"%s\"?", (int)n, p->text + p->at,
                       ut_kokoro_voices_name(p->voices, (size_t)nearest));
    }
    return ut_fail(p->err, UTTER_ERROR_NOT_FOUND,
                   "there is no voice \"%.*s\" among the %d of this model (\"%s\" is one)", (int)n,
                   p->text + p->at, n_voices, ut_kokoro_voices_name(p->voices, 0));
}

static utter_status read_name(struct parser *p, uint32_t *out) {
    const char *text = p->text + p->at;
    size_t n = name_length(text), n_run = n;
    if (n == 0) {
        return fail_expected(p, "the name of a voice");
    }
    n = n > MAX_NAME ? MAX_NAME + 1 : n; /* no name is longer, but one of a blend may be shorter */
    for (bool ends = n == n_run; n > 0; n--, ends = text[n] == '-') {
        int64_t index = ends && n <= MAX_NAME ? find_voice(p->voices, text, n) : -1;
        if (index >= 0) {
            *out = (uint32_t)index;
            p->at += n;
            return UTTER_OK;
        }
    }
    return fail_unknown(p, n_run);
}

/* ---- Weights --------------------------------------------------------------------------------- */

/* Digits with at most one point among them: no sign, no exponent. */
static utter_status read_number(struct parser *p, double *out) {
    double value = 0, unit = 1;
    int n_digits = 0;
    bool has_point = false;
    for (;; p->at++) {
        char c = p->text[p->at];
        if (c == '.' && !has_point) {
            has_point = true;
        } else if (c >= '0' && c <= '9' && n_digits < MAX_DIGITS) {
            value = 10 * value + (c - '0');
            unit *= has_point ? 10 : 1;
            n_digits++;
        } else if (c >= '0' && c <= '9') {
            return fail_expected(p, "a weight of at most 9 digits");
        } else {
            break;
        }
    }
    *out = value / unit;
    return n_digits ? UTTER_OK : fail_expected(p, "a weight");
}

/* "(0.7)", or nothing. */
static utter_status read_weight(struct parser *p, double *out) {
    *out = 1;
    skip_blanks(p);
    if (p->text[p->at] != '(') {
        return UTTER_OK;
    }
    p->at++;
    skip_blanks(p);
    utter_status status = read_number(p, out);
    if (status) {
        return status;
    }
    skip_blanks(p);
    if (p->text[p->at] != ')') {
        return fail_expected(p, "')'");
    }
    p->at++;
    skip_blanks(p);
    return UTTER_OK;
}

static utter_status scale(struct parser *p, const double *weights, struct ut_kokoro_blend *out) {
    const double least = 1e-3; /* less would blow the mixture up to a thousand times a voice */
    double sum = 0;
    for (int i = 0; i < out->n; i++) {
        sum += weights[i];
    }
    if (!(sum >= least)) {
        return ut_fail(p->err, UTTER_ERROR_ARGUMENT,
                       "voice \"%s\": the weights add up to %g, expected at least %g", p->text, sum,
                       least);
    }
    for (int i = 0; i < out->n; i++) {
        out->parts[i].weight = (float)(weights[i] / sum);
    }
    return UTTER_OK;
}

utter_status ut_kokoro_blend_parse(const struct ut_kokoro_voices *voices, const char *expression,
                                   struct ut_kokoro_blend *out, utter_error *err) {
    struct parser p = {.voices = voices, .text = expression, .err = err};
    double weights[UT_KOKORO_MAX_BLEND];
    bool is_negative = false;
    *out = (struct ut_kokoro_blend){.n = 0};
    for (;;) {
        skip_blanks(&p);
        if (out->n == UT_KOKORO_MAX_BLEND) {
            return ut_fail(err, UTTER_ERROR_ARGUMENT, "voice \"%s\" mixes more than %d voices",
                           expression, UT_KOKORO_MAX_BLEND);
        }
        utter_status status = read_name(&p, &out->parts[out->n].voice);
        status = status ? status : read_weight(&p, &weights[out->n]);
        if (status) {
            return status;
        }
        weights[out->n] *= is_negative ? -1 : 1;
        out->n++;
        char next = p.text[p.at];
        if (next == '\0') {
            return scale(&p, weights, out);
        }
        if (next != '+' && next != '-') {
            return fail_expected(&p, p.at && p.text[p.at - 1] == ')' ? "'+', '-' or the end"
                                                                     : "'+', '-', '(' or the end");
        }
        is_negative = next == '-';
        p.at++;
    }
}
