/* Copies a directory tree with owners, modes, times, links, device nodes and extended attributes. */
#pragma once

#include "base/error.h"

/* Copies what is in directory FROM_FD into directory TO_FD (descriptors of any kind), staying on FROM's file system. */
int copy_tree(int from_fd, int to_fd, struct error *err);
