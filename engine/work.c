#include "engine/work.h"

#include "engine/models/model.h"

static double numbers(const we_group *g) {
    return (double)g->out * (double)g->in;
}

/* Of the adapters of a group, times what reaches it: tokens or rows. */
static double lora_flops(const we_model *m, const we_group *g, double reach) {
    double width = 0;
    for (int32_t i = 0; i < g->n; i++)
        if (g->part[i].a >= 0) width += (double)(g->part[i].in + g->part[i].out);
    return 6 * (double)m->lora.r * width * reach;
}

static double layer_flops(const we_model *m, const we_layer *l, bool backward, const we_work *w) {
    const we_group *const group[] = {&l->qkv, &l->o, &l->up, &l->down};
    const double d = (double)m->hp.d;
    double p = 0, lora = 0;
    for (int i = 0; i < 4; i++) {
        p += numbers(group[i]);
        lora += lora_flops(m, group[i], w->tokens);
    }
    return (backward ? 4 : 2) * p * w->tokens + (backward ? 12 : 4) * d * w->pairs + lora;
}

static double head_flops(const we_model *m, double rows) {
    const bool below = m->lowest < m->hp.layers;
    const bool into_hidden = below || m->hidden.is_trained || m->hidden.frozen.part[0].a >= 0;
    const int out = 2 + (m->out.is_trained ? 2 : 0) + (into_hidden ? 2 : 0);
    const int hidden = 2 + (m->hidden.is_trained ? 2 : 0) + (below ? 2 : 0);
    double flops = rows * (out * numbers(&m->out.frozen) + hidden * numbers(&m->hidden.frozen));
    if (!m->hidden.is_trained) flops += lora_flops(m, &m->hidden.frozen, rows);
    return flops;
}

double we_model_flops(const we_model *m, const we_work *work) {
    double flops = head_flops(m, work->rows);
    for (int32_t l = 0; l < m->hp.layers; l++)
        flops += layer_flops(m, &m->layer[l], l >= m->lowest, work);
    return flops;
}
