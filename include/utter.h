/* utter: local text-to-speech.
 *
 *     utter_engine *engine;  utter_voice *voice;  utter_stream *stream;  utter_error err;
 *     utter_engine_create(NULL, &engine, &err);
 *     utter_voice_open(engine, "en_US-amy-medium.onnx", NULL, &voice, &err);
 *     utter_stream_create(voice, &stream, &err);
 *     utter_stream_speak(stream, text, strlen(text), NULL, on_samples, user, NULL, &err);
 *     utter_stream_destroy(stream);  utter_voice_close(voice);  utter_engine_destroy(engine);
 *
 * Threads: an engine and a voice may be used from any number of threads; a stream belongs to one
 * thread at a time, except utter_stream_cancel, which any thread may call. Destroy streams before
 * their voice and voices before their engine.
 *
 * Errors: a function that can fail returns a status and, where it has an `err` argument that is not
 * NULL, fills it with a message that says what was wrong and what to do. After a failure every
 * output handle is NULL and nothing needs to be freed. The library never prints, exits or aborts.
 *
 * Settings structs begin with their size: use the *_init function, then change what you need. A
 * library newer than the header a program was built with reads only the fields it knows of.
 */
#ifndef UTTER_H
#define UTTER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#if defined(_WIN32)
#define UTTER_API
#else
#define UTTER_API __attribute__((visibility("default")))
#endif

#if defined(__GNUC__)
#define UTTER_CHECKED __attribute__((warn_unused_result))
#else
#define UTTER_CHECKED
#endif

#define UTTER_VERSION_MAJOR 0
#define UTTER_VERSION_MINOR 1
#define UTTER_VERSION_PATCH 0

/* "0.1.0"; static storage. */
UTTER_API const char *utter_version(void);

/* ---- Status ------------------------------------------------------------------------------- */

typedef enum utter_status {
    UTTER_OK = 0,
    UTTER_ERROR_ARGUMENT = -1,    /* a setting or argument is out of range; the message names it */
    UTTER_ERROR_NOT_FOUND = -2,   /* a file, voice, speaker, language or format does not exist */
    UTTER_ERROR_FORMAT = -3,      /* a file is damaged or not what it claims to be */
    UTTER_ERROR_UNSUPPORTED = -4, /* well formed, but this build or processor cannot do it */
    UTTER_ERROR_MEMORY = -5,      /* an allocation failed or a limit was reached */
    UTTER_ERROR_IO = -6,          /* reading or writing failed */
    UTTER_ERROR_CANCELLED = -7,   /* utter_stream_cancel was called, or the callback said stop */
    UTTER_ERROR_MODEL = -8,       /* the model produced something impossible (not finite) */
    UTTER_ERROR_BUSY = -9,        /* the handle is in use by another thread */
    UTTER_ERROR_INTERNAL = -10    /* a defect in utter: please report the message */
} utter_status;

typedef struct utter_error {
    utter_status code;
    char message[500]; /* UTF-8, NUL-terminated, one line, no trailing full stop */
} utter_error;

/* "not found" and so on; static storage. */
UTTER_API const char *utter_status_name(utter_status status);

/* ---- Engine: processor level, threads, memory, log ---------------------------------------- */

typedef struct utter_engine utter_engine;
typedef struct utter_voice utter_voice;
typedef struct utter_stream utter_stream;

/* Memory functions for every buffer the library itself allocates (its libraries' own excepted).
 * Blocks must be aligned to 64 bytes. Called from several threads at once. */
typedef struct utter_allocator {
    void *(*alloc)(void *user, size_t n_bytes); /* NULL when there is none */
    void (*free)(void *user, void *block, size_t n_bytes);
    void *user;
} utter_allocator;

typedef enum utter_log_level { UTTER_LOG_WARNING = 0, UTTER_LOG_INFO, UTTER_LOG_DEBUG } utter_log_level;

/* Called from the thread that is inside a library function; `message` lives for the call. */
typedef void (*utter_log_fn)(void *user, utter_log_level level, const char *message);

