/* Words that TTS.cpp and misaki keep in their programs and not in their files: number words, names
 * of letters and symbols, titles, in Kokoro's alphabet for General American English. Transcribed
 * for utter from common dictionary pronunciations. See lexicon_parts.h. */
#include "base/checked.h"
#include "text/lexicon_parts.h"
#include "text/utf8_walk.h"

static const struct own_word {
    const char *word, *phonemes;
} own_words[] = {
    /* sorted by strcmp */
    {"and", "ænd"},
    {"approximately", "əpɹˈɑksəmətli"},
    {"asterisk", "ˈæstəɹˌɪsk"},
    {"at", "æt"},
    {"backslash", "bˈækslˌæʃ"},
    {"billion", "bˈɪljən"},
    {"by", "bˈI"},
    {"cent", "sˈɛnt"},
    {"copyright", "kˈɑpiɹˌIt"},
    {"degrees", "dəɡɹˈiz"},
    {"divided", "dəvˈIdᵻd"},
    {"doctor", "dˈɑktəɹ"},
    {"dollar", "dˈɑləɹ"},
    {"dot", "dˈɑt"},
    {"dr", "dˈɑktəɹ"},
    {"eight", "ˈAt"},
    {"eighteen", "ˌAtˈin"},
    {"eighth", "ˈAtθ"},
    {"eighty", "ˈATi"},
    {"eleven", "əlˈɛvən"},
    {"equals", "ˈikwəlz"},
    {"euro", "jˈʊɹO"},
    {"fifteen", "fˌɪftˈin"},
    {"fifth", "fˈɪfθ"},
    {"fifty", "fˈɪfti"},
    {"first", "fˈɜɹst"},
    {"five", "fˈIv"},
    {"forty", "fˈɔɹTi"},
    {"four", "fˈɔɹ"},
    {"fourteen", "fˌɔɹtˈin"},
    {"greater", "ɡɹˈATəɹ"},
    {"half", "hˈæf"},
    {"hundred", "hˈʌndɹəd"},
    {"jr", "ʤˈunjəɹ"},
    {"less", "lˈɛs"},
    {"million", "mˈɪljən"},
    {"minus", "mˈInəs"},
    {"mr", "mˈɪstəɹ"},
    {"mrs", "mˈɪsəz"},
    {"ms", "mˈɪz"},
    {"nine", "nˈIn"},
    {"nineteen", "nˌIntˈin"},
    {"ninety", "nˈInti"},
    {"ninth", "nˈInθ"},
    {"number", "nˈʌmbəɹ"},
    {"o'clock", "əklˈɑk"},
    {"oh", "ˈO"},
    {"one", "wˈʌn"},
    {"paragraph", "pˈæɹəɡɹˌæf"},
    {"pence", "pˈɛns"},
    {"percent", "pəɹsˈɛnt"},
    {"plus", "plˈʌs"},
    {"point", "pˈYnt"},
    {"pound", "pˈWnd"},
    {"prof", "pɹəfˈɛsəɹ"},
    {"quadrillion", "kwɑdɹˈɪljən"},
    {"quarter", "kwˈɔɹTəɹ"},
    {"quarters", "kwˈɔɹTəɹz"},
    {"registered", "ɹˈɛʤəstəɹd"},
    {"second", "sˈɛkənd"},
    {"section", "sˈɛkʃən"},
    {"seven", "sˈɛvən"},
    {"seventeen", "sˌɛvəntˈin"},
    {"seventy", "sˈɛvənti"},
    {"six", "sˈɪks"},
    {"sixteen", "sˌɪkstˈin"},
    {"sixty", "sˈɪksti"},
    {"sr", "sˈinjəɹ"},
    {"st", "sˈAnt"},
    {"ten", "tˈɛn"},
    {"than", "ðæn"},
    {"third", "θˈɜɹd"},
    {"thirteen", "θˌɜɹtˈin"},
    {"thirty", "θˈɜɹTi"},
    {"thousand", "θˈWzᵊnd"},
    {"three", "θɹˈi"},
    {"times", "tˈImz"},
    {"trademark", "tɹˈAdmˌɑɹk"},
    {"trillion", "tɹˈɪljən"},
    {"twelfth", "twˈɛlfθ"},
    {"twelve", "twˈɛlv"},
    {"twenty", "twˈɛnti"},
    {"two", "tˈu"},
    {"vs", "vˈɜɹsəs"},
    {"yen", "jˈɛn"},
    {"zero", "zˈɪɹO"},
};

