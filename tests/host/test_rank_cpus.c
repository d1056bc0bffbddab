/* labels: unit
 * How ranks on one host share out its cores. */
#include "host/ranks.h"

#include "tests/check.h"

enum { MOST_CORES = 9, MOST_RANKS = 40 };

static void cores_are_shared_evenly(void **state) {
    (void)state;
    for (int all = 1; all <= MOST_CORES; all++)
        for (int32_t n = 1; n <= MOST_RANKS; n++) {
            int ranks[MOST_CORES] = {0};
            for (int32_t i = 0; i < n; i++) {
                int first, end;
                wh_ranks_core_part(all, i, n, &first, &end);
                assert_in_range(first, 0, all - 1);
                assert_in_range(end, first + 1, all);
                if (n <= all) assert_in_range(end - first, all / n, (all + n - 1) / n);
                if (n >= all) assert_int_equal(end - first, 1);
                for (int c = first; c < end; c++) ranks[c]++;
            }
            for (int c = 0; c < all; c++)
                if (n < all)
                    assert_int_equal(ranks[c], 1);
                else
                    assert_in_range(ranks[c], n / all, (n + all - 1) / all);
        }
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(cores_are_shared_evenly)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
