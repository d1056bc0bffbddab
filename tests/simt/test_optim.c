/* The CUDA kernels of the local optimizers and of drift, on the emulator: against formulas in
 * double, and bit for bit against themselves: in other orders of threads, with other slots beside,
 * at other addresses, in smaller groups, fused and apart. */
#include "kernels/cuda/cuda.h"
#include "tests/simt/cohort.h"

/* Blocks of threads take milliseconds under sanitizers: with --few, and always when
 * this file is instrumented, the tests reach every line of a kernel but repeat little. */
#ifdef __SANITIZE_ADDRESS__
#    define INSTRUMENTED true
#elif defined(__has_feature)
#    if __has_feature(address_sanitizer) || __has_feature(memory_sanitizer)
#        define INSTRUMENTED true
#    endif
#endif
#ifndef INSTRUMENTED
#    define INSTRUMENTED false
#endif
static bool few = INSTRUMENTED;

#define TOLERANCE 2e-6

/* ---- the ops on a cohort ---- */

typedef enum job { NORM, NORM_PROX, ADAMW, ADAMW_APART, DRIFT, SGD, SGD_MOMENTUM, JOBS } job;

static const char *const job_names[] = {
    "grad_norm", "grad_norm, proximal", "adamw with drift", "adamw, drift", "drift",
    "sgd",       "sgd, nesterov"};

static float eps_of(const cohort *c) {
    return c->s.no_eps ? 0.0f : 1e-8f;
}

static void adamw(wk_dev *dev, cohort *c, bool drift) {
    wk_adamw_step_args a = {.w = c->w, .g = c->g, .m = c->m, .v = c->v, .slots = c->slots};
    a.beta1 = 0.9f, a.beta2 = 0.999f, a.eps = eps_of(c), a.weight_decay = 0.01f, a.clip = 0.7f;
    if (drift) a.drift = c->drift;
    DO(wk_adamw_step(dev, &a));
}

static void run(wk_dev *dev, cohort *c, job what) {
    switch (what) {
    case NORM:
    case NORM_PROX:
        DO(wk_grad_norm(dev, &(wk_grad_norm_args){.g = c->g,
                                                  .w = c->w,
                                                  .anchor = c->anchor,
                                                  .slots = c->slots,
                                                  .prox_mu = what == NORM ? 0 : 0.3f}));
        break;
    case ADAMW:
    case ADAMW_APART:
        adamw(dev, c, what == ADAMW);
        if (what == ADAMW) break;
        /* fallthrough */
    case DRIFT:
        DO(wk_drift(dev, &(wk_drift_args){.w = c->w, .slots = c->slots, .drift = c->drift}));
        break;
    case SGD:
        DO(wk_sgd_step(
            dev,
            &(wk_sgd_step_args){
                .w = c->w, .g = c->g, .slots = c->slots, .weight_decay = 0.02f, .clip = 0.7f}));
        break;
    case SGD_MOMENTUM:
        DO(wk_sgd_step(dev, &(wk_sgd_step_args){.w = c->w,
                                                .g = c->g,
                                                .m = c->m,
                                                .slots = c->slots,
                                                .momentum = 0.9f,
                                                .weight_decay = 0.02f,
                                                .nesterov = true}));
        break;
    case JOBS:
        break;
    }
}

/* ---- formulas ---- */

static double at(wk_tensor t, int64_t k, int64_t j) {
    return (double)((const float *)wk_row_ptr(t, k))[j];
}

static double clip_of(const cohort *c, int64_t k, double clip) {
    return fmin(1, clip / (sqrt(((const double *)c->slots.sqnorm.data)[k]) + 1e-6));
}

