#include "host/sweep.h"

#include "host/grow.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

enum { MAX_NAME = 100 }; /* characters before the hash: file systems end at 255 */

static weft_status no_memory(weft_error *err) {
    return WEFT_FAIL(err, WEFT_E_MEM, "out of memory while reading the sweep");
}

void wh_sweep_free(wh_sweep *s) {
    for (size_t i = 0; i < s->n_sets; i++) free(s->set[i].value);
    free(s->set);
    free(s->choice);
    free(s->axis);
    *s = (wh_sweep){0};
}

/* ---- building ---- */

weft_status wh_sweep_add_axis(wh_sweep *s, bool is_list, weft_error *err) {
    if (!wh_grow((void **)&s->axis, &s->axis_cap, s->n_axes + 1, sizeof *s->axis))
        return no_memory(err);
    s->axis[s->n_axes++] = (wh_sweep_axis){.first = s->n_choices, .is_list = is_list};
    return WEFT_OK;
}

weft_status wh_sweep_add_choice(wh_sweep *s, weft_error *err) {
    wh_sweep_axis *axis = &s->axis[s->n_axes - 1];
    if (axis->n == WH_SWEEP_MAX_POINTS)
        return WEFT_FAIL(err, WEFT_E_CONFIG, "a sweep has at most %d points", WH_SWEEP_MAX_POINTS);
    if (!wh_grow((void **)&s->choice, &s->choice_cap, s->n_choices + 1, sizeof *s->choice))
        return no_memory(err);
    s->choice[s->n_choices++] = (wh_sweep_choice){.first = s->n_sets};
    axis->n++;
    return WEFT_OK;
}

static const wh_sweep_set *find_set(const wh_sweep *s, const wh_sweep_choice *c,
                                    const weft_option *option) {
    for (size_t i = 0; i < c->n; i++)
        if (s->set[c->first + i].option == option) return &s->set[c->first + i];
    return NULL;
}

/* Whether an axis other than the last one, or the choice being built, sets the option. Choices of a
 * grid's key all set the same, those of the list what they like. */
static bool is_taken(const wh_sweep *s, const weft_option *option) {
    for (size_t a = 0; a + 1 < s->n_axes; a++) {
        const wh_sweep_axis *axis = &s->axis[a];
        for (size_t c = 0; c < (axis->is_list ? axis->n : 1); c++)
            if (find_set(s, &s->choice[axis->first + c], option)) return true;
    }
    return find_set(s, &s->choice[s->n_choices - 1], option) != NULL;
}

static weft_status note_key(wh_sweep *s, const weft_option *option, weft_error *err) {
    for (int i = 0; i < s->n_keys; i++)
        if (s->key[i] == option) return WEFT_OK;
    if (s->n_keys == WH_SWEEP_MAX_KEYS)
        return WEFT_FAIL(err, WEFT_E_CONFIG, "a sweep varies at most %d options",
                         WH_SWEEP_MAX_KEYS);
    s->key[s->n_keys++] = option;
    return WEFT_OK;
}

weft_status wh_sweep_add_set(wh_sweep *s, const weft_option *option, const char *value,
                             weft_error *err) {
    if (strcmp(option->key, "run.name") == 0 || strcmp(option->key, "run.output_dir") == 0)
        return WEFT_FAIL(err, WEFT_E_CONFIG,
                         "%s cannot be swept: the points' folders are named by what they set",
                         option->key);
    if (is_taken(s, option))
        return WEFT_FAIL(err, WEFT_E_CONFIG, "a point would set %s twice", option->key);
    WEFT_TRY(note_key(s, option, err));
    if (!wh_grow((void **)&s->set, &s->set_cap, s->n_sets + 1, sizeof *s->set))
        return no_memory(err);
    char *copy = strdup(value);
    if (!copy) return no_memory(err);
    s->set[s->n_sets++] = (wh_sweep_set){.option = option, .value = copy};
    s->choice[s->n_choices - 1].n++;
    return WEFT_OK;
}

static bool same_choice(const wh_sweep *s, const wh_sweep_choice *a, const wh_sweep_choice *b) {
    if (a->n != b->n) return false;
    for (size_t i = 0; i < a->n; i++) {
        const wh_sweep_set *set = &s->set[a->first + i], *other = find_set(s, b, set->option);
        if (!other || strcmp(set->value, other->value) != 0) return false;
    }
    return true;
}

