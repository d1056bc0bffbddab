/* The clients' learning rate in a round; constant within it. */
#ifndef WE_SCHEDULE_H
#define WE_SCHEDULE_H

#include "engine/config.h"

/* The schedules of transformers (get_constant, get_linear and get_cosine_schedule_with_warmup), a
 * round being a step: with s = round - 1, T = fl.num_rounds, w = ceil(client.warmup_ratio * T) and
 * m = client.min_lr_ratio, the rate is learning_rate times
 *   (s + 1) / w                                while s < w
 *   1                                          constant
 *   m + (1 - m) * p                            linear, p = (T - s) / (T - w)
 *   m + (1 - m) * (1 + cos(pi (1 - p))) / 2    cosine
 * Warm-up has s / w in transformers, with which the first round would stand still. The floor m is
 * that of cosine_with_min_lr. `round` is 1-based; past the last, p = 0. */
double we_schedule_rate(const weft_config *config, int64_t round);

#endif
