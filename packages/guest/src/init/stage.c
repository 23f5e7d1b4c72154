/*
 * Second half of PID 1, on the substrate: what every template holds before anything of a tenant exists.
 *
 *   mounts → image disk → warm page cache → zero free memory → relay, supervisor → reap for ever
 *
 * Relay: started again whenever it ends (its connections are lost, nothing else). Supervisor: its end is the end of the machine, because
 * a new one would know nothing of the processes of the old one. What ends badly is written to the console.
 */
#define _GNU_SOURCE
#include "helmr-guest.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/reboot.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { warm_limit_seconds = 60, sync_limit_seconds = 5, relay_restart_pause_ms = 100 };

static void mount_or_die(const char *type, const char *target, unsigned long flags, const char *options) {
  if (mount(type, target, type, flags, options) < 0) die("mount %s at %s", type, target);
}

static void mount_everything(void) {
  mount_or_die("tmpfs", "/run", MS_NOSUID | MS_NODEV, "mode=0755,size=32m");
  mount_or_die("tmpfs", "/tmp", MS_NOSUID | MS_NODEV, "mode=1777,size=64m");
  mount_or_die("cgroup2", CGROUP_ROOT, MS_NOSUID | MS_NODEV | MS_NOEXEC, NULL);
  if (mkdir(STATE_DIRECTORY, 0700) < 0) die("make %s", STATE_DIRECTORY);
  if (mkdir(SUPERVISOR_CGROUP, 0755) < 0 || mkdir(TASK_CGROUP, 0755) < 0) die("make cgroups");
  if (write_text(CGROUP_ROOT "/cgroup.subtree_control", "+cpu +memory +pids") < 0) die("enable cgroup controllers");
  if (mount(IMAGE_DEVICE, IMAGE_DIRECTORY, "ext4", MS_RDONLY | MS_NODEV, NULL) < 0) die("mount the image");
}

static void set_kernel_parameters(void) {
  static const struct {
    const char *path;
    const char *value;
  } parameters[] = {
      /* Every address is local to the relay's routes, so a ping would always succeed: better no answer than a wrong one. */
      {"/proc/sys/net/ipv4/icmp_echo_ignore_all", "1"},
      {"/proc/sys/net/ipv6/icmp/echo_ignore_all", "1"},
      {"/proc/sys/net/ipv4/ip_unprivileged_port_start", "0"},
      {"/proc/sys/kernel/core_pattern", "core"},
      {"/proc/sys/fs/inotify/max_user_watches", "524288"},
      {"/proc/sys/fs/inotify/max_user_instances", "1024"},
      {"/proc/sys/vm/max_map_count", "262144"},
  };
  for (size_t index = 0; index < ARRAY_LENGTH(parameters); index += 1) {
    if (write_text(parameters[index].path, parameters[index].value) < 0) warn("set %s", parameters[index].path);
  }
}

/* Waits for one child, killing it when the limit is over; other children are reaped on the way. */
static int wait_limited(pid_t child, int limit_seconds) {
  int64_t deadline = monotonic_ns() + (int64_t)limit_seconds * 1000000000;
  const struct timespec pause = {.tv_nsec = 2000000};
  bool killed = false;
  for (;;) {
    int status;
    pid_t ended = waitpid(-1, &status, WNOHANG);
    if (ended == child) return status;
    if (ended < 0 && errno == ECHILD) return -1;
    if (ended > 0) continue;
    if (!killed && monotonic_ns() > deadline) {
      kill(child, SIGKILL);
      killed = true;
    }
    nanosleep(&pause, NULL);
  }
}

/* Runs the image's node once, so that its binary and libraries are in the page cache of every clone. An image without node is fine. */
static void warm_image(void) {
  pid_t child = fork();
  if (child < 0) die("fork");
  if (child == 0) {
    static char *const arguments[] = {"node", "--input-type=module", "-e", "import 'node:fs/promises'; import 'node:crypto'; import 'node:net'; import 'node:child_process'", NULL};
    static char *const environment[] = {"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "HOME=/", NULL};
    int null = open("/dev/null", O_RDWR);
    if (null < 0 || unshare(CLONE_NEWNS) < 0 || chroot(IMAGE_DIRECTORY) < 0 || chdir("/") < 0) _exit(1);
    mount("proc", "/proc", "proc", MS_RDONLY, NULL);
    for (int fd = 0; fd <= 2; fd += 1) dup2(null, fd);
    execvpe(arguments[0], arguments, environment);
    _exit(1);
  }
  wait_limited(child, warm_limit_seconds);
}

static pid_t start_relay(void) {
  pid_t child = fork();
  if (child < 0) die("fork");
  if (child > 0) return child;
  join_cgroup(SUPERVISOR_CGROUP);
  set_oom_score(-1000);
  execl(TOOL_PATH, "helmr-guest", "relay", NULL);
  die("run the relay");
}

static pid_t start_supervisor(void) {
  pid_t child = fork();
  if (child < 0) die("fork");
  if (child > 0) return child;
  static char *const arguments[] = {NODE_PATH, SUPERVISOR_PATH, NULL};
  static char *const environment[] = {
      "PATH=" HELMR_BIN, "HOME=/run/helmr", "LANG=C.UTF-8", "HELMR_CONTROL_DEVICE=" CONTROL_DEVICE, "HELMR_GUEST_TOOL=" TOOL_PATH, NULL,
  };
  setsid();
  join_cgroup(SUPERVISOR_CGROUP);
  set_oom_score(-1000);
  int null = open("/dev/null", O_RDONLY);
  if (null >= 0) dup2(null, STDIN_FILENO);
  execve(NODE_PATH, arguments, environment);
  die("run the supervisor");
}

static void sync_limited(void) {
  pid_t child = fork();
  if (child == 0) {
    sync();
    _exit(0);
  }
  if (child > 0) wait_limited(child, sync_limit_seconds);
}

static _Noreturn void power_off(void) {
  /* A frozen file system never syncs; then the machine ends without it. */
  sync_limited();
  reboot(RB_POWER_OFF);
  die("power off");
}

static void report_end(const char *who, int status) {
  if (WIFSIGNALED(status)) fprintf(stderr, "helmr-guest init: the %s was killed by signal %d\n", who, WTERMSIG(status));
  else fprintf(stderr, "helmr-guest init: the %s ended with code %d\n", who, WEXITSTATUS(status));
}

static void allow_many_files(void) {
  const struct rlimit files = {.rlim_cur = 65536, .rlim_max = 1048576};
  const struct rlimit core = {.rlim_cur = 0, .rlim_max = RLIM_INFINITY};
  if (setrlimit(RLIMIT_NOFILE, &files) < 0 || setrlimit(RLIMIT_CORE, &core) < 0) warn("set limits");
}

void supervise_machine(void) {
  subcommand = "init";
  umask(022);
  mount_everything();
  set_kernel_parameters();
  allow_many_files();
  if (sethostname("helmr", 5) < 0) warn("set the hostname");
  warm_image();
  scrub_free_memory();
  pid_t relay = start_relay();
  pid_t supervisor = start_supervisor();
  for (;;) {
    int status;
    pid_t ended = waitpid(-1, &status, 0);
    if (ended < 0 && errno == EINTR) continue;
    if (ended < 0) die("wait for children");
    if (ended == relay) {
      report_end("relay", status);
      const struct timespec pause = {.tv_nsec = relay_restart_pause_ms * 1000000};
      nanosleep(&pause, NULL);
      relay = start_relay();
    }
    if (ended == supervisor) {
      report_end("supervisor", status);
      power_off();
    }
  }
}
