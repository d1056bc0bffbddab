/* The parts of a tokenizer, shared by the files that read and run them. Not for other code.
 *
 * The way of a text: repair UTF-8, take out added tokens that match as written, normalise the rest,
 * take out added tokens that match normalised, split into words (pre-tokenizers), look words up
 * (model), cut, add special tokens (post-processor). */
#ifndef WH_TOKENIZER_PARTS_H
#define WH_TOKENIZER_PARTS_H

#include "host/strmap.h"
#include "host/tokenizer.h"
#include "host/unicode.h"
#include "host/utf8.h"

#include <stdbool.h>

/* ---- scratch of one encoding ---- */

/* A stretch of a text: a word to look up (id < 0), or an added token that is done. */
typedef struct {
    uint32_t off, len;
    int32_t id;
    bool first; /* begins where the text begins */
} wh_piece;

typedef struct {
    wh_piece *v;
    size_t n, cap;
} wh_pieces;

typedef struct {
    int32_t *v;
    size_t n, cap;
} wh_ids;

typedef struct {
    uint32_t rank, pos;
    int32_t id;
} wh_merge_step;

typedef struct {
    int32_t id, prev, next, len;
} wh_symbol;

typedef struct wh_scratch {
    uint64_t owner; /* serial of the tokenizer whose words are cached */
    wh_bytes input, work, other, text, spare;
    wh_pieces found, pieces, next;
    wh_points points;
    wh_ids first, second;
    wh_symbol *symbols;
    size_t symbols_cap;
    wh_merge_step *heap;
    size_t heap_n, heap_cap;
    wh_strmap cache; /* word -> offset in cached: count, ids */
    wh_ids cached;
    void *match; /* pcre2_match_data */
} wh_scratch;

/* Frees what the scratch holds, not the scratch. */
void wh_scratch_release(wh_scratch *scratch);
WEFT_NODISCARD weft_status wh_pieces_add(wh_pieces *pieces, size_t off, size_t len, int32_t id,
                                         bool first, weft_error *err);
WEFT_NODISCARD weft_status wh_ids_add(wh_ids *ids, int32_t id, weft_error *err);

/* ---- patterns (split_pattern.c) ---- */

/* A literal string, or a regular expression in Oniguruma's syntax run by PCRE2. */
typedef struct {
    char *literal;
    size_t literal_len;
    void *regex; /* pcre2_code */
} wh_pattern;

WEFT_NODISCARD weft_status wh_pattern_literal(wh_pattern *out, const char *text, size_t len,
                                              weft_error *err);
/* `where` names file and component in messages. */
WEFT_NODISCARD weft_status wh_pattern_regex(wh_pattern *out, const char *regex, size_t len,
                                            const char *where, weft_error *err);
/* The next match at or after `from`: *found says whether, then start <= end <= len. */
WEFT_NODISCARD weft_status wh_pattern_find(const wh_pattern *pattern, wh_scratch *scratch,
                                           const char *text, size_t len, size_t from, bool *found,
                                           size_t *start, size_t *end, weft_error *err);
void wh_pattern_free(wh_pattern *pattern);

/* ---- normalisers (normalize.c) ---- */

typedef enum {
    WH_NORM_BERT,
    WH_NORM_LOWER,
    WH_NORM_NFC,
    WH_NORM_NFD,
    WH_NORM_NFKC,
    WH_NORM_NFKD,
    WH_NORM_STRIP_ACCENTS,
    WH_NORM_STRIP,
    WH_NORM_REPLACE,
    WH_NORM_PREPEND,
    WH_NORM_BYTE_LEVEL,
} wh_norm_kind;

typedef struct {
    wh_norm_kind kind;
    bool clean, cjk, strip_accents, lower; /* BERT */
    bool left, right;                      /* STRIP */
    wh_pattern pattern;                    /* REPLACE */
    char *content;                         /* REPLACE, PREPEND */
    size_t content_len;
} wh_norm_step;

/* What a text of n bytes may become on its way: n * GROWTH + GROWTH_BASE. NFKD makes 33 bytes of 3
 * at most. */
#define WH_NORM_GROWTH      ((size_t)64)
#define WH_NORM_GROWTH_BASE ((size_t)64 << 10)

/* Runs the steps on len bytes and appends the result to out (which is none of the scratch's input,
 * work, other). WEFT_E_DATA: the text grows past that. */
WEFT_NODISCARD weft_status wh_normalize(const wh_norm_step *steps, size_t count,
                                        wh_scratch *scratch, const char *text, size_t len,
                                        wh_bytes *out, weft_error *err);
