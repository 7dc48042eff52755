#include <new>

#include "kilter/convert.h"
#include "kilter/store.h"

#include "base/try.h"
#include "store/api/store_impl.h"
#include "store/read/commit_files.h"
#include "store/restore.h"

namespace kilter {
namespace store::api {

Result<OpenedCommit> opened_commit(const std::shared_ptr<Store>& store, std::string_view selector) {
  OpenedCommit opened;
  KILTER_ASSIGN(opened.found, find_commit(store, std::string(selector)));
  KILTER_ASSIGN(const Commit commit, store->read_commit(opened.found.digest));
  KILTER_ASSIGN(opened.tree, store->read_tree(commit.tree));
  return opened;
}

std::string mount_name(const FoundCommit& found, std::string_view selector) {
  std::string name = found.store->address() + "@" + std::string(selector);
  if (!found.path.empty()) name.resize(name.size() - found.path.size() - 1);
  return name;
}

}  // namespace store::api

namespace {

/// A file of a commit, found once.
struct CommitFile {
  store::TreeReader reader;
  std::uint32_t number = 0;
};

Result<CommitFile> find_file(const std::shared_ptr<store::Store>& store, std::string_view commit,
                             std::string_view path) {
  KILTER_ASSIGN(auto opened, store::api::opened_commit(store, commit));
  std::string whole = opened.found.path;
  if (!whole.empty() && !path.empty()) whole += '/';
  whole += path;
  const bool only = whole.empty() && opened.tree->single_file;
  store::TreeReader reader(store, std::move(opened.tree));
  const auto number = only ? std::optional<std::uint32_t>(0) : reader.find(whole);
  if (number) return CommitFile{std::move(reader), *number};
  return fail(Error(ErrorCode::kNotFound, "the commit has no such file")
                  .at_path(whole.empty() ? "(no path)" : whole)
                  .advise("files() lists them"));
}

/// A checkpoint and the file system it reads through, which goes when nobody reads any more.
struct MountedCheckpoint {
  std::unique_ptr<io::FileSystem> files;
  std::optional<Checkpoint> checkpoint;
};

Result<Checkpoint> open_mounted(const store::FoundCommit& found, const std::string& mount,
                                const std::string& path, OpenOptions options) {
  auto kept = std::make_shared<MountedCheckpoint>();
  KILTER_ASSIGN(kept->files, store::make_commit_file_system(found, mount));
  options.files = kept->files.get();
  KILTER_ASSIGN(kept->checkpoint,
                open_checkpoint(path.empty() ? mount : mount + "/" + path, options));
  const CheckpointData* data = &kept->checkpoint->data();
  const Source* source = kept->checkpoint->source().get();
  return Checkpoint(std::shared_ptr<const CheckpointData>(kept, data),
                    std::shared_ptr<const Source>(kept, source));
}

/// The one file at or below `path` that holds a stored tensor of this name; "" if none does.
Result<std::string> file_with_tensor(const store::Tree& tree, const std::string& path,
                                     std::string_view name) {
  std::string found;
  for (const store::TreeTensor& tensor : tree.tensors) {
    const std::string& file = tree.files[tensor.file].path;
    const bool within = path.empty() || file == path || file.starts_with(path + "/");
    if (tensor.name != name || !within || file == found) continue;
    if (!found.empty())
      return fail(Error(ErrorCode::kInvalidArgument, "several files hold a tensor of this name")
                      .at_tensor(name)
                      .wanted("one file", found + ", " + file)
                      .advise("name the file behind the commit, as in \"v1/" + file + "\""));
    found = file;
  }
  return found;
}

Result<RestoreOutcome> restore_tensors(const store::FoundCommit& found, const std::string& mount,
                                       const RestoreRequest& request) {
  KILTER_ASSIGN(const auto files, store::make_commit_file_system(found, mount));
  ConvertOptions options;
  options.to = request.as;
  options.only = request.only;
  options.force = request.force;
  options.max_memory_bytes = request.max_memory_bytes;
  options.thread_count = request.thread_count;
  options.open.files = files.get();
  options.context = request.context;
  const std::string source = found.path.empty() ? mount : mount + "/" + found.path;
  KILTER_ASSIGN(const ConvertReport report, convert(source, request.target, options));
  return RestoreOutcome{report.files.size(), report.written_bytes, report.seconds};
}

}  // namespace

Result<std::vector<StoredFile>> Store::files(std::string_view commit) const {
  KILTER_ASSIGN(const auto opened, store::api::opened_commit(impl_->store, commit));
  const std::string& path = opened.found.path;
  std::vector<StoredFile> out;
  for (const store::TreeFile& file : opened.tree->files)
    if (path.empty() || file.path == path || file.path.starts_with(path + "/"))
      out.push_back({file.path, file.bytes});
  return out;
}

Result<std::vector<StoredTensor>> Store::tensors(std::string_view commit) const {
  KILTER_ASSIGN(const auto opened, store::api::opened_commit(impl_->store, commit));
  const std::string& path = opened.found.path;
  std::vector<StoredTensor> out;
  for (const store::TreeTensor& tensor : opened.tree->tensors) {
    const std::string& file = opened.tree->files[tensor.file].path;
    if (path.empty() || file == path || file.starts_with(path + "/"))
      out.push_back(
          {tensor.name, tensor.dtype, tensor.shape, file, tensor.offset_bytes, tensor.bytes});
  }
  return out;
}

Result<RestoreOutcome> Store::restore(std::string_view commit,
                                      const RestoreRequest& request) const {
  KILTER_ASSIGN(auto found, store::find_commit(impl_->store, std::string(commit)));
  if (!request.only.empty() || !request.as.empty())
    return restore_tensors(found, store::api::mount_name(found, commit), request);
  store::RestoreRequest inner;
  inner.from = std::move(found);
  inner.target = request.target;
  inner.force = request.force;
  inner.max_memory_bytes = request.max_memory_bytes;
  inner.thread_count = request.thread_count;
  inner.context = request.context;
  KILTER_ASSIGN(const auto restored, store::restore_tree(inner));
  return RestoreOutcome{restored.file_count, restored.bytes, restored.seconds};
}

Status Store::read_file(std::string_view commit, std::string_view path, std::uint64_t offset_bytes,
                        std::span<std::byte> out) const {
  KILTER_ASSIGN(const CommitFile file, find_file(impl_->store, commit, path));
  return file.reader.read(file.number, offset_bytes, out);
}

Result<std::vector<std::byte>> Store::read_file(std::string_view commit,
                                                std::string_view path) const {
  KILTER_ASSIGN(const CommitFile file, find_file(impl_->store, commit, path));
  const std::uint64_t bytes = file.reader.tree().files[file.number].bytes;
  std::vector<std::byte> out;
  try {
    out.resize(bytes);
  } catch (const std::exception&) {  // bad_alloc; length_error for what no vector can hold
    return fail(Error(ErrorCode::kLimitExceeded, "the file does not fit into memory")
                    .at_path(path)
                    .advise("read it in parts, or restore it"));
  }
  KILTER_TRY(file.reader.read(file.number, 0, out));
  return out;
}

Result<Checkpoint> Store::open_checkpoint(std::string_view commit, OpenOptions options) const {
  KILTER_ASSIGN(const auto found, store::find_commit(impl_->store, std::string(commit)));
  return open_mounted(found, store::api::mount_name(found, commit), found.path, options);
}

Result<std::vector<std::byte>> Store::read_tensor(std::string_view commit,
                                                  std::string_view name) const {
  KILTER_ASSIGN(const auto opened, store::api::opened_commit(impl_->store, commit));
  const std::string mount = store::api::mount_name(opened.found, commit);
  const auto read = [&](const std::string& path) -> Result<std::vector<std::byte>> {
    KILTER_ASSIGN(const Checkpoint checkpoint, open_mounted(opened.found, mount, path, {}));
    return checkpoint.read_tensor(name);
  };
  auto bytes = read(opened.found.path);
  // Files beside each other may be no checkpoint together, and still be one each.
  const bool elsewhere = !bytes && (bytes.error().code == ErrorCode::kUnsupported ||
                                    bytes.error().code == ErrorCode::kNotFound);
  if (!elsewhere) return bytes;
  KILTER_ASSIGN(const std::string file, file_with_tensor(*opened.tree, opened.found.path, name));
  if (file.empty() || file == opened.found.path) return bytes;
  return read(file);
}

}  // namespace kilter
