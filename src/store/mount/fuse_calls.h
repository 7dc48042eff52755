// The calls of the kernel, answered from a MountTree.
#pragma once

#include <sys/types.h>

#include "store/mount/fuse_library.h"
#include "store/mount/mount.h"

namespace kilter::store {

/// What every call needs; the session's user data.
struct FuseServer {
  const FuseLibrary& library;
  MountTree& tree;
  uid_t user = 0;
  gid_t group = 0;
  std::function<void(const Error&)> on_fault;
};

fuse_lowlevel_ops fuse_calls();

}  // namespace kilter::store
