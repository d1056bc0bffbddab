#include "host/config_write.h"

#include <stdio.h>
#include <string.h>

void wh_config_env_name(char *out, size_t n, const weft_option *option) {
    (void)snprintf(out, n, "WEFT_%s", option->key);
    for (char *c = out; *c; c++) {
        if (*c >= 'a' && *c <= 'z') *c = (char)(*c - 'a' + 'A');
        if (*c == '.' || *c == '-') *c = '_';
    }
}

/* Part of the key after the section's name. */
static const char *short_key(const weft_option *option) {
    size_t n = strlen(option->section);
    bool nested = strncmp(option->key, option->section, n) == 0 && option->key[n] == '.';
    return nested ? option->key + n + 1 : option->key;
}

/* Words that some YAML reader would not take for text. */
static bool is_reserved_word(const char *text) {
    static const char *const WORDS[] = {"null", "true", "false", "yes", "no",
                                        "on",   "off",  "y",     "n"};
    char lower[8];
    size_t n = strlen(text);
    if (n >= sizeof lower) return false;
    for (size_t i = 0; i <= n; i++) {
        lower[i] = text[i] >= 'A' && text[i] <= 'Z' ? (char)(text[i] - 'A' + 'a') : text[i];
    }
    for (size_t i = 0; i < sizeof WORDS / sizeof WORDS[0]; i++) {
        if (strcmp(lower, WORDS[i]) == 0) return true;
    }
    return false;
}

/* Text that every YAML reader takes plain: starts with a letter, '/', '_' or "./", no special
 * characters, no reserved word. */
static bool is_plain(const char *text) {
    for (const char *c = text; *c; c++) {
        bool letter = (*c >= 'a' && *c <= 'z') || (*c >= 'A' && *c <= 'Z') || *c == '_';
        bool start = *c == '/' || (*c == '.' && (c[1] == '/' || c[1] == '.'));
        bool later = (*c >= '0' && *c <= '9') || strchr("./-+,@", *c);
        if (!letter && !(c == text ? start : later)) return false;
    }
    return text[0] != '\0' && !is_reserved_word(text);
}

/* YAML double-quoted style; bytes above 0x7f are UTF-8 and pass. */
static void add_quoted(wh_text *b, const char *text) {
    wh_text_addf(b, "\"");
    for (const char *c = text; *c; c++) {
        unsigned char u = (unsigned char)*c;
        if (u == '"' || u == '\\') {
            wh_text_addf(b, "\\%c", *c);
        } else if (u < 0x20 || u == 0x7f) {
            wh_text_addf(b, "\\x%02x", u);
        } else {
            wh_text_addf(b, "%c", *c);
        }
    }
    wh_text_addf(b, "\"");
}

void wh_config_write(wh_text *b, const weft_config *config, bool comments) {
    const char *section = "";
    for (size_t i = 0; i < weft_option_count(); i++) {
        const weft_option *option = weft_option_at(i);
        if (strcmp(section, option->section) != 0) {
            section = option->section;
            if (comments && i > 0) wh_text_addf(b, "\n");
            if (comments) wh_text_addf(b, "# %s\n", option->title);
            wh_text_addf(b, "%s:\n", section);
        }
        const char *value = weft_config_text(config, option->key);
        wh_text_addf(b, "  %s: ", short_key(option));
        if (option->kind == WEFT_OPTION_TEXT && !is_plain(value)) {
            add_quoted(b, value);
        } else {
            wh_text_addf(b, "%s", value);
        }
        if (comments) wh_text_addf(b, " # %s", option->help);
        wh_text_addf(b, "\n");
    }
}

/* "0 … 1024", "auto, cpu, ref" or "" for what a value may be. */
static void range_text(char *out, size_t n, const weft_option *option) {
    out[0] = '\0';
    switch (option->kind) {
    case WEFT_OPTION_INT:
    case WEFT_OPTION_UINT:
    case WEFT_OPTION_REAL:
        /* Bounds of the type itself say nothing. */
        if (option->max >= 9e18) {
            (void)snprintf(out, n, "≥ %g", option->min);
        } else if (option->kind != WEFT_OPTION_REAL && option->max < 1e15) {
            (void)snprintf(out, n, "%.0f … %.0f", option->min, option->max);
        } else {
            (void)snprintf(out, n, "%g … %g", option->min, option->max);
        }
        break;
    case WEFT_OPTION_BOOL:
        (void)snprintf(out, n, "true, false");
        break;
    case WEFT_OPTION_ENUM: {
        size_t used = 0;
        for (const char *c = option->choices; *c && used + 3 < n; c++) {
            if (*c == '|')
                out[used++] = ',', out[used++] = ' ';
            else
                out[used++] = *c;
        }
        out[used] = '\0';
        break;
    }
    case WEFT_OPTION_TEXT:
        break;
    }
}

