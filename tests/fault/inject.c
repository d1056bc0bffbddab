/* A library to preload that makes one call of the C library fail: the n-th allocation, open, read,
 * … of a run (torture.py drives it).
 *
 *   FAULT=CLASS:N:KIND[+]  call N (from 1) of a class fails; with + all later ones too. KIND is an
 * errno by name, SHORT (half of the bytes, at least one), EOF (0 bytes) or SLOW (it succeeds, after
 * 5 s). FAULT_REPORT=FILE one
 * line when it happened: CLASS N KIND PATH FAULT_SITES=FILE       at the end a line CLASS N for the
 * first call of each class from each distinct stack of callers: failing these fails every place in
 * the code that calls
 *
 * Streams are made of the same open, read, write and close, so that what stdio does counts too;
 * standard output and error do not. Allocations of the threading runtime, the loader and oneDNN do
 * not count: they are not ours to survive. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <execinfo.h>
#include <fcntl.h>
#include <limits.h>
#include <link.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#define EXPORT __attribute__((visibility("default")))
/* Looked up once: the loader may itself be in the middle of something when a call comes. */
#define REAL(name)                                                                                 \
    ({                                                                                             \
        static __typeof__(&name) found;                                                            \
        if (!found) found = (__typeof__(&name))real_function(#name);                               \
        found;                                                                                     \
    })

enum fault_class {
    ALLOC,
    OPEN,
    READ,
    WRITE,
    SYNC,
    RENAME,
    MKDIR,
    MMAP,
    CLOSE,
    TRUNCATE,
    UNLINK,
    CLASSES
};
static const char *const class_names[CLASSES] = {"alloc", "open",     "read",  "write",
                                                 "sync",  "rename",   "mkdir", "mmap",
                                                 "close", "truncate", "unlink"};

static const struct {
    const char *name;
    int number;
} kinds[] = {{"EIO", EIO},       {"ENOSPC", ENOSPC}, {"EINTR", EINTR},
             {"EACCES", EACCES}, {"EMFILE", EMFILE}, {"ENOMEM", ENOMEM},
             {"SHORT", -1},      {"EOF", -2},        {"SLOW", -3}};

static bool ready;
static __thread bool inside; /* of this library: what it calls itself never counts */
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

/* ---- what is asked for, and what is found ---- */

static struct {
    int class, kind; /* kind: as kinds[].number */
    long n;
    bool on; /* and on */
    const char *text;
} wanted = {.class = -1};
static const char *sites_path;
static long count[CLASSES];
enum { MAX_STACKS = 1 << 16, DEPTH = 48 };
static uint64_t stack_hash[MAX_STACKS];
static struct {
    int class;
    long n;
} site[MAX_STACKS];
static size_t n_sites;

static void *real_function(const char *name) {
    bool was = inside;
    inside = true;
    void *f = dlsym(RTLD_NEXT, name);
    inside = was;
    return f;
}

/* ---- whose allocation it is ---- */

typedef struct range {
    uintptr_t from, to;
    bool foreign;
} range;
static range ranges[512];
static size_t n_ranges;

static int add_object(struct dl_phdr_info *info, size_t size, void *arg) {
    (void)size;
    (void)arg;
    static const char *const foreign[] = {"libgomp",   "libdnnl", "ld-linux", "libstdc++",
                                          "libOpenCL", "libasan", "libubsan", "libgcc_s"};
    bool is_foreign = false;
    for (size_t i = 0; i < sizeof foreign / sizeof *foreign; i++)
        is_foreign = is_foreign || strstr(info->dlpi_name, foreign[i]);
    for (int i = 0; i < info->dlpi_phnum && n_ranges < sizeof ranges / sizeof *ranges; i++) {
        const ElfW(Phdr) *p = &info->dlpi_phdr[i];
        if (p->p_type != PT_LOAD || !(p->p_flags & PF_X)) continue;
        uintptr_t from = info->dlpi_addr + p->p_vaddr;
        ranges[n_ranges++] = (range){from, from + p->p_memsz, is_foreign};
    }
    return 0;
}

static bool is_foreign(const void *caller) {
    uintptr_t at = (uintptr_t)caller;
    for (int again = 0; again < 2; again++) {
        for (size_t i = 0; i < n_ranges; i++)
            if (at >= ranges[i].from && at < ranges[i].to) return ranges[i].foreign;
        n_ranges = 0;
        (void)dl_iterate_phdr(add_object, NULL);
    }
    return true;
}

/* ---- counting ---- */

static void note_site(int class) {
    void *stack[DEPTH];
    int depth = backtrace(stack, DEPTH);
    uint64_t hash = 0xcbf29ce484222325u + (uint64_t) class;
    for (int i = 2; i < depth; i++) hash = (hash ^ (uintptr_t)stack[i]) * 0x100000001b3u;
    size_t at = hash % MAX_STACKS;
    while (stack_hash[at] && stack_hash[at] != hash) at = (at + 1) % MAX_STACKS;
    if (stack_hash[at] || n_sites + 1 >= MAX_STACKS / 2) return;
    stack_hash[at] = hash;
    site[n_sites].class = class;
    site[n_sites++].n = count[class];
}

static int report_fd = -1;

static void report(const char *path) {
    char line[PATH_MAX + 64];
    int n = snprintf(line, sizeof line, "%s %ld %s %s\n", class_names[wanted.class],
                     count[wanted.class], wanted.text, path ? path : "-");
    ssize_t written = report_fd >= 0 ? REAL(write)(report_fd, line, (size_t)n) : 0;
    (void)written;
}

/* 0, or the kind of failure for this call. */
static int fault(int class, const char *path, const void *caller) {
    if (!ready || inside) return 0;
    inside = true;
    (void)pthread_mutex_lock(&lock);
    int kind = 0;
    if (class != ALLOC || !is_foreign(caller)) {
        count[class]++;
        if (sites_path) note_site(class);
        bool now = class == wanted.class &&
                   (count[class] == wanted.n || (wanted.on && count[class] > wanted.n));
        if (now) kind = wanted.kind;
        if (now && count[class] == wanted.n) report(path);
    }
    (void)pthread_mutex_unlock(&lock);
    if (kind == -3) {
        (void)sleep(5);
        kind = 0;
    }
    inside = false;
    return kind;
}

static int fault_fd(int class, int fd, const void *caller) {
    if (!ready || inside || fd == 1 || fd == 2) return 0;
    char link[48], path[PATH_MAX] = "";
    if (class == wanted.class && count[class] + 1 == wanted.n) {
        (void)snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
        ssize_t n = readlink(link, path, sizeof path - 1);
        path[n > 0 ? n : 0] = '\0';
    }
    return fault(class, path, caller);
}

static void write_sites(void) {
    ready = false;
    FILE *out = sites_path ? REAL(fopen)(sites_path, "w") : NULL;
    if (!out) return;
    for (size_t i = 0; i < n_sites; i++)
        (void)fprintf(out, "%s %ld\n", class_names[site[i].class], site[i].n);
    (void)fclose(out);
}

__attribute__((constructor)) static void start(void) {
    inside = true;
    void *warm[2];
    (void)backtrace(warm, 2); /* loads what it needs */
    const char *text = getenv("FAULT");
    char class[16] = "", kind[16] = "";
    if (text && sscanf(text, "%15[a-z]:%ld:%15[A-Z]", class, &wanted.n, kind) == 3) {
        for (int i = 0; i < CLASSES; i++)
            if (strcmp(class, class_names[i]) == 0) wanted.class = i;
        for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++)
            if (strcmp(kind, kinds[i].name) == 0) wanted.kind = kinds[i].number;
        wanted.on = text[strlen(text) - 1] == '+';
        wanted.text = text;
    }
    if (text && (wanted.class < 0 || wanted.kind == 0)) {
        static const char why[] = "inject: FAULT is not CLASS:N:KIND\n";
        ssize_t written = REAL(write)(2, why, sizeof why - 1);
        (void)written;
        _exit(99);
    }
    const char *report_path = getenv("FAULT_REPORT");
    if (report_path)
        report_fd = REAL(open)(report_path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0666);
    (void)REAL(write);
    sites_path = getenv("FAULT_SITES");
    (void)atexit(write_sites);
    inside = false;
    ready = true;
}