typedef struct utter_engine_options {
    size_t size;
    int32_t n_threads;                /* compute threads; 0: one per physical core the process may use */
    const char *cpu;                  /* NULL or "auto", else "scalar", "avx2", "avx512", "neon" */
    utter_log_fn log;                 /* NULL: silent */
    void *log_user;
    const utter_allocator *allocator; /* copied; NULL: the C library's */
    uint64_t memory_limit_bytes; /* of everything utter allocates, the sum of the first three of
                                  * utter_memory; 0: none. Beyond it ERROR_MEMORY: opening a model then
                                  * takes a smaller variant where there is one, speaking falls back */
    bool lock_memory; /* keep weights from being swapped out (mlock); a warning when not permitted */
    const char *onnxruntime; /* path of ONNX Runtime's shared library; NULL: where it is usually installed.
                              * It is loaded when a voice first needs it. */
    /* What the large layers of native voices compute in: "f32", "bf16" or "int8", rounded when a voice is
     * opened; NULL or "auto": as the model file stores them. What decides lengths and pitch stays in
     * float. */
    const char *precision;
    bool exact; /* every sum as the model defines it: no minimal filtering, which saves multiplications
                 * and costs up to 25 dB of the 130 dB that f32 has */
    const char *tuning; /* path of a file of utter_tune: which layers use minimal filtering; NULL: what is built
                         * in. A damaged file is a warning in the log, one of another processor level a note */
} utter_engine_options;

UTTER_API void utter_engine_options_init(utter_engine_options *options);

/* `options` NULL: defaults. ERROR_UNSUPPORTED when the processor lacks the level asked for,
 * ERROR_ARGUMENT for n_threads outside 0..256. */
UTTER_API UTTER_CHECKED utter_status utter_engine_create(const utter_engine_options *options,
                                                         utter_engine **out, utter_error *err);
UTTER_API void utter_engine_destroy(utter_engine *engine); /* NULL is fine */

UTTER_API int32_t utter_engine_threads(const utter_engine *engine);
UTTER_API const char *utter_engine_cpu(const utter_engine *engine); /* "avx512"; static storage */

/* Bytes by owner, as allocated now; peak is the highest sum seen. */
typedef struct utter_memory {
    size_t size;
    uint64_t weights_bytes; /* packed weights and model tables */
    uint64_t session_bytes; /* buffers of streams, kept between calls */
    uint64_t other_bytes;
    uint64_t mapped_bytes;  /* model files mapped right now (read-only, shared with the page cache) */
    uint64_t peak_bytes;    /* of the sum of the first three */
    uint64_t n_allocations; /* calls of the allocator so far; a warmed-up stream adds none to it in
                             * utter_stream_speak_ids, and only the text front end does otherwise */
    uint64_t limit_bytes;   /* utter_engine_options.memory_limit_bytes */
    uint64_t locked_bytes;  /* of the weights, kept from being swapped out */
} utter_memory;

UTTER_API void utter_engine_memory(const utter_engine *engine, utter_memory *out);

/* What happened in an engine so far. A unit is what a model speaks at once, mostly a sentence. */
typedef struct utter_counters {
    size_t size;
    uint64_t n_voices;          /* opened */
    uint64_t n_voice_fallbacks; /* of them not as asked for: another variant, or espeak */
    uint64_t n_units;           /* spoken */
    uint64_t n_unit_fallbacks;  /* of them by another variant or espeak, after the voice failed */
    uint64_t n_unit_failures;   /* not spoken, by nobody */
} utter_counters;

UTTER_API void utter_engine_counters(const utter_engine *engine, utter_counters *out);

/* ---- Voice: a loaded model ---------------------------------------------------------------- */

typedef enum utter_backend {
    UTTER_BACKEND_AUTO = 0, /* native; onnx for ONNX files that native cannot run, and before native where
                             * ONNX Runtime has CoreML; else espeak */
    UTTER_BACKEND_NATIVE,   /* utter's own kernels */
    UTTER_BACKEND_ESPEAK,   /* espeak-ng's formant voice, always there when built with it */
    UTTER_BACKEND_ONNX      /* ONNX Runtime, where its library is installed */
} utter_backend;

