#include "host/run_folder.h"

#include "host/atomic_file.h"
#include "host/json_util.h"
#include "host/text.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

struct wh_run_folder {
    char *path;
};

/* The file that marks a folder as ours: the first one written into it. */
static const char marker[] = "config.resolved.yaml";

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

/* Removes what an open folder holds; follows no links, so nothing outside can go. Closes fd. */
static int remove_content(int fd, int depth) {
    DIR *dir = fdopendir(fd);
    if (!dir) {
        (void)close(fd);
        return -1;
    }
    int rc = depth > 16 ? (errno = ELOOP, -1) : 0;
    for (struct dirent *e; rc == 0 && (e = readdir(dir)) != NULL;) {
        struct stat info;
        if (strcmp(e->d_name, ".") == 0 || strcmp(e->d_name, "..") == 0) continue;
        rc = fstatat(fd, e->d_name, &info, AT_SYMLINK_NOFOLLOW);
        if (rc == 0 && S_ISDIR(info.st_mode)) {
            int inner = openat(fd, e->d_name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
            rc = inner < 0 ? -1 : remove_content(inner, depth + 1);
            if (rc == 0) rc = unlinkat(fd, e->d_name, AT_REMOVEDIR);
        } else if (rc == 0) {
            rc = unlinkat(fd, e->d_name, 0);
        }
    }
    int why = errno;
    (void)closedir(dir);
    errno = why;
    return rc;
}

static bool is_empty(const char *path) {
    DIR *dir = opendir(path);
    if (!dir) return false;
    bool empty = true;
    for (struct dirent *e; (e = readdir(dir)) != NULL;)
        if (strcmp(e->d_name, ".") != 0 && strcmp(e->d_name, "..") != 0) empty = false;
    (void)closedir(dir);
    return empty;
}

static weft_status take_existing(const char *path, bool overwrite, weft_error *err) {
    struct stat info;
    if (stat(path, &info) != 0 || !S_ISDIR(info.st_mode))
        return WEFT_FAIL(err, WEFT_E_OUTPUT, "cannot make run folder %s: a file has that name",
                         path);
    if (is_empty(path)) return WEFT_OK;
    if (!overwrite)
        return WEFT_FAIL(err, WEFT_E_OUTPUT,
                         "run folder %s exists: give another run.name or set run.overwrite=true",
                         path);
    char *mark = wh_path_join(path, marker);
    bool ours = mark && stat(mark, &info) == 0;
    free(mark);
    if (!ours)
        return WEFT_FAIL(
            err, WEFT_E_OUTPUT,
            "folder %s exists and is not a run folder (no %s in it), so run.overwrite does "
            "not replace it",
            path, marker);
    int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0 || remove_content(fd, 0) != 0)
        return WEFT_FAIL(err, WEFT_E_OUTPUT, "cannot empty the old run folder %s: %s", path,
                         strerror(errno));
    return WEFT_OK;
}

/* ---- the folder ---- */

weft_status wh_run_folder_create(wh_run_folder **out, const char *output_dir, const char *name,
                                 bool overwrite, weft_error *err) {
    if (!*name || strchr(name, '/') || strcmp(name, ".") == 0 || strcmp(name, "..") == 0)
        return WEFT_FAIL(err, WEFT_E_CONFIG,
                         "run.name=%s must be a plain name: folders go into run.output_dir", name);
    WEFT_TRY(wh_folder_make(*output_dir ? output_dir : ".", err));
    wh_run_folder *run = calloc(1, sizeof *run);
    if (run) run->path = wh_path_join(*output_dir ? output_dir : ".", name);
    weft_status st = WEFT_OK;
    if (!run || !run->path)
        st = WEFT_FAIL(err, WEFT_E_MEM, "out of memory while making run folder %s", name);
    else if (mkdir(run->path, 0777) != 0) /* of two runs that want the name, one gets it */
        st = errno == EEXIST ? take_existing(run->path, overwrite, err)
                             : WEFT_FAIL(err, WEFT_E_OUTPUT, "cannot make run folder %s: %s",
                                         run->path, strerror(errno));
    if (st != WEFT_OK) {
        wh_run_folder_close(run);
        return st;
    }
    *out = run;
    return WEFT_OK;
}

void wh_run_folder_close(wh_run_folder *run) {
    if (!run) return;
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

/* Plain words stay as they are; the rest goes into single quotes. */
static void add_quoted(wh_text *text, const char *word) {
    static const char plain[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"
                                "_-./=:,@%+";
    if (*word && word[strspn(word, plain)] == '\0') {
        wh_text_add(text, word);
        return;
    }
    wh_text_add(text, "'");
    for (; *word; word++) {
        if (*word == '\'')
            wh_text_add(text, "'\\''");
        else
            wh_text_add_n(text, word, 1);
    }
    wh_text_add(text, "'");
}

weft_status wh_run_folder_write_command(const wh_run_folder *run, int argc, char *const *argv,
                                        weft_error *err) {
    wh_text text = {0};
    char here[4096];
    if (getcwd(here, sizeof here)) {
        wh_text_add(&text, "cd ");
        add_quoted(&text, here);
        wh_text_add(&text, "\n");
    }
    for (int i = 0; i < argc; i++) {
        if (i) wh_text_add(&text, " ");
        add_quoted(&text, argv[i]);
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
