/* labels: unit fed */
#include "tests/check.h"

#include "engine/config.h"
#include "engine/weft.h"

#include <math.h>
#include <string.h>

#define ROWS    1000
#define CLASSES 10

/* Labels 0..9 in turn, targets descending, natural clients of unequal sizes (client 3 has none). */
static int32_t label[ROWS], owner_of[ROWS], natural[ROWS];
static float target[ROWS];
static weft_rows rows = {
    .n_rows = ROWS, .label = label, .client = natural, .n_clients = 5, .num_labels = CLASSES};

static void fill(void) {
    for (int i = 0; i < ROWS; i++) {
        label[i] = i % CLASSES;
        target[i] = (float)(ROWS - i);
        natural[i] = i < 700 ? 0 : i < 950 ? 4 : i < 998 ? 1 : 2;
    }
}

static weft_config *config_of(const char *const *pairs) {
    weft_config *c = NULL;
    weft_error err = {0};
    check_ok(weft_config_new(&c, &err), &err);
    for (; *pairs; pairs += 2) check_ok(weft_config_set(c, pairs[0], pairs[1], NULL, &err), &err);
    return c;
}

/* Builds; checks that it is sound and that exactly `used` rows are given out, each once. */
static weft_partition *build(const char *const *pairs, const weft_rows *data, int64_t used) {
    weft_config *c = config_of(pairs);
    weft_partition *p = NULL;
    weft_error err = {0};
    check_ok(weft_partition_build(&p, c, data, &err), &err);
    check_ok(weft_partition_check(p, data, &err), &err); /* ranges, once, ascending, none empty */
    assert_int_equal(p->offset[p->n_clients], used);
    memset(owner_of, -1, sizeof owner_of);
    for (int32_t k = 0; k < p->n_clients; k++) {
        assert_true(p->offset[k + 1] - p->offset[k] >= c->partition_min_rows);
        for (int64_t i = p->offset[k]; i < p->offset[k + 1]; i++) owner_of[p->row[i]] = k;
    }
    weft_config_free(c);
    return p;
}

static int64_t size_of(const weft_partition *p, int32_t client) {
    return p->offset[client + 1] - p->offset[client];
}

static int classes_of(const weft_partition *p, int32_t client) {
    int seen = 0;
    for (int k = 0; k < CLASSES; k++)
        for (int64_t i = p->offset[client]; i < p->offset[client + 1]; i++)
            if (label[p->row[i]] == k) {
                seen++;
                break;
            }
    return seen;
}

/* Mean over clients of half the L1 distance between a client's label shares and all rows'. */
static double skew_of(const weft_partition *p) {
    double sum = 0;
    for (int32_t c = 0; c < p->n_clients; c++)
        for (int k = 0; k < CLASSES; k++) {
            double n = 0;
            for (int64_t i = p->offset[c]; i < p->offset[c + 1]; i++) n += label[p->row[i]] == k;
            sum += 0.5 * fabs(n / (double)size_of(p, c) - 1.0 / CLASSES);
        }
    return sum / p->n_clients;
}

static void iid_is_even_and_shuffled(void **state) {
    (void)state;
    const char *const pairs[] = {"fl.num_clients", "7", NULL};
    weft_partition *p = build(pairs, &rows, ROWS);
    assert_int_equal(p->n_clients, 7);
    for (int32_t c = 0; c < 7; c++) assert_true(size_of(p, c) == 142 || size_of(p, c) == 143);
    assert_true(skew_of(p) < 0.15);
    assert_true(p->row[0] != 0 || p->row[1] != 1 || p->row[2] != 2 || p->row[3] != 3);
    weft_partition_free(p);
    const char *const each[] = {"fl.num_clients", "1000", NULL};
    p = build(each, &rows, ROWS); /* one row each */
    weft_partition_free(p);
}

