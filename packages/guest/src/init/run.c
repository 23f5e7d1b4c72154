/*
 * One process of a tenant: entered into the task's root and namespaces, given its user, cgroup and capabilities, and accompanied until it ends.
 *
 *   supervisor ══ stdio sockets ══ this process ── pipes or a terminal ── child
 *
 * The pipes in between are real ones on purpose: Node hands its children sockets, and opening /dev/stdout of a socket fails (ENXIO), which
 * breaks shell scripts. After the child's end what is left in the pipes is passed on; what its own children write later is not waited for.
 */
#define _GNU_SOURCE
#include "helmr-guest.h"
#include "steer.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <grp.h>
#include <unistd.h>

struct run_request {
  const char *cgroup;
  const char *user;
  const char *cwd;
  struct winsize window;
  int control;
  bool network;
  char **command;
};

/* Descriptors from 3 on that the caller gave us beside the control: they are the child's, and only the child keeps them open. */
enum { passed_fd_max = 32 };

/* What the child says before its exec; an exec that works closes the pipe after `pid`. */
struct start_report {
  pid_t pid;
  int error;
  char stage[16];
};

struct accompanied {
  pid_t child;
  int control;
  int terminal;
  int signals;
  struct pump input;
  struct pump output;
  struct pump errors;
  char line[256];
  size_t line_length;
};

static const int forwarded_signals[] = {SIGHUP, SIGINT, SIGQUIT, SIGTERM, SIGUSR1, SIGUSR2, SIGCONT};

static void parse_window(struct winsize *window, const char *text) {
  unsigned columns, rows;
  char rest;
  if (sscanf(text, "%ux%u%c", &columns, &rows, &rest) != 2 || columns < 1 || columns > 1000 || rows < 1 || rows > 1000) {
    refuse("--terminal must be COLUMNSxROWS, each from 1 to 1000, not \"%s\"", text);
  }
  *window = (struct winsize){.ws_col = (unsigned short)columns, .ws_row = (unsigned short)rows};
}

static struct run_request parse_run(int argc, char **argv) {
  struct run_request request = {.cgroup = "run", .user = "root", .cwd = "/", .control = -1, .network = true};
  int index = 1;
  for (; index < argc && strcmp(argv[index], "--") != 0; index += 2) {
    const char *option = argv[index];
    if (index + 1 >= argc) refuse("%s needs a value", option);
    char *value = argv[index + 1];
    if (strcmp(option, "--cgroup") == 0) request.cgroup = value;
    else if (strcmp(option, "--user") == 0) request.user = value[0] ? value : "root";
    else if (strcmp(option, "--cwd") == 0) request.cwd = value;
    else if (strcmp(option, "--terminal") == 0) parse_window(&request.window, value);
    else if (strcmp(option, "--network") == 0) request.network = strcmp(value, "off") != 0;
    else if (strcmp(option, "--control") == 0) request.control = (int)parse_number(option, value, 1023);
    else refuse("unknown option %s", option);
  }
  if (index + 1 >= argc) refuse("-- and a command are missing");
  if (strchr(request.cgroup, '/') || request.cgroup[0] == '.' || request.cgroup[0] == '\0') refuse("--cgroup must be a name, not \"%s\"", request.cgroup);
  request.command = argv + index + 1;
  return request;
}

static void tell(int control, const char *format, ...) __attribute__((format(printf, 2, 3)));
static void tell(int control, const char *format, ...) {
  char line[512];
  va_list arguments;
  va_start(arguments, format);
  int length = vsnprintf(line, sizeof line, format, arguments);
  va_end(arguments);
  if (length >= (int)sizeof line) {
    length = sizeof line - 1;
    line[length - 1] = '\n';
  }
  ssize_t ignored = control < 0 ? 0 : write(control, line, (size_t)length);
  (void)ignored;
}

static _Noreturn void not_started(const struct run_request *request, const char *stage, int reason, const char *text) {
  tell(request->control, "failed %s %d %s\n", stage, reason, text);
  fprintf(stderr, "helmr-guest run: %s: %s\n", stage, text);
  _exit(EXIT_NOT_STARTED);
}

static int open_cgroup(const struct run_request *request) {
  char path[4096];
  snprintf(path, sizeof path, TASK_CGROUP "/%s", request->cgroup);
  if (mkdir(path, 0755) < 0 && errno != EEXIST) not_started(request, "cgroup", errno, strerror(errno));
  strcat(path, "/cgroup.procs");
  int fd = open(path, O_WRONLY | O_CLOEXEC);
  if (fd < 0) not_started(request, "cgroup", errno, strerror(errno));
  return fd;
}

