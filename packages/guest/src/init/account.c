/* Reads /etc/passwd and /etc/group of the image. Names, numbers and "user:group" as in an OCI configuration. */
#define _GNU_SOURCE
#include "helmr-guest.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { fields_max = 7 };

static bool parse_id(const char *text, uint32_t *id) {
  char *end;
  errno = 0;
  unsigned long value = strtoul(text, &end, 10);
  if (errno != 0 || text[0] < '0' || text[0] > '9' || *end != '\0' || value >= UINT32_MAX) return false;
  *id = (uint32_t)value;
  return true;
}

static size_t split_fields(char *line, char *fields[fields_max]) {
  size_t count = 0;
  line[strcspn(line, "\n")] = '\0';
  for (char *rest = line; rest && count < fields_max; count += 1) fields[count] = strsep(&rest, ":");
  return count;
}

/* Calls `visit` for each well-formed line until it says stop. */
static void each_line(const char *root, const char *file, size_t field_count, bool (*visit)(char **fields, void *context), void *context) {
  char path[4096];
  snprintf(path, sizeof path, "%s%s", root, file);
  FILE *stream = fopen(path, "re");
  if (!stream) return;
  char *line = NULL;
  size_t capacity = 0;
  while (getline(&line, &capacity, stream) >= 0) {
    char *fields[fields_max];
    if (split_fields(line, fields) >= field_count && !visit(fields, context)) break;
  }
  free(line);
  fclose(stream);
}

struct user_search {
  const char *wanted;
  bool by_id;
  uint32_t id;
  bool found;
  struct account *account;
};

static bool visit_user(char **fields, void *context) {
  struct user_search *search = context;
  uint32_t uid, gid;
  if (!parse_id(fields[2], &uid) || !parse_id(fields[3], &gid)) return true;
  if (search->by_id ? uid != search->id : strcmp(fields[0], search->wanted) != 0) return true;
  search->found = true;
  search->account->uid = uid;
  search->account->gid = gid;
  snprintf(search->account->name, sizeof search->account->name, "%s", fields[0]);
  snprintf(search->account->home, sizeof search->account->home, "%s", fields[5]);
  return false;
}

struct group_search {
  const char *wanted;
  uint32_t gid;
  bool found;
};

static bool visit_group(char **fields, void *context) {
  struct group_search *search = context;
  if (strcmp(fields[0], search->wanted) != 0) return true;
  search->found = parse_id(fields[2], &search->gid);
  return !search->found;
}

static bool visit_membership(char **fields, void *context) {
  struct account *account = context;
  uint32_t gid;
  if (account->group_count >= ARRAY_LENGTH(account->groups) || !parse_id(fields[2], &gid)) return true;
  for (char *rest = fields[3], *name; (name = strsep(&rest, ",")) != NULL;) {
    if (strcmp(name, account->name) != 0 || gid == account->gid) continue;
    account->groups[account->group_count] = gid;
    account->group_count += 1;
    break;
  }
  return true;
}

bool find_account(const char *root, const char *user, struct account *account, char problem[static 256]) {
  char name[256];
  snprintf(name, sizeof name, "%s", user);
  char *group = strchr(name, ':');
  if (group) {
    *group = '\0';
    group += 1;
  }
  memset(account, 0, sizeof *account);
  struct user_search search = {.wanted = name, .account = account};
  search.by_id = parse_id(name, &search.id);
  each_line(root, "/etc/passwd", 6, visit_user, &search);
  if (!search.found && !search.by_id && strcmp(name, "root") != 0) {
    snprintf(problem, 256, "the image has no user \"%.200s\"", name);
    return false;
  }
  if (!search.found) {
    /* A number without an entry, or root of an image without /etc/passwd. */
    account->uid = search.by_id ? search.id : 0;
    snprintf(account->name, sizeof account->name, "%s", name);
    snprintf(account->home, sizeof account->home, "%s", account->uid == 0 ? "/root" : "/");
  }
  if (!group) {
    each_line(root, "/etc/group", 4, visit_membership, account);
    return true;
  }
  struct group_search group_search = {.wanted = group};
  if (!parse_id(group, &group_search.gid)) {
    each_line(root, "/etc/group", 3, visit_group, &group_search);
    if (!group_search.found) {
      snprintf(problem, 256, "the image has no group \"%.200s\"", group);
      return false;
    }
  }
  account->gid = group_search.gid;
  return true;
}