/* ---- memory ---- */

/* dlsym may allocate before the real functions are known. */
static char early[8192];
static size_t early_used;

static void *early_alloc(size_t bytes) {
    size_t at = early_used;
    early_used += (bytes + 15) / 16 * 16;
    if (early_used > sizeof early) _exit(98);
    return early + at;
}

static void *(*real_malloc)(size_t);
static void *(*real_calloc)(size_t, size_t);
static void *(*real_realloc)(void *, size_t);

static bool find_allocator(void) {
    static bool looking;
    if (real_realloc) return true;
    if (looking) return false;
    looking = true;
    real_malloc = REAL(malloc);
    real_calloc = REAL(calloc);
    real_realloc = REAL(realloc);
    return true;
}

EXPORT void *malloc(size_t bytes) {
    if (!find_allocator()) return early_alloc(bytes);
    if (fault(ALLOC, NULL, __builtin_return_address(0))) return errno = ENOMEM, NULL;
    return real_malloc(bytes);
}

EXPORT void *calloc(size_t n, size_t bytes) {
    if (!find_allocator()) return early_alloc(n * bytes);
    if (fault(ALLOC, NULL, __builtin_return_address(0))) return errno = ENOMEM, NULL;
    return real_calloc(n, bytes);
}

EXPORT void *realloc(void *old, size_t bytes) {
    if (!find_allocator()) return early_alloc(bytes);
    if (fault(ALLOC, NULL, __builtin_return_address(0))) return errno = ENOMEM, NULL;
    return real_realloc(old, bytes);
}

