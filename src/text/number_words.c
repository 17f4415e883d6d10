/* See number_words.h. The readings are those that misaki's English front end gets from the
 * num2words package (nineteen ninety nine, twenty oh five is two thousand five, "and" left out);
 * times of day and "point" between the parts of a version are utter's own. Fractions, Roman
 * numerals and telephone grouping are not handled. */
#include "text/number_words.h"

#include <stdint.h>
#include <stdio.h>

#include "base/checked.h"

enum {
    MAX_DIGITS = 18,    /* longer numbers are read digit by digit */
    PHRASE_BYTES = 512, /* the longest number below 10^18 takes 320 */
    YEAR_DIGITS = 4
};

static const char *const small_words[] = {
    "zero",     "one",     "two",     "three",     "four",     "five",    "six",
    "seven",    "eight",   "nine",    "ten",       "eleven",   "twelve",  "thirteen",
    "fourteen", "fifteen", "sixteen", "seventeen", "eighteen", "nineteen"};
static const char *const tens_words[] = {"",      "",      "twenty",  "thirty", "forty",
                                         "fifty", "sixty", "seventy", "eighty", "ninety"};
static const char *const magnitudes[] = {"",        "thousand", "million",
                                         "billion", "trillion", "quadrillion"};

/* A currency without a smaller unit says its decimals as those of a number. */
static const struct currency {
    const char *sign, *unit, *units, *cent, *cents;
} currencies[] = {{"$", "dollar", "dollars", "cent", "cents"},
                  {"£", "pound", "pounds", "pence", "pence"},
                  {"€", "euro", "euros", "cent", "cents"},
                  {"¥", "yen", "yen", NULL, NULL}};

/* Appends words until something fails. */
struct writer {
    struct ut_text_buffer *out;
    utter_error *err;
    utter_status status;
    bool space; /* a word stands before the next one */
};

/* Does nothing after a failure: callers say a whole phrase and look at the status once. */
static void say_n(struct writer *w, const char *word, size_t n) {
    if (w->status == UTTER_OK && w->space) {
        w->status = ut_text_buffer_append(w->out, " ", 1, w->err);
    }
    if (w->status == UTTER_OK) {
        w->status = ut_text_buffer_append(w->out, word, n, w->err);
    }
    w->space = true;
}

static void say(struct writer *w, const char *word) {
    say_n(w, word, strlen(word));
}

/* ---- Digits to words ------------------------------------------------------------------------- */

/* The words of one number, which an ordinal or plural may still change at their end. */
struct phrase {
    char text[PHRASE_BYTES];
    size_t n;
};

/* PHRASE_BYTES is more than the longest phrase, so nothing is ever cut. */
static void add(struct phrase *p, const char *word) {
    int n = snprintf(p->text + p->n, sizeof p->text - p->n, "%s%s", p->n > 0 ? " " : "", word);
    p->n += (size_t)n;
}

/* 0 to 999; nothing for 0, which only stands for itself in add_cardinal. */
static void add_below_thousand(struct phrase *p, unsigned value) {
    if (value >= 100) {
        add(p, small_words[value / 100]);
        add(p, "hundred");
        value %= 100;
    }
    if (value >= 20) {
        add(p, tens_words[value / 10]);
        value %= 10;
    }
    if (value > 0) {
        add(p, small_words[value]);
    }
}

/* Groups of three digits from the largest down, without "and". */
static void add_cardinal(struct phrase *p, uint64_t value) {
    if (value == 0) {
        add(p, small_words[0]);
        return;
    }
    uint64_t divisor = 1000000000000000u; /* 10^15 */
    for (int group = (int)UT_COUNT(magnitudes) - 1; group >= 0; group--, divisor /= 1000) {
        unsigned part = (unsigned)(value / divisor % 1000);
        add_below_thousand(p, part);
        if (part > 0 && group > 0) {
            add(p, magnitudes[group]);
        }
    }
}

/* 1905 nineteen oh five, 1900 nineteen hundred; 2005 and 1000 as cardinals. */
static void add_year(struct phrase *p, uint64_t value) {
    uint64_t high = value / 100, low = value % 100;
    if (high % 10 == 0 && low < 10) {
        add_cardinal(p, value);
        return;
    }
    add_cardinal(p, high);
    if (low == 0) {
        add(p, "hundred");
    } else {
        if (low < 10) {
            add(p, "oh");
        }
        add_cardinal(p, low);
    }
}

