/* Chooses the subcommand. As PID 1 of the initramfs the kernel gives no useful arguments, so that alone means `init`. */
#include "helmr-guest.h"

#include <string.h>
#include <unistd.h>

static const struct {
  const char *name;
  int (*run)(int argc, char **argv);
} commands[] = {
    {"init", command_init},     {"attach", command_attach}, {"run", command_run},     {"place", command_place}, {"unplace", command_unplace},
    {"freeze", command_freeze}, {"hold", command_hold},     {"thaw", command_thaw},     {"sync", command_sync},   {"trim", command_trim},     {"scrub", command_scrub}, {"relay", command_relay},   {"rehearse", command_rehearse},
    {"copy", command_copy},     {"leave-root", command_leave_root},
};

int main(int argc, char **argv) {
  if (argc >= 2) {
    for (size_t index = 0; index < ARRAY_LENGTH(commands); index += 1) {
      if (strcmp(argv[1], commands[index].name) != 0) continue;
      subcommand = commands[index].name;
      return commands[index].run(argc - 1, argv + 1);
    }
  }
  if (getpid() == 1) {
    subcommand = "init";
    return command_init(argc, argv);
  }
  refuse("the first argument must be one of init, attach, run, place, unplace, freeze, hold, thaw, sync, trim, scrub, relay, rehearse, copy, leave-root");
}
