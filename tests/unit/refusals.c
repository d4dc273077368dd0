/* SPDX-License-Identifier: Apache-2.0 */
#include "refusals.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

struct refusals refusals;

#define HELD_MAX ((size_t)1 << 18)

static const void *held[HELD_MAX]; /* blocks held, by open addressing; `gone` where one was given back */
static const char gone;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER; /* threads that count words ask for memory too */

static size_t held_place(const void *p, const void *until)
{
    size_t at = ((uintptr_t)p >> 4) * 0x9e3779b97f4a7c15u >> 46;
    while (held[at] && held[at] != p && held[at] != until)
        at = (at + 1) % HELD_MAX;
    return at;
}

static void *held_add(void *p)
{
    pthread_mutex_lock(&lock);
    if (p && refusals.armed) {
        held[held_place(p, &gone)] = p;
        refusals.held++;
    }
    pthread_mutex_unlock(&lock);
    return p;
}

static void held_remove(const void *p)
{
    pthread_mutex_lock(&lock);
    size_t at = p ? held_place(p, NULL) : 0;
    if (p && held[at] == p) {
        held[at] = &gone;
        refusals.held--;
    }
    pthread_mutex_unlock(&lock);
}

static bool refuse(int code)
{
    pthread_mutex_lock(&lock);
    bool refused = refusals.armed && ++refusals.calls == refusals.fail_at;
    pthread_mutex_unlock(&lock);
    if (refused)
        errno = code;
    return refused;
}

void *__real_malloc(size_t n);
void *__real_calloc(size_t n, size_t size);
void *__real_realloc(void *p, size_t n);
char *__real_strdup(const char *text);
char *__real_strndup(const char *text, size_t n);
void __real_free(void *p);
void *__real_mmap64(void *at, size_t n, int protection, int flags, int fd, off_t offset);
int __real_munmap(void *p, size_t n);
int __real_open64(const char *path, int flags, ...);
int __real_close(int fd);
DIR *__real_opendir(const char *path);
int __real_closedir(DIR *dir);
FILE *__real_fopen64(const char *path, const char *mode);
int __real_fclose(FILE *f);

void *__wrap_malloc(size_t n);
void *__wrap_calloc(size_t n, size_t size);
void *__wrap_realloc(void *p, size_t n);
char *__wrap_strdup(const char *text);
char *__wrap_strndup(const char *text, size_t n);
void __wrap_free(void *p);
void *__wrap_mmap64(void *at, size_t n, int protection, int flags, int fd, off_t offset);
int __wrap_munmap(void *p, size_t n);
int __wrap_open64(const char *path, int flags, ...);
int __wrap_close(int fd);
DIR *__wrap_opendir(const char *path);
int __wrap_closedir(DIR *dir);
FILE *__wrap_fopen64(const char *path, const char *mode);
int __wrap_fclose(FILE *f);

void *__wrap_malloc(size_t n)
{
    return refuse(ENOMEM) ? NULL : held_add(__real_malloc(n));
}

void *__wrap_calloc(size_t n, size_t size)
{
    return refuse(ENOMEM) ? NULL : held_add(__real_calloc(n, size));
}

void *__wrap_realloc(void *p, size_t n)
{
    if (refuse(ENOMEM))
        return NULL;
    held_remove(p);
    return held_add(__real_realloc(p, n));
}

char *__wrap_strdup(const char *text)
{
    return refuse(ENOMEM) ? NULL : held_add(__real_strdup(text));
}

char *__wrap_strndup(const char *text, size_t n)
{
    return refuse(ENOMEM) ? NULL : held_add(__real_strndup(text, n));
}

void __wrap_free(void *p)
{
    held_remove(p);
    __real_free(p);
}

void *refusals_jansson_malloc(size_t n)
{
    void *p = __wrap_malloc(n);
    refusals.in_jansson = refusals.in_jansson || (!p && refusals.armed);
    return p;
}

void *__wrap_mmap64(void *at, size_t n, int protection, int flags, int fd, off_t offset)
{
    if (refuse(ENOMEM))
        return MAP_FAILED;
    void *p = __real_mmap64(at, n, protection, flags, fd, offset);
    refusals.mapped += p != MAP_FAILED;
    return p;
}

int __wrap_munmap(void *p, size_t n)
{
    refusals.mapped--;
    return __real_munmap(p, n);
}

int __wrap_open64(const char *path, int flags, ...)
{
    mode_t mode = 0;
    if (flags & O_CREAT) {
        va_list args;
        va_start(args, flags);
        mode = va_arg(args, mode_t);
        va_end(args);
    }
    if (refuse(EMFILE))
        return -1;
    int fd = __real_open64(path, flags, mode);
    refusals.files += fd >= 0;
    return fd;
}

int __wrap_close(int fd)
{
    refusals.files--;
    return __real_close(fd);
}

DIR *__wrap_opendir(const char *path)
{
    DIR *dir = refuse(EMFILE) ? NULL : __real_opendir(path);
    refusals.files += dir != NULL;
    return dir;
}

int __wrap_closedir(DIR *dir)
{
    refusals.files--;
    return __real_closedir(dir);
}

FILE *__wrap_fopen64(const char *path, const char *mode)
{
    FILE *f = refuse(EMFILE) ? NULL : __real_fopen64(path, mode);
    refusals.files += f != NULL;
    return f;
}

int __wrap_fclose(FILE *f)
{
    refusals.files--;
    return __real_fclose(f);
}

void refusals_begin(long n)
{
    memset(held, 0, sizeof held);
    refusals.calls = 0;
    refusals.fail_at = n;
    refusals.in_jansson = false;
    refusals.armed = true;
}
