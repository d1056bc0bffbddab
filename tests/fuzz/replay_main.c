/* Runs the files of a corpus through a fuzz target, for compilers without libFuzzer and for CI:
 * replay FILE-OR-FOLDER… An empty corpus is a failure, so that a lost one cannot pass. The file
 * that fails is the last one named on stderr. */
#include "tests/fuzz/fuzz.h"

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static int n_files;

static void run_file(const char *path) {
    size_t size = 0;
    char *data = fuzz_read(path, &size);
    /* A block of exactly this size, so that a read past it shows. */
    uint8_t *exact = malloc(size ? size : 1);
    FUZZ_CHECK(exact, "no memory for %s", path);
    memcpy(exact, data, size);
    free(data);
    (void)fprintf(stderr, "%s\n", path);
    (void)LLVMFuzzerTestOneInput(exact, size);
    free(exact);
    n_files++;
}

static void run_folder(const char *path) {
    struct dirent **entries = NULL;
    int n = scandir(path, &entries, NULL, alphasort);
    FUZZ_CHECK(n >= 0, "%s cannot be read", path);
    for (int i = 0; i < n; i++) {
        char file[4096];
        struct stat info;
        (void)snprintf(file, sizeof file, "%s/%s", path, entries[i]->d_name);
        if (stat(file, &info) == 0 && S_ISREG(info.st_mode)) run_file(file);
        free(entries[i]);
    }
    free(entries);
}

int main(int argc, char **argv) {
    (void)alarm(300); /* an input that takes for ever is a failure too */
    for (int i = 1; i < argc; i++) {
        struct stat info;
        FUZZ_CHECK(stat(argv[i], &info) == 0, "%s is not there", argv[i]);
        S_ISDIR(info.st_mode) ? run_folder(argv[i]) : run_file(argv[i]);
    }
    if (n_files == 0) {
        (void)fprintf(stderr, "%s: no corpus files\n", argv[0]);
        return 1;
    }
    (void)printf("%d corpus files\n", n_files);
    return 0;
}
