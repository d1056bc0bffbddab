/* Status codes and error messages: the one vocabulary of failure for kernels, engine and host.
 *
 * Every function that can fail returns a weft_status. The text for people goes into a weft_error
 * that the caller owns. A message is one line that names the thing, both values where two disagree,
 * and the fix where there is one. Library code never prints it. */
#ifndef WEFT_STATUS_H
#define WEFT_STATUS_H

#ifdef __cplusplus
extern "C" {
#endif

/* name, number, short text. Process exit codes are the host's (host/exit_code.c). */
#define WEFT_STATUS_MAP(X)                                                                         \
    X(OK, 0, "ok")                                                                                 \
    X(E_ARG, 1, "invalid argument")                                                                \
    X(E_SHAPE, 2, "shape or dtype mismatch")                                                       \
    X(E_MEM, 3, "out of memory")                                                                   \
    X(E_DEVICE, 4, "device failure")                                                               \
    X(E_UNSUPPORTED, 5, "not supported")                                                           \
    X(E_CONFIG, 6, "bad configuration")                                                            \
    X(E_DATA, 7, "bad model or data")                                                              \
    X(E_OUTPUT, 8, "output cannot be written")                                                     \
    X(E_COMM, 9, "collective failed")                                                              \
    X(E_DIVERGED, 10, "training diverged")                                                         \
    X(E_RESUME, 11, "resume mismatch")                                                             \
    X(E_STOPPED, 12, "stopped by a signal")

typedef enum weft_status {
#define X(name, num, text) WEFT_##name = num,
    WEFT_STATUS_MAP(X)
#undef X
} weft_status;

/* The last failure, owned by the caller; zero-initialise it. `file` and `line` say where in the
 * source it was raised (for debug logs, not for the message). */
typedef struct weft_error {
    weft_status status;
    int line;
    const char *file;
    char text[512];
} weft_error;

#if defined(__GNUC__)
#    define WEFT_NODISCARD          __attribute__((warn_unused_result))
#    define WEFT_PRINTF(fmt, first) __attribute__((format(printf, fmt, first)))
#else
#    define WEFT_NODISCARD
#    define WEFT_PRINTF(fmt, first)
#endif

/* Short text of a status; never NULL. */
const char *weft_status_str(weft_status status);

/* Fill *err (may be NULL) with a formatted message, cut to its buffer, and return `status`. */
weft_status weft_error_set(weft_error *err, const char *file, int line, weft_status status,
                           const char *format, ...) WEFT_PRINTF(5, 6);

#define WEFT_FAIL(err, status, ...) weft_error_set((err), __FILE__, __LINE__, (status), __VA_ARGS__)

/* Return from the calling function when `expr` fails. */
#define WEFT_TRY(expr)                                                                             \
    do {                                                                                           \
        weft_status weft_try_ = (expr);                                                            \
        if (weft_try_ != WEFT_OK) return weft_try_;                                                \
    } while (0)

/* The form for functions with clean-up: sets `st` and jumps. One label per function. */
#define WEFT_TRY_GOTO(st, expr, label)                                                             \
    do {                                                                                           \
        (st) = (expr);                                                                             \
        if ((st) != WEFT_OK) goto label;                                                           \
    } while (0)

#ifdef __cplusplus
}
#endif
#endif
