/* Hidden states of every layer on the test rows of a job, for comparisons with other programs
 * (tests/live/parity.py).
 *
 *   dump_hidden ADAPTER JOB OUT
 *
 * Evaluates as `weft eval ADAPTER JOB` does and writes raw arrays into the folder OUT, the rows
 * back to back without padding: tokens.i32 and types.i32 (T), hidden.0.f32 (T, D) after the
 * embeddings, hidden.L.f32 after layer L. */
#include "engine/engine.h"
#include "host/job.h"
#include "kernels/dev.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

typedef struct dump {
    const char *folder;
    FILE **file; /* (layers+1), open while packs pass */
    weft_engine *engine;
    float *buffer;
    int64_t capacity;
} dump;

static _Noreturn void die(const char *what) {
    fprintf(stderr, "dump_hidden: %s\n", what);
    exit(2);
}

static void check(weft_status st, const weft_error *err) {
    if (st != WEFT_OK) die(err->text);
}

static void write_all(FILE *f, const void *data, size_t size, size_t n) {
    if (fwrite(data, size, n, f) != n) die("cannot write");
}

static FILE *create(const dump *d, const char *name, int number, const char *suffix) {
    char path[4096];
    int n = number < 0
                ? snprintf(path, sizeof path, "%s/%s.%s", d->folder, name, suffix)
                : snprintf(path, sizeof path, "%s/%s.%d.%s", d->folder, name, number, suffix);
    if (n < 0 || (size_t)n >= sizeof path) die("OUT is too long");
    FILE *f = fopen(path, "wb");
    if (!f) die("cannot create files in OUT");
    return f;
}

static void finish(FILE *f) {
    if (fclose(f) != 0) die("cannot write");
}

/* Called for each pack; packs come in the order of the rows. */
static void watch(void *ud, const char *name, int32_t layer, wk_tensor t) {
    dump *d = ud;
    if (strcmp(name, "embeddings") != 0 && strcmp(name, "layer") != 0) return;
    int64_t n = wk_numel(t);
    if (n > d->capacity) {
        free(d->buffer);
        d->buffer = malloc((size_t)n * sizeof *d->buffer);
        if (!d->buffer) die("out of memory");
        d->capacity = n;
    }
    check(wk_download(d->engine->dev, d->buffer, t), &d->engine->ctx.err);
    write_all(d->file[layer + 1], d->buffer, sizeof *d->buffer, (size_t)n);
}

static void write_rows(const dump *d, const weft_rows *rows) {
    size_t n = (size_t)rows->offset[rows->n_rows];
    FILE *tokens = create(d, "tokens", -1, "i32"), *types = create(d, "types", -1, "i32");
    write_all(tokens, rows->token, sizeof *rows->token, n);
    for (size_t i = 0; i < n; i++) {
        int32_t type = rows->type ? rows->type[i] : 0;
        write_all(types, &type, sizeof type, 1);
    }
    finish(tokens);
    finish(types);
}

int main(int argc, char **argv) {
    if (argc != 4) die("usage: dump_hidden ADAPTER JOB OUT");
    static wh_cli cli; /* too large for a stack frame */
    cli.quiet = true;
    weft_error err = {0};
    wh_job job;
    dump d = {.folder = argv[3]};
    check(wh_job_open(&job, argv[2], &cli, WH_JOB_WEIGHTS | WH_JOB_TEST, &err), &err);
    if (!job.has_test) die("the job has no data.test");
    weft_engine_options options = wh_job_engine_options(&job);
    check(weft_engine_open(&d.engine, &options, &err), &err);
    check(wh_job_import_adapter(&job, d.engine, argv[1], &err), &err);

    int layers = d.engine->model.hp.layers;
    d.file = calloc((size_t)layers + 1, sizeof(FILE *));
    if (!d.file) die("out of memory");
    for (int l = 0; l <= layers; l++) d.file[l] = create(&d, "hidden", l, "f32");
    d.engine->model.watch = watch;
    d.engine->model.watch_ud = &d;
    weft_eval_options eval = {.split = WEFT_SPLIT_TEST};
    weft_metrics metrics;
    check(weft_engine_eval(d.engine, &eval, &metrics, &err), &err);
    for (int l = 0; l <= layers; l++) finish(d.file[l]);
    write_rows(&d, &job.test.rows);

    free(d.file);
    free(d.buffer);
    weft_engine_close(d.engine);
    wh_job_close(&job);
    return 0;
}
