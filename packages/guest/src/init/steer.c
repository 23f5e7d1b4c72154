/*
 * The guest's side of having no network card.
 *
 *   AnyIP      `local 0.0.0.0/0 dev lo` and `::/0`: every destination is an address of this machine, so packets come back in through lo
 *   sk_lookup  a BPF program that runs when a packet looks for its socket and hands it the relay's instead
 *
 * Nothing is rewritten, so no connection tracking and no netfilter modules are needed, and the original destination is simply the local
 * address of the accepted socket. Instructions and netlink messages are put together by hand: the guest has no compiler and no iproute2.
 */
#define _GNU_SOURCE
#include "steer.h"
#include "helmr-guest.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/bpf.h>
#include <linux/if_link.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <net/if.h>
#include <netinet/in.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

/* The only interface that programs can find: a dummy, up, with an address that no private network of a user is likely to have. */
static const char interface_name[] = "eth0";
static const char interface_address[] = "10.63.0.2";
enum { interface_prefix = 24, dns_port = 53 };

struct netlink_request {
  struct nlmsghdr header;
  union {
    struct ifinfomsg link;
    struct ifaddrmsg address;
    struct rtmsg route;
  } body;
  uint8_t attributes[256];
};

static void start_request(struct netlink_request *request, uint16_t type, size_t body_size) {
  memset(request, 0, sizeof *request);
  request->header.nlmsg_len = NLMSG_LENGTH((uint32_t)body_size);
  request->header.nlmsg_type = type;
  request->header.nlmsg_flags = NLM_F_REQUEST | NLM_F_ACK | NLM_F_CREATE | NLM_F_REPLACE;
}

static struct rtattr *add_attribute(struct netlink_request *request, uint16_t type, const void *data, size_t size) {
  struct rtattr *attribute = (struct rtattr *)((uint8_t *)request + NLMSG_ALIGN(request->header.nlmsg_len));
  attribute->rta_type = type;
  attribute->rta_len = (uint16_t)RTA_LENGTH(size);
  if (size > 0) memcpy(RTA_DATA(attribute), data, size);
  request->header.nlmsg_len = NLMSG_ALIGN(request->header.nlmsg_len) + RTA_ALIGN(attribute->rta_len);
  return attribute;
}

static void ask_kernel(int fd, struct netlink_request *request, const char *what) {
  struct {
    struct nlmsghdr header;
    struct nlmsgerr error;
    uint8_t rest[512];
  } answer;
  if (send(fd, request, request->header.nlmsg_len, 0) < 0) die("%s", what);
  ssize_t length = recv(fd, &answer, sizeof answer, 0);
  if (length < (ssize_t)NLMSG_LENGTH(sizeof answer.error)) die("%s", what);
  if (answer.header.nlmsg_type != NLMSG_ERROR || (answer.error.error != 0 && answer.error.error != -EEXIST)) {
    errno = -answer.error.error;
    die("%s", what);
  }
}

void bring_up(const char *name) {
  struct ifreq request = {0};
  snprintf(request.ifr_name, sizeof request.ifr_name, "%s", name);
  int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  request.ifr_flags = IFF_UP | IFF_RUNNING;
  if (fd < 0 || ioctl(fd, SIOCSIFFLAGS, &request) < 0) die("bring %s up", name);
  close(fd);
}

static void add_interface(int netlink) {
  struct netlink_request request;
  start_request(&request, RTM_NEWLINK, sizeof request.body.link);
  add_attribute(&request, IFLA_IFNAME, interface_name, sizeof interface_name);
  struct rtattr *info = add_attribute(&request, IFLA_LINKINFO, NULL, 0);
  add_attribute(&request, IFLA_INFO_KIND, "dummy", 5);
  info->rta_len = (uint16_t)((uint8_t *)&request + request.header.nlmsg_len - (uint8_t *)info);
  /* A relay that starts again finds it there: NLM_F_REPLACE cannot replace a link. */
  request.header.nlmsg_flags = NLM_F_REQUEST | NLM_F_ACK | NLM_F_CREATE | NLM_F_EXCL;
  ask_kernel(netlink, &request, "make the interface");
  /* Its link-local address would make resolvers ask for IPv6 addresses that the host may not reach. */
  if (write_text("/proc/sys/net/ipv6/conf/eth0/disable_ipv6", "1") < 0) warn("keep IPv6 off %s", interface_name);
  struct in_addr address;
  inet_pton(AF_INET, interface_address, &address);
  start_request(&request, RTM_NEWADDR, sizeof request.body.address);
  request.body.address = (struct ifaddrmsg){.ifa_family = AF_INET, .ifa_prefixlen = interface_prefix, .ifa_index = if_nametoindex(interface_name)};
  add_attribute(&request, IFA_LOCAL, &address, sizeof address);
  add_attribute(&request, IFA_ADDRESS, &address, sizeof address);
  ask_kernel(netlink, &request, "give the interface its address");
}

