// kilter cat ADDR: the bytes of one file or tensor on standard output.
#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <span>

#include "kilter/checkpoint.h"

#include "base/text.h"
#include "base/try.h"
#include "cli/command.h"
#include "cli/store_support.h"
#include "store/read/commit_files.h"

namespace kilter::cli {

namespace {
namespace cat_command {

constexpr std::uint64_t kCatBlockBytes = 4ULL << 20;

constexpr PositionalSpec kPositionals[] = {
    {"ADDR", "A file of a commit: STORE@REF/PATH; or a commit, with --tensor"}};
constexpr OptionSpec kOptions[] = {
    {"--tensor", ValueKind::kText, "NAME", "The raw little-endian bytes of this tensor"},
};

Status write_out(Bytes bytes) {
  if (std::fwrite(bytes.data(), 1, bytes.size(), stdout) == bytes.size()) return ok();
  return fail(ErrorCode::kIo, "standard output cannot be written");
}

/// A range of one file of the commit.
struct Range {
  std::uint32_t file = 0;
  std::uint64_t offset_bytes = 0;
  std::uint64_t bytes = 0;
};

/// A tensor that is stored by itself, by its name in its own file; nullopt if there is none.
/// Errors: kInvalidArgument for different ones of that name.
Result<std::optional<Range>> find_tensor(const store::Tree& tree, const std::string& path,
                                         const std::string& name) {
  const store::TreeTensor* found = nullptr;
  for (const store::TreeTensor& tensor : tree.tensors) {
    if (tensor.name != name || (!path.empty() && tree.files[tensor.file].path != path)) continue;
    if (found != nullptr && found->chunks != tensor.chunks)
      return fail(Error(ErrorCode::kInvalidArgument,
                        fmt::format("both {} and {} have a tensor of this name",
                                    escape_text(tree.files[found->file].path),
                                    escape_text(tree.files[tensor.file].path)))
                      .at_tensor(name)
                      .advise("name the file: STORE@REF/PATH"));
    if (found == nullptr) found = &tensor;
  }
  if (found == nullptr) return std::optional<Range>();
  return std::optional<Range>(Range{found->file, found->offset_bytes, found->bytes});
}

Result<Range> find_file(const store::TreeReader& reader, const std::string& path) {
  const store::Tree& tree = reader.tree();
  const bool only = path.empty() && tree.files.size() == 1;
  const auto file = only ? std::optional<std::uint32_t>(0) : reader.find(path);
  if (file) return Range{*file, 0, tree.files[*file].bytes};
  if (path.empty())
    return fail(Error(ErrorCode::kInvalidArgument, "which file? the commit has several")
                    .advise("name it: STORE@REF/PATH, or a tensor with --tensor"));
  return fail(Error(ErrorCode::kNotFound, "the commit has no such file")
                  .at_path(path)
                  .advise("`kilter ls STORE@REF` lists them"));
}

/// Writes `bytes` that `read` fetches, block by block.
template <typename Read>
Status write_blocks(const RunContext& context, std::uint64_t bytes, const Read& read) {
  std::vector<std::byte> block;
  for (std::uint64_t at = 0; at < bytes; at += block.size()) {
    KILTER_TRY(context.check());
    block.resize(static_cast<std::size_t>(std::min(bytes - at, kCatBlockBytes)));
    KILTER_TRY(read(at, std::span<std::byte>(block)));
    KILTER_TRY(write_out(block));
  }
  return ok();
}

/// Any tensor that `kilter inspect` lists, by the name it has there: also those that are too small
/// to be stored by themselves.
Status cat_inspected(const Invocation& invocation, const store::FoundCommit& found,
                     const std::string& name) {
  const std::string mount = found.store->address() + "@" + to_hex(found.digest);
  KILTER_ASSIGN(const auto files, store::make_commit_file_system(found, mount));
  OpenOptions options;
  options.files = files.get();
  const auto checkpoint =
      open_checkpoint(found.path.empty() ? mount : io::join_path(mount, found.path), options);
  if (checkpoint) {
    const auto& tensors = checkpoint->data().index.tensors;
    const auto tensor = std::ranges::find(tensors, name, &TensorInfo::name);
    if (tensor != tensors.end()) {
      const auto index = static_cast<std::size_t>(tensor - tensors.begin());
      return write_blocks(invocation.context, tensor->bytes(),
                          [&](std::uint64_t at, std::span<std::byte> out) {
                            return checkpoint->read_tensor(index, at, out);
                          });
    }
  }
  return fail(Error(ErrorCode::kNotFound, "the commit has no tensor of this name")
                  .at_tensor(name)
                  .advise("`kilter inspect STORE@REF --tensors` lists them"));
}

Status cat(const Invocation& invocation) {
  KILTER_ASSIGN(const auto address, require_store(invocation.arguments.positionals[0]));
  KILTER_ASSIGN(const store::FoundCommit found, store::find_commit(address));
  KILTER_ASSIGN(const store::Commit commit, found.store->read_commit(found.digest));
  KILTER_ASSIGN(auto tree, found.store->read_tree(commit.tree));
  const store::TreeReader reader(found.store, std::move(tree));
  const std::string name = invocation.arguments.text("tensor");
  std::optional<Range> range;
  if (name.empty()) {
    KILTER_ASSIGN(range, find_file(reader, found.path));
  } else {
    KILTER_ASSIGN(range, find_tensor(reader.tree(), found.path, name));
  }
  if (!range) return cat_inspected(invocation, found, name);
  return write_blocks(invocation.context, range->bytes,
                      [&](std::uint64_t at, std::span<std::byte> out) {
                        return reader.read(range->file, range->offset_bytes + at, out);
                      });
}

int run(const Invocation& invocation) {
  if (isatty(STDOUT_FILENO) == 1 && invocation.arguments.has("tensor"))
    return report_error(Error(ErrorCode::kInvalidArgument, "a terminal cannot show raw numbers")
                            .advise("send them to a file or a program"),
                        invocation.terminal);
  const Status done = cat(invocation);
  return done ? 0 : report_error(done.error(), invocation.terminal);
}

}  // namespace cat_command
}  // namespace

const CommandSpec kCatCommand = {
    .name = "cat",
    .summary = "Write one file or tensor of a commit to standard output",
    .description =
        "Every part is checked against its name before it is written. A tensor has the name that "
        "`kilter ls --tensors` or `kilter inspect --tensors` shows.",
    .positionals = cat_command::kPositionals,
    .options = cat_command::kOptions,
    .examples =
        "kilter cat runs.kilter@v1/config.json\n"
        "kilter cat runs.kilter@best:loss --tensor lm_head.weight > lm_head.bin",
    .exit_statuses =
        "0    done\n2    wrong usage\n3    the store is malformed or damaged\n"
        "4    no such store, commit, file or tensor\n5    I/O error\n130  interrupted",
    .run = cat_command::run,
};

}  // namespace kilter::cli
