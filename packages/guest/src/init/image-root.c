/*
 * The root of a step of an image build: the image's disk itself, written to. What a running system needs in it (mount points, names of the
 * network) must not stay: files are bound over the image's own, what had to be made is remembered and removed by `leave-root`.
 *
 *   /run/helmr/etc/NAME   what is bound over /etc/NAME        /run/helmr/made   one line per made thing: `f PATH` or `d PATH`
 */
#define _GNU_SOURCE
#include "helmr-guest.h"
#include "in-root.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

static const char root[] = TASK_DIRECTORY;
static const char made_file[] = STATE_DIRECTORY "/made";
static const char disk_options[] = "noauto_da_alloc";
enum { made_bytes_max = 4096, made_lines_max = 32 };

static void remember(char kind, const char *path) {
  FILE *file = fopen(made_file, "ae");
  if (!file || fprintf(file, "%c %s\n", kind, path) < 0 || fclose(file) != 0) die("remember %s", path);
}

static void make_mount_point(const char *path) {
  int found = find_in_root(root, path, O_PATH | O_DIRECTORY);
  if (found < 0) {
    remember('d', path);
    found = directory_in_root(root, path);
  }
  close(found);
}

/* Over the image's own file, also behind a link; a link that leads nowhere is left as it is. */
static void bind_file(const char *name, const char *content) {
  char path[64], kept[64], target[64];
  snprintf(path, sizeof path, "/etc/%s", name);
  snprintf(kept, sizeof kept, STATE_DIRECTORY "/etc/%s", name);
  FILE *file = fopen(kept, "we");
  if (!file || fputs(content, file) < 0 || fclose(file) != 0) die("write %s", kept);
  int found = find_in_root(root, path, O_PATH);
  if (found < 0) {
    int parent = directory_in_root(root, "/etc");
    int created = openat(parent, name, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0644);
    close(parent);
    if (created < 0 && errno == EEXIST) return;
    if (created < 0) die("make %s", path);
    close(created);
    remember('f', path);
    found = find_in_root(root, path, O_PATH);
  }
  snprintf(target, sizeof target, "/proc/self/fd/%d", found);
  if (found < 0 || mount(kept, target, NULL, MS_BIND, NULL) < 0) die("bind %s", path);
  close(found);
}

static void bind_network_files(const char *hostname) {
  char text[512];
  make_mount_point("/etc");
  if (mkdir(STATE_DIRECTORY "/etc", 0755) < 0 && errno != EEXIST) die("make " STATE_DIRECTORY "/etc");
  snprintf(text, sizeof text, "127.0.0.1 localhost\n127.0.1.1 %s\n::1 localhost ip6-localhost ip6-loopback\n", hostname);
  bind_file("hosts", text);
  snprintf(text, sizeof text, "%s\n", hostname);
  bind_file("hostname", text);
  bind_file("resolv.conf", "nameserver " DNS_ADDRESS "\noptions timeout:10 attempts:2\n");
}

static void mount_caches(const struct task_root_request *request) {
  for (size_t index = 0; index < request->extra_count; index += 1) {
    const struct mount_request *cache = &request->extra[index];
    mount_in_root(root, cache->path, cache->device, "ext4", MS_NODEV, disk_options);
    if (!request->workspace_owner) continue;
    int directory = directory_in_root(root, cache->path);
    struct account owner;
    char problem[256];
    if (!find_account(root, request->workspace_owner, &owner, problem)) refuse("--workspace-owner: %s", problem);
    if (owner.uid != 0 && fchownat(directory, "", owner.uid, owner.gid, AT_EMPTY_PATH) < 0) die("give %s to its user", cache->path);
    close(directory);
  }
}

void build_image_root(const struct task_root_request *request) {
  static const char *const points[] = {"/dev", "/proc", "/sys", "/run", "/opt", "/opt/helmr"};
  if (mount(request->workspace.device, root, "ext4", MS_NODEV, disk_options) < 0) die("mount the image's disk");
  for (size_t index = 0; index < ARRAY_LENGTH(points); index += 1) make_mount_point(points[index]);
  make_devices();
  mount_in_root(root, "/sys", "sysfs", "sysfs", MS_NOSUID | MS_NODEV | MS_NOEXEC | MS_RDONLY, NULL);
  mount_in_root(root, "/run", "tmpfs", "tmpfs", MS_NOSUID | MS_NODEV, "mode=0755,size=20%");
  mount_in_root(root, "/opt/helmr", "/opt/helmr", NULL, MS_BIND, NULL);
  bind_network_files(request->hostname ? request->hostname : "helmr");
  mount_caches(request);
  if (!request->task) return;
  if (mkdir(COPY_SOURCE_DIRECTORY, 0700) < 0 && errno != EEXIST) die("make " COPY_SOURCE_DIRECTORY);
  if (mount(request->task, COPY_SOURCE_DIRECTORY, "ext4", MS_RDONLY | MS_NODEV | MS_NOSUID, "noload") < 0) die("mount %s", request->task);
}

/* The step may have put a link in the way: what is behind one was not made by us and stays. */
static void take_away(char kind, const char *path) {
  char parent[4096];
  snprintf(parent, sizeof parent, "%s", path);
  char *name = strrchr(parent, '/');
  *name = '\0';
  name += 1;
  int directory = open(root, O_PATH | O_DIRECTORY | O_CLOEXEC);
  struct open_how how = {.flags = O_PATH | O_DIRECTORY | O_CLOEXEC, .resolve = RESOLVE_IN_ROOT | RESOLVE_NO_SYMLINKS};
  int found = (int)syscall(SYS_openat2, directory, parent[0] ? parent : "/", &how, sizeof how);
  close(directory);
  if (found < 0) return;
  char target[64 + 256];
  snprintf(target, sizeof target, "/proc/self/fd/%d/%s", found, name);
  umount2(target, MNT_DETACH | UMOUNT_NOFOLLOW);
  struct stat status;
  /* A file that the step filled after all is the step's. */
  bool ours = fstatat(found, name, &status, AT_SYMLINK_NOFOLLOW) == 0 && (kind == 'd' ? S_ISDIR(status.st_mode) : S_ISREG(status.st_mode) && status.st_size == 0);
  if (ours && unlinkat(found, name, kind == 'd' ? AT_REMOVEDIR : 0) < 0 && errno != ENOTEMPTY && errno != ENOENT) warn("remove %s: %s", path, strerror(errno));
  close(found);
}

int command_leave_root(int argc, char **argv) {
  static const char *const mounts[] = {"/opt/helmr", "/run", "/sys", "/dev/shm", "/dev/pts", "/dev", "/etc/hosts", "/etc/hostname", "/etc/resolv.conf"};
  char text[made_bytes_max], *lines[made_lines_max];
  size_t count = 0;
  (void)argv;
  if (argc != 1) refuse("leave-root takes no arguments");
  for (size_t index = 0; index < ARRAY_LENGTH(mounts); index += 1) {
    int found = find_in_root(root, mounts[index], O_PATH);
    char target[64];
    snprintf(target, sizeof target, "/proc/self/fd/%d", found);
    if (found >= 0) umount2(target, MNT_DETACH);
    if (found >= 0) close(found);
  }
  if (read_text(made_file, text, sizeof text) <= 0) return 0;
  for (char *line = strtok(text, "\n"); line && count < made_lines_max; line = strtok(NULL, "\n")) {
    lines[count] = line;
    count += 1;
  }
  while (count > 0) {
    count -= 1;
    take_away(lines[count][0], lines[count] + 2);
  }
  return 0;
}
