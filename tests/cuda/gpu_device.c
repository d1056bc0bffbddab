/* The cuda device as kernels/dev.h promises it: opening, copies in order with the ops, replay,
 * letters, pinned copies beside the ops, and what follows a failure.
 *
 *   gpu_device          all of that; with `quick`, in smaller pieces
 *   gpu_device fault    a kernel that reads where no memory is: ends every use of the device by
 *                       this process, so it runs apart */
#include "kernels/arena.h"
#include "tests/cuda/gpu.h"

#include <cuda_runtime_api.h>

static wk_ctx ctx;

static void fill(wk_dev *dev, wk_tensor y, double value) {
    OK(&ctx, wk_fill(dev, &(wk_fill_args){.y = y, .value = value}));
}

static void add(wk_dev *dev, wk_tensor y, wk_tensor x, float alpha) {
    OK(&ctx, wk_axpy(dev, &(wk_axpy_args){.y = y, .x = x, .alpha = alpha}));
}

static wk_tensor floats(wk_arena *a, int64_t n) {
    wk_tensor t = {0};
    OK(&ctx, wk_arena_vec(a, &t, "t", WK_F32, n));
    return t;
}

/* Every number of it. */
static bool holds(wk_dev *dev, wk_tensor t, float value) {
    const int64_t n = wk_numel(t);
    float *got = malloc((size_t)n * sizeof *got);
    bool same = got != NULL;
    OK(&ctx, wk_download(dev, got, t));
    for (int64_t i = 0; same && i < n; i++) same = got[i] == value;
    free(got);
    return same;
}

/* ---- opening ---- */

static void opening(void) {
    wk_dev *dev = gpu_open(&ctx, (wk_dev_options){.hidden = WK_BF16}), *other = NULL;
    printf("%s\n", dev->note);
    CHECK(strstr(dev->note, "bfloat16") != NULL);
    CHECK(dev->held > CUDA_SCRATCH_BYTES);
    CHECK(cuda_lane_of(dev)->sms > 0 && cuda_lane_of(dev)->smem_max >= 48 << 10);
    CHECK((uintptr_t)cuda_lane_of(dev)->scratch % WK_ARENA_ALIGN == 0);
    wk_range(dev, "opening"), wk_range(dev, "again"), wk_range(dev, NULL);
    EXPECT(&ctx,
           wk_dev_open_backend(&other, &ctx, &wk_backend_cuda, &(wk_dev_options){.ordinal = 99}),
           WEFT_E_CONFIG);
    SAYS(&ctx, "there is no CUDA device 99");
    SAYS(&ctx, "CUDA_VISIBLE_DEVICES");
    wk_arena a;
    EXPECT(&ctx, wk_arena_open(&a, dev, "huge", (size_t)1 << 46), WEFT_E_MEM);
    const size_t held = dev->held;
    OK(&ctx, wk_arena_open(&a, dev, "a", 4096)); /* a refusal is no failure of the device */
    CHECK(a.base % WK_ARENA_ALIGN == 0 && dev->held == held + 4096);
    wk_arena_close(&a);
    CHECK(dev->held == held);
    wk_dev_close(dev);
}

/* ---- copies in order with the ops ---- */

static void copies(wk_dev *dev) {
    static const size_t sizes[] = {0,     1,         4,       1000,          32 << 10,
                                   32769, (1 << 20), 1048577, (5 << 20) + 3, 12 << 20};
    const size_t most = 12 << 20;
    unsigned char *sent = malloc(most), *got = malloc(most);
    wk_arena a;
    OK(&ctx, wk_arena_open(&a, dev, "copies", most + 4096));
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        wk_tensor t = wk_vec((void *)(a.base + 1), WK_U8, (int64_t)sizes[i]);
        for (size_t k = 0; k < sizes[i]; k++) sent[k] = (unsigned char)(k * 31 + k / 251 + i);
        memset(got, 0, sizes[i]);
        OK(&ctx, wk_upload(dev, t, sent));
        OK(&ctx, wk_download(dev, got, t));
        CHECK(memcmp(sent, got, sizes[i]) == 0);
    }
    wk_arena_close(&a);
    free(sent), free(got);
}

/* Many uploads to one place, more than any ring has slots, each followed by an op that reads it;
 * the source is overwritten at once. */
