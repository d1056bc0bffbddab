#include "engine/schedule.h"

#include <math.h>

double we_schedule_rate(const weft_config *config, int64_t round) {
    const double pi = 3.141592653589793;
    double rate = config->client_learning_rate, floor = config->client_min_lr_ratio;
    double total = (double)config->fl_num_rounds, step = (double)(round - 1);
    double warmup = ceil(config->client_warmup_ratio * total);
    if (step < warmup) return rate * (step + 1) / warmup;
    double left = total > warmup ? fmax(0, (total - step) / (total - warmup)) : 0;
    switch (config->client_lr_scheduler) {
    case WE_SCHEDULE_CONSTANT:
        return rate;
    case WE_SCHEDULE_LINEAR:
        return rate * (floor + (1 - floor) * left);
    case WE_SCHEDULE_COSINE:
        return rate * (floor + (1 - floor) * 0.5 * (1 + cos(pi * (1 - left))));
    }
    return rate;
}
