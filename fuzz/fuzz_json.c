/* The JSON reader: whatever it accepts is walked with every getter, and what the getters say must
 * agree with each other and with the text. */
#include <math.h>
#include <string.h>

#include "base/json.h"
#include "fuzz.h"

static void use_scalars(const struct ut_json *doc, ut_json_ref value) {
    size_t n = 0, n_raw;
    int64_t integer;
    double number;
    bool truth;
    enum ut_json_type type = ut_json_type(doc, value);
    const char *string = ut_json_string(doc, value, &n), *raw = ut_json_raw(doc, value, &n_raw);
    bool has_integer = ut_json_int64(doc, value, &integer),
         has_number = ut_json_double(doc, value, &number);
    REQUIRE((string != NULL) == (type == UT_JSON_STRING));
    REQUIRE(!string || (strlen(string) <= n && string[n] == '\0'));
    REQUIRE(!has_integer || (has_number && number == (double)integer));
    REQUIRE(!has_number || (type == UT_JSON_NUMBER && isfinite(number)));
    REQUIRE(ut_json_bool(doc, value, &truth) == (type == UT_JSON_BOOL));
    REQUIRE(n_raw > 0 && raw[0] != ' ');
}

/* Each value stands in the text as a document of its own, of the same type. */
static void use_raw(struct ut_mem *mem, const struct ut_json *doc, ut_json_ref value) {
    size_t n;
    const char *raw = ut_json_raw(doc, value, &n);
    struct ut_json *again;
    REQUIRE(ut_json_parse(mem, raw, n, &again, NULL) == UTTER_OK);
    REQUIRE(ut_json_type(again, 0) == ut_json_type(doc, value));
    REQUIRE(ut_json_count(again, 0) == ut_json_count(doc, value));
    ut_json_free(again);
}

/* The children of a container are pushed, so that the walk is as flat as the reader. */
static void use_document(struct ut_mem *mem, const struct ut_json *doc, size_t n) {
    ut_json_ref *stack = malloc((n + 1) * sizeof *stack);
    size_t n_stack = 0, n_visited = 0;
    REQUIRE(stack);
    stack[n_stack++] = 0;
    while (n_stack > 0) {
        ut_json_ref value = stack[--n_stack];
        size_t n_children = 0;
        use_scalars(doc, value);
        if (n_visited++ < 16) {
            use_raw(mem, doc, value);
        }
        for (ut_json_ref c = ut_json_first(doc, value); c >= 0;
             c = ut_json_next(doc, c), n_children++) {
            const char *key = ut_json_key(doc, c);
            REQUIRE((key != NULL) == (ut_json_type(doc, value) == UT_JSON_OBJECT));
            REQUIRE(!key || ut_json_member(doc, value, key) == c);
            REQUIRE(n_stack < n);
            stack[n_stack++] = c;
        }
        REQUIRE(n_children == ut_json_count(doc, value));
    }
    free(stack);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n) {
    struct ut_mem mem;
    struct ut_json *doc;
    utter_error err;
    char *text = malloc(n ? n : 1);
    REQUIRE(text);
    if (n > 0) {
        memcpy(text, data, n);
    }
    ut_mem_init(&mem, NULL);
    utter_status status = ut_json_parse(&mem, text, n, &doc, &err);
    REQUIRE(atomic_load(&mem.peak_bytes) <= 4 * n + 65536);
    if (status == UTTER_OK) {
        use_document(&mem, doc, n);
    } else {
        REQUIRE(status == UTTER_ERROR_FORMAT && strstr(err.message, "JSON: ") && !doc);
    }
    ut_json_free(doc);
    free(text);
    REQUIRE(atomic_load(&mem.bytes[UT_MEM_OTHER]) == 0);
    return 0;
}