static void uploads_in_order(wk_dev *dev, int64_t n, int rounds) {
    wk_arena a;
    OK(&ctx, wk_arena_open(&a, dev, "order", (size_t)n * 8 + 4096));
    wk_tensor x = floats(&a, n), sum = floats(&a, n);
    float *src = malloc((size_t)n * sizeof *src), want = 0;
    fill(dev, sum, 0);
    for (int r = 1; r <= rounds; r++) {
        for (int64_t i = 0; i < n; i++) src[i] = (float)r;
        OK(&ctx, wk_upload(dev, x, src));
        for (int64_t i = 0; i < n; i++) src[i] = -1;
        add(dev, sum, x, 1);
        want += (float)r;
    }
    CHECK(holds(dev, sum, want));
    fill(dev, x, 7);
    OK(&ctx, wk_upload(dev, x, src)); /* after the fill, before the sum */
    add(dev, sum, x, 1);
    fill(dev, x, 8);
    CHECK(holds(dev, sum, want - 1));
    CHECK(holds(dev, x, 8));
    free(src);
    wk_arena_close(&a);
}

/* ---- replay ---- */

typedef struct job {
    wk_dev *dev;
    wk_tensor y, x;
    int calls;
    bool fails, uploads;
} job;

static weft_status step(void *ud) {
    job *j = ud;
    j->calls++;
    WEFT_TRY(wk_axpy(j->dev, &(wk_axpy_args){.y = j->y, .x = j->x, .alpha = 1}));
    if (j->uploads) {
        float none[4] = {0};
        WEFT_TRY(wk_upload(j->dev, wk_vec(j->x.data, WK_F32, 4), none));
    }
    if (j->fails) return WEFT_FAIL(&ctx.err, WEFT_E_CONFIG, "the body's own failure");
    return wk_axpy(j->dev, &(wk_axpy_args){.y = j->y, .x = j->x, .alpha = 2});
}

static void replay(wk_dev *dev) {
    wk_arena a;
    OK(&ctx, wk_arena_open(&a, dev, "replay", 1 << 20));
    job j = {.dev = dev, .y = floats(&a, 1000), .x = floats(&a, 1000)};
    cuda_lane *lane = cuda_lane_of(dev);
    fill(dev, j.y, 0), fill(dev, j.x, 1);
    const uint64_t launches = dev->launches, graphs = lane->graphs;
    for (int i = 0; i < 6; i++) OK(&ctx, wk_replay(dev, "key one", 7, step, &j));
    CHECK(holds(dev, j.y, 18));
    CHECK(j.calls == 2); /* as it is, then recorded */
    CHECK(dev->launches - launches == 12 && lane->graphs - graphs == 5);
    fill(dev, j.x, 10); /* other contents, the same work */
    OK(&ctx, wk_replay(dev, "key one", 7, step, &j));
    CHECK(holds(dev, j.y, 48) && j.calls == 2);

    /* A body that fails where it is recorded leaves the device as it was. */
    fill(dev, j.y, 0), fill(dev, j.x, 1);
    OK(&ctx, wk_replay(dev, "key two", 7, step, &j));
    j.fails = true;
    EXPECT(&ctx, wk_replay(dev, "key two", 7, step, &j), WEFT_E_CONFIG);
    SAYS(&ctx, "the body's own failure");
    j.fails = false;
    CHECK(holds(dev, j.y, 3));
    OK(&ctx, wk_replay(dev, "key two", 7, step, &j));
    OK(&ctx, wk_replay(dev, "key two", 7, step, &j));
    CHECK(holds(dev, j.y, 9));

    /* A body calls ops only. */
    OK(&ctx, wk_replay(dev, "key three", 9, step, &j));
    j.uploads = true;
    EXPECT(&ctx, wk_replay(dev, "key three", 9, step, &j), WEFT_E_ARG);
    SAYS(&ctx, "upload inside the body of a replay");
    j.uploads = false;

    /* More keys than are kept: the oldest is recorded anew when it comes back. */
    fill(dev, j.y, 0);
    j.calls = 0;
    for (int round = 0; round < 3; round++)
        for (int k = 0; k < 70; k++) OK(&ctx, wk_replay(dev, &k, sizeof k, step, &j));
    CHECK(holds(dev, j.y, 3 * 210));
    CHECK(j.calls == 210); /* in this order each is gone before it is asked for again */
    wk_arena_close(&a);
}

/* ---- letters ---- */