static void dirichlet_skews_with_alpha(void **state) {
    (void)state;
    static const char *const alpha[] = {"0.05", "0.5", "5", "1000000"};
    double skew[4];
    for (int a = 0; a < 4; a++) {
        const char *const pairs[] = {"partition.kind", "dirichlet", "partition.alpha", alpha[a],
                                     NULL};
        weft_partition *p = build(pairs, &rows, ROWS);
        skew[a] = skew_of(p);
        weft_partition_free(p);
    }
    assert_true(skew[0] > skew[1] && skew[1] > skew[2] && skew[2] > skew[3]);
    assert_true(skew[0] > 0.6 && skew[3] < 0.02); /* nearly one class each; nearly the whole's */
}

/* The share of class 0 at client 0 has the mean 1/n and variance of a Dirichlet's component. */
static void dirichlet_has_its_moments(void **state) {
    (void)state;
    enum { TIMES = 2000 };
    double mean = 0, square = 0;
    for (int t = 0; t < TIMES; t++) {
        char seed[16];
        (void)snprintf(seed, sizeof seed, "%d", t);
        const char *const pairs[] = {"partition.kind",
                                     "dirichlet",
                                     "partition.alpha",
                                     "1",
                                     "fl.num_clients",
                                     "4",
                                     "run.seed",
                                     seed,
                                     NULL};
        weft_partition *p = build(pairs, &rows, ROWS);
        double n = 0;
        for (int i = 0; i < ROWS; i += CLASSES) n += owner_of[i] == 0;
        weft_partition_free(p);
        double share = (n + 0.5) / (ROWS / CLASSES); /* the cut rounds down */
        mean += share, square += (share - 0.25) * (share - 0.25);
    }
    double variance = 0.25 * 0.75 / (4 + 1);
    assert_true(fabs(mean / TIMES - 0.25) < 4 * sqrt(variance / TIMES) + 0.005);
    assert_true(fabs(square / TIMES / variance - 1) < 0.1);
}

static void pathological_gives_n_classes(void **state) {
    (void)state;
    static const struct {
        const char *clients, *each;
    } cases[] = {{"10", "2"}, {"5", "2"}, {"7", "3"}, {"20", "1"}, {"3", "10"}, {"13", "4"}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        const char *const pairs[] = {"partition.kind",
                                     "pathological",
                                     "fl.num_clients",
                                     cases[i].clients,
                                     "partition.classes_per_client",
                                     cases[i].each,
                                     NULL};
        weft_partition *p = build(pairs, &rows, ROWS);
        for (int32_t c = 0; c < p->n_clients; c++) {
            char each[16];
            (void)snprintf(each, sizeof each, "%d", classes_of(p, c));
            assert_string_equal(each, cases[i].each);
        }
        weft_partition_free(p);
    }
}

static void shards_hold_few_classes(void **state) {
    (void)state;
    const char *const pairs[] = {"partition.kind", "shards", NULL}; /* ten clients, two shards */
    weft_partition *p = build(pairs, &rows, ROWS);
    for (int32_t c = 0; c < 10; c++) {
        assert_int_equal(size_of(p, c), 100);
        assert_true(classes_of(p, c) <= 2);
    }
    weft_partition_free(p);
    weft_rows values = rows;
    values.label = NULL, values.target = target, values.num_labels = 1;
    const char *const one[] = {"partition.kind", "shards", "partition.shards_per_client", "1",
                               NULL};
    p = build(one, &values, ROWS);
    for (int32_t c = 0; c < 10; c++) /* a run of neighbouring targets */
        assert_int_equal(p->row[p->offset[c + 1] - 1] - p->row[p->offset[c]], 99);
    weft_partition_free(p);
}

