/* Two loops over the threads of kernels/cpu, one right and one wrong, for tests/sanitize.sh: a
 * checker of races that is silent about `race none` and not about `race sum` and `race order` can
 * be believed when it is silent about the kernels. */
#include "kernels/cpu/cpu.h"

#include <stdio.h>
#include <string.h>

enum { N = 1 << 12 };
static float value[N];
static double sum;

/* Every task its own row, and the rows are read after the loop: the way of the kernels. */
static void own_rows(int threads) {
    CPU_PARALLEL_FOR(threads)
    for (int64_t i = 0; i < N; i++) value[i] = (float)i;
    for (int64_t i = 0; i < N; i++) sum += (double)value[i];
}

/* All tasks add to one number. */
static void one_sum(int threads) {
    CPU_PARALLEL_FOR(threads)
    for (int64_t i = 0; i < N; i++) sum += (double)i;
}

/* A task reads the row of its neighbour. */
static void neighbour(int threads) {
    CPU_PARALLEL_ROWS(threads)
    for (int64_t i = 0; i < N; i++) value[i] = value[(i + N / 2) % N] + 1;
}

int main(int argc, char **argv) {
    const char *what = argc > 1 ? argv[1] : "";
    for (int again = 0; again < 20; again++) {
        if (strcmp(what, "none") == 0)
            own_rows(2);
        else if (strcmp(what, "sum") == 0)
            one_sum(2);
        else if (strcmp(what, "order") == 0)
            neighbour(2);
        else
            return 2;
    }
    (void)printf("%g\n", sum);
    return 0;
}
