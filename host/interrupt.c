#include "host/interrupt.h"

#include <signal.h>
#include <string.h>

static volatile sig_atomic_t caught;

static const int SIGNALS[] = {SIGINT, SIGTERM, SIGUSR1};
enum { N_SIGNALS = (int)(sizeof SIGNALS / sizeof SIGNALS[0]) };

static void on_signal(int number) {
    if (!caught) caught = number;
    (void)signal(SIGINT, SIG_DFL);
}

void wh_interrupt_install(void) {
    struct sigaction action;
    memset(&action, 0, sizeof action);
    action.sa_handler = on_signal;
    (void)sigemptyset(&action.sa_mask);
    action.sa_flags = SA_RESTART; /* no short reads or writes */
    for (int i = 0; i < N_SIGNALS; i++) (void)sigaction(SIGNALS[i], &action, NULL);
}

int wh_interrupt_signal(void) {
    return (int)caught;
}
