/* labels: op */
/* Local and server optimizers over several steps against known answers from outside and against
 * separate double loops; a slot whose gradient is not finite. */
#include "kernels/dev.h"
#include "tests/check.h"

#include <math.h>
#include <string.h>

static wk_ctx ctx;
static wk_dev *dev;

static int open_ref(void **state) {
    (void)state;
    wk_ctx_init(&ctx, NULL);
    return wk_dev_open(&dev, &ctx, &(wk_dev_options){.backend = "ref", .threads = 2}) == WEFT_OK
               ? 0
               : -1;
}

static int close_ref(void **state) {
    (void)state;
    wk_dev_close(dev);
    return 0;
}

/* ---- server: one number, updates 0.1, -0.05, 0.2; values after rounds 1, 2, 3 ---- */

typedef struct server_answer {
    const char *name;
    wk_server_kind kind;
    double lr, beta1, beta2, tau, v0, x[3];
    bool bias_correction;
} server_answer;

static const server_answer answers[] = {
    {"adagrad, v0 = tau^2",
     WK_SERVER_ADAGRAD,
     0.01,
     0,
     0.99,
     1e-3,
     1e-6,
     {0.0099005, 0.005468185, 0.014158889},
     false},
    {"adagrad, v0 = 0",
     WK_SERVER_ADAGRAD,
     0.01,
     0,
     0.99,
     1e-3,
     0,
     {0.00990099, 0.0054685, 0.014159285},
     false},
    {"adam, v0 = tau^2",
     WK_SERVER_ADAM,
     0.01,
     0.9,
     0.99,
     1e-3,
     1e-6,
     {0.009050283, 0.012334504, 0.022215118},
     false},
    {"adam, v0 = 0",
     WK_SERVER_ADAM,
     0.01,
     0.9,
     0.99,
     1e-3,
     0,
     {0.009090909, 0.012387016, 0.022276412},
     false},
    {"yogi, v0 = tau^2",
     WK_SERVER_YOGI,
     0.01,
     0.9,
     0.99,
     1e-3,
     1e-6,
     {0.009049876, 0.012321867, 0.022182032},
     false},
    {"yogi, v0 = 0",
     WK_SERVER_YOGI,
     0.01,
     0.9,
     0.99,
     1e-3,
     0,
     {0.009090909, 0.01237489, 0.022244049},
     false},
    {"adam, torch preset",
     WK_SERVER_ADAM,
     1e-4,
     0.9,
     0.999,
     1e-8,
     0,
     {1.0e-4, 1.266337e-4, 1.924448e-4},
     true},
    {"avgm", WK_SERVER_AVGM, 1, 0.9, 0, 0, 0, {0.1, 0.14, 0.376}, false},
    {"avg", WK_SERVER_AVG, 1, 0, 0, 0, 0, {0.1, 0.05, 0.25}, false},
};

/* Flower's FedAdam rescales the rate in each round t = 1, 2, … by sqrt(1 - b2^(t+1)) / (1 -
 * b1^(t+1)): the same op with that rate gives the table's line. */
static void flower_known_answer(void **state) {
    (void)state;
    const double updates[] = {0.1, -0.05, 0.2}, want[] = {0.006749634, 0.008845761, 0.014554073};
    float x = 0;
    double m = 0, v = 0;
    for (int t = 1; t <= 3; t++) {
        double delta = updates[t - 1];
        wk_server_step_args args = {.x = wk_vec(&x, WK_F32, 1),
                                    .delta = wk_vec(&delta, WK_F64, 1),
                                    .m = wk_vec(&m, WK_F64, 1),
                                    .v = wk_vec(&v, WK_F64, 1),
                                    .kind = WK_SERVER_ADAM,
                                    .step = t,
                                    .delta_scale = 1,
                                    .lr = 0.01 * sqrt(1 - pow(0.99, t + 1)) / (1 - pow(0.9, t + 1)),
                                    .beta1 = 0.9,
                                    .beta2 = 0.99,
                                    .tau = 1e-3};
        check_ok(wk_server_step(dev, &args), &ctx.err);
        const float expected = (float)want[t - 1];
        check_close("flower adam", &x, &expected, 1, 6e-7);
    }
}

