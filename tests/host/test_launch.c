/* labels: unit
 * Which rank this is, from the variables of each launcher. */
#include "host/launch.h"

#include "tests/check.h"

#include <string.h>

/* "NAME=value" until NULL. */
static const char *get(void *ud, const char *name) {
    const size_t n = strlen(name);
    for (const char *const *v = ud; *v; v++)
        if (strncmp(*v, name, n) == 0 && (*v)[n] == '=') return *v + n + 1;
    return NULL;
}

#define FIND(out, ...) wh_launch_find((out), get, (void *)(const char *[]){__VA_ARGS__, NULL}, &err)

static void nobody_started_it(void **state) {
    wh_launch l;
    weft_error err = {0};
    (void)state;
    assert_int_equal(FIND(&l, "HOME=/root", "RANK=3" /* alone it is anybody's */), WEFT_OK);
    assert_int_equal(l.by, WH_LAUNCH_NONE);
    assert_int_equal(l.size, 1);
    assert_int_equal(l.rank, 0);
}

static void torchrun(void **state) {
    wh_launch l;
    weft_error err = {0};
    (void)state;
    assert_int_equal(FIND(&l, "RANK=5", "WORLD_SIZE=8", "LOCAL_RANK=1", "LOCAL_WORLD_SIZE=4",
                          "MASTER_ADDR=node7", "MASTER_PORT=29500", "SLURM_PROCID=0",
                          "SLURM_STEP_ID=0", "SLURM_STEP_NUM_TASKS=2"),
                     WEFT_OK);
    assert_int_equal(l.by, WH_LAUNCH_TORCHRUN);
    assert_true(l.rank == 5 && l.size == 8 && l.local_rank == 1 && l.local_size == 4);
    assert_string_equal(l.host, "node7");
    assert_true(l.port == 29500 && l.n_ports == 1);
    /* There torchrun's own store listens at the port. */
    assert_int_equal(FIND(&l, "RANK=5", "WORLD_SIZE=8", "MASTER_ADDR=node7", "MASTER_PORT=29500",
                          "TORCHELASTIC_USE_AGENT_STORE=True"),
                     WEFT_OK);
    assert_int_equal(l.port, 29501);
}

static void torchrun_refused(void **state) {
    wh_launch l;
    weft_error err = {0};
    (void)state;
    assert_int_equal(FIND(&l, "RANK=8", "WORLD_SIZE=8"), WEFT_E_CONFIG);
    assert_non_null(strstr(err.text, "RANK=8"));
    assert_int_equal(FIND(&l, "RANK=0", "WORLD_SIZE=many"), WEFT_E_CONFIG);
    assert_non_null(strstr(err.text, "WORLD_SIZE=many"));
    assert_int_equal(FIND(&l, "RANK=0", "WORLD_SIZE=2"), WEFT_E_CONFIG);
    assert_non_null(strstr(err.text, "MASTER_ADDR"));
    assert_int_equal(FIND(&l, "RANK=0", "WORLD_SIZE=2", "MASTER_ADDR=a"), WEFT_E_CONFIG);
    assert_non_null(strstr(err.text, "MASTER_PORT"));
    assert_int_equal(FIND(&l, "RANK=0", "WORLD_SIZE=2", "MASTER_ADDR=a", "MASTER_PORT=70000"),
                     WEFT_E_CONFIG);
    assert_int_equal(FIND(&l, "RANK=0", "WORLD_SIZE=100000"), WEFT_E_CONFIG);
}

static void slurm(void **state) {
    wh_launch l, other;
    weft_error err = {0};
    (void)state;
    assert_int_equal(FIND(&l, "SLURM_PROCID=3", "SLURM_NTASKS=16", "SLURM_STEP_ID=2",
                          "SLURM_STEP_NUM_TASKS=4", "SLURM_STEP_NUM_NODES=2", "SLURM_LOCALID=1",
                          "SLURM_JOB_ID=77", "SLURM_STEP_NODELIST=gpu[03-05,9],login"),
                     WEFT_OK);
    assert_int_equal(l.by, WH_LAUNCH_SLURM);
    assert_true(l.rank == 3 && l.size == 4 && l.local_rank == 1 && l.n_tasks == 16);
    assert_string_equal(l.host, "gpu03");
    assert_true(l.port > 1024 && l.port < 32768 && l.n_ports > 1);
    /* Another step of the same job must not meet this one. */
    assert_int_equal(FIND(&other, "SLURM_PROCID=3", "SLURM_STEP_ID=3", "SLURM_STEP_NUM_TASKS=4",
                          "SLURM_JOB_ID=77", "SLURM_STEP_NODELIST=gpu03,gpu04"),
                     WEFT_OK);
    assert_string_not_equal(l.job, other.job);
    /* All on one host, and help by hand. */
    assert_int_equal(FIND(&l, "SLURM_PROCID=1", "SLURM_STEP_ID=0", "SLURM_STEP_NUM_TASKS=2",
                          "SLURM_STEP_NUM_NODES=1", "SLURM_STEP_NODELIST=gpu03"),
                     WEFT_OK);
    assert_string_equal(l.host, "127.0.0.1");
    assert_int_equal(FIND(&l, "SLURM_PROCID=1", "SLURM_STEP_ID=0", "SLURM_STEP_NUM_TASKS=2",
                          "SLURM_STEP_NODELIST=gpu03,gpu04", "MASTER_ADDR=10.0.0.1",
                          "MASTER_PORT=4000"),
                     WEFT_OK);
    assert_string_equal(l.host, "10.0.0.1");
    assert_true(l.port == 4000 && l.n_ports == 1);
}

