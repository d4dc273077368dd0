/* SPDX-License-Identifier: Apache-2.0 */
/* Every item of every job is run once, whichever threads come late. */
#include "base/pool.h"
#include "base/random.h"
#include "support.h"

#include <stdatomic.h>
#include <stdlib.h>
#include <unistd.h>

enum { ITEMS = 300 };

struct tally {
    atomic_int runs[ITEMS];
    atomic_int wrong; /* thread numbers out of range */
    int threads, sleeps;
};

static void count(void *job, int item, int thread)
{
    struct tally *t = job;
    atomic_fetch_add(&t->runs[item], 1);
    if (thread < 0 || thread >= t->threads)
        atomic_fetch_add(&t->wrong, 1);
    if (t->sleeps && item % 5 == 0)
        usleep(300); /* longer than others look for work: they sleep, and so does the caller */
}

static void check(struct pool *p, int items, int sleeps)
{
    struct tally t = { .threads = pool_threads(p), .sleeps = sleeps };
    pool_run(p, items, count, &t);
    for (int i = 0; i < ITEMS; i++)
        if (atomic_load(&t.runs[i]) != (i < items))
            fail_msg("item %d of %d was run %d times", i, items, atomic_load(&t.runs[i]));
    assert_int_equal(atomic_load(&t.wrong), 0);
}

static void each_item_is_run_once(void **state)
{
    (void)state;
    struct random r;
    random_seed(&r, 5);
    for (int threads = 1; threads <= 7; threads += 2) {
        struct pool *p;
        assert_int_equal(pool_open(&p, threads, NULL), 0);
        assert_int_equal(pool_threads(p), threads);
        for (int i = 0; i < 3000; i++) /* one behind the other: late threads meet jobs that are not theirs */
            check(p, (int)random_below(&r, 12), 0);
        for (int i = 0; i < 10; i++)
            check(p, ITEMS / 10, 1);
        usleep(2000);
        check(p, ITEMS, 0);
        pool_close(p);
    }
    pool_close(NULL);
}

static void a_pool_without_jobs_closes(void **state)
{
    (void)state;
    for (int i = 0; i < 50; i++) {
        struct pool *p;
        assert_int_equal(pool_open(&p, 1 + i % 4, NULL), 0);
        pool_close(p);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_item_is_run_once),
        cmocka_unit_test(a_pool_without_jobs_closes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
