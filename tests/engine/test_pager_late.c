/* labels: fault fed */
/* The pager on a device whose copies happen as late as dev.h allows: a send or fetch at the next
 * meet, what was fetched in the host's hands only once a later letter is collected. Random rounds,
 * some given up half way, against a count of what every client has learnt. Then the pool alone. */
#include "engine/pager.h"
#include "kernels/backends.h"
#include "kernels/rng.h"
#include "tests/check.h"

#include <stdlib.h>
#include <string.h>

#define CLIENTS 9
#define COHORT  6
#define WIDTH   37
#define PENDING 256

/* ---- a device that is late ---- */

typedef struct copy {
    void *dst;
    const void *src;
    size_t bytes;
    bool fetch;
    unsigned char *delivered; /* met, but no letter says so yet */
} copy;

static copy pending[PENDING], met[PENDING];
static int n_pending, n_met, copies;

static void add(copy c) {
    assert_true(n_pending < PENDING);
    pending[n_pending++] = c;
    copies++;
}

static weft_status late_send(wk_dev *dev, void *dst, const void *pinned, size_t bytes) {
    (void)dev;
    bool leaves = false; /* a fetch issued before still has to read there */
    for (int i = 0; i < n_pending; i++) leaves |= pending[i].fetch && pending[i].src == dst;
    if (!leaves) memset(dst, 0xee, bytes);
    add((copy){.dst = dst, .src = pinned, .bytes = bytes});
    return WEFT_OK;
}

static weft_status late_fetch(wk_dev *dev, void *pinned, const void *src, size_t bytes) {
    (void)dev;
    add((copy){.dst = pinned, .src = src, .bytes = bytes, .fetch = true});
    return WEFT_OK;
}

static weft_status late_meet(wk_dev *dev) {
    (void)dev;
    for (int i = 0; i < n_pending; i++) memcpy(pending[i].dst, pending[i].src, pending[i].bytes);
    for (int i = 0; i < n_pending; i++) {
        copy c = pending[i];
        if (!c.fetch) continue;
        c.delivered = malloc(c.bytes);
        memcpy(c.delivered, c.dst, c.bytes);
        memset(c.dst, 0xee, c.bytes);
        assert_true(n_met < PENDING);
        met[n_met++] = c;
    }
    n_pending = 0;
    return WEFT_OK;
}

static uint64_t posted_met; /* how many fetches the last letter vouches for */

static weft_status late_post(wk_dev *dev, wk_tensor src, uint64_t *ticket) {
    (void)dev;
    assert_false(wk_given(src));
    *ticket = posted_met = (uint64_t)n_met;
    return WEFT_OK;
}

static weft_status late_collect(wk_dev *dev, uint64_t ticket, void *dst, size_t bytes) {
    (void)dev, (void)dst, (void)bytes;
    assert_true(ticket == posted_met);
    int kept = 0;
    for (int i = 0; i < n_met; i++) {
        if ((uint64_t)i >= ticket) {
            met[kept++] = met[i];
            continue;
        }
        memcpy(met[i].dst, met[i].delivered, met[i].bytes);
        free(met[i].delivered);
    }
    n_met = kept;
    return WEFT_OK;
}

/* ---- a store ---- */

static unsigned char *stored[CLIENTS + COHORT];
static int writes, reads, fail_write;

static weft_status store_write(void *ud, int64_t record, const void *data, size_t bytes,
                               weft_error *err) {
    (void)ud;
    assert_in_range(record, 0, CLIENTS + COHORT - 1);
    if (++writes == fail_write) return WEFT_FAIL(err, WEFT_E_OUTPUT, "full");
    if (!stored[record]) stored[record] = malloc(bytes);
    memcpy(stored[record], data, bytes);
    return WEFT_OK;
}

static weft_status store_read(void *ud, int64_t record, void *data, size_t bytes, weft_error *err) {
    (void)ud, (void)err;
    assert_non_null(stored[record]);
    reads++;
    memcpy(data, stored[record], bytes);
    return WEFT_OK;
}

static const weft_hooks hooks = {.store_write = store_write, .store_read = store_read};

/* ---- rounds ---- */

static wk_ctx ctx;
static wk_dev *dev;
static wk_backend late;

static void open_device(void) {
    wk_ctx_init(&ctx, NULL);
    late = wk_backend_ref;
    late.name = "late";
    late.send = late_send, late.fetch = late_fetch, late.meet = late_meet;
    late.post = late_post, late.collect = late_collect;
    const wk_dev_options options = {.threads = 1};
    check_ok(wk_dev_open_backend(&dev, &ctx, &late, &options), &ctx.err);
    n_pending = n_met = copies = writes = reads = fail_write = 0;
}

static void close_device(void) {
    for (int i = 0; i < n_met; i++) free(met[i].delivered);
    for (int i = 0; i < CLIENTS + COHORT; i++) free(stored[i]), stored[i] = NULL;
    wk_dev_close(dev);
}

