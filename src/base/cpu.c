/* SPDX-License-Identifier: Apache-2.0 */
#include "base/cpu.h"

#include "base/error.h"

#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>
#if defined(__aarch64__)
#include <sys/auxv.h>
#elif defined(__x86_64__)
#include <cpuid.h>
#endif

static const struct {
    const char *name;
    unsigned feature;
} feature_names[] = {
    { "avx2", CPU_AVX2 },
    { "avx512", CPU_AVX512 },
    { "vnni", CPU_AVX512_VNNI },
    { "bf16", CPU_AVX512_BF16 },
    { "vbmi", CPU_AVX512_VBMI },
    { "neon", CPU_NEON },
    { "dotprod", CPU_DOTPROD },
};

static const struct {
    const char *name;
    unsigned features;
} levels[] = {
    { "c", 0 },
    { "avx2", CPU_AVX2 },
    { "avx512", CPU_AVX2 | CPU_AVX512 | CPU_AVX512_VNNI | CPU_AVX512_BF16 | CPU_AVX512_VBMI },
    { "neon", CPU_NEON | CPU_DOTPROD },
    { "best", ~0u },
};

#if defined(__x86_64__)
/* clang 14's __builtin_cpu_supports does not know this one. */
static int has_f16c(void)
{
    unsigned a, b, c, d;
    return __get_cpuid(1, &a, &b, &c, &d) && (c & bit_F16C);
}
#endif

unsigned cpu_features(void)
{
    unsigned f = 0;
#if defined(__x86_64__)
    __builtin_cpu_init();
    if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") && has_f16c())
        f |= CPU_AVX2;
    if ((f & CPU_AVX2) && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw")
        && __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl"))
        f |= CPU_AVX512;
    if ((f & CPU_AVX512) && __builtin_cpu_supports("avx512vnni"))
        f |= CPU_AVX512_VNNI;
    if ((f & CPU_AVX512) && __builtin_cpu_supports("avx512bf16"))
        f |= CPU_AVX512_BF16;
    if ((f & CPU_AVX512) && __builtin_cpu_supports("avx512vbmi"))
        f |= CPU_AVX512_VBMI;
#elif defined(__aarch64__)
    f |= CPU_NEON;
    if (getauxval(AT_HWCAP) & (1u << 20)) /* HWCAP_ASIMDDP */
        f |= CPU_DOTPROD;
#endif
    return f;
}

int cpu_level(const char *name, unsigned *features)
{
    for (size_t i = 0; i < sizeof levels / sizeof *levels; i++) {
        if (strcmp(levels[i].name, name) == 0) {
            *features = levels[i].features & cpu_features();
            return 0;
        }
    }
    return ERROR_USAGE;
}

void cpu_describe(unsigned features, char *text, size_t size)
{
    size_t used = 0;
    if (size)
        text[0] = '\0';
    for (size_t i = 0; i < sizeof feature_names / sizeof *feature_names; i++) {
        if (!(features & feature_names[i].feature) || used >= size)
            continue;
        int n = snprintf(text + used, size - used, "%s%s", used ? " " : "", feature_names[i].name);
        used += n > 0 ? (size_t)n : 0;
    }
    if (!used)
        snprintf(text, size, "c");
}

/* Threads of one core share a package and a core id; only processors of our affinity mask count. */
int cpu_cores(void)
{
    cpu_set_t set, seen;
    CPU_ZERO(&seen);
    if (sched_getaffinity(0, sizeof set, &set) != 0)
        return 1;
    int cores = 0;
    for (int i = 0; i < CPU_SETSIZE; i++) {
        if (!CPU_ISSET(i, &set))
            continue;
        char path[96];
        int first = i;
        snprintf(path, sizeof path, "/sys/devices/system/cpu/cpu%d/topology/thread_siblings_list", i);
        FILE *f = fopen(path, "re");
        if (f) {
            if (fscanf(f, "%d", &first) != 1 || first < 0 || first >= CPU_SETSIZE)
                first = i;
            fclose(f);
        }
        if (!CPU_ISSET(first, &seen))
            cores++;
        CPU_SET(first, &seen);
    }
    return cores > 0 ? cores : 1;
}

/* The number behind `key` at the start of a line. Asks for no memory: it may be what is short. */
static uint64_t read_number(const char *path, const char *key, uint64_t unit)
{
    char text[4096];
    size_t n = strlen(key), used = 0;
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    ssize_t got = fd < 0 ? 0 : 1;
    while (got > 0 && used < sizeof text - 1) {
        got = read(fd, text + used, sizeof text - 1 - used);
        used += got > 0 ? (size_t)got : 0;
    }
    text[used] = '\0';
    if (fd >= 0)
        close(fd);
    for (const char *line = text; line; line = strchr(line, '\n')) {
        line += *line == '\n';
        if (strncmp(line, key, n) == 0)
            return strtoull(line + n, NULL, 10) * unit;
    }
    return 0;
}

uint64_t cpu_memory_total(void)
{
    uint64_t machine = read_number("/proc/meminfo", "MemTotal:", 1024);
    uint64_t group = read_number("/sys/fs/cgroup/memory.max", "", 1);
    return group && group < machine ? group : machine;
}

uint64_t cpu_memory_available(void)
{
    uint64_t available = read_number("/proc/meminfo", "MemAvailable:", 1024);
    uint64_t group = read_number("/sys/fs/cgroup/memory.max", "", 1);
    uint64_t current = read_number("/sys/fs/cgroup/memory.current", "", 1);
    if (group && group > current && group - current < available)
        available = group - current;
    return available;
}

uint64_t cpu_rss(void)
{
    unsigned long long all, resident;
    FILE *f = fopen("/proc/self/statm", "re");
    if (!f)
        return 0;
    if (fscanf(f, "%llu %llu", &all, &resident) != 2)
        resident = 0;
    fclose(f);
    return (uint64_t)resident * (uint64_t)sysconf(_SC_PAGESIZE);
}

uint64_t cpu_peak_rss(void)
{
    struct rusage usage;
    if (getrusage(RUSAGE_SELF, &usage) != 0)
        return 0;
    return (uint64_t)usage.ru_maxrss * 1024;
}
