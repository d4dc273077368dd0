/* SPDX-License-Identifier: Apache-2.0 */
#include "failure_train.h"

#include "support.h"

#include "base/fileout.h"
#include "train/objective/likelihood.h"

#include <stdio.h>

static int make_data(struct dataset **out, struct error *err)
{
    static const int32_t ids[] = { 1, 2, 3, 4 };
    struct dataset_builder *b;
    int rc = dataset_builder_open(&b, err);
    if (rc == 0)
        rc = dataset_builder_add(b, &(struct train_text) { ids, ids + 1, 3 }, 3, err);
    if (rc == 0)
        rc = dataset_builder_finish(out, b, err);
    dataset_builder_close(b);
    return rc;
}

static int make_model(struct model **out, struct error *err)
{
    json_t *config = json_pack("{s:s, s:i, s:i, s:i, s:i, s:i, s:i}", "model_type", "llama", "hidden_size", 8,
        "intermediate_size", 8, "num_hidden_layers", 1, "num_attention_heads", 1, "vocab_size", 8,
        "max_position_embeddings", 8);
    int rc = config ? model_create(out, config, 1, err) : error_memory(err, 0, "a config");
    json_decref(config);
    return rc ? rc : model_own(*out, &format_bf16, NULL, err);
}

/* One step and its checkpoint, or what it left read again. */
static int run(struct train_pass *pass, const struct objective *objective, const char *folder, bool again,
    struct error *err)
{
    const struct trainer_options options = { .schedule = { .lr = 0.1, .steps = 1 }, .optimizer = { .kind =
        OPTIMIZER_MUON, .beta1 = 0.9, .beta2 = 0.95, .eps = 1e-8, .momentum = 0.95 }, .threads = 2,
        .folder = folder, .keep = 1 };
    struct trainer_watch watch = { 0 };
    struct trainer *t;
    uint64_t step = 0;
    int rc = trainer_open(&t, pass, objective, &options, &watch, err);
    if (rc == 0)
        rc = again ? trainer_resume(t, &step, err) : trainer_run(t, err);
    if (rc == 0)
        assert_int_equal(step, again ? 1 : 0);
    trainer_close(t);
    return rc;
}

int failure_train(struct error *err)
{
    const struct train_options wanted = { .tokens_max = 3, .texts_max = 1, .logits_max = 2, .threads = 2 };
    const struct packing_options packed = { .tokens_max = 3, .texts_max = 1, .passes = 1 };
    const char *folder = test_join(failure_train_root, "run");
    struct likelihood l = { 0 };
    struct dataset *d = NULL;
    struct model *m = NULL;
    struct train_pass *pass = NULL;
    int rc = make_data(&d, err);
    if (rc == 0)
        rc = make_model(&m, err);
    if (rc == 0)
        rc = packing_open(&l.packing, d, &packed, err);
    if (rc == 0)
        rc = train_pass_open(&pass, m, &wanted, err);
    struct objective objective = likelihood_objective(&l);
    if (rc == 0)
        rc = run(pass, &objective, folder, false, err);
    if (rc == 0)
        rc = run(pass, &objective, folder, true, err);
    folder_remove(test_join(folder, "checkpoint-00000001"), NULL);
    train_pass_close(pass);
    packing_close(l.packing);
    model_close(m);
    dataset_close(d);
    return rc;
}

const char *failure_train_root;
