#include "host/run_folder.h"

#include "host/atomic_file.h"
#include "host/folder.h"
#include "host/json_util.h"
#include "host/shell.h"
#include "host/text.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

struct wh_run_folder {
    char *path;
    int lock; /* -1: the file system has none */
};

/* The file that marks a folder as ours: the first one written into it. */
static const char marker[] = "config.resolved.yaml";
/* Held while a process works in the folder. */
static const char lock_name[] = ".lock";

/* ---- the name ---- */

static void add_clean(wh_text *name, const char *part) {
    if (!part || !*part) part = "none";
    for (; *part; part++) {
        char c = *part;
        bool plain = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
                     c == '.' || c == '-';
        wh_text_add_n(name, plain ? part : "-", 1);
    }
}

/* 16 rather than 16.0 */
static void add_short_real(wh_text *name, double value) {
    char number[WH_NUMBER_TEXT];
    size_t n = strlen(wh_real_text(number, value));
    if (n > 2 && strcmp(number + n - 2, ".0") == 0) number[n - 2] = '\0';
    wh_text_add(name, number);
}

char *wh_run_name(const wh_run_title *t, time_t now) {
    wh_text name = {0};
    add_clean(&name, t->model);
    wh_text_add(&name, "_");
    add_clean(&name, t->dataset);
    wh_text_add(&name, "_");
    add_clean(&name, t->strategy);
    wh_text_addf(&name,
                 "_c%" PRId32 "s%" PRId32 "_%c%" PRId64 "_b%" PRId32 "a%" PRId32 "_l%" PRId32
                 "_r%" PRId32 "a",
                 t->n_clients, t->cohort, t->local_steps ? 'i' : 'e',
                 t->local_steps ? t->local_steps : t->local_epochs, t->batch_size, t->accumulation,
                 t->max_length, t->r);
    add_short_real(&name, t->alpha);
    struct tm utc = {0};
    char stamp[32] = "0";
    if (gmtime_r(&now, &utc)) (void)strftime(stamp, sizeof stamp, "%Y%m%d%H%M%S", &utc);
    wh_text_addf(&name, "_%s", stamp);
    return wh_text_take(&name);
}

/* ---- replacing an old run ---- */

static weft_status only_leftovers(void *ud, const char *name, weft_error *err) {
    bool *only = ud;
    (void)err;
    if (!wh_is_temporary(name) && strcmp(name, lock_name) != 0) *only = false;
    return WEFT_OK;
}

/* Nothing in it, or what a run that was killed at its very start left. */
static bool is_empty(const char *path) {
    bool only = true;
    return wh_folder_each(path, only_leftovers, &only, NULL) == WEFT_OK && only;
}

static bool is_ours(const char *path) {
    return wh_folder_has(path, marker);
}

static weft_status check_existing(const char *path, bool overwrite, weft_error *err) {
    struct stat info;
    if (stat(path, &info) != 0 || !S_ISDIR(info.st_mode))
        return WEFT_FAIL(err, WEFT_E_OUTPUT, "cannot make run folder %s: a file has that name",
                         path);
    if (is_empty(path)) return WEFT_OK;
    if (!overwrite)
        return WEFT_FAIL(err, WEFT_E_OUTPUT,
                         "run folder %s exists: go on with it (--resume auto), give another "
                         "run.name or set run.overwrite=true",
                         path);
    if (!is_ours(path))
        return WEFT_FAIL(
            err, WEFT_E_OUTPUT,
            "folder %s exists and is not a run folder (no %s in it), so it is not replaced", path,
            marker);
    return WEFT_OK;
}

/* ---- the folder ---- */

static weft_status take_lock(wh_run_folder *run, weft_error *err) {
    char *path = wh_path_join(run->path, lock_name);
    weft_status st = path ? wh_lock_take(&run->lock, path, err)
                          : WEFT_FAIL(err, WEFT_E_MEM, "out of memory for %s", run->path);
    free(path);
    return st;
}

/* A handle without a folder behind it yet; takes the path. */
static weft_status new_handle(wh_run_folder **out, char *path, weft_error *err) {
    wh_run_folder *run = path ? calloc(1, sizeof *run) : NULL;
    if (!run) {
        free(path);
        return WEFT_FAIL(err, WEFT_E_MEM, "out of memory for the run folder");
    }
    run->path = path, run->lock = -1;
    *out = run;
    return WEFT_OK;
}

