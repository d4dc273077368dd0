/* SPDX-License-Identifier: Apache-2.0 */
/* A text on its way through a grammar, byte by byte.
 *
 * The automaton is made deterministic as it runs: a configuration is the set of all ways to read what came so far, kept
 * with the configurations its bytes lead to. When memory for these is used up, those not in use are forgotten. At most
 * MATCHER_WAYS ways are followed at once; every way kept can be completed, so a text that went well so far always
 * can. */
#ifndef WAZN_INFER_MATCHER_H
#define WAZN_INFER_MATCHER_H

#include "base/buffer.h"
#include "infer/grammar.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define MATCHER_WAYS 256
#define MATCHER_DEAD 0u /* the configuration from which there is no way */

struct matcher;

/* The grammar must outlive it. About 20 MiB are reserved, and taken as they are needed. */
int matcher_open(struct matcher **out, const struct grammar *g, struct error *err);
void matcher_close(struct matcher *m);
void matcher_reset(struct matcher *m);

/* Read bytes. False, and nothing changed, where no accepted text goes on so. */
bool matcher_advance(struct matcher *m, const char *bytes, size_t n);
bool matcher_allows(struct matcher *m, const char *bytes, size_t n); /* the same, without reading them */
bool matcher_complete(const struct matcher *m);                     /* the text may end here */
/* Characters that may all follow in a string before its end must come: 0 outside of strings, UINT32_MAX: any number. */
uint32_t matcher_characters(const struct matcher *m);

/* Where it stands, as bytes appended to `out`; back to there, in any matcher of the same grammar. */
void matcher_save(const struct matcher *m, struct buffer *out);
void matcher_restore(struct matcher *m, const char *bytes, size_t n);

/* For walks over many texts. Configurations are numbers, good until the epoch changes. matcher_step
 * tells where a byte leads from path[n - 1]; it may start a new epoch, and then gives path[0 .. n) their new
 * numbers. */
uint32_t matcher_here(const struct matcher *m);
uint32_t matcher_step(struct matcher *m, unsigned char byte, uint32_t *path, size_t n);
uint32_t matcher_epoch(const struct matcher *m);

#endif
