/* weft report: a run folder as one HTML page. */
#include "host/output.h"
#include "host/report_page.h"
#include "host/verbs.h"

#include <stdlib.h>

static weft_status run(const wh_cli *cli, weft_error *err) {
    for (int i = 0; i < cli->n_words; i++) {
        WEFT_TRY(wh_report_write(cli->word[i], err));
        wh_text line = {0};
        char *path = wh_path_join(cli->word[i], "report.html");
        wh_text_addf(&line, "%s\n", path ? path : cli->word[i]);
        free(path);
        WEFT_TRY(wh_output_text(&line, err));
    }
    return WEFT_OK;
}

const wh_verb wh_verb_report = {
    .name = "report",
    .words = "RUN ...",
    .summary = "write report.html into a run folder",
    .details =
        "Writes RUN/report.html from the files of the run folder and prints its path. weft train\n"
        "does so at its end; this is for runs that were killed, that still go on, or whose page\n"
        "another version wrote. The page is one file without script that opens without a\n"
        "network: curves, clients and their labels, bytes on the wire, memory, configuration,\n"
        "machine and command.",
    .example = "weft report runs/first",
    .min_words = 1,
    .max_words = WH_CLI_MAX_WORDS,
    .flags = 0,
    .run = run,
};