typedef struct utter_voice_options {
    size_t size;
    utter_backend backend;
    bool no_fallback; /* fail when what `backend` names, or `preferred`, cannot speak, instead of letting
                       * another backend, another variant of the model or espeak do it */
    /* What the onnx backend computes on: "cpu", "cuda" or "coreml". NULL: "cpu", with AUTO on a Mac "coreml"
     * if ONNX Runtime has it. Another than "cpu" makes AUTO choose that backend, and is ERROR_ARGUMENT with
     * the other two. */
    const char *provider;
    /* With AUTO, where native and onnx can both speak: NATIVE or ONNX goes first, AUTO leaves it to utter.
     * It decides which files of a folder count that holds both, and who opens an ONNX file. */
    utter_backend preferred;
    /* The ONNX file to use instead of the voice's own when the provider is coreml, if it is there; NULL: the
     * voice's own. */
    const char *coreml_path;
} utter_voice_options;

UTTER_API void utter_voice_options_init(utter_voice_options *options);

/* Opens a model by its file or its folder; format and family are told by content. `path` NULL opens
 * the default voice: the house voice when it is installed, else espeak. A path "espeak" or
 * "espeak:LANG" names the formant voice. A folder may hold variants of one model, also as ONNX and as GGUF.
 * When a model cannot be loaded and falling back is allowed the voice speaks through the other backend, a
 * variant or espeak, and utter_voice_info.fallback_reason says why; a path that does not exist is always an
 * error. */
UTTER_API UTTER_CHECKED utter_status utter_voice_open(utter_engine *engine, const char *path,
                                                      const utter_voice_options *options,
                                                      utter_voice **out, utter_error *err);
UTTER_API void utter_voice_close(utter_voice *voice); /* NULL is fine */

typedef struct utter_voice_info {
    size_t size;
    const char *name;            /* "en_US-amy-medium"; strings live as long as the voice */
    const char *path;            /* as opened; "" for espeak */
    const char *family;          /* "piper", "kokoro", "espeak" */
    const char *format;          /* "onnx", "safetensors", "torch", "gguf", "" */
    const char *backend;         /* "native", "onnx", "espeak" */
    const char *language;        /* "en_US" or the espeak voice name */
    const char *quantization;    /* "f32", "f16", "" */
    const char *fallback_reason; /* NULL, or why this is not the backend that was asked for */
    int32_t sample_rate_hz;
    int32_t n_speakers;          /* at least 1 */
    uint64_t n_parameters;
    uint64_t file_bytes;
    float noise_scale, length_scale, noise_w; /* the voice's own defaults; 0 where unused */
} utter_voice_info;

UTTER_API void utter_voice_get_info(const utter_voice *voice, utter_voice_info *out);

/* Name of speaker 0..n_speakers-1; NULL out of range, or when it has none. Lives as long as the voice. */
UTTER_API const char *utter_voice_speaker(const utter_voice *voice, int32_t index);

/* A speaker by name or decimal number. ERROR_NOT_FOUND suggests the nearest name. */
UTTER_API UTTER_CHECKED utter_status utter_voice_find_speaker(const utter_voice *voice,
                                                              const char *name, int32_t *out,
                                                              utter_error *err);

/* Would utter_speak_options.voice take this? ERROR_NOT_FOUND suggests the nearest name; ERROR_ARGUMENT
 * says what is wrong with a mixture. */
UTTER_API UTTER_CHECKED utter_status utter_voice_check(const utter_voice *voice, const char *name,
                                                       utter_error *err);

/* Metadata of the model and its configuration as one JSON object, NUL-terminated. Free it with
 * utter_free. With `tensors` every weight tensor is listed with name, type and shape. */
UTTER_API UTTER_CHECKED utter_status utter_voice_describe(const utter_voice *voice, bool tensors,
                                                          char **json, utter_error *err);

/* The backends of this build as one JSON array (mission M2.4), with `voice` (may be NULL) loaded in
 * one of them. Free it with utter_free. */
UTTER_API UTTER_CHECKED utter_status utter_backends(utter_engine *engine, const utter_voice *voice,
                                                    char **json, utter_error *err);
