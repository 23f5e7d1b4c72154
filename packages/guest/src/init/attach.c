/*
 * Makes a restored machine this machine: time, randomness, name, network, disks. Runs before any process of a tenant, or, with --resumed,
 * before they go on. The order matters: nothing may draw randomness before the reseed, nothing may open a connection before the reset.
 */
#define _GNU_SOURCE
#include "helmr-guest.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/random.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

enum { entropy_bytes_min = 64, entropy_bytes_max = 512, relay_answer_seconds = 2, task_memory_reserve_kib = 65536 };

struct attach_request {
  const char *clock;
  const char *hostname;
  const char *network;
  bool entropy;
  bool resumed;
  char *thaw[8];
  size_t thaw_count;
  const char *thaw_cgroup;
  struct task_root_request root;
};

static void set_clock(char *text) {
  char *at = strchr(text, '@');
  if (at) *at = '\0';
  int64_t unix_us = parse_number("--clock", text, INT64_MAX / 1000);
  int64_t read_ns = at ? parse_number("--clock", at + 1, INT64_MAX) : monotonic_ns();
  int64_t now_ns = unix_us * 1000 + (monotonic_ns() - read_ns);
  const struct timespec now = {.tv_sec = now_ns / 1000000000, .tv_nsec = now_ns % 1000000000};
  if (clock_settime(CLOCK_REALTIME, &now) < 0) die("set the clock");
}

static void reseed(void) {
  union {
    struct rand_pool_info info;
    uint8_t memory[sizeof(struct rand_pool_info) + entropy_bytes_max];
  } pool;
  uint8_t *bytes = pool.memory + offsetof(struct rand_pool_info, buf);
  size_t length = 0;
  for (;;) {
    ssize_t count = read(STDIN_FILENO, bytes + length, entropy_bytes_max - length);
    if (count < 0 && errno == EINTR) continue;
    if (count < 0) die("read entropy");
    length += (size_t)count;
    if (count == 0 || length == entropy_bytes_max) break;
  }
  if (length < entropy_bytes_min) refuse("--entropy needs at least %d bytes on stdin, got %zu", entropy_bytes_min, length);
  pool.info.entropy_count = (int)length * 8;
  pool.info.buf_size = (int)length;
  int fd = open("/dev/urandom", O_RDONLY | O_CLOEXEC);
  if (fd < 0 || ioctl(fd, RNDADDENTROPY, &pool) < 0 || ioctl(fd, RNDRESEEDCRNG) < 0) die("reseed the kernel");
  close(fd);
  explicit_bzero(&pool, sizeof pool);
}

/* The relay forgets every connection and announces itself again on its port; it answers when that is done. */
static void reset_network(const char *mode) {
  int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  const struct sockaddr_un own = {.sun_family = AF_UNIX};
  const struct timeval limit = {.tv_sec = relay_answer_seconds};
  struct sockaddr_un relay = {.sun_family = AF_UNIX, .sun_path = RELAY_SOCKET};
  char answer[8];
  if (fd < 0) die("reach the relay");
  /* An autobind address, so that the relay can answer. */
  if (bind(fd, (const struct sockaddr *)&own, sizeof own.sun_family) < 0 || setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit) < 0 ||
      connect(fd, (struct sockaddr *)&relay, sizeof relay) < 0 || send(fd, mode, strlen(mode), 0) < 0 || recv(fd, answer, sizeof answer, 0) < 0) {
    die("reset the network relay");
  }
  close(fd);
}

/* What tenants may use: everything but a reserve for supervisor and relay. */
static void limit_task_memory(void) {
  char text[4096];
  const char *line = read_text("/proc/meminfo", text, sizeof text) > 0 ? strstr(text, "MemTotal:") : NULL;
  if (!line) die("read /proc/meminfo");
  unsigned long long total = strtoull(line + strlen("MemTotal:"), NULL, 10);
  if (total <= task_memory_reserve_kib) return;
  snprintf(text, sizeof text, "%llu", (total - task_memory_reserve_kib) * 1024);
  if (write_text(TASK_CGROUP "/memory.max", text) < 0) die("limit the memory of the task");
}

static struct mount_request parse_mount(const char *option, char *text) {
  struct mount_request mount = {.device = text};
  char *separator = strchr(text, ':');
  if (!separator || separator[1] != '/') refuse("%s must be DEVICE:/PATH, not \"%s\"", option, text);
  *separator = '\0';
  mount.path = separator + 1;
  size_t length = strlen(mount.path);
  if (length > 3 && strcmp(mount.path + length - 3, ":ro") == 0) {
    separator[1 + length - 3] = '\0';
    mount.read_only = true;
  }
  return mount;
}

/* One option that takes a value; false when it is not one of those. */
static bool take_value(struct attach_request *request, const char *option, char *value) {
  if (strcmp(option, "--clock") == 0) request->clock = value;
  else if (strcmp(option, "--hostname") == 0) request->hostname = value;
  else if (strcmp(option, "--network") == 0) request->network = value;
  else if (strcmp(option, "--thaw-cgroup") == 0) request->thaw_cgroup = value;
  else if (strcmp(option, "--scratch") == 0) request->root.scratch = value;
  else if (strcmp(option, "--workspace") == 0) request->root.workspace = parse_mount(option, value);
  else if (strcmp(option, "--workspace-owner") == 0) request->root.workspace_owner = value;
  else if (strcmp(option, "--task") == 0) request->root.task = value;
  else if (strcmp(option, "--thaw") == 0) {
    if (request->thaw_count == ARRAY_LENGTH(request->thaw)) refuse("more than %zu --thaw", ARRAY_LENGTH(request->thaw));
    request->thaw[request->thaw_count] = value;
    request->thaw_count += 1;
  } else if (strcmp(option, "--mount") == 0) {
    if (request->root.extra_count == ARRAY_LENGTH(request->root.extra)) refuse("more than %zu --mount", ARRAY_LENGTH(request->root.extra));
    request->root.extra[request->root.extra_count] = parse_mount(option, value);
    request->root.extra_count += 1;
  } else return false;
  return true;
}

static void parse_attach(struct attach_request *request, int argc, char **argv) {
  for (int index = 1; index < argc; index += 1) {
    if (strcmp(argv[index], "--entropy") == 0) request->entropy = true;
    else if (strcmp(argv[index], "--resumed") == 0) request->resumed = true;
    else {
      if (index + 1 >= argc) refuse("%s needs a value", argv[index]);
      if (!take_value(request, argv[index], argv[index + 1])) refuse("unknown option %s", argv[index]);
      index += 1;
    }
  }
  bool disks = request->root.scratch || request->root.workspace.device || request->root.task || request->root.extra_count > 0;
  if (request->resumed && disks) refuse("--resumed takes no disks: they are mounted already");
  if (!request->resumed && !request->root.scratch) refuse("--scratch is missing");
  if (request->network && strcmp(request->network, "on") != 0 && strcmp(request->network, "off") != 0) refuse("--network must be on or off");
}

int command_attach(int argc, char **argv) {
  struct attach_request request = {0};
  parse_attach(&request, argc, argv);
  if (request.clock) set_clock((char *)request.clock);
  if (request.entropy) reseed();
  if (request.hostname && sethostname(request.hostname, strlen(request.hostname)) < 0) die("set the hostname");
  if (request.network) reset_network(request.network);
  if (request.resumed) return thaw_paths(request.thaw, request.thaw_count, request.thaw_cgroup) ? 0 : 1;
  request.root.hostname = request.hostname;
  build_task_root(&request.root);
  limit_task_memory();
  start_task_init();
  return 0;
}
