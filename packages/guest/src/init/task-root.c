/*
 * The root file system and the namespaces in which everything of a tenant runs.
 *
 *   /task = overlay(image disk below, scratch disk above) + proc sys dev run, the workspace, the task's files, /opt/helmr
 *
 * The mounts are made in the supervisor's mount namespace, so that it reaches the files below /task; the task's init then takes a mount
 * namespace of its own with /task as its root. Processes of a tenant are in pid and cgroup namespaces too: they cannot see, signal or trace
 * the supervisor by accident (`pkill node`). This is no security boundary: the machine's is.
 */
#define _GNU_SOURCE
#include "helmr-guest.h"
#include "in-root.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <sys/wait.h>
#include <unistd.h>

static const char root[] = TASK_DIRECTORY;
static const char dependencies[] = "/opt/helmr-task/node_modules";
/*
 * No discards while running (one request per freed extent, slow under emulation): `trim` gives blocks back.
 *
 * Scratch has no barriers: it ends with its machine. What outlives it has them, although the host never flushes to its disk: an overlay's tables
 * are in the monitor's memory until the guest asks for a flush, and a monitor that is killed would leave a file system without them.
 */
static const char scratch_options[] = "barrier=0,noauto_da_alloc";
static const char disk_options[] = "noauto_da_alloc";

static void mount_overlay(const char *scratch) {
  static const char layers[] = "lowerdir=" IMAGE_DIRECTORY ",upperdir=" SCRATCH_DIRECTORY "/upper,workdir=" SCRATCH_DIRECTORY "/work,xino=off";
  bool tmpfs = strcmp(scratch, "tmpfs") == 0;
  if (mount(scratch, SCRATCH_DIRECTORY, tmpfs ? "tmpfs" : "ext4", MS_NODEV, tmpfs ? "size=75%,mode=0700" : scratch_options) < 0) {
    die("mount %s at " SCRATCH_DIRECTORY, scratch);
  }
  if (mkdir(SCRATCH_DIRECTORY "/upper", 0755) < 0 && errno != EEXIST) die("make the upper layer");
  if (mkdir(SCRATCH_DIRECTORY "/work", 0700) < 0 && errno != EEXIST) die("make the work directory");
  if (mount("overlay", root, "overlay", MS_NODEV, layers) < 0) die("mount the overlay");
}

void make_devices(void) {
  static const struct {
    const char *path;
    unsigned major;
    unsigned minor;
  } devices[] = {
      {TASK_DIRECTORY "/dev/null", 1, 3},   {TASK_DIRECTORY "/dev/zero", 1, 5},    {TASK_DIRECTORY "/dev/full", 1, 7},
      {TASK_DIRECTORY "/dev/random", 1, 8}, {TASK_DIRECTORY "/dev/urandom", 1, 9}, {TASK_DIRECTORY "/dev/tty", 5, 0},
  };
  static const struct {
    const char *path;
    const char *target;
  } links[] = {
      {TASK_DIRECTORY "/dev/ptmx", "pts/ptmx"},           {TASK_DIRECTORY "/dev/fd", "/proc/self/fd"},         {TASK_DIRECTORY "/dev/stdin", "/proc/self/fd/0"},
      {TASK_DIRECTORY "/dev/stdout", "/proc/self/fd/1"}, {TASK_DIRECTORY "/dev/stderr", "/proc/self/fd/2"},
  };
  mount_in_root(root, "/dev", "tmpfs", "tmpfs", MS_NOSUID | MS_NOEXEC, "mode=0755,size=1m");
  for (size_t index = 0; index < ARRAY_LENGTH(devices); index += 1) {
    if (mknod(devices[index].path, S_IFCHR | 0666, makedev(devices[index].major, devices[index].minor)) < 0) die("make %s", devices[index].path);
    if (chmod(devices[index].path, 0666) < 0) die("open %s to everybody", devices[index].path);
  }
  for (size_t index = 0; index < ARRAY_LENGTH(links); index += 1) {
    if (symlink(links[index].target, links[index].path) < 0) die("make %s", links[index].path);
  }
  mount_in_root(root, "/dev/pts", "devpts", "devpts", MS_NOSUID | MS_NOEXEC, "newinstance,ptmxmode=0666,mode=0620");
  mount_in_root(root, "/dev/shm", "tmpfs", "tmpfs", MS_NOSUID | MS_NODEV, "mode=1777,size=50%");
}