/* The distance and sketch of `now`, in double, from the numbers that it holds. */
static void check_drift(const cohort *now, int64_t k, const char *name) {
    const int32_t rows = now->s.rows;
    double *sketch = calloc((size_t)rows * WK_SKETCH_WIDTH + 1, sizeof *sketch), distance = 0;
    worst far = {0}, wide = {0};
    FOR (i, now->s.p) {
        const double delta = at(now->w, k, i) - at(now->anchor, i, 0);
        const unsigned sign = ((const uint8_t *)now->drift.sign.data)[i];
        const uint8_t *rot = wk_row_ptr(now->drift.rot, i / WK_SKETCH_WIDTH);
        distance += delta * delta;
        FOR (j, rows)
            sketch[j * WK_SKETCH_WIDTH + (i % WK_SKETCH_WIDTH ^ rot[j])] +=
                sign >> j & 1 ? -delta : delta;
    }
    compare(&far, ((const double *)now->drift.sqnorm.data)[k], distance);
    FOR (b, rows * WK_SKETCH_WIDTH) compare(&wide, at(now->drift.sketch, k, b), sketch[b]);
    EXPECT(within(far, TOLERANCE), "%s: distance off by %.3g of %.3g", name, far.diff, far.scale);
    EXPECT(within(wide, TOLERANCE), "%s: sketch off by %.3g of %.3g", name, wide.diff, wide.scale);
    free(sketch);
}

static void check_norm(const cohort *was, const cohort *now, int64_t k, bool prox) {
    double sum = 0;
    worst w = {0}, pulled = {0};
    FOR (j, was->s.p) {
        const double by = (double)0.3f * (at(was->w, k, j) - at(was->anchor, j, 0));
        compare(&pulled, at(now->g, k, j), at(was->g, k, j) + (prox ? by : 0));
        sum += at(now->g, k, j) * at(now->g, k, j);
    }
    compare(&w, ((const double *)now->slots.sqnorm.data)[k], sum);
    EXPECT(within(pulled, TOLERANCE), "grad_norm: g off by %.3g", pulled.diff);
    EXPECT(within(w, 1e-13), "grad_norm: sum off by %.3g of %.3g", w.diff, w.scale);
}

static void check_adamw(const cohort *was, const cohort *now, int64_t k) {
    const double b1 = (double)0.9f, b2 = (double)0.999f, eps = (double)eps_of(was);
    const double lr = (double)((const float *)was->slots.lr.data)[k];
    const double step = ((const int32_t *)was->slots.step.data)[k];
    const double clip = clip_of(was, k, (double)0.7f);
    worst w = {0}, m = {0}, v = {0};
    FOR (j, was->s.p) {
        const double g = clip * at(was->g, k, j);
        const double m1 = b1 * at(was->m, k, j) + (1 - b1) * g;
        const double v1 = b2 * at(was->v, k, j) + (1 - b2) * g * g;
        const double mhat = m1 / (1 - pow(b1, step)), vhat = v1 / (1 - pow(b2, step));
        compare(&m, at(now->m, k, j), m1);
        compare(&v, at(now->v, k, j), v1);
        compare(&w, at(now->w, k, j),
                at(was->w, k, j) * (1 - lr * (double)0.01f) - lr * mhat / (sqrt(vhat) + eps));
    }
    EXPECT(within(m, TOLERANCE), "adamw: m off by %.3g of %.3g", m.diff, m.scale);
    EXPECT(within(v, TOLERANCE), "adamw: v off by %.3g of %.3g", v.diff, v.scale);
    EXPECT(within(w, TOLERANCE), "adamw: w off by %.3g of %.3g", w.diff, w.scale);
}

