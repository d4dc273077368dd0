/* SPDX-License-Identifier: Apache-2.0 */
/* A run as a page: one HTML file that needs nothing else, with a plot for each number of the log (history.h), what the
 * run is and what the model wrote. While the run goes on the page asks the browser to load it again. */
#ifndef WAZN_TRAIN_REPORT_H
#define WAZN_TRAIN_REPORT_H

#include "base/buffer.h"
#include "train/history.h"

/* Append the page. */
void report_page(struct buffer *out, const struct history *h);

/* Written beside its place and renamed, so a browser never sees half a page. */
int report_write(const char *log_path, const char *html_path, struct error *err);

#endif