static const char *kind_name(weft_option_kind kind) {
    switch (kind) {
    case WEFT_OPTION_INT:
    case WEFT_OPTION_UINT:
        return "integer";
    case WEFT_OPTION_REAL:
        return "number";
    case WEFT_OPTION_BOOL:
        return "boolean";
    case WEFT_OPTION_TEXT:
        return "text";
    case WEFT_OPTION_ENUM:
        break; /* its choices say it */
    }
    return "";
}

/* Table cells: '|' would end one. */
static void add_cell(wh_text *b, const char *text) {
    for (const char *c = text; *c; c++) wh_text_addf(b, *c == '|' ? "\\%c" : "%c", *c);
}

void wh_config_markdown(wh_text *b) {
    wh_text_addf(b, "# Options\n\n"
                    "Written by `weft config --markdown` from `engine/config.def`; do not edit.\n\n"
                    "A job file sets options as nested YAML (`lora: {r: 8}`) or by dotted key "
                    "(`lora.r: 8`); `key=value` on the command line wins over it; the environment "
                    "variable `WEFT_<SECTION>_<KEY>` (`WEFT_LORA_R`) is the weakest source. "
                    "Other names, known from other trainers, are accepted at the top level.\n");
    const char *section = "";
    for (size_t i = 0; i < weft_option_count(); i++) {
        const weft_option *option = weft_option_at(i);
        if (strcmp(section, option->section) != 0) {
            section = option->section;
            wh_text_addf(b,
                         "\n## %s: %s\n\n| option | default | values | meaning | other names |\n"
                         "| --- | --- | --- | --- | --- |\n",
                         section, option->title);
        }
        char range[256];
        range_text(range, sizeof range, option);
        wh_text_addf(b, "| `%s` | ", option->key);
        if (option->preset[0]) wh_text_addf(b, "`%s`", option->preset);
        const char *kind = kind_name(option->kind);
        wh_text_addf(b, " | %s%s%s | ", kind, kind[0] && range[0] ? ", " : "", range);
        add_cell(b, option->help);
        wh_text_addf(b, " | %s |\n", option->aliases);
    }
}

weft_status wh_config_list(wh_text *b, const char *prefix, weft_error *err) {
    const char *section = "";
    size_t width = 0, preset_width = 0, n = strlen(prefix), count = 0;
    for (size_t i = 0; i < weft_option_count(); i++) {
        const weft_option *option = weft_option_at(i);
        size_t length = strlen(option->key), preset_length = strlen(option->preset);
        if (length > width) width = length;
        if (preset_length > preset_width) preset_width = preset_length;
    }
    for (size_t i = 0; i < weft_option_count(); i++) {
        const weft_option *option = weft_option_at(i);
        if (strncmp(option->key, prefix, n) != 0) continue;
        if (strcmp(section, option->section) != 0) {
            section = option->section;
            wh_text_addf(b, "%s%s: %s\n", count ? "\n" : "", section, option->title);
        }
        char range[256];
        range_text(range, sizeof range, option);
        wh_text_addf(b, "  %-*s  %-*s  %s", (int)width, option->key, (int)preset_width,
                     option->preset[0] ? option->preset : "-", option->help);
        if (option->kind == WEFT_OPTION_ENUM) wh_text_addf(b, " (%s)", range);
        wh_text_addf(b, "\n");
        count++;
    }
    if (count == 0) {
        const char *nearest = NULL;
        (void)weft_option_find(prefix, &nearest);
        return WEFT_FAIL(err, WEFT_E_CONFIG, "no option starts with '%.80s'%s%s%s", prefix,
                         nearest ? "; did you mean '" : "", nearest ? nearest : "",
                         nearest ? "'?" : "");
    }
    return WEFT_OK;
}
