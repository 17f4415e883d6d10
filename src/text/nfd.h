/* Unicode canonical forms. NFD: Piper's symbols are the code points of decomposed text. NFC: espeak-ng
 * knows composed letters only and reads "e\u0301" as "e". */
#ifndef UT_TEXT_NFD_H
#define UT_TEXT_NFD_H

#include "text/text_buffer.h"

/* Appends the NFD of valid UTF-8. Runs of combining marks are ordered within 512 code units only, as in
 * the Stream-Safe Text Format of UAX #15, so that time stays linear. Built without ICU, text that would
 * have to change is ERROR_UNSUPPORTED. */
UTTER_CHECKED utter_status ut_nfd_append(struct ut_text_buffer *out, const char *text, size_t n,
                                         utter_error *err);

/* Appends the NFC, within the same runs. Built without ICU the text is appended as it is. */
UTTER_CHECKED utter_status ut_nfc_append(struct ut_text_buffer *out, const char *text, size_t n,
                                         utter_error *err);

#endif
