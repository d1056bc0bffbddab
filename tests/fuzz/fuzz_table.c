/* Rows of JSON Lines, CSV and TSV; the first byte of the input says which. What is accepted and
 * written as CSV must be read as the same rows, and skipping bad rows must only leave some out. */
#include "host/table.h"
#include "host/text.h"
#include "tests/fuzz/fuzz.h"

#include <stdlib.h>
#include <string.h>

/* A row takes its fields and one byte for each of them (host/table.h): no more than the file has.
 */
static void check_rows(const wh_table *table, size_t file_bytes, size_t file_lines) {
    size_t bytes = 0;
    int64_t before = 0, n = wh_table_rows(table);
    for (int64_t i = 0; i < n; i++) {
        size_t text = 0, pair = 0;
        const char *at = wh_table_text(table, i, &text);
        FUZZ_CHECK(at && at[text] == '\0', "text of row %lld", (long long)i);
        at = wh_table_text_pair(table, i, &pair);
        FUZZ_CHECK(!at || at[pair] == '\0', "pair of row %lld", (long long)i);
        const char *label = wh_table_label(table, i), *client = wh_table_client(table, i);
        FUZZ_CHECK(label && *label, "row %lld has no label", (long long)i);
        FUZZ_CHECK(client && *client, "row %lld has no client", (long long)i);
        int64_t line = wh_table_line(table, i);
        FUZZ_CHECK(line > before && (size_t)line <= file_lines, "row %lld is at line %lld",
                   (long long)i, (long long)line);
        before = line;
        bytes += text + pair;
    }
    /* \ud800-style escapes shrink and nothing grows, but numbers as labels may. */
    FUZZ_CHECK(bytes <= file_bytes, "%zu bytes of text from a file of %zu", bytes, file_bytes);
}

static void add_quoted(wh_text *to, const char *field, size_t n) {
    wh_text_add(to, "\"");
    for (size_t i = 0; i < n; i++) {
        if (field[i] == '"') wh_text_add(to, "\"");
        wh_text_add_n(to, field + i, 1);
    }
    wh_text_add(to, "\"");
}

static void same_field(const char *what, int64_t row, const char *a, size_t n, const char *b,
                       size_t m) {
    FUZZ_CHECK(n == m && memcmp(a, b, n) == 0, "%s of row %lld: \"%s\" came back as \"%s\"", what,
               (long long)row, a, b);
}

static void round_trip(const wh_table *table) {
    weft_error err;
    wh_text csv = {0};
    wh_text_add(&csv, "who,label,pair,text\n");
    for (int64_t i = 0; i < wh_table_rows(table); i++) {
        size_t text = 0, pair = 0;
        const char *a = wh_table_text(table, i, &text), *b = wh_table_text_pair(table, i, &pair);
        const char *label = wh_table_label(table, i), *client = wh_table_client(table, i);
        add_quoted(&csv, client, strlen(client));
        wh_text_add(&csv, ",");
        add_quoted(&csv, label, strlen(label));
        wh_text_add(&csv, ",");
        add_quoted(&csv, b ? b : "", b ? pair : 0);
        wh_text_add(&csv, ",");
        add_quoted(&csv, a, text);
        wh_text_add(&csv, "\r\n");
    }
    FUZZ_CHECK(wh_text_check(&csv, "rows", &err) == WEFT_OK, "%s", err.text);
    wh_table_options options = {.path = fuzz_file("again.csv", csv.data, csv.len),
                                .text_column = "text",
                                .text_pair_column = "pair",
                                .label_column = "label",
                                .client_column = "who"};
    wh_table *again = NULL;
    FUZZ_CHECK(wh_table_open(&again, &options, &err) == WEFT_OK, "%s", err.text);
    FUZZ_CHECK(wh_table_rows(again) == wh_table_rows(table), "%lld rows came back as %lld",
               (long long)wh_table_rows(table), (long long)wh_table_rows(again));
    for (int64_t i = 0; i < wh_table_rows(table); i++) {
        size_t n = 0, m = 0;
        const char *a = wh_table_text(table, i, &n), *b = wh_table_text(again, i, &m);
        same_field("text", i, a, n, b, m);
        a = wh_table_text_pair(table, i, &n), b = wh_table_text_pair(again, i, &m);
        same_field("pair", i, a ? a : "", n, b, m);
        a = wh_table_label(table, i), b = wh_table_label(again, i);
        same_field("label", i, a, strlen(a), b, strlen(b));
        a = wh_table_client(table, i), b = wh_table_client(again, i);
        same_field("client", i, a, strlen(a), b, strlen(b));
    }
    wh_table_close(again);
    wh_text_free(&csv);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    if (size == 0) return 0;
    static const char *const names[] = {"rows.jsonl", "rows.csv", "rows.tsv"};
    const int kind = data[0] % 3;
    const char *text = (const char *)data + 1;
    const size_t bytes = size - 1;
    size_t lines = 1;
    for (size_t i = 0; i < bytes; i++) lines += text[i] == '\n';
    wh_table_options options = {.path = fuzz_file(names[kind], text, bytes),
                                .text_column = "text",
                                .text_pair_column = data[0] & 4 ? "pair" : NULL,
                                .label_column = "label",
                                .client_column = "who",
                                .max_rows = data[0] & 8 ? 3 : 0};
    weft_error err = {0};
    wh_table *strict = NULL, *loose = NULL;
    weft_status st = wh_table_open(&strict, &options, &err);
    if (st != WEFT_OK) fuzz_refused(st, &err, names[kind]);
    options.skip_bad_rows = true;
    err = (weft_error){0};
    weft_status st_loose = wh_table_open(&loose, &options, &err);
    if (st_loose == WEFT_OK) {
        check_rows(loose, bytes, lines);
        FUZZ_CHECK((wh_table_skipped(loose) > 0) == (st != WEFT_OK),
                   "%lld rows skipped, strict: %s", (long long)wh_table_skipped(loose),
                   weft_status_str(st));
        FUZZ_CHECK(!strchr(wh_table_first_skipped(loose), '\n'), "not one line: %s",
                   wh_table_first_skipped(loose));
        round_trip(loose);
    } else {
        fuzz_refused(st_loose, &err, names[kind]);
        FUZZ_CHECK(st != WEFT_OK, "skipping bad rows failed where nothing was bad: %s", err.text);
    }
    if (strict) FUZZ_CHECK(wh_table_rows(strict) == wh_table_rows(loose), "rows differ");
    wh_table_close(strict);
    wh_table_close(loose);
    return 0;
}
