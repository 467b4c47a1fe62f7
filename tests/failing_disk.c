/* For LD_PRELOAD: one call that changes files in a folder fails, all others work.

   fail_at(n, error, folder) chooses the n-th such call from now on; calls() is how many there were.
*/
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/types.h>
#include <sys/uio.h>
#include <unistd.h>

static long chosen, count;
static int failure;
static char place[4096];

void fail_at(long number, int error, const char *folder) {
    chosen = number, count = 0, failure = error;
    snprintf(place, sizeof place, "%s", folder);
}

long calls(void) { return count; }

static int fails(const char *path) {
    if (!place[0] || !path || !strstr(path, place)) return 0;
    if (__atomic_add_fetch(&count, 1, __ATOMIC_SEQ_CST) != chosen) return 0;
    errno = failure;
    return 1;
}

static int fails_open(int number) {
    char link[64], path[4096];
    snprintf(link, sizeof link, "/proc/self/fd/%d", number);
    ssize_t length = readlink(link, path, sizeof path - 1);
    if (length < 0) return 0;
    path[length] = 0;
    return fails(path);
}

#define REAL(name) ((__typeof__(&name))dlsym(RTLD_NEXT, #name))

ssize_t write(int number, const void *data, size_t size) {
    return number > 2 && fails_open(number) ? -1 : REAL(write)(number, data, size);
}

ssize_t writev(int number, const struct iovec *parts, int size) {
    return number > 2 && fails_open(number) ? -1 : REAL(writev)(number, parts, size);
}

int fsync(int number) { return fails_open(number) ? -1 : REAL(fsync)(number); }

int rename(const char *from, const char *to) { return fails(to) ? -1 : REAL(rename)(from, to); }

int mkdir(const char *path, mode_t mode) { return fails(path) ? -1 : REAL(mkdir)(path, mode); }

static int opens(int (*real)(const char *, int, ...), const char *path, int flags, mode_t mode) {
    int made = flags & O_CREAT && access(path, F_OK);
    return made && fails(path) ? -1 : real(path, flags, mode);
}

int open(const char *path, int flags, ...) {
    va_list rest;
    va_start(rest, flags);
    mode_t mode = flags & (O_CREAT | O_TMPFILE) ? va_arg(rest, mode_t) : 0;
    va_end(rest);
    return opens(REAL(open), path, flags, mode);
}

int open64(const char *path, int flags, ...) {
    va_list rest;
    va_start(rest, flags);
    mode_t mode = flags & (O_CREAT | O_TMPFILE) ? va_arg(rest, mode_t) : 0;
    va_end(rest);
    return opens(REAL(open64), path, flags, mode);
}