static void write_network_files(const char *hostname) {
  char text[512];
  snprintf(text, sizeof text, "127.0.0.1 localhost\n127.0.1.1 %s\n::1 localhost ip6-localhost ip6-loopback\n", hostname);
  write_in_root(root, "/etc/hosts", text, 0644);
  snprintf(text, sizeof text, "%s\n", hostname);
  write_in_root(root, "/etc/hostname", text, 0644);
  write_in_root(root, "/etc/resolv.conf", "nameserver " DNS_ADDRESS "\noptions timeout:10 attempts:2\n", 0644);
}

static void mount_workspace(const struct task_root_request *request) {
  const struct mount_request *workspace = &request->workspace;
  if (!workspace->device) return;
  mount_in_root(root, workspace->path, workspace->device, "ext4", MS_NODEV, disk_options);
  if (!request->workspace_owner) return;
  int directory = directory_in_root(root, workspace->path);
  struct stat status;
  if (fstat(directory, &status) < 0) die("look at %s", workspace->path);
  struct account owner;
  char problem[256];
  if (!find_account(root, request->workspace_owner, &owner, problem)) refuse("--workspace-owner: %s", problem);
  if (status.st_uid == 0 && owner.uid != 0 && fchownat(directory, "", owner.uid, owner.gid, AT_EMPTY_PATH) < 0) die("give %s to its user", workspace->path);
  close(directory);
}

