/* Standing still for a cut: processes of a cgroup first, then their file systems; and back in the opposite order. */
#define _GNU_SOURCE
#include "helmr-guest.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

enum { freeze_limit_ms = 5000 };

static int set_cgroup_frozen(const char *cgroup, const char *value) {
  char path[4096];
  snprintf(path, sizeof path, "%s/cgroup.freeze", cgroup);
  return write_text(path, value);
}

/* cgroup.events says `frozen 1` once the last process stands; the file is pollable. */
static bool wait_frozen(const char *cgroup) {
  char path[4096];
  snprintf(path, sizeof path, "%s/cgroup.events", cgroup);
  int fd = open(path, O_RDONLY | O_CLOEXEC);
  if (fd < 0) return false;
  int64_t deadline = monotonic_ns() + (int64_t)freeze_limit_ms * 1000000;
  bool frozen = false;
  while (!frozen) {
    char text[256] = "";
    ssize_t length = pread(fd, text, sizeof text - 1, 0);
    frozen = length > 0 && strstr(text, "frozen 1") != NULL;
    int64_t left_ms = (deadline - monotonic_ns()) / 1000000;
    if (frozen || left_ms <= 0) break;
    struct pollfd wait = {.fd = fd, .events = POLLPRI};
    poll(&wait, 1, (int)left_ms);
  }
  close(fd);
  if (!frozen) errno = ETIMEDOUT;
  return frozen;
}

static int with_directory(const char *path, int (*act)(int fd)) {
  int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (fd < 0) return -1;
  int result = act(fd);
  int reason = errno;
  close(fd);
  errno = reason;
  return result;
}

static int freeze_file_system(int fd) {
  return syncfs(fd) < 0 ? -1 : ioctl(fd, FIFREEZE, 0);
}

static int thaw_file_system(int fd) {
  return ioctl(fd, FITHAW, 0);
}

bool thaw_paths(char *const *paths, size_t count, const char *cgroup) {
  bool complete = true;
  for (size_t index = count; index > 0; index -= 1) {
    /* EINVAL: it was not frozen. */
    if (with_directory(paths[index - 1], thaw_file_system) < 0 && errno != EINVAL) {
      warn("thaw %s", paths[index - 1]);
      complete = false;
    }
  }
  if (cgroup && set_cgroup_frozen(cgroup, "0") < 0) {
    warn("thaw the cgroup %s", cgroup);
    complete = false;
  }
  return complete;
}

/* Takes `--cgroup DIR` off the front; the rest are paths. */
static const char *take_cgroup(int *argc, char ***argv) {
  *argc -= 1;
  *argv += 1;
  if (*argc < 1 || strcmp((*argv)[0], "--cgroup") != 0) return NULL;
  if (*argc < 2) refuse("--cgroup needs a directory");
  const char *cgroup = (*argv)[1];
  *argc -= 2;
  *argv += 2;
  return cgroup;
}

int command_freeze(int argc, char **argv) {
  const char *cgroup = take_cgroup(&argc, &argv);
  if (cgroup && (set_cgroup_frozen(cgroup, "1") < 0 || !wait_frozen(cgroup))) {
    int reason = errno;
    set_cgroup_frozen(cgroup, "0");
    errno = reason;
    die("freeze the cgroup %s", cgroup);
  }
  for (int index = 0; index < argc; index += 1) {
    /* EBUSY: it is frozen already. */
    if (with_directory(argv[index], freeze_file_system) == 0 || errno == EBUSY) continue;
    int reason = errno;
    thaw_paths(argv, (size_t)index, cgroup);
    errno = reason;
    die("freeze %s", argv[index]);
  }
  return 0;
}

/* Only this process knows that it is frozen: whatever becomes of the others, it thaws when they hang up or time is up. */
int command_hold(int argc, char **argv) {
  if (argc != 3) refuse("hold needs a limit in milliseconds and a path");
  int limit_ms = (int)parse_number("the limit", argv[1], 60000);
  int fd = open(argv[2], O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (fd < 0) die("open %s", argv[2]);
  /* What takes long comes first: the freeze then finds little to write. */
  if (syncfs(fd) < 0) die("sync %s", argv[2]);
  int64_t from = monotonic_ns();
  if (ioctl(fd, FIFREEZE, 0) < 0) die("freeze %s", argv[2]);
  bool told = write(STDOUT_FILENO, "still\n", 6) == 6;
  struct pollfd release = {.fd = STDIN_FILENO, .events = POLLIN};
  bool late = told && poll(&release, 1, limit_ms) == 0;
  if (ioctl(fd, FITHAW, 0) < 0 && errno != EINVAL) die("thaw %s", argv[2]);
  printf("%s %lld\n", late ? "late" : "held", (long long)((monotonic_ns() - from) / 1000));
  return 0;
}

int command_thaw(int argc, char **argv) {
  const char *cgroup = take_cgroup(&argc, &argv);
  return thaw_paths(argv, (size_t)argc, cgroup) ? 0 : 1;
}

/* Tells the device which blocks are free. */
static int trim_file_system(int fd) {
  struct fstrim_range range = {.len = UINT64_MAX, .minlen = 65536};
  return ioctl(fd, FITRIM, &range);
}

int command_trim(int argc, char **argv) {
  if (argc < 2) refuse("trim needs at least one path");
  for (int index = 1; index < argc; index += 1) {
    if (with_directory(argv[index], trim_file_system) < 0) die("trim %s", argv[index]);
  }
  return 0;
}

int command_sync(int argc, char **argv) {
  if (argc < 2) refuse("sync needs at least one path");
  for (int index = 1; index < argc; index += 1) {
    if (with_directory(argv[index], syncfs) < 0) die("sync %s", argv[index]);
  }
  return 0;
}
