/*
 * `copy`: from one tree to another, both hostile. Paths are resolved inside their roots; below them nothing is followed. A file becomes PATH, or a
 * file in it when it is a directory or ends with a slash; of a directory everything inside is copied into PATH, which is made. Owners, modes, times, hard
 * links among what is copied and extended attributes come along; what is in the way is replaced, directories are merged.
 */
#define _GNU_SOURCE
#include "helmr-guest.h"
#include "in-root.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/xattr.h>
#include <unistd.h>

enum { depth_max = 1000, xattr_bytes_max = 65536, descriptors = 4096 };

struct known_link {
  dev_t device;
  ino_t inode;
  int directory;
  char *name;
};

static struct known_link *known;
static size_t known_count, known_room;

static void split_place(const char *option, char *text, char **root, char **path) {
  char *separator = strchr(text, ':');
  if (!separator || separator[1] != '/') refuse("%s must be ROOT:/PATH, not \"%s\"", option, text);
  *separator = '\0';
  *root = text;
  *path = separator + 1;
}

static int open_at_root(const char *root, const char *path, uint64_t flags) {
  int directory = open(root, O_PATH | O_DIRECTORY | O_CLOEXEC);
  if (directory < 0) die("open %s", root);
  struct open_how how = {.flags = flags | O_CLOEXEC, .resolve = RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS};
  int found = (int)syscall(SYS_openat2, directory, path, &how, sizeof how);
  close(directory);
  return found;
}

static void copy_xattrs(int from, int to) {
  static char names[xattr_bytes_max], value[xattr_bytes_max];
  ssize_t length = flistxattr(from, names, sizeof names);
  for (char *name = names; length > 0 && name < names + length; name += strlen(name) + 1) {
    if (strncmp(name, "trusted.overlay.", strlen("trusted.overlay.")) == 0) continue;
    ssize_t size = fgetxattr(from, name, value, sizeof value);
    if (size >= 0 && fsetxattr(to, name, value, (size_t)size, 0) < 0) die("set the attribute %s", name);
  }
}

/* The mode after the owner, which clears set-id bits. */
static void copy_facts(int from, int to, const struct stat *status) {
  const struct timespec times[] = {status->st_atim, status->st_mtim};
  if (fchown(to, status->st_uid, status->st_gid) < 0 || fchmod(to, status->st_mode & 07777) < 0) die("set owner and mode");
  copy_xattrs(from, to);
  if (futimens(to, times) < 0) die("set times");
}

static void copy_bytes(int from, int to, off_t size) {
  static char buffer[262144];
  for (off_t left = size; left > 0;) {
    ssize_t moved = copy_file_range(from, NULL, to, NULL, (size_t)left, 0);
    if (moved < 0 && (errno == EXDEV || errno == EINVAL || errno == EOPNOTSUPP || errno == ENOSYS)) {
      moved = read(from, buffer, sizeof buffer);
      if (moved > 0 && write(to, buffer, (size_t)moved) != moved) die("write");
    }
    if (moved < 0) die("copy");
    if (moved == 0) return;
    left -= moved;
  }
}

/* Makes room for something that is no directory. */
static void clear_place(int directory, const char *name) {
  if (unlinkat(directory, name, 0) == 0 || errno == ENOENT) return;
  if (errno == EISDIR) refuse("%s is a directory in the target and none in the source", name);
  die("replace %s", name);
}

static bool copy_known_link(const struct stat *status, int to, const char *name) {
  if (status->st_nlink < 2) return false;
  for (size_t index = 0; index < known_count; index += 1) {
    const struct known_link *link = &known[index];
    if (link->device != status->st_dev || link->inode != status->st_ino) continue;
    clear_place(to, name);
    return linkat(link->directory, link->name, to, name, 0) == 0;
  }
  if (known_count == known_room) {
    known_room = known_room == 0 ? 256 : known_room * 2;
    known = realloc(known, known_room * sizeof *known);
    if (!known) die("remember a link");
  }
  /* The descriptor stays open: so many hard links are rare, and there is a limit for descriptors. */
  int directory = known_count < descriptors / 2 ? dup(to) : -1;
  if (directory < 0) return false;
  known[known_count] = (struct known_link){.device = status->st_dev, .inode = status->st_ino, .directory = directory, .name = strdup(name)};
  known_count += 1;
  return false;
}

static void copy_entry(int from, const char *source, int to, const char *name, int depth);

static void copy_children(int from, int to, int depth) {
  if (depth > depth_max) refuse("the tree is deeper than %d directories", depth_max);
  int listed = openat(from, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  DIR *directory = listed < 0 ? NULL : fdopendir(listed);
  if (!directory) die("read a directory");
  for (struct dirent *entry; (entry = readdir(directory)) != NULL;) {
    if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0) continue;
    if (depth == 0 && strcmp(entry->d_name, "lost+found") == 0) continue;
    copy_entry(from, entry->d_name, to, entry->d_name, depth + 1);
  }
  closedir(directory);
}

