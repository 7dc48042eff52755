// libfuse, loaded when a store is mounted and never before: linking it would cost every start of
// the program.
#pragma once

#define FUSE_USE_VERSION 34
#include <fuse3/fuse_lowlevel.h>

#include <string>

#include "kilter/error.h"

namespace kilter::store {

/// The functions that are used, each of the type its header gives it. All are in libfuse 3.0, but
/// for the last.
struct FuseLibrary {
  decltype(&::fuse_session_new) session_new;
  decltype(&::fuse_session_mount) session_mount;
  decltype(&::fuse_session_unmount) session_unmount;
  decltype(&::fuse_session_destroy) session_destroy;
  decltype(&::fuse_session_exit) session_exit;
  decltype(&::fuse_session_exited) session_exited;
  decltype(&::fuse_session_receive_buf) session_receive_buf;
  decltype(&::fuse_session_process_buf) session_process_buf;
  decltype(&::fuse_req_userdata) req_userdata;
  decltype(&::fuse_reply_err) reply_err;
  decltype(&::fuse_reply_none) reply_none;
  decltype(&::fuse_reply_entry) reply_entry;
  decltype(&::fuse_reply_attr) reply_attr;
  decltype(&::fuse_reply_open) reply_open;
  decltype(&::fuse_reply_buf) reply_buf;
  decltype(&::fuse_reply_statfs) reply_statfs;
  decltype(&::fuse_add_direntry) add_direntry;
  decltype(&::fuse_opt_free_args) opt_free_args;
  decltype(&::fuse_set_log_func) set_log_func;  ///< since 3.7; may be null
};

/// Loads it once for the process. Errors: kUnsupported naming the package where it is missing.
Result<const FuseLibrary*> fuse_library();

}  // namespace kilter::store
