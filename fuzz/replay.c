/* Runs a target over the files of a folder, without a fuzzer: past findings and the seeds of the
 * corpus as an ordinary test. Usage: replay FOLDER. Fails when there is no file. */
#include <dirent.h>

#include "fuzz.h"
#include "support/byte_buffer.h"

int main(int argc, char **argv) {
    DIR *folder = argc == 2 ? opendir(argv[1]) : NULL;
    size_t n_files = 0;
    if (!folder) {
        fprintf(stderr, "usage: replay FOLDER\n");
        return 1;
    }
    for (struct dirent *entry; (entry = readdir(folder));) {
        if (entry->d_name[0] == '.') {
            continue;
        }
        struct byte_buffer path = {0}, file = {0};
        byte_buffer_printf(&path, "%s/%s%c", argv[1], entry->d_name, '\0');
        byte_buffer_read_file(&file, (const char *)path.data);
        fprintf(stderr, "%s\n", entry->d_name); /* whose fault it was, should it end here */
        LLVMFuzzerTestOneInput(file.data, file.n);
        byte_buffer_free(&file);
        byte_buffer_free(&path);
        n_files++;
    }
    closedir(folder);
    printf("%zu files\n", n_files);
    return n_files == 0;
}