/* ---- the loader ---- */

#define QUIETLY(call)                                                                              \
    bool was = inside;                                                                             \
    inside = true;                                                                                 \
    __typeof__(call) result = call;                                                                \
    inside = was;                                                                                  \
    return result

EXPORT void *dlopen(const char *path, int mode) {
    QUIETLY(REAL(dlopen)(path, mode));
}

/* (Where a realloc that shrinks fails, glibc 2.36 frees the message twice.) */
EXPORT char *dlerror(void) {
    QUIETLY(REAL(dlerror)());
}

/* ---- files ---- */

static int fail(int kind) {
    errno = kind > 0 ? kind : EIO;
    return -1;
}

static int open_mode(int flags, va_list args) {
    return flags & O_CREAT ? va_arg(args, int) : 0;
}

EXPORT int open(const char *path, int flags, ...) {
    va_list args;
    va_start(args, flags);
    int mode = open_mode(flags, args);
    va_end(args);
    int kind = fault(OPEN, path, __builtin_return_address(0));
    return kind ? fail(kind) : REAL(open)(path, flags, mode);
}

EXPORT int openat(int folder, const char *path, int flags, ...) {
    va_list args;
    va_start(args, flags);
    int mode = open_mode(flags, args);
    va_end(args);
    int kind = fault(OPEN, path, __builtin_return_address(0));
    return kind ? fail(kind) : REAL(openat)(folder, path, flags, mode);
}

/* Half of the bytes for SHORT, none for EOF. */
static size_t cut(int kind, size_t bytes) {
    return kind == -1 && bytes > 1 ? bytes / 2 : bytes;
}

EXPORT ssize_t read(int fd, void *data, size_t bytes) {
    int kind = fault_fd(READ, fd, NULL);
    if (kind > 0) return fail(kind);
    return kind == -2 ? 0 : REAL(read)(fd, data, cut(kind, bytes));
}