/* Dependencies that the image has installed itself count more than those of the deployment (sdk §8.1); nothing there is nothing. */
static int own_dependencies(void) {
  int found = find_in_root(root, dependencies, O_PATH | O_DIRECTORY);
  if (found < 0) return -1;
  int listed = openat(found, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  DIR *directory = listed < 0 ? NULL : fdopendir(listed);
  int entries = 0;
  while (directory && entries <= 2 && readdir(directory)) entries += 1;
  if (directory) closedir(directory);
  if (entries > 2) return found;
  close(found);
  return -1;
}

static void mount_task_tree(const char *device) {
  int own = own_dependencies();
  /* The disk may be smaller than what the guest believes (a read-only device is never resized): nothing may write or replay a journal. */
  mount_in_root(root, "/opt/helmr-task", device, "ext4", MS_RDONLY | MS_NODEV | MS_NOSUID, "noload");
  if (own < 0) return;
  char source[64];
  snprintf(source, sizeof source, "/proc/self/fd/%d", own);
  mount_in_root(root, dependencies, source, NULL, MS_BIND, NULL);
  close(own);
}

void build_task_root(const struct task_root_request *request) {
  if (request->workspace.device && strcmp(request->workspace.path, "/") == 0) {
    build_image_root(request);
    return;
  }
  mount_overlay(request->scratch);
  make_devices();
  /* Mounted by the task's init, inside its pid namespace. */
  close(directory_in_root(root, "/proc"));
  mount_in_root(root, "/sys", "sysfs", "sysfs", MS_NOSUID | MS_NODEV | MS_NOEXEC | MS_RDONLY, NULL);
  mount_in_root(root, "/run", "tmpfs", "tmpfs", MS_NOSUID | MS_NODEV, "mode=0755,size=20%");
  mount_in_root(root, "/opt/helmr", "/opt/helmr", NULL, MS_BIND, NULL);
  write_network_files(request->hostname ? request->hostname : "helmr");
  mount_workspace(request);
  if (request->task) mount_task_tree(request->task);
  for (size_t index = 0; index < request->extra_count; index += 1) {
    const struct mount_request *extra = &request->extra[index];
    mount_in_root(root, extra->path, extra->device, "ext4", MS_NODEV | (extra->read_only ? MS_RDONLY : 0), extra->read_only ? "noload" : disk_options);
  }
}

/* In the new namespaces: /task becomes the root, /proc and the cgroup tree show what is inside only. */
static void enter_task_root(void) {
  if (mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0) die("separate the mounts");
  if (chdir(root) < 0 || syscall(SYS_pivot_root, ".", ".") < 0 || umount2(".", MNT_DETACH) < 0 || chdir("/") < 0) die("enter the task's root");
  if (mount("proc", "/proc", "proc", MS_NOSUID | MS_NODEV | MS_NOEXEC, NULL) < 0) die("mount /proc");
  if (mount("cgroup2", "/sys/fs/cgroup", "cgroup2", MS_NOSUID | MS_NODEV | MS_NOEXEC | MS_RDONLY, NULL) < 0) die("mount the cgroup tree");
}

static _Noreturn void reap_for_ever(void) {
  static const char name[] = "init";
  prctl(PR_SET_NAME, name);
  sigset_t all;
  sigfillset(&all);
  sigprocmask(SIG_SETMASK, &all, NULL);
  sigset_t children;
  sigemptyset(&children);
  sigaddset(&children, SIGCHLD);
  for (;;) {
    while (waitpid(-1, NULL, WNOHANG) > 0) continue;
    sigwaitinfo(&children, NULL);
  }
}

static _Noreturn void be_task_init(int ready) {
  /* The cgroup namespace is rooted where the process is when it is made; only then may it move into a leaf. */
  join_cgroup(TASK_CGROUP);
  if (unshare(CLONE_NEWCGROUP | CLONE_NEWNS) < 0) die("make namespaces");
  if (mkdir(TASK_CGROUP "/init", 0755) < 0 && errno != EEXIST) die("make the cgroup of init");
  join_cgroup(TASK_CGROUP "/init");
  if (write_text(TASK_CGROUP "/cgroup.subtree_control", "+cpu +memory +pids") < 0) die("enable cgroup controllers");
  setsid();
  enter_task_root();
  int null = open("/dev/null", O_RDWR);
  for (int fd = 0; fd <= 2; fd += 1) dup2(null, fd);
  if (write(ready, "+", 1) != 1) _exit(1);
  close_range(3, ~0U, 0);
  reap_for_ever();
}

void start_task_init(void) {
  int ready[2];
  if (pipe2(ready, O_CLOEXEC) < 0) die("pipe");
  if (unshare(CLONE_NEWPID) < 0) die("make a pid namespace");
  pid_t child = fork();
  if (child < 0) die("fork");
  if (child == 0) be_task_init(ready[1]);
  close(ready[1]);
  char byte;
  if (read(ready[0], &byte, 1) != 1) {
    waitpid(child, NULL, 0);
    refuse("the task's init did not start");
  }
  close(ready[0]);
  char text[16];
  snprintf(text, sizeof text, "%d", child);
  if (write_text(TASK_INIT_PID_FILE, text) < 0) die("write " TASK_INIT_PID_FILE);
}

pid_t task_init_pid(void) {
  char text[16];
  if (read_text(TASK_INIT_PID_FILE, text, sizeof text) < 0) die("find the task's init (attach comes first)");
  return (pid_t)parse_number(TASK_INIT_PID_FILE, text, 4194304);
}

int enter_task_namespaces(void) {
  int init = (int)syscall(SYS_pidfd_open, task_init_pid(), 0);
  if (init < 0) return -1;
  int result = setns(init, CLONE_NEWNS | CLONE_NEWPID | CLONE_NEWCGROUP);
  close(init);
  return result;
}
