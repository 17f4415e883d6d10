/* Which file of settings is read. The reader is chosen here: JSON is the only format so far. */
#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cli.h"
#include "settings.h"

enum { MAX_FILE_BYTES = 1 << 20 };

/* The user's own, if it is there. A relative XDG_CONFIG_HOME is to be ignored, says its
 * specification. */
static const char *standard_file(char path[PATH_MAX]) {
    const char *folder = getenv("XDG_CONFIG_HOME"), *home = getenv("HOME");
    int n = -1;
    if (folder && folder[0] == '/') {
        n = snprintf(path, PATH_MAX, "%s/utter/config.json", folder);
    } else if (home && home[0] == '/') {
        n = snprintf(path, PATH_MAX, "%s/.config/utter/config.json", home);
    }
    bool absent = n < 0 || n >= PATH_MAX || (access(path, F_OK) != 0 && errno == ENOENT);
    return absent ? NULL : path;
}

/* A file that was named must be there; the standard one need not be. */
bool settings_read_file(struct settings *settings, const char *config) {
    char standard[PATH_MAX];
    struct cli_text text;
    const char *path = config ? config : getenv("UTTER_CONFIG");
    path = path ? path : standard_file(standard);
    if (!path || !*path) {
        return true;
    }
    if (!cli_read_file("the settings", path, MAX_FILE_BYTES, &text)) {
        return false; /* the message was printed */
    }
    bool ok = settings_read_json(settings, path, text.bytes, text.n);
    free(text.bytes);
    return ok;
}