UTTER_API void utter_free(void *block); /* for strings that the library returned; NULL is fine */

/* ---- Speaking ----------------------------------------------------------------------------- */

typedef struct utter_progress {
    size_t size;
    uint64_t n_bytes_done, n_bytes_total; /* of the text */
    uint64_t n_samples;                   /* delivered so far */
    double audio_s, elapsed_s;
} utter_progress;

typedef void (*utter_progress_fn)(void *user, const utter_progress *progress);

typedef struct utter_speak_options {
    size_t size;
    int32_t speaker;     /* -1: the voice's default */
    float speed;         /* 0.1..10, 1 is the voice's own pace */
    float noise_scale;   /* 0..10; NAN: the voice's own */
    float noise_w;       /* 0..10; NAN: the voice's own */
    float volume;        /* gain, 0..10; samples stay within -1..1 */
    bool normalize;      /* scale every sentence to full level, as the piper program does */
    /* 0..10, added after every sentence. NAN: between sentences only, 0.15 s, and 0.35 s between
     * paragraphs; 0.25 s and 0.55 s for Kokoro, whose silence is cut; the formant voice pauses by itself. */
    float sentence_silence_s;
    uint64_t seed;       /* same seed, same text, same processor level: same samples (the onnx
                          * and espeak backends excepted, whose libraries have noise or a state of their
                          * own) */
    /* Piper and espeak: the espeak voice to phonemize with; Kokoro: a letter (a b e f h i j p z) or a
     * language name (en-us, en-gb, es, fr-fr, ...). NULL: the voice's own. */
    const char *language;
    utter_progress_fn progress; /* after each sentence; NULL: none */
    void *progress_user;
    /* A speaker by name, used instead of `speaker`; of Kokoro also a mixture of several,
     * "af_bella(0.7)+af_sky(0.3)". NULL: `speaker`. */
    const char *voice;
    bool stages; /* keep what utter_stream_stage tells; costs up to 1 % of the time */
    /* Sentences spoken side by side behind the first one of a text, at most; 1: one after the other, all threads
     * on each. Every one more takes the memory of a sentence. Never more than the engine has free threads, none
     * with `stages`; the samples do not depend on it. 0: up to 4 where that is faster. 0..8 */
    int32_t n_parallel;
} utter_speak_options;

UTTER_API void utter_speak_options_init(utter_speak_options *options);

/* Receives samples in order, mono float in -1..1 at the voice's rate. `samples` lives for the call.
 * Return false to stop: utter_stream_speak then returns ERROR_CANCELLED. */
typedef bool (*utter_sink_fn)(void *user, const float *samples, size_t n_samples);

typedef struct utter_result {
    size_t size;
    uint64_t n_samples;
    int32_t sample_rate_hz;
    uint32_t n_sentences;
    uint32_t n_skipped_symbols; /* phonemes that the voice has no id for */
    uint32_t n_fallbacks;       /* sentences spoken by a later backend than the voice's own */
    const char *backend;        /* that spoke the last sentence; static storage */
    char fallback_reason[256];  /* of the last fallback; "" if none */
    double audio_s;
    double elapsed_s;
    double cpu_s;               /* of the whole process */
    double first_audio_s;       /* from the call to the first sample */
    double phonemize_s, encode_s, flow_s, decode_s; /* stage times, wall */
} utter_result;

UTTER_API UTTER_CHECKED utter_status utter_stream_create(utter_voice *voice, utter_stream **out,
                                                         utter_error *err);
UTTER_API void utter_stream_destroy(utter_stream *stream); /* NULL is fine */

/* Speaks UTF-8 `text`. Invalid UTF-8 is ERROR_ARGUMENT with the offset; text without a letter or
 * digit gives no samples and UTTER_OK with a warning in the log. `options`, `result`, `err` may be
 * NULL. After an error the samples delivered so far are good and the stream can speak again. */
UTTER_API UTTER_CHECKED utter_status utter_stream_speak(utter_stream *stream, const char *text,
                                                        size_t n_bytes,
                                                        const utter_speak_options *options,
                                                        utter_sink_fn sink, void *user,
                                                        utter_result *result, utter_error *err);