static void letters(wk_dev *dev) {
    wk_arena a;
    uint64_t ticket[200], mark = 0;
    float got[WK_LETTER_BYTES / 4];
    OK(&ctx, wk_arena_open(&a, dev, "letters", 1 << 20));
    wk_tensor x = floats(&a, 1000), small = wk_vec(x.data, WK_F32, 3),
              full = wk_vec(x.data, WK_F32, WK_LETTER_BYTES / 4);
    for (int i = 0; i < 200; i++) {
        fill(dev, x, i);
        OK(&ctx, wk_post(dev, i % 2 ? small : full, &ticket[i]));
        if (i < 3) continue; /* the host reads three behind */
        OK(&ctx, wk_collect(dev, ticket[i - 3], got, 12));
        CHECK(got[0] == (float)(i - 3) && got[2] == (float)(i - 3));
    }
    for (int i = 200 - WK_LETTERS; i < 200; i++) {
        OK(&ctx, wk_collect(dev, ticket[i], got, i % 2 ? 12 : WK_LETTER_BYTES));
        CHECK(got[0] == (float)i && got[i % 2 ? 2 : WK_LETTER_BYTES / 4 - 1] == (float)i);
    }
    EXPECT(&ctx, wk_collect(dev, ticket[199 - WK_LETTERS], got, 4), WEFT_E_ARG);
    SAYS(&ctx, "is gone");
    EXPECT(&ctx, wk_collect(dev, ticket[199] + 1, got, 4), WEFT_E_ARG);
    SAYS(&ctx, "never posted");
    fill(dev, x, -3);
    OK(&ctx, wk_post(dev, (wk_tensor){0}, &mark));
    OK(&ctx, wk_collect(dev, mark, NULL, 0));
    CHECK(holds(dev, small, -3));
    wk_arena_close(&a);
}

/* ---- pinned memory ---- */

static void beside(wk_dev *dev, int n) {
    enum { ROUNDS = 60 };
    wk_arena a;
    void *out = NULL, *in = NULL;
    uint64_t mark = 0;
    OK(&ctx, wk_arena_open(&a, dev, "beside", 16 << 20));
    OK(&ctx, wk_pinned_alloc(dev, &out, (size_t)n * 4, "test"));
    OK(&ctx, wk_pinned_alloc(dev, &in, (size_t)n * 4, "test"));
    wk_tensor x = floats(&a, n), y = floats(&a, n), work = floats(&a, n);
    float *sent = out, *got = in;
    for (int r = 0; r < ROUNDS; r++) {
        for (int i = 0; i < n; i++) sent[i] = (float)(r + 1);
        fill(dev, x, -1);
        fill(dev, y, r);
        OK(&ctx, wk_send(dev, x, sent)); /* after the fill */
        OK(&ctx, wk_fetch(dev, got, y)); /* after the fill too */
        if (r % 2) fill(dev, work, r);
        OK(&ctx, wk_meet(dev));
        fill(dev, y, -2);  /* after the fetch */
        add(dev, y, x, 1); /* after the send */
        OK(&ctx, wk_post(dev, (wk_tensor){0}, &mark));
        OK(&ctx, wk_collect(dev, mark, NULL, 0));
        CHECK(got[0] == (float)r && got[n - 1] == (float)r && got[n / 2] == (float)r);
        memset(sent, 0, (size_t)n * 4);
        CHECK(holds(dev, y, (float)(r - 1)));
    }
    for (int r = 0; r < ROUNDS; r++) { /* one state leaves, another takes its place; both in turn */
        fill(dev, y, r);
        for (int i = 0; i < n; i++) sent[i] = (float)-r;
        OK(&ctx, wk_fetch(dev, got, y));
        OK(&ctx, wk_send(dev, y, sent)); /* after the fetch, which reads there */
        OK(&ctx, wk_send(dev, x, got));  /* and this, what it fetched */
        OK(&ctx, wk_meet(dev));
        OK(&ctx, wk_post(dev, (wk_tensor){0}, &mark));
        OK(&ctx, wk_collect(dev, mark, NULL, 0));
        CHECK(got[0] == (float)r && got[n - 1] == (float)r && got[n / 2] == (float)r);
        CHECK(holds(dev, y, (float)-r) && holds(dev, x, (float)r));
    }
    OK(&ctx, wk_meet(dev)); /* with nothing on its way */
    OK(&ctx, wk_send(dev, x, sent));
    OK(&ctx, dev->backend->sync(dev));
    wk_pinned_free(dev, out), wk_pinned_free(dev, in), wk_pinned_free(dev, NULL);
    wk_arena_close(&a);
}

/* ---- time ---- */

