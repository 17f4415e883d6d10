/* The engine: what all voices share. Memory functions, kernels of one processor level, a thread
 * pool, the log. An engine outlives its voices and streams; it may be used from several threads. */
#include <stdlib.h>
#include <string.h>

#include "backend/native.h"
#include "compute/peaks.h"
#include "kernels/cpu.h"
#include "speech/speech.h"
#include "ut_config.h"

enum { MAX_THREADS = 256 };

#if defined(__APPLE__)
static const enum ut_platform platform = UT_PLATFORM_APPLE;
#else
static const enum ut_platform platform = UT_PLATFORM_OTHER;
#endif

const char *utter_version(void) {
    return UT_VERSION;
}

/* Only what the processor has: a level that was asked for and is not there is an error, because a
 * result is compared with others of its level. */
static utter_status choose_kernels(const char *name, const struct ut_kernels **out,
                                   utter_error *err) {
    enum ut_cpu_level level = ut_cpu_level_best();
    if (name && strcmp(name, "auto") != 0 && !ut_cpu_level_parse(name, &level)) {
        return ut_fail(err, UTTER_ERROR_ARGUMENT,
                       "cpu is '%.40s': it must be auto, scalar, avx2, avx512 "
                       "or neon",
                       name);
    }
    *out = ut_kernels_get(level);
    if (!*out) {
        return ut_fail(err, UTTER_ERROR_UNSUPPORTED,
                       "%s is not supported on this processor, or not in this build; "
                       "the best that is: %s",
                       ut_cpu_level_name(level), ut_cpu_level_name(ut_cpu_level_best()));
    }
    return UTTER_OK;
}

static utter_status check_options(const utter_engine_options *options, utter_error *err) {
    if (options->n_threads < 0 || options->n_threads > MAX_THREADS) {
        return ut_fail(err, UTTER_ERROR_ARGUMENT, "n_threads is %d: it must be 0 to %d",
                       options->n_threads, MAX_THREADS);
    }
    if (options->allocator && (!options->allocator->alloc || !options->allocator->free)) {
        return ut_fail(err, UTTER_ERROR_ARGUMENT, "allocator: alloc and free must not be NULL");
    }
    return UTTER_OK;
}

/* Copied: the library is loaded when a voice first asks for it, and the options need not live until
 * then. */
static utter_status keep_path(utter_engine *engine, const char *path, utter_error *err) {
    if (path) {
        engine->onnxruntime_path = ut_mem_strndup(&engine->mem, UT_MEM_OTHER, path, strlen(path));
        engine->context.onnxruntime_path = engine->onnxruntime_path;
    }
    return !path || engine->onnxruntime_path ? UTTER_OK : ut_fail_memory(err, strlen(path) + 1);
}

/* `names` in the order of enum ut_precision. */
static utter_status choose_precision(const utter_engine_options *options,
                                     struct ut_compute *compute, utter_error *err) {
    static const char *const names[] = {"auto", "f32", "bf16", "int8"};
    compute->exact = options->exact;
    for (size_t i = 0; options->precision && i < sizeof names / sizeof *names; i++) {
        if (strcmp(options->precision, names[i]) == 0) {
            compute->precision = (enum ut_precision)i;
            return UTTER_OK;
        }
    }
    return options->precision ? ut_fail(err, UTTER_ERROR_ARGUMENT,
                                        "precision is \"%s\": it must be auto, f32, bf16 or int8",
                                        options->precision)
                              : UTTER_OK;
}

/* Whatever was set up before a failure is taken down by utter_engine_destroy, which takes an engine
 * without a pool. A tuning that cannot be used is no failure. */
