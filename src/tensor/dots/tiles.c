/* SPDX-License-Identifier: Apache-2.0 */
#include "tensor/dots/tiles.h"

/* Bytes of activations that are kept in the second-level cache while all rows pass by. */
#define COLUMNS_BYTES (192 * 1024)

/* All rows times columns [first, last). */
static void walk_rows(const struct tiles *t, float *y, size_t y_stride, const uint8_t *w, size_t w_stride, int rows,
    const uint8_t *x, size_t x_stride, int first, int last, int n)
{
    for (int r = 0; r < rows;) {
        int high = rows - r >= t->rows;
        const uint8_t *w_r = w + (size_t)r * w_stride;
        for (int c = first; c < last;) {
            int wide = last - c >= t->columns;
            tile_fn *tile = high ? (wide ? t->full : t->column) : (wide ? t->row : t->one);
            tile(y + (size_t)c * y_stride + r, y_stride, w_r, w_stride, x + (size_t)c * x_stride, x_stride, n);
            c += wide ? t->columns : 1;
        }
        r += high ? t->rows : 1;
    }
}

void dots_by_tiles(const struct tiles *t, float *y, size_t y_stride, const void *w, size_t w_stride, int rows,
    const void *x, size_t x_stride, int count, int n)
{
    size_t fit = x_stride ? COLUMNS_BYTES / x_stride / (size_t)t->columns : 0;
    int columns = fit > 1 ? (fit < 1024 ? (int)fit : 1024) * t->columns : t->columns;
    for (int first = 0; first < count; first += columns) {
        int last = count - first < columns ? count : first + columns;
        walk_rows(t, y, y_stride, w, w_stride, rows, x, x_stride, first, last, n);
    }
}
