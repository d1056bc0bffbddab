#include "engine/models/head.h"

#include "engine/models/linear.h"
#include "kernels/dev.h"

static const wk_tensor none = {0};

static weft_status layer_fwd(const we_pass *p, const we_head_layer *layer, wk_tensor y, wk_tensor x,
                             const wk_tensor *s) {
    const wk_segs *segs = &p->batch->row_segs;
    if (!layer->is_trained) return we_group_fwd(p, &layer->frozen, segs, y, x, none, s);
    const we_group *g = &layer->frozen;
    wk_seg_linear_fwd_args a = {.y = y,
                                .x = x,
                                .m = we_slot_mat(p->adapters->w, layer->weight, g->out, g->in),
                                .bias = we_slot_vec(p->adapters->w, layer->bias, g->out),
                                .segs = *segs,
                                .alpha = 1.0f};
    return wk_seg_linear_fwd(p->m->dev, &a);
}

static weft_status layer_bwd(const we_pass *p, const we_head_layer *layer, wk_tensor dx,
                             wk_tensor dy, wk_tensor x, const wk_tensor *s) {
    const wk_segs *segs = &p->batch->row_segs;
    const we_group *g = &layer->frozen;
    if (!layer->is_trained) return we_group_bwd(p, g, segs, dx, dy, x, s, false);
    wk_seg_linear_dw_args dw = {.dm = we_slot_mat(p->adapters->g, layer->weight, g->out, g->in),
                                .dbias = we_slot_vec(p->adapters->g, layer->bias, g->out),
                                .dy = dy,
                                .x = x,
                                .segs = *segs,
                                .alpha = 1.0f};
    WEFT_TRY(wk_seg_linear_dw(p->m->dev, &dw));
    if (!wk_given(dx)) return WEFT_OK;
    wk_seg_linear_dx_args back = {.dx = dx,
                                  .dy = dy,
                                  .m = we_slot_mat(p->adapters->w, layer->weight, g->out, g->in),
                                  .segs = *segs,
                                  .alpha = 1.0f};
    return wk_seg_linear_dx(p->m->dev, &back);
}

weft_status we_head_forward(const we_pass *p) {
    we_model *m = p->m;
    we_acts *acts = p->acts;
    WEFT_TRY(layer_fwd(p, &m->hidden, acts->hidden, acts->first, &acts->s_hidden));
    wk_act_fwd_args act = {.y = acts->hidden_act, .x = acts->hidden, .act = m->arch->head.act};
    WEFT_TRY(wk_act_fwd(m->dev, &act));
    WEFT_TRY(layer_fwd(p, &m->out, acts->logits, acts->hidden_act, NULL));
    we_watch(p, "hidden", m->hp.layers, acts->hidden_act);
    we_watch(p, "logits", m->hp.layers, acts->logits);
    return WEFT_OK;
}

weft_status we_encoder_loss(const we_pass *p) {
    we_acts *acts = p->acts;
    const we_batch *b = p->batch;
    wk_tensor grad = p->train ? acts->dlogits : none;
    if (p->m->num_labels == 1) {
        wk_mse_args a = {.loss = acts->loss,
                         .dpred = grad,
                         .pred = acts->logits,
                         .target = b->target,
                         .weight = b->weight};
        return wk_mse(p->m->dev, &a);
    }
    wk_softmax_xent_args a = {.loss = acts->loss,
                              .dlogits = grad,
                              .logits = acts->logits,
                              .label = b->label,
                              .weight = b->weight};
    return wk_softmax_xent(p->m->dev, &a);
}

weft_status we_head_backward(const we_pass *p, bool below) {
    we_model *m = p->m;
    we_acts *acts = p->acts;
    wk_tensor dact = acts->dhead[0], dfirst = acts->dhead[1];
    bool into_hidden = below || m->hidden.is_trained || m->hidden.frozen.part[0].a >= 0;
    WEFT_TRY(
        layer_bwd(p, &m->out, into_hidden ? dact : none, acts->dlogits, acts->hidden_act, NULL));
    if (!into_hidden) return WEFT_OK;
    wk_act_bwd_args act = {.dx = dact, .dy = dact, .x = acts->hidden, .act = m->arch->head.act};
    WEFT_TRY(wk_act_bwd(m->dev, &act));
    return layer_bwd(p, &m->hidden, below ? dfirst : none, dact, acts->first, &acts->s_hidden);
}
