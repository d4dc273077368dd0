/* SPDX-License-Identifier: Apache-2.0 */
/* What every test may use. Include this instead of cmocka.h (which wants its prerequisites in order). */
#ifndef WAZN_TESTS_SUPPORT_H
#define WAZN_TESTS_SUPPORT_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

/* Path of a file of the data collection (environment variable WAZN_DATA), or NULL after printing a clear line where the
 * collection is absent: then call skip(). Valid until the next call of 8. A file missing from a present collection
 * fails. */
const char *test_data(const char *relative);

/* Path inside the repository; valid until the next call of 8. */
const char *test_repo(const char *relative);

/* A new empty folder that is removed at exit. */
const char *test_folder(void);

/* The built program. */
const char *test_program(void);

/* A path made of two parts; valid until the next call of 8. */
const char *test_join(const char *folder, const char *name);

/* Write a file in one go; fails the test when it cannot. */
void test_write(const char *path, const void *data, size_t size);

#endif