/* Replaces the end of the phrase from `at` on. */
static void set_end(struct phrase *p, size_t at, const char *ending) {
    p->n = at + (size_t)snprintf(p->text + at, sizeof p->text - at, "%s", ending);
}

static size_t last_word(const struct phrase *p) {
    size_t at = p->n;
    while (at > 0 && p->text[at - 1] != ' ') {
        at--;
    }
    return at;
}

/* Only the last word changes: twenty first, one hundred fifth. */
static void make_ordinal(struct phrase *p) {
    static const char *const irregular[][2] = {
        {"one", "first"},    {"two", "second"}, {"three", "third"},   {"five", "fifth"},
        {"eight", "eighth"}, {"nine", "ninth"}, {"twelve", "twelfth"}};
    size_t at = last_word(p);
    for (size_t i = 0; i < UT_COUNT(irregular); i++) {
        if (strcmp(p->text + at, irregular[i][0]) == 0) {
            set_end(p, at, irregular[i][1]);
            return;
        }
    }
    if (p->text[p->n - 1] == 'y') {
        set_end(p, p->n - 1, "ieth");
    } else {
        set_end(p, p->n, "th");
    }
}

/* nineties, sixes, hundreds */
static void make_plural(struct phrase *p) {
    char last = p->text[p->n - 1];
    if (last == 'y') {
        set_end(p, p->n - 1, "ies");
    } else {
        set_end(p, p->n, last == 'x' ? "es" : "s");
    }
}

/* Each digit as a word of its own. */
static void say_digits(struct writer *w, const char *digits, size_t n) {
    for (size_t i = 0; i < n && w->status == UTTER_OK; i++) {
        say(w, small_words[digits[i] - '0']);
    }
}

/* n is at most MAX_DIGITS, so it fits. */
static uint64_t value_of(const char *digits, size_t n) {
    uint64_t value = 0;
    for (size_t i = 0; i < n; i++) {
        value = 10 * value + (uint64_t)(digits[i] - '0');
    }
    return value;
}

/* A320 three twenty, 747 seven forty seven, 707 seven oh seven, 12 twelve, 007 and 1234 by digits
 */
static void say_code(struct writer *w, const char *digits, size_t n) {
    if (n > 3 || digits[0] == '0') {
        say_digits(w, digits, n);
        return;
    }
    struct phrase p = {.n = 0};
    uint64_t value = value_of(digits, n);
    if (n == 3 && value % 100 != 0) {
        add_cardinal(&p, value / 100);
        if (value % 100 < 10) {
            add(&p, "oh");
        }
        value %= 100;
    }
    add_cardinal(&p, value);
    say_n(w, p.text, p.n);
}

/* A zero in front means that the digits count one by one (007), but not in a plural (the '00s). */
static void say_number(struct writer *w, const char *digits, size_t n, enum ut_number_style style,
                       bool plural) {
    bool has_zero_before = n > 1 && digits[0] == '0';
    if (style == UT_NUMBER_CODE) {
        say_code(w, digits, n);
        return;
    }
    if (style == UT_NUMBER_DIGITS || n > MAX_DIGITS || (has_zero_before && !plural)) {
        say_digits(w, digits, n);
        return;
    }
    struct phrase p = {.n = 0};
    if (style == UT_NUMBER_YEAR) {
        add_year(&p, value_of(digits, n));
    } else {
        add_cardinal(&p, value_of(digits, n));
    }
    if (style == UT_NUMBER_ORDINAL) {
        make_ordinal(&p);
    }
    if (plural) {
        make_plural(&p);
    }
    say_n(w, p.text, p.n);
}

utter_status ut_number_words(const char *digits, size_t n, enum ut_number_style style,
                             struct ut_text_buffer *out, utter_error *err) {
    struct writer w = {.out = out, .err = err};
    say_number(&w, digits, n, style, false);
    return w.status;
}

/* ---- Numbers in text ------------------------------------------------------------------------- */

enum suffix { NO_SUFFIX, ORDINAL_SUFFIX, PLURAL_SUFFIX };

/* Offsets in the text. The body is digits, commas and points; H:MM has a colon. */
struct number {
    const struct currency *currency;
    size_t body, body_end;
    bool is_time;
    enum suffix suffix;
    size_t magnitude, magnitude_end; /* equal: none */
    size_t end;
};

static bool is_digit(const char *text, size_t n, size_t at) {
    return at < n && text[at] >= '0' && text[at] <= '9';
}

