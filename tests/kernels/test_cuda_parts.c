/* labels: unit */
/* What the cuda backend keeps on the host, without CUDA: the table of recorded graphs and plans,
 * staging slots, letters' tickets, the first failure. */
#include "kernels/cuda/lru.h"
#include "kernels/cuda/ring.h"
#include "tests/check.h"

#include <stdlib.h>
#include <string.h>

static wk_ctx ctx;

static int init(void **state) {
    (void)state;
    wk_ctx_init(&ctx, NULL);
    return 0;
}

/* Keys 0 … n-1 as bytes of different lengths. */
static size_t key_of(int i, char *key) {
    memset(key, 'k', 64);
    key[0] = (char)i;
    key[1] = (char)(i >> 8);
    return (size_t)(2 + i % 60);
}

static int values[1000], dropped;

static void count_drop(void *ud, void *value) {
    dropped += *(int *)value;
    *(int *)ud += 1;
}

static void *add(cuda_lru *t, int i) {
    char key[64];
    void *evicted = NULL;
    const size_t n = key_of(i, key);
    values[i] = i;
    check_ok(cuda_lru_add(t, &ctx, key, n, &values[i], &evicted), &ctx.err);
    return evicted;
}

static void *find(cuda_lru *t, int i) {
    char key[64];
    const size_t n = key_of(i, key);
    return cuda_lru_find(t, key, n);
}

static void the_oldest_makes_room(void **state) {
    (void)state;
    cuda_lru t;
    int closed = 0;
    check_ok(cuda_lru_open(&t, &ctx, 64), &ctx.err);
    for (int i = 0; i < 64; i++) {
        assert_null(find(&t, i));
        assert_null(add(&t, i));
    }
    for (int i = 0; i < 64; i += 2) assert_ptr_equal(find(&t, i), &values[i]); /* now newest */
    for (int i = 1; i < 64; i += 2) assert_ptr_equal(add(&t, 64 + i), &values[i]);
    for (int i = 0; i < 64; i += 2) {
        assert_ptr_equal(find(&t, i), &values[i]);
        assert_null(find(&t, i + 1));
        assert_ptr_equal(find(&t, 64 + i + 1), &values[64 + i + 1]);
    }
    dropped = 0;
    int want = 0;
    for (int i = 0; i < 64; i += 2) want += i + 64 + i + 1;
    cuda_lru_close(&t, &ctx, count_drop, &closed);
    assert_int_equal(closed, 64);
    assert_int_equal(dropped, want);
    cuda_lru_close(&t, &ctx, NULL, NULL);
}

/* Against a list that is searched from end to end. */
static void as_a_plain_list(void **state) {
    (void)state;
    enum { ROOM = 7, KEYS = 23, STEPS = 20000 };
    int list[ROOM], n = 0; /* oldest first */
    uint32_t dice = 1;
    cuda_lru t;
    check_ok(cuda_lru_open(&t, &ctx, ROOM), &ctx.err);
    for (int s = 0; s < STEPS; s++) {
        dice = dice * 1664525u + 1013904223u;
        const int key = (int)((dice >> 16) % KEYS);
        int at = 0;
        while (at < n && list[at] != key) at++;
        const bool there = at < n;
        assert_ptr_equal(find(&t, key), there ? &values[key] : NULL);
        int gone = -1;
        if (!there && n == ROOM) gone = list[0], at = 0;
        if (there || gone >= 0) {
            memmove(&list[at], &list[at + 1], (size_t)(n - at - 1) * sizeof *list);
            n--;
        }
        list[n++] = key;
        if (!there) {
            int *evicted = add(&t, key);
            assert_ptr_equal(evicted, gone >= 0 ? &values[gone] : NULL);
        }
    }
    cuda_lru_close(&t, &ctx, NULL, NULL);
}

static void keys_are_bytes(void **state) {
    (void)state;
    cuda_lru t;
    void *evicted = NULL;
    int a = 1, b = 2, none = 3;
    check_ok(cuda_lru_open(&t, &ctx, 1), &ctx.err);
    check_ok(cuda_lru_add(&t, &ctx, "abc", 2, &a, &evicted), &ctx.err);
    assert_ptr_equal(cuda_lru_find(&t, "abd", 2), &a);
    assert_null(cuda_lru_find(&t, "abc", 3));
    check_ok(cuda_lru_add(&t, &ctx, "abc", 3, &b, &evicted), &ctx.err);
    assert_ptr_equal(evicted, &a);
    assert_null(cuda_lru_find(&t, "ab", 2));
    check_ok(cuda_lru_add(&t, &ctx, NULL, 0, &none, &evicted), &ctx.err);
    assert_ptr_equal(cuda_lru_find(&t, NULL, 0), &none);
    cuda_lru_close(&t, &ctx, NULL, NULL);
}