/* Names of the letters: primary stress, for the last of a word that is spelled. */
static const char *const letters[26] = {"ˈA",  "bˈi",      "sˈi",  "dˈi", "ˈi",  "ˈɛf", "ʤˈi",
                                        "ˈAʧ", "ˈI",       "ʤˈA",  "kˈA", "ˈɛl", "ˈɛm", "ˈɛn",
                                        "ˈO",  "pˈi",      "kjˈu", "ˈɑɹ", "ˈɛs", "tˈi", "jˈu",
                                        "vˈi", "dˈʌbᵊlju", "ˈɛks", "wˈI", "zˈi"};

#define PRIMARY "ˈ"
#define SECONDARY "ˌ"

/* Binary search. strncmp with n also accepts a candidate that goes on, hence the second test and
 * the way of `order == 0`. */
static const char *find_word(const char *word, size_t n) {
    size_t low = 0, high = UT_COUNT(own_words);
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        const char *candidate = own_words[middle].word;
        int order = strncmp(word, candidate, n);
        if (order == 0 && candidate[n] == '\0') {
            return own_words[middle].phonemes;
        }
        if (order <= 0) {
            high = middle;
        } else {
            low = middle + 1;
        }
    }
    return NULL;
}

/* An ending needs a stem: the word "th" has none. */
static bool ends_with(const char *word, size_t n, const char *ending) {
    size_t n_ending = strlen(ending);
    return n > n_ending && memcmp(word + n - n_ending, ending, n_ending) == 0;
}

/* A word of the table with an ending that numbers have: ninetieth, fourth, nineties, sixes,
 * dollars. */
static const char *find_stem(const char *word, size_t n, const char **ending) {
    static const struct {
        const char *text, *stem_ends, *phonemes;
    } endings[] = {{"ieth", "y", "əθ"},
                   {"ies", "y", "z"},
                   {"th", "", "θ"},
                   {"xes", "x", "ᵻz"},
                   {"s", "", NULL}};
    char stem[16];
    for (size_t i = 0; i < UT_COUNT(endings); i++) {
        if (!ends_with(word, n, endings[i].text) || n >= sizeof stem - 1) {
            continue;
        }
        size_t n_stem = n - strlen(endings[i].text), n_ends = strlen(endings[i].stem_ends);
        memcpy(stem, word, n_stem);
        memcpy(stem + n_stem, endings[i].stem_ends, n_ends);
        const char *phonemes = find_word(stem, n_stem + n_ends);
        if (phonemes) {
            bool is_voiceless = strchr("tkpf", phonemes[strlen(phonemes) - 1]);
            *ending = endings[i].phonemes ? endings[i].phonemes : is_voiceless ? "s" : "z";
            return phonemes;
        }
    }
    return NULL;
}

static utter_status append(struct ut_text_buffer *out, const char *text, utter_error *err) {
    return ut_text_buffer_append(out, text, strlen(text), err);
}

/* Lower case; the ending is that of the stem, if the word is one with an ending. */
utter_status ut_lexicon_own_word(const char *word, size_t n, struct ut_text_buffer *out,
                                 bool *found, utter_error *err) {
    const char *ending = "";
    const char *phonemes =
        n == 1 && word[0] >= 'a' && word[0] <= 'z' ? letters[word[0] - 'a'] : find_word(word, n);
    if (!phonemes) {
        phonemes = find_stem(word, n, &ending);
    }
    *found = phonemes != NULL;
    if (!phonemes) {
        return UTTER_OK;
    }
    utter_status status = append(out, phonemes, err);
    return status == UTTER_OK ? append(out, ending, err) : status;
}

/* The name of a letter with its stress lowered: ˈA -> ˌA. */
static utter_status append_unstressed(struct ut_text_buffer *out, const char *name,
                                      utter_error *err) {
    const char *stress = strstr(name, PRIMARY);
    utter_status status = ut_text_buffer_append(out, name, (size_t)(stress - name), err);
    if (status == UTTER_OK) {
        status = append(out, SECONDARY, err);
    }
    return status == UTTER_OK ? append(out, stress + strlen(PRIMARY), err) : status;
}

/* Letters only; what stands behind the last of them is passed over first, so that "U.S." has its
 * main stress on the S. */
