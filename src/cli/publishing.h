/* SPDX-License-Identifier: Apache-2.0 */
/* What quantize and convert share: open a model, write it anew, say what came of it. */
#ifndef WAZN_CLI_PUBLISHING_H
#define WAZN_CLI_PUBLISHING_H

#include "cli/option.h"
#include "publish/recipe.h"

/* recipe: NULL for formats as they are, or a search where --loss is given. */
int publishing_run(const struct arguments *args, const struct recipe *recipe, struct error *err);

/* The recipe that --to names; *out stays NULL where it is not given. */
int publishing_recipe(const struct recipe **out, const struct arguments *args, struct error *err);

#endif
