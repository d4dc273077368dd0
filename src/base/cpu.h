/* SPDX-License-Identifier: Apache-2.0 */
/* What this processor can do, in the bundles that kernel versions ask for. */
#ifndef WAZN_BASE_CPU_H
#define WAZN_BASE_CPU_H

#include <stddef.h>
#include <stdint.h>

enum cpu_feature {
    CPU_AVX2 = 1 << 0,        /* AVX2, FMA and F16C together */
    CPU_AVX512 = 1 << 1,      /* AVX-512 F, BW, DQ, VL */
    CPU_AVX512_VNNI = 1 << 2, /* and VNNI, with VL */
    CPU_AVX512_BF16 = 1 << 3, /* and BF16 */
    CPU_AVX512_VBMI = 1 << 4, /* and VBMI (byte permutes) */
    CPU_NEON = 1 << 5,        /* AArch64 baseline, with fp16 conversions */
    CPU_DOTPROD = 1 << 6,     /* AArch64 SDOT */
};

/* All features this processor and its system support. */
unsigned cpu_features(void);

/* Features of a level a person names: "c" (none), "avx2", "avx512" (all AVX-512 ones), "neon", "best" (everything).
 * Returns 0 or ERROR_USAGE where the name is unknown; *features is what of it this processor has. */
int cpu_level(const char *name, unsigned *features);

/* "avx2 avx512 vnni bf16" for people; writes at most size bytes with the 0. */
void cpu_describe(unsigned features, char *text, size_t size);

/* Physical cores this process may run on; at least 1. */
int cpu_cores(void);

/* Bytes of memory: in the machine (or the control group's limit where lower), and available now. 0: unknown. */
uint64_t cpu_memory_total(void);
uint64_t cpu_memory_available(void);

/* Resident size of this process, in bytes: now, and the highest so far. */
uint64_t cpu_rss(void);
uint64_t cpu_peak_rss(void);

#endif