/* The machine is the tenant's, its kernel's life is ours: clock, modules, reboot, raw I/O and device nodes stay out of reach. */
static int drop_capabilities(void) {
  static const int dropped[] = {CAP_SYS_BOOT, CAP_SYS_MODULE, CAP_SYS_RAWIO, CAP_SYS_TIME, CAP_MKNOD};
  for (size_t index = 0; index < ARRAY_LENGTH(dropped); index += 1) {
    if (prctl(PR_CAPBSET_DROP, dropped[index], 0, 0, 0) < 0) return -1;
  }
  return 0;
}

static void set_default(const char *name, const char *value) {
  setenv(name, value, 0);
}

static _Noreturn void child_failed(int report_fd, struct start_report *report, const char *stage) {
  report->error = errno;
  snprintf(report->stage, sizeof report->stage, "%s", stage);
  ssize_t ignored = write(report_fd, report, sizeof *report);
  (void)ignored;
  _exit(EXIT_NOT_STARTED);
}

struct child_setup {
  const struct run_request *request;
  const struct account *account;
  int cgroup;
  int report;
  const char *terminal;
  int stdio[3];
};

static _Noreturn void become_command(const struct child_setup *setup) {
  const struct run_request *request = setup->request;
  const struct account *account = setup->account;
  struct start_report report = {.pid = getpid()};
  sigset_t none;
  sigemptyset(&none);
  for (int number = 1; number < NSIG; number += 1) signal(number, SIG_DFL);
  sigprocmask(SIG_SETMASK, &none, NULL);
  if (write(setup->cgroup, "0", 1) != 1) child_failed(setup->report, &report, "cgroup");
  if (!request->network) {
    if (unshare(CLONE_NEWNET) < 0) child_failed(setup->report, &report, "network");
    bring_up("lo");
  }
  setsid();
  if (setup->terminal) {
    int terminal = open(setup->terminal, O_RDWR);
    if (terminal < 0 || ioctl(terminal, TIOCSCTTY, 0) < 0) child_failed(setup->report, &report, "terminal");
    for (int fd = 0; fd <= 2; fd += 1) dup2(terminal, fd);
    close(terminal);
  } else {
    /* Theirs, so that a user other than root may open /dev/stdout again. */
    for (int fd = 0; fd <= 2; fd += 1) {
      dup2(setup->stdio[fd], fd);
      if (fchown(fd, account->uid, account->gid) < 0) child_failed(setup->report, &report, "stdio");
    }
  }
  set_oom_score(0);
  umask(022);
  if (drop_capabilities() < 0) child_failed(setup->report, &report, "capabilities");
  if (setgroups(account->group_count, account->groups) < 0 || setgid(account->gid) < 0 || setuid(account->uid) < 0) child_failed(setup->report, &report, "user");
  prctl(PR_SET_PDEATHSIG, SIGKILL);
  if (chdir(request->cwd) < 0) child_failed(setup->report, &report, "cwd");
  set_default("HOME", account->home);
  set_default("USER", account->name);
  set_default("LOGNAME", account->name);
  setenv("PWD", request->cwd, 1);
  if (write(setup->report, &report, sizeof report) != sizeof report) _exit(EXIT_NOT_STARTED);
  execvp(request->command[0], request->command);
  child_failed(setup->report, &report, "exec");
}

static void open_terminal(const struct run_request *request, const struct account *account, char name[64], int *master) {
  *master = posix_openpt(O_RDWR | O_NOCTTY | O_CLOEXEC);
  if (*master < 0 || unlockpt(*master) < 0 || ptsname_r(*master, name, 64) != 0) not_started(request, "terminal", errno, strerror(errno));
  ioctl(*master, TIOCSWINSZ, &request->window);
  if (chown(name, account->uid, account->gid) < 0) not_started(request, "terminal", errno, strerror(errno));
}

/* What came with us and is not ours: found before anything else is opened. */
static size_t find_passed(int control, int passed[passed_fd_max]) {
  size_t count = 0;
  for (int fd = 3; fd < 3 + passed_fd_max; fd += 1) {
    if (fd != control && fcntl(fd, F_GETFD) >= 0) {
      passed[count] = fd;
      count += 1;
    }
  }
  return count;
}

