/* SPDX-License-Identifier: Apache-2.0 */
#ifndef WAZN_TRAIN_REWARD_IMPL_H
#define WAZN_TRAIN_REWARD_IMPL_H

#include "base/json.h"
#include "train/reward.h"

struct regex;
struct reward_part;

/* A kind of reward; reward_kinds.c and reward_command.c end in theirs. */
struct reward_kind {
    const char *name;
    /* What a specification says of it; spec NULL: nothing was said. ERROR_USAGE where a member is missing or wrong.
     * NULL: takes no members. */
    int (*read)(struct reward_part *p, const json_t *spec, struct error *err);
    /* 0 and *value, or the error that makes it 0. */
    int (*judge)(const struct reward_part *p, const struct reward_case *c, double *value, struct error *err);
};

struct reward_part {
    const struct reward_kind *kind;
    double weight;
    struct regex *regex;
    double least, most, margin; /* tokens */
    char *open, *close;         /* around thoughts */
    const char **argv;          /* NULL behind the last; words are in `spec` */
    double seconds;
    json_t *spec; /* the part's object, kept for its strings; may be NULL */
};

extern const struct reward_kind reward_exact, reward_numeric, reward_regex, reward_length, reward_overlong,
    reward_format, reward_json, reward_command;

/* Behind the last "</think>". */
struct reward_text reward_answer(struct reward_text completion);

#endif