static void server_known_answers(void **state) {
    (void)state;
    const double updates[] = {0.1, -0.05, 0.2};
    for (size_t i = 0; i < sizeof answers / sizeof *answers; i++) {
        const server_answer *a = &answers[i];
        float x = 0;
        double m = 0, v = a->v0, delta;
        for (int round = 0; round < 3; round++) {
            delta = updates[round] * 4; /* a sum over four clients */
            wk_server_step_args args = {.x = wk_vec(&x, WK_F32, 1),
                                        .delta = wk_vec(&delta, WK_F64, 1),
                                        .m = wk_vec(&m, WK_F64, 1),
                                        .v = wk_vec(&v, WK_F64, 1),
                                        .kind = a->kind,
                                        .step = round + 1,
                                        .delta_scale = 0.25,
                                        .lr = a->lr,
                                        .beta1 = a->beta1,
                                        .beta2 = a->beta2,
                                        .tau = a->tau,
                                        .bias_correction = a->bias_correction};
            check_ok(wk_server_step(dev, &args), &ctx.err);
            /* The answers have seven to nine digits, and x is a float. */
            const float want = (float)a->x[round];
            check_close(a->name, &x, &want, 1, 6e-7);
        }
    }
}

/* ---- local optimizers: ten steps of three slots ---- */

enum { K = 3, P = 20, STEPS = 10 };

typedef struct slots {
    int32_t step[K], dead[K];
    float lr[K];
    double sqnorm[K];
} slots;

static wk_slot_state state_of(slots *s) {
    return (wk_slot_state){wk_vec(s->step, WK_I32, K), wk_vec(s->lr, WK_F32, K),
                           wk_vec(s->sqnorm, WK_F64, K), wk_vec(s->dead, WK_I32, K)};
}

static wk_tensor rows(float *data) {
    return wk_mat(data, WK_F32, K, P);
}

/* Slot k takes its steps with rate 0.1 * (k + 1); slot 1 only every second one. */
static bool next_step(slots *s, int round, int32_t taken[K]) {
    for (int k = 0; k < K; k++) {
        bool rests = k == 1 && round % 2 == 1;
        taken[k] += rests ? 0 : 1;
        s->step[k] = rests ? 0 : taken[k];
        s->lr[k] = 0.1f * (float)(k + 1);
    }
    return round < STEPS;
}

static double clipped(const float *g, double clip) {
    double sum = 0;
    for (int j = 0; j < P; j++) sum += (double)g[j] * (double)g[j];
    double factor = clip / (sqrt(sum) + 1e-6);
    return clip > 0 && factor < 1 ? factor : 1;
}

static void prepare(slots *s, float *g, int round) {
    check_randn(g, K * P, 8, (uint32_t)round, 1);
    wk_grad_norm_args norm = {.g = rows(g), .slots = state_of(s)};
    check_ok(wk_grad_norm(dev, &norm), &ctx.err);
}

static void check_weights(const char *name, const float *w, const double *want) {
    float rounded[K * P];
    for (int i = 0; i < K * P; i++) rounded[i] = (float)want[i];
    check_close(name, w, rounded, K * P, 2e-6);
}

static void adamw_follows_its_equations(void **state) {
    (void)state;
    slots s = {0};
    float w[K * P], g[K * P], m[K * P] = {0}, v[K * P] = {0};
    double w64[K * P], m64[K * P] = {0}, v64[K * P] = {0};
    int32_t taken[K] = {0};
    check_randn(w, K * P, 8, 100, 1);
    for (int i = 0; i < K * P; i++) w64[i] = (double)w[i];
    for (int round = 0; next_step(&s, round, taken); round++) {
        prepare(&s, g, round);
        wk_adamw_step_args a = {.w = rows(w),
                                .g = rows(g),
                                .m = rows(m),
                                .v = rows(v),
                                .slots = state_of(&s),
                                .beta1 = 0.9f,
                                .beta2 = 0.98f,
                                .eps = 1e-6f,
                                .weight_decay = 0.05f,
                                .clip = 3.0f};
        check_ok(wk_adamw_step(dev, &a), &ctx.err);
        for (int i = 0; i < K * P; i++) {
            int k = i / P;
            if (s.step[k] == 0) continue;
            double lr = 0.1 * (k + 1), grad = clipped(g + k * P, 3.0) * (double)g[i];
            w64[i] -= lr * 0.05 * w64[i];
            m64[i] += (1 - 0.9) * (grad - m64[i]);
            v64[i] += (1 - 0.98) * (grad * grad - v64[i]);
            double mhat = m64[i] / (1 - pow(0.9, taken[k]));
            double vhat = v64[i] / (1 - pow(0.98, taken[k]));
            w64[i] -= lr * mhat / (sqrt(vhat) + 1e-6);
        }
    }
    check_weights("adamw", w, w64);
}