utter_status ut_lexicon_spell(const char *word, size_t n, struct ut_text_buffer *out, bool *found,
                              utter_error *err) {
    utter_status status = UTTER_OK;
    while (n > 0 && !ut_ascii_is_letter(word[n - 1])) {
        n--;
    }
    *found = n > 0;
    for (size_t i = 0; i < n && status == UTTER_OK; i++) {
        if (ut_ascii_is_letter(word[i])) {
            const char *name = letters[ut_ascii_lower(word[i]) - 'a'];
            status = i + 1 < n ? append_unstressed(out, name, err) : append(out, name, err);
        }
    }
    return status;
}

/* Finds the word, in lower case, in a list of words separated by spaces. */
static bool is_listed(const char *list, const char *word, size_t n) {
    char key[8] = " ";
    if (n == 0 || n > sizeof key - 3) {
        return false;
    }
    for (size_t i = 0; i < n; i++) {
        key[i + 1] = ut_ascii_lower(word[i]);
    }
    key[n + 1] = ' ';
    key[n + 2] = '\0';
    return strstr(list, key) != NULL;
}

bool ut_lexicon_is_title(const char *word, size_t n) {
    bool is_capital = n > 0 && ut_ascii_is_upper(word[0]);
    return is_capital ? is_listed(" mr mrs ms dr prof st jr sr vs ", word, n)
                      : is_listed(" vs ", word, n);
}

/* Only tells capitals that are a word (the CAR is) from capitals that are letters (the CIA is). */
bool ut_lexicon_is_short_word(const char *word, size_t n) {
    static const char words[] =
        " a am an as at be by do go he hi i if in is it me my no of oh ok on or so to up us we "
        "act add age ago aid aim air all and any arm art ask bad bag bar bed big bit box boy bus but buy "
        "can car cat cry cup cut day did die dog dry due ear eat egg end eye far fat few fit fix fly for "
        "fun gas get god got gun guy had has hat her hey him his hit hot how ice its job joy key kid law "
        "lay led leg let lie lot low mad man map may men met mix mom new nor not now odd off oil old one "
        "our out own pay per pop put ran raw red rid row run sad sat saw say sea see set sex she sir sit "
        "six sky son sun tax tea ten the tie tip too top toy try two use van war was way wet who why win "
        "won yes yet you ";
    return is_listed(words, word, n);
}

void ut_lexicon_lower(char *word, size_t n) {
    for (size_t i = 0; i < n; i++) {
        /* U+00C0 to U+00DE are C3 80 to C3 9E, 0x20 below their small letters; U+00D7 is no letter.
         */
        bool is_latin1 =
            i > 0 && word[i - 1] == '\xC3' && (unsigned char)word[i] <= 0x9E && word[i] != '\x97';
        word[i] = is_latin1 ? (char)(word[i] | 0x20) : ut_ascii_lower(word[i]);
    }
}

/* U+00C0 to U+017F without their marks; '.' where there is no such letter. */
static const char unaccented[] = "AAAAAAACEEEEIIIIDNOOOOO.OUUUUYTsaaaaaaaceeeeiiiidnooooo.ouuuuyty"
                                 "AaAaAaCcCcCcCcDdDdEeEeEeEeEeGgGgGgGgHhHhIiIiIiIiIiIiJjKkkLlLlLlL"
                                 "lLlNnNnNnnNnOoOoOoOoRrRrRrSsSsSsSsTtTtTtUuUuUuUuUuUuWwYyYZzZzZzs";

/* Letters beyond the table stay as they are. */
utter_status ut_lexicon_unaccent(const char *word, size_t n, struct ut_text_buffer *out,
                                 utter_error *err) {
    utter_status status = UTTER_OK;
    for (size_t at = 0; at < n && status == UTTER_OK;) {
        size_t begin = at;
        uint32_t c = ut_utf8_next(word, n, &at);
        if ((c >= 0x300 && c <= 0x36F) || c == 0xAD) {
            continue; /* a combining mark, a soft hyphen */
        }
        bool is_latin =
            c >= 0xC0 && c < 0xC0 + sizeof unaccented - 1 && unaccented[c - 0xC0] != '.';
        status = is_latin ? ut_text_buffer_append(out, &unaccented[c - 0xC0], 1, err)
                          : ut_text_buffer_append(out, word + begin, at - begin, err);
    }
    return status;
}
