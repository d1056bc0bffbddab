#include "host/tb_event.h"

#include <string.h>

/* ---- CRC-32C ---- */

uint32_t wh_tb_masked_crc(const void *data, size_t bytes) {
    const unsigned char *p = data;
    uint32_t crc = 0xffffffffu;
    for (size_t i = 0; i < bytes; i++) {
        crc ^= p[i];
        for (int k = 0; k < 8; k++) crc = crc >> 1 ^ (0x82f63b78u & (0u - (crc & 1u)));
    }
    crc ^= 0xffffffffu;
    return (crc >> 15 | crc << 17) + 0xa282ead8u;
}

/* ---- protobuf: a field is number << 3 | type, then its value ---- */

enum { VARINT = 0, FIXED64 = 1, BYTES = 2, FIXED32 = 5 };

static void add_little_endian(wh_text *to, uint64_t value, int bytes) {
    for (int i = 0; i < bytes; i++) {
        char byte = (char)(value >> 8 * i & 0xff);
        wh_text_add_n(to, &byte, 1);
    }
}

static void add_varint(wh_text *to, uint64_t value) {
    do {
        char byte = (char)((value & 0x7f) | (value > 0x7f ? 0x80 : 0));
        wh_text_add_n(to, &byte, 1);
        value >>= 7;
    } while (value);
}

static void add_key(wh_text *to, unsigned field, unsigned type) {
    add_varint(to, field << 3 | type);
}

static void add_double(wh_text *to, unsigned field, double value) {
    uint64_t bits;
    memcpy(&bits, &value, sizeof bits);
    add_key(to, field, FIXED64);
    add_little_endian(to, bits, 8);
}

static void add_float(wh_text *to, unsigned field, float value) {
    uint32_t bits;
    memcpy(&bits, &value, sizeof bits);
    add_key(to, field, FIXED32);
    add_little_endian(to, bits, 4);
}

static void add_bytes(wh_text *to, unsigned field, const char *data, size_t n) {
    add_key(to, field, BYTES);
    add_varint(to, n);
    if (n) wh_text_add_n(to, data, n);
}

/* A message inside a message; frees it. */
static void add_message(wh_text *to, unsigned field, wh_text *message) {
    add_bytes(to, field, message->data, message->len);
    if (message->failed) to->failed = true;
    wh_text_free(message);
}

/* ---- tensorflow.Event ---- */

enum { EVENT_WALL_TIME = 1, EVENT_STEP = 2, EVENT_FILE_VERSION = 3, EVENT_SUMMARY = 5 };
enum { SUMMARY_VALUE = 1, VALUE_TAG = 1, VALUE_SIMPLE = 2 };

static void add_record(wh_text *to, wh_text *event) {
    unsigned char length[8];
    for (int i = 0; i < 8; i++) length[i] = (unsigned char)((uint64_t)event->len >> 8 * i & 0xff);
    wh_text_add_n(to, (const char *)length, sizeof length);
    add_little_endian(to, wh_tb_masked_crc(length, sizeof length), 4);
    if (event->len) wh_text_add_n(to, event->data, event->len);
    add_little_endian(to, wh_tb_masked_crc(event->data, event->len), 4);
    if (event->failed) to->failed = true;
    wh_text_free(event);
}

void wh_tb_add_version(wh_text *to, double wall_time) {
    static const char version[] = "brain.Event:2";
    wh_text event = {0};
    add_double(&event, EVENT_WALL_TIME, wall_time);
    add_bytes(&event, EVENT_FILE_VERSION, version, sizeof version - 1);
    add_record(to, &event);
}

void wh_tb_add_scalars(wh_text *to, double wall_time, int64_t step, const wh_tb_scalar *scalar,
                       size_t n) {
    wh_text event = {0}, summary = {0};
    for (size_t i = 0; i < n; i++) {
        wh_text value = {0};
        add_bytes(&value, VALUE_TAG, scalar[i].tag, strlen(scalar[i].tag));
        add_float(&value, VALUE_SIMPLE, (float)scalar[i].value);
        add_message(&summary, SUMMARY_VALUE, &value);
    }
    add_double(&event, EVENT_WALL_TIME, wall_time);
    add_key(&event, EVENT_STEP, VARINT);
    add_varint(&event, (uint64_t)step);
    add_message(&event, EVENT_SUMMARY, &summary);
    add_record(to, &event);
}
