/* Text to token ids, equal to HF `tokenizers` id by id.
 *
 * A tokenizer is read from a model folder: tokenizer.json, else vocab.txt (WordPiece, as BERT),
 * else vocab.json with merges.txt (byte-level BPE, as RoBERTa or GPT-2). host/README-tokenizer.md
 * lists what is supported. Truncation and padding set in tokenizer.json are not used: the caller
 * gives max_len and packs without padding. */
#ifndef WH_TOKENIZER_H
#define WH_TOKENIZER_H

#include "engine/weft.h"

#include <stddef.h>
#include <stdint.h>

typedef struct wh_tokenizer wh_tokenizer;

/* The most bytes of one text. */
#define WH_TOKENIZER_TEXT_MAX ((size_t)64 << 20)

/* The result of one encode. Zero-initialise once, reuse for many texts (its buffers and its cache
 * of words make later texts fast), wh_encoding_free at the end. One thread at a time. */
typedef struct wh_encoding {
    int32_t *ids;      /* [len] */
    int32_t *type_ids; /* [len]: 0 for the first text, as the post-processor says for the second */
    size_t len;
    size_t cap;
    struct wh_scratch *scratch;
} wh_encoding;

/* Reads the tokenizer of a model folder; *out is then the caller's own (wh_tokenizer_close).
 * WEFT_E_DATA with the file's name: nothing to read, malformed file, unsupported component. */
WEFT_NODISCARD weft_status wh_tokenizer_open(wh_tokenizer **out, const char *model_dir,
                                             weft_error *err);
void wh_tokenizer_close(wh_tokenizer *tokenizer);

/* Encodes text (len bytes, UTF-8; NUL bytes allowed; each invalid part counts as U+FFFD) with the
 * special tokens of the post-processor. pair (NULL for none) is the second text. max_len > 0 cuts
 * the tokens of the longer text first, as HF's longest_first does, so that len <= max_len with
 * special tokens; 0 keeps all. Several threads may encode with one tokenizer, each with its own
 * wh_encoding. WEFT_E_CONFIG: max_len is less than the number of special tokens. WEFT_E_DATA: text
 * too large, or it needs an unknown-token that the vocabulary lacks. After an error out->len is 0.
 */
WEFT_NODISCARD weft_status wh_tokenizer_encode(const wh_tokenizer *tokenizer, const char *text,
                                               size_t len, const char *pair, size_t pair_len,
                                               int32_t max_len, wh_encoding *out, weft_error *err);
void wh_encoding_free(wh_encoding *encoding);

/* Memory of the vocabulary's tables. */
size_t wh_tokenizer_bytes(const wh_tokenizer *tokenizer);
/* One more than the highest id, added tokens and those of the post-processor included: every id is
 * below it. */
int32_t wh_tokenizer_vocab_size(const wh_tokenizer *tokenizer);
/* The id of a token of the vocabulary or the added tokens, or -1. */
int32_t wh_tokenizer_id(const wh_tokenizer *tokenizer, const char *token);
/* Ids of the special tokens by role, or -1 where the model has none. */
int32_t wh_tokenizer_pad_id(const wh_tokenizer *tokenizer);
int32_t wh_tokenizer_cls_id(const wh_tokenizer *tokenizer);
int32_t wh_tokenizer_sep_id(const wh_tokenizer *tokenizer);
int32_t wh_tokenizer_unk_id(const wh_tokenizer *tokenizer);
int32_t wh_tokenizer_mask_id(const wh_tokenizer *tokenizer);
/* Special tokens that the post-processor adds to one text (pair = false) or to two. */
int32_t wh_tokenizer_added(const wh_tokenizer *tokenizer, bool pair);
/* "WordPiece" or "BPE". */
const char *wh_tokenizer_model_name(const wh_tokenizer *tokenizer);

#endif
