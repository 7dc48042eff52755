#include "store/mount/fuse_calls.h"

#include <cerrno>
#include <cstring>

namespace kilter::store {
namespace {

/// A folder that is open: its names as they were then.
using OpenedFolder = std::vector<MountListed>;
using OpenedFile = std::shared_ptr<MountFile>;

FuseServer& server_of(fuse_req_t request);

/// Set once, before the first call: a request can be asked for its user data only through it.
const FuseLibrary* calls_library = nullptr;

FuseServer& server_of(fuse_req_t request) {
  return *static_cast<FuseServer*>(calls_library->req_userdata(request));
}

int error_number(const Error& error) {
  switch (error.code) {
    case ErrorCode::kNotFound:
      return ENOENT;
    case ErrorCode::kInvalidArgument:
      return ENOTDIR;
    case ErrorCode::kPermission:
      return EACCES;
    default:
      return EIO;
  }
}

void refuse(fuse_req_t request, const Error& error, int number) {
  const FuseServer& server = server_of(request);
  if (number == EIO && server.on_fault) server.on_fault(error);
  server.library.reply_err(request, number);
}

void refuse(fuse_req_t request, const Error& error) { refuse(request, error, error_number(error)); }

struct stat to_stat(const FuseServer& server, const MountEntry& entry) {
  constexpr std::uint64_t kBlockBytes = 512;
  struct stat info{};
  info.st_ino = entry.inode;
  info.st_mode = entry.folder ? S_IFDIR | 0555 : S_IFREG | 0444;
  info.st_nlink = entry.folder ? 2 : 1;
  info.st_uid = server.user;
  info.st_gid = server.group;
  info.st_size = static_cast<off_t>(entry.bytes);
  info.st_blocks = static_cast<blkcnt_t>((entry.bytes + kBlockBytes - 1) / kBlockBytes);
  info.st_blksize = 1 << 17;
  info.st_mtim.tv_sec = entry.time_unix_ns / 1'000'000'000;
  info.st_mtim.tv_nsec = entry.time_unix_ns % 1'000'000'000;
  info.st_atim = info.st_ctim = info.st_mtim;
  return info;
}

void call_lookup(fuse_req_t request, fuse_ino_t parent, const char* name) {
  const FuseServer& server = server_of(request);
  const auto entry = server.tree.look_up(parent, name);
  if (!entry) return refuse(request, entry.error());
  fuse_entry_param param{};
  param.ino = entry->inode;
  param.attr = to_stat(server, *entry);
  param.attr_timeout = entry->entry_seconds;
  param.entry_timeout = entry->name_seconds;
  // The kernel gave up on the call: it will not forget the inode either.
  if (server.library.reply_entry(request, &param) != 0) server.tree.forget(entry->inode, 1);
}

void call_forget(fuse_req_t request, fuse_ino_t inode, std::uint64_t count) {
  const FuseServer& server = server_of(request);
  server.tree.forget(inode, count);
  server.library.reply_none(request);
}

void call_forget_many(fuse_req_t request, std::size_t count, fuse_forget_data* forgotten) {
  const FuseServer& server = server_of(request);
  for (std::size_t i = 0; i < count; ++i)
    server.tree.forget(forgotten[i].ino, forgotten[i].nlookup);
  server.library.reply_none(request);
}

void call_getattr(fuse_req_t request, fuse_ino_t inode, fuse_file_info*) {
  const FuseServer& server = server_of(request);
  const auto entry = server.tree.stat(inode);
  if (!entry) return refuse(request, entry.error());
  const struct stat info = to_stat(server, *entry);
  server.library.reply_attr(request, &info, entry->entry_seconds);
}

void call_opendir(fuse_req_t request, fuse_ino_t inode, fuse_file_info* file) {
  const FuseServer& server = server_of(request);
  auto listed = server.tree.list(inode);
  if (!listed) return refuse(request, listed.error());
  auto* const folder = new OpenedFolder(std::move(*listed));
  file->fh = reinterpret_cast<std::uint64_t>(folder);
  if (server.library.reply_open(request, file) != 0) delete folder;
}

void call_readdir(fuse_req_t request, fuse_ino_t, std::size_t size, off_t offset,
                  fuse_file_info* file) {
  const FuseServer& server = server_of(request);
  const auto& folder = *reinterpret_cast<const OpenedFolder*>(file->fh);
  std::vector<char> out(size);
  std::size_t used = 0;
  for (auto i = static_cast<std::size_t>(offset); i < folder.size(); ++i) {
    struct stat info{};
    info.st_ino = 0xffffffff;  // libfuse's own "unknown"; looking the name up tells
    info.st_mode = folder[i].folder ? S_IFDIR : S_IFREG;
    const std::size_t length =
        server.library.add_direntry(request, out.data() + used, size - used, folder[i].name.c_str(),
                                    &info, static_cast<off_t>(i + 1));
    if (length > size - used) break;
    used += length;
  }
  server.library.reply_buf(request, out.data(), used);
}

void call_releasedir(fuse_req_t request, fuse_ino_t, fuse_file_info* file) {
  delete reinterpret_cast<OpenedFolder*>(file->fh);
  server_of(request).library.reply_err(request, 0);
}

void call_open(fuse_req_t request, fuse_ino_t inode, fuse_file_info* file) {
  const FuseServer& server = server_of(request);
  if ((file->flags & O_ACCMODE) != O_RDONLY) {
    server.library.reply_err(request, EROFS);
    return;
  }
  auto opened = server.tree.open(inode);
  // An inode whose commit is gone by now: the name was there, the data are not.
  if (!opened) return refuse(request, opened.error(), EIO);
  auto* const handle = new OpenedFile(std::move(*opened));
  file->fh = reinterpret_cast<std::uint64_t>(handle);
  file->keep_cache = 1;  // an inode's bytes never change
  if (server.library.reply_open(request, file) != 0) delete handle;
}

void call_read(fuse_req_t request, fuse_ino_t, std::size_t size, off_t offset,
               fuse_file_info* file) {
  const FuseServer& server = server_of(request);
  MountFile& opened = **reinterpret_cast<OpenedFile*>(file->fh);
  thread_local std::vector<std::byte> buffer;
  buffer.resize(size);
  const auto count = opened.read(static_cast<std::uint64_t>(offset), buffer);
  if (!count) return refuse(request, count.error(), EIO);
  server.library.reply_buf(request, reinterpret_cast<const char*>(buffer.data()), *count);
}

void call_release(fuse_req_t request, fuse_ino_t, fuse_file_info* file) {
  delete reinterpret_cast<OpenedFile*>(file->fh);
  server_of(request).library.reply_err(request, 0);
}

void call_statfs(fuse_req_t request, fuse_ino_t) {
  struct statvfs info{};
  info.f_bsize = info.f_frsize = 4096;
  info.f_namemax = 255;
  info.f_flag = ST_RDONLY;
  server_of(request).library.reply_statfs(request, &info);
}

void call_init(void* data, fuse_conn_info*) {
  calls_library = &static_cast<FuseServer*>(data)->library;
}

}  // namespace

fuse_lowlevel_ops fuse_calls() {
  fuse_lowlevel_ops calls{};
  calls.init = call_init;
  calls.lookup = call_lookup;
  calls.forget = call_forget;
  calls.forget_multi = call_forget_many;
  calls.getattr = call_getattr;
  calls.opendir = call_opendir;
  calls.readdir = call_readdir;
  calls.releasedir = call_releasedir;
  calls.open = call_open;
  calls.read = call_read;
  calls.release = call_release;
  calls.statfs = call_statfs;
  return calls;
}

}  // namespace kilter::store