EXPORT ssize_t pread(int fd, void *data, size_t bytes, off_t at) {
    int kind = fault_fd(READ, fd, NULL);
    if (kind > 0) return fail(kind);
    return kind == -2 ? 0 : REAL(pread)(fd, data, cut(kind, bytes), at);
}

EXPORT ssize_t write(int fd, const void *data, size_t bytes) {
    int kind = fault_fd(WRITE, fd, NULL);
    if (kind > 0) return fail(kind);
    return REAL(write)(fd, data, cut(kind, bytes));
}

EXPORT ssize_t pwrite(int fd, const void *data, size_t bytes, off_t at) {
    int kind = fault_fd(WRITE, fd, NULL);
    if (kind > 0) return fail(kind);
    return REAL(pwrite)(fd, data, cut(kind, bytes), at);
}

EXPORT int fsync(int fd) {
    int kind = fault_fd(SYNC, fd, NULL);
    return kind ? fail(kind) : REAL(fsync)(fd);
}

/* The descriptor is gone even when close fails, as on Linux. */
EXPORT int close(int fd) {
    int kind = fault_fd(CLOSE, fd, NULL);
    int rc = REAL(close)(fd);
    return kind ? fail(kind) : rc;
}

EXPORT int ftruncate(int fd, off_t bytes) {
    int kind = fault_fd(TRUNCATE, fd, NULL);
    return kind ? fail(kind) : REAL(ftruncate)(fd, bytes);
}

EXPORT int rename(const char *from, const char *to) {
    int kind = fault(RENAME, to, NULL);
    return kind ? fail(kind) : REAL(rename)(from, to);
}

EXPORT int mkdir(const char *path, mode_t mode) {
    int kind = fault(MKDIR, path, NULL);
    return kind ? fail(kind) : REAL(mkdir)(path, mode);
}

EXPORT int unlink(const char *path) {
    int kind = fault(UNLINK, path, NULL);
    return kind ? fail(kind) : REAL(unlink)(path);
}

EXPORT void *mmap(void *at, size_t bytes, int protection, int flags, int fd, off_t offset) {
    int kind = fd >= 0 ? fault_fd(MMAP, fd, NULL) : 0;
    if (kind) return (void)fail(kind), MAP_FAILED;
    return REAL(mmap)(at, bytes, protection, flags, fd, offset);
}

/* ---- streams ---- */

static ssize_t stream_read(void *cookie, char *data, size_t bytes) {
    return read((int)(intptr_t)cookie, data, bytes);
}

static ssize_t stream_write(void *cookie, const char *data, size_t bytes) {
    ssize_t n = write((int)(intptr_t)cookie, data, bytes);
    return n < 0 ? 0 : n; /* what fopencookie wants of a failure */
}

static int stream_seek(void *cookie, off64_t *offset, int whence) {
    off_t at = lseek((int)(intptr_t)cookie, *offset, whence);
    if (at < 0) return -1;
    *offset = at;
    return 0;
}

static int stream_close(void *cookie) {
    return close((int)(intptr_t)cookie);
}

EXPORT FILE *fopen(const char *path, const char *mode) {
    if (!ready || inside) return REAL(fopen)(path, mode);
    int flags = strchr(mode, '+') ? O_RDWR : mode[0] == 'r' ? O_RDONLY : O_WRONLY;
    if (mode[0] == 'w') flags |= O_CREAT | O_TRUNC;
    if (mode[0] == 'a') flags |= O_CREAT | O_APPEND;
    int fd = open(path, flags | O_CLOEXEC, 0666);
    if (fd < 0) return NULL;
    cookie_io_functions_t io = {stream_read, stream_write, stream_seek, stream_close};
    FILE *file = fopencookie((void *)(intptr_t)fd, mode, io);
    if (!file) (void)REAL(close)(fd);
    return file;
}