static int allowed; /* allocations until one fails */

static void *limited(void *ud, size_t bytes) {
    (void)ud;
    return allowed-- > 0 ? malloc(bytes) : NULL;
}

static void plain_free(void *ud, void *p) {
    (void)ud;
    free(p);
}

static void memory_runs_out(void **state) {
    (void)state;
    wk_ctx tight;
    cuda_lru t;
    int a = 1, b = 2;
    void *evicted = NULL;
    wk_ctx_init(&tight, &(wk_hooks){.alloc = limited, .release = plain_free});
    for (allowed = 0; allowed < 2;) {
        const int tries = allowed;
        assert_int_equal(cuda_lru_open(&t, &tight, 1), WEFT_E_MEM);
        allowed = tries + 1;
    }
    allowed = 3;
    check_ok(cuda_lru_open(&t, &tight, 1), &tight.err);
    check_ok(cuda_lru_add(&t, &tight, "a", 1, &a, &evicted), &tight.err);
    assert_int_equal(cuda_lru_add(&t, &tight, "b", 1, &b, &evicted), WEFT_E_MEM);
    assert_null(evicted);
    assert_ptr_equal(cuda_lru_find(&t, "a", 1), &a);
    cuda_lru_close(&t, &tight, NULL, NULL);
}

static void slots_come_round(void **state) {
    (void)state;
    cuda_ring r = {.slots = 3};
    for (uint32_t i = 0; i < 10; i++) {
        bool wait = false;
        assert_int_equal(cuda_ring_take(&r, &wait), i % 3);
        assert_int_equal(wait, i >= 3);
    }
}

static void tickets_are_kept_for_a_while(void **state) {
    (void)state;
    cuda_tickets t = {0};
    assert_int_equal(cuda_ticket_check(&t, 0, 0, &ctx.err), WEFT_E_ARG);
    for (uint64_t i = 0; i <= WK_LETTERS; i++) {
        assert_int_equal(cuda_ticket_next(&t), i);
        assert_int_equal(cuda_ticket_slot(i), i % WK_LETTERS);
        assert_true(cuda_ticket_sequence(i) > 0);
        /* The first is kept until WK_LETTERS later ones were posted. */
        assert_int_equal(cuda_ticket_check(&t, 0, 4, &ctx.err),
                         i < WK_LETTERS ? WEFT_OK : WEFT_E_ARG);
    }
    assert_string_equal(ctx.err.text,
                        "letter 0 is gone: 64 letters are kept, 64 were posted since");
    check_ok(cuda_ticket_check(&t, 1, WK_LETTER_BYTES, &ctx.err), &ctx.err);
    assert_int_equal(cuda_ticket_check(&t, 1, WK_LETTER_BYTES + 1, &ctx.err), WEFT_E_ARG);
    assert_int_equal(cuda_ticket_check(&t, t.posted, 4, &ctx.err), WEFT_E_ARG);
    assert_string_equal(ctx.err.text, "letter 65 was never posted, 65 were");
}

static void the_first_failure_stays(void **state) {
    (void)state;
    char longer[600];
    cuda_poison p = {0};
    check_ok(cuda_poison_check(&p, &ctx.err), &ctx.err);
    assert_int_equal(cuda_poison_set(&p, &ctx.err, "attn_fwd: first"), WEFT_E_DEVICE);
    assert_int_equal(cuda_poison_set(&p, &ctx.err, "upload: second"), WEFT_E_DEVICE);
    assert_string_equal(ctx.err.text, "attn_fwd: first");
    ctx.err.text[0] = 0;
    assert_int_equal(cuda_poison_check(&p, &ctx.err), WEFT_E_DEVICE);
    assert_string_equal(ctx.err.text, "attn_fwd: first");
    memset(longer, 'x', sizeof longer - 1), longer[sizeof longer - 1] = 0;
    cuda_poison q = {0};
    assert_int_equal(cuda_poison_set(&q, &ctx.err, longer), WEFT_E_DEVICE);
    assert_int_equal(strlen(ctx.err.text), sizeof q.text - 1);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_oldest_makes_room),   cmocka_unit_test(as_a_plain_list),
        cmocka_unit_test(keys_are_bytes),          cmocka_unit_test(memory_runs_out),
        cmocka_unit_test(slots_come_round),        cmocka_unit_test(tickets_are_kept_for_a_while),
        cmocka_unit_test(the_first_failure_stays),
    };
    return cmocka_run_group_tests(tests, init, NULL);
}