/* Speaks phoneme ids of the voice's own vocabulary as one sentence, nothing added. */
UTTER_API UTTER_CHECKED utter_status utter_stream_speak_ids(utter_stream *stream, const int32_t *ids,
                                                            size_t n_ids,
                                                            const utter_speak_options *options,
                                                            utter_sink_fn sink, void *user,
                                                            utter_result *result, utter_error *err);

/* Makes the running or, if none runs, the next speak of this stream end with ERROR_CANCELLED within
 * one tile of the decoder (tens of milliseconds). Any thread; not a signal handler. */
UTTER_API void utter_stream_cancel(utter_stream *stream);

/* One part of a model: what it took in the stream's last call with utter_speak_options.stages, of all its
 * sentences together. Multiply-accumulates are those of the model's definition, by the arithmetic they were done in,
 * also where fewer were made; weights count once for each sentence, as they lie in memory. */
typedef struct utter_stage {
    size_t size;
    const char *name; /* "encoder"; static storage */
    double wall_s;
    double cpu_s; /* of the whole process */
    uint64_t n_macs_f32, n_macs_bf16, n_macs_int8;
    uint64_t weight_bytes;
} utter_stage;

/* Stage `index` in the order of the model; false when there are no more, when the call did not ask for them, and
 * for voices that are not native. Set out->size first. Not while the stream speaks. */
UTTER_API bool utter_stream_stage(const utter_stream *stream, int32_t index, utter_stage *out);

/* What this machine can do at the engine's processor level on its threads together, measured now, in some tenths of a
 * second: multiply-accumulates on registers, and reading memory. A stage takes no less time than these
 * allow. */
typedef struct utter_peaks {
    size_t size;
    double f32_macs_per_s, bf16_macs_per_s, int8_macs_per_s; /* 0: the level has no arithmetic of that kind */
    double read_bytes_per_s;                                 /* of memory that is in no cache; 0: not known */
} utter_peaks;

/* Set out->size first. ERROR_MEMORY when there is none for what is read. */
UTTER_API UTTER_CHECKED utter_status utter_engine_peaks(utter_engine *engine, utter_peaks *out,
                                                        utter_error *err);

/* ---- Audio out ---------------------------------------------------------------------------- */

typedef enum utter_format {
    UTTER_FORMAT_AUTO = 0, /* by the file's extension, else WAV */
    UTTER_FORMAT_WAV,      /* 16-bit; to a pipe with the sizes that stream readers expect */
    UTTER_FORMAT_WAV_F32,
    UTTER_FORMAT_PCM_S16,  /* raw little-endian */
    UTTER_FORMAT_PCM_F32,
    UTTER_FORMAT_FLAC,
    UTTER_FORMAT_OPUS,     /* Ogg; resampled to 48 kHz */
    UTTER_FORMAT_VORBIS,   /* Ogg */
    UTTER_FORMAT_MP3
} utter_format;

typedef struct utter_writer utter_writer;

/* "wav", "wav-f32", "pcm", "pcm-f32", "flac", "opus", "vorbis", "mp3"; NULL for AUTO. */
UTTER_API const char *utter_format_name(utter_format format);
UTTER_API UTTER_CHECKED utter_status utter_format_parse(const char *name, utter_format *out,
                                                        utter_error *err);

/* Writes to `path`, or to standard output when it is "-". A file appears under its name only when
 * utter_writer_finish succeeds; until then it is a temporary file beside it. */
UTTER_API UTTER_CHECKED utter_status utter_writer_open(const char *path, utter_format format,
                                                       int32_t sample_rate_hz, utter_writer **out,
                                                       utter_error *err);
UTTER_API UTTER_CHECKED utter_status utter_writer_write(utter_writer *writer, const float *samples,
                                                        size_t n_samples, utter_error *err);
/* Completes the file and frees the writer, also on error. */
UTTER_API UTTER_CHECKED utter_status utter_writer_finish(utter_writer *writer, utter_error *err);
/* Frees the writer and removes what was written. NULL is fine. */
UTTER_API void utter_writer_discard(utter_writer *writer);

typedef struct utter_player utter_player;

