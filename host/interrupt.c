#include "host/interrupt.h"

#include <signal.h>
#include <string.h>

static volatile sig_atomic_t caught;

static const int SIGNALS[] = {SIGINT, SIGTERM, SIGUSR1};
enum { N_SIGNALS = (int)(sizeof SIGNALS / sizeof SIGNALS[0]) };

static void on_signal(int number) {
    if (!caught || caught == WH_INTERRUPT_REQUEST) caught = number;
    (void)signal(SIGINT, SIG_DFL);
}

static void on_request(int number) {
    if (!caught) caught = number;
}

static void handle(int number, void (*handler)(int)) {
    struct sigaction action;
    memset(&action, 0, sizeof action);
    action.sa_handler = handler;
    (void)sigemptyset(&action.sa_mask);
    action.sa_flags = SA_RESTART; /* no short reads or writes */
    (void)sigaction(number, &action, NULL);
}

void wh_interrupt_install(void) {
    for (int i = 0; i < N_SIGNALS; i++) handle(SIGNALS[i], on_signal);
    handle(WH_INTERRUPT_REQUEST, on_request);
}

int wh_interrupt_signal(void) {
    return (int)caught;
}