weft_status wh_run_folder_create(wh_run_folder **out, const char *output_dir, const char *name,
                                 bool overwrite, weft_error *err) {
    if (!*name || strchr(name, '/') || strcmp(name, ".") == 0 || strcmp(name, "..") == 0)
        return WEFT_FAIL(err, WEFT_E_CONFIG,
                         "run.name=%s must be a plain name: folders go into run.output_dir", name);
    if (!*output_dir) output_dir = ".";
    WEFT_TRY(wh_folder_make(output_dir, err));
    wh_run_folder *run = NULL;
    WEFT_TRY(new_handle(&run, wh_path_join(output_dir, name), err));
    weft_status st = WEFT_OK;
    bool existed = mkdir(run->path, 0777) != 0; /* of two runs that want the name, one gets it */
    if (existed && errno != EEXIST)
        st = WEFT_FAIL(err, WEFT_E_OUTPUT, "cannot make run folder %s: %s", run->path,
                       strerror(errno));
    else if (existed)
        st = check_existing(run->path, overwrite, err);
    if (st == WEFT_OK) st = take_lock(run, err);
    if (st == WEFT_OK && existed) st = wh_folder_remove(run->path, false, lock_name, err);
    if (st != WEFT_OK) {
        wh_run_folder_close(run);
        return st;
    }
    *out = run;
    return WEFT_OK;
}

static weft_status remove_leftover(void *ud, const char *name, weft_error *err) {
    const wh_run_folder *run = ud;
    if (!wh_is_temporary(name)) return WEFT_OK;
    char *path = wh_path_join(run->path, name);
    if (!path) return WEFT_FAIL(err, WEFT_E_MEM, "out of memory for %s", run->path);
    (void)unlink(path);
    free(path);
    return WEFT_OK;
}

weft_status wh_run_folder_open(wh_run_folder **out, const char *path, weft_error *err) {
    if (!is_ours(path))
        return WEFT_FAIL(err, WEFT_E_RESUME, "%s is not a run folder: there is no %s in it", path,
                         marker);
    wh_run_folder *run = NULL;
    WEFT_TRY(new_handle(&run, strdup(path), err));
    weft_status st = take_lock(run, err);
    if (st == WEFT_OK) st = wh_folder_each(path, remove_leftover, run, err);
    if (st != WEFT_OK) {
        wh_run_folder_close(run);
        return st;
    }
    *out = run;
    return WEFT_OK;
}

void wh_run_folder_close(wh_run_folder *run) {
    if (!run) return;
    wh_lock_release(run->lock);
    free(run->path);
    free(run);
}

const char *wh_run_folder_path(const wh_run_folder *run) {
    return run->path;
}

char *wh_run_folder_file(const wh_run_folder *run, const char *name) {
    return wh_path_join(run->path, name);
}

weft_status wh_run_folder_write(const wh_run_folder *run, const char *name, const char *text,
                                weft_error *err) {
    char *path = wh_run_folder_file(run, name);
    if (!path) return WEFT_FAIL(err, WEFT_E_MEM, "out of memory while writing %s", name);
    weft_status st = wh_file_write(path, text, strlen(text), err);
    free(path);
    return st;
}

weft_status wh_run_folder_write_json(const wh_run_folder *run, const char *name,
                                     const json_t *value, weft_error *err) {
    char *path = wh_run_folder_file(run, name);
    if (!path) return WEFT_FAIL(err, WEFT_E_MEM, "out of memory while writing %s", name);
    weft_status st = wh_json_save(path, value, err);
    free(path);
    return st;
}

/* Those that worked in the folder before. */
static weft_status old_commands(const wh_run_folder *run, wh_text *text, weft_error *err) {
    enum { MOST = 1 << 20 };
    char *path = wh_run_folder_file(run, "command.txt"), *old = NULL;
    size_t bytes = 0;
    if (!path) return WEFT_FAIL(err, WEFT_E_MEM, "out of memory while writing command.txt");
    if (wh_file_read(&old, &bytes, path, MOST, NULL) == WEFT_OK) wh_text_add_n(text, old, bytes);
    free(old);
    free(path);
    return WEFT_OK;
}

weft_status wh_run_folder_write_command(const wh_run_folder *run, int argc, char *const *argv,
                                        weft_error *err) {
    wh_text text = {0};
    char here[4096];
    WEFT_TRY(old_commands(run, &text, err));
    if (getcwd(here, sizeof here)) {
        wh_text_add(&text, "cd ");
        wh_shell_add(&text, here);
        wh_text_add(&text, "\n");
    }
    for (int i = 0; i < argc; i++) {
        if (i) wh_text_add(&text, " ");
        wh_shell_add(&text, argv[i]);
    }
    wh_text_add(&text, "\n");
    weft_status st = wh_text_check(&text, "command.txt", err);
    if (st == WEFT_OK) st = wh_run_folder_write(run, "command.txt", text.data, err);
    wh_text_free(&text);
    return st;
}

weft_status wh_run_folder_write_env(const wh_run_folder *run, const weft_engine_info *info,
                                    weft_error *err) {
    json_t *env = wh_environment(info);
    if (!env) return WEFT_FAIL(err, WEFT_E_MEM, "out of memory while writing env.json");
    weft_status st = wh_run_folder_write_json(run, "env.json", env, err);
    json_decref(env);
    return st;
}
