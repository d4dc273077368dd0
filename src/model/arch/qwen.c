/* SPDX-License-Identifier: Apache-2.0 */
#include "model/arch/qwen.h"

int qwen_read(struct spec *s, const json_t *c, const struct spec_defaults *d, int window_from, struct error *err)
{
    struct window_rule upper_layers = { 0, 0 };
    int window = 0;
    bool windowed = false;
    int rc = spec_read_common(s, c, d, err);
    if (rc == 0)
        rc = spec_read_activation(s, c, "hidden_act", "silu", err);
    if (rc == 0)
        rc = spec_flag(&windowed, c, "use_sliding_window", false, err);
    if (rc == 0 && windowed)
        rc = spec_whole(&window, c, "sliding_window", spec_is_null(c, "sliding_window") ? 0 : 4096, 1, 1 << 28, err);
    if (rc == 0)
        rc = spec_whole(&upper_layers.first, c, "max_window_layers", window_from, 0, 1 << 20, err);
    if (rc == 0)
        rc = spec_read_windows(s, c, window, &upper_layers, err);
    if (rc == 0)
        rc = spec_read_ropes(s, c, d->rope_base, err);
    return rc;
}
