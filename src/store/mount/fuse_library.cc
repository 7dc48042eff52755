#include "store/mount/fuse_library.h"

#include <dlfcn.h>

namespace kilter::store {
namespace {

constexpr const char* kFuseLibraryName = "libfuse3.so.3";

struct LoadedFuse {
  FuseLibrary table{};
  std::string fault;
};

template <typename Function>
void find_symbol(void* library, const char* name, Function& function, std::string& fault) {
  function = reinterpret_cast<Function>(::dlsym(library, name));
  if (function == nullptr && fault.empty()) fault = std::string("it has no ") + name;
}

LoadedFuse load_fuse() {
  LoadedFuse loaded;
  void* const library = ::dlopen(kFuseLibraryName, RTLD_NOW | RTLD_LOCAL);
  if (library == nullptr) {
    const char* why = ::dlerror();
    loaded.fault = why != nullptr ? why : "it cannot be loaded";
    return loaded;
  }
  FuseLibrary& table = loaded.table;
  std::string& fault = loaded.fault;
  find_symbol(library, "fuse_session_new", table.session_new, fault);
  find_symbol(library, "fuse_session_mount", table.session_mount, fault);
  find_symbol(library, "fuse_session_unmount", table.session_unmount, fault);
  find_symbol(library, "fuse_session_destroy", table.session_destroy, fault);
  find_symbol(library, "fuse_session_exit", table.session_exit, fault);
  find_symbol(library, "fuse_session_exited", table.session_exited, fault);
  find_symbol(library, "fuse_session_receive_buf", table.session_receive_buf, fault);
  find_symbol(library, "fuse_session_process_buf", table.session_process_buf, fault);
  find_symbol(library, "fuse_req_userdata", table.req_userdata, fault);
  find_symbol(library, "fuse_reply_err", table.reply_err, fault);
  find_symbol(library, "fuse_reply_none", table.reply_none, fault);
  find_symbol(library, "fuse_reply_entry", table.reply_entry, fault);
  find_symbol(library, "fuse_reply_attr", table.reply_attr, fault);
  find_symbol(library, "fuse_reply_open", table.reply_open, fault);
  find_symbol(library, "fuse_reply_buf", table.reply_buf, fault);
  find_symbol(library, "fuse_reply_statfs", table.reply_statfs, fault);
  find_symbol(library, "fuse_add_direntry", table.add_direntry, fault);
  find_symbol(library, "fuse_opt_free_args", table.opt_free_args, fault);
  std::string optional;
  find_symbol(library, "fuse_set_log_func", table.set_log_func, optional);
  return loaded;
}

}  // namespace

Result<const FuseLibrary*> fuse_library() {
  static const LoadedFuse kLoaded = load_fuse();
  if (kLoaded.fault.empty()) return &kLoaded.table;
  return fail(Error(ErrorCode::kUnsupported,
                    std::string("mounting needs ") + kFuseLibraryName + ": " + kLoaded.fault)
                  .advise("install FUSE 3, on Debian `apt install fuse3`"));
}

}  // namespace kilter::store
