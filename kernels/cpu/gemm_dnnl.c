/* Every call to oneDNN: matmul primitives on prepacked weights, for fixed panels of rows.
 *
 * With some implementations the bits of a row depend on the number of rows and threads of the call.
 * So each call has PANEL rows (the last ones padded in scratch) and runs on one thread; our loop
 * gives panels to threads. Primitives, scratchpads and memory objects are made when a weight is
 * packed, not in a step. Written for the C API of v2 and of v3. */
#include "kernels/cpu/cpu.h"

#if defined(WK_HAVE_DNNL) && defined(_OPENMP)

#    include "kernels/ref/host_memory.h"

#    include <dnnl.h>
#    include <omp.h>
#    include <stdio.h>
#    include <string.h>

/* 48, 64 and 96 kept a row's bits with every implementation tried; 48 lets 64 tokens feed two
 * cores. */
#    define PANEL 48

/* Memory descriptors are structs in v2 and handles in v3. */
#    if DNNL_VERSION_MAJOR >= 3
typedef dnnl_memory_desc_t desc;
#        define DESC_REF(d) (d)
#    else
typedef dnnl_memory_desc_t desc;
#        define DESC_REF(d) (&(d))
#    endif

typedef struct objects { /* of one thread */
    dnnl_memory_t src, weights, dst, scratch;
} objects;

typedef struct plan {
    struct plan *next;
    int64_t n, k;
    dnnl_primitive_t primitive;
    desc src, weights, dst, scratch;
    size_t weight_bytes, scratch_bytes;
    objects *thread;
} plan;

struct cpu_dnnl {
    dnnl_engine_t engine;
    int threads;
    dnnl_stream_t *stream; /* one per thread */
    uintptr_t *buffer;     /* one per thread: padded input panel, output panel, scratchpad */
    size_t buffer_bytes;
    plan *plans;
    char name[48];
};

static weft_status failed(wk_dev *dev, const char *what, dnnl_status_t st) {
    return WEFT_FAIL(&dev->ctx->err, st == dnnl_out_of_memory ? WEFT_E_MEM : WEFT_E_DEVICE,
                     "oneDNN: %s failed with status %d", what, (int)st);
}