static void quantity_varies_sizes_alone(void **state) {
    (void)state;
    const char *const skewed[] = {
        "partition.kind", "quantity", "partition.alpha", "0.3", "partition.min_rows", "5", NULL};
    weft_partition *p = build(skewed, &rows, ROWS);
    int64_t least = ROWS, most = 0;
    for (int32_t c = 0; c < 10; c++) {
        least = size_of(p, c) < least ? size_of(p, c) : least;
        most = size_of(p, c) > most ? size_of(p, c) : most;
    }
    assert_true(least >= 5 && most > 200);
    weft_partition_free(p);
    const char *const even[] = {"partition.kind", "quantity", "partition.alpha", "1000000", NULL};
    p = build(even, &rows, ROWS);
    for (int32_t c = 0; c < 10; c++) assert_true(size_of(p, c) >= 98 && size_of(p, c) <= 102);
    weft_partition_free(p);
}

static void natural_follows_the_rows(void **state) {
    (void)state;
    const char *const all[] = {"partition.kind", "natural", NULL};
    weft_partition *p = build(all, &rows, ROWS);
    assert_int_equal(p->n_clients, 4); /* client 3 has no rows */
    for (int i = 0; i < ROWS; i++) assert_int_equal(owner_of[i], natural[i] == 4 ? 3 : natural[i]);
    weft_partition_free(p);
    const char *const large[] = {"partition.kind", "natural", "partition.min_rows", "100", NULL};
    p = build(large, &rows, 950);
    assert_int_equal(p->n_clients, 2);
    assert_int_equal(size_of(p, 0), 700);
    assert_int_equal(size_of(p, 1), 250);
    weft_partition_free(p);
}

static void the_seed_decides(void **state) {
    (void)state;
    static const char *const kinds[] = {"iid", "dirichlet", "pathological", "shards", "quantity"};
    for (size_t k = 0; k < 5; k++) {
        const char *const pairs[] = {"partition.kind", kinds[k], "run.seed", "1", NULL};
        const char *const other[] = {"partition.kind", kinds[k], "run.seed", "2", NULL};
        weft_partition *a = build(pairs, &rows, ROWS), *b = build(pairs, &rows, ROWS),
                       *c = build(other, &rows, ROWS);
        check_same("offset", a->offset, b->offset, sizeof *a->offset * 11);
        check_same("row", a->row, b->row, sizeof *a->row * ROWS);
        assert_memory_not_equal(a->row, c->row, sizeof *a->row * ROWS);
        weft_partition_free(a);
        weft_partition_free(b);
        weft_partition_free(c);
    }
    weft_partition_free(NULL);
}