static void check_sgd(const cohort *was, const cohort *now, int64_t k, bool momentum) {
    const double lr = (double)((const float *)was->slots.lr.data)[k], mu = (double)0.9f;
    const bool first = ((const int32_t *)was->slots.step.data)[k] == 1;
    const double clip = momentum ? 1 : clip_of(was, k, (double)0.7f);
    worst w = {0}, m = {0};
    FOR (j, was->s.p) {
        const double g = clip * at(was->g, k, j) + (double)0.02f * at(was->w, k, j);
        const double m1 = first ? g : mu * at(was->m, k, j) + g;
        compare(&m, at(now->m, k, j), momentum ? m1 : at(was->m, k, j));
        compare(&w, at(now->w, k, j), at(was->w, k, j) - lr * (momentum ? g + mu * m1 : g));
    }
    EXPECT(within(m, TOLERANCE), "sgd: m off by %.3g of %.3g", m.diff, m.scale);
    EXPECT(within(w, TOLERANCE), "sgd: w off by %.3g of %.3g", w.diff, w.scale);
}

static void check_formula(const cohort *was, const cohort *now, job what) {
    FOR (k, was->s.k) {
        if (!active(was->s.first + k)) {
            EXPECT(same_slot(was, k, now, k), "%s: slot %d at rest was touched", job_names[what],
                   (int)k);
            continue;
        }
        if (what == NORM || what == NORM_PROX) check_norm(was, now, k, what == NORM_PROX);
        if (what == ADAMW || what == ADAMW_APART) check_adamw(was, now, k);
        if (what == ADAMW || what == ADAMW_APART || what == DRIFT)
            check_drift(now, k, job_names[what]);
        if (what == SGD || what == SGD_MOMENTUM) check_sgd(was, now, k, what == SGD_MOMENTUM);
    }
}

/* What lies between the operands' numbers is as it was. */
static void check_poison(const cohort *was, cohort *now, job what) {
    cohort copy = *now; /* with everything that an op may write taken from `was` */
    copy.memory = take(now->bytes);
    memcpy(copy.memory, now->memory, now->bytes);
    const wk_tensor outputs[] = {was->w,
                                 was->g,
                                 was->m,
                                 was->v,
                                 was->drift.sketch,
                                 was->drift.sqnorm,
                                 was->slots.sqnorm,
                                 was->slots.dead};
    for (size_t o = 0; o < sizeof outputs / sizeof *outputs; o++)
        FOR (k, was->s.k) {
            const unsigned char *from = wk_row_ptr(outputs[o], k);
            memcpy(copy.memory + (from - was->memory), from,
                   (size_t)wk_row_numel(outputs[o]) * wk_dtype_size(outputs[o].dtype));
        }
    EXPECT(same_bytes(was, &copy), "%s: wrote beside its operands", job_names[what]);
    free(copy.memory);
}

/* ---- tests ---- */

static void test_shape(wk_dev *dev, shape s) {
    cohort was = cohort_of(s), first[JOBS];
    for (int what = 0; what < JOBS; what++) {
        for (int order = 0; order < (few ? 1 : 3); order++) {
            cohort now = cohort_of(s);
            simt_order(order, 5);
            run(dev, &now, (job)what);
            if (order == 0) {
                first[what] = now;
                check_formula(&was, &now, (job)what);
                check_poison(&was, &now, (job)what);
                continue;
            }
            EXPECT(same_bytes(&first[what], &now), "%s: order %d gives other bits", job_names[what],
                   order);
            free_cohort(&now);
        }
        simt_order(0, 0);
    }
    EXPECT(same_bytes(&first[ADAMW], &first[ADAMW_APART]), "fused and apart differ, P = %d",
           (int)s.p);
    for (int what = 0; what < JOBS; what++) free_cohort(&first[what]);
    free_cohort(&was);
}

/* A slot alone, at another address and stride, has the bits that it has among others. */
static void test_alone(wk_dev *dev, shape s) {
    for (int what = 0; what < JOBS; what++) {
        cohort all = cohort_of(s);
        run(dev, &all, (job)what);
        FOR (k, s.k)
            for (int shift = 0; shift < 2; shift++) {
                cohort one = cohort_of((shape){.k = 1,
                                               .rows = s.rows,
                                               .p = s.p,
                                               .pad = 1,
                                               .shift = shift,
                                               .first = (int32_t)k});
                run(dev, &one, (job)what);
                EXPECT(same_slot(&all, k, &one, 0), "%s: slot %d alone, shift %d, differs",
                       job_names[what], (int)k, shift);
                free_cohort(&one);
            }
        free_cohort(&all);
    }
}