#    define DNNL_TRY(dev, call)                                                                    \
        do {                                                                                       \
            dnnl_status_t dnnl_st_ = (call);                                                       \
            if (dnnl_st_ != dnnl_success) return failed(dev, #call, dnnl_st_);                     \
        } while (0)

/* ---- descriptors and primitives: the calls that differ between v2 and v3 ---- */

static dnnl_status_t desc_matrix(desc *d, int64_t rows, int64_t cols, dnnl_format_tag_t tag) {
    const dnnl_dims_t dims = {rows, cols};
#    if DNNL_VERSION_MAJOR >= 3
    return dnnl_memory_desc_create_with_tag(d, 2, dims, dnnl_f32, tag);
#    else
    return dnnl_memory_desc_init_by_tag(d, 2, dims, dnnl_f32, tag);
#    endif
}

/* (rows, cols) floats of any strides. */
static dnnl_status_t desc_strided(desc *d, int64_t rows, int64_t cols, int64_t row_stride,
                                  int64_t col_stride) {
    const dnnl_dims_t dims = {rows, cols}, strides = {row_stride, col_stride};
#    if DNNL_VERSION_MAJOR >= 3
    return dnnl_memory_desc_create_with_strides(d, 2, dims, dnnl_f32, strides);
#    else
    return dnnl_memory_desc_init_by_strides(d, 2, dims, dnnl_f32, strides);
#    endif
}

static void desc_free(desc *d) {
#    if DNNL_VERSION_MAJOR >= 3
    if (*d) (void)dnnl_memory_desc_destroy(*d);
#    else
    (void)d;
#    endif
}

static dnnl_status_t desc_query(desc *d, const_dnnl_primitive_desc_t from, dnnl_query_t what) {
#    if DNNL_VERSION_MAJOR >= 3
    if (*d) (void)dnnl_memory_desc_destroy(*d);
    *d = NULL;
    return dnnl_memory_desc_clone(d, dnnl_primitive_desc_query_md(from, what, 0));
#    else
    *d = *dnnl_primitive_desc_query_md(from, what, 0);
    return dnnl_success;
#    endif
}

static dnnl_status_t matmul_desc(dnnl_primitive_desc_t *out, dnnl_engine_t engine, plan *p,
                                 const_dnnl_primitive_attr_t attr) {
#    if DNNL_VERSION_MAJOR >= 3
    return dnnl_matmul_primitive_desc_create(out, engine, p->src, p->weights, NULL, p->dst, attr);
#    else
    dnnl_matmul_desc_t op;
    const dnnl_status_t st = dnnl_matmul_desc_init(&op, &p->src, &p->weights, NULL, &p->dst);
    return st == dnnl_success ? dnnl_primitive_desc_create(out, &op, attr, engine, NULL) : st;
#    endif
}

/* ---- plans ---- */

static void free_plan(wk_dev *dev, cpu_dnnl *dnnl, plan *p) {
    for (int i = 0; p->thread && i < dnnl->threads; i++) {
        const dnnl_memory_t all[] = {p->thread[i].src, p->thread[i].weights, p->thread[i].dst,
                                     p->thread[i].scratch};
        for (size_t j = 0; j < sizeof all / sizeof *all; j++)
            if (all[j]) (void)dnnl_memory_destroy(all[j]);
    }
    if (p->primitive) (void)dnnl_primitive_destroy(p->primitive);
    desc_free(&p->src), desc_free(&p->weights), desc_free(&p->dst), desc_free(&p->scratch);
    wk_host_free(dev->ctx, p->thread);
    wk_host_free(dev->ctx, p);
}

/* What oneDNN says of shape (p->n, p->k): takes no memory of ours. */
static dnnl_status_t describe(dnnl_primitive_desc_t *pd, cpu_dnnl *dnnl, plan *p) {
    dnnl_primitive_attr_t attr = NULL;
    dnnl_status_t st = desc_matrix(&p->src, PANEL, p->k, dnnl_ab);
    if (st == dnnl_success) st = desc_matrix(&p->weights, p->k, p->n, dnnl_format_tag_any);
    if (st == dnnl_success) st = desc_matrix(&p->dst, PANEL, p->n, dnnl_ab);
    if (st == dnnl_success) st = dnnl_primitive_attr_create(&attr);
    if (st == dnnl_success)
        st = dnnl_primitive_attr_set_scratchpad_mode(attr, dnnl_scratchpad_mode_user);
    if (st == dnnl_success) st = matmul_desc(pd, dnnl->engine, p, attr);
    if (attr) (void)dnnl_primitive_attr_destroy(attr);
    if (st == dnnl_success) st = desc_query(&p->weights, *pd, dnnl_query_weights_md);
    if (st == dnnl_success) st = desc_query(&p->scratch, *pd, dnnl_query_scratchpad_md);
    if (st != dnnl_success) return st;
    p->weight_bytes = dnnl_memory_desc_get_size(DESC_REF(p->weights));
    p->scratch_bytes = dnnl_memory_desc_get_size(DESC_REF(p->scratch));
    return st;
}

static weft_status make_primitive(wk_dev *dev, cpu_dnnl *dnnl, plan *p) {
    dnnl_primitive_desc_t pd = NULL;
    const char *name = NULL;
    dnnl_status_t st = describe(&pd, dnnl, p);
    if (st == dnnl_success) st = dnnl_primitive_create(&p->primitive, pd);
    if (st == dnnl_success)
        st = dnnl_primitive_desc_query(pd, dnnl_query_impl_info_str, 0, (void *)&name);
    if (name) (void)snprintf(dnnl->name, sizeof dnnl->name, "%s", name);
    if (pd) (void)dnnl_primitive_desc_destroy(pd);
    return st == dnnl_success ? WEFT_OK : failed(dev, "making a matmul primitive", st);
}

static weft_status make_objects(wk_dev *dev, cpu_dnnl *dnnl, plan *p) {
    void *memory = NULL;
    WEFT_TRY(
        wk_host_alloc(dev->ctx, &memory, (size_t)dnnl->threads, sizeof(objects), "oneDNN objects"));
    p->thread = memory;
    for (int i = 0; i < dnnl->threads; i++) {
        objects *o = &p->thread[i];
        DNNL_TRY(dev,
                 dnnl_memory_create(&o->src, DESC_REF(p->src), dnnl->engine, DNNL_MEMORY_NONE));
        DNNL_TRY(dev, dnnl_memory_create(&o->weights, DESC_REF(p->weights), dnnl->engine,
                                         DNNL_MEMORY_NONE));
        DNNL_TRY(dev,
                 dnnl_memory_create(&o->dst, DESC_REF(p->dst), dnnl->engine, DNNL_MEMORY_NONE));
        DNNL_TRY(dev, dnnl_memory_create(&o->scratch, DESC_REF(p->scratch), dnnl->engine,
                                         DNNL_MEMORY_NONE));
    }
    return WEFT_OK;
}

/* Room for the padded panels and the scratchpad of the largest plan; shared by all plans. */
static weft_status grow_buffers(wk_dev *dev, cpu_dnnl *dnnl, const plan *p) {
    const size_t want = (size_t)(PANEL * (p->k + p->n)) * sizeof(float) + 128 + p->scratch_bytes;
    if (want <= dnnl->buffer_bytes) return WEFT_OK;
    dnnl->buffer_bytes = 0;
    for (int i = 0; i < dnnl->threads; i++) {
        ref_host_release(dev, dnnl->buffer[i]);
        dnnl->buffer[i] = 0;
        WEFT_TRY(ref_host_alloc(dev, &dnnl->buffer[i], want));
    }
    dnnl->buffer_bytes = want;
    return WEFT_OK;
}

static plan *find_plan(const cpu_dnnl *dnnl, int64_t n, int64_t k) {
    plan *p = dnnl->plans;
    while (p && (p->n != n || p->k != k)) p = p->next;
    return p;
}

weft_status cpu_dnnl_plan(wk_dev *dev, cpu_dnnl *dnnl, int64_t n, int64_t k, const void **out) {
    *out = find_plan(dnnl, n, k);
    if (*out) return WEFT_OK;
    void *memory = NULL;
    WEFT_TRY(wk_host_alloc(dev->ctx, &memory, 1, sizeof(plan), "oneDNN plan"));
    plan *p = memory;
    p->n = n, p->k = k;
    weft_status st = make_primitive(dev, dnnl, p);
    if (st == WEFT_OK) st = make_objects(dev, dnnl, p);
    if (st == WEFT_OK) st = grow_buffers(dev, dnnl, p);
    if (st != WEFT_OK) {
        free_plan(dev, dnnl, p);
        return st;
    }
    p->next = dnnl->plans;
    dnnl->plans = p;
    *out = p;
    return WEFT_OK;
}

size_t cpu_dnnl_bytes(wk_dev *dev, cpu_dnnl *dnnl, int64_t n, int64_t k) {
    const plan *known = find_plan(dnnl, n, k);
    if (known) return known->weight_bytes;
    plan p = {.n = n, .k = k};
    dnnl_primitive_desc_t pd = NULL;
    const dnnl_status_t st = describe(&pd, dnnl, &p);
    if (pd) (void)dnnl_primitive_desc_destroy(pd);
    desc_free(&p.src), desc_free(&p.weights), desc_free(&p.dst), desc_free(&p.scratch);
    if (st == dnnl_success) return p.weight_bytes;
    /* Not a property of the shape: packing comes next and tells. */
    if (st == dnnl_out_of_memory) return (size_t)(n * k) * sizeof(float);
    wk_log(dev->ctx, WK_LOG_WARN, "cpu",
           "oneDNN has no product of width %lld over %lld (status %d); such weights run in plain "
           "loops, slowly",
           (long long)n, (long long)k, (int)st);
    return 0;
}

weft_status cpu_dnnl_pack(wk_dev *dev, cpu_dnnl *dnnl, const void *of, void *packed, wk_tensor w,
                          bool transposed) {
    const plan *p = of;
    desc plain;
    memset(&plain, 0, sizeof plain);
    DNNL_TRY(dev, desc_strided(&plain, p->k, p->n, transposed ? 1 : w.ld, transposed ? w.ld : 1));
    dnnl_memory_t from = NULL, to = NULL;
    dnnl_primitive_desc_t pd = NULL;
    dnnl_primitive_t reorder = NULL;
    dnnl_status_t st = dnnl_memory_create(&from, DESC_REF(plain), dnnl->engine, w.data);
    if (st == dnnl_success)
        st = dnnl_memory_create(&to, DESC_REF(p->weights), dnnl->engine, packed);
    if (st == dnnl_success)
        st = dnnl_reorder_primitive_desc_create(&pd, DESC_REF(plain), dnnl->engine,
                                                DESC_REF(p->weights), dnnl->engine, NULL);
    if (st == dnnl_success) st = dnnl_primitive_create(&reorder, pd);
    const dnnl_exec_arg_t args[] = {{DNNL_ARG_FROM, from}, {DNNL_ARG_TO, to}};
    if (st == dnnl_success) st = dnnl_primitive_execute(reorder, dnnl->stream[0], 2, args);
    if (st == dnnl_success) st = dnnl_stream_wait(dnnl->stream[0]);
    if (reorder) (void)dnnl_primitive_destroy(reorder);
    if (pd) (void)dnnl_primitive_desc_destroy(pd);
    if (to) (void)dnnl_memory_destroy(to);
    if (from) (void)dnnl_memory_destroy(from);
    desc_free(&plain);
    return st == dnnl_success ? WEFT_OK : failed(dev, "packing a weight", st);
}

/* ---- running ---- */

/* y = (y + bias) + residual, or old + y, on one row that oneDNN has just written to `sum`. */
static void finish_row(const cpu_gemm_call *g, const float *sum, int64_t row) {
    float *y = cpu_row(g->out, row);
    const float *bias = g->bias.data,
                *residual = wk_given(g->residual) ? cpu_row(g->residual, row) : NULL;
    for (int64_t j = 0; j < g->n; j++) {
        float s = sum[j];
        if (g->accumulate) s = y[j] + s;
        if (bias) s += bias[j];
        if (residual) s += residual[j];
        y[j] = s;
    }
}

static dnnl_status_t run_panel(const cpu_dnnl *dnnl, const cpu_gemm_call *g, int64_t first,
                               int64_t rows, int thread) {
    const plan *p = g->plan;
    const objects *o = &p->thread[thread];
    float *in = (float *)dnnl->buffer[thread], *out = in + PANEL * p->k,
          *spare = out + PANEL * p->n;
    const uintptr_t scratch = ((uintptr_t)spare + 63) / 64 * 64;
    void *src = wk_row_ptr(g->in, first);
    if (rows < PANEL || g->in.ld != p->k) {
        for (int64_t i = 0; i < rows; i++)
            memcpy(in + i * p->k, cpu_row(g->in, first + i), (size_t)p->k * sizeof *in);
        memset(in + rows * p->k, 0, (size_t)((PANEL - rows) * p->k) * sizeof *in);
        src = in;
    }
    const bool direct =
        rows == PANEL && g->out.ld == p->n && !g->accumulate && !wk_given(g->residual);
    float *dst = direct ? cpu_row(g->out, first) : out;
    dnnl_status_t st = dnnl_memory_set_data_handle(o->src, src);
    if (st == dnnl_success)
        st = dnnl_memory_set_data_handle(o->weights, (void *)(uintptr_t)g->packed);
    if (st == dnnl_success) st = dnnl_memory_set_data_handle(o->dst, dst);
    if (st == dnnl_success && p->scratch_bytes)
        st = dnnl_memory_set_data_handle(o->scratch, (void *)scratch);
    const dnnl_exec_arg_t args[] = {{DNNL_ARG_SRC, o->src},
                                    {DNNL_ARG_WEIGHTS, o->weights},
                                    {DNNL_ARG_DST, o->dst},
                                    {DNNL_ARG_SCRATCHPAD, o->scratch}};
    if (st == dnnl_success)
        st = dnnl_primitive_execute(p->primitive, dnnl->stream[thread], 4, args);
    if (st == dnnl_success) st = dnnl_stream_wait(dnnl->stream[thread]);
    if (st != dnnl_success || (direct && !wk_given(g->bias))) return st;
    for (int64_t i = 0; i < rows; i++) finish_row(g, dst + i * p->n, first + i);
    return st;
}

weft_status cpu_dnnl_run(wk_dev *dev, cpu_dnnl *dnnl, const cpu_gemm_call *g) {
    const int64_t m = g->in.dim[0], panels = cpu_ceil_div(m, PANEL);
    const int threads = cpu_threads(dev, m * g->n * g->k);
    dnnl_status_t worst = dnnl_success;
#    pragma omp parallel num_threads(threads)
    {
        omp_set_num_threads(1); /* of this thread: oneDNN asks for it */
#    pragma omp for schedule(dynamic, 1)
        for (int64_t i = 0; i < panels; i++) {
            const int64_t first = i * PANEL;
            const dnnl_status_t st =
                run_panel(dnnl, g, first, cpu_min(PANEL, m - first), omp_get_thread_num());
            if (st != dnnl_success) {
#    pragma omp atomic write
                worst = st;
            }
        }
    }
    return worst == dnnl_success ? WEFT_OK : failed(dev, "matmul", worst);
}

/* ---- opening ---- */

static weft_status open_parts(wk_dev *dev, cpu_dnnl *dnnl) {
    void *memory = NULL;
    DNNL_TRY(dev, dnnl_engine_create(&dnnl->engine, dnnl_cpu, 0));
    WEFT_TRY(wk_host_alloc(dev->ctx, &memory, (size_t)dnnl->threads, sizeof(dnnl_stream_t),
                           "oneDNN streams"));
    dnnl->stream = memory;
    WEFT_TRY(wk_host_alloc(dev->ctx, &memory, (size_t)dnnl->threads, sizeof(uintptr_t),
                           "oneDNN buffers"));
    dnnl->buffer = memory;
    for (int i = 0; i < dnnl->threads; i++)
        DNNL_TRY(dev,
                 dnnl_stream_create(&dnnl->stream[i], dnnl->engine, dnnl_stream_default_flags));
    const void *probe; /* a typical shape tells which implementation this machine gets */
    return cpu_dnnl_plan(dev, dnnl, 384, 384, &probe);
}

weft_status cpu_dnnl_open(wk_dev *dev, cpu_dnnl **out) {
    *out = NULL;
    void *memory = NULL;
    WEFT_TRY(wk_host_alloc(dev->ctx, &memory, 1, sizeof(cpu_dnnl), "oneDNN state"));
    cpu_dnnl *dnnl = memory;
    dnnl->threads = dev->threads;
    const weft_status st = open_parts(dev, dnnl);
    if (st != WEFT_OK) {
        cpu_dnnl_close(dev, dnnl);
        return st;
    }
    *out = dnnl;
    return WEFT_OK;
}

void cpu_dnnl_close(wk_dev *dev, cpu_dnnl *dnnl) {
    if (!dnnl) return;
    for (plan *p = dnnl->plans, *next; p; p = next) {
        next = p->next;
        free_plan(dev, dnnl, p);
    }
    for (int i = 0; dnnl->stream && i < dnnl->threads; i++)
        if (dnnl->stream[i]) (void)dnnl_stream_destroy(dnnl->stream[i]);
    for (int i = 0; dnnl->buffer && i < dnnl->threads; i++) ref_host_release(dev, dnnl->buffer[i]);
    if (dnnl->engine) (void)dnnl_engine_destroy(dnnl->engine);
    wk_host_free(dev->ctx, dnnl->stream);
    wk_host_free(dev->ctx, dnnl->buffer);
    wk_host_free(dev->ctx, dnnl);
}

const char *cpu_dnnl_name(const cpu_dnnl *dnnl) {
    return dnnl->name;
}

#else /* without oneDNN: open refuses, so nothing else is ever called */

weft_status cpu_dnnl_open(wk_dev *dev, cpu_dnnl **out) {
    *out = NULL;
    return WEFT_FAIL(&dev->ctx->err, WEFT_E_UNSUPPORTED,
                     "this build has no oneDNN; configure with WEFT_ONEDNN=ON and WEFT_OPENMP=ON");
}

void cpu_dnnl_close(wk_dev *dev, cpu_dnnl *dnnl) {
    (void)dev, (void)dnnl;
}

const char *cpu_dnnl_name(const cpu_dnnl *dnnl) {
    (void)dnnl;
    return "none";
}

weft_status cpu_dnnl_plan(wk_dev *dev, cpu_dnnl *dnnl, int64_t n, int64_t k, const void **out) {
    (void)n, (void)k;
    *out = NULL;
    return cpu_dnnl_open(dev, &dnnl);
}

size_t cpu_dnnl_bytes(wk_dev *dev, cpu_dnnl *dnnl, int64_t n, int64_t k) {
    (void)dev, (void)dnnl, (void)n, (void)k;
    return 0;
}

weft_status cpu_dnnl_pack(wk_dev *dev, cpu_dnnl *dnnl, const void *of, void *packed, wk_tensor w,
                          bool transposed) {
    (void)of, (void)packed, (void)w, (void)transposed;
    return cpu_dnnl_open(dev, &dnnl);
}

weft_status cpu_dnnl_run(wk_dev *dev, cpu_dnnl *dnnl, const cpu_gemm_call *call) {
    (void)call;
    return cpu_dnnl_open(dev, &dnnl);
}

#endif
