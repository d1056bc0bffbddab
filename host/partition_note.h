/* How a configuration's split was made, for partition.json. */
#ifndef WEFT_HOST_PARTITION_NOTE_H
#define WEFT_HOST_PARTITION_NOTE_H

#include "host/partition_file.h"

/* Strings belong to the configuration. */
wh_partition_note wh_partition_note_of(const weft_config *config);

#endif