/* Plays through the default device. ERROR_UNSUPPORTED when built without PortAudio. */
UTTER_API UTTER_CHECKED utter_status utter_player_open(int32_t sample_rate_hz, utter_player **out,
                                                       utter_error *err);
UTTER_API UTTER_CHECKED utter_status utter_player_write(utter_player *player, const float *samples,
                                                        size_t n_samples, utter_error *err);
UTTER_API UTTER_CHECKED utter_status utter_player_finish(utter_player *player, utter_error *err);

/* ---- Golden traces ------------------------------------------------------------------------ */

/* Called for every stage of a trace: name "CASE.STAGE", golden NULL where the file has none. */
typedef struct utter_trace_stage {
    size_t size;
    const char *name;
    uint64_t dims[4];
    int32_t n_dims;
    bool compared;         /* the file holds this stage in the same size */
    double max_abs_error;
    double snr_db;         /* 200 when equal */
} utter_trace_stage;
typedef void (*utter_trace_fn)(void *user, const utter_trace_stage *stage);

/* Runs the model at `path` on the recorded inputs in the safetensors file `golden` and writes every
 * stage to the safetensors file `out_path` (NULL: none). `case_name` NULL: all cases. */
UTTER_API UTTER_CHECKED utter_status utter_trace(utter_engine *engine, const char *path,
                                                 const char *golden, const char *case_name,
                                                 const char *out_path, utter_trace_fn stage,
                                                 void *user, utter_error *err);

/* ---- Tuning ------------------------------------------------------------------------------- */

typedef struct utter_tuned {
    size_t size;
    int32_t n_in, n_out, n_taps; /* a layer's channels and kernel */
    const char *scheme;          /* "F(4,7)", or "direct"; static storage */
    double speedup;              /* against the plain convolution */
} utter_tuned;
typedef void (*utter_tuned_fn)(void *user, const utter_tuned *layer);

/* Measures in a few seconds, on the engine's threads, which convolutions gain by minimal filtering and writes
 * that to `path`, for utter_engine_options.tuning. `tell` (NULL: none) gets each layer as it is done. The file
 * appears when it is complete. */
UTTER_API UTTER_CHECKED utter_status utter_tune(utter_engine *engine, const char *path,
                                                utter_tuned_fn tell, void *user, utter_error *err);

/* The same for the convolutions in the file of one model, which is a path as for utter_voice_open; what is in
 * the file at `path` for layers of other sizes stays. The largest layers, whose weights would grow by 100 MB,
 * are left out. */
UTTER_API UTTER_CHECKED utter_status utter_tune_voice(utter_engine *engine, const char *model,
                                                      const char *path, utter_tuned_fn tell,
                                                      void *user, utter_error *err);

/* ---- Import: any model file to one GGUF file ---------------------------------------------- */

typedef struct utter_import_progress {
    size_t size;
    const char *tensor; /* written last; lives for the call */
    uint64_t n_tensors_done, n_tensors_total;
    uint64_t n_bytes_done, n_bytes_total; /* of the tensors in the new file */
} utter_import_progress;

/* Called after each tensor. Return false to stop: utter_import then returns ERROR_CANCELLED. */
typedef bool (*utter_import_progress_fn)(void *user, const utter_import_progress *progress);

typedef struct utter_import_options {
    size_t size;
    const char *type;   /* of the large weights: "f32", "f16", "bf16"; "int8": of the convolutions that run in
                         * 8 bits then; NULL: as in the model, so that it sounds the same to the last bit.
                         * Biases, norms and voices stay f32. */
    const char *voices; /* names and patterns of the voices to take, "af_*,bm_george"; NULL: all */
    utter_import_progress_fn progress; /* NULL: none */
    void *progress_user;
} utter_import_options;

UTTER_API void utter_import_options_init(utter_import_options *options);

typedef struct utter_import_result {
    size_t size;
    const char *family; /* "kokoro"; static storage */
    const char *type;   /* of most weights, as written; static storage */
    uint64_t n_tensors, n_voices, n_parameters;
    uint64_t bytes_in, bytes_out; /* of the model file read and the file written */
} utter_import_result;

