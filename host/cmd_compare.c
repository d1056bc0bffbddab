/* weft compare: several finished runs side by side, from their summary.json; drawn from their
 * metrics. */
#include "host/atomic_file.h"
#include "host/compare_page.h"
#include "host/compare_table.h"
#include "host/output.h"
#include "host/verbs.h"

#include <string.h>

static weft_status print_table(json_t *const *runs, int n, weft_error *err) {
    wh_text text = {0};
    const weft_status st = wh_compare_table(&text, runs, n, NULL, err);
    if (st == WEFT_OK) return wh_output_text(&text, err);
    wh_text_free(&text);
    return st;
}

static weft_status print_json(json_t *const *runs, int n, weft_error *err) {
    json_t *list = json_array();
    for (int i = 0; i < n; i++) {
        if (json_array_append(list, runs[i]) != 0) {
            json_decref(list);
            list = NULL;
            break;
        }
    }
    return wh_output_json(list, err);
}

/* ---- the page ---- */

/* A run's name; its path when another run has that name too. */
static void choose_labels(const char **label, json_t *const *runs, const char *const *word, int n) {
    for (int i = 0; i < n; i++) {
        label[i] = wh_compare_text(runs[i], "name");
        for (int k = 0; k < n; k++)
            if (k != i && strcmp(wh_compare_text(runs[k], "name"), label[i]) == 0) {
                label[i] = word[i];
                break;
            }
    }
}

static weft_status draw(const wh_cli *cli, json_t *const *runs, int n, weft_error *err) {
    wh_run_view *view[WH_CLI_MAX_WORDS] = {NULL};
    const char *label[WH_CLI_MAX_WORDS];
    wh_text page = {0};
    weft_status st = WEFT_OK;
    for (int i = 0; i < n && st == WEFT_OK; i++)
        st = wh_run_view_read(&view[i], cli->word[i], false, err);
    if (st == WEFT_OK) {
        choose_labels(label, runs, cli->word, n);
        wh_compare_page(&page, view, label, n);
        st = wh_text_check(&page, cli->plot, err);
    }
    if (st == WEFT_OK) st = wh_file_write(cli->plot, page.data, page.len, err);
    for (int i = 0; i < n; i++) wh_run_view_free(view[i]);
    wh_text_free(&page);
    return st;
}

static weft_status run(const wh_cli *cli, weft_error *err) {
    json_t *runs[WH_CLI_MAX_WORDS] = {NULL};
    weft_status st = WEFT_OK;
    int n = 0;
    for (; n < cli->n_words; n++) {
        WEFT_TRY_GOTO(st, wh_compare_load(&runs[n], cli->word[n], err), out);
    }
    if (cli->plot) {
        WEFT_TRY_GOTO(st, wh_compare_check(runs, n, err), out);
        WEFT_TRY_GOTO(st, draw(cli, runs, n, err), out);
    }
    st = cli->json ? print_json(runs, n, err) : print_table(runs, n, err);
out:
    for (int i = 0; i < n; i++) json_decref(runs[i]);
    return st;
}

const wh_verb wh_verb_compare = {
    .name = "compare",
    .words = "RUN ...",
    .summary = "put several finished runs side by side",
    .details =
        "Reads summary.json of each run folder and prints one row per run: strategy, clients\n"
        "per round, rounds, the main metric on the test rows, local steps (of the client with\n"
        "the most, over the rounds), times that all clients wait for each other, bytes on the\n"
        "wire, training time; the baselines of the first run that has them on top. --plot\n"
        "draws quality by rounds, bytes, time and local steps, as one file that opens without\n"
        "a network.",
    .example = "weft compare runs/iid runs/dirichlet runs/pooled\n"
               "weft compare runs/* --plot compare.html",
    .min_words = 1,
    .max_words = WH_CLI_MAX_WORDS,
    .flags = WH_FLAG_FORMAT | WH_FLAG_PLOT,
    .run = run,
};