/* ASCII only; 0x20 is what tells capitals from small letters there. */
static bool is_letter(const char *text, size_t n, size_t at) {
    return at < n && ((text[at] | 0x20) >= 'a' && (text[at] | 0x20) <= 'z');
}

static size_t skip_digits(const char *text, size_t n, size_t at) {
    while (is_digit(text, n, at)) {
        at++;
    }
    return at;
}

static bool has_prefix(const char *text, size_t n, size_t at, const char *prefix) {
    size_t n_prefix = strlen(prefix);
    return n_prefix <= n - at && memcmp(text + at, prefix, n_prefix) == 0;
}

/* 12:05, but not 1:2:03 or 12:055. */
static bool scan_time(const char *text, size_t n, size_t at, size_t hour_end) {
    return hour_end - at <= 2 && hour_end < n && text[hour_end] == ':' &&
           skip_digits(text, n, hour_end + 1) == hour_end + 3 &&
           !(hour_end + 3 < n && text[hour_end + 3] == ':');
}

/* Digits with groups of three behind commas, the first of one to three; then any number of .DIGITS,
 * as in a version. */
static size_t scan_body(const char *text, size_t n, size_t at, bool *is_time) {
    size_t end = skip_digits(text, n, at);
    *is_time = scan_time(text, n, at, end);
    if (*is_time) {
        return end + 3;
    }
    if (end - at <= 3) {
        while (end < n && text[end] == ',' && skip_digits(text, n, end + 1) == end + 4) {
            end += 4;
        }
    }
    while (end < n && text[end] == '.' && is_digit(text, n, end + 1)) {
        end = skip_digits(text, n, end + 1);
    }
    return end;
}

/* "1st" and "1990s"; not "3rdly" or "5s3". */
static void scan_suffix(const char *text, size_t n, struct number *number) {
    static const char *const suffixes[] = {"st", "nd", "rd", "th", "'s", "’s", "s"};
    for (size_t i = 0; i < UT_COUNT(suffixes); i++) {
        size_t end = number->end + strlen(suffixes[i]);
        if (has_prefix(text, n, number->end, suffixes[i]) && !is_letter(text, n, end) &&
            !is_digit(text, n, end)) {
            number->suffix = i < 4 ? ORDINAL_SUFFIX : PLURAL_SUFFIX;
            number->end = end;
            return;
        }
    }
}

/* Only behind money: "$5 million" is "five million dollars". */
static void scan_magnitude(const char *text, size_t n, struct number *number) {
    if (number->end == n || text[number->end] != ' ') {
        return;
    }
    size_t at = number->end + 1;
    for (size_t i = 1; i < UT_COUNT(magnitudes); i++) {
        size_t end = at + strlen(magnitudes[i]);
        if (has_prefix(text, n, at, magnitudes[i]) && !is_letter(text, n, end)) {
            number->magnitude = at;
            number->magnitude_end = number->end = end;
            return;
        }
    }
}

/* False when the text begins with no number; number->end is where it ends. */
static bool scan(const char *text, size_t n, struct number *number) {
    *number = (struct number){.end = 0};
    for (size_t i = 0; i < UT_COUNT(currencies); i++) {
        if (has_prefix(text, n, 0, currencies[i].sign)) {
            number->currency = &currencies[i];
            number->body = strlen(currencies[i].sign);
        }
    }
    bool is_fraction = number->body < n && text[number->body] == '.';
    if (!is_digit(text, n, number->body + is_fraction)) {
        return false;
    }
    number->body_end = scan_body(text, n, number->body, &number->is_time);
    number->end = number->body_end;
    if (number->currency) {
        scan_magnitude(text, n, number);
    } else if (!number->is_time) {
        scan_suffix(text, n, number);
    }
    return true;
}

size_t ut_number_scan(const char *text, size_t n) {
    struct number number;
    return scan(text, n, &number) ? number.end : 0;
}

/* 10:00 ten o'clock, 10:05 ten oh five, 10:30 ten thirty */
static void say_time(struct writer *w, const char *body, size_t n) {
    struct phrase p = {.n = 0};
    uint64_t minutes = value_of(body + n - 2, 2);
    add_cardinal(&p, value_of(body, n - 3));
    if (minutes == 0) {
        add(&p, "o'clock");
    } else {
        if (minutes < 10) {
            add(&p, "oh");
        }
        add_cardinal(&p, minutes);
    }
    say_n(w, p.text, p.n);
}