static void make_every_address_local(int netlink, unsigned char family) {
  struct netlink_request request;
  uint32_t loopback = if_nametoindex("lo");
  start_request(&request, RTM_NEWROUTE, sizeof request.body.route);
  request.body.route = (struct rtmsg){
      .rtm_family = family, .rtm_table = RT_TABLE_LOCAL, .rtm_protocol = RTPROT_STATIC, .rtm_scope = RT_SCOPE_HOST, .rtm_type = RTN_LOCAL,
  };
  add_attribute(&request, RTA_OIF, &loopback, sizeof loopback);
  if (family == AF_INET) {
    /* Otherwise a connection's own address would be its destination's. */
    struct in_addr source;
    inet_pton(AF_INET, interface_address, &source);
    add_attribute(&request, RTA_PREFSRC, &source, sizeof source);
  }
  ask_kernel(netlink, &request, family == AF_INET ? "route IPv4 to the relay" : "route IPv6 to the relay");
}

void set_up_network(void) {
  int netlink = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE);
  if (netlink < 0) die("open netlink");
  bring_up("lo");
  add_interface(netlink);
  bring_up(interface_name);
  make_every_address_local(netlink, AF_INET);
  make_every_address_local(netlink, AF_INET6);
  close(netlink);
}

static int bpf(enum bpf_cmd command, union bpf_attr *attributes) {
  return (int)syscall(SYS_bpf, command, attributes, sizeof *attributes);
}

static int make_socket_map(const int sockets[steered_count]) {
  union bpf_attr make = {.map_type = BPF_MAP_TYPE_SOCKMAP, .key_size = 4, .value_size = 8, .max_entries = steered_count};
  int map = bpf(BPF_MAP_CREATE, &make);
  if (map < 0) die("make the socket map");
  for (uint32_t key = 0; key < steered_count; key += 1) {
    uint64_t value = (uint64_t)sockets[key];
    union bpf_attr update = {.map_fd = (uint32_t)map, .key = (uintptr_t)&key, .value = (uintptr_t)&value, .flags = BPF_ANY};
    if (bpf(BPF_MAP_UPDATE_ELEM, &update) < 0) die("put socket %u into the map", key);
  }
  return map;
}

#define LOAD(size, to, from, at) {.code = BPF_LDX | BPF_MEM | (size), .dst_reg = (to), .src_reg = (from), .off = (at)}
#define STORE(size, to, at, from) {.code = BPF_STX | BPF_MEM | (size), .dst_reg = (to), .src_reg = (from), .off = (at)}
#define MOVE(to, from) {.code = BPF_ALU64 | BPF_MOV | BPF_X, .dst_reg = (to), .src_reg = (from)}
#define SET(to, value) {.code = BPF_ALU64 | BPF_MOV | BPF_K, .dst_reg = (to), .imm = (value)}
#define ADD(to, value) {.code = BPF_ALU64 | BPF_ADD | BPF_K, .dst_reg = (to), .imm = (value)}
#define AND(to, value) {.code = BPF_ALU64 | BPF_AND | BPF_K, .dst_reg = (to), .imm = (value)}
#define IF_EQUAL(left, value, skip) {.code = BPF_JMP32 | BPF_JEQ | BPF_K, .dst_reg = (left), .off = (skip), .imm = (value)}
#define IF_NULL(pointer, skip) {.code = BPF_JMP | BPF_JEQ | BPF_K, .dst_reg = (pointer), .off = (skip)}
#define IF_NOT_EQUAL(left, value, skip) {.code = BPF_JMP32 | BPF_JNE | BPF_K, .dst_reg = (left), .off = (skip), .imm = (value)}
#define JUMP(skip) {.code = BPF_JMP | BPF_JA, .off = (skip)}
#define CALL(function) {.code = BPF_JMP | BPF_CALL, .imm = (function)}
#define EXIT {.code = BPF_JMP | BPF_EXIT}
#define FIELD(name) offsetof(struct bpf_sk_lookup, name)

