#include "store/write/tree_writer.h"

#include <algorithm>
#include <deque>

#include "base/text.h"
#include "base/try.h"
#include "io/file_tree.h"
#include "io/safe_path.h"
#include "store/format/element.h"
#include "store/write/extents.h"
#include "store/write/skeleton_writer.h"

namespace kilter::store {
namespace {

constexpr std::uint64_t kGapReadBytes = 1ULL << 20;

struct SourceFile {
  std::string path;  // relative: the tree's name of it
  std::string full;
  io::FileStat stat;
};

bool is_skipped(const TreeSource& source, const std::string& path) {
  return std::ranges::any_of(source.skip,
                             [&](const std::string& glob) { return glob_match(glob, path); });
}

Result<std::vector<SourceFile>> list_source(const TreeSource& source, bool& single_file) {
  KILTER_ASSIGN(const io::FileStat info, source.files->stat(source.root));
  single_file = info.kind != io::FileKind::kFolder;
  if (single_file) return std::vector<SourceFile>{{io::last_part(source.root), source.root, info}};
  KILTER_ASSIGN(const io::FileTree tree, io::list_file_tree(*source.files, source.root));
  if (!tree.errors.empty()) return fail(tree.errors.front());
  std::vector<SourceFile> files;
  for (const io::FileTreeEntry& entry : tree.files)
    if (!is_skipped(source, entry.path))
      files.push_back({entry.path, io::join_path(source.root, entry.path), entry.stat});
  for (const io::FileTreeEntry& entry : tree.others) {
    if (is_skipped(source, entry.path)) continue;
    Error error(ErrorCode::kInvalidArgument, "is neither a file nor a folder");
    return fail(std::move(error)
                    .at_path(io::join_path(source.root, entry.path))
                    .advise("remove it, or leave it out with --skip"));
  }
  return files;
}

Error changed_meanwhile(const std::string& path) {
  return Error(ErrorCode::kIo, "the file changed while it was saved")
      .at_path(path)
      .advise("save it once it is written");
}

/// The tensors of a file that was saved before.
struct SeenTensors {
  std::shared_ptr<const Tree> tree;
  std::uint32_t file = 0;

  /// The one with the same bytes, cut in the same way.
  const TreeTensor* find(const TreeTensor& tensor) const {
    if (tree == nullptr) return nullptr;
    const auto place = [](const TreeTensor& t) { return std::pair(t.file, t.offset_bytes); };
    const auto found =
        std::ranges::lower_bound(tree->tensors, std::pair(file, tensor.offset_bytes), {}, place);
    if (found == tree->tensors.end() || place(*found) != std::pair(file, tensor.offset_bytes))
      return nullptr;
    const bool same = found->bytes == tensor.bytes && found->piece_bytes == tensor.piece_bytes;
    return same ? &*found : nullptr;
  }
};

class TreeWriter {
 public:
  TreeWriter(const TreeSource& source, ChunkWriter& writer, Tree& tree, SourceStats& stats,
             const SeenFiles* seen, const RunContext& context)
      : source_(source),
        writer_(writer),
        tree_(tree),
        stats_(stats),
        seen_(seen),
        context_(context) {}

  Status run() {
    KILTER_ASSIGN(const auto files, list_source(source_, tree_.single_file));
    for (const SourceFile& file : files) KILTER_TRY(plan_file(file));
    skeleton_.begin();
    for (std::size_t i = 0; i < files.size(); ++i) KILTER_TRY(add_file(files[i], i));
    return skeleton_.end();
  }

 private:
  Status plan_file(const SourceFile& file) {
    KILTER_TRY(io::check_relative_name(file.path));
    // Trees are JSON, which has no other names.
    if (!is_valid_utf8(file.path))
      return fail(Error(ErrorCode::kInvalidArgument, "the file's name is not UTF-8")
                      .at_path(file.full)
                      .advise("rename it, or leave it out with --skip"));
    const auto number = static_cast<std::uint32_t>(tree_.files.size());
    tree_.files.push_back({file.path, file.stat.bytes});
    stats_.push_back(file.stat);
    if (file.stat.bytes < kTensorBytesMin) return ok();
    for (Extent& extent : tensor_extents(*source_.files, file.full)) {
      if (extent.offset_bytes + extent.bytes > file.stat.bytes) break;
      TreeTensor tensor;
      tensor.name = std::move(extent.name);
      tensor.dtype = extent.dtype;
      tensor.shape = std::move(extent.shape);
      tensor.file = number;
      tensor.offset_bytes = extent.offset_bytes;
      tensor.bytes = extent.bytes;
      tensor.piece_bytes = piece_bytes_of(extent.dtype);
      tensor.chunks.resize((extent.bytes - 1) / tensor.piece_bytes + 1);
      tree_.tensors.push_back(std::move(tensor));
    }
    return ok();
  }

