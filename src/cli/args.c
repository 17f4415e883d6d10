/* The option parser. Not getopt: its messages cannot suggest a name, and a table that also prints
 * the help keeps the two from drifting apart. Numbers are read in the C locale. */
#include "args.h"

#include <errno.h>
#include <limits.h>
#include <math.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

__attribute__((format(printf, 2, 3))) static bool fail(struct args *args, const char *format, ...) {
    va_list list;
    va_start(list, format);
    vsnprintf(args->message, sizeof args->message, format, list);
    va_end(list);
    return false;
}

/* ---- Nearest name --------------------------------------------------------------------------- */

enum { MAX_WORD = 40 };

static int min3(int a, int b, int c) {
    int least = a < b ? a : b;
    return least < c ? least : c;
}

/* Single-letter insertions, deletions, changes and swaps of neighbours between two words (optimal
 * string alignment), with three rows of the table. */
static int distance(const char *a, const char *b) {
    int rows[3][MAX_WORD + 1];
    int n_a = (int)strlen(a), n_b = (int)strlen(b);
    if (n_a > MAX_WORD || n_b > MAX_WORD) {
        return INT_MAX;
    }
    for (int k = 0; k <= n_b; k++) {
        rows[0][k] = k;
    }
    for (int i = 1; i <= n_a; i++) {
        int *row = rows[i % 3], *above = rows[(i + 2) % 3], *above2 = rows[(i + 1) % 3];
        row[0] = i;
        for (int k = 1; k <= n_b; k++) {
            row[k] = min3(above[k] + 1, row[k - 1] + 1, above[k - 1] + (a[i - 1] != b[k - 1]));
            if (i > 1 && k > 1 && a[i - 1] == b[k - 2] && a[i - 2] == b[k - 1]) {
                row[k] = min3(row[k], above2[k - 2] + 1, INT_MAX);
            }
        }
    }
    return rows[n_a % 3][n_b];
}

const char *args_nearest(const char *word, const char *const *names, size_t n_names) {
    size_t n_word = strlen(word);
    const char *best = NULL;
    int best_distance = n_word <= 3 ? 2 : n_word <= 6 ? 3 : 4; /* must be below this */
    for (size_t i = 0; i < n_names; i++) {
        bool is_prefix = n_word >= 2 && strncmp(names[i], word, n_word) == 0;
        int d = is_prefix ? 0 : distance(word, names[i]);
        if (d < best_distance) {
            best = names[i];
            best_distance = d;
        }
    }
    return best;
}

/* ---- Options ----------------------------------------------------------------------------------
 */

const struct arg_option *args_option(const struct args *args, int id) {
    for (size_t i = 0; i < args->n_options; i++) {
        if (args->options[i].id == id) {
            return &args->options[i];
        }
    }
    return NULL;
}

static void unknown_long(struct args *args, const char *name, size_t n_name) {
    const char *names[64];
    size_t n = 0;
    char word[MAX_WORD + 1];
    snprintf(word, sizeof word, "%.*s", (int)n_name, name);
    for (; n < args->n_options && n < sizeof names / sizeof *names; n++) {
        names[n] = args->options[n].name;
    }
    const char *nearest = args_nearest(word, names, n);
    fail(args, "there is no option --%s%s%s%s", word, nearest ? "; did you mean --" : "",
         nearest ? nearest : "", nearest ? "?" : "");
}

static int take_value(struct args *args, const struct arg_option *option, const char **value) {
    if (args->next >= args->argc) {
        fail(args, "option --%s needs a value: --%s %s", option->name, option->name, option->value);
        return ARG_ERROR;
    }
    *value = args->argv[args->next++];
    return option->id;
}

/* The option of that name, or the only one that begins with it, as getopt_long has it. NULL with a
 * message if there is none or several do. */
static const struct arg_option *find_long(struct args *args, const char *word, size_t n_name) {
    const struct arg_option *found = NULL;
    char list[200] = "";
    int n_found = 0;
    for (size_t i = 0; i < args->n_options; i++) {
        const struct arg_option *option = &args->options[i];
        if (n_name == 0 || strncmp(option->name, word, n_name) != 0) {
            continue;
        }
        if (option->name[n_name] == '\0') {
            return option;
        }
        size_t used = strlen(list);
        snprintf(list + used, sizeof list - used, "%s--%s", n_found++ ? ", " : "", option->name);
        found = option;
    }
    if (n_found > 1) {
        fail(args, "--%.*s may be %s", (int)n_name, word, list);
        return NULL;
    }
    if (!found) {
        unknown_long(args, word, n_name);
    }
    return found;
}

