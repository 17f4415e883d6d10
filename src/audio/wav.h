/* The header of a WAV file of one channel. */
#ifndef UT_AUDIO_WAV_H
#define UT_AUDIO_WAV_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { UT_WAV_HEADER_MAX = 58 };

/* "Not known yet": for streams, and until a file is complete. */
#define UT_WAV_UNKNOWN_SIZE UINT64_MAX

/* Writes the header for `n_data_bytes` of 16-bit or 32-bit float samples and returns its size (44
 * or 58). Sizes that are unknown or too large for their 32 bits become 0xFFFFFFFF, which readers
 * take as "until the end of the file". */
size_t ut_wav_header(uint8_t header[UT_WAV_HEADER_MAX], bool is_float, int32_t sample_rate_hz,
                     uint64_t n_data_bytes);

#endif
