// A store as a folder of the system, by FUSE.
#pragma once

#include <functional>
#include <string>
#include <string_view>

#include "store/mount/mount_tree.h"

namespace kilter::store {

struct MountRequest {
  std::string store;   ///< address
  std::string folder;  ///< an existing folder; what it holds is hidden meanwhile
  MountOptions options;
  bool allow_other = false;        ///< let other users read too
  std::function<void()> on_ready;  ///< called once files can be read
  /// Told of every fault behind an I/O error; from any thread.
  std::function<void(const Error&)> on_fault;
  RunContext context;
};

/// Serves the store until the folder is unmounted or `context` is cancelled; then unmounts it.
/// Errors: kUnsupported without FUSE; kNotFound, kPermission, kInvalidArgument for the folder; what
/// opening the store reports.
Status mount_store(const MountRequest& request);

/// Ends the mount at a folder. Errors: kInvalidArgument where nothing is mounted by FUSE; kIo when
/// it is in use; kPermission.
Status unmount_store(const std::string& folder);

}  // namespace kilter::store
