/* Finding and loading ONNX Runtime. A library is only ever loaded from a path that the program was
 * given, from where the loader looks, or from where pip puts its package; it is not unloaded again,
 * because its threads and exit handlers may outlive the last user. */
#include <dlfcn.h>
#include <glob.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "backend/ort_internal.h"
#include "base/checked.h"

#if defined(__APPLE__)
#define PACKAGE_FILE "libonnxruntime*.dylib"
static const char *const loader_names[] = {"libonnxruntime.1.dylib", "libonnxruntime.dylib"};
#else
#define PACKAGE_FILE "libonnxruntime.so*"
static const char *const loader_names[] = {"libonnxruntime.so.1", "libonnxruntime.so"};
#endif

/* Takes the status, which is freed here. `code` is what the caller makes of it, unless the library
 * itself knows better. */
utter_status ut_ort_check(const struct ort_entries *ort, struct ort_status *status,
                          utter_status code, const char *what, utter_error *err) {
    if (!status) {
        return UTTER_OK;
    }
    switch (ort->get_error_code(status)) {
    case ORT_NO_SUCH_FILE:
        code = UTTER_ERROR_NOT_FOUND;
        break;
    case ORT_NOT_IMPLEMENTED:
        code = UTTER_ERROR_UNSUPPORTED;
        break;
    }
    ut_fail(err, code, "%s: ONNX Runtime: %s", what, ort->get_error_message(status));
    ort->release_status(status);
    return code;
}

/* ---- The table of functions ----------------------------------------------------------------- */

/* Where each entry stands in the library's table and in ours. */
static const struct {
    size_t place, offset;
} places[] = {
#define PLACE(place, result, name, arguments) {place, offsetof(struct ort_entries, name)},
    ORT_ENTRIES(PLACE)
#undef PLACE
};

/* The minor number of "1.31.1" is the newest table that the library offers. Asking for a newer one
 * would make it write to the standard error output. */
static uint32_t newest_table(const char *version) {
    unsigned major, minor;
    bool known = sscanf(version, "%u.%u", &major, &minor) == 2 && major == 1;
    return known ? UT_MIN(minor, (unsigned)ORT_API_NEWEST) : ORT_API_NEWEST;
}

/* memcpy instead of casts: ISO C has no conversion between object and function pointers. */
static utter_status read_table(struct ut_ort_library *library, utter_error *err) {
    typedef const struct ort_api_base *(*get_base_fn)(void);
    get_base_fn get_base;
    void *symbol = dlsym(library->handle, "OrtGetApiBase");
    memcpy(&get_base, &symbol, sizeof get_base);
    const struct ort_api_base *base = symbol ? get_base() : NULL;
    if (!base) {
        return ut_fail(err, UTTER_ERROR_UNSUPPORTED,
                       "%s is not ONNX Runtime: it has no function OrtGetApiBase", library->path);
    }
    snprintf(library->version, sizeof library->version, "%s", base->get_version());
    const char *table = NULL;
    for (uint32_t v = newest_table(library->version); v >= ORT_API_OLDEST && !table; v--) {
        table = base->get_api(v);
    }
    if (!table) {
        return ut_fail(err, UTTER_ERROR_UNSUPPORTED,
                       "%s is ONNX Runtime %s: 1.%d or later is needed (pip install --upgrade "
                       "onnxruntime)",
                       library->path, library->version, ORT_API_OLDEST);
    }
    for (size_t i = 0; i < UT_COUNT(places); i++) {
        memcpy((char *)&library->entries + places[i].offset,
               table + places[i].place * sizeof(void (*)(void)), sizeof(void (*)(void)));
    }
    return UTTER_OK;
}

/* ---- Loading -------------------------------------------------------------------------------- */

/* The file behind a name that the loader found by itself. */
static void name_file(struct ut_ort_library *library, const char *name) {
    Dl_info info;
    void *symbol = dlsym(library->handle, "OrtGetApiBase");
    bool found = strchr(name, '/') == NULL && symbol && dladdr(symbol, &info) && info.dli_fname;
    snprintf(library->path, sizeof library->path, "%s", found ? info.dli_fname : name);
}

/* False when there is nothing of that name to load; `status` tells how it went otherwise. */
static bool try_load(struct ut_ort_library *library, const char *name, utter_status *status,
                     utter_error *err) {
    library->handle = dlopen(name, RTLD_NOW | RTLD_LOCAL | RTLD_NODELETE);
    if (!library->handle) {
        return false;
    }
    name_file(library, name);
    *status = read_table(library, err);
    if (*status != UTTER_OK) {
        dlclose(library->handle);
        library->handle = NULL;
    }
    return true;
}

/* The newest file that fits: the last in the order of names, which is wrong for Python 3.9
 * beside 3.10 only, where either does. */