/* The digits of a whole part up to a point or `end`, without its commas. Long ones are cut: they
 * are read digit by digit and only need to be known as long. */
static size_t whole_digits(const char *text, size_t begin, size_t end, char out[MAX_DIGITS + 1]) {
    size_t n = 0;
    for (size_t at = begin; at < end && n <= MAX_DIGITS; at++) {
        if (text[at] != ',') {
            out[n++] = text[at];
        }
    }
    return n;
}

/* Numbers too long for the digits' buffer are read from the text, one digit after the other. */
static void say_whole(struct writer *w, const char *text, size_t begin, size_t end,
                      enum ut_number_style style, bool plural) {
    char digits[MAX_DIGITS + 1];
    size_t n = whole_digits(text, begin, end, digits);
    if (n <= MAX_DIGITS) {
        say_number(w, digits, n, style, plural);
        return;
    }
    for (size_t at = begin; at < end; at++) {
        if (text[at] != ',') {
            say_digits(w, text + at, 1);
        }
    }
}

static size_t find_point(const char *text, size_t begin, size_t end) {
    const char *point = memchr(text + begin, '.', end - begin);
    return point ? (size_t)(point - text) : end;
}

/* 3.14 three point one four; 1.2.3 one point two point three; .5 point five */
static void say_decimal(struct writer *w, const char *text, const struct number *number,
                        enum ut_number_style style) {
    size_t point = find_point(text, number->body, number->body_end);
    if (point > number->body) {
        say_whole(w, text, number->body, point, style,
                  number->suffix == PLURAL_SUFFIX && point == number->body_end);
    }
    while (point < number->body_end) {
        size_t end = find_point(text, point + 1, number->body_end);
        say(w, "point");
        say_digits(w, text + point + 1, end - point - 1);
        point = end;
    }
}

/* The words "one" and "1" make the unit singular. */
static bool is_one(const char *digits, size_t n) {
    return n == 1 && digits[0] == '1';
}

/* $5.50 five dollars and fifty cents; $1 one dollar; $2.5 million; $0.99 ninety nine cents */
static void say_money(struct writer *w, const char *text, const struct number *number) {
    const struct currency *currency = number->currency;
    size_t point = find_point(text, number->body, number->body_end);
    size_t n_cents = number->body_end - point;
    bool has_magnitude = number->magnitude_end > number->magnitude;
    if (has_magnitude || (point < number->body_end && (n_cents != 3 || !currency->cent))) {
        say_decimal(w, text, number, UT_NUMBER_CARDINAL);
        if (has_magnitude) {
            say_n(w, text + number->magnitude, number->magnitude_end - number->magnitude);
        }
        say(w, currency->units);
        return;
    }
    uint64_t cents = n_cents == 3 ? value_of(text + point + 1, 2) : 0;
    bool has_units = cents == 0 || (point > number->body &&
                                    !(point == number->body + 1 && text[number->body] == '0'));
    if (has_units) {
        say_whole(w, text, number->body, point, UT_NUMBER_CARDINAL, false);
        say(w,
            is_one(text + number->body, point - number->body) ? currency->unit : currency->units);
    }
    if (cents > 0) {
        struct phrase p = {.n = 0};
        add_cardinal(&p, cents);
        if (has_units) {
            say(w, "and");
        }
        say_n(w, p.text, p.n);
        say(w, cents == 1 ? currency->cent : currency->cents);
    }
}

/* Four digits alone are read as a year, as in misaki. */
utter_status ut_number_read(const char *text, size_t n, bool in_name, struct ut_text_buffer *out,
                            utter_error *err) {
    struct writer w = {.out = out, .err = err};
    struct number number;
    if (!scan(text, n, &number)) {
        return UTTER_OK;
    }
    size_t n_body = number.body_end - number.body;
    enum ut_number_style style = UT_NUMBER_CARDINAL;
    if (number.suffix == ORDINAL_SUFFIX) {
        style = UT_NUMBER_ORDINAL;
    } else if (in_name && number.suffix == NO_SUFFIX) {
        style = UT_NUMBER_CODE;
    } else if (skip_digits(text, n, number.body) == number.body_end && n_body == YEAR_DIGITS) {
        style = UT_NUMBER_YEAR;
    }
    if (number.is_time) {
        say_time(&w, text + number.body, n_body);
    } else if (number.currency) {
        say_money(&w, text, &number);
    } else {
        say_decimal(&w, text, &number, style);
    }
    return w.status;
}
