#include "host/model_summary.h"

#include "host/text_table.h"
#include "host/units.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

bool wh_model_block_part(char *out, size_t n, const char *tensor) {
    static const char SUFFIX[] = ".weight";
    size_t length = strlen(tensor), suffix = sizeof SUFFIX - 1;
    if (length <= suffix || strcmp(tensor + length - suffix, SUFFIX) != 0) return false;
    for (const char *part = tensor; part;) {
        const char *dot = strchr(part, '.');
        size_t digits = strspn(part, "0123456789");
        if (dot && digits > 0 && part + digits == dot) {
            const char *rest = dot + 1;
            size_t rest_length = length - suffix - (size_t)(rest - tensor);
            if (rest > tensor + length - suffix || rest_length == 0 || rest_length >= n)
                return false;
            memcpy(out, rest, rest_length);
            out[rest_length] = '\0';
            return true;
        }
        part = dot ? dot + 1 : NULL;
    }
    return false;
}

static void count_linear(wh_model_summary *s, const char *name, const weft_source_tensor *tensor) {
    wh_model_linear *linear = s->linear, *end = linear + s->n_linears;
    while (linear < end && (strcmp(linear->name, name) != 0 || linear->out != tensor->dim[0] ||
                            linear->in != tensor->dim[1])) {
        linear++;
    }
    if (linear == end) {
        if (s->n_linears == WH_MODEL_LINEARS) return;
        s->n_linears++;
        (void)snprintf(linear->name, sizeof linear->name, "%s", name);
        linear->out = tensor->dim[0];
        linear->in = tensor->dim[1];
        linear->count = 0;
    }
    linear->count++;
}

weft_status wh_model_summary_build(wh_model_summary **out, wh_model_folder *folder,
                                   weft_error *err) {
    wh_model_summary *s = calloc(1, sizeof *s);
    if (!s) return WEFT_FAIL(err, WEFT_E_MEM, "out of memory while describing the model");
    s->path = wh_model_folder_path(folder);
    s->model_type = wh_model_folder_meta(folder, "model_type");
    s->architecture = wh_model_folder_meta(folder, "architectures");
    weft_model_source source = wh_model_folder_source(folder);
    for (size_t i = 0;; i++) {
        const char *name = wh_model_folder_tensor_name(folder, i);
        if (!name) break;
        weft_source_tensor tensor = {0};
        weft_status st = source.tensor(source.ud, name, &tensor, err);
        if (st != WEFT_OK) {
            free(s);
            return st;
        }
        if (!tensor.data) continue;
        /* Integers are buffers, such as BERT's position_ids: nothing was ever trained there. */
        bool is_real = tensor.dtype == WEFT_F32 || tensor.dtype == WEFT_F64 ||
                       tensor.dtype == WEFT_BF16 || tensor.dtype == WEFT_F16;
        if (!is_real) continue;
        int64_t numel = 1;
        for (int32_t d = 0; d < tensor.ndim; d++) numel *= tensor.dim[d];
        s->n_tensors++;
        s->parameters += numel;
        char part[96];
        if (tensor.ndim == 2 && wh_model_block_part(part, sizeof part, name)) {
            count_linear(s, part, &tensor);
        }
    }
    *out = s;
    return WEFT_OK;
}

void wh_model_summary_free(wh_model_summary *summary) {
    free(summary);
}

void wh_model_summary_text(wh_text *to, const wh_model_summary *s) {
    char text[32];
    wh_text_table t;
    wh_text_addf(to, "%s\n", s->path);
    wh_text_addf(to, "  type         %s\n", s->model_type ? s->model_type : "unknown");
    wh_text_addf(to, "  parameters   %s in %" PRId64 " tensors\n",
                 wh_units_grouped(text, sizeof text, s->parameters), s->n_tensors);
    wh_text_addf(to, "  linear layers of the blocks\n");
    wh_text_table_init(&t, "lrl");
    for (int32_t i = 0; i < s->n_linears; i++) {
        const wh_model_linear *l = &s->linear[i];
        wh_text_table_cell(&t, "%s", l->name);
        wh_text_table_cell(&t, "%d x", l->count);
        wh_text_table_cell(&t, "(%" PRId64 ", %" PRId64 ")", l->out, l->in);
    }
    wh_text_table_add(to, &t, "    ");
    wh_text_table_fini(&t);
}

json_t *wh_model_summary_json(const wh_model_summary *s) {
    json_t *linears = json_array();
    for (int32_t i = 0; i < s->n_linears; i++) {
        const wh_model_linear *l = &s->linear[i];
        json_t *row = json_pack("{s:s, s:i, s:I, s:I}", "name", l->name, "count", l->count, "out",
                                (json_int_t)l->out, "in", (json_int_t)l->in);
        if (json_array_append_new(linears, row) != 0) {
            json_decref(linears);
            return NULL;
        }
    }
    return json_pack("{s:s, s:s?, s:s?, s:I, s:I, s:o}", "path", s->path, "model_type",
                     s->model_type, "architectures", s->architecture, "tensors",
                     (json_int_t)s->n_tensors, "parameters", (json_int_t)s->parameters, "linears",
                     linears);
}