void wh_norm_step_free(wh_norm_step *step);

/* ---- pre-tokenizers (pretokenize.c, byte_level.c) ---- */

typedef enum {
    WH_SPLIT_REMOVED,
    WH_SPLIT_ISOLATED,
    WH_SPLIT_MERGED_WITH_PREVIOUS,
    WH_SPLIT_MERGED_WITH_NEXT,
    WH_SPLIT_CONTIGUOUS,
} wh_split_behavior;

typedef enum {
    WH_PRE_BERT,
    WH_PRE_WHITESPACE,
    WH_PRE_WHITESPACE_SPLIT,
    WH_PRE_BYTE_LEVEL,
    WH_PRE_SPLIT,
    WH_PRE_DIGITS,
    WH_PRE_PUNCTUATION,
    WH_PRE_METASPACE,
} wh_pre_kind;

typedef enum { WH_PREPEND_ALWAYS, WH_PREPEND_FIRST, WH_PREPEND_NEVER } wh_prepend_scheme;

typedef struct {
    wh_pre_kind kind;
    wh_split_behavior behavior; /* SPLIT, DIGITS, PUNCTUATION */
    bool invert;                /* SPLIT */
    bool prefix_space, regex;   /* BYTE_LEVEL */
    bool split;                 /* METASPACE */
    wh_prepend_scheme prepend;  /* METASPACE */
    wh_pattern pattern;         /* SPLIT; METASPACE: its replacement */
} wh_pre_step;

/* Cuts scratch->pieces of scratch->text into words, in place. */
WEFT_NODISCARD weft_status wh_pretokenize(const wh_pre_step *steps, size_t count,
                                          wh_scratch *scratch, weft_error *err);
void wh_pre_step_free(wh_pre_step *step);

/* One pre-tokenizer ByteLevel, from scratch->text and pieces to the same. */
WEFT_NODISCARD weft_status wh_byte_level(const wh_pre_step *step, wh_scratch *scratch,
                                         weft_error *err);
/* Appends each byte of text as the printable character that stands for it in GPT-2's vocabulary. */
WEFT_NODISCARD weft_status wh_byte_chars(wh_bytes *out, const char *text, size_t len,
                                         weft_error *err);

/* ---- models (wordpiece.c, bpe.c) ---- */

typedef enum { WH_MODEL_WORDPIECE, WH_MODEL_BPE } wh_model_kind;

typedef struct {
    uint64_t pair; /* left id << 32 | right id; UINT64_MAX marks a free place */
    uint32_t rank;
    int32_t id;
} wh_merge;

typedef struct {
    wh_model_kind kind;
    wh_strmap vocab;
    size_t longest; /* bytes of the longest token */
    char *unk;      /* NULL: none */
    int32_t unk_id; /* -1: unk is not in the vocabulary */
    char *prefix;   /* of continuing subwords; never NULL */
    size_t prefix_len;
    size_t max_chars; /* WordPiece: longer words are unknown */
    char *suffix;     /* BPE: end of word; never NULL */
    size_t suffix_len;
    bool fuse_unk, byte_fallback, ignore_merges;
    int32_t byte_ids[256]; /* byte_fallback: id of "<0xNN>", or -1 */
    wh_merge *merges;      /* hash table */
    size_t merge_places, merge_count;
} wh_model;

/* Appends the ids of a word to ids. */
WEFT_NODISCARD weft_status wh_wordpiece(const wh_model *model, wh_scratch *scratch,
                                        const char *word, size_t len, wh_ids *ids, weft_error *err);
WEFT_NODISCARD weft_status wh_bpe(const wh_model *model, wh_scratch *scratch, const char *word,
                                  size_t len, wh_ids *ids, weft_error *err);
/* The merge of rank `rank` (0 first) joins two tokens of the vocabulary; `where` names the file. */
WEFT_NODISCARD weft_status wh_bpe_add_merge(wh_model *model, uint32_t rank, const char *left,
                                            size_t left_len, const char *right, size_t right_len,
                                            const char *where, weft_error *err);
/* Makes room for `count` merges; call once, before the first wh_bpe_add_merge. */
WEFT_NODISCARD weft_status wh_bpe_merge_room(wh_model *model, size_t count, weft_error *err);

/* ---- added tokens (added_tokens.c) ---- */

typedef struct {
    char *content; /* as given */
    size_t content_len;
    char *match; /* what to look for: content, or content normalised */
    size_t match_len;
    int32_t id;
    bool single_word, left_strip, right_strip, normalized, special;
} wh_added;