/* With scratch for one slot only, slots go one after another. */
static void test_groups(wk_dev *dev, shape s) {
    cuda_lane *lane = cuda_lane_of(dev);
    const size_t whole = lane->scratch_bytes;
    for (int what = 0; what < JOBS; what++) {
        cohort all = cohort_of(s), grouped = cohort_of(s);
        const uint64_t start = dev->launches;
        run(dev, &all, (job)what);
        const uint64_t once = dev->launches - start;
        lane->scratch_bytes = (size_t)((s.p + 8191) / 8192) * (8 + (size_t)s.rows * 1024);
        run(dev, &grouped, (job)what);
        lane->scratch_bytes = whole;
        if (what == DRIFT)
            EXPECT(dev->launches - start - once == once * (uint64_t)s.k, "drift was not grouped");
        EXPECT(same_bytes(&all, &grouped), "%s: groups of slots differ", job_names[what]);
        free_cohort(&all);
        free_cohort(&grouped);
    }
}

/* A slot whose gradient is not finite dies and stays as it was; the others do not notice. */
static void test_not_finite(wk_dev *dev, shape s, float bad) {
    cohort clean = cohort_of(s), sick = cohort_of(s);
    ((float *)wk_row_ptr(sick.g, 2))[s.p - 1] = bad;
    cohort was = cohort_of(s);
    for (int what = 0; what < 2; what++) {
        run(dev, &clean, what ? ADAMW : NORM);
        run(dev, &sick, what ? ADAMW : NORM);
    }
    FOR (k, s.k)
        if (k != 2)
            EXPECT(same_slot(&clean, k, &sick, k), "slot %d felt slot 2's %g", (int)k, (double)bad);
    EXPECT(((int32_t *)sick.slots.dead.data)[2] == 1, "slot 2 lives with %g", (double)bad);
    EXPECT(!same_row(clean.w, 2, was.w, 2), "the healthy slot 2 did not move");
    EXPECT(same_row(sick.w, 2, was.w, 2) && same_row(sick.m, 2, was.m, 2) &&
               same_row(sick.v, 2, was.v, 2) &&
               same_row(sick.drift.sketch, 2, was.drift.sketch, 2) &&
               same_row(sick.drift.sqnorm, 2, was.drift.sqnorm, 2),
           "the dead slot 2 moved");
    free_cohort(&clean);
    free_cohort(&sick);
    free_cohort(&was);
}

/* More chunks than a block of the second stage has threads; more than MOST_CHUNKS of the shortest,
 * so that chunks are longer. */
