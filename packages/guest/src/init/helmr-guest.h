/*
 * helmr-guest: what Node cannot do inside a guest, and nothing else. One static binary with one subcommand per task.
 *
 *   init      PID 1, started by the kernel from the initramfs. Mounts, loads modules, moves to the substrate disk, warms the page cache,
 *             starts relay and supervisor, reaps orphans, powers the machine off when the supervisor ends.            boot.c, stage.c
 *   attach    Once after every restore: clock, entropy, hostname, network reset; unless --resumed also the task's root file system and its
 *             namespaces. Everything in one process because a spawn costs 10 to 20 ms under emulation.                attach.c, task-root.c
 *               --clock UNIX_US[@MONOTONIC_NS]   wall clock, and the CLOCK_MONOTONIC reading at which it was true (default: now)
 *               --entropy                        64 or more raw bytes on stdin for the kernel's random pool
 *               --hostname NAME
 *               --network on|off
 *               --resumed                        disks are mounted already: nothing below may be given
 *               --thaw PATH ...                  (with --resumed) undo `freeze`, last step; --thaw-cgroup DIR likewise
 *               --scratch DEVICE|tmpfs           upper layer of the task's root (ext4)
 *               --workspace DEVICE:PATH          ext4 at PATH of the task's root; PATH `/`: this disk is the root itself and is written to (a
 *                                                step of an image build), --scratch is not used and --task stands at /run/helmr/from of the
 *                                                supervisor                                                       image-root.c
 *               --workspace-owner USER           give the root directory of a workspace that root owns to this user of the image
 *               --task DEVICE                    ext4, read-only, at /opt/helmr-task of the task's root
 *               --mount DEVICE:PATH[:ro] ...     further disks
 *   run       Starts one process in the task's root and stays beside it: pumps its pipes or its terminal, forwards signals, ends the way
 *             it ended. Environment is taken over as it is; HOME, USER, LOGNAME and PWD are set.                      run.c, pump.c
 *               --cgroup NAME     leaf below the task's cgroup, made when missing (default "run")
 *               --user USER       name, uid, name:group or uid:gid, looked up in the image (default root)
 *               --cwd DIR         (default /)
 *               --terminal COLSxROWS
 *               --network off     a network namespace of its own with nothing but loopback
 *               --control FD      (default: none) a duplex of lines: to the supervisor `started PID`, `failed STAGE ERRNO TEXT`;
 *                                 from the supervisor `signal NUMBER`, `resize COLS ROWS`
 *               -- COMMAND ARGUMENT...
 *             Other descriptors from 3 on reach the process as they are. What is left in its pipes when it ends is passed on before the end is
 *             told; what its own children write later is not waited for. Exit code 125 when the process could not be started (and `failed` on the control line).
 *   place     A secret as a file: content on stdin, kept on a tmpfs, bound over PATH in the task's root.              place.c
 *               --path PATH --mode OCTAL [--owner USER] [--directory-mode OCTAL: make the parent directory with it]
 *   unplace   --path PATH   takes it away again, mount point included
 *   freeze    [--cgroup DIR] PATH...   stops the processes of a cgroup, then syncs and freezes file systems            freeze.c
 *   hold      MS PATH   syncs and freezes one file system, says `still` on stdout, and thaws it when stdin says something or ends, or
 *             after so long; then `held US`, or `late US` when nobody came: how long it stood still
 *   thaw      [--cgroup DIR] PATH...   the opposite, in the opposite order; what is not frozen is skipped
 *   sync      PATH...                  syncfs of each
 *   copy      --from ROOT:PATH --to ROOT:PATH   a file, or what is in a directory, with owners, times, links and attributes; both paths are
 *             resolved inside their roots                                                                           copy-tree.c
 *   leave-root                                  undoes what `attach` with --workspace DEVICE:/ put into the image's disk       image-root.c
 *   trim      PATH...                  tells the disks of these file systems which blocks are free, so that a capture leaves them out
 *   scrub     fills free memory with zeros, so that a snapshot does not store garbage
 *   rehearse  goes through the motions of a start and forgets them; before `attach` only                               rehearse.c
 *   relay     network relay between the guest's connections and the second port                                       relay*.c, steer.c
 *
 * Messages go to stderr as "helmr-guest SUBCOMMAND: what: why"; exit code 1 is a failure, 2 a wrong argument.
 *
 * Fixed places in the guest: /image (image disk), /scratch, /task (the task's root as the supervisor sees it), /run/helmr (relay socket,
 * pid of the task's init), cgroups /sys/fs/cgroup/{supervisor,task}.
 */
#ifndef HELMR_GUEST_H
#define HELMR_GUEST_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#define ARRAY_LENGTH(array) (sizeof(array) / sizeof((array)[0]))