static void stamps(wk_dev *dev) {
    wk_arena a;
    double all = -1, part = -1;
    OK(&ctx, wk_arena_open(&a, dev, "stamps", 64 << 20));
    wk_tensor x = floats(&a, 8 << 20);
    OK(&ctx, dev->backend->stamp(dev, 0));
    fill(dev, x, 1);
    OK(&ctx, dev->backend->stamp(dev, 1));
    for (int i = 0; i < 20; i++) fill(dev, x, 2);
    OK(&ctx, dev->backend->stamp(dev, WK_STAMPS - 1));
    OK(&ctx, dev->backend->between(dev, 0, WK_STAMPS - 1, &all));
    OK(&ctx, dev->backend->between(dev, 1, WK_STAMPS - 1, &part));
    CHECK(0 < part && part < all);
    wk_arena_close(&a);
}

/* ---- failure ---- */

/* A call that CUDA refuses, as it would a launch: from then on every call says so, and closing
 * works. */
static void refused(void) {
    wk_dev *dev = gpu_open(&ctx, (wk_dev_options){0});
    wk_arena a;
    OK(&ctx, wk_arena_open(&a, dev, "a", 4096));
    wk_tensor x = floats(&a, 8);
    float host[8] = {0};
    uint64_t ticket = 0;
    CHECK(cudaSetDevice(9999) != cudaSuccess);
    EXPECT(&ctx, wk_fill(dev, &(wk_fill_args){.y = x}), WEFT_E_DEVICE);
    SAYS(&ctx, "fill: cudaErrorInvalidDevice (");
    char first[512];
    (void)snprintf(first, sizeof first, "%s", ctx.err.text);
    EXPECT(&ctx, wk_upload(dev, x, host), WEFT_E_DEVICE);
    EXPECT(&ctx, wk_download(dev, host, x), WEFT_E_DEVICE);
    EXPECT(&ctx, wk_post(dev, x, &ticket), WEFT_E_DEVICE);
    EXPECT(&ctx, wk_collect(dev, ticket, host, 4), WEFT_E_DEVICE);
    EXPECT(&ctx, wk_meet(dev), WEFT_E_DEVICE);
    EXPECT(&ctx, dev->backend->sync(dev), WEFT_E_DEVICE);
    CHECK(strcmp(first, ctx.err.text) == 0);
    wk_arena_close(&a);
    wk_dev_close(dev);
    dev = gpu_open(&ctx, (wk_dev_options){.check = true});
    OK(&ctx, wk_arena_open(&a, dev, "a", 4096));
    x = floats(&a, 8);
    fill(dev, x, 5);
    CHECK(holds(dev, x, 5)); /* a new device is a new start */
    wk_arena_close(&a);
    wk_dev_close(dev);
}

static void fault(void) {
    wk_dev *dev = gpu_open(&ctx, (wk_dev_options){.check = true});
    wk_tensor nowhere = wk_vec((void *)4096, WK_F32, 8);
    uint64_t ticket = 0;
    float host[8];
    EXPECT(&ctx, wk_fill(dev, &(wk_fill_args){.y = nowhere}), WEFT_E_DEVICE);
    SAYS(&ctx, "fill: cudaErrorIllegalAddress");
    EXPECT(&ctx, wk_post(dev, (wk_tensor){0}, &ticket), WEFT_E_DEVICE);
    EXPECT(&ctx, wk_collect(dev, 0, host, 4), WEFT_E_DEVICE);
    SAYS(&ctx, "fill: cudaErrorIllegalAddress");
    wk_dev_close(dev);
}

int main(int argc, char **argv) {
    wk_ctx_init(&ctx, NULL);
    if (argc > 1 && strcmp(argv[1], "fault") == 0) {
        fault();
        return gpu_end("gpu_device fault");
    }
    const bool quick = argc > 1 && strcmp(argv[1], "quick") == 0;
    opening();
    wk_dev *dev = gpu_open(&ctx, (wk_dev_options){0});
    copies(dev);
    uploads_in_order(dev, 1000, 300);               /* small pieces */
    uploads_in_order(dev, 100000, quick ? 12 : 40); /* one large piece */
    uploads_in_order(dev, 3 << 18, quick ? 4 : 12); /* three large pieces each */
    replay(dev);
    letters(dev);
    beside(dev, quick ? 1 << 13 : 1 << 19);
    stamps(dev);
    wk_dev_close(dev);
    refused();
    return gpu_end("gpu_device");
}
