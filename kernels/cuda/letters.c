/* Letters: a ring in host memory that the device writes to (letters.cu) and the host looks at, so
 * that reading a few numbers does not wait for what was issued later. */
#include "kernels/cuda/impl.h"

#include <string.h>
#include <time.h>

weft_status cuda_letters_open(wk_dev *dev) {
    cuda_letters *l = &cuda_impl_of(dev)->letters;
    void *host = NULL, *device = NULL;
    const size_t bytes = WK_LETTERS * sizeof(cuda_letter);
    WEFT_TRY(cuda_try(dev, cudaHostAlloc(&host, bytes, cudaHostAllocMapped | cudaHostAllocPortable),
                      "mapped memory for letters"));
    l->host = host;
    memset(host, 0, bytes);
    WEFT_TRY(
        cuda_try(dev, cudaHostGetDevicePointer(&device, host, 0), "mapped memory for letters"));
    l->device = device;
    return WEFT_OK;
}

void cuda_letters_close(cuda_letters *l) {
    if (l->host) (void)cudaFreeHost(l->host);
}

weft_status cuda_post(wk_dev *dev, wk_tensor src, uint64_t *ticket) {
    cuda_letters *l = &cuda_impl_of(dev)->letters;
    WEFT_TRY(cuda_ready_outside(dev, "post"));
    const size_t bytes = (size_t)wk_numel(src) * wk_dtype_size(src.dtype);
    *ticket = cuda_ticket_next(&l->tickets);
    cuda_letter *to = &l->device[cuda_ticket_slot(*ticket)];
    cuda_post_letter(dev, to->bytes, &to->sign, src.data, bytes, cuda_ticket_sequence(*ticket));
    return cuda_launched(dev, "post");
}

/* A letter is mostly there already, or soon: look hard first, then sleep between looks. */
#define LOOKS  4000
#define NAP_NS 20000L

static bool arrived(const cuda_letter *letter, uint64_t number) {
    return __atomic_load_n(&letter->sign, __ATOMIC_ACQUIRE) == number;
}

weft_status cuda_collect(wk_dev *dev, uint64_t ticket, void *dst, size_t bytes) {
    cuda_impl *impl = cuda_impl_of(dev);
    WEFT_TRY(cuda_ready_outside(dev, "collect"));
    WEFT_TRY(cuda_ticket_check(&impl->letters.tickets, ticket, bytes, &dev->ctx->err));
    const cuda_letter *letter = &impl->letters.host[cuda_ticket_slot(ticket)];
    const uint64_t number = cuda_ticket_sequence(ticket);
    bool idle = false;
    for (int look = 0; !arrived(letter, number); look++) {
        /* The lane ran dry and the letter still is not there: no kernel can bring it any more. */
        if (idle) return cuda_try(dev, cudaErrorUnknown, "collect: the letter never came");
        if (look < LOOKS) continue;
        /* So that a device that died is an error and not a hang. */
        const cudaError_t e = cudaStreamQuery(impl->stream);
        if (e == cudaErrorNotReady)
            (void)cudaGetLastError(); /* not a failure, but CUDA keeps it as the last one */
        else
            WEFT_TRY(cuda_try(dev, e, "collect"));
        idle = e == cudaSuccess;
        if (!idle) (void)nanosleep(&(struct timespec){.tv_nsec = NAP_NS}, NULL);
    }
    if (bytes) memcpy(dst, letter->bytes, bytes);
    return WEFT_OK;
}
