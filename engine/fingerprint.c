#include "engine/fingerprint.h"

#include "kernels/rng.h"

#include <string.h>

#define WEIGHT_SAMPLES 64

/* Two chains side by side: a multiplication takes longer than a word from memory. */
uint64_t we_fingerprint(uint64_t hash, const void *data, size_t bytes) {
    const unsigned char *p = data;
    uint64_t a = hash ^ (uint64_t)bytes, b = ~hash, word[2];
    for (; bytes >= sizeof word; bytes -= sizeof word, p += sizeof word) {
        memcpy(word, p, sizeof word);
        a = wk_mix64(a ^ word[0]);
        b = wk_mix64(b ^ word[1]);
    }
    memset(word, 0, sizeof word);
    if (bytes) memcpy(word, p, bytes);
    return wk_mix64(wk_mix64(a ^ word[0]) ^ wk_mix64(b ^ word[1]) * 3);
}

uint64_t we_fingerprint_weight(uint64_t hash, const char *module, const char *tensor,
                               const float *value, int64_t n) {
    float sample[WEIGHT_SAMPLES];
    hash = we_fingerprint(hash, module, strlen(module));
    hash = we_fingerprint(hash, tensor, strlen(tensor));
    hash = we_fingerprint(hash, &n, sizeof n);
    for (int64_t i = 0; i < WEIGHT_SAMPLES; i++) sample[i] = value[i * n / WEIGHT_SAMPLES];
    return we_fingerprint(hash, sample, sizeof sample);
}

uint64_t we_fingerprint_rows(const weft_rows *r) {
    if (!r) return 0;
    const size_t n = (size_t)r->n_rows, tokens = (size_t)r->offset[n];
    uint64_t hash = we_fingerprint(0, &r->num_labels, sizeof r->num_labels);
    hash = we_fingerprint(hash, r->offset, (n + 1) * sizeof *r->offset);
    hash = we_fingerprint(hash, r->token, tokens * sizeof *r->token);
    if (r->type) hash = we_fingerprint(hash, r->type, tokens * sizeof *r->type);
    if (r->label) hash = we_fingerprint(hash, r->label, n * sizeof *r->label);
    if (r->target) hash = we_fingerprint(hash, r->target, n * sizeof *r->target);
    return hash;
}

uint64_t we_fingerprint_partition(const weft_partition *p) {
    if (!p) return 0;
    const size_t n = (size_t)p->n_clients;
    uint64_t hash = we_fingerprint(0, p->offset, (n + 1) * sizeof *p->offset);
    return we_fingerprint(hash, p->row, (size_t)p->offset[n] * sizeof *p->row);
}
