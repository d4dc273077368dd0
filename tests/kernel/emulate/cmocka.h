/* SPDX-License-Identifier: Apache-2.0 */
/* Stands in for cmocka where check-neon and check-avx512 build test_kernels: Debian has the library for one processor
 * at a time. Only what that test uses, with cmocka's names; the first failure ends the program. */
#ifndef WAZN_TESTS_KERNEL_EMULATE_CMOCKA_H
#define WAZN_TESTS_KERNEL_EMULATE_CMOCKA_H

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct CMUnitTest {
    const char *name;
    void (*run)(void **state);
};

#define cmocka_unit_test(function) \
    {                              \
#function, function        \
    }

#define fail_msg(...)                                   \
    do {                                                \
        fflush(stdout);                                 \
        fprintf(stderr, "%s:%d: ", __FILE__, __LINE__); \
        fprintf(stderr, __VA_ARGS__);                   \
        fprintf(stderr, "\n");                          \
        exit(1);                                        \
    } while (0)

#define CHECK_TRUE(condition)                     \
    do {                                          \
        if (!(condition))                         \
            fail_msg("not true: %s", #condition); \
    } while (0)

#define assert_int_equal(a, b) CHECK_TRUE((a) == (b))
#define assert_memory_equal(a, b, size) CHECK_TRUE(memcmp(a, b, size) == 0)
#define assert_non_null(a) CHECK_TRUE((a) != NULL)
#define assert_ptr_equal(a, b) CHECK_TRUE((a) == (b))
#define assert_ptr_not_equal(a, b) CHECK_TRUE((a) != (b))
#define assert_string_equal(a, b) CHECK_TRUE(strcmp(a, b) == 0)

#define cmocka_run_group_tests(tests, setup, teardown) run_tests(tests, sizeof(tests) / sizeof *(tests))

static inline int run_tests(const struct CMUnitTest *tests, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        tests[i].run(NULL);
        printf("%s passed\n", tests[i].name);
    }
    return 0;
}

#endif
