/*
 * Gives open files to a running monitor, which Node cannot do: descriptors travel as ancillary data of the monitor's socket.
 *
 *   pass-descriptors SET...      descriptor 3 is a fresh monitor connection (greeting not read yet); descriptor 4 becomes part of the first
 *                                set, 5 of the second, and so on
 *
 * Exit code 0 when the monitor has taken all of them; otherwise 1 and its words on stderr.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum { monitor = 3, first_file = 4, limit_seconds = 10, line_bytes_max = 65536 };

static char line[line_bytes_max];

static void fail(const char *what, const char *why) {
  fprintf(stderr, "pass-descriptors: %s: %s\n", what, why);
  exit(1);
}

/* Byte by byte would be slow, but lines are short and few. */
static void read_line(void) {
  size_t length = 0;
  while (length < sizeof line - 1) {
    ssize_t count = read(monitor, line + length, 1);
    if (count < 0 && errno == EINTR) continue;
    if (count <= 0) fail("read from the monitor", count == 0 ? "it closed the connection" : strerror(errno));
    if (line[length] == '\n') break;
    length += 1;
  }
  line[length] = '\0';
}

/* Events may come in between. */
static void read_answer(const char *command) {
  do read_line();
  while (strstr(line, "\"event\"") != NULL);
  if (strstr(line, "\"return\"") == NULL) fail(command, line);
}

static void send_command(const char *text, int file) {
  struct iovec part = {.iov_base = (void *)text, .iov_len = strlen(text)};
  union {
    struct cmsghdr header;
    char bytes[CMSG_SPACE(sizeof(int))];
  } control = {0};
  struct msghdr message = {.msg_iov = &part, .msg_iovlen = 1};
  if (file >= 0) {
    message.msg_control = &control;
    message.msg_controllen = sizeof control;
    struct cmsghdr *header = CMSG_FIRSTHDR(&message);
    header->cmsg_level = SOL_SOCKET;
    header->cmsg_type = SCM_RIGHTS;
    header->cmsg_len = CMSG_LEN(sizeof file);
    memcpy(CMSG_DATA(header), &file, sizeof file);
  }
  if (sendmsg(monitor, &message, MSG_NOSIGNAL) != (ssize_t)part.iov_len) fail("write to the monitor", strerror(errno));
}

int main(int argc, char **argv) {
  alarm(limit_seconds);
  /* Node has made the connection non-blocking. */
  if (fcntl(monitor, F_SETFL, fcntl(monitor, F_GETFL) & ~O_NONBLOCK) < 0) fail("use descriptor 3", strerror(errno));
  read_line();
  send_command("{\"execute\":\"qmp_capabilities\"}\n", -1);
  read_answer("qmp_capabilities");
  for (int index = 1; index < argc; index += 1) {
    char command[128];
    snprintf(command, sizeof command, "{\"execute\":\"add-fd\",\"arguments\":{\"fdset-id\":%d}}\n", atoi(argv[index]));
    send_command(command, first_file + index - 1);
    read_answer("add-fd");
  }
  return 0;
}