/* Indexes of added tokens that match in one pass: grouped by first byte, longer ones first. */
typedef struct {
    uint32_t *order;
    uint32_t start[257];
} wh_added_index;

typedef struct {
    wh_added *v;
    size_t n, cap;
    wh_strmap by_content;
    wh_added_index raw, normalized;
} wh_added_tokens;

/* Adds a token with the flags and content_len of `token`, or changes the one of the same content,
 * which is copied. */
WEFT_NODISCARD weft_status wh_added_put(wh_added_tokens *added, const wh_added *token,
                                        const char *content, weft_error *err);
/* Ends the list: gives ids to tokens outside the vocabulary (from `vocab` entries on, in order, as
 * HF does) and prepares matching with the given normalisers. */
WEFT_NODISCARD weft_status wh_added_finish(wh_added_tokens *added, const wh_strmap *vocab,
                                           const wh_norm_step *steps, size_t count,
                                           weft_error *err);
/* Cuts text into added tokens and the stretches between them; offsets count from `base`. */
WEFT_NODISCARD weft_status wh_added_split(const wh_added_tokens *added, const wh_added_index *index,
                                          const char *text, size_t len, size_t base, bool first,
                                          wh_pieces *out, weft_error *err);
void wh_added_free(wh_added_tokens *added);

/* ---- post-processing (postprocess.c) ---- */

typedef enum { WH_PART_A, WH_PART_B, WH_PART_SPECIAL } wh_part_kind;

typedef struct {
    wh_part_kind kind;
    int32_t type_id;
    int32_t id; /* SPECIAL */
} wh_part;

typedef struct {
    wh_part *v;
    size_t n, cap;
    int32_t specials;
} wh_template;

WEFT_NODISCARD weft_status wh_template_add(wh_template *template, wh_part_kind kind,
                                           int32_t type_id, int32_t id, weft_error *err);
/* Cuts a and b (NULL: one text) so that their ids and the template's special tokens are at most
 * max_len
 * (> 0), longest first. */
WEFT_NODISCARD weft_status wh_truncate(const wh_template *template, int32_t max_len, wh_ids *a,
                                       wh_ids *b, weft_error *err);
WEFT_NODISCARD weft_status wh_fill(const wh_template *template, const wh_ids *a, const wh_ids *b,
                                   wh_encoding *out, weft_error *err);

/* ---- the whole ---- */

typedef enum { WH_PAD, WH_CLS, WH_SEP, WH_UNK, WH_MASK, WH_ROLES } wh_role;

struct wh_tokenizer {
    uint64_t serial;
    wh_norm_step *norm;
    size_t norm_n, norm_cap;
    wh_pre_step *pre;
    size_t pre_n, pre_cap;
    wh_model model;
    wh_added_tokens added;
    wh_template single, pair;
    int32_t top_id; /* highest id */
    int32_t role[WH_ROLES];
};

WEFT_NODISCARD weft_status wh_norm_push(wh_tokenizer *t, wh_norm_step step, weft_error *err);
WEFT_NODISCARD weft_status wh_pre_push(wh_tokenizer *t, wh_pre_step step, weft_error *err);
/* Templates that add nothing, BERT's and RoBERTa's. */
WEFT_NODISCARD weft_status wh_template_plain(wh_tokenizer *t, weft_error *err);
WEFT_NODISCARD weft_status wh_template_bert(wh_tokenizer *t, int32_t cls, int32_t sep,
                                            weft_error *err);
WEFT_NODISCARD weft_status wh_template_roberta(wh_tokenizer *t, int32_t cls, int32_t sep,
                                               weft_error *err);

/* Puts a token of the vocabulary; `where` names the file. */
WEFT_NODISCARD weft_status wh_vocab_put(wh_model *model, const char *token, size_t len, int64_t id,
                                        const char *where, weft_error *err);

/* Readers: of tokenizer.json (tokenizer_json.c), and of folders without it (tokenizer_files.c).
 * `path` is the file, `dir` the folder. */
WEFT_NODISCARD weft_status wh_read_tokenizer_json(wh_tokenizer *t, const char *path,
                                                  weft_error *err);
WEFT_NODISCARD weft_status wh_read_vocab_txt(wh_tokenizer *t, const char *dir, weft_error *err);
WEFT_NODISCARD weft_status wh_read_vocab_merges(wh_tokenizer *t, const char *dir, weft_error *err);
/* Fills t->role from tokenizer_config.json, special_tokens_map.json and well-known names. */
WEFT_NODISCARD weft_status wh_read_roles(wh_tokenizer *t, const char *dir, weft_error *err);

#endif
