#include "host/child.h"

#include "host/interrupt.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static const int STOPS[] = {SIGINT, SIGTERM, SIGUSR1};
enum { N_STOPS = (int)(sizeof STOPS / sizeof STOPS[0]) };

static sigset_t before, awaited; /* the mask that children get; what the parent waits for */
static int stop;

void wh_child_setup(void) {
    (void)signal(SIGCHLD, SIG_DFL); /* ignored, children could not be waited for */
    (void)sigemptyset(&awaited);
    (void)sigaddset(&awaited, SIGCHLD);
    for (int i = 0; i < N_STOPS; i++) (void)sigaddset(&awaited, STOPS[i]);
    (void)sigprocmask(SIG_BLOCK, &awaited, &before);
}

/* From now on Ctrl-C ends the process; the others may be repeated (interrupt.h). */
static void note_stop(int number) {
    sigset_t ctrl_c;
    if (!stop) stop = number;
    (void)signal(SIGINT, SIG_DFL);
    (void)sigdelset(&awaited, SIGINT);
    (void)sigemptyset(&ctrl_c);
    (void)sigaddset(&ctrl_c, SIGINT);
    (void)sigprocmask(SIG_UNBLOCK, &ctrl_c, NULL);
}

int wh_child_stop(void) {
    const struct timespec now = {0, 0};
    sigset_t stops = awaited;
    (void)sigdelset(&stops, SIGCHLD);
    const int number = stop ? -1 : sigtimedwait(&stops, NULL, &now);
    if (number > 0) note_stop(number);
    return stop;
}

static void start_program(char *const *argv) {
    (void)execv("/proc/self/exe", argv);
    (void)execvp(argv[0], argv); /* where there is no /proc */
}

/* In the child. */
static void start(char *const *argv, pid_t parent) {
    const int nowhere = open("/dev/null", O_WRONLY);
    if (nowhere >= 0) (void)dup2(nowhere, STDOUT_FILENO);
    if (prctl(PR_SET_PDEATHSIG, SIGKILL) != 0 || getppid() != parent) _exit(128 + SIGKILL);
    (void)sigprocmask(SIG_SETMASK, &before, NULL);
    start_program(argv);
    _exit(127);
}

weft_status wh_child_run(char *const *argv, int *code, weft_error *err) {
    int status = 0;
    (void)fflush(NULL);
    const pid_t parent = getpid(), pid = fork();
    if (pid == 0) start(argv, parent);
    if (pid < 0) return WEFT_FAIL(err, WEFT_E_MEM, "cannot start a run: %s", strerror(errno));
    for (;;) {
        const int number = sigwaitinfo(&awaited, NULL);
        if (number == SIGCHLD) {
            const pid_t ended = waitpid(pid, &status, WNOHANG);
            if (ended == pid) break;
            if (ended < 0) return WEFT_FAIL(err, WEFT_E_ARG, "lost a run: %s", strerror(errno));
        } else if (number > 0) {
            note_stop(number);
            (void)kill(pid, WH_INTERRUPT_REQUEST);
        }
    }
    *code = WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
    return WEFT_OK;
}

weft_status wh_child_become(char *const *argv, weft_error *err) {
    (void)fflush(NULL);
    start_program(argv);
    return WEFT_FAIL(err, WEFT_E_MEM, "cannot start the run: %s", strerror(errno));
}
