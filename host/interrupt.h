/* Ctrl-C, SIGTERM and SIGUSR1 (a batch system's warning before the time limit) while a run goes on:
 * the first one asks it to stop at the next tick, so that what is complete can be written; Ctrl-C
 * after that ends the program at once. SIGTERM and SIGUSR1 again change nothing: batch systems send
 * them several times (Slurm twice at a preemption) and use SIGKILL when they lose patience. Before
 * that, and in the commands that do not tick, they end the program as they end any other. */
#ifndef WEFT_HOST_INTERRUPT_H
#define WEFT_HOST_INTERRUPT_H

#include <signal.h>

/* weft sweep asks its runs to stop with this one, any number of times: a run may have got the
 * Ctrl-C that the sweep got, as from a terminal, and that must not make two. */
#define WH_INTERRUPT_REQUEST SIGUSR2

/* Catch the three, and the request, from now on. */
void wh_interrupt_install(void);
/* Number of the first signal caught, 0 when there was none. */
int wh_interrupt_signal(void);

#endif