/* Writes the model at `path` (a file or folder, as utter_voice_open takes it) with its configuration and
 * voices into one GGUF file, which utter_voice_open opens. The model is loaded and checked first. The
 * file appears under its name when it is complete; a file that was there is replaced then.
 * ERROR_ARGUMENT when the model is GGUF already, or `out_path` is the model itself; ERROR_NOT_FOUND
 * for a pattern that fits no voice. `options`, `result` and `err` may be NULL. */
UTTER_API UTTER_CHECKED utter_status utter_import(utter_engine *engine, const char *path,
                                                  const char *out_path,
                                                  const utter_import_options *options,
                                                  utter_import_result *result, utter_error *err);

/* ---- Quality: one rendering of some speech against another -------------------------------- */

/* Mono samples in -1..1. This struct never grows. */
typedef struct utter_sound {
    const float *samples;
    size_t n_samples;
    int32_t sample_rate_hz; /* 1,000..192,000 */
} utter_sound;

/* A sound that was read from a file. Read-only, so any number of threads may use it. */
typedef struct utter_recording utter_recording;

/* Reads a whole file of any format that libsndfile knows (WAV, FLAC, Ogg, MP3 and more), or standard input
 * for "-"; its channels are averaged. At most an hour. ERROR_NOT_FOUND, ERROR_FORMAT (also for
 * samples that are not finite, and for none at all), ERROR_IO; ERROR_UNSUPPORTED without libsndfile. */
UTTER_API UTTER_CHECKED utter_status utter_recording_open(const char *path, utter_recording **out,
                                                          utter_error *err);
/* Lives as long as the recording. */
UTTER_API const utter_sound *utter_recording_sound(const utter_recording *recording);
UTTER_API void utter_recording_close(utter_recording *recording); /* NULL is fine */

typedef struct utter_compare_options {
    size_t size;
    double max_lag_ms; /* 0..2000: take out a constant delay of up to that much first; 0: none */
    bool no_pitch;     /* leave out the figures of pitch and voicing, four fifths of the time */
    const utter_allocator *allocator; /* NULL: the C library's */
} utter_compare_options;

UTTER_API void utter_compare_options_init(utter_compare_options *options);

/* All of docs/eval.md. Figures that do not exist are NAN. Pairs hold the reference and the test, as
 * they were given. */
typedef struct utter_quality {
    size_t size;
    double snr_db; /* energy of the reference over that of the difference; INFINITY: equal samples,
                    * -INFINITY: a silent reference */
    double lsd_db; /* log-spectral distance; NAN: the reference is silent */
    double mcd_db; /* mel-cepstral distortion */
    double f0_correlation, f0_rmse_cents; /* where both are voiced; NAN: hardly anywhere */
    double voicing_differs; /* share of frames voiced in one alone, 0..1; NAN, as the two above, with no_pitch,
                             * or at another rate than 16 kHz without libsoxr */
    double lag_ms;          /* by which the test was late, and was moved */
    int32_t sample_rate_hz; /* at which they were compared: the reference's */
    uint64_t n_samples;     /* that were compared: of the shorter */
    uint64_t n_left_over;   /* of the longer, at its end */
    double rms_dbfs[2];     /* level over all; -INFINITY: silent */
    double peak[2];         /* 1: full scale */
    double clipped[2];      /* share of samples at full scale of 16 bits, 0..1 */
    double silent[2];       /* share of blocks of 10 ms below -60 dBFS, 0..1 */
} utter_quality;

/* How far `test` is from `reference`, which must be the same speech: both are brought to the reference's
 * rate and to the shorter length, and compared sample by sample and frame by frame. ERROR_ARGUMENT
 * for an empty sound, a rate out of range, or samples that are not finite or beyond 1000 times full scale;
 * ERROR_UNSUPPORTED for different rates without libsoxr. `options` and `err` may be NULL. Any thread. */
UTTER_API UTTER_CHECKED utter_status utter_compare(const utter_sound *reference,
                                                   const utter_sound *test,
                                                   const utter_compare_options *options,
                                                   utter_quality *out, utter_error *err);

#ifdef __cplusplus
}
#endif

#endif