typedef struct world {
    we_slots slots;
    we_pager pager;
    float *m, *v;
    int done[CLIENTS]; /* visits that count */
    wk_stream random;
} world;

static float number(int32_t client, int visits, int64_t j, bool second) {
    return (float)(client * 10000 + visits * 100 + j) * (second ? -1.0f : 1.0f);
}

static void check_row(const float *row, int32_t client, int visits, bool second) {
    for (int64_t j = 0; j < WIDTH; j++)
        if (row[j] != number(client, visits, j, second)) {
            print_error("client %d after %d visits: number %lld is %f\n", client, visits,
                        (long long)j, (double)row[j]);
            fail();
        }
}

/* A visit: what the slot holds must be what the client left, if it ever did. */
static void train(world *w, int32_t slot, int32_t client) {
    for (int second = 0; second < 2; second++) {
        float *row = (second ? w->v : w->m) + ((int64_t)w->slots.bank * w->slots.n + slot) * WIDTH;
        if (w->done[client]) check_row(row, client, w->done[client], second);
        for (int64_t j = 0; j < WIDTH; j++) row[j] = number(client, w->done[client] + 1, j, second);
    }
    assert_int_equal(we_pager_steps(&w->pager, client), 3 * w->done[client]);
}

static bool chance(world *w, uint32_t one_in) {
    return one_in && wk_stream_below(&w->random, one_in) == 0;
}

static void draw(world *w, int32_t cohort[COHORT]) {
    int32_t n = 0;
    for (int32_t c = 0; c < CLIENTS && n < COHORT; c++) {
        const uint32_t left = (uint32_t)(CLIENTS - c);
        if (wk_stream_below(&w->random, left) < (uint32_t)(COHORT - n)) cohort[n++] = c;
    }
    assert_int_equal(n, COHORT);
}

/* False: given up, by will or because the store was full. */
static bool round_of(world *w, const int32_t *cohort, const int32_t *next, uint32_t give_up) {
    we_pager *p = &w->pager;
    const int32_t k = w->slots.n;
    bool lost[COHORT];
    if (we_pager_begin(p) != WEFT_OK) return false;
    for (int32_t first = 0; first < COHORT; first += k) {
        const int32_t left = COHORT - first, n = left < k ? left : k;
        const int32_t after = left - n < k ? left - n : k;
        if (we_pager_wave(p, cohort + first, n, cohort + first + n, after) != WEFT_OK) return false;
        for (int64_t left_steps = 2; left_steps > 0; left_steps--) {
            if (chance(w, give_up)) return false;
            if (left_steps == 2)
                for (int32_t i = 0; i < n; i++) train(w, i, cohort[first + i]);
            if (we_pager_pump(p, left_steps) != WEFT_OK) return false;
        }
        for (int32_t i = 0; i < n; i++) {
            lost[first + i] = chance(w, 5);
            we_pager_trained(p, i, 3 * (w->done[cohort[first + i]] + 1), lost[first + i]);
        }
        if (chance(w, give_up) || we_pager_wave_end(p) != WEFT_OK) return false;
    }
    if (we_pager_round_end(p) != WEFT_OK || chance(w, give_up)) return false;
    we_pager_commit(p, next, k);
    for (int32_t i = 0; i < COHORT; i++) w->done[cohort[i]] += !lost[i];
    return true;
}

/* As for a checkpoint. */
static void look_at_all(world *w) {
    const void *moments;
    for (int32_t c = 0; c < CLIENTS; c++)
        if (we_pager_steps(&w->pager, c) > 0)
            check_ok(we_pager_look(&w->pager, c, &moments), &ctx.err);
}

/* `checkpoints`: whether there is one after every round. */
static void run_rounds(int32_t slots, const char *pool, uint32_t give_up, int store_fails,
                       uint32_t seed, int rounds, bool checkpoints) {
    weft_error err = {0};
    weft_config *config = NULL;
    world w = {.random =
                   wk_stream_at(wk_rng_key(3, WK_RNG_TEST, 2), (uint32_t)slots, give_up, seed)};
    open_device();
    check_ok(weft_config_new(&config, &err), &err);
    check_ok(weft_config_set(config, "client.optimizer_state", "keep", NULL, &err), &err);
    check_ok(weft_config_set(config, "engine.state_pool_mib", pool, NULL, &err), &err);
    const we_pager_load load = {
        .clients = CLIENTS, .own = CLIENTS, .cohort = COHORT, .slots = slots, .adapter = WIDTH};
    check_ok(we_pager_describe(&w.pager, &ctx, config, &hooks, &load), &ctx.err);
    w.slots.n = slots, w.slots.banks = w.pager.banks;
    const size_t count = (size_t)(w.slots.banks * slots) * WIDTH;
    w.m = calloc(count, sizeof *w.m), w.v = calloc(count, sizeof *w.v);
    w.slots.m = wk_mat(w.m, WK_F32, w.slots.banks * slots, WIDTH);
    w.slots.v = wk_mat(w.v, WK_F32, w.slots.banks * slots, WIDTH);
    check_ok(we_pager_open(&w.pager, dev, &hooks, &w.slots), &ctx.err);
    int32_t cohort[COHORT], next[COHORT];
    int whole = 0;
    draw(&w, cohort);
    for (int r = 0; r < rounds; r++) {
        draw(&w, next);
        fail_write = store_fails && r % 3 == 0 ? writes + 1 + r % store_fails : 0;
        if (!round_of(&w, cohort, next, give_up)) continue; /* the same round again */
        whole++;
        memcpy(cohort, next, sizeof cohort);
        if (checkpoints) look_at_all(&w);
    }
    assert_true(copies > 0);
    if (give_up || store_fails)
        assert_true(whole > 40);
    else
        assert_int_equal(whole, rounds);
    assert_int_equal(we_pager_swap(&w.pager).written > 0, writes > 0);
    we_pager_close(&w.pager);
    weft_config_free(config);
    free(w.m);
    free(w.v);
    close_device();
}

