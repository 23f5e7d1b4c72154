/*
 * Secrets as files. The bytes live on a tmpfs of the task (never on a disk) and are bound over the wanted path; where nothing was, an empty
 * file is made as a mount point and remembered by a symbolic link, so that `unplace` removes exactly what `place` made.
 *
 *   /run/helmr/files/N  the content        /run/helmr/points/N -> PATH  the mount point N made
 */
#define _GNU_SOURCE
#include "helmr-guest.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

enum { content_bytes_max = 4194304, placements_max = 1024 };

static const char files[] = "/run/helmr/files";
static const char points[] = "/run/helmr/points";

struct placement {
  const char *path;
  mode_t mode;
  mode_t directory_mode;
  bool make_directory;
  const char *owner;
};

static mode_t parse_mode(const char *option, const char *text) {
  char *end;
  unsigned long mode = strtoul(text, &end, 8);
  if (*text == '\0' || *end != '\0' || mode > 07777) refuse("%s must be octal from 0 to 7777, not \"%s\"", option, text);
  return (mode_t)mode;
}

static struct placement parse_placement(int argc, char **argv) {
  struct placement placement = {.mode = 0600, .owner = "root"};
  for (int index = 1; index < argc; index += 2) {
    const char *option = argv[index];
    if (index + 1 >= argc) refuse("%s needs a value", option);
    char *value = argv[index + 1];
    if (strcmp(option, "--path") == 0) placement.path = value;
    else if (strcmp(option, "--mode") == 0) placement.mode = parse_mode(option, value);
    else if (strcmp(option, "--owner") == 0) placement.owner = value;
    else if (strcmp(option, "--directory-mode") == 0) {
      placement.directory_mode = parse_mode(option, value);
      placement.make_directory = true;
    } else refuse("unknown option %s", option);
  }
  if (!placement.path || placement.path[0] != '/' || placement.path[1] == '\0') refuse("--path must be an absolute path of a file");
  return placement;
}

/* Opens a fresh file on the tmpfs; the number names its mount point too. */
static int open_content(char path[64], int *number) {
  for (*number = 0; *number < placements_max; *number += 1) {
    snprintf(path, 64, "%s/%d", files, *number);
    int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    if (fd >= 0 || errno != EEXIST) return fd;
  }
  errno = ENOSPC;
  return -1;
}

static void copy_content(int to) {
  static char buffer[65536];
  size_t total = 0;
  for (;;) {
    ssize_t count = read(STDIN_FILENO, buffer, sizeof buffer);
    if (count < 0 && errno == EINTR) continue;
    if (count < 0) die("read the content");
    if (count == 0) break;
    total += (size_t)count;
    if (total > content_bytes_max) refuse("the content is longer than %d bytes", content_bytes_max);
    if (write(to, buffer, (size_t)count) != count) die("keep the content");
  }
  explicit_bzero(buffer, sizeof buffer);
}

static void make_parent(const struct placement *placement, const struct account *owner) {
  char copy[4096];
  snprintf(copy, sizeof copy, "%s", placement->path);
  char *parent = dirname(copy);
  struct stat status;
  bool existed = stat(parent, &status) == 0;
  if (make_directories(parent, 0755) < 0) die("make %s", parent);
  if (!placement->make_directory || existed) return;
  if (chmod(parent, placement->directory_mode) < 0 || chown(parent, owner->uid, owner->gid) < 0) die("set mode and owner of %s", parent);
}

int command_place(int argc, char **argv) {
  struct placement placement = parse_placement(argc, argv);
  if (enter_task_namespaces() < 0) die("enter the task's root");
  struct account owner;
  char problem[256], content[64], point[64];
  int number;
  if (!find_account("", placement.owner, &owner, problem)) refuse("--owner: %s", problem);
  if (make_directories(files, 0700) < 0 || make_directories(points, 0700) < 0 || chmod("/run/helmr", 0700) < 0) die("make %s", files);
  int fd = open_content(content, &number);
  if (fd < 0) die("make a file in %s", files);
  copy_content(fd);
  if (fchown(fd, owner.uid, owner.gid) < 0 || fchmod(fd, placement.mode) < 0) die("set mode and owner");
  close(fd);
  make_parent(&placement, &owner);
  int made = open(placement.path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
  if (made < 0 && errno != EEXIST) die("make %s", placement.path);
  if (made >= 0) {
    close(made);
    snprintf(point, sizeof point, "%s/%d", points, number);
    if (symlink(placement.path, point) < 0) die("remember %s", placement.path);
  }
  if (mount(content, placement.path, NULL, MS_BIND, NULL) < 0) die("place %s", placement.path);
  return 0;
}

int command_unplace(int argc, char **argv) {
  if (argc != 3 || strcmp(argv[1], "--path") != 0) refuse("unplace needs --path PATH");
  const char *path = argv[2];
  if (enter_task_namespaces() < 0) die("enter the task's root");
  /* EINVAL: not a mount point (any more). */
  if (umount2(path, MNT_DETACH | UMOUNT_NOFOLLOW) < 0 && errno != EINVAL && errno != ENOENT) die("unmount %s", path);
  DIR *directory = opendir(points);
  if (!directory) return 0;
  for (struct dirent *entry; (entry = readdir(directory)) != NULL;) {
    char target[4096];
    ssize_t length = readlinkat(dirfd(directory), entry->d_name, target, sizeof target - 1);
    if (length < 0) continue;
    target[length] = '\0';
    if (strcmp(target, path) != 0) continue;
    if (unlink(path) < 0 && errno != ENOENT) die("remove %s", path);
    unlinkat(dirfd(directory), entry->d_name, 0);
  }
  closedir(directory);
  return 0;
}
