#include "host/output.h"

#include "host/json_util.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

weft_status wh_output_text(wh_text *text, weft_error *err) {
    weft_status st = wh_text_check(text, "the result", err);
    errno = 0;
    if (st == WEFT_OK && text->len > 0 && fwrite(text->data, 1, text->len, stdout) != text->len) {
        st = WEFT_FAIL(err, WEFT_E_OUTPUT, "cannot write to standard output: %s", strerror(errno));
    }
    wh_text_free(text);
    return st;
}

weft_status wh_output_json(json_t *value, weft_error *err) {
    if (!value) return WEFT_FAIL(err, WEFT_E_MEM, "out of memory while writing JSON");
    wh_text text = {0};
    wh_json_add(&text, value, 2);
    wh_text_add(&text, "\n");
    json_decref(value);
    return wh_output_text(&text, err);
}
