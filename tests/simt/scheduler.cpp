/* Runs launches: blocks one after another, the threads of a block as fibers that stop at barriers
 * and warp operations until the others have come. What cannot go on, and what the hardware leaves
 * undefined, aborts with a report. */
#include "scheduler.h"

#include <stdio.h>
#include <stdlib.h>

namespace simt {

static const unsigned LANES = 32, MAX_THREADS = 1024, MAX_GRID_YZ = 65535, MAX_BLOCK_Z = 64;
static const unsigned MAX_MASKS = 64; /* of one warp in one block */

/* ---- what runs ---- */

place *here;
uint3 block_idx;
dim3 grid_dim, block_dim;
thread *self;

/* State is never destroyed, so that it stays reachable for LeakSanitizer. */
static std::vector<thread> *const thread_sets = new std::vector<thread>[FIBER_SETS];
static thread *threads; /* of the running block */
static fiber host;
static unsigned count; /* threads of the block */
static const char *kernel_name = "?";
static void (*kernel_body)(void *);
static void *kernel_arg;
static const uint64_t TRACE_START = 14695981039346656037u;
static uint64_t trace = TRACE_START;
static char launched_tag, ended_tag;

void die(const char *what) {
    static const char *const doing[] = {"running", "at a barrier", "at a warp operation", "exited"};
    (void)fprintf(stderr, "simt: %s in %s, block (%u,%u,%u)\n", what, kernel_name, block_idx.x,
                  block_idx.y, block_idx.z);
    int shown = 0;
    for (unsigned i = 0; i < count && shown < 8; i++)
        if (i == 0 || threads[i].state != threads[i - 1].state) {
            (void)fprintf(stderr, "simt:   thread %u.. %s (operation %d, mask %08x)\n", i,
                          doing[threads[i].state], threads[i].op, threads[i].mask);
            shown++;
        }
    abort();
}

/* ---- order ---- */

static simt_order_kind order_kind;
static uint64_t random_state = 1;
static bool count_only;
static uint64_t threads_run;

/* Marsaglia 2003, xorshift. */
static uint32_t random_next() {
    random_state ^= random_state << 13;
    random_state ^= random_state >> 7;
    random_state ^= random_state << 17;
    return (uint32_t)(random_state >> 16);
}

static void shuffle_order(std::vector<unsigned> &order) {
    for (size_t i = order.size() - 1; i > 0; i--)
        std::swap(order[i], order[random_next() % (i + 1)]);
}

/* ---- fibers ---- */

static void go_on(thread *t) {
    self = t;
    here = &t->at;
    fiber_switch(&host, t, false);
}

static void wait_for_others(progress state) {
    self->state = state;
    fiber_switch(self, &host, false);
}

static void thread_main() {
    fiber_entered(&host);
    observe(&launched_tag);
    kernel_body(kernel_arg);
    async_wait(0); /* copies nobody waited for still land */
    self->state = EXITED;
    publish(&ended_tag);
    fiber_switch(self, &host, true);
    abort();
}

/* ---- barriers of the block ---- */

/* Two of each, used in turn: a thread is at most one barrier ahead of another. */
static unsigned arrived, generation, given_true[2];
static char *barrier_tag; /* of this block alone, since a barrier does not order blocks */

int meet_block(barrier kind, bool predicate) {
    const unsigned turn = generation & 1;
    self->op = kind;
    given_true[turn] += predicate;
    arrived++;
    publish(&barrier_tag[turn]);
    wait_for_others(AT_BARRIER);
    observe(&barrier_tag[turn]);
    return (int)given_true[turn];
}

static void open_barrier() {
    for (unsigned i = 0; i < count; i++) {
        if (threads[i].state == EXITED) die("barrier after some threads of the block have exited");
        if (threads[i].op != threads[0].op) die("threads of the block met in different barriers");
    }
    arrived = 0;
    given_true[++generation & 1] = 0;
    for (unsigned i = 0; i < count; i++) threads[i].state = READY;
}

/* ---- meetings of lanes ---- */

/* Lanes that meet under one mask. Offers are kept twice, used in turn: a lane overwrites its offer
 * only two meetings later, when all have passed the meeting between and so have read it. */
struct group {
    unsigned mask, arrived, generation;
    int op;
    char tag[2];
    offer offers[2][LANES];
};
struct warp {
    unsigned existing;           /* lanes */
    std::vector<group *> groups; /* never shrinks: the first `used` serve this block */
    unsigned used;
};
static std::vector<warp> &warps = *new std::vector<warp>;

static group *group_of(warp &w, unsigned mask) {
    for (group *g : w.groups)
        if (g->mask == mask) return g;
    const unseen from_here;
    if (w.groups.size() == MAX_MASKS) die("too many masks in one warp");
    group *g = static_cast<group *>(fresh_alloc(64, sizeof(group), simt_fresh_byte()));
    g->mask = mask;
    g->arrived = g->generation = 0;
    w.groups.push_back(g);
    return g;
}

/* Only __syncwarp orders memory: "these intrinsics do not imply a memory barrier" says the CUDA
 * programming guide of shuffles and votes. */
const offer *meet_warp(warp_op op, unsigned mask, const offer &mine) {
    warp &w = warps[self->at.warp];
    const unsigned me = 1u << self->at.lane;
    self->mask = mask;
    self->op = op;
    if (!(mask & me)) die("warp operation whose mask does not name the calling lane");
    if ((op == MMA || op == LDMATRIX) && w.existing != mask)
        die("mma or ldmatrix in part of a warp");
    group *g = group_of(w, mask);
    if (!g->arrived) g->op = op;
    if (g->op != op) die("lanes of one warp met in different warp operations");
    const unsigned turn = g->generation & 1;
    g->offers[turn][self->at.lane] = mine;
    if (op == SYNCWARP) publish(&g->tag[turn]);
    g->arrived |= me;
    if (g->arrived != (mask & w.existing)) {
        wait_for_others(AT_WARP_OP);
    } else { /* the last one in wakes the others and runs on */
        thread *lanes = &threads[(size_t)self->at.warp * LANES];
        for (unsigned i = 0; i < LANES; i++)
            if ((g->arrived & ~me) >> i & 1) lanes[i].state = READY;
        g->arrived = 0;
        g->generation++;
    }
    if (op == SYNCWARP) observe(&g->tag[turn]);
    return g->offers[turn];
}

/* ---- blocks and launches ---- */

static void start_block() {
    arrived = generation = given_true[0] = given_true[1] = 0;
    barrier_tag = static_cast<char *>(fresh_alloc(8, 8, 0));
    for (unsigned i = 0; i * LANES < count; i++) {
        const unsigned left = count - i * LANES;
        warps[i].existing = left >= LANES ? 0xffffffffu : (1u << left) - 1;
    }
    for (unsigned i = 0; i < count; i++) {
        thread &t = threads[i];
        const unsigned plane = block_dim.x * block_dim.y;
        t.at.tid = uint3{i % block_dim.x, i % plane / block_dim.x, i / plane};
        t.at.lane = i % LANES;
        t.at.warp = i / LANES;
        t.state = READY;
        t.op = 0;
        t.mask = 0;
        t.copies.clear();
        t.group = 0;
        fiber_start(&t, thread_main);
    }
}

static void end_block() {
    for (warp &w : warps) {
        for (group *g : w.groups) fresh_free(g);
        w.groups.clear();
    }
    fresh_free(barrier_tag);
}

static void run_block(std::vector<unsigned> &order) {
    start_block();
    for (unsigned alive = count; alive;) {
        bool progressed = false;
        if (order_kind == SIMT_RANDOM) shuffle_order(order);
        for (unsigned i : order)
            if (threads[i].state == READY) {
                progressed = true;
                go_on(&threads[i]);
                if (threads[i].state == EXITED) alive--;
            }
        if (alive && arrived == alive)
            open_barrier();
        else if (alive && !progressed)
            die("deadlock (divergent barrier or warp operation)");
    }
    end_block();
}

static uint64_t nth_block(uint64_t i, uint64_t blocks) {
    if (order_kind == SIMT_FORWARD) return i;
    if (order_kind == SIMT_REVERSED) return blocks - 1 - i;
    const uint64_t prime = 2654435761u; /* a permutation unless it divides the number of blocks */
    return blocks % prime ? (i * prime + 7) % blocks : i;
}

void launch_threads(const char *name, const void *kernel, dim3 grid, dim3 block, size_t smem,
                    void (*body)(void *), void *arg) {
    const uint64_t blocks = (uint64_t)grid.x * grid.y * grid.z;
    const uint64_t size = (uint64_t)block.x * block.y * block.z;
    kernel_name = name;
    kernel_body = body;
    kernel_arg = arg;
    grid_dim = grid;
    block_dim = block;
    count = 0;
    if (!size || size > MAX_THREADS || block.z > MAX_BLOCK_Z) die("bad size of the block");
    if (!blocks || grid.x > INT32_MAX || grid.y > MAX_GRID_YZ || grid.z > MAX_GRID_YZ)
        die("bad size of the grid");
    shared_check(kernel, smem);
    threads_run += blocks * size;
    const uint64_t shape[] = {
        (uint64_t)(uintptr_t)kernel, grid.x, grid.y, grid.z, block.x, block.y, block.z, smem};
    simt_trace_add(shape, sizeof shape);
    if (count_only) return;

    count = (unsigned)size;
    for (unsigned k = 0; k < FIBER_SETS; k++)
        if (thread_sets[k].size() < count) thread_sets[k].resize(count);
    if (warps.size() < (count + LANES - 1) / LANES) warps.resize((count + LANES - 1) / LANES);
    std::vector<unsigned> order(count);
    for (unsigned i = 0; i < count; i++) order[i] = order_kind == SIMT_REVERSED ? count - 1 - i : i;
    fiber_host(&host);
    publish(&launched_tag);
    for (uint64_t k = 0; k < blocks; k++) {
        const uint64_t i = nth_block(k, blocks);
        block_idx = uint3{(unsigned)(i % grid.x), (unsigned)(i / grid.x % grid.y),
                          (unsigned)(i / grid.x / grid.y)};
        threads = thread_sets[k % FIBER_SETS].data();
        shared_open(smem);
        run_block(order);
        shared_close();
    }
    observe(&ended_tag);
    self = nullptr;
    here = nullptr;
}

} // namespace simt

extern "C" void simt_order(int order, unsigned seed) {
    simt::order_kind = static_cast<simt_order_kind>(order);
    simt::random_state = 88172645463325252u ^ ((uint64_t)(seed + 1) * 0x9E3779B97F4A7C15u);
}

extern "C" unsigned char simt_fresh_byte(void) {
    static const unsigned char bytes[] = {0xff, 0x7f, 0xfe};
    return bytes[simt::order_kind];
}

extern "C" void simt_count_only(bool on) {
    simt::count_only = on;
}

extern "C" void simt_trace_add(const void *bytes, size_t n) { /* FNV-1a */
    const unsigned char *at = static_cast<const unsigned char *>(bytes);
    for (size_t i = 0; i < n; i++) simt::trace = (simt::trace ^ at[i]) * 1099511628211u;
}

extern "C" uint64_t simt_trace(void) {
    const uint64_t now = simt::trace;
    simt::trace = simt::TRACE_START;
    return now;
}

extern "C" uint64_t simt_threads(void) {
    return simt::threads_run;
}
