/* SPDX-License-Identifier: Apache-2.0 */
/* Every version of every format's dots that this processor can run, against sums of decoded values in double
 * precision. With the argument "few" it tries a selection of shapes, for emulators. */
#include "base/cpu.h"
#include "base/random.h"
#include "tensor/block.h"
#include "tensor/dots/dots.h"
#include "tensor/format.h"
#include "tensor/half.h"

#include <float.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define CHECK(condition, ...) \
    do { \
        if (!(condition)) { \
            printf("%s:%d: ", __FILE__, __LINE__); \
            printf(__VA_ARGS__); \
            printf("\n"); \
            exit(1); \
        } \
    } while (0)

#define POOL 48          /* different weight blocks of a format */
#define BLOCK_MAX 256    /* values */
#define CANARY -12345.0f /* fills outputs that nobody may write */

static struct random rng;

/* Memory between two pages that trap: `start` bytes after the first of them, or up to the last where start < 0. */
struct guarded {
    unsigned char *map, *data;
    size_t size;
};

static void guarded_open(struct guarded *g, size_t bytes, int start)
{
    size_t page = (size_t)sysconf(_SC_PAGESIZE);
    size_t room = (bytes + 8 + page - 1) / page * page;
    g->size = room + 2 * page;
    g->map = mmap(NULL, g->size, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    CHECK(g->map != MAP_FAILED, "mmap");
    CHECK(mprotect(g->map + page, room, PROT_READ | PROT_WRITE) == 0, "mprotect");
    g->data = start < 0 ? g->map + page + room - bytes : g->map + page + start;
}

static void guarded_close(struct guarded *g)
{
    munmap(g->map, g->size);
}

/* Blocks of every kind of bits, whose values are finite and neither all tiny nor huge. */
struct pool {
    uint8_t blocks[POOL][256];
};

static int block_is_usable(const struct format *f, const uint8_t *block)
{
    float values[BLOCK_MAX], peak = 0;
    f->decode(values, block, f->block);
    for (int i = 0; i < f->block; i++) {
        if (!isfinite(values[i]))
            return 0;
        peak = fmaxf(peak, fabsf(values[i]));
    }
    return peak > 1e-3f && peak < 1e3f;
}

/* As many bytes as possible set to one value: the ends of the integers' ranges. */
static void block_make_extreme(const struct format *f, uint8_t *block, uint8_t value)
{
    for (int i = 0; i < f->block_bytes; i++) {
        uint8_t before = block[i];
        block[i] = value;
        if (!block_is_usable(f, block))
            block[i] = before;
    }
}

static void pool_fill(struct pool *p, const struct format *f)
{
    static const uint8_t ends[] = { 0x00, 0xff, 0x80, 0x7f, 0x08, 0xf0, 0x0f, 0x88 };
    for (int i = 0; i < POOL; i++) {
        do {
            for (int k = 0; k < f->block_bytes; k++)
                p->blocks[i][k] = (uint8_t)random_next(&rng);
        } while (!block_is_usable(f, p->blocks[i]));
        if (i < (int)sizeof ends)
            block_make_extreme(f, p->blocks[i], ends[i]);
    }
}

/* Largest magnitude that a block subtracts from or adds to its values: they may cancel, the rounding does not. */
static double block_minimum(const struct format *f, const uint8_t *block)
{
    switch (f->id) {
    case FORMAT_q4_1:
    case FORMAT_q5_1: return fabs(f32_from_f16(u16_read(block + 2)));
    case FORMAT_q4_k:
    case FORMAT_q5_k: return 63 * fabs(f32_from_f16(u16_read(block + 2)));
    case FORMAT_q2_k: return 15 * fabs(f32_from_f16(u16_read(((const struct q2_k_block *)block)->m)));
    default: return 0;
    }
}

/* One product: inputs in guarded memory, decoded copies, the reference. */
struct product {
    const struct format *f, *pair;
    int rows, count, n;
    size_t w_bytes, x_bytes, y_stride;
    struct guarded w, x, y;
    float *w_values, *x_values; /* (rows, n), (count, n) */
    double *minimum;            /* (rows, n / block) */
};

static float activation(int kind, int k)
{
    switch (kind) {
    case 0: return (float)random_normal(&rng);
    case 1: return k % 3 == 1 ? -1.0f : 1.0f; /* all at the ends of the integer range */
    default: return random_below(&rng, 64) ? 0.0f : 300.0f * (float)random_normal(&rng); /* outliers, empty blocks */
    }
}

static void product_fill_activations(struct product *p, int kind)
{
    float *row = calloc((size_t)p->n, sizeof *row);
    CHECK(row, "memory");
    for (int c = 0; c < p->count; c++) {
        for (int k = 0; k < p->n; k++)
            row[k] = activation(kind, k);
        p->pair->encode(p->x.data + (size_t)c * p->x_bytes, row, NULL, p->n);
        p->pair->decode(p->x_values + (size_t)c * p->n, p->x.data + (size_t)c * p->x_bytes, p->n);
    }
    free(row);
}

static void product_fill_weights(struct product *p, const struct pool *pool)
{
    int blocks = p->n / p->f->block;
    for (int r = 0; r < p->rows; r++) {
        unsigned char *row = p->w.data + (size_t)r * p->w_bytes;
        for (int b = 0; b < blocks; b++) {
            const uint8_t *block = pool->blocks[random_below(&rng, POOL)];
            memcpy(row + (size_t)b * (size_t)p->f->block_bytes, block, (size_t)p->f->block_bytes);
            p->minimum[r * blocks + b] = block_minimum(p->f, block);
        }
        p->f->decode(p->w_values + (size_t)r * p->n, row, p->n);
    }
}

/* start: where weights begin in their page, or -1 to let all three end at a trapping page. */
static void product_open(struct product *p, const struct format *f, const struct pool *pool, int rows, int count, int n,
    int start)
{
    *p = (struct product) { .f = f, .pair = formats[f->pair], .rows = rows, .count = count, .n = n };
    p->w_bytes = format_row_bytes(f, n);
    p->x_bytes = format_row_bytes(p->pair, n);
    p->y_stride = (size_t)rows + (size_t)(start < 0 ? 0 : start);
    guarded_open(&p->w, (size_t)rows * p->w_bytes, start);
    guarded_open(&p->x, (size_t)count * p->x_bytes, start < 0 ? -1 : 0);
    guarded_open(&p->y, (size_t)count * p->y_stride * sizeof(float), start < 0 ? -1 : 0);
    p->w_values = calloc((size_t)rows * (size_t)n, sizeof(float));
    p->x_values = calloc((size_t)count * (size_t)n, sizeof(float));
    p->minimum = calloc((size_t)rows * (size_t)(n / f->block), sizeof(double));
    CHECK(p->w_values && p->x_values && p->minimum, "memory");
    product_fill_weights(p, pool);
    product_fill_activations(p, (rows + count) % 4 == 0 ? 1 : (rows + count) % 4 == 1 ? 2 : 0);
}

static void product_close(struct product *p)
{
    guarded_close(&p->w);
    guarded_close(&p->x);
    guarded_close(&p->y);
    free(p->w_values);
    free(p->x_values);
    free(p->minimum);
}

/* vdpbf16ps counts what is below the least normal number as zero: either factor, a product, a sum. So much may be lost
 * of one product. */
static double flushed(const struct dots_version *v, double w, double x)
{
    return v->needs & CPU_AVX512_BF16 ? (fabs(w) + fabs(x) + 2) * (double)FLT_MIN : 0;
}

/* The rounding of n / lanes additions in a lane, of the lanes' sum and of the scales, in units of 2^-24 of the sum of
 * absolute products; a random walk, hence the root. The least normal numbers round absolutely. */
static double check_output(const struct product *p, int r, int c, float got, const struct dots_version *v)
{
    double sum = 0, size = 0, lost = 0;
    for (int k = 0; k < p->n; k++) {
        double w = p->w_values[(size_t)r * p->n + k], x = p->x_values[(size_t)c * p->n + k];
        sum += w * x;
        size += (fabs(w) + 2 * p->minimum[r * (p->n / p->f->block) + k / p->f->block]) * fabs(x);
        lost += flushed(v, w, x);
    }
    double units = fmax(fabs(got - sum) - lost, 0) / (size * 0x1p-24 + 1e-30), limit = 6 + sqrt(p->n) / 4;
    CHECK(units <= limit, "%s %s: %d x %d, n %d: output (%d, %d) is %.9g, expected %.9g: off by %.3g units, limit %.3g",
        p->f->name, v->name, p->rows, p->count, p->n, r, c, (double)got, sum, units, limit);
    return units / limit;
}

/* Outputs are right, nothing else is written, and each is what it would be alone. */
static double check_version(struct product *p, const struct dots_version *v)
{
    float *y = (float *)(void *)p->y.data;
    double worst = 0;
    for (size_t i = 0; i < (size_t)p->count * p->y_stride; i++)
        y[i] = CANARY;
    v->run(y, p->y_stride, p->w.data, p->w_bytes, p->rows, p->x.data, p->x_bytes, p->count, p->n);
    for (int c = 0; c < p->count; c++) {
        for (int r = 0; r < p->rows; r++) {
            float together = y[(size_t)c * p->y_stride + (size_t)r], alone = 0;
            worst = fmax(worst, check_output(p, r, c, together, v));
            v->run(&alone, 1, p->w.data + (size_t)r * p->w_bytes, p->w_bytes, 1, p->x.data + (size_t)c * p->x_bytes,
                p->x_bytes, 1, p->n);
            CHECK(memcmp(&alone, &together, sizeof alone) == 0, "%s %s: %d x %d, n %d: (%d, %d) alone %a, together %a",
                p->f->name, v->name, p->rows, p->count, p->n, r, c, (double)alone, (double)together);
        }
        for (size_t i = (size_t)p->rows; i < p->y_stride; i++)
            CHECK(y[(size_t)c * p->y_stride + i] == CANARY, "%s %s wrote beside its rows", p->f->name, v->name);
    }
    return worst;
}

/* Rows [first, first + rows) of the product by way of panels, `count` columns from `column` on: the bits of `together`,
 * which holds all outputs, and nothing written beside them. */
static void check_panels_part(const struct product *p, const struct dots_version *v, const float *together, int first,
    int rows, int column, int count)
{
    const struct dots_panels *panels = v->panels;
    size_t column_bytes = panels->column_bytes(p->n), stride = (size_t)p->rows + 3;
    struct guarded panel, columns;
    float *y = calloc((size_t)count * stride, sizeof *y);
    CHECK(y && rows <= panels->rows && column_bytes % 4 == 0, "memory");
    guarded_open(&panel, (panels->panel_bytes(p->n) + 63) / 64 * 64, -1);
    guarded_open(&columns, (size_t)count * column_bytes, -1);
    for (size_t i = 0; i < (size_t)count * stride; i++)
        y[i] = CANARY;
    panels->pack_rows(panel.data, p->w.data + (size_t)first * p->w_bytes, p->w_bytes, rows, p->n);
    for (int c = 0; c < count; c++)
        panels->pack_column(
            columns.data + (size_t)c * column_bytes, p->x.data + (size_t)(column + c) * p->x_bytes, p->n);
    panels->multiply(y, stride, panel.data, rows, columns.data, column_bytes, count, p->n,
        (struct dots_ahead) { .at = p->w.data, .bytes = (size_t)p->rows * p->w_bytes });
    for (int c = 0; c < count; c++) {
        const float *expected = together + (size_t)(column + c) * p->y_stride + (size_t)first;
        for (int r = 0; r < rows; r++)
            CHECK(memcmp(&y[(size_t)c * stride + (size_t)r], &expected[r], sizeof *y) == 0,
                "%s %s: %d rows from %d, %d columns from %d, n %d: (%d, %d) %a in a panel, else %a", p->f->name,
                v->name, rows, first, count, column, p->n, r, c, (double)y[(size_t)c * stride + (size_t)r],
                (double)expected[r]);
        for (size_t r = (size_t)rows; r < stride; r++)
            CHECK(y[(size_t)c * stride + r] == CANARY, "%s %s wrote beside its panel", p->f->name, v->name);
    }
    guarded_close(&panel);
    guarded_close(&columns);
    free(y);
}

/* All rows and columns, cut where chance has it. */
static void check_panels(const struct product *p, const struct dots_version *v)
{
    for (int first = 0, rows; first < p->rows; first += rows) {
        int most = p->rows - first < v->panels->rows ? p->rows - first : v->panels->rows;
        rows = random_below(&rng, 2) ? most : 1 + (int)random_below(&rng, (uint64_t)most);
        for (int column = 0, count; column < p->count; column += count) {
            count = p->count - column;
            count = random_below(&rng, 2) ? count : 1 + (int)random_below(&rng, (uint64_t)count);
            check_panels_part(p, v, (const float *)(const void *)p->y.data, first, rows, column, count);
        }
    }
}

static double check_versions(struct product *p)
{
    double worst = 0;
    for (const struct dots_version *v = p->f->dots;; v++) {
        if ((v->needs & cpu_features()) == v->needs)
            worst = fmax(worst, check_version(p, v));
        if ((v->needs & cpu_features()) == v->needs && v->panels)
            check_panels(p, v);
        if (v->needs == 0)
            break;
    }
    return worst;
}

static double check_shape(const struct format *f, const struct pool *pool, int rows, int count, int n, int start)
{
    struct product p;
    product_open(&p, f, pool, rows, count, n, start);
    double worst = check_versions(&p);
    product_close(&p);
    return worst;
}

/* A number of bf16 between 2^-133, a subnormal, and 2^60, of either sign. */
static uint16_t any_size(void)
{
    uint64_t bits = random_next(&rng);
    return (uint16_t)((bits & 0x807f) | (bits >> 32) % (random_below(&rng, 2) ? 2 : 188) << 7);
}

/* Subnormal factors times large ones: what they make is not lost, but by versions that say so, and no more of it. */
static void check_subnormals(const struct pool *pool)
{
    struct product p;
    for (int n = 1; n < 100; n += 7) {
        product_open(&p, &format_bf16, pool, 1 + n % 18, 1 + n % 13, n, n % 3 - 1);
        for (int i = 0; i < p.rows * n; i++)
            u16_write(p.w.data + 2 * i, any_size());
        for (int i = 0; i < p.count * n; i++)
            u16_write(p.x.data + 2 * i, any_size());
        format_bf16.decode(p.w_values, p.w.data, (int64_t)p.rows * n);
        format_bf16.decode(p.x_values, p.x.data, (int64_t)p.count * n);
        check_versions(&p);
        product_close(&p);
    }
}

static double check_format(const struct format *f, int few)
{
    static const int sizes[] = { 1, 2, 3, 4, 5, 6, 7, 8, 9, 13, 17, 35 }, blocks[] = { 1, 2, 3, 4, 5, 7, 8 };
    static const int large[][3] = { { 9, 13, 2816 }, { 3, 5, 2304 }, { 1, 1, 5120 }, { 13, 1, 4096 }, { 5, 70, 4096 },
        { 32, 6, 256 }, { 33, 7, 512 }, { 47, 12, 768 }, { 64, 16, 1024 }, { 70, 40, 1280 }, { 16, 24, 2048 } };
    struct pool pool;
    double worst = 0;
    pool_fill(&pool, f);
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i += few ? 3 : 1)
        for (size_t k = 0; k < sizeof sizes / sizeof *sizes; k += few ? 3 : 1) {
            int n = blocks[(i + 2 * k) % 7] * f->block, start = (int)((i * 3 + k) % 5) - 1;
            worst = fmax(worst, check_shape(f, &pool, sizes[i], sizes[k], n, start));
        }
    for (size_t i = 0; i < (few ? 1 : sizeof large / sizeof *large); i++)
        for (int start = -1; start < 2; start++)
            worst = fmax(worst, check_shape(f, &pool, large[i][0], large[i][1], large[i][2], start));
    for (int columns = 1; f->block == 32 && columns <= 40; columns += few ? 13 : 3)
        worst = fmax(worst, check_shape(f, &pool, 49 - columns, columns, columns % 2 ? 2880 : 96, columns % 3 - 1));
    if (f == &format_bf16)
        check_subnormals(&pool);
    for (int n = f->block; f->block == 1 && n < 50; n++) /* every incomplete vector */
        worst = fmax(worst, check_shape(f, &pool, 5, 5, n, n % 3 - 1));
    return worst;
}