static int next_long(struct args *args, const char *word, const char **value) {
    const char *equals = strchr(word, '=');
    size_t n_name = equals ? (size_t)(equals - word) : strlen(word);
    const struct arg_option *option = find_long(args, word, n_name);
    if (!option) {
        return ARG_ERROR;
    }
    if (equals && !option->value) {
        fail(args, "option --%s takes no value", option->name);
        return ARG_ERROR;
    }
    if (equals) {
        *value = equals + 1;
        return option->id;
    }
    return option->value ? take_value(args, option, value) : option->id;
}

static int next_letter(struct args *args, const char **value) {
    char letter = *args->letters++;
    const struct arg_option *option = NULL;
    for (size_t i = 0; i < args->n_options && !option; i++) {
        option = args->options[i].letter == letter ? &args->options[i] : NULL;
    }
    const char *rest = *args->letters ? args->letters : NULL;
    args->letters = rest;
    if (!option) {
        fail(args, "there is no option -%c (text that begins with a dash comes after --)", letter);
        return ARG_ERROR;
    }
    if (!option->value) {
        return option->id;
    }
    args->letters = NULL;
    if (rest) {
        *value = rest;
        return option->id;
    }
    return take_value(args, option, value);
}

int args_next(struct args *args, const char **value) {
    *value = NULL;
    if (args->next_preset < args->n_presets) {
        *value = args->presets[args->next_preset].value;
        return args->presets[args->next_preset++].id;
    }
    if (args->letters) {
        return next_letter(args, value);
    }
    if (args->next >= args->argc) {
        return ARG_END;
    }
    const char *word = args->argv[args->next++];
    if (args->only_operands || word[0] != '-' || word[1] == '\0') {
        *value = word;
        return ARG_OPERAND;
    }
    if (strcmp(word, "--") == 0) {
        args->only_operands = true;
        return args_next(args, value);
    }
    if (word[1] == '-') {
        return next_long(args, word + 2, value);
    }
    args->letters = word + 1;
    return next_letter(args, value);
}

/* ---- Values -----------------------------------------------------------------------------------
 */

/* One decimal integer, nothing else. */
static bool parse_int(const char *text, size_t n, int64_t *out) {
    char copy[24], *end;
    if (n == 0 || n >= sizeof copy || strspn(text, "-0123456789") < n) {
        return false;
    }
    snprintf(copy, sizeof copy, "%.*s", (int)n, text);
    errno = 0;
    *out = strtoll(copy, &end, 10);
    return *end == '\0' && end != copy && errno == 0;
}

bool args_int(struct args *args, int id, const char *text, int64_t min, int64_t max, int64_t *out) {
    if (!parse_int(text, strlen(text), out) || *out < min || *out > max) {
        return fail(args, "--%s: \"%s\" is not a whole number from %lld to %lld",
                    args_option(args, id)->name, text, (long long)min, (long long)max);
    }
    return true;
}

bool args_uint64(struct args *args, int id, const char *text, uint64_t *out) {
    char *end;
    errno = 0;
    *out = strtoull(text, &end, 10);
    if (!*text || text[strspn(text, "0123456789")] || errno != 0) {
        return fail(args, "--%s: \"%s\" is not a whole number from 0 to %llu",
                    args_option(args, id)->name, text, (unsigned long long)UINT64_MAX);
    }
    return true;
}

bool args_size(struct args *args, int id, const char *text, uint64_t *out) {
    static const char units[] = "KMG";
    size_t n_digits = strspn(text, "0123456789");
    const char *unit = text[n_digits] ? strchr(units, text[n_digits]) : NULL;
    uint64_t number = n_digits > 0 && n_digits < 16 ? strtoull(text, NULL, 10) : 0;
    bool whole = !text[n_digits] || (unit && !text[n_digits + 1]);
    for (const char *u = units; unit && u <= unit; u++) {
        whole = whole && !__builtin_mul_overflow(number, UINT64_C(1000), &number);
    }
    if (!whole || number < 1 || number > INT64_MAX) {
        return fail(args, "--%s: \"%s\" is no size: bytes, or a number with K, M or G behind",
                    args_option(args, id)->name, text);
    }
    *out = number;
    return true;
}