static bool try_package(struct ut_ort_library *library, const char *prefix, utter_status *status,
                        utter_error *err) {
    static const char *const folders[] = {"site-packages", "dist-packages"};
    bool found = false;
    for (size_t i = 0; i < UT_COUNT(folders) && !found; i++) {
        char pattern[PATH_MAX];
        glob_t files = {0};
        snprintf(pattern, sizeof pattern, "%s/lib/python3*/%s/onnxruntime/capi/" PACKAGE_FILE,
                 prefix, folders[i]);
        if (glob(pattern, 0, NULL, &files) == 0) {
            found = try_load(library, files.gl_pathv[files.gl_pathc - 1], status, err);
        }
        globfree(&files);
    }
    return found;
}

/* ~/.local by the user database: the library does not read the environment. */
static bool try_home(struct ut_ort_library *library, utter_status *status, utter_error *err) {
    char buffer[4096], prefix[PATH_MAX];
    struct passwd entry, *user = NULL;
    if (getpwuid_r(geteuid(), &entry, buffer, sizeof buffer, &user) != 0 || !user) {
        return false;
    }
    snprintf(prefix, sizeof prefix, "%s/.local", user->pw_dir);
    return try_package(library, prefix, status, err);
}

/* The loader's own order first: who installed the library for the system means it to be used. */
static utter_status search(struct ut_ort_library *library, utter_error *err) {
    utter_status status = UTTER_ERROR_NOT_FOUND;
    for (size_t i = 0; i < UT_COUNT(loader_names); i++) {
        if (try_load(library, loader_names[i], &status, err)) {
            return status;
        }
    }
    if (try_package(library, "/usr/local", &status, err) ||
        try_package(library, "/usr", &status, err) || try_home(library, &status, err)) {
        return status;
    }
    return ut_fail(err, status,
                   "ONNX Runtime is not where it is looked for: install it (pip install "
                   "onnxruntime) and name its library, site-packages/onnxruntime/capi/%s, with "
                   "--onnxruntime PATH or in UTTER_ONNXRUNTIME",
                   PACKAGE_FILE);
}

/* A path that was named is the only one tried; without one the usual places are. */
static utter_status load(struct ut_ort_library *library, const char *path, utter_error *err) {
    utter_status status = UTTER_OK;
    if (!path) {
        return search(library, err);
    }
    if (strchr(path, '/') == NULL) {
        /* The loader would look elsewhere than the caller means. */
        return ut_fail(err, UTTER_ERROR_ARGUMENT,
                       "ONNX Runtime's library is '%s': it must be a path, such as ./%s", path,
                       path);
    }
    if (!try_load(library, path, &status, err)) {
        const char *reason = dlerror();
        return ut_fail(err, UTTER_ERROR_NOT_FOUND, "ONNX Runtime cannot be loaded: %s",
                       reason ? reason : path);
    }
    return status;
}

/* The names stay the library's memory and go back to it when it is closed. */
static utter_status read_providers(struct ut_ort_library *library, utter_error *err) {
    const struct ort_entries *ort = &library->entries;
    return ut_ort_check(ort, ort->available_providers(&library->providers, &library->n_providers),
                        UTTER_ERROR_UNSUPPORTED, library->path, err);
}

utter_status ut_ort_library_open(struct ut_mem *mem, const char *path, struct ut_ort_library **out,
                                 utter_error *err) {
    *out = NULL;
    struct ut_ort_library *library = ut_mem_calloc(mem, UT_MEM_OTHER, 1, sizeof *library);
    if (!library) {
        return ut_fail_memory(err, sizeof *library);
    }
    library->mem = mem;
    utter_status status = load(library, path, err);
    status = status ? status : read_providers(library, err);
    if (status != UTTER_OK) {
        ut_ort_library_close(library);
        return status;
    }
    *out = library;
    return UTTER_OK;
}

/* RTLD_NODELETE: dlclose only gives the handle back. */
void ut_ort_library_close(struct ut_ort_library *library) {
    if (!library) {
        return;
    }
    if (library->providers) {
        /* It never fails, its documentation says. */
        (void)library->entries.release_providers(library->providers, library->n_providers);
    }
    if (library->handle) {
        dlclose(library->handle);
    }
    ut_mem_free(library->mem, library);
}

const char *ut_ort_library_version(const struct ut_ort_library *library) {
    return library->version;
}

const char *ut_ort_library_path(const struct ut_ort_library *library) {
    return library->path;
}

size_t ut_ort_provider_count(const struct ut_ort_library *library) {
    return (size_t)library->n_providers;
}

const char *ut_ort_provider_name(const struct ut_ort_library *library, size_t index) {
    return library->providers[index];
}
