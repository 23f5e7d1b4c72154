/* Paths of the task's root, resolved inside it: a symbolic link of the image never leads out into the supervisor's root. */
#ifndef HELMR_IN_ROOT_H
#define HELMR_IN_ROOT_H

#include <stdint.h>
#include <sys/types.h>

/* O_PATH descriptor of a directory, made with its missing parents (0755); dies on failure. */
int directory_in_root(const char *root, const char *path);
/* Descriptor of what a path leads to; -1 when there is nothing. */
int find_in_root(const char *root, const char *path, uint64_t flags);
/* Replaces a file (or a symbolic link) by one with this content. */
void write_in_root(const char *root, const char *path, const char *content, mode_t mode);
/* Mounts on a directory of the root, made when missing. */
void mount_in_root(const char *root, const char *path, const char *source, const char *type, unsigned long flags, const char *options);

#endif
