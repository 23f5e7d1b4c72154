/* The relay's loop: sockets, events, the timer, and the one command that `attach` sends. See relay.h for the whole. */
#define _GNU_SOURCE
#include "relay.h"
#include "helmr-guest.h"
#include "steer.h"

#include <arpa/inet.h>
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/timerfd.h>
#include <sys/un.h>
#include <unistd.h>

/* Ports that no program binds; the DNS sockets keep port 53 so that answers come from there. */
enum { relay_port = 1, dns_service_port = 53, tick_ms = 100, events_max = 64 };

bool network_enabled = true;

static int epoll_fd = -1;
static int sockets[steered_count];
static int dns_listener;
static int command_fd;
static int timer_fd;
static bool accepting;

static uint64_t tag(enum source source, uint32_t id) {
  return (uint64_t)source << 32 | id;
}

static void control_epoll(int operation, int fd, uint32_t events, uint64_t data) {
  struct epoll_event event = {.events = events, .data.u64 = data};
  if (epoll_ctl(epoll_fd, operation, fd, &event) < 0) die("watch descriptor %d", fd);
}

void watch(int fd, uint32_t events, enum source source, uint32_t id) {
  control_epoll(EPOLL_CTL_ADD, fd, events, tag(source, id));
}

void rewatch(int fd, uint32_t events, enum source source, uint32_t id) {
  control_epoll(EPOLL_CTL_MOD, fd, events, tag(source, id));
}

void unwatch(int fd) {
  control_epoll(EPOLL_CTL_DEL, fd, 0, 0);
}

int listening_socket(int family, int type, const char *address, uint16_t port) {
  struct sockaddr_storage storage = {.ss_family = (sa_family_t)family};
  struct sockaddr_in *ipv4 = (struct sockaddr_in *)&storage;
  struct sockaddr_in6 *ipv6 = (struct sockaddr_in6 *)&storage;
  const int on = 1;
  int fd = socket(family, type | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  if (fd < 0) die("open a socket");
  setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
  if (family == AF_INET) {
    inet_pton(family, address, &ipv4->sin_addr);
    ipv4->sin_port = htons(port);
  } else {
    inet_pton(family, address, &ipv6->sin6_addr);
    ipv6->sin6_port = htons(port);
    setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &on, sizeof on);
  }
  if (bind(fd, (struct sockaddr *)&storage, family == AF_INET ? sizeof *ipv4 : sizeof *ipv6) < 0) die("bind %s port %u", address, port);
  if (type == SOCK_STREAM && listen(fd, connections_max) < 0) die("listen on %s port %u", address, port);
  return fd;
}

/* Not accepting leaves connections in the kernel's backlog. */
void accept_more(bool wanted) {
  if (wanted == accepting) return;
  accepting = wanted;
  rewatch(sockets[steered_tcp4], wanted ? EPOLLIN : 0, source_tcp4, 0);
  rewatch(sockets[steered_tcp6], wanted ? EPOLLIN : 0, source_tcp6, 0);
}

/* "on" or "off": from now on a new machine; answered when no connection of the old one is left. */
static void take_command(void) {
  struct sockaddr_un sender;
  socklen_t sender_length = sizeof sender;
  char text[16];
  ssize_t length = recvfrom(command_fd, text, sizeof text - 1, 0, (struct sockaddr *)&sender, &sender_length);
  if (length < 0) return;
  text[length] = '\0';
  network_enabled = strcmp(text, "off") != 0;
  channel_reset();
  sendto(command_fd, "done", 4, MSG_DONTWAIT, (struct sockaddr *)&sender, sender_length);
}

static void open_command_socket(void) {
  const struct sockaddr_un address = {.sun_family = AF_UNIX, .sun_path = RELAY_SOCKET};
  unlink(RELAY_SOCKET);
  command_fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  if (command_fd < 0 || bind(command_fd, (const struct sockaddr *)&address, sizeof address) < 0) die("open " RELAY_SOCKET);
  watch(command_fd, EPOLLIN, source_command, 0);
}

