/* Ranks that are processes which one program forks: a weft_comm over memory that they share. */
#ifndef WEFT_TESTS_PROCESS_COMM_H
#define WEFT_TESTS_PROCESS_COMM_H

#include "engine/weft.h"

#define PROCESS_RANKS 8

typedef struct process_comm process_comm;

process_comm *process_comm_new(int32_t n); /* before the ranks are forked; NULL: no memory */
weft_comm process_comm_rank(process_comm *c, int32_t rank);
void process_comm_free(process_comm *c);

#endif
