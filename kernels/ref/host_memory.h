/* Backend memory functions for devices whose memory is the process's own (ref, cpu). */
#ifndef REF_HOST_MEMORY_H
#define REF_HOST_MEMORY_H

#include "kernels/dev.h"

/* 256-byte aligned, contents undefined, from the context's allocation hook. WEFT_E_MEM names the
 * bytes. */
WEFT_NODISCARD weft_status ref_host_alloc(wk_dev *dev, uintptr_t *out, size_t bytes);
void ref_host_release(wk_dev *dev, uintptr_t ptr); /* 0 is fine */

WEFT_NODISCARD weft_status ref_host_upload(wk_dev *dev, void *dst, const void *src, size_t bytes);
WEFT_NODISCARD weft_status ref_host_download(wk_dev *dev, void *dst, const void *src, size_t bytes);
WEFT_NODISCARD weft_status ref_host_sync(wk_dev *dev);

#endif