utter_status utter_engine_create(const utter_engine_options *options, utter_engine **out,
                                 utter_error *err) {
    utter_engine_options known;
    const struct ut_kernels *kernels;
    if (!out) {
        return ut_fail(err, UTTER_ERROR_ARGUMENT, "out is NULL");
    }
    *out = NULL;
    utter_engine_options_init(&known);
    utter_status status =
        ut_options_read(&known, sizeof known, options, "utter_engine_options", err);
    status = status ? status : check_options(&known, err);
    status = status ? status : choose_kernels(known.cpu, &kernels, err);
    if (status != UTTER_OK) {
        return status;
    }
    /* The engine holds the ut_mem that accounts for everything else; its own block is in no
     * account. */
    struct ut_mem first;
    ut_mem_init(&first, known.allocator);
    utter_engine *engine = ut_mem_calloc(&first, UT_MEM_OTHER, 1, sizeof *engine);
    if (!engine) {
        return ut_fail_memory(err, sizeof *engine);
    }
    ut_mem_init(&engine->mem, known.allocator);
    engine->mem.limit_bytes = known.memory_limit_bytes;
    engine->mem.lock_weights = known.lock_memory;
    engine->context.mem = &engine->mem;
    engine->context.platform = platform;
    engine->context.compute.kernels = kernels;
    engine->context.log = (struct ut_log){known.log, known.log_user};
    status = choose_precision(&known, &engine->context.compute, err);
    status = status ? status : keep_path(engine, known.onnxruntime, err);
    int n_threads = known.n_threads ? known.n_threads : ut_pool_default_threads();
    status = status ? status
                    : ut_pool_create(&engine->mem, n_threads, &engine->context.compute.pool, err);
    if (status != UTTER_OK) {
        utter_engine_destroy(engine);
        return status;
    }
    if (known.tuning) {
        ut_tuning_load(engine, known.tuning);
    }
    *out = engine;
    return UTTER_OK;
}

/* The block goes back through a ut_mem of the moment: the one inside it cannot free itself. */
void utter_engine_destroy(utter_engine *engine) {
    if (engine) {
        struct ut_mem last;
        ut_pool_destroy(engine->context.compute.pool);
        ut_mem_free(&engine->mem, engine->onnxruntime_path);
        ut_mem_init(&last, &engine->mem.allocator);
        ut_mem_free(&last, engine);
    }
}

int32_t utter_engine_threads(const utter_engine *engine) {
    return ut_pool_threads(engine->context.compute.pool);
}

const char *utter_engine_cpu(const utter_engine *engine) {
    return ut_cpu_level_name(engine->context.compute.kernels->level);
}

void utter_engine_memory(const utter_engine *engine, utter_memory *out) {
    utter_memory memory = {.size = sizeof memory};
    ut_mem_report(&engine->mem, &memory);
    ut_options_write(out, &memory, sizeof memory);
}

/* Independent atomics: the counts of a moment, not of one instant. */
void utter_engine_counters(const utter_engine *engine, utter_counters *out) {
    utter_counters counters = {
        .size = sizeof counters,
        .n_voices = atomic_load(&engine->n_voices),
        .n_voice_fallbacks = atomic_load(&engine->n_voice_fallbacks),
        .n_units = atomic_load(&engine->n_units),
        .n_unit_fallbacks = atomic_load(&engine->n_unit_fallbacks),
        .n_unit_failures = atomic_load(&engine->n_unit_failures),
    };
    ut_options_write(out, &counters, sizeof counters);
}

/* Uses all threads of the pool for some tenths of a second: not while voices speak. */
utter_status utter_engine_peaks(utter_engine *engine, utter_peaks *out, utter_error *err) {
    struct ut_peaks peaks;
    if (!engine || !out) {
        return ut_fail(err, UTTER_ERROR_ARGUMENT, "engine and out must not be NULL");
    }
    if (!ut_peaks_measure(&engine->context.compute, &engine->mem, &peaks)) {
        return ut_fail(err, UTTER_ERROR_MEMORY, "no memory to measure how fast it is read");
    }
    utter_peaks known = {
        .size = sizeof known,
        .f32_macs_per_s = peaks.macs_per_s[UT_TALLY_F32],
        .bf16_macs_per_s = peaks.macs_per_s[UT_TALLY_BF16],
        .int8_macs_per_s = peaks.macs_per_s[UT_TALLY_INT8],
        .read_bytes_per_s = peaks.read_bytes_per_s,
    };
    ut_options_write(out, &known, sizeof known);
    return UTTER_OK;
}

utter_status utter_trace(utter_engine *engine, const char *path, const char *golden,
                         const char *case_name, const char *out_path, utter_trace_fn stage,
                         void *user, utter_error *err) {
    if (!engine || !path || !golden) {
        return ut_fail(err, UTTER_ERROR_ARGUMENT, "engine, path and golden must not be NULL");
    }
    /* The formant voice has no stages, and its path is no file. */
    return ut_native_trace(&engine->context, path, golden, case_name, out_path, stage, user, err);
}

/* For what the library hands out as plain strings (voice.c, hand_out). */
void utter_free(void *block) {
    free(block);
}
