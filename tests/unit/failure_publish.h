/* SPDX-License-Identifier: Apache-2.0 */
/* What test_failure.c puts under test beside its own, in the folder of its inputs. */
#ifndef WAZN_TESTS_UNIT_FAILURE_PUBLISH_H
#define WAZN_TESTS_UNIT_FAILURE_PUBLISH_H

#include "base/error.h"

extern const char *failure_root;

/* model.bin written as GGUF and as a folder. They fail the test where anything is left of what failed. */
int failure_gguf(struct error *err);
int failure_folder(struct error *err);
/* Vocabularies written as GGUF and as a folder. */
int failure_spm(struct error *err);
int failure_unigram(struct error *err);
int failure_byte_level(struct error *err);

#endif
