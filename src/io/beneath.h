// Opening a name below a folder descriptor without ever leaving the folder.
#pragma once

#include <string>

#include "io/unique_fd.h"

namespace kilter::io {

/// The descriptor, or the errno of the failure: EXDEV when a symlink leads out.
struct BeneathResult {
  UniqueFd fd;
  int error_number = 0;
};

/// openat2(2) with RESOLVE_BENEATH. ENOSYS or EPERM where the kernel or a sandbox refuses the call.
BeneathResult open_beneath_kernel(int root_fd, const std::string& name, int flags);

/// The same by our own walk, part by part, each opened with O_NOFOLLOW, symlinks resolved by hand.
BeneathResult open_beneath_walk(int root_fd, const std::string& name, int flags);

}  // namespace kilter::io
