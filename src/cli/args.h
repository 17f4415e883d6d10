/* Command lines: options from a table, operands, strict numbers, and the nearest name for a wrong
 * one. Nothing is printed here; messages are left in the parser. */
#ifndef UT_CLI_ARGS_H
#define UT_CLI_ARGS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

struct arg_option {
    int id;            /* 1 and up, unique in a table */
    char letter;       /* 'o' for -o, 0 for none */
    const char *name;  /* "output" for --output */
    const char *value; /* what the help calls its value; NULL: a flag */
    const char *help;
};

/* An option that was given elsewhere than on the command line. */
struct arg_preset {
    int id;
    const char *value; /* NULL: a flag */
};

struct settings; /* settings.h */

struct args {
    const struct arg_option *options;
    size_t n_options;
    int argc;
    char **argv;         /* of the command, without program and command name */
    int next;            /* in argv */
    const char *letters; /* what is left of "-qv", NULL if nothing */
    bool only_operands;  /* "--" was seen */
    const struct arg_preset *presets; /* come first, so that the line's own options replace them */
    size_t n_presets, next_preset;
    struct settings *settings; /* where presets are from; NULL: nowhere */
    char message[400];
};

enum { ARG_END = 0, ARG_OPERAND = -1, ARG_ERROR = -2 };

/* The id of the next option with its value, or ARG_OPERAND with the operand in *value, ARG_END, or
 * ARG_ERROR with a message. Options and operands may be mixed; "-" is an operand. Values may be
 * given as "-o FILE", "-oFILE", "--output FILE" and "--output=FILE"; long names may be cut short
 * where that leaves one. */
int args_next(struct args *args, const char **value);

/* The row of option `id`. */
const struct arg_option *args_option(const struct args *args, int id);

/* The value of option `id` as a number; the whole text, within min..max, decimal. False with a
 * message that names the option. */
bool args_int(struct args *args, int id, const char *text, int64_t min, int64_t max, int64_t *out);
bool args_uint64(struct args *args, int id, const char *text, uint64_t *out);
/* Bytes, at least 1: "1500000", "500M"; K, M and G are powers of 1000. */
bool args_size(struct args *args, int id, const char *text, uint64_t *out);
bool args_float(struct args *args, int id, const char *text, double min, double max, float *out);

/* Numbers with commas between them, "1,0,20": exactly n_wanted, or any number of at least one in a
 * malloc'd list. */
bool args_float_list(struct args *args, int id, const char *text, float *out, size_t n_wanted);
bool args_int_list(struct args *args, int id, const char *text, int32_t **out, size_t *n);

/* One of `names` (ending with NULL): its index, or -1 with a message that lists them. */
int args_choice(struct args *args, int id, const char *text, const char *const *names);

/* The name that `word` was probably meant to be (a prefix of it, or a slip of the fingers away),
 * NULL if none comes near. */
const char *args_nearest(const char *word, const char *const *names, size_t n_names);

/* Two columns for 80 characters: options and what they do, which may be "". */
void args_print_options(FILE *to, const struct arg_option *options, size_t n_options);

#endif