static pid_t start_child(const struct run_request *request, struct accompanied *process) {
  int cgroup = open_cgroup(request);
  if (enter_task_namespaces() < 0) not_started(request, "namespaces", errno, strerror(errno));
  struct account account;
  char problem[256];
  if (!find_account("", request->user, &account, problem)) not_started(request, "user", ENOENT, problem);
  struct child_setup setup = {.request = request, .account = &account, .cgroup = cgroup};
  char terminal[64];
  int pipes[3][2] = {{-1, -1}, {-1, -1}, {-1, -1}}, report[2];
  if (pipe2(report, O_CLOEXEC) < 0) not_started(request, "pipe", errno, strerror(errno));
  if (request->window.ws_col > 0) {
    open_terminal(request, &account, terminal, &process->terminal);
    setup.terminal = terminal;
  } else {
    for (int fd = 0; fd <= 2; fd += 1) {
      if (pipe2(pipes[fd], O_CLOEXEC) < 0) not_started(request, "pipe", errno, strerror(errno));
      setup.stdio[fd] = pipes[fd][fd == 0 ? 0 : 1];
    }
  }
  setup.report = report[1];
  process->child = fork();
  if (process->child < 0) not_started(request, "fork", errno, strerror(errno));
  if (process->child == 0) become_command(&setup);
  close(report[1]);
  close(cgroup);
  for (int fd = 0; fd <= 2 && !setup.terminal; fd += 1) close(setup.stdio[fd]);
  pump_init(&process->input, STDIN_FILENO, setup.terminal ? process->terminal : pipes[0][1]);
  pump_init(&process->output, setup.terminal ? process->terminal : pipes[1][0], STDOUT_FILENO);
  pump_init(&process->errors, setup.terminal ? -1 : pipes[2][0], setup.terminal ? -1 : STDERR_FILENO);
  struct start_report said;
  ssize_t length = read(report[0], &said, sizeof said);
  pid_t pid = length == sizeof said ? said.pid : 0;
  if (length == sizeof said && said.error == 0) length = read(report[0], &said, sizeof said);
  if (length == sizeof said && said.error != 0) {
    waitpid(process->child, NULL, 0);
    bool not_found = strcmp(said.stage, "exec") == 0 && said.error == ENOENT;
    char text[384];
    const char *path = getenv("PATH");
    if (not_found) snprintf(text, sizeof text, "%.128s was not found on PATH %.200s", request->command[0], path ? path : "(not set)");
    else snprintf(text, sizeof text, "%.128s: %s", strcmp(said.stage, "cwd") == 0 ? request->cwd : request->command[0], strerror(said.error));
    not_started(request, said.stage, said.error, text);
  }
  close(report[0]);
  return pid;
}

static void send_signal(const struct accompanied *process, int number) {
  /* Its session is its own, so the group is what a terminal would signal. */
  if (kill(-process->child, number) < 0 && errno == ESRCH) kill(process->child, number);
}

static void obey(struct accompanied *process, const char *line) {
  unsigned first, second;
  if (sscanf(line, "signal %u", &first) == 1 && first >= 1 && first < NSIG) send_signal(process, (int)first);
  else if (sscanf(line, "resize %u %u", &first, &second) == 2 && process->terminal >= 0 && first >= 1 && first <= 1000 && second >= 1 && second <= 1000) {
    const struct winsize window = {.ws_col = (unsigned short)first, .ws_row = (unsigned short)second};
    ioctl(process->terminal, TIOCSWINSZ, &window);
  }
}

static void read_control(struct accompanied *process) {
  ssize_t count = read(process->control, process->line + process->line_length, sizeof process->line - 1 - process->line_length);
  if (count < 0 && (errno == EAGAIN || errno == EINTR)) return;
  if (count <= 0) {
    process->control = -1;
    return;
  }
  process->line_length += (size_t)count;
  process->line[process->line_length] = '\0';
  for (char *end; (end = strchr(process->line, '\n')) != NULL;) {
    *end = '\0';
    obey(process, process->line);
    process->line_length -= (size_t)(end + 1 - process->line);
    memmove(process->line, end + 1, process->line_length + 1);
  }
  /* A line that does not end is nothing that we know. */
  if (process->line_length == sizeof process->line - 1) process->line_length = 0;
}

/* false once the child has ended, with its status. */
static bool take_signals(struct accompanied *process, int *status) {
  struct signalfd_siginfo info;
  while (read(process->signals, &info, sizeof info) == sizeof info) {
    if (info.ssi_signo != SIGCHLD) send_signal(process, (int)info.ssi_signo);
  }
  return waitpid(process->child, status, WNOHANG) != process->child;
}

static short output_events(const struct pump *pump) {
  return pump_wants_output(pump) ? POLLOUT : 0;
}

