/* weft: parse the arguments, run the verb, turn what went wrong into one line and an exit code. */
#include "host/exit_code.h"
#include "host/interrupt.h"
#include "host/memory.h"
#include "host/verbs.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* Waiting OpenMP threads spin unless told otherwise, which on a busy or virtual machine makes small
 * steps a hundred times slower and on a free one gains a few percent. The runtime reads the setting
 * before main, so the program starts itself once more with it. Whoever sets OMP_WAIT_POLICY
 * decides. */
static void let_waiting_threads_sleep(char **argv) {
    if (getenv("OMP_WAIT_POLICY") || setenv("OMP_WAIT_POLICY", "passive", 1) != 0) return;
    (void)execv("/proc/self/exe",
                argv); /* comes back only where there is no /proc: then they spin */
}

/* A result that did not reach its reader (full disk) is a failure even when the work was done. */
static weft_status flush_stdout(weft_error *err) {
    errno = 0;
    if (fflush(stdout) == 0 && !ferror(stdout)) return WEFT_OK;
    return WEFT_FAIL(err, WEFT_E_OUTPUT, "cannot write to standard output: %s",
                     errno ? strerror(errno) : "write error");
}

static wh_cli cli; /* too large for a stack frame */

static weft_status run(int argc, char *const *argv, weft_error *err) {
    size_t n_verbs;
    const wh_verb *const *verbs = wh_verbs(&n_verbs);
    WEFT_TRY(wh_cli_parse(&cli, verbs, n_verbs, argc - 1, (const char *const *)(argv + 1), err));
    cli.argc = argc;
    cli.argv = argv;
    switch (cli.action) {
    case WH_CLI_VERSION:
        printf("weft %s\n", WEFT_VERSION);
        return WEFT_OK;
    case WH_CLI_HELP:
        if (cli.verb) {
            wh_cli_print_verb(stdout, cli.verb);
        } else {
            wh_cli_print_overview(stdout, verbs, n_verbs);
        }
        return WEFT_OK;
    case WH_CLI_RUN:
        break;
    }
    return cli.verb->run(&cli, err);
}

int main(int argc, char **argv) {
    let_waiting_threads_sleep(argv);
    wh_memory_setup();
    (void)signal(SIGXFSZ, SIG_IGN); /* a file-size limit is then an error of write() */
    weft_error err = {0};
    weft_status st = run(argc, argv, &err);
    if (st == WEFT_OK) st = flush_stdout(&err);
    /* No text: another rank of the job has told why. */
    if (st != WEFT_OK && (err.status != st || err.text[0])) {
        char line[640];
        wh_exit_line(line, sizeof line, st, &err);
        fputs(line, stderr);
    }
    return wh_exit_code(st, wh_interrupt_signal(), cli.verb && cli.verb->goes_on);
}