  Status add_file(const SourceFile& source, std::size_t number) {
    KILTER_ASSIGN(std::shared_ptr<const io::ReadFile> file, source_.files->open_read(source.full));
    if (file->bytes() != source.stat.bytes) return fail(changed_meanwhile(source.full));
    const SeenTensors seen = tensors_seen(source.stat);
    std::uint64_t at = 0;
    for (; tensor_ < tree_.tensors.size() && tree_.tensors[tensor_].file == number; ++tensor_) {
      TreeTensor& tensor = tree_.tensors[tensor_];
      KILTER_TRY(add_gap(*file, at, tensor.offset_bytes));
      if (reuse(seen, tensor)) {
        KILTER_TRY(advance(tensor.bytes));
      } else {
        KILTER_TRY(add_tensor(file, tensor));
      }
      at = tensor.offset_bytes + tensor.bytes;
    }
    return add_gap(*file, at, source.stat.bytes);
  }

  /// What the store has of this very file, if it was saved before and has not changed since.
  SeenTensors tensors_seen(const io::FileStat& stat) const {
    const auto found = seen_ == nullptr ? std::nullopt : seen_->find(stat);
    if (!found) return {};
    auto tree = writer_.store().read_tree(found->tree);
    if (!tree) return {};
    return {std::move(*tree), found->file};
  }

  bool reuse(const SeenTensors& seen, TreeTensor& tensor) {
    const TreeTensor* const known = seen.find(tensor);
    return known != nullptr && writer_.add_known(known->chunks, tensor.bytes, tensor.chunks);
  }

  Status add_tensor(const std::shared_ptr<const io::ReadFile>& file, TreeTensor& tensor) {
    for (std::size_t i = 0; i < tensor.chunks.size(); ++i) {
      const std::uint64_t begin = i * tensor.piece_bytes;
      ChunkJob job;
      job.bytes = std::min(tensor.piece_bytes, tensor.bytes - begin);
      job.element = element_of(tensor.dtype);
      job.digest = &tensor.chunks[i];
      job.read = [file, offset = tensor.offset_bytes + begin](std::uint64_t at,
                                                              std::span<std::byte> out) {
        return file->read_at(offset + at, out);
      };
      const std::uint64_t bytes = job.bytes;
      KILTER_TRY(writer_.add(std::move(job)));
      KILTER_TRY(advance(bytes));
    }
    return ok();
  }

  Status add_gap(const io::ReadFile& file, std::uint64_t begin, std::uint64_t end) {
    while (begin < end) {
      gap_.resize(static_cast<std::size_t>(std::min(end - begin, kGapReadBytes)));
      KILTER_TRY(file.read_at(begin, gap_));
      begin += gap_.size();
      KILTER_TRY(skeleton_.add(gap_));
      KILTER_TRY(advance(gap_.size()));
    }
    return ok();
  }

  Status advance(std::uint64_t bytes) {
    done_bytes_ += bytes;
    if (context_.progress != nullptr) context_.progress->update(done_bytes_);
    return context_.check();
  }

  const TreeSource& source_;
  ChunkWriter& writer_;
  Tree& tree_;
  SourceStats& stats_;
  const SeenFiles* seen_;
  const RunContext& context_;
  SkeletonWriter skeleton_{writer_, tree_};
  std::vector<std::byte> gap_;
  std::size_t tensor_ = 0;
  std::uint64_t done_bytes_ = 0;
};

}  // namespace

Status add_tree(const TreeSource& source, ChunkWriter& writer, Tree& tree, SourceStats& stats,
                const SeenFiles* seen, const RunContext& context) {
  return TreeWriter(source, writer, tree, stats, seen, context).run();
}

Status check_unchanged(const TreeSource& source, const Tree& tree, const SourceStats& stats) {
  std::size_t last = tree.files.size();
  for (const TreeTensor& tensor : tree.tensors) {
    if (tensor.file == last) continue;
    last = tensor.file;
    const std::string path =
        tree.single_file ? source.root : io::join_path(source.root, tree.files[last].path);
    KILTER_ASSIGN(const io::FileStat now, source.files->stat(path));
    const io::FileStat& then = stats[last];
    if (now.bytes != then.bytes || now.modified_unix_ns != then.modified_unix_ns ||
        now.inode != then.inode)
      return fail(changed_meanwhile(path));
  }
  return ok();
}

Result<std::uint64_t> source_bytes(const TreeSource& source) {
  bool single_file = false;
  KILTER_ASSIGN(const auto files, list_source(source, single_file));
  std::uint64_t sum = 0;
  for (const SourceFile& file : files) sum += file.stat.bytes;
  return sum;
}

}  // namespace kilter::store
