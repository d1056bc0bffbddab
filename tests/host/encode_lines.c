/* Prints the token ids of texts, for comparisons with other tokenizers
 * (tests/live/tokenizer_parity.py).
 *
 *   encode_lines FOLDER [--sized] [--pairs] [--max N] [--repeat N] < texts
 *
 * One text a line; --sized: each text is its length in bytes, a newline, and the bytes. --pairs:
 * two texts make one pair. Prints "id id ...|type type ..." for each, and texts per second on
 * stderr. */
#include "host/tokenizer.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

typedef struct {
    char *bytes;
    size_t len;
} text;

static void die(const char *why) {
    fprintf(stderr, "encode_lines: %s\n", why);
    exit(2);
}

static text next_text(bool sized, bool *end) {
    char *line = NULL;
    size_t cap = 0;
    ssize_t got = getline(&line, &cap, stdin);
    *end = got < 0;
    if (*end) {
        free(line);
        return (text){0};
    }
    if (got > 0 && line[got - 1] == '\n') line[--got] = '\0';
    if (!sized) return (text){line, (size_t)got};
    size_t len = strtoul(line, NULL, 10);
    free(line);
    char *bytes = malloc(len + 1);
    if (!bytes || fread(bytes, 1, len, stdin) != len) die("short input");
    return (text){bytes, len};
}

static double cpu_seconds(void) {
    struct timespec t;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
    return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

static void print(const wh_encoding *e) {
    for (size_t i = 0; i < e->len; i++) printf("%s%" PRId32, i ? " " : "", e->ids[i]);
    putchar('|');
    for (size_t i = 0; i < e->len; i++) printf("%s%" PRId32, i ? " " : "", e->type_ids[i]);
    putchar('\n');
}

int main(int argc, char **argv) {
    bool sized = false, pairs = false;
    int32_t max_len = 0;
    long repeat = 1;
    for (int i = 2; i < argc; i++) {
        if (strcmp(argv[i], "--sized") == 0)
            sized = true;
        else if (strcmp(argv[i], "--pairs") == 0)
            pairs = true;
        else if (strcmp(argv[i], "--max") == 0 && i + 1 < argc)
            max_len = (int32_t)strtol(argv[++i], NULL, 10);
        else if (strcmp(argv[i], "--repeat") == 0 && i + 1 < argc)
            repeat = strtol(argv[++i], NULL, 10);
        else
            die("usage: encode_lines FOLDER [--sized] [--pairs] [--max N] [--repeat N]");
    }
    if (argc < 2) die("usage: encode_lines FOLDER ...");
    weft_error err = {0};
    wh_tokenizer *tokenizer = NULL;
    double start = cpu_seconds();
    if (wh_tokenizer_open(&tokenizer, argv[1], &err) != WEFT_OK) die(err.text);
    double opened = cpu_seconds();

    text *texts = NULL;
    size_t n = 0, cap = 0;
    for (bool end = false;;) {
        text t = next_text(sized, &end);
        if (end) break;
        if (n == cap) {
            cap = cap ? cap * 2 : 1024;
            texts = realloc(texts, cap * sizeof *texts);
            if (!texts) die("no memory");
        }
        texts[n++] = t;
    }
    size_t step = pairs ? 2 : 1, count = 0;
    wh_encoding e = {0};
    double began = cpu_seconds();
    for (long r = 0; r < repeat; r++)
        for (size_t i = 0; i + step <= n; i += step, count++) {
            const text *b = pairs ? &texts[i + 1] : NULL;
            if (wh_tokenizer_encode(tokenizer, texts[i].bytes, texts[i].len, b ? b->bytes : NULL,
                                    b ? b->len : 0, max_len, &e, &err) != WEFT_OK)
                die(err.text);
            if (r == 0) print(&e);
        }
    double seconds = cpu_seconds() - began;
    fprintf(stderr, "%zu texts in %.3f CPU seconds, %.0f a second; opened in %.1f ms\n", count,
            seconds, (double)count / (seconds > 0 ? seconds : 1e-9), (opened - start) * 1e3);
    for (size_t i = 0; i < n; i++) free(texts[i].bytes);
    free(texts);
    wh_encoding_free(&e);
    wh_tokenizer_close(tokenizer);
    return 0;
}
