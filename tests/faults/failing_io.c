/* Preloaded into a service: a chosen call on chosen files fails with EIO, for as long as a file says so.
 *
 * FAILING_IO_SWITCH names that file: "CALL END", the call's name (or "any") and how the path of its file ends.
 * Each failure adds a byte to the file SWITCH.failures. Only files below FAILING_IO_FOLDER are concerned. Linux, 64 bits.
 */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

static int read_switch(const char *path, char *call, char *end) {
    char content[300] = {0};
    long file = syscall(SYS_openat, AT_FDCWD, path, O_RDONLY | O_CLOEXEC, 0);
    if (file < 0) return 0;
    syscall(SYS_read, file, content, sizeof content - 1);
    syscall(SYS_close, file);
    return sscanf(content, "%99s %99s", call, end) == 2;
}

static int concerns(int file, const char *end) {
    char link[64], path[PATH_MAX + 1];
    const char *folder = getenv("FAILING_IO_FOLDER");
    snprintf(link, sizeof link, "/proc/self/fd/%d", file);
    ssize_t length = readlink(link, path, PATH_MAX);
    if (length < 0 || folder == NULL || strncmp(path, folder, strlen(folder)) != 0) return 0;
    path[length] = 0;
    size_t tail = strlen(end);
    return (size_t)length >= tail && strcmp(path + length - tail, end) == 0;
}

static int fails(const char *name, int file) {
    char call[100], end[100], count[PATH_MAX + 20];
    const char *path = getenv("FAILING_IO_SWITCH");
    if (path == NULL || !read_switch(path, call, end)) return 0;
    if ((strcmp(call, name) != 0 && strcmp(call, "any") != 0) || !concerns(file, end)) return 0;
    snprintf(count, sizeof count, "%s.failures", path);
    long counter = syscall(SYS_openat, AT_FDCWD, count, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0644);
    syscall(SYS_write, counter, ".", 1);
    syscall(SYS_close, counter);
    errno = EIO;
    return 1;
}

ssize_t write(int file, const void *from, size_t size) {
    return fails("write", file) ? -1 : syscall(SYS_write, file, from, size);
}

ssize_t pwrite64(int file, const void *from, size_t size, off_t offset) {
    return fails("pwrite64", file) ? -1 : syscall(SYS_pwrite64, file, from, size, offset);
}

ssize_t pwrite(int file, const void *from, size_t size, off_t offset) { return pwrite64(file, from, size, offset); }

int fsync(int file) { return fails("fsync", file) ? -1 : (int)syscall(SYS_fsync, file); }

int fdatasync(int file) { return fails("fdatasync", file) ? -1 : (int)syscall(SYS_fdatasync, file); }

int ftruncate64(int file, off_t length) {
    return fails("ftruncate", file) ? -1 : (int)syscall(SYS_ftruncate, file, length);
}

int ftruncate(int file, off_t length) { return ftruncate64(file, length); }