/* The batch script itself has the variables of the whole job, but nobody started the others. */
static void slurm_without_srun(void **state) {
    wh_launch l;
    weft_error err = {0};
    (void)state;
    assert_int_equal(FIND(&l, "SLURM_PROCID=0", "SLURM_NTASKS=4", "SLURM_JOB_ID=77"), WEFT_OK);
    assert_true(l.by == WH_LAUNCH_SLURM && l.size == 1 && l.n_tasks == 4);
    assert_int_equal(FIND(&l, "SLURM_PROCID=1", "SLURM_STEP_ID=0", "SLURM_STEP_NUM_TASKS=2",
                          "SLURM_STEP_NUM_NODES=2"),
                     WEFT_E_CONFIG);
    assert_non_null(strstr(err.text, "MASTER_ADDR"));
}

/* mpirun in a Slurm job: its daemons, started by srun, leave their variables behind. */
static void open_mpi(void **state) {
    wh_launch l;
    weft_error err = {0};
    (void)state;
    assert_int_equal(FIND(&l, "OMPI_COMM_WORLD_RANK=2", "OMPI_COMM_WORLD_SIZE=4",
                          "OMPI_COMM_WORLD_LOCAL_RANK=2", "OMPI_COMM_WORLD_LOCAL_SIZE=4",
                          "SLURM_PROCID=0", "SLURM_STEP_ID=0", "SLURM_STEP_NUM_TASKS=2"),
                     WEFT_OK);
    assert_int_equal(l.by, WH_LAUNCH_OPENMPI);
    assert_true(l.rank == 2 && l.size == 4 && l.local_rank == 2);
    assert_string_equal(l.host, "127.0.0.1");
    assert_int_equal(FIND(&l, "OMPI_COMM_WORLD_RANK=2", "OMPI_COMM_WORLD_SIZE=4",
                          "OMPI_COMM_WORLD_LOCAL_SIZE=2"),
                     WEFT_OK);
    assert_string_equal(l.host, ""); /* several hosts: not told */
    assert_int_equal(FIND(&l, "PMI_RANK=1", "PMI_SIZE=2", "MASTER_ADDR=a"), WEFT_OK);
    assert_int_equal(l.by, WH_LAUNCH_PMI);
    assert_string_equal(l.host, "a");
    assert_int_equal(FIND(&l, "PMI_RANK=1", "PMI_SIZE=4", "MPI_LOCALRANKID=1", "MPI_LOCALNRANKS=4",
                          "SLURM_PROCID=0", "SLURM_STEP_ID=0", "SLURM_STEP_NUM_TASKS=1"),
                     WEFT_OK);
    assert_true(l.by == WH_LAUNCH_PMI && l.rank == 1 && l.size == 4);
    assert_int_equal(
        FIND(&l, "RANK=0", "WORLD_SIZE=1", "OMPI_COMM_WORLD_SIZE=2", "OMPI_COMM_WORLD_RANK=1"),
        WEFT_OK);
    assert_true(l.by == WH_LAUNCH_OPENMPI && l.rank == 1 && l.size == 2);
    assert_int_equal(FIND(&l, "OMPI_COMM_WORLD_SIZE=1", "OMPI_COMM_WORLD_RANK=0"), WEFT_OK);
    assert_int_equal(l.size, 1);
}

static void first_of_a_node_list(void **state) {
    static const char *const CASES[][2] = {{"n1", "n1"},
                                           {"n1,n2", "n1"},
                                           {"n[1-2]", "n1"},
                                           {"n[003,007-9]-ib,x", "n003-ib"},
                                           {"r[1-2]c[04-07]", "r1c04"},
                                           {"a-b-7,c", "a-b-7"}};
    char host[16];
    (void)state;
    for (size_t i = 0; i < sizeof CASES / sizeof *CASES; i++) {
        assert_true(wh_first_host(host, sizeof host, CASES[i][0]));
        assert_string_equal(host, CASES[i][1]);
    }
    assert_false(wh_first_host(host, sizeof host, ""));
    assert_false(wh_first_host(host, sizeof host, "n[1-2"));
    assert_false(wh_first_host(host, sizeof host, "a-name-that-is-much-too-long"));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(nobody_started_it),    cmocka_unit_test(torchrun),
        cmocka_unit_test(torchrun_refused),     cmocka_unit_test(slurm),
        cmocka_unit_test(slurm_without_srun),   cmocka_unit_test(open_mpi),
        cmocka_unit_test(first_of_a_node_list),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
