/*
 * Goes through the motions of a start without anything of a tenant: builds a task's root in memory, starts the task's init, runs the image's
 * node with the program that runs tasks, and takes everything away again. Under emulation the first pass through any code costs ten times the second, because it has to be
 * translated; a machine that waits for its run does that while nobody waits for it.
 *
 * Leaves nothing behind: the mounts live in a mount namespace of their own, the processes end with their pid namespace, the control groups
 * are removed.
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
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { rehearsal_limit_seconds = 60, empty_wait_ms = 2000 };

/* As a fresh process, because that is how the supervisor calls the tool. */
static void run_tool(char *const *arguments) {
  pid_t child = fork();
  if (child < 0) die("fork");
  if (child == 0) {
    int null = open("/dev/null", O_RDWR);
    /* 3 and 4 are the program's pipes: it finds their end at once and leaves. */
    for (int fd = 0; null >= 0 && fd <= 4; fd += 1) dup2(null, fd);
    alarm(rehearsal_limit_seconds);
    execv(TOOL_PATH, arguments);
    _exit(1);
  }
  waitpid(child, NULL, 0);
}

/* A group may only be left, and made again, once it is empty. */
static void remove_groups(void) {
  static const char *const leaves[] = {TASK_CGROUP "/init", TASK_CGROUP "/run"};
  int64_t deadline = monotonic_ns() + (int64_t)empty_wait_ms * 1000000;
  const struct timespec pause = {.tv_nsec = 1000000};
  for (size_t index = 0; index < ARRAY_LENGTH(leaves); index += 1) {
    while (rmdir(leaves[index]) < 0 && errno == EBUSY && monotonic_ns() < deadline) nanosleep(&pause, NULL);
  }
  if (write_text(TASK_CGROUP "/cgroup.subtree_control", "-cpu -memory -pids") < 0) die("give back the cgroup controllers");
}

/* In a process of its own: whoever starts the task's init has all later children in its pid namespace. */
static void make_root(void) {
  const struct task_root_request request = {.scratch = "tmpfs", .hostname = "rehearsal"};
  pid_t child = fork();
  if (child < 0) die("fork");
  if (child == 0) {
    build_task_root(&request);
    start_task_init();
    _exit(0);
  }
  int status;
  waitpid(child, &status, 0);
  if (!WIFEXITED(status) || WEXITSTATUS(status) != 0) _exit(1);
}

static void perform(void) {
  static char *const program[] = {"helmr-guest", "run", "--", "node", PROGRAM_PATH, NULL};
  static char *const bare_node[] = {"helmr-guest", "run", "--", "node", "--input-type=module", "-e", "import 'node:net'; console.log(process.pid)", NULL};
  char *const *arguments = access(PROGRAM_PATH, R_OK) == 0 ? program : bare_node;
  if (unshare(CLONE_NEWNS) < 0 || mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0) die("separate the mounts");
  make_root();
  if (setenv("PATH", "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", 1) < 0) die("set PATH");
  /* The second time the buffers of the first are there: what is left is what every start costs. */
  run_tool(arguments);
  run_tool(arguments);
  kill(task_init_pid(), SIGKILL);
}

int command_rehearse(int argc, char **argv) {
  (void)argv;
  if (argc != 1) refuse("rehearse takes no arguments");
  if (access(TASK_INIT_PID_FILE, F_OK) == 0) refuse("this machine is attached");
  pid_t child = fork();
  if (child < 0) die("fork");
  if (child == 0) {
    perform();
    _exit(0);
  }
  int status;
  waitpid(child, &status, 0);
  unlink(TASK_INIT_PID_FILE);
  remove_groups();
  return WIFEXITED(status) ? WEXITSTATUS(status) : 1;
}
