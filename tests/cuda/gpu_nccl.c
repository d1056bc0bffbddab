/* Sums with the devices of other ranks (kernels/dev.h), as far as one GPU goes: a group of one, in
 * order with the ops before and after, opened and closed as often as devices are. More ranks:
 * tests/device/test_ranks.c; failures: tests/cuda/nccl. */
#include "kernels/arena.h"
#include "tests/cuda/gpu.h"

#define WORDS 300000

static wk_ctx ctx;

static void group_of_one(wk_dev *dev) {
    static int64_t in[WORDS], out[WORDS];
    unsigned char id[WK_COMM_ID];
    wk_arena a;
    wk_tensor t = {0};
    OK(&ctx, wk_comm_id(dev, id));
    OK(&ctx, wk_comm_open(dev, 0, 1, id, 60));
    OK(&ctx, wk_arena_open(&a, dev, "words", sizeof in + 4096));
    OK(&ctx, wk_arena_mat(&a, &t, "words", WK_I64, 2, WORDS / 2));
    for (int turn = 0; turn < 3; turn++) {
        for (int i = 0; i < WORDS; i++)
            in[i] = (int64_t)((uint64_t)(i + turn) * 0x9e3779b97f4a7c15u);
        OK(&ctx, wk_upload(dev, t, in)); /* nothing waits for it but the order */
        OK(&ctx, wk_comm_sum(dev, t));
        OK(&ctx, wk_download(dev, out, t));
        CHECK(memcmp(in, out, sizeof in) == 0);
    }
    const wk_fill_args zero = {.y = t};
    OK(&ctx, wk_fill(dev, &zero));
    OK(&ctx, wk_comm_sum(dev, t));
    OK(&ctx, wk_download(dev, out, t));
    CHECK(out[0] == 0 && out[WORDS - 1] == 0);
    t.dtype = WK_F64;
    EXPECT(&ctx, wk_comm_sum(dev, t), WEFT_E_SHAPE);
    SAYS(&ctx, "only sums of int64 have no order");
    wk_comm_close(dev);
    wk_arena_close(&a);
}

int main(void) {
    wk_comm_offer offer, again;
    wk_ctx_init(&ctx, NULL);
    wk_dev *dev = gpu_open(&ctx, (wk_dev_options){.hidden = WK_F32}), *other = NULL;
    if (wk_comm_find(dev, &offer) == WEFT_E_UNSUPPORTED) {
        printf("skipped: %s\n", ctx.err.text);
        wk_dev_close(dev);
        return 77;
    }
    printf("%s, %s, %s\n", offer.library, offer.unit, offer.place);
    CHECK(strncmp(offer.library, "NCCL 2.", 7) == 0);
    CHECK(strlen(offer.unit) == 32 && strstr(offer.place, ":") != NULL);
    other = gpu_open(&ctx, (wk_dev_options){.hidden = WK_F32});
    OK(&ctx, wk_comm_find(other, &again));
    CHECK(memcmp(&offer, &again, sizeof offer) == 0); /* it is the same card */
    wk_dev_close(other);
    group_of_one(dev);
    group_of_one(dev);
    unsigned char id[WK_COMM_ID];
    OK(&ctx, wk_comm_id(dev, id));
    OK(&ctx, wk_comm_open(dev, 0, 1, id, 60));
    wk_dev_close(dev); /* with an open group */
    return gpu_end("NCCL on one GPU");
}
