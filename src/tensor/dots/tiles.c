/* SPDX-License-Identifier: Apache-2.0 */
#include "tensor/dots/tiles.h"

/* Bytes of activations that are kept in the second-level cache while all rows pass by. */
#define COLUMNS_BYTES (192 * 1024)

/* The product, and the part of it that one walk covers. */
struct walk {
    const struct tiles *tiles;
    float *y;
    const uint8_t *w, *x;
    size_t y_stride, w_stride, x_stride;
    int first, last, n; /* columns [first, last) */
};

/* Row r and, where the tile is high, those `step`, 2 step, ... rows below it. Columns are dealt evenly to as few tiles
 * as can hold them. */
static void walk_columns(const struct walk *k, int r, int step, int high)
{
    const int most = high ? k->tiles->columns : 1;
    int tiles = (k->last - k->first + most - 1) / most;
    for (int c = k->first, wide; c < k->last; c += wide, tiles--) {
        wide = (k->last - c) / tiles;
        tile_fn *tile = high ? k->tiles->high[wide - 1] : k->tiles->one;
        tile(k->y + (size_t)c * k->y_stride + r, k->y_stride, (size_t)step, k->w + (size_t)r * k->w_stride,
            k->w_stride * (size_t)step, k->x + (size_t)c * k->x_stride, k->x_stride, k->n);
    }
}

/* A tile takes its rows from as many equal parts of the matrix: its passes are then that many long streams through
 * memory, which hardware prefetches well, where neighbouring rows would be as many short ones, each lost at its end. */
static void walk_rows(const struct walk *k, int rows)
{
    const int high = k->tiles->rows, step = rows / high;
    for (int r = 0; r < step; r++)
        walk_columns(k, r, step, 1);
    for (int r = step * high; r < rows; r++)
        walk_columns(k, r, 0, 0);
}

void dots_by_tiles(const struct tiles *t, float *y, size_t y_stride, const void *w, size_t w_stride, int rows,
    const void *x, size_t x_stride, int count, int n)
{
    size_t fit = x_stride ? COLUMNS_BYTES / x_stride / (size_t)t->columns : 0;
    int columns = fit > 1 ? (fit < 1024 ? (int)fit : 1024) * t->columns : t->columns;
    for (int first = 0; first < count; first += columns) {
        const struct walk walk = { t, y, w, x, y_stride, w_stride, x_stride, first,
            count - first < columns ? count : first + columns, n };
        walk_rows(&walk, rows);
    }
}