static int load_program(int map) {
  const struct bpf_insn program[] = {
      /*  0 */ MOVE(6, 1),                                     /* r6 = context */
      /*  1 */ SET(8, steered_tcp4),                           /* r8 = key */
      /*  2 */ LOAD(BPF_W, 2, 6, FIELD(protocol)),             /* */
      /*  3 */ IF_EQUAL(2, IPPROTO_TCP, 4),                    /* tcp: on at 8 */
      /*  4 */ IF_NOT_EQUAL(2, IPPROTO_UDP, 29),               /* neither: pass at 34 */
      /*  5 */ LOAD(BPF_W, 2, 6, FIELD(local_port)),           /* host byte order */
      /*  6 */ IF_NOT_EQUAL(2, dns_port, 27),                  /* udp but not dns: pass */
      /*  7 */ SET(8, steered_udp4),                           /* */
      /*  8 */ LOAD(BPF_W, 2, 6, FIELD(family)),               /* */
      /*  9 */ IF_EQUAL(2, AF_INET6, 5),                       /* ipv6: on at 15 */
      /* 10 */ IF_NOT_EQUAL(2, AF_INET, 23),                   /* neither: pass */
      /* 11 */ LOAD(BPF_W, 2, 6, FIELD(local_ip4)),            /* network byte order: the first byte is the lowest */
      /* 12 */ AND(2, 0xff),                                   /* */
      /* 13 */ IF_EQUAL(2, 127, 20),                           /* 127.0.0.0/8: pass */
      /* 14 */ JUMP(8),                                        /* on at 23 */
      /* 15 */ ADD(8, 1),                                      /* steered_*6 follows steered_*4 */
      /* 16 */ LOAD(BPF_W, 2, 6, FIELD(local_ip6[0])),         /* ::1 is 0, 0, 0, 1 in network byte order */
      /* 17 */ LOAD(BPF_W, 3, 6, FIELD(local_ip6[1])),         /* */
      /* 18 */ {.code = BPF_ALU64 | BPF_OR | BPF_X, .dst_reg = 2, .src_reg = 3},
      /* 19 */ LOAD(BPF_W, 3, 6, FIELD(local_ip6[2])),         /* */
      /* 20 */ {.code = BPF_ALU64 | BPF_OR | BPF_X, .dst_reg = 2, .src_reg = 3},
      /* 21 */ LOAD(BPF_W, 3, 6, FIELD(local_ip6[3])),         /* */
      /* 22 */ IF_EQUAL(2, 0, 13),                             /* ::x: look at the rest at 36 */
      /* 23 */ STORE(BPF_W, 10, -4, 8),                        /* key on the stack */
      /* 24 */ {.code = BPF_LD | BPF_IMM | BPF_DW, .dst_reg = 1, .src_reg = BPF_PSEUDO_MAP_FD, .imm = map},
      /* 25 */ {0},                                            /* (second half of a 16-byte instruction) */
      /* 26 */ MOVE(2, 10),                                    /* */
      /* 27 */ ADD(2, -4),                                     /* */
      /* 28 */ CALL(BPF_FUNC_map_lookup_elem),                 /* r0 = socket, referenced */
      /* 29 */ IF_NULL(0, 4),                                  /* none: pass */
      /* 30 */ MOVE(7, 0),                                     /* */
      /* 31 */ JUMP(6),                                        /* on at 38 */
      /* 32 */ SET(0, SK_DROP),                                /* */
      /* 33 */ EXIT,                                           /* */
      /* 34 */ SET(0, SK_PASS),                                /* pass */
      /* 35 */ EXIT,                                           /* */
      /* 36 */ IF_EQUAL(3, 0x01000000, -3),                    /* ::1: pass */
      /* 37 */ JUMP(-15),                                      /* other: back to 23 */
      /* 38 */ MOVE(1, 6),                                     /* */
      /* 39 */ MOVE(2, 7),                                     /* */
      /* 40 */ SET(3, 0),                                      /* */
      /* 41 */ CALL(BPF_FUNC_sk_assign),                       /* r9 = 0 when it worked */
      /* 42 */ MOVE(9, 0),                                     /* */
      /* 43 */ MOVE(1, 7),                                     /* */
      /* 44 */ CALL(BPF_FUNC_sk_release),                      /* */
      /* 45 */ IF_NOT_EQUAL(9, 0, -14),                        /* drop at 32 */
      /* 46 */ JUMP(-13),                                      /* pass at 34 */
  };
  static char log[16384];
  union bpf_attr load = {
      .prog_type = BPF_PROG_TYPE_SK_LOOKUP,
      .expected_attach_type = BPF_SK_LOOKUP,
      .insns = (uintptr_t)program,
      .insn_cnt = ARRAY_LENGTH(program),
      .license = (uintptr_t) "Dual BSD/GPL",
      .log_buf = (uintptr_t)log,
      .log_size = sizeof log,
      .log_level = 1,
  };
  int fd = bpf(BPF_PROG_LOAD, &load);
  if (fd < 0) die("load the steering program (%s)", log);
  return fd;
}

void steer_to(const int sockets[steered_count]) {
  int program = load_program(make_socket_map(sockets));
  int network = open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC);
  if (network < 0) die("open the network namespace");
  union bpf_attr link = {.link_create = {.prog_fd = (uint32_t)program, .target_fd = (uint32_t)network, .attach_type = BPF_SK_LOOKUP}};
  /* The link lives as long as its descriptor: it is kept open on purpose. */
  if (bpf(BPF_LINK_CREATE, &link) < 0) die("attach the steering program");
  close(network);
}
