#include "host/exit_code.h"

#include <signal.h>
#include <stdio.h>

int wh_exit_code(weft_status status, int signal, bool goes_on) {
    switch (status) {
    case WEFT_OK:
        return WH_EXIT_OK;
    /* The library refuses a call that the program should not have made. */
    case WEFT_E_ARG:
    case WEFT_E_SHAPE:
        return WH_EXIT_BUG;
    case WEFT_E_CONFIG:
        return WH_EXIT_USAGE;
    /* An architecture, a tensor or a tokenizer part that Weft does not know. */
    case WEFT_E_UNSUPPORTED:
    case WEFT_E_DATA:
        return WH_EXIT_DATA;
    case WEFT_E_MEM:
        return WH_EXIT_MEMORY;
    case WEFT_E_DIVERGED:
        return WH_EXIT_DIVERGED;
    case WEFT_E_DEVICE:
    case WEFT_E_COMM:
        return WH_EXIT_DEVICE;
    case WEFT_E_RESUME:
        return WH_EXIT_RESUME;
    case WEFT_E_OUTPUT:
        return WH_EXIT_OUTPUT;
    case WEFT_E_STOPPED:
        if (goes_on) return WH_EXIT_RESUME_LATER;
        return signal > 0 ? WH_EXIT_SIGNAL + signal : WH_EXIT_BUG;
    }
    return WH_EXIT_BUG;
}

weft_status wh_exit_status(int code) {
    switch (code) {
    case WH_EXIT_OK:
        return WEFT_OK;
    case WH_EXIT_USAGE:
        return WEFT_E_CONFIG;
    case WH_EXIT_DATA:
        return WEFT_E_DATA;
    case WH_EXIT_MEMORY:
    case WH_EXIT_SIGNAL + SIGKILL:
        return WEFT_E_MEM;
    case WH_EXIT_DIVERGED:
        return WEFT_E_DIVERGED;
    case WH_EXIT_DEVICE:
        return WEFT_E_DEVICE;
    case WH_EXIT_RESUME:
        return WEFT_E_RESUME;
    case WH_EXIT_OUTPUT:
        return WEFT_E_OUTPUT;
    case WH_EXIT_RESUME_LATER:
        return WEFT_E_STOPPED;
    default:
        return WEFT_E_ARG;
    }
}

void wh_exit_line(char *out, size_t n, weft_status status, const weft_error *err) {
    if (n == 0) return;
    const char *text = err && err->text[0] ? err->text : weft_status_str(status);
    int length = snprintf(out, n, "weft: error: %s\n", text);
    if (length < 0) {
        out[0] = '\0';
        return;
    }
    if ((size_t)length >= n && n >= 2) out[n - 2] = '\n';
    for (char *c = out; *c && c[1]; c++) {
        if ((unsigned char)*c < 0x20 || *c == 0x7f) *c = '?';
    }
}
