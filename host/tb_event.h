/* TensorBoard's event format: records of length, masked CRC-32C of the length, data, masked CRC-32C
 * of the data (TFRecord), where the data is an Event message. Encoded here because two messages of
 * five fields are less than a protobuf library and its generated code (third_party/README.md). */
#ifndef WH_TB_EVENT_H
#define WH_TB_EVENT_H

#include "host/text.h"

typedef struct wh_tb_scalar {
    const char *tag; /* "train/loss" */
    double value;    /* stored as a float */
} wh_tb_scalar;

/* Appends the record that opens every file: the version of the format. wall_time: seconds since
 * 1970. */
void wh_tb_add_version(wh_text *to, double wall_time);
/* Appends one record with all scalars of a step. */
void wh_tb_add_scalars(wh_text *to, double wall_time, int64_t step, const wh_tb_scalar *scalar,
                       size_t n);

/* CRC-32C (Castagnoli) as TensorFlow masks it: rotated right by 15, plus 0xa282ead8. */
uint32_t wh_tb_masked_crc(const void *data, size_t bytes);

#endif