void start_timer(void) {
  const struct itimerspec soon = {.it_value.tv_nsec = tick_ms * 1000000};
  if (timerfd_settime(timer_fd, 0, &soon, NULL) < 0) die("start the timer");
}

static void open_timer(void) {
  timer_fd = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK | TFD_CLOEXEC);
  if (timer_fd < 0) die("make the timer");
  watch(timer_fd, EPOLLIN, source_timer, 0);
}

static void open_sockets(void) {
  sockets[steered_tcp4] = listening_socket(AF_INET, SOCK_STREAM, DNS_ADDRESS, relay_port);
  sockets[steered_tcp6] = listening_socket(AF_INET6, SOCK_STREAM, "::1", relay_port);
  sockets[steered_udp4] = listening_socket(AF_INET, SOCK_DGRAM, DNS_ADDRESS, dns_service_port);
  sockets[steered_udp6] = listening_socket(AF_INET6, SOCK_DGRAM, "::1", dns_service_port);
  dns_listener = listening_socket(AF_INET, SOCK_STREAM, DNS_ADDRESS, dns_service_port);
  const int on = 1;
  setsockopt(sockets[steered_udp4], IPPROTO_IP, IP_PKTINFO, &on, sizeof on);
  setsockopt(sockets[steered_udp6], IPPROTO_IPV6, IPV6_RECVPKTINFO, &on, sizeof on);
  /* IPv6 does not take a route for an address: without this it refuses to answer from the one that was asked. */
  setsockopt(sockets[steered_udp6], IPPROTO_IPV6, IPV6_FREEBIND, &on, sizeof on);
  watch(sockets[steered_tcp4], 0, source_tcp4, 0);
  watch(sockets[steered_tcp6], 0, source_tcp6, 0);
  watch(sockets[steered_udp4], EPOLLIN, source_udp4, 0);
  watch(sockets[steered_udp6], EPOLLIN, source_udp6, 0);
  watch(dns_listener, EPOLLIN, source_dns_tcp, 0);
}

static void tick(void) {
  uint64_t times;
  if (read(timer_fd, &times, sizeof times) < 0) return;
  channel_tick();
  dns_tick();
  if (!channel_is_open() || dns_is_waiting()) start_timer();
}

static void dispatch(uint64_t data, uint32_t events) {
  uint32_t id = (uint32_t)data;
  switch ((enum source)(data >> 32)) {
    case source_channel:
      if (channel_is_open()) channel_ready(events);
      break;
    case source_timer:
      tick();
      break;
    case source_command:
      take_command();
      break;
    case source_tcp4:
      connections_accept(sockets[steered_tcp4]);
      break;
    case source_tcp6:
      connections_accept(sockets[steered_tcp6]);
      break;
    case source_udp4:
      dns_datagram(sockets[steered_udp4]);
      break;
    case source_udp6:
      dns_datagram(sockets[steered_udp6]);
      break;
    case source_dns_tcp:
      if (id == 0) dns_accept(dns_listener);
      else dns_stream_ready(id, events);
      break;
    case source_connection:
      connections_ready(id, events);
      break;
  }
}

int command_relay(int argc, char **argv) {
  (void)argv;
  if (argc != 1) refuse("relay takes no arguments");
  signal(SIGPIPE, SIG_IGN);
  epoll_fd = epoll_create1(EPOLL_CLOEXEC);
  if (epoll_fd < 0) die("epoll");
  set_up_network();
  open_sockets();
  steer_to(sockets);
  connections_start();
  dns_start();
  open_command_socket();
  open_timer();
  channel_start();
  for (;;) {
    struct epoll_event events[events_max];
    int count = epoll_wait(epoll_fd, events, events_max, -1);
    if (count < 0 && errno != EINTR) die("wait for events");
    for (int index = 0; index < count; index += 1) dispatch(events[index].data.u64, events[index].events);
  }
}