static void check_sgd(const char *name, double momentum, bool nesterov) {
    slots s = {0};
    float w[K * P], g[K * P], m[K * P];
    double w64[K * P], velocity[K * P] = {0};
    int32_t taken[K] = {0};
    check_randn(w, K * P, 8, 101, 1);
    check_randn(m, K * P, 8, 102, 1); /* must not matter: the first step overwrites it */
    for (int i = 0; i < K * P; i++) w64[i] = (double)w[i];
    for (int round = 0; next_step(&s, round, taken); round++) {
        prepare(&s, g, round);
        wk_sgd_step_args a = {.w = rows(w),
                              .g = rows(g),
                              .m = rows(m),
                              .slots = state_of(&s),
                              .momentum = (float)momentum,
                              .weight_decay = 0.05f,
                              .clip = 2.0f,
                              .nesterov = nesterov};
        check_ok(wk_sgd_step(dev, &a), &ctx.err);
        for (int i = 0; i < K * P; i++) {
            int k = i / P;
            if (s.step[k] == 0) continue;
            double grad = clipped(g + k * P, 2.0) * (double)g[i] + 0.05 * w64[i];
            velocity[i] = taken[k] == 1 ? grad : momentum * velocity[i] + grad;
            w64[i] -= 0.1 * (k + 1) * (nesterov ? grad + momentum * velocity[i] : velocity[i]);
        }
    }
    check_weights(name, w, w64);
}

static void sgd_follows_its_equations(void **state) {
    (void)state;
    check_sgd("sgd", 0, false);
    check_sgd("sgd, momentum", 0.9, false);
    check_sgd("sgd, nesterov", 0.9, true);
}

/* ---- a slot that diverges ---- */

static void bad_gradient_stops_only_its_slot(void **state) {
    (void)state;
    const float bad_values[] = {(float)NAN, (float)INFINITY, 3e38f};
    for (int bad = 0; bad < 2; bad++) {
        slots s = {.step = {1, 1, 1}, .lr = {0.1f, 0.1f, 0.1f}};
        float w[K * P], was[K * P], g[K * P], m[K * P] = {0}, v[K * P] = {0}, zero[K * P] = {0};
        check_randn(w, K * P, 9, 1, 1), check_randn(g, K * P, 9, 2, 1);
        memcpy(was, w, sizeof w);
        g[P + 7] = bad_values[bad];
        check_ok(wk_grad_norm(dev, &(wk_grad_norm_args){.g = rows(g), .slots = state_of(&s)}),
                 &ctx.err);
        assert_true(s.dead[0] == 0 && s.dead[1] == 1 && s.dead[2] == 0);
        wk_adamw_step_args a = {.w = rows(w),
                                .g = rows(g),
                                .m = rows(m),
                                .v = rows(v),
                                .slots = state_of(&s),
                                .beta1 = 0.9f,
                                .beta2 = 0.999f,
                                .eps = 1e-8f,
                                .clip = 1.0f};
        check_ok(wk_adamw_step(dev, &a), &ctx.err);
        check_same("dead slot w", w + P, was + P, P * 4);
        check_same("dead slot m", m + P, zero, P * 4);
        for (int j = 0; j < P; j++) {
            assert_true(isfinite(w[j]) && w[j] != was[j]);
            assert_true(isfinite(w[2 * P + j]) && w[2 * P + j] != was[2 * P + j]);
        }
        g[P + 7] = 0; /* once dead, always dead: nothing here revives a slot */
        check_ok(wk_grad_norm(dev, &(wk_grad_norm_args){.g = rows(g), .slots = state_of(&s)}),
                 &ctx.err);
        assert_int_equal(s.dead[1], 1);
    }
    /* Large but finite: its square does not fit a float, yet the slot lives. */
    slots s = {.step = {1, 1, 1}};
    float g[K * P] = {0};
    g[0] = bad_values[2];
    check_ok(wk_grad_norm(dev, &(wk_grad_norm_args){.g = rows(g), .slots = state_of(&s)}),
             &ctx.err);
    assert_true(s.dead[0] == 0 && s.sqnorm[0] > 1e76);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(server_known_answers),
        cmocka_unit_test(flower_known_answer),
        cmocka_unit_test(adamw_follows_its_equations),
        cmocka_unit_test(sgd_follows_its_equations),
        cmocka_unit_test(bad_gradient_stops_only_its_slot),
    };
    return cmocka_run_group_tests(tests, open_ref, close_ref);
}
