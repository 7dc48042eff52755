// kilter cat ADDR: the bytes of one file or tensor on standard output.
#include <unistd.h>

#include <algorithm>
#include <cstdio>

#include "base/try.h"
#include "cli/command.h"
#include "cli/store_support.h"
#include "store/read/commit_files.h"

namespace kilter::cli {

namespace {

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

Result<Range> find_range(const store::TreeReader& reader, const std::string& path,
                         const std::string& tensor_name) {
  const store::Tree& tree = reader.tree();
  if (!tensor_name.empty()) {
    for (const store::TreeTensor& tensor : tree.tensors)
      if (tensor.name == tensor_name && (path.empty() || tree.files[tensor.file].path == path))
        return Range{tensor.file, tensor.offset_bytes, tensor.bytes};
    return fail(Error(ErrorCode::kNotFound, "the commit has no stored tensor of this name")
                    .at_tensor(tensor_name)
                    .advise("`kilter ls ADDR --tensors` lists them"));
  }
  const bool only = path.empty() && tree.files.size() == 1;
  const auto file = only ? std::optional<std::uint32_t>(0) : reader.find(path);
  if (file) return Range{*file, 0, tree.files[*file].bytes};
  return fail(Error(ErrorCode::kNotFound, "the commit has no such file")
                  .at_path(path.empty() ? "(no path)" : path)
                  .advise("`kilter ls ADDR` lists them"));
}

Status cat(const Invocation& invocation) {
  KILTER_ASSIGN(const auto address, require_store(invocation.arguments.positionals[0]));
  KILTER_ASSIGN(const store::FoundCommit found, store::find_commit(address));
  KILTER_ASSIGN(const store::Commit commit, found.store->read_commit(found.digest));
  KILTER_ASSIGN(auto tree, found.store->read_tree(commit.tree));
  const store::TreeReader reader(found.store, std::move(tree));
  KILTER_ASSIGN(Range range, find_range(reader, found.path, invocation.arguments.text("tensor")));
  std::vector<std::byte> block;
  while (range.bytes > 0) {
    KILTER_TRY(invocation.context.check());
    block.resize(static_cast<std::size_t>(std::min(range.bytes, kCatBlockBytes)));
    KILTER_TRY(reader.read(range.file, range.offset_bytes, block));
    KILTER_TRY(write_out(block));
    range.offset_bytes += block.size();
    range.bytes -= block.size();
  }
  return ok();
}

int run(const Invocation& invocation) {
  if (isatty(STDOUT_FILENO) == 1 && invocation.arguments.has("tensor"))
    return report_error(Error(ErrorCode::kInvalidArgument, "a terminal cannot show raw numbers")
                            .advise("send them to a file or a program"),
                        invocation.terminal);
  const Status done = cat(invocation);
  return done ? 0 : report_error(done.error(), invocation.terminal);
}

}  // namespace

const CommandSpec kCatCommand = {
    .name = "cat",
    .summary = "Write one file or tensor of a commit to standard output",
    .description = "Every part is checked against its name before it is written.",
    .positionals = kPositionals,
    .options = kOptions,
    .examples =
        "kilter cat runs.kilter@v1/config.json\n"
        "kilter cat runs.kilter@best:loss --tensor lm_head.weight > lm_head.bin",
    .exit_statuses =
        "0    done\n2    wrong usage\n3    the store is malformed or damaged\n"
        "4    no such store, commit, file or tensor\n5    I/O error\n130  interrupted",
    .run = run,
};

}  // namespace kilter::cli
