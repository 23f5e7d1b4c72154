/*
 * First half of PID 1, on the initramfs: load modules, wait for the devices, move to the substrate disk.
 *
 * Kernel command line: `helmr.probe` ends the machine at once through the debug exit port (the KVM probe: a kernel that comes this far works).
 */
#define _GNU_SOURCE
#include "helmr-guest.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/io.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

enum { device_wait_ms = 20000, probe_port = 0xf4, probe_value = 0x2a };

static bool command_line_has(const char *word) {
  char line[4096];
  if (read_text("/proc/cmdline", line, sizeof line) < 0) return false;
  for (char *part = strtok(line, " \n"); part; part = strtok(NULL, " \n")) {
    if (strcmp(part, word) == 0) return true;
  }
  return false;
}

/* /modules/order names one file per line; dependencies come first. */
static void load_modules(void) {
  char order[4096];
  if (read_text("/modules/order", order, sizeof order) < 0) die("read /modules/order");
  for (char *name = strtok(order, "\n"); name; name = strtok(NULL, "\n")) {
    char path[4200];
    snprintf(path, sizeof path, "/modules/%s", name);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0) die("open %s", path);
    if (syscall(SYS_finit_module, fd, "", 0) < 0 && errno != EEXIST) die("load %s", path);
    close(fd);
    unlink(path);
  }
}

/* Devices appear some time after their module was loaded, ports after their controller. */
static void wait_for_device(const char *path) {
  int64_t deadline = monotonic_ns() + (int64_t)device_wait_ms * 1000000;
  const struct timespec pause = {.tv_nsec = 1000000};
  while (access(path, F_OK) < 0) {
    if (monotonic_ns() > deadline) die("wait for %s", path);
    nanosleep(&pause, NULL);
  }
}

static void move_to_substrate(void) {
  static const char root[] = "/substrate";
  static const char *const moved[] = {"/dev", "/proc", "/sys"};
  if (mkdir(root, 0755) < 0) die("make %s", root);
  if (mount(SUBSTRATE_DEVICE, root, "ext4", MS_RDONLY | MS_NODEV, NULL) < 0) die("mount %s", SUBSTRATE_DEVICE);
  for (size_t index = 0; index < ARRAY_LENGTH(moved); index += 1) {
    char target[64];
    snprintf(target, sizeof target, "%s%s", root, moved[index]);
    if (mount(moved[index], target, NULL, MS_MOVE, NULL) < 0) die("move %s", moved[index]);
  }
  /* The initramfs keeps its memory until its files are gone. */
  unlink("/init");
  unlink("/modules/order");
  rmdir("/modules");
  if (chdir(root) < 0 || mount(".", "/", NULL, MS_MOVE, NULL) < 0 || chroot(".") < 0 || chdir("/") < 0) die("move to the substrate");
}

int command_init(int argc, char **argv) {
  if (argc >= 2 && strcmp(argv[1], "--on-substrate") == 0) supervise_machine();
  mkdir("/dev", 0755);
  mkdir("/proc", 0755);
  mkdir("/sys", 0755);
  if (mount("devtmpfs", "/dev", "devtmpfs", MS_NOSUID, "mode=0755") < 0) die("mount /dev");
  int console = open("/dev/console", O_RDWR | O_CLOEXEC | O_NOCTTY);
  for (int fd = 0; console >= 0 && fd <= 2; fd += 1) dup2(console, fd);
  if (mount("proc", "/proc", "proc", MS_NOSUID | MS_NODEV | MS_NOEXEC, NULL) < 0) die("mount /proc");
  if (mount("sysfs", "/sys", "sysfs", MS_NOSUID | MS_NODEV | MS_NOEXEC, NULL) < 0) die("mount /sys");
  if (command_line_has("helmr.probe")) {
    if (iopl(3) < 0) die("reach the I/O ports");
    __asm__ volatile("outb %0, %1" : : "a"((uint8_t)probe_value), "Nd"((uint16_t)probe_port));
  }
  load_modules();
  wait_for_device(SUBSTRATE_DEVICE);
  wait_for_device(IMAGE_DEVICE);
  wait_for_device(CONTROL_DEVICE);
  wait_for_device(NETWORK_DEVICE);
  move_to_substrate();
  /* A fresh image of this program frees the one in the initramfs. */
  execl(TOOL_PATH, "helmr-guest", "init", "--on-substrate", NULL);
  die("run %s", TOOL_PATH);
}
