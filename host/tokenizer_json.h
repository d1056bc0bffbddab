/* What the readers of a tokenizer's JSON files share. */
#ifndef WH_TOKENIZER_JSON_H
#define WH_TOKENIZER_JSON_H

#include "host/tokenizer_parts.h"

#include <jansson.h>

/* The most bytes of one tokenizer file. */
#define WH_TOKENIZER_FILE_MAX ((size_t)512 << 20)

/* Parses a file; the caller owns *out. WEFT_E_DATA with line and column. */
WEFT_NODISCARD weft_status wh_tok_json_file(json_t **out, const char *path, weft_error *err);

/* A member of `object`; where it is missing or null, `preset`. `where` opens messages. */
WEFT_NODISCARD weft_status wh_tok_json_bool(json_t *object, const char *key, bool preset, bool *out,
                                            const char *where, weft_error *err);
/* A string that must be there; it lives as long as the object. */
WEFT_NODISCARD weft_status wh_tok_json_text(json_t *object, const char *key, const char **out,
                                            size_t *len, const char *where, weft_error *err);
/* An id: an integer from 0 to 2^31 - 2. */
WEFT_NODISCARD weft_status wh_tok_json_id(json_t *value, int32_t *out, const char *what,
                                          const char *where, weft_error *err);

/* The members "normalizer", "pre_tokenizer" and "post_processor" of tokenizer.json
 * (tokenizer_steps.c). */
WEFT_NODISCARD weft_status wh_read_normalizer(wh_tokenizer *t, json_t *value, const char *path,
                                              weft_error *err);
WEFT_NODISCARD weft_status wh_read_pre_tokenizer(wh_tokenizer *t, json_t *value, const char *path,
                                                 weft_error *err);
WEFT_NODISCARD weft_status wh_read_post_processor(wh_tokenizer *t, json_t *value, const char *path,
                                                  weft_error *err);

#endif
