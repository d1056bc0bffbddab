/* Ctrl-C, SIGTERM and SIGUSR1 (a batch system's warning before the time limit) while a run goes on:
 * the first one asks it to stop at the next tick, so that what is complete can be written; a second
 * one ends the program at once. Before that, and in the commands that do not tick, they end the
 * program as they end any other. */
#ifndef WEFT_HOST_INTERRUPT_H
#define WEFT_HOST_INTERRUPT_H

/* Catch the three from now on. */
void wh_interrupt_install(void);
/* Number of the caught signal, 0 when there was none. */
int wh_interrupt_signal(void);

#endif