weft_status wh_sweep_end_choice(wh_sweep *s, weft_error *err) {
    const wh_sweep_axis *axis = &s->axis[s->n_axes - 1];
    const wh_sweep_choice *last = &s->choice[s->n_choices - 1];
    for (size_t c = 0; c + 1 < axis->n; c++) {
        if (!same_choice(s, &s->choice[axis->first + c], last)) continue;
        if (axis->is_list)
            return WEFT_FAIL(err, WEFT_E_CONFIG, "the same as entry %zu of the list", c + 1);
        return WEFT_FAIL(err, WEFT_E_CONFIG, "the value %.80s is given twice",
                         s->set[last->first].value);
    }
    return WEFT_OK;
}

weft_status wh_sweep_finish(wh_sweep *s, weft_error *err) {
    int64_t n = 1;
    if (s->n_axes == 0) return WEFT_FAIL(err, WEFT_E_CONFIG, "the sweep names no option to vary");
    for (size_t a = 1; a < s->n_axes; a++) {
        if (!s->axis[a].is_list) continue;
        wh_sweep_axis list = s->axis[a]; /* to the front: it varies slowest */
        memmove(&s->axis[1], &s->axis[0], a * sizeof list);
        s->axis[0] = list;
    }
    for (size_t a = 0; a < s->n_axes; a++) {
        n *= (int64_t)s->axis[a].n; /* each has at most WH_SWEEP_MAX_POINTS */
        if (n > WH_SWEEP_MAX_POINTS)
            return WEFT_FAIL(err, WEFT_E_CONFIG,
                             "the combinations of the sweep are more than %d points: take fewer "
                             "values, or several job files",
                             WH_SWEEP_MAX_POINTS);
    }
    s->n_points = n;
    return WEFT_OK;
}

/* ---- points ---- */

int wh_sweep_point(const wh_sweep *s, int64_t index, const wh_sweep_set *set[WH_SWEEP_MAX_KEYS]) {
    int n = 0;
    int64_t stride = s->n_points;
    for (size_t a = 0; a < s->n_axes; a++) {
        const wh_sweep_axis *axis = &s->axis[a];
        stride /= (int64_t)axis->n;
        const wh_sweep_choice *c = &s->choice[axis->first + (size_t)(index / stride)];
        index %= stride;
        for (size_t i = 0; i < c->n; i++) set[n++] = &s->set[c->first + i];
    }
    return n;
}

void wh_sweep_words(wh_text *out, const wh_sweep *s, int64_t index) {
    const wh_sweep_set *set[WH_SWEEP_MAX_KEYS];
    const int n = wh_sweep_point(s, index, set);
    for (int i = 0; i < n; i++) {
        wh_text word = {0};
        wh_text_addf(&word, "%s=%s", set[i]->option->key, set[i]->value);
        wh_text_add(out, i ? " " : "");
        if (word.failed) out->failed = true;
        if (word.data) wh_text_add_shell_word(out, word.data);
        wh_text_free(&word);
    }
}

/* "learning_rate" of client.learning_rate, unless the sweep also varies that of another section. */
static const char *short_key(const wh_sweep *s, const weft_option *option) {
    const char *dot = strrchr(option->key, '.');
    if (!dot) return option->key;
    for (int i = 0; i < s->n_keys; i++) {
        const char *other = strrchr(s->key[i]->key, '.');
        if (s->key[i] != option && other && strcmp(other, dot) == 0) return option->key;
    }
    return dot + 1;
}

static uint64_t hash(uint64_t h, const char *text) { /* FNV-1a, with the terminating zero */
    do {
        h = (h ^ (unsigned char)*text) * UINT64_C(0x100000001b3);
    } while (*text++);
    return h;
}

void wh_sweep_name(wh_text *out, const wh_sweep *s, int64_t index) {
    static const char plain[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.+-";
    const wh_sweep_set *set[WH_SWEEP_MAX_KEYS];
    const int n = wh_sweep_point(s, index, set);
    uint64_t h = UINT64_C(0xcbf29ce484222325);
    bool exact = true;
    wh_text name = {0};
    for (int i = 0; i < n; i++) {
        wh_text_addf(&name, "%s%s-", i ? "_" : "", short_key(s, set[i]->option));
        for (const char *c = set[i]->value; *c; c++) {
            const bool fits = strchr(plain, *c) != NULL;
            wh_text_add_n(&name, fits ? c : "-", 1);
            exact = exact && fits;
        }
        h = hash(hash(h, set[i]->option->key), set[i]->value);
    }
    if (n == 0) wh_text_add(&name, "base");
    if (name.failed) {
        out->failed = true;
    } else if (exact && name.len <= MAX_NAME) {
        wh_text_add(out, name.data);
    } else {
        wh_text_add_n(out, name.data, name.len < MAX_NAME ? name.len : MAX_NAME);
        wh_text_addf(out, "-%016" PRIx64, h);
    }
    wh_text_free(&name);
}