static void run(int32_t slots, const char *pool, uint32_t give_up, int store_fails) {
    run_rounds(slots, pool, give_up, store_fails, 0, 300, false);
}

/* The first rounds, in which some clients are old and some are new, with a pool of two waves. */
static void test_checkpoints(void **state) {
    (void)state;
    for (uint32_t seed = 0; seed < 100; seed++)
        for (int32_t slots = 1; slots <= 2; slots++) run_rounds(slots, "0", 0, 0, seed, 4, true);
}

static void test_rounds(void **state) {
    (void)state;
    for (int32_t slots = 1; slots <= COHORT; slots++) {
        run(slots, "-1", 0, 0);
        assert_int_equal(writes, 0);
        run(slots, "0", 0, 0);
        if (slots < 4) assert_true(writes > 0 && reads > 0);
    }
}

static void test_rounds_given_up(void **state) {
    (void)state;
    for (int32_t slots = 1; slots <= COHORT; slots++) {
        run(slots, "-1", 12, 0);
        run(slots, "0", 12, 0);
        run(slots, "0", 0, 7);
    }
}

/* ---- the pool ---- */

static void put(we_pool *p, int32_t *record, unsigned char value) {
    void *at;
    check_ok(we_pool_add(p, record, &at), &ctx.err);
    memset(at, value, p->bytes);
    we_pool_settled(p);
}

static void want(we_pool *p, int32_t record, unsigned char value) {
    void *at;
    check_ok(we_pool_get(p, record, &at), &ctx.err);
    for (size_t i = 0; i < p->bytes; i++) assert_int_equal(((unsigned char *)at)[i], value);
    we_pool_settled(p);
}

static void test_pool(void **state) {
    (void)state;
    we_pool p;
    int32_t a, b, c, d;
    void *at;
    open_device();
    check_ok(we_pool_open(&p, dev, &hooks, 256, 4, 2), &ctx.err);
    put(&p, &a, 1);
    put(&p, &b, 2);
    assert_false(we_pool_is_quick(&p, -1)); /* a would have to be stored */
    put(&p, &c, 3);
    assert_true(writes == 1 && p.record[a].slot < 0 && p.record[b].slot >= 0);
    assert_true(we_pool_is_quick(&p, c) && !we_pool_is_quick(&p, a));
    want(&p, a, 1); /* b, the oldest, makes room */
    assert_true(writes == 2 && reads == 1 && p.record[b].slot < 0);
    assert_true(we_pool_is_quick(&p, -1)); /* a is in the store too */
    put(&p, &d, 4);                        /* so it goes without a write, before c */
    assert_true(writes == 2 && p.record[a].slot < 0 && p.record[c].slot >= 0);
    assert_int_equal(we_pool_add(&p, &a, &at), WEFT_E_MEM); /* four records are all */
    fail_write = writes + 1;
    assert_int_equal(we_pool_get(&p, b, &at), WEFT_E_OUTPUT);
    assert_string_equal(ctx.err.text, "full");
    want(&p, c, 3);
    want(&p, d, 4); /* nothing has changed */
    want(&p, b, 2);
    /* While both slots move there is no room; dropped ones serve again once they are still. */
    check_ok(we_pool_get(&p, b, &at), &ctx.err);
    check_ok(we_pool_get(&p, d, &at), &ctx.err);
    assert_int_equal(we_pool_get(&p, a, &at), WEFT_E_MEM);
    we_pool_drop(&p, b);
    we_pool_drop(&p, d);
    assert_int_equal(we_pool_get(&p, a, &at), WEFT_E_MEM);
    we_pool_settled(&p);
    want(&p, a, 1);
    put(&p, &b, 5);
    want(&p, b, 5);
    want(&p, c, 3);
    we_pool_close(&p);
    close_device();
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_rounds),
        cmocka_unit_test(test_checkpoints),
        cmocka_unit_test(test_rounds_given_up),
        cmocka_unit_test(test_pool),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