static void bad_requests_give_one_clear_line(void **state) {
    (void)state;
    weft_rows values = rows, bare = rows, strange = rows, foreign = rows, none = rows;
    values.label = NULL, values.target = target, values.num_labels = 1;
    bare.client = NULL;
    strange.num_labels = 9;
    foreign.n_clients = 4;
    none.n_rows = 0;
    const struct {
        const weft_rows *data;
        weft_status status;
        const char *pairs[9];
        const char *message;
    } cases[] = {
        {&rows,
         WEFT_E_CONFIG,
         {"fl.num_clients", "1001"},
         "fl.num_clients=1001 is more than the 1000 training rows: lower it"},
        {&rows,
         WEFT_E_CONFIG,
         {"fl.num_clients", "200", "partition.min_rows", "6"},
         "partition.min_rows=6 for each of fl.num_clients=200 clients is more than the 1000 "
         "training "
         "rows: lower one of them"},
        {&rows,
         WEFT_E_CONFIG,
         {"partition.kind", "dirichlet", "partition.alpha", "0.01", "partition.min_rows", "90"},
         "none of 1000 draws of partition.kind=dirichlet gave every one of 10 clients "
         "partition.min_rows=90 of 1000 rows (best: smallest client "},
        {&values,
         WEFT_E_CONFIG,
         {"partition.kind", "dirichlet"},
         "partition.kind=dirichlet needs classes, but the rows are for regression: use iid, "
         "quantity, "
         "shards or natural"},
        {&values,
         WEFT_E_CONFIG,
         {"partition.kind", "pathological"},
         "partition.kind=pathological needs classes"},
        {&rows,
         WEFT_E_CONFIG,
         {"partition.kind", "pathological", "partition.classes_per_client", "11"},
         "partition.classes_per_client=11 is more than the 10 classes of the rows: lower it"},
        {&rows,
         WEFT_E_CONFIG,
         {"partition.kind", "pathological", "fl.num_clients", "4"},
         "4 clients with partition.classes_per_client=2 cannot hold 10 classes: raise it or "
         "fl.num_clients"},
        {&rows,
         WEFT_E_CONFIG,
         {"partition.kind", "pathological", "fl.num_clients", "1000",
          "partition.classes_per_client", "1", "partition.min_rows", "1"},
         NULL}, /* one row each: fine */
        {&rows,
         WEFT_E_CONFIG,
         {"partition.kind", "shards", "partition.shards_per_client", "101"},
         "10 clients with partition.shards_per_client=101 need more shards than there are rows "
         "(1000): lower one of them"},
        {&bare,
         WEFT_E_CONFIG,
         {"partition.kind", "natural"},
         "partition.kind=natural, but the rows carry no clients: set data.client_column"},
        {&rows,
         WEFT_E_CONFIG,
         {"partition.kind", "natural", "partition.min_rows", "701"},
         "none of the 5 natural clients holds partition.min_rows=701 rows: lower it"},
        {&strange, WEFT_E_DATA, {NULL}, "label 9 of row 9 is outside the 9 classes"},
        {&foreign,
         WEFT_E_DATA,
         {"partition.kind", "natural"},
         "client 4 of row 700 is outside the 4 clients"},
        {&none, WEFT_E_DATA, {NULL}, "0 training rows; from 1 to 2147483647 can be split"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        weft_config *c = config_of(cases[i].pairs);
        weft_partition *p = NULL;
        weft_error err = {0};
        weft_status st = weft_partition_build(&p, c, cases[i].data, &err);
        if (cases[i].message) {
            assert_int_equal(st, cases[i].status);
            assert_memory_equal(err.text, cases[i].message, strlen(cases[i].message));
            assert_null(p);
        } else {
            check_ok(st, &err);
            weft_partition_free(p);
        }
        weft_config_free(c);
    }
}

/* A client that the even shares of scarce classes leave with too little. */
static void a_small_client_is_named(void **state) {
    (void)state;
    static int32_t scarce[40]; /* class 1 has one row, shared by two clients */
    scarce[7] = 1;
    weft_rows few = {.n_rows = 40, .label = scarce, .num_labels = 2};
    const char *const pairs[] = {"partition.kind",
                                 "pathological",
                                 "partition.classes_per_client",
                                 "1",
                                 "fl.num_clients",
                                 "4",
                                 NULL};
    weft_config *c = config_of(pairs);
    weft_partition *p = NULL;
    weft_error err = {0};
    assert_int_equal(weft_partition_build(&p, c, &few, &err), WEFT_E_CONFIG);
    assert_non_null(strstr(err.text, "would hold 0 rows, fewer than partition.min_rows=1: lower "
                                     "fl.num_clients or partition.classes_per_client"));
    weft_config_free(c);
}

static void partitions_from_outside_are_checked(void **state) {
    (void)state;
    static const struct {
        int64_t offset[4];
        int32_t row[5];
        const char *message;
    } cases[] = {
        {{0, 2, 3, 5}, {0, 4, 2, 1, 3}, NULL},
        {{0, 2, 2, 5}, {0, 4, 2, 1, 3}, "partition: client 1 holds no rows"},
        {{1, 2, 3, 5}, {0, 4, 2, 1, 3}, "partition: the first offset is 1, not 0"},
        {{0, 3, 2, 5}, {0, 2, 4, 1, 3}, "partition: client 1 ends at 2, outside [3, 5]"},
        {{0, 2, 3, 6}, {0, 4, 2, 1, 3}, "partition: client 2 ends at 6, outside [3, 5]"},
        {{0, 2, 3, 5},
         {0, 5, 2, 1, 3},
         "partition: client 0 holds row 5, but there are 5 training rows (from 0)"},
        {{0, 2, 3, 5},
         {-1, 4, 2, 1, 3},
         "partition: client 0 holds row -1, but there are 5 training rows (from 0)"},
        {{0, 2, 3, 5}, {0, 4, 0, 1, 3}, "partition: row 0 of client 1 is given out twice"},
        {{0, 2, 3, 5},
         {4, 0, 2, 1, 3},
         "partition: the rows of client 0 are not ascending (0 after 4)"},
    };
    weft_rows five = {.n_rows = 5, .num_labels = 1};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        int64_t offset[4];
        int32_t row[5];
        memcpy(offset, cases[i].offset, sizeof offset);
        memcpy(row, cases[i].row, sizeof row);
        weft_partition p = {.n_clients = 3, .offset = offset, .row = row};
        weft_error err = {0};
        weft_status st = weft_partition_check(&p, &five, &err);
        if (!cases[i].message) {
            check_ok(st, &err);
            continue;
        }
        assert_int_equal(st, WEFT_E_DATA);
        assert_string_equal(err.text, cases[i].message);
    }
    weft_partition empty = {0};
    assert_int_equal(weft_partition_check(&empty, &five, NULL), WEFT_E_DATA);
}