/* A list ends with plain C, which needs nothing; nobody else needs nothing, or the rest would never run. */
static void check_list(const struct format *f)
{
    char ran[128] = "", left[128] = "";
    for (const struct dots_version *v = f->dots;; v++) {
        char *names = (v->needs & cpu_features()) == v->needs ? ran : left;
        size_t used = strlen(names);
        snprintf(names + used, sizeof ran - used, " %s", v->name);
        if (v->needs == 0) {
            CHECK(strcmp(v->name, "c") == 0, "%s: version %s needs nothing but is not c", f->name, v->name);
            break;
        }
    }
    printf("%-8s checked:%s%s%s", f->name, ran, *left ? "; not on this processor:" : "", left);
}

/* MXFP4 in two pieces, each ending at a trapping page where start < 0: the bits of the same version over one piece. */
static void check_split(const struct dots_version *v, const struct dots_version *whole, const struct pool *pool,
    int rows, int count, int n, int start)
{
    struct product p;
    struct guarded q, scales;
    struct mxfp4_row *list = calloc((size_t)rows, sizeof *list);
    float *y = calloc((size_t)rows * (size_t)count, sizeof *y), *decoded = calloc((size_t)n, sizeof *decoded);
    CHECK(list && y && decoded, "memory");
    size_t blocks = (size_t)n / 32;
    product_open(&p, &format_mxfp4, pool, rows, count, n, start);
    guarded_open(&q, (size_t)rows * blocks * sizeof(struct mxfp4_split), start);
    guarded_open(&scales, (size_t)rows * blocks, start);
    for (size_t b = 0; b < (size_t)rows * blocks; b++) {
        const struct mxfp4_block *from = (const struct mxfp4_block *)p.w.data + b;
        for (int i = 0; i < 16; i++) {
            int low = 2 * i < 16 ? from->q[2 * i] & 15 : from->q[2 * i - 16] >> 4;
            int high = 2 * i < 16 ? from->q[2 * i + 1] & 15 : from->q[2 * i - 15] >> 4;
            q.data[16 * b + (size_t)i] = (uint8_t)(low | high << 4);
        }
        scales.data[b] = from->e;
    }
    for (size_t r = 0; r < (size_t)rows; r++) {
        list[r] = (struct mxfp4_row) { (const struct mxfp4_split *)q.data + r * blocks, scales.data + r * blocks };
        mxfp4_split_decode(decoded, list[r].q, list[r].scales, n);
        CHECK(memcmp(decoded, p.w_values + r * (size_t)n, (size_t)n * sizeof *decoded) == 0, "row %zu decoded", r);
    }
    whole->run((float *)(void *)p.y.data, p.y_stride, p.w.data, p.w_bytes, rows, p.x.data, p.x_bytes, count, n);
    v->run(y, (size_t)rows, list, sizeof *list, rows, p.x.data, p.x_bytes, count, n);
    for (int c = 0; c < count; c++)
        CHECK(memcmp(y + c * rows, (float *)(void *)p.y.data + (size_t)c * p.y_stride, (size_t)rows * sizeof *y) == 0,
            "mxfp4 in two pieces, %s: %d x %d, n %d: column %d differs", v->name, rows, count, n, c);
    guarded_close(&q);
    guarded_close(&scales);
    product_close(&p);
    free(list);
    free(y);
    free(decoded);
}

static void check_splits(int few)
{
    struct pool pool;
    pool_fill(&pool, &format_mxfp4);
    for (size_t i = 0;; i++) {
        const struct dots_version *v = &mxfp4_split_dots[i], *whole = &mxfp4_dots[i];
        CHECK(strcmp(v->name, whole->name) == 0 && v->needs == whole->needs, "version %s of mxfp4 in two pieces",
            v->name);
        for (int n = 32; (v->needs & cpu_features()) == v->needs && n < 300; n += 32)
            for (int rows = 1; rows < 10; rows += few ? 4 : 1)
                check_split(v, whole, &pool, rows, 1 + (n / 32 + rows) % 6, n, n % 3 - 1);
        if (v->needs == 0)
            break;
    }
    printf("mxfp4 in two pieces: the same bits as in one\n");
}

int main(int argc, char **argv)
{
    const int few = argc > 1 && strcmp(argv[1], "few") == 0;
    random_seed(&rng, 7);
    for (int i = 0; i < FORMAT_COUNT; i++) {
        const struct format *f = formats[i];
        if (!f->dots)
            continue;
        check_list(f);
        printf("; worst error %.2f of the bound\n", check_format(f, few));
        fflush(stdout);
    }
    check_splits(few);
    return 0;
}
