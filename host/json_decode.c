/* jansson's parser with an end that is sure when memory is out.
 *
 * jansson 2.14 overlooks a failed allocation while it reads a string: characters get lost, it stops
 * at an assertion or writes past a block. So no allocation fails inside of it: the first one that
 * cannot be had jumps out of the parser, and what it had taken so far is given back. */
#include "host/json_util.h"

#include <setjmp.h>
#include <stddef.h>
#include <stdlib.h>

/* In front of every block that jansson has. Those of a parser at work are in a list. */
typedef union block {
    struct {
        union block *next, *before; /* before: NULL when it is in no list */
    } link;
    max_align_t align;
} block;

static _Thread_local struct {
    bool at_work;
    block taken; /* the list's head */
    jmp_buf out;
} parser;

static void *take(size_t bytes) {
    block *b = bytes < SIZE_MAX - sizeof *b ? malloc(sizeof *b + bytes) : NULL;
    if (!b && parser.at_work) longjmp(parser.out, 1);
    if (!b) return NULL;
    b->link.next = b->link.before = NULL;
    if (parser.at_work) {
        block *first = parser.taken.link.next;
        b->link.next = first;
        b->link.before = &parser.taken;
        parser.taken.link.next = b;
        if (first) first->link.before = b;
    }
    return b + 1;
}

static void give_back(void *memory) {
    if (!memory) return;
    block *b = (block *)memory - 1;
    if (b->link.before) b->link.before->link.next = b->link.next;
    if (b->link.before && b->link.next) b->link.next->link.before = b->link.before;
    free(b);
}

/* Before anything is taken from jansson, since all of it must be given back to the same functions.
 */
__attribute__((constructor)) static void watch_memory(void) {
    json_set_alloc_funcs(take, give_back);
}

/* Ends the list: its blocks are freed, or are from now on in none, for any thread to free. */
static void leave(bool keep) {
    parser.at_work = false;
    for (block *b = parser.taken.link.next, *next; b; b = next) {
        next = b->link.next;
        b->link.next = b->link.before = NULL;
        if (!keep) free(b);
    }
    parser.taken.link.next = NULL;
}

json_t *wh_json_decode(const char *text, size_t bytes, size_t flags, json_error_t *error,
                       bool *memory_out) {
    *memory_out = false;
    parser.taken.link.next = NULL;
    if (setjmp(parser.out) != 0) {
        leave(false);
        *memory_out = true;
        return NULL;
    }
    parser.at_work = true;
    json_t *root = json_loadb(text, bytes, flags, error);
    leave(true);
    return root;
}
