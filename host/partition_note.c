#include "host/partition_note.h"

#include <math.h>
#include <string.h>

wh_partition_note wh_partition_note_of(const weft_config *config) {
    const char *kind = weft_config_text(config, "partition.kind");
    wh_partition_note note = {.kind = kind, .alpha = (double)NAN};
    note.seed = (uint64_t)weft_config_int(config, "run.seed");
    note.min_rows = (int32_t)weft_config_int(config, "partition.min_rows");
    if (strcmp(kind, "dirichlet") == 0 || strcmp(kind, "quantity") == 0) {
        note.alpha = weft_config_real(config, "partition.alpha");
    } else if (strcmp(kind, "pathological") == 0) {
        note.classes_per_client = (int32_t)weft_config_int(config, "partition.classes_per_client");
    } else if (strcmp(kind, "shards") == 0) {
        note.shards_per_client = (int32_t)weft_config_int(config, "partition.shards_per_client");
    }
    return note;
}
