/* For LD_PRELOAD: a call that changes files in a folder fails, or it and all later ones; the others work.

   fail_at(first, last, error, folder) chooses them, counted from now on; calls() is how many there were. A write that
   fails for good is first taken by half, as by a disk that fills up.
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

static long first, last, count;
static int failure;
static char place[4096];

void fail_at(long from, long to, int error, const char *folder) {
    first = from, last = to, count = 0, failure = error;
    snprintf(place, sizeof place, "%s", folder);
}

long calls(void) { return count; }

/* The number of the call if it fails, otherwise 0. */
static long fails(const char *path) {
    if (!place[0] || !path || !strstr(path, place)) return 0;
    long number = __atomic_add_fetch(&count, 1, __ATOMIC_SEQ_CST);
    if (number < first || number > last) return 0;
    errno = failure;
    return number;
}

static long fails_open(int number) {
    char link[64], path[4096];
    snprintf(link, sizeof link, "/proc/self/fd/%d", number);
    ssize_t length = readlink(link, path, sizeof path - 1);
    if (length < 0) return 0;
    path[length] = 0;
    return fails(path);
}

#define REAL(name) ((__typeof__(&name))dlsym(RTLD_NEXT, #name))

ssize_t write(int number, const void *data, size_t size) {
    long failed = number > 2 ? fails_open(number) : 0;
    if (failed && failed == first && last > first && size > 1) return REAL(write)(number, data, size / 2);
    return failed ? -1 : REAL(write)(number, data, size);
}

ssize_t writev(int number, const struct iovec *parts, int size) {
    return number > 2 && fails_open(number) ? -1 : REAL(writev)(number, parts, size);
}

int fsync(int number) { return fails_open(number) ? -1 : REAL(fsync)(number); }

int ftruncate(int number, off_t size) { return fails_open(number) ? -1 : REAL(ftruncate)(number, size); }

int ftruncate64(int number, off64_t size) { return fails_open(number) ? -1 : REAL(ftruncate64)(number, size); }

int rename(const char *from, const char *to) { return fails(to) ? -1 : REAL(rename)(from, to); }

int unlink(const char *path) { return fails(path) ? -1 : REAL(unlink)(path); }

int mkdir(const char *path, mode_t mode) { return fails(path) ? -1 : REAL(mkdir)(path, mode); }

static int opens(int (*real)(const char *, int, ...), const char *path, int flags, mode_t mode) {
    int changes = flags & (O_CREAT | O_TRUNC | O_WRONLY | O_RDWR);
    return changes && fails(path) ? -1 : real(path, flags, mode);
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
