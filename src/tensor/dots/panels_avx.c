/* SPDX-License-Identifier: Apache-2.0 */
#include "tensor/dots/panels_avx.h"

#define COLUMNS_MAX 96 /* whose sums are kept beside the panel in the first-level cache */

/* At most COLUMNS_MAX columns, dealt evenly to as few tiles as can hold them. The sums start at 0, which changes no
 * bit: a group's own start there too, so that none is -0. */
static void multiply_columns(const struct panel_kind *kind, float *y, size_t y_stride, const uint8_t *panel, int rows,
    const uint8_t *x, size_t x_stride, int count, size_t blocks, struct dots_ahead *ahead)
{
    float sums[COLUMNS_MAX][PANEL_ROWS];
    const int halves = (rows + 15) / 16, tiles = (count + kind->columns - 1) / kind->columns;
    memset(sums, 0, (size_t)count * sizeof sums[0]);
    for (size_t j = 0; j < 4; j++) {
        const size_t some = (blocks + 3 - j) / 4;
        for (int tile = 0, c = 0, wide; tile < tiles; tile++, c += wide) {
            wide = (count - c) / (tiles - tile);
            kind->groups[halves - 1][wide - 1](&sums[c], panel, x + (size_t)c * x_stride, x_stride, some, *ahead);
            ahead_skip(ahead, some);
        }
        panel += some * (size_t)halves * kind->half_bytes;
        x += some * kind->column_bytes;
    }
    for (int c = 0; c < count; c++)
        memcpy(y + (size_t)c * y_stride, sums[c], (size_t)rows * sizeof(float));
}

void panels_multiply(const struct panel_kind *kind, float *y, size_t y_stride, const void *panel, int rows,
    const void *columns, size_t x_stride, int count, int n, struct dots_ahead ahead)
{
    const size_t blocks = (size_t)(n / kind->block);
    ahead_deal(&ahead, blocks * (size_t)(count / kind->columns + 1));
    for (int c = 0; c < count; c += COLUMNS_MAX) {
        const int some = count - c < COLUMNS_MAX ? count - c : COLUMNS_MAX;
        multiply_columns(kind, y + (size_t)c * y_stride, y_stride, panel, rows,
            (const uint8_t *)columns + (size_t)c * x_stride, x_stride, some, blocks, &ahead);
    }
}