#define HELMR_BIN "/opt/helmr/bin"
#define TOOL_PATH HELMR_BIN "/helmr-guest"
#define NODE_PATH HELMR_BIN "/node"
#define SUPERVISOR_PATH "/opt/helmr/lib/supervisor.js"
#define PROGRAM_PATH "/opt/helmr/lib/program.mjs"

#define CONTROL_DEVICE "/dev/vport0p1"
#define NETWORK_DEVICE "/dev/vport0p2"
#define SUBSTRATE_DEVICE "/dev/vda"
#define IMAGE_DEVICE "/dev/vdb"

#define IMAGE_DIRECTORY "/image"
#define SCRATCH_DIRECTORY "/scratch"
#define TASK_DIRECTORY "/task"
#define COPY_SOURCE_DIRECTORY "/run/helmr/from"
#define STATE_DIRECTORY "/run/helmr"
#define TASK_INIT_PID_FILE STATE_DIRECTORY "/task-init.pid"
#define RELAY_SOCKET STATE_DIRECTORY "/relay.sock"

#define CGROUP_ROOT "/sys/fs/cgroup"
#define SUPERVISOR_CGROUP CGROUP_ROOT "/supervisor"
#define TASK_CGROUP CGROUP_ROOT "/task"

#define DNS_ADDRESS "127.0.0.53"
#define EXIT_NOT_STARTED 125

/* basics.c */
extern const char *subcommand;
/* Prints "what: errno text" and exits 1. */
_Noreturn void die(const char *format, ...) __attribute__((format(printf, 1, 2)));
/* Prints a message about the arguments and exits 2. */
_Noreturn void refuse(const char *format, ...) __attribute__((format(printf, 1, 2)));
void warn(const char *format, ...) __attribute__((format(printf, 1, 2)));
int write_text(const char *path, const char *text);
ssize_t read_text(const char *path, char *buffer, size_t size);
int make_directories(const char *path, mode_t mode);
int64_t monotonic_ns(void);
/* Parses a whole decimal number in 0..max, or refuses naming the option. */
int64_t parse_number(const char *option, const char *text, int64_t max);
void join_cgroup(const char *directory);
void set_oom_score(int score);

/* Subcommands: each gets its own arguments, argv[0] being its name. */
int command_init(int argc, char **argv);
int command_attach(int argc, char **argv);
int command_run(int argc, char **argv);
int command_place(int argc, char **argv);
int command_unplace(int argc, char **argv);
int command_freeze(int argc, char **argv);
int command_hold(int argc, char **argv);
int command_thaw(int argc, char **argv);
int command_sync(int argc, char **argv);
int command_trim(int argc, char **argv);
int command_scrub(int argc, char **argv);
int command_relay(int argc, char **argv);
int command_rehearse(int argc, char **argv);
int command_copy(int argc, char **argv);
int command_leave_root(int argc, char **argv);

/* stage.c: the second half of init, on the substrate disk. */
_Noreturn void supervise_machine(void);

/* scrub.c */
void scrub_free_memory(void);

/* freeze.c */
bool thaw_paths(char *const *paths, size_t count, const char *cgroup);

/* task-root.c */
struct mount_request {
  const char *device;
  const char *path;
  bool read_only;
};
struct task_root_request {
  const char *scratch;
  struct mount_request workspace;
  const char *workspace_owner;
  const char *task;
  const char *hostname;
  struct mount_request extra[8];
  size_t extra_count;
};
void build_task_root(const struct task_root_request *request);
/* What every root has, whatever it stands on. */
void make_devices(void);

/* image-root.c: the disk of an image as the root, for a step of its build. */
void build_image_root(const struct task_root_request *request);

void start_task_init(void);
pid_t task_init_pid(void);
/* Moves the caller into the task's mount and cgroup namespaces and its later children into its pid namespace. */
int enter_task_namespaces(void);

/* account.c: users of the image, read from files because a static binary cannot use the image's name service. */
struct account {
  uid_t uid;
  gid_t gid;
  gid_t groups[64];
  size_t group_count;
  char name[256];
  char home[4096];
};
/* false with `problem` filled when there is no such user below `root`. */
bool find_account(const char *root, const char *user, struct account *account, char problem[static 256]);

/* pump.c */
struct pump {
  int from;
  int to;
  size_t start;
  size_t length;
  uint8_t data[65536];
};
void pump_init(struct pump *pump, int from, int to);
bool pump_wants_input(const struct pump *pump);
bool pump_wants_output(const struct pump *pump);
void pump_read(struct pump *pump);
void pump_write(struct pump *pump);

#endif
