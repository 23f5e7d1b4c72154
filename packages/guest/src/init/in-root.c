/* See in-root.h. openat2 with RESOLVE_IN_ROOT does what a chroot would, without changing the process. */
#define _GNU_SOURCE
#include "in-root.h"
#include "helmr-guest.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

static int open_in_root(int root, const char *path, uint64_t flags) {
  struct open_how how = {.flags = flags | O_CLOEXEC, .resolve = RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS};
  return (int)syscall(SYS_openat2, root, path, &how, sizeof how);
}

int find_in_root(const char *root, const char *path, uint64_t flags) {
  int root_fd = open(root, O_PATH | O_DIRECTORY | O_CLOEXEC);
  if (root_fd < 0) die("open %s", root);
  int found = open_in_root(root_fd, path, flags);
  close(root_fd);
  return found;
}

int directory_in_root(const char *root, const char *path) {
  int root_fd = open(root, O_PATH | O_DIRECTORY | O_CLOEXEC);
  if (root_fd < 0) die("open %s", root);
  int found = open_in_root(root_fd, path, O_PATH | O_DIRECTORY);
  if (found >= 0) {
    close(root_fd);
    return found;
  }
  char part[4096];
  if (snprintf(part, sizeof part, "%s", path) >= (int)sizeof part) refuse("a path is longer than %zu bytes", sizeof part);
  int parent = dup(root_fd);
  for (size_t index = 1;; index += 1) {
    if (part[index] != '/' && part[index] != '\0') continue;
    bool last = part[index] == '\0';
    part[index] = '\0';
    int next = open_in_root(root_fd, part, O_PATH | O_DIRECTORY);
    if (next < 0 && errno == ENOENT) {
      const char *name = strrchr(part, '/') + 1;
      if (mkdirat(parent, name, 0755) < 0) die("make %s", part);
      next = open_in_root(root_fd, part, O_PATH | O_DIRECTORY);
    }
    if (next < 0) die("open %s", part);
    close(parent);
    parent = next;
    if (last) break;
    part[index] = '/';
  }
  close(root_fd);
  return parent;
}

void write_in_root(const char *root, const char *path, const char *content, mode_t mode) {
  char directory[4096];
  snprintf(directory, sizeof directory, "%s", path);
  char *name = strrchr(directory, '/');
  *name = '\0';
  name += 1;
  int parent = directory_in_root(root, directory[0] ? directory : "/");
  if (unlinkat(parent, name, 0) < 0 && errno != ENOENT) die("replace %s", path);
  int fd = openat(parent, name, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, mode);
  size_t length = strlen(content);
  if (fd < 0 || write(fd, content, length) != (ssize_t)length) die("write %s", path);
  close(fd);
  close(parent);
}

void mount_in_root(const char *root, const char *path, const char *source, const char *type, unsigned long flags, const char *options) {
  int target = directory_in_root(root, path);
  char name[64];
  snprintf(name, sizeof name, "/proc/self/fd/%d", target);
  if (mount(source, name, type, flags, options) < 0) die("mount %s at %s", source, path);
  close(target);
}
