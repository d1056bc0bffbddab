#include "bench/synthetic_job.h"

#include <stdio.h>
#include <string.h>

#ifdef WEFT_BENCH_CUDA
#    include "kernels/dev.h"
extern const wk_backend wk_backend_cuda;
#endif

static weft_status configure(weft_config *c, int clients, const char *const pairs[][2],
                             weft_error *err) {
    char count[16];
    (void)snprintf(count, sizeof count, "%d", clients);
    const char *const own[][2] = {{"lora.r", "8"},
                                  {"partition.kind", "natural"},
                                  {"data.client_column", "client"},
                                  {"fl.num_clients", count},
                                  {NULL, NULL}};
    for (int i = 0; own[i][0]; i++)
        if (weft_config_set(c, own[i][0], own[i][1], NULL, err) != WEFT_OK) return err->status;
    for (int i = 0; pairs[i][0]; i++)
        if (weft_config_set(c, pairs[i][0], pairs[i][1], NULL, err) != WEFT_OK) return err->status;
    return weft_config_finish(c, err);
}

bool synthetic_job_open(synthetic_job *job, synthetic_model *model, const synthetic_rows *shape,
                        const char *const pairs[][2], weft_error *err) {
    memset(job, 0, sizeof *job);
    if (!synthetic_rows_make(&job->rows, shape, model->shape->vocab)) {
        (void)snprintf(err->text, sizeof err->text, "no memory for rows");
        return false;
    }
    if (weft_config_new(&job->config, err) != WEFT_OK) return false;
    if (configure(job->config, shape->clients, pairs, err) != WEFT_OK) return false;
    if (weft_partition_build(&job->partition, job->config, &job->rows, err) != WEFT_OK)
        return false;
    weft_engine_options o = WEFT_ENGINE_OPTIONS_INIT;
    o.config = job->config, o.model = synthetic_source(model);
    o.train = &job->rows, o.partition = job->partition;
#ifdef WEFT_BENCH_CUDA
    o.backend = &wk_backend_cuda;
#endif
    return weft_plan_build(&job->plan, &o, err) == WEFT_OK &&
           weft_engine_open(&job->engine, &o, err) == WEFT_OK;
}

void synthetic_job_close(synthetic_job *job) {
    weft_engine_close(job->engine);
    weft_partition_free(job->partition);
    weft_config_free(job->config);
    synthetic_rows_free(&job->rows);
    memset(job, 0, sizeof *job);
}