/* A decimal number: no blanks, hexadecimal, infinity or NaN, which strtod would take. */
static bool parse_float(const char *text, size_t n, double *out) {
    char copy[64], *end;
    if (n == 0 || n >= sizeof copy || strspn(text, "+-.0123456789eE") < n) {
        return false;
    }
    snprintf(copy, sizeof copy, "%.*s", (int)n, text);
    *out = strtod(copy, &end);
    return *end == '\0' && end != copy && isfinite(*out);
}

bool args_float(struct args *args, int id, const char *text, double min, double max, float *out) {
    double number;
    if (!parse_float(text, strlen(text), &number) || number < min || number > max) {
        return fail(args, "--%s: \"%s\" is not a number from %g to %g", args_option(args, id)->name,
                    text, min, max);
    }
    *out = (float)number;
    return true;
}

bool args_float_list(struct args *args, int id, const char *text, float *out, size_t n_wanted) {
    const struct arg_option *option = args_option(args, id);
    for (size_t i = 0; i < n_wanted; i++) {
        size_t n = strcspn(text, ",");
        double number;
        bool is_last = i + 1 == n_wanted;
        if (!parse_float(text, n, &number) || (text[n] == '\0') != is_last) {
            return fail(args, "--%s needs %zu numbers with commas between them: %s", option->name,
                        n_wanted, option->value);
        }
        out[i] = (float)number;
        text += n + !is_last;
    }
    return true;
}

bool args_int_list(struct args *args, int id, const char *text, int32_t **out, size_t *n) {
    const struct arg_option *option = args_option(args, id);
    size_t capacity = 1;
    for (const char *c = text; *c; c++) {
        capacity += *c == ',';
    }
    *n = 0;
    *out = malloc(capacity * sizeof **out);
    if (!*out) {
        return fail(args, "--%s: out of memory for %zu numbers", option->name, capacity);
    }
    while (*n < capacity) {
        size_t n_digits = strcspn(text, ",");
        int64_t number;
        if (!parse_int(text, n_digits, &number) || number < INT32_MIN || number > INT32_MAX) {
            free(*out);
            *out = NULL;
            return fail(args,
                        "--%s: number %zu is wrong; whole numbers with commas between them: %s",
                        option->name, *n + 1, option->value);
        }
        (*out)[(*n)++] = (int32_t)number;
        text += n_digits + 1;
    }
    return true;
}

int args_choice(struct args *args, int id, const char *text, const char *const *names) {
    char list[200] = "";
    for (int i = 0; names[i]; i++) {
        if (strcmp(names[i], text) == 0) {
            return i;
        }
        size_t used = strlen(list);
        snprintf(list + used, sizeof list - used, "%s%s", i == 0 ? "" : ", ", names[i]);
    }
    fail(args, "--%s: there is no \"%s\"; choose from %s", args_option(args, id)->name, text, list);
    return -1;
}

/* Lines of a terminal, and where its right column begins. */
enum { LINE = 80, RIGHT = 29 };

/* `text` from the right column on, in as many lines as it takes. */
static void print_right(FILE *to, const char *text) {
    size_t n = strlen(text);
    while (n > LINE - RIGHT) {
        size_t end = LINE - RIGHT;
        while (end > 0 && text[end] != ' ') {
            end--;
        }
        end = end > 0 ? end : strcspn(text, " ");
        fprintf(to, "%.*s\n%*s", (int)end, text, RIGHT, "");
        text += end + strspn(text + end, " ");
        n = strlen(text);
    }
    fprintf(to, "%s\n", text);
}

void args_print_options(FILE *to, const struct arg_option *options, size_t n_options) {
    for (size_t i = 0; i < n_options; i++) {
        const struct arg_option *option = &options[i];
        int n = option->letter ? fprintf(to, "  -%c, ", option->letter) : fprintf(to, "      ");
        n += fprintf(to, "--%s%s%s", option->name, option->value ? " " : "",
                     option->value ? option->value : "");
        if (!option->help[0]) {
            fprintf(to, "\n");
            continue;
        }
        /* A long option has a line of its own. */
        fprintf(to, "%s%*s", n < RIGHT ? "" : "\n", n < RIGHT ? RIGHT - n : RIGHT, "");
        print_right(to, option->help);
    }
}