static void copy_directory(int from, const char *source, int to, const char *name, int depth) {
  if (mkdirat(to, name, 0755) < 0 && errno != EEXIST) die("make %s", name);
  int source_fd = openat(from, source, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
  int target = openat(to, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
  if (target < 0 && (errno == ENOTDIR || errno == ELOOP)) {
    clear_place(to, name);
    if (mkdirat(to, name, 0755) < 0) die("make %s", name);
    target = openat(to, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
  }
  struct stat status;
  if (source_fd < 0 || target < 0 || fstat(source_fd, &status) < 0) die("open %s", name);
  copy_children(source_fd, target, depth);
  copy_facts(source_fd, target, &status);
  close(source_fd);
  close(target);
}

static void copy_file(int from, const char *source, int to, const char *name, const struct stat *status) {
  if (copy_known_link(status, to, name)) return;
  clear_place(to, name);
  int source_fd = openat(from, source, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
  int target = openat(to, name, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
  if (source_fd < 0 || target < 0) die("open %s", name);
  copy_bytes(source_fd, target, status->st_size);
  copy_facts(source_fd, target, status);
  close(source_fd);
  close(target);
}

static void copy_link(int from, const char *source, int to, const char *name, const struct stat *status) {
  static char target[4096];
  const struct timespec times[] = {status->st_atim, status->st_mtim};
  ssize_t length = readlinkat(from, source, target, sizeof target - 1);
  if (length < 0) die("read the link %s", name);
  target[length] = '\0';
  clear_place(to, name);
  if (symlinkat(target, to, name) < 0 || fchownat(to, name, status->st_uid, status->st_gid, AT_SYMLINK_NOFOLLOW) < 0 ||
      utimensat(to, name, times, AT_SYMLINK_NOFOLLOW) < 0) {
    die("make the link %s", name);
  }
}

static void copy_entry(int from, const char *source, int to, const char *name, int depth) {
  struct stat status;
  if (fstatat(from, source, &status, AT_SYMLINK_NOFOLLOW) < 0) die("look at %s", source);
  if (S_ISDIR(status.st_mode)) copy_directory(from, source, to, name, depth);
  else if (S_ISREG(status.st_mode)) copy_file(from, source, to, name, &status);
  else if (S_ISLNK(status.st_mode)) copy_link(from, source, to, name, &status);
  else if (S_ISFIFO(status.st_mode)) {
    clear_place(to, name);
    if (mkfifoat(to, name, status.st_mode & 07777) < 0 || fchownat(to, name, status.st_uid, status.st_gid, 0) < 0) die("make the FIFO %s", name);
  }
  /* Sockets are of a process that is gone; devices are not made by tenants. */
}

/* `path` without slashes at its end; where its last part begins. */
static char *last_part(char *path) {
  for (size_t length = strlen(path); length > 1 && path[length - 1] == '/'; length -= 1) path[length - 1] = '\0';
  return strrchr(path, '/') + 1;
}

static void copy_one(const char *from_root, char *from_path, const char *to_root, char *to_path) {
  bool into = to_path[strlen(to_path) - 1] == '/';
  char target[4096];
  if (snprintf(target, sizeof target, "%s", to_path) >= (int)sizeof target) refuse("--to is too long");
  int present = open_at_root(to_root, target, O_PATH | O_DIRECTORY);
  if (present >= 0) close(present);
  char *source_name = last_part(from_path);
  char *name = source_name;
  if (!into && present < 0) {
    name = last_part(target);
    name[-1] = '\0';
  }
  int to = directory_in_root(to_root, into || present >= 0 ? target : (target[0] ? target : "/"));
  char parent[4096];
  snprintf(parent, sizeof parent, "%.*s", (int)(source_name - 1 - from_path), from_path);
  int from = open_at_root(from_root, parent[0] ? parent : "/", O_PATH | O_DIRECTORY);
  if (from < 0) die("open %s", parent);
  copy_entry(from, source_name, to, name, 0);
}

int command_copy(int argc, char **argv) {
  char *from_root = NULL, *from_path = NULL, *to_root = NULL, *to_path = NULL;
  for (int index = 1; index + 1 < argc; index += 2) {
    if (strcmp(argv[index], "--from") == 0) split_place(argv[index], argv[index + 1], &from_root, &from_path);
    else if (strcmp(argv[index], "--to") == 0) split_place(argv[index], argv[index + 1], &to_root, &to_path);
    else refuse("unknown option %s", argv[index]);
  }
  if (!from_root || !to_root) refuse("copy needs --from and --to");
  const struct rlimit limit = {.rlim_cur = descriptors, .rlim_max = descriptors};
  setrlimit(RLIMIT_NOFILE, &limit);
  umask(0);
  int source = open_at_root(from_root, from_path, O_RDONLY | O_DIRECTORY);
  if (source < 0 && errno == ENOENT) refuse("%s is not in the image that is copied from", from_path);
  if (source < 0) {
    copy_one(from_root, from_path, to_root, to_path);
    return 0;
  }
  /* Of a directory the contents; a target that the image does not have gets the directory's own owner and mode. */
  int present = open_at_root(to_root, to_path, O_PATH | O_DIRECTORY);
  int made = directory_in_root(to_root, to_path);
  char path[64];
  snprintf(path, sizeof path, "/proc/self/fd/%d/.", made);
  int target = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  struct stat status;
  if (target < 0 || fstat(source, &status) < 0) die("open %s", to_path);
  copy_children(source, target, 0);
  if (present < 0) copy_facts(source, target, &status);
  return 0;
}
