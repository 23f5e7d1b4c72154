/*
 * Preloaded into a monitor whose guest memory is a private copy of a template's file (MAP_PRIVATE).
 *
 * QEMU before 8.2 opens such a file for writing although it never writes to it, so every monitor would hold the means to change the memory
 * of all later guests. This library turns that one open() into a read-only one; the private mapping stays writable, as MAP_PRIVATE allows.
 * HELMR_PRIVATE_MEMORY names the path.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

typedef int open_function(const char *path, int flags, ...);

static int narrowed(const char *path, int flags) {
  const char *memory = getenv("HELMR_PRIVATE_MEMORY");
  return memory && strcmp(path, memory) == 0 ? (flags & ~O_ACCMODE) | O_RDONLY : flags;
}

static int forward(const char *name, const char *path, int flags, mode_t mode) {
  open_function *original = (open_function *)dlsym(RTLD_NEXT, name);
  return original(path, narrowed(path, flags), mode);
}

int open64(const char *path, int flags, ...) {
  va_list arguments;
  va_start(arguments, flags);
  mode_t mode = flags & (O_CREAT | O_TMPFILE) ? va_arg(arguments, mode_t) : 0;
  va_end(arguments);
  return forward("open64", path, flags, mode);
}

/* What a fortified program calls when it gives no mode. */
int __open64_2(const char *path, int flags);
int __open64_2(const char *path, int flags) {
  return forward("open64", path, flags, 0);
}
