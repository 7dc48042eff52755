#include <algorithm>

#include "base/checked.h"
#include "base/try.h"
#include "io/safe_path.h"
#include "store/format/element.h"
#include "store/format/json_fields.h"
#include "store/format/objects.h"

namespace kilter::store {
namespace {

constexpr std::uint64_t kTreeVersion = 1;
constexpr std::uint64_t kFileBytesMax = 1ULL << 60;
constexpr std::size_t kRankMax = 64;
constexpr std::size_t kFilesMax = 1'000'000;

SortedJson tensor_json(const TreeTensor& tensor) {
  SortedJson chunks = SortedJson::array();
  for (const Digest& digest : tensor.chunks) chunks.push_back(to_hex(digest));
  SortedJson out;
  out["at"] = {tensor.file, tensor.offset_bytes};
  out["bytes"] = tensor.bytes;
  out["chunks"] = std::move(chunks);
  out["dtype"] = std::string(dtype_name(tensor.dtype));
  out["name"] = tensor.name;
  out["piece"] = tensor.piece_bytes;
  out["shape"] = tensor.shape;
  return out;
}

TreeTensor parse_tensor(JsonFields& tree, const Json& json) {
  JsonFields fields(json, "a tensor of the tree");
  TreeTensor tensor;
  tensor.name = fields.text("name");
  const auto dtype = dtype_from_name(fields.text("dtype"));
  if (!dtype) fields.fault("has a dtype that is none");
  tensor.dtype = dtype.value_or(DType::kU8);
  tensor.bytes = fields.u64("bytes", kFileBytesMax);
  tensor.piece_bytes = fields.u64("piece", kChunkBytesMax);
  const Json& shape = fields.array("shape");
  if (shape.size() > kRankMax) fields.fault("has more than 64 dimensions");
  for (const Json& size : shape)
    tensor.shape.push_back(static_cast<std::int64_t>(fields.to_u64(size, kFileBytesMax)));
  const Json& at = fields.array("at");
  if (at.size() != 2) fields.fault("lies nowhere");
  if (fields.sound()) {
    tensor.file = static_cast<std::uint32_t>(fields.to_u64(at[0], kFilesMax));
    tensor.offset_bytes = fields.to_u64(at[1], kFileBytesMax);
  }
  for (const Json& digest : fields.array("chunks"))
    tensor.chunks.push_back(fields.to_digest(digest));
  if (!fields.sound()) tree.fault("is malformed: " + fields.status().error().message);
  return tensor;
}

/// Tensors lie in order inside their files, and their chunks are as many as their bytes need.
Status check_tensors(const Tree& tree) {
  std::uint32_t file = 0;
  std::uint64_t end = 0;
  for (const TreeTensor& tensor : tree.tensors) {
    const auto malformed = [&](const char* message) {
      return fail(Error(ErrorCode::kMalformed, message).at_tensor(tensor.name));
    };
    if (tensor.file >= tree.files.size()) return malformed("lies in a file that is not there");
    if (tensor.file < file) return malformed("does not follow the tensor before it");
    if (tensor.file > file) end = 0;
    file = tensor.file;
    if (tensor.offset_bytes < end) return malformed("overlaps the tensor before it");
    if (!range_fits(tensor.offset_bytes, tensor.bytes, tree.files[file].bytes))
      return malformed("reaches past the end of its file");
    end = tensor.offset_bytes + tensor.bytes;
    if (tensor.piece_bytes == 0 || tensor.bytes == 0) return malformed("is cut into nothing");
    if (tensor.chunks.size() != (tensor.bytes - 1) / tensor.piece_bytes + 1)
      return malformed("has another number of chunks than its size needs");
  }
  return ok();
}

/// Like the order of paths, but with '/' before everything else: a folder's content follows right
/// behind a file of the folder's name.
bool before_as_folders(const TreeFile* a, const TreeFile* b) {
  const auto rank = [](char c) {
    return c == '/' ? 0 : static_cast<int>(static_cast<unsigned char>(c));
  };
  return std::ranges::lexicographical_compare(a->path, b->path, {}, rank, rank);
}

/// No path is both a file and a folder that others lie in: nobody could restore that.
Status check_folders(const Tree& tree) {
  std::vector<const TreeFile*> order;
  order.reserve(tree.files.size());
  for (const TreeFile& file : tree.files) order.push_back(&file);
  std::ranges::sort(order, before_as_folders);
  for (std::size_t i = 1; i < order.size(); ++i) {
    const std::string& above = order[i - 1]->path;
    const std::string& path = order[i]->path;
    if (path.size() > above.size() && path[above.size()] == '/' && path.starts_with(above))
      return fail(Error(ErrorCode::kMalformed, "a path of the tree is a file and a folder")
                      .at_path(above)
                      .wanted("a file or a folder", "also the file \"" + path + "\""));
  }
  return ok();
}

/// Skeleton and tensors together are exactly the files.
Status check_coverage(const Tree& tree) {
  std::uint64_t all = 0;
  for (const TreeFile& file : tree.files) {
    KILTER_TRY(io::check_relative_name(file.path));
    const auto sum = checked_add(all, file.bytes);
    if (!sum) return fail(ErrorCode::kMalformed, "the tree's files are larger than 2^64 bytes");
    all = *sum;
  }
  for (const TreeTensor& tensor : tree.tensors) all -= tensor.bytes;
  for (const SkeletonPart& part : tree.skeleton) {
    if (part.bytes == 0 || part.bytes > kChunkBytesMax || part.bytes > all)
      return fail(ErrorCode::kMalformed, "the skeleton does not fit the tree's files");
    all -= part.bytes;
  }
  if (all != 0) return fail(ErrorCode::kMalformed, "the skeleton does not fill the tree's files");
  for (std::size_t i = 1; i < tree.files.size(); ++i)
    if (tree.files[i - 1].path >= tree.files[i].path)
      return fail(ErrorCode::kMalformed, "the tree's files are not in order");
  KILTER_TRY(check_folders(tree));
  if (tree.single_file && tree.files.size() != 1)
    return fail(ErrorCode::kMalformed, "the tree is a single file but holds several");
  return ok();
}

}  // namespace

std::uint64_t Tree::file_bytes() const {
  std::uint64_t sum = 0;
  for (const TreeFile& file : files) sum += file.bytes;
  return sum;
}

std::string tree_text(const Tree& tree) {
  SortedJson out;
  out["files"] = SortedJson::array();
  for (const TreeFile& file : tree.files)
    out["files"].push_back({{"bytes", file.bytes}, {"path", file.path}});
  out["format"] = tree.format;
  out["root"] = tree.single_file ? "file" : "folder";
  out["skeleton"] = SortedJson::array();
  for (const SkeletonPart& part : tree.skeleton)
    out["skeleton"].push_back(SortedJson::array({to_hex(part.digest), part.bytes}));
  out["tensors"] = SortedJson::array();
  for (const TreeTensor& tensor : tree.tensors) out["tensors"].push_back(tensor_json(tensor));
  out["version"] = kTreeVersion;
  return out.dump(-1, ' ', false, SortedJson::error_handler_t::replace);
}

Result<Tree> parse_tree(std::string_view text) {
  KILTER_ASSIGN(const Json json, parse_json(text, {.depth_max = 16}));
  JsonFields fields(json, "the tree");
  Tree tree;
  const std::uint64_t version = fields.u64("version", ~std::uint64_t{0});
  if (fields.sound() && version != kTreeVersion)
    return fail(Error(ErrorCode::kUnsupported, "the tree is of another version")
                    .wanted("version 1", "version " + std::to_string(version))
                    .advise("use a newer Kilter"));
  tree.format = fields.text_or("format", {});
  tree.single_file = fields.text("root") == "file";
  for (const Json& json_file : fields.array("files")) {
    JsonFields file(json_file, "a file of the tree");
    tree.files.push_back({file.text("path"), file.u64("bytes", kFileBytesMax)});
    if (!file.sound()) fields.fault("is malformed: " + file.status().error().message);
  }
  for (const Json& part : fields.array("skeleton")) {
    if (!part.is_array() || part.size() != 2) {
      fields.fault("has a skeleton part that is no pair");
      break;
    }
    tree.skeleton.push_back({fields.to_digest(part[0]), fields.to_u64(part[1], kChunkBytesMax)});
  }
  for (const Json& tensor : fields.array("tensors"))
    tree.tensors.push_back(parse_tensor(fields, tensor));
  KILTER_TRY(fields.status());
  KILTER_TRY(check_coverage(tree));
  KILTER_TRY(check_tensors(tree));
  return tree;
}

}  // namespace kilter::store