static void test_long(wk_dev *dev, int64_t p) {
    const int64_t blocks = (p + WK_SKETCH_WIDTH - 1) / WK_SKETCH_WIDTH;
    cohort c = {.s = {.k = 1, .rows = 2, .p = p}};
    int32_t step = 1, dead = 0;
    double sqnorm = 0, distance = 0;
    long double sum = 0; /* double would round all these squares down */
    c.w = wk_mat(take((size_t)p * 4), WK_F32, 1, p);
    c.anchor = wk_vec(take((size_t)p * 4), WK_F32, p);
    c.slots.step = wk_vec(&step, WK_I32, 1), c.slots.dead = wk_vec(&dead, WK_I32, 1);
    float lr = 0;
    c.slots.lr = wk_vec(&lr, WK_F32, 1);
    c.slots.sqnorm = wk_vec(&sqnorm, WK_F64, 1);
    c.drift.sqnorm = wk_vec(&distance, WK_F64, 1);
    c.drift.anchor = c.anchor;
    c.drift.sign = wk_vec(take((size_t)p), WK_U8, p);
    c.drift.rot = wk_mat(take((size_t)blocks * 2), WK_U8, blocks, 2);
    c.drift.sketch = wk_mat(take(2 * WK_SKETCH_WIDTH * 4), WK_F32, 1, 2 * WK_SKETCH_WIDTH);
    c.drift.sketch.ndim = 3, c.drift.sketch.dim[1] = 2, c.drift.sketch.dim[2] = WK_SKETCH_WIDTH;
    FOR (i, p) {
        const uint64_t bits = wk_mix64((uint64_t)i);
        ((float *)c.w.data)[i] = (float)(bits & 0xffff) * 0x1p-16f - 0.25f;
        ((float *)c.anchor.data)[i] = (float)(bits >> 16 & 0xffff) * 0x1p-16f;
        ((uint8_t *)c.drift.sign.data)[i] = (uint8_t)(bits >> 32);
        if (i < 2 * blocks) ((uint8_t *)c.drift.rot.data)[i] = (uint8_t)(bits >> 40);
        sum += (long double)(at(c.w, 0, i) * at(c.w, 0, i));
    }
    DO(wk_grad_norm(dev, &(wk_grad_norm_args){.g = c.w, .slots = c.slots}));
    EXPECT(fabs(sqnorm - (double)sum) < 1e-14 * sqnorm, "grad_norm, P = %lld: %.17g, not %.17g",
           (long long)p, sqnorm, (double)sum);
    run(dev, &c, DRIFT);
    check_drift(&c, 0, "long drift");
    free(c.w.data), free(c.anchor.data), free(c.drift.sign.data), free(c.drift.rot.data);
    free(c.drift.sketch.data);
}

int main(int argc, char **argv) {
    if (argc > 1 && strcmp(argv[1], "--few") == 0) few = true;
    wk_ctx ctx;
    wk_dev *dev = NULL;
    wk_ctx_init(&ctx, NULL);
    if (wk_dev_open_backend(&dev, &ctx, &wk_backend_simt, &(wk_dev_options){.threads = 1})) {
        (void)fprintf(stderr, "%s\n", ctx.err.text);
        return 1;
    }
    const int64_t lengths[] = {1, 3, 255, 256, 257, 1023, 1026, 8191, 8192, 8193, 20001};
    for (size_t i = 0; i < sizeof lengths / sizeof *lengths; i++) {
        if (few && i % 3 != 1) continue; /* 3, 257, 8191, 20001 */
        for (int32_t k = few ? 5 : 1; k <= 5; k += 2) {
            const int aligned = i % 2 == 0;
            test_shape(dev, (shape){.k = k,
                                    .rows = 5,
                                    .p = lengths[i],
                                    .pad = aligned ? (int)(-lengths[i] & 3) : 3,
                                    .shift = aligned ? 0 : 1});
        }
    }
    test_shape(dev, (shape){.k = 2, .rows = 1, .p = 2048});
    test_shape(dev, (shape){.k = 4, .rows = 8, .p = 2048, .pad = 4, .shift = 4});
    test_shape(dev, (shape){.k = 1, .rows = 5, .p = 1201, .no_eps = true});
    test_groups(dev, (shape){.k = 3, .rows = 5, .p = 8197, .pad = 3});
    test_not_finite(dev, (shape){.k = 5, .rows = 5, .p = 9000}, NAN);
    if (!few) {
        test_alone(dev, (shape){.k = 5, .rows = 5, .p = 8197, .pad = 3});
        test_alone(dev, (shape){.k = 5, .rows = 3, .p = 700});
        test_not_finite(dev, (shape){.k = 5, .rows = 5, .p = 9001, .pad = 2}, INFINITY);
        test_long(dev, 257 * 8192 + 1);
        test_long(dev, (4096 + 2) * 8192 + 3);
    }
    wk_dev_close(dev);
    (void)printf("%d checks failed\n", checks_failed);
    return checks_failed != 0;
}
