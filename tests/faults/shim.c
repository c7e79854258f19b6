/* Fails a chosen system call, for tests: preload it, then call `faults_arm` with the beginning of paths.
 *
 * Counts the calls that change files whose paths begin like that. At the n-th it kills the process before the call (KILL) or in
 * the middle of it (TORN: half of a write, or right after another call), or makes the call fail once (NO_SPACE, IO_ERROR)
 * or, from there on, every call that needs space (FULL).
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/types.h>
#include <unistd.h>

enum { COUNT, KILL, TORN, NO_SPACE, IO_ERROR, FULL };
enum { DESCRIPTORS = 65536 };

static char beginning[4096];
static atomic_long calls, failed;
static long at;
static int kind;
static unsigned char tracked[DESCRIPTORS];

#define REAL(name) \
    static __typeof__(&name) real; \
    if (!real) real = (__typeof__(&name))dlsym(RTLD_NEXT, #name)

void faults_arm(const char *where, long place, int what) {
    strncpy(beginning, where, sizeof beginning - 1);
    at = place;
    kind = what;
    atomic_store(&calls, 0);
    atomic_store(&failed, 0);
}

void faults_disarm(void) { at = 0; }

long faults_count(void) { return atomic_load(&calls); }

/* How many calls were made to fail. */
long faults_failed(void) { return atomic_load(&failed); }

static int chosen(const char *path) {
    return beginning[0] && path && !strncmp(path, beginning, strlen(beginning));
}

static int is_tracked(int fd) { return fd >= 0 && fd < DESCRIPTORS && tracked[fd]; }

static void die(void) {
    kill(getpid(), SIGKILL);
    for (;;) pause();
}

/* What happens to this call: KILL has happened by then. */
static int next_call(int needs_space) {
    long n = atomic_fetch_add(&calls, 1) + 1;
    if (!at || (kind == FULL ? n < at || !needs_space : n != at)) return COUNT;
    if (kind == KILL) die();
    if (kind != TORN) {
        atomic_fetch_add(&failed, 1);
        errno = kind == IO_ERROR ? EIO : ENOSPC;
    }
    return kind;
}

static int opened(int fd, const char *path) {
    if (fd >= 0 && fd < DESCRIPTORS) tracked[fd] = chosen(path);
    return fd;
}

#define OPEN(name) \
    int name(const char *path, int flags, ...) { \
        REAL(name); \
        va_list rest; \
        va_start(rest, flags); \
        mode_t mode = flags & (O_CREAT | O_TMPFILE) ? va_arg(rest, mode_t) : 0; \
        va_end(rest); \
        int what = COUNT; \
        if (chosen(path) && flags & O_CREAT && access(path, F_OK)) { \
            what = next_call(1); \
            if (what > TORN) return -1; \
        } \
        int fd = opened(real(path, flags, mode), path); \
        if (what == TORN) die(); \
        return fd; \
    }
OPEN(open)
OPEN(open64)

#define OPENAT(name) \
    int name(int base, const char *path, int flags, ...) { \
        REAL(name); \
        va_list rest; \
        va_start(rest, flags); \
        mode_t mode = flags & (O_CREAT | O_TMPFILE) ? va_arg(rest, mode_t) : 0; \
        va_end(rest); \
        return opened(real(base, path, flags, mode), path); \
    }
OPENAT(openat)
OPENAT(openat64)

int close(int fd) {
    REAL(close);
    if (fd >= 0 && fd < DESCRIPTORS) tracked[fd] = 0;
    return real(fd);
}

static int grows(int fd, off_t end) {
    struct stat found;
    return fstat(fd, &found) || end > found.st_size;
}

ssize_t write(int fd, const void *bytes, size_t length) {
    REAL(write);
    if (!is_tracked(fd)) return real(fd, bytes, length);
    int what = next_call(1);
    if (what == TORN) {
        real(fd, bytes, length / 2);
        die();
    }
    return what == COUNT ? real(fd, bytes, length) : -1;
}

#define PWRITE(name, offset_type) \
    ssize_t name(int fd, const void *bytes, size_t length, offset_type offset) { \
        REAL(name); \
        if (!is_tracked(fd)) return real(fd, bytes, length, offset); \
        int what = next_call(grows(fd, offset + (off_t)length)); \
        if (what == TORN) { \
            real(fd, bytes, length / 2, offset); \
            die(); \
        } \
        return what == COUNT ? real(fd, bytes, length, offset) : -1; \
    }
PWRITE(pwrite, off_t)
PWRITE(pwrite64, off64_t)

#define ON_DESCRIPTOR(name, parameters, arguments, needs_space) \
    int name parameters { \
        REAL(name); \
        if (!is_tracked(fd)) return real arguments; \
        int what = next_call(needs_space); \
        if (what > TORN) return -1; \
        int result = real arguments; \
        if (what == TORN) die(); \
        return result; \
    }
ON_DESCRIPTOR(fsync, (int fd), (fd), 0)
ON_DESCRIPTOR(fdatasync, (int fd), (fd), 0)
ON_DESCRIPTOR(ftruncate, (int fd, off_t length), (fd, length), grows(fd, length))
ON_DESCRIPTOR(ftruncate64, (int fd, off64_t length), (fd, length), grows(fd, length))
ON_DESCRIPTOR(fallocate, (int fd, int mode, off_t offset, off_t length), (fd, mode, offset, length), 0)

#define ON_PATH(name, parameters, arguments, needs_space) \
    int name parameters { \
        REAL(name); \
        if (!chosen(path)) return real arguments; \
        int what = next_call(needs_space); \
        if (what > TORN) return -1; \
        int result = real arguments; \
        if (what == TORN) die(); \
        return result; \
    }
ON_PATH(rename, (const char *path, const char *to), (path, to), 0)
ON_PATH(unlink, (const char *path), (path), 0)
ON_PATH(remove, (const char *path), (path), 0)
ON_PATH(rmdir, (const char *path), (path), 0)
ON_PATH(mkdir, (const char *path, mode_t mode), (path, mode), 1)
