/* What fl.sync decides about fda.*, and the rules among these options. */
#include "engine/config.h"
#include "engine/sketch.h"
#include "kernels/ops.h"

#include <inttypes.h>

#define USUAL_COUNT 10    /* checks of FDA-Opt's paper with one epoch */
#define NEVER       10000 /* checks in one round, as good as unlimited */

static bool has_client_state(const weft_config *c) {
    return c->client_optimizer == WE_CLIENT_ADAMW || c->client_momentum > 0;
}

static int64_t usual_width(const weft_config *c) {
    if (c->fda_sketch == WE_SKETCH_XOR) return WK_SKETCH_WIDTH;
    return c->fl_sync == WE_SYNC_FDA_OPT ? 500 : 250;
}

void we_config_fill_fda(weft_config *c) {
    const bool opt = c->fl_sync == WE_SYNC_FDA_OPT;
    if (c->fl_sync == WE_SYNC_FIXED) return;
    if (!c->set.fda_rule)
        we_config_put_choice(c, WE_OPTION_fda_rule, opt ? WE_RULE_ADAPTIVE : WE_RULE_FIXED);
    if (c->fda_max_checks == 0) {
        /* M = 2E + 8; local_steps take the place of one epoch. */
        const int64_t m = c->client_local_steps > 0 ? USUAL_COUNT : 2 * c->client_local_epochs + 8;
        we_config_put_int(c, WE_OPTION_fda_max_checks, opt ? m : NEVER);
    }
    if (!c->set.fda_check_every) we_config_put_int(c, WE_OPTION_fda_check_every, opt ? 0 : 1);
    if (c->fda_target == 0)
        we_config_put_int(c, WE_OPTION_fda_target,
                          c->fda_max_checks > 1 ? c->fda_max_checks / 2 : 1);
    if (!c->set.fda_sketch_depth) we_config_put_int(c, WE_OPTION_fda_sketch_depth, opt ? 3 : 5);
    if (!c->set.fda_sketch_width) we_config_put_int(c, WE_OPTION_fda_sketch_width, usual_width(c));
    if (!c->set.fda_epsilon)
        we_config_put_real(
            c, WE_OPTION_fda_epsilon,
            we_sketch_epsilon(c->fda_sketch_depth, c->fda_sketch_width, c->fda_failure));
    /* FDA's workers keep their optimizer's state when weights are synchronised. */
    if (!opt && !c->set.client_optimizer_state && has_client_state(c))
        we_config_put_choice(c, WE_OPTION_client_optimizer_state, WE_STATE_KEEP);
}

static weft_status check_theta(const weft_config *c, weft_error *err) {
    const bool used = c->fl_sync != WE_SYNC_FIXED && c->fda_rule == WE_RULE_FIXED;
    if (used && c->fda_theta == 0)
        return WEFT_FAIL(err, WEFT_E_CONFIG,
                         "fl.sync=%s with fda.rule=fixed needs fda.theta, the variance above which "
                         "clients synchronise: look at `variance` in checks.csv of a run with a "
                         "large one, or take fl.sync=fda-opt, which finds it",
                         weft_config_text(c, "fl.sync"));
    if (!used && c->fda_theta != 0)
        return WEFT_FAIL(err, WEFT_E_CONFIG,
                         "fda.theta=%s is for fl.sync=fda (fda.rule=fixed), but fl.sync is %s and "
                         "fda.rule %s: drop it or change them",
                         weft_config_text(c, "fda.theta"), weft_config_text(c, "fl.sync"),
                         weft_config_text(c, "fda.rule"));
    return WEFT_OK;
}

static weft_status check_sketch(const weft_config *c, weft_error *err) {
    if (c->fda_sketch_depth % 2 == 0)
        return WEFT_FAIL(err, WEFT_E_CONFIG,
                         "fda.sketch_depth=%" PRId64 " has no middle row: make it odd",
                         c->fda_sketch_depth);
    if (c->fda_sketch == WE_SKETCH_XOR && c->fda_sketch_width != WK_SKETCH_WIDTH)
        return WEFT_FAIL(err, WEFT_E_CONFIG,
                         "fda.sketch=xor has rows of %d buckets, fda.sketch_width is %" PRId64
                         ": drop it, or set fda.sketch=hash",
                         WK_SKETCH_WIDTH, c->fda_sketch_width);
    return WEFT_OK;
}

static weft_status check_weights(const weft_config *c, weft_error *err) {
    const double a = c->fda_weight_a, b = c->fda_weight_b, saved = c->fda_weight_saved;
    if (a + b + saved <= 0)
        return WEFT_FAIL(err, WEFT_E_CONFIG,
                         "fda.weight_a, weight_b and weight_saved are all 0: nothing would count");
    if (c->fda_estimator == WE_ESTIMATOR_SKETCH && c->fda_sketch == WE_SKETCH_XOR &&
        (a != 1 || b != 1 || saved != 1)) /* NOLINT: as given */
        return WEFT_FAIL(err, WEFT_E_CONFIG,
                         "fda.sketch=xor knows no fda.weight_*: set fda.sketch=hash, or drop them");
    return WEFT_OK;
}

/* A round goes on with all its clients or with none, so they are all in a slot. */
static weft_status check_slots(const weft_config *c, weft_error *err) {
    if (c->engine_slots == 0 || c->engine_slots >= c->fl_clients_per_round) return WEFT_OK;
    return WEFT_FAIL(err, WEFT_E_CONFIG,
                     "fl.sync=%s trains the whole cohort at once, but engine.slots=%" PRId64
                     " is less than fl.clients_per_round=%" PRId64 ": drop engine.slots",
                     weft_config_text(c, "fl.sync"), c->engine_slots, c->fl_clients_per_round);
}

weft_status we_config_check_fda(const weft_config *c, weft_error *err) {
    WEFT_TRY(check_theta(c, err));
    if (c->fl_sync == WE_SYNC_FIXED) return WEFT_OK;
    WEFT_TRY(check_sketch(c, err));
    WEFT_TRY(check_weights(c, err));
    return check_slots(c, err);
}