/* The reader is gone: the child shall get SIGPIPE (or lose its terminal) rather than wait for ever. */
static void abandon_output(struct pump *pump) {
  if (pump->from >= 0) close(pump->from);
  pump->from = -1;
  pump->to = -1;
  pump->length = 0;
}

static void move_output(struct pump *pump, short events) {
  if (events & (POLLERR | POLLHUP)) pump->to = -1;
  if (pump_wants_input(pump)) pump_read(pump);
  if (pump_wants_output(pump)) pump_write(pump);
  if (pump->to < 0) abandon_output(pump);
}

/* Everything the ended child has written is in the pipes already. */
static void drain(struct pump *pump) {
  while (pump->to >= 0) {
    if (pump_wants_input(pump)) pump_read(pump);
    if (!pump_wants_output(pump)) return;
    struct pollfd wait = {.fd = pump->to, .events = POLLOUT};
    poll(&wait, 1, -1);
    pump_write(pump);
  }
}

static void move_input(struct accompanied *process) {
  struct pump *input = &process->input;
  if (pump_wants_input(input)) pump_read(input);
  if (pump_wants_output(input)) pump_write(input);
  /* A terminal stays open without input; a pipe is closed, which is how the child learns of the end. */
  if (input->from >= 0 || input->length > 0) return;
  if (input->to >= 0 && process->terminal < 0) close(input->to);
  input->to = -1;
}

static int accompany(struct accompanied *process) {
  int status = 0;
  for (;;) {
    struct pollfd waits[] = {
        {.fd = process->signals, .events = POLLIN},
        {.fd = process->control, .events = POLLIN},
        {.fd = pump_wants_input(&process->input) ? process->input.from : -1, .events = POLLIN},
        {.fd = pump_wants_output(&process->input) ? process->input.to : -1, .events = POLLOUT},
        {.fd = pump_wants_input(&process->output) ? process->output.from : -1, .events = POLLIN},
        {.fd = pump_wants_input(&process->errors) ? process->errors.from : -1, .events = POLLIN},
        {.fd = process->output.to, .events = output_events(&process->output)},
        {.fd = process->errors.to, .events = output_events(&process->errors)},
    };
    if (poll(waits, ARRAY_LENGTH(waits), -1) < 0 && errno != EINTR) die("poll");
    if (waits[1].revents) read_control(process);
    if (waits[2].revents || waits[3].revents) move_input(process);
    if (waits[4].revents || waits[6].revents) move_output(&process->output, waits[6].revents);
    if (waits[5].revents || waits[7].revents) move_output(&process->errors, waits[7].revents);
    if (!take_signals(process, &status)) break;
  }
  drain(&process->output);
  drain(&process->errors);
  return status;
}

static void watch_signals(struct accompanied *process) {
  sigset_t watched;
  sigemptyset(&watched);
  sigaddset(&watched, SIGCHLD);
  for (size_t index = 0; index < ARRAY_LENGTH(forwarded_signals); index += 1) sigaddset(&watched, forwarded_signals[index]);
  sigprocmask(SIG_BLOCK, &watched, NULL);
  process->signals = signalfd(-1, &watched, SFD_CLOEXEC | SFD_NONBLOCK);
  if (process->signals < 0) die("watch signals");
  signal(SIGPIPE, SIG_IGN);
}

static _Noreturn void end_like(int status) {
  if (WIFEXITED(status)) _exit(WEXITSTATUS(status));
  sigset_t all;
  sigfillset(&all);
  signal(WTERMSIG(status), SIG_DFL);
  sigprocmask(SIG_UNBLOCK, &all, NULL);
  raise(WTERMSIG(status));
  _exit(128 + WTERMSIG(status));
}

int command_run(int argc, char **argv) {
  static struct accompanied process;
  struct run_request request = parse_run(argc, argv);
  int passed[passed_fd_max];
  size_t passed_count = find_passed(request.control, passed);
  process.terminal = -1;
  process.control = request.control;
  if (request.control >= 0 && fcntl(request.control, F_SETFD, FD_CLOEXEC) < 0) die("use the control descriptor %d", request.control);
  watch_signals(&process);
  pid_t pid = start_child(&request, &process);
  for (size_t index = 0; index < passed_count; index += 1) close(passed[index]);
  if (request.control >= 0) fcntl(request.control, F_SETFL, fcntl(request.control, F_GETFL) | O_NONBLOCK);
  tell(request.control, "started %d\n", pid);
  end_like(accompany(&process));
}
