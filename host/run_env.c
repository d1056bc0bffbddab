/* The machine and the build that a run used, for env.json. */
#include "host/json_util.h"
#include "host/run_folder.h"

#include <stdlib.h>
#include <string.h>
#include <sys/utsname.h>
#include <unistd.h>

#ifdef __clang__
#    define COMPILER __VERSION__ /* names itself */
#else
#    define COMPILER "gcc " __VERSION__
#endif

/* Value of the first "key : value" line of /proc/cpuinfo; "" where there is none. */
static void cpu_model(char *out, size_t size) {
    static const char key[] = "model name";
    out[0] = '\0';
    FILE *file = fopen("/proc/cpuinfo", "re");
    char line[512];
    while (file && fgets(line, sizeof line, file)) {
        if (strncmp(line, key, sizeof key - 1) != 0) continue;
        const char *value = strchr(line, ':');
        if (!value) continue;
        value += 1 + strspn(value + 1, " \t");
        (void)snprintf(out, size, "%.*s", (int)strcspn(value, "\n"), value);
        break;
    }
    if (file) (void)fclose(file);
}

static int64_t memory_bytes(void) {
    long pages = sysconf(_SC_PHYS_PAGES), page = sysconf(_SC_PAGESIZE);
    return pages > 0 && page > 0 ? (int64_t)pages * page : 0;
}

static bool set(json_t *object, const char *key, json_t *value) {
    return json_object_set_new(object, key, value) == 0;
}

static bool set_text(json_t *object, const char *key, const char *value) {
    return set(object, key, value ? json_string(value) : json_null());
}

static bool add_slurm(json_t *env) {
    static const char *const names[] = {
        "SLURM_JOB_ID",       "SLURM_JOB_NAME", "SLURM_ARRAY_JOB_ID", "SLURM_ARRAY_TASK_ID",
        "SLURM_JOB_NODELIST", "SLURM_NTASKS",   "SLURM_PROCID",       "SLURM_RESTART_COUNT",
    };
    json_t *slurm = json_object();
    bool ok = slurm != NULL;
    for (size_t i = 0; ok && i < sizeof names / sizeof *names; i++) {
        const char *value = getenv(names[i]);
        if (value) ok = set_text(slurm, names[i], value);
    }
    if (ok && json_object_size(slurm)) return set(env, "slurm", slurm);
    json_decref(slurm);
    return ok;
}

json_t *wh_environment(const weft_engine_info *info) {
    json_t *env = json_object();
    struct utsname name;
    char cpu[256];
    cpu_model(cpu, sizeof cpu);
    bool ok = env && set_text(env, "weft_version", WEFT_VERSION);
    ok = ok && set_text(env, "compiler", COMPILER);
    if (ok && uname(&name) == 0)
        ok = set_text(env, "host", name.nodename) && set_text(env, "system", name.sysname) &&
             set_text(env, "kernel", name.release) && set_text(env, "machine", name.machine);
    ok = ok && set_text(env, "cpu", cpu) &&
         set(env, "cores_online", json_integer(sysconf(_SC_NPROCESSORS_ONLN))) &&
         set(env, "memory_bytes", json_integer(memory_bytes()));
    if (ok && info)
        ok = set_text(env, "backend", info->backend) &&
             set_text(env, "backend_note", info->backend_note) &&
             set_text(env, "dtype", info->hidden_dtype) &&
             set_text(env, "device_reason", info->device_reason) &&
             set(env, "threads", json_integer(info->threads)) &&
             set_text(env, "architecture", info->architecture) &&
             set(env, "base_parameters", json_integer(info->base_parameters)) &&
             set(env, "adapter_parameters", json_integer(info->adapter_numel)) &&
             set(env, "slots", json_integer(info->slots)) &&
             set(env, "pack_tokens", json_integer(info->pack_tokens));
    if (ok && info && info->sums && info->sums[0]) ok = set_text(env, "sums", info->sums);
    ok = ok && add_slurm(env);
    if (ok) return env;
    json_decref(env);
    return NULL;
}