/* Three clients of 3, 1 and 2 rows over two classes of 4 and 2 used rows; by hand. */
static void statistics_by_hand(void **state) {
    (void)state;
    static const int32_t classes[] = {0, 0, 1, 0, 1, 1, 0};
    int64_t offset[] = {0, 3, 4, 6};
    int32_t row[] = {0, 1, 3, 2, 4, 6};
    weft_rows data = {.n_rows = 7, .label = classes, .num_labels = 2};
    weft_partition p = {.n_clients = 3, .offset = offset, .row = row};
    weft_partition_stats s;
    weft_error err = {0};
    check_ok(weft_partition_stats_get(&s, &p, &data, &err), &err);
    assert_int_equal(s.n_clients, 3);
    assert_int_equal(s.rows, 6);
    assert_int_equal(s.rows_unused, 1);
    assert_true(s.rows_min == 1 && s.rows_median == 2 && s.rows_max == 3);
    assert_true(s.classes_min == 1 && s.classes_max == 2);
    assert_true(fabs(s.classes_mean - 4.0 / 3) < 1e-15);
    /* shares of class 0: 1, 0, 1/2 against 4/6 */
    assert_true(fabs(s.label_skew - (2.0 / 6 + 4.0 / 6 + 1.0 / 6) / 3) < 1e-15);
    data.label = NULL;
    check_ok(weft_partition_stats_get(&s, &p, &data, &err), &err);
    assert_true(s.rows_median == 2 && s.classes_max == 0 && s.label_skew == 0);
    const char *const pairs[] = {"partition.kind", "dirichlet", NULL};
    weft_partition *drawn = build(pairs, &rows, ROWS);
    check_ok(weft_partition_stats_get(&s, drawn, &rows, &err), &err);
    assert_true(fabs(s.label_skew - skew_of(drawn)) < 1e-12);
    weft_partition_free(drawn);
}

int main(void) {
    fill();
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(iid_is_even_and_shuffled),
        cmocka_unit_test(dirichlet_skews_with_alpha),
        cmocka_unit_test(dirichlet_has_its_moments),
        cmocka_unit_test(pathological_gives_n_classes),
        cmocka_unit_test(shards_hold_few_classes),
        cmocka_unit_test(quantity_varies_sizes_alone),
        cmocka_unit_test(natural_follows_the_rows),
        cmocka_unit_test(the_seed_decides),
        cmocka_unit_test(bad_requests_give_one_clear_line),
        cmocka_unit_test(a_small_client_is_named),
        cmocka_unit_test(partitions_from_outside_are_checked),
        cmocka_unit_test(statistics_by_hand),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
