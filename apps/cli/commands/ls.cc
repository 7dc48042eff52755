// kilter ls ADDR: files and tensors of a commit.
#include <fmt/format.h>

#include <algorithm>
#include <cstdio>

#include "kilter/dtype.h"

#include "base/text.h"
#include "base/try.h"
#include "cli/command.h"
#include "cli/store_support.h"

namespace kilter::cli {

namespace {
namespace ls_command {

constexpr PositionalSpec kPositionals[] = {
    {"ADDR", "A store (its references), or a commit of one (its files)"}};
constexpr OptionSpec kOptions[] = {
    {"--tensors", ValueKind::kOptional, "GLOB", "List tensors instead, or those that match"},
};

Status list_refs_of(const Invocation& invocation, const OpenedStore& opened) {
  const Style style(invocation.terminal.colour_out);
  Json list = Json::array();
  for (const store::Ref& ref : opened.history.refs()) {
    const bool tag = ref.kind == store::RefKind::kTag;
    const auto commit = opened.history.find(ref.commit);
    const std::string step = commit ? step_text(opened.history.commits()[*commit]) : "";
    if (!invocation.terminal.json)
      std::printf("%-7s %s  %s%s\n", tag ? "tag" : "branch",
                  style.name(short_digest(ref.commit)).c_str(), escape_text(ref.name).c_str(),
                  step.empty() ? "" : fmt::format("  step {}", step).c_str());
    list.push_back(
        {{"kind", tag ? "tag" : "branch"}, {"name", ref.name}, {"commit", to_hex(ref.commit)}});
  }
  if (invocation.terminal.json) print_json({{"refs", list}});
  return ok();
}

std::string shape_text(const std::vector<std::int64_t>& shape) {
  return fmt::format("[{}]", fmt::join(shape, ","));
}

/// The file itself, or what lies in the folder; all for an empty path.
bool is_below(const std::string& file, const std::string& path) {
  return path.empty() || file == path || file.starts_with(path + "/");
}

void list_tensors(const Invocation& invocation, const store::Tree& tree, const std::string& path) {
  const std::string glob = invocation.arguments.text("tensors", "*");
  Json list = Json::array();
  for (const store::TreeTensor& tensor : tree.tensors) {
    const std::string& file = tree.files[tensor.file].path;
    if (!glob_match(glob, tensor.name) || !is_below(file, path)) continue;
    if (!invocation.terminal.json)
      std::printf("%10s  %-8s %-16s %s  %s\n", format_bytes(tensor.bytes).c_str(),
                  std::string(dtype_name(tensor.dtype)).c_str(), shape_text(tensor.shape).c_str(),
                  escape_text(tensor.name).c_str(), escape_text(file).c_str());
    list.push_back({{"name", tensor.name},
                    {"dtype", dtype_name(tensor.dtype)},
                    {"shape", tensor.shape},
                    {"bytes", tensor.bytes},
                    {"file", file},
                    {"offset", tensor.offset_bytes},
                    {"chunks", tensor.chunks.size()}});
  }
  if (invocation.terminal.json) {
    print_json({{"tensors", list}});
  } else if (list.empty() && !invocation.terminal.quiet) {
    std::puts("no tensors");
  }
}

void list_files(const Invocation& invocation, const store::Tree& tree, const std::string& path) {
  Json list = Json::array();
  for (const store::TreeFile& file : tree.files) {
    if (!is_below(file.path, path)) continue;
    if (!invocation.terminal.json)
      std::printf("%10s  %s\n", format_bytes(file.bytes).c_str(), escape_text(file.path).c_str());
    list.push_back({{"path", file.path}, {"bytes", file.bytes}});
  }
  if (invocation.terminal.json) print_json({{"files", list}});
}

Status list(const Invocation& invocation) {
  const std::string& address = invocation.arguments.positionals[0];
  KILTER_ASSIGN(const store::StoreAddress parsed, require_store(address));
  if (!parsed.stated) {
    KILTER_ASSIGN(const OpenedStore opened, open_with_history(address));
    return list_refs_of(invocation, opened);
  }
  KILTER_ASSIGN(const store::FoundCommit found, store::find_commit(parsed));
  KILTER_ASSIGN(const store::Commit commit, found.store->read_commit(found.digest));
  KILTER_ASSIGN(const auto tree, found.store->read_tree(commit.tree));
  if (std::ranges::none_of(tree->files,
                           [&](const auto& f) { return is_below(f.path, found.path); }))
    if (!found.path.empty())
      return fail(Error(ErrorCode::kNotFound, "the commit has no such file or folder")
                      .at_path(found.path)
                      .advise("`kilter ls` without the path lists them"));
  if (invocation.arguments.has("tensors")) {
    list_tensors(invocation, *tree, found.path);
  } else {
    list_files(invocation, *tree, found.path);
  }
  return ok();
}

int run(const Invocation& invocation) {
  const Status done = list(invocation);
  return done ? 0 : report_error(done.error(), invocation.terminal);
}

}  // namespace ls_command
}  // namespace

const CommandSpec kLsCommand = {
    .name = "ls",
    .summary = "List the references of a store, or the files or tensors of a commit",
    .description =
        "Without '@' the branches and tags of the store; with it the commit's files, or those "
        "below a path "
        "in it. Tensors have the names of their own file; `kilter inspect` shows those of the "
        "whole.",
    .positionals = ls_command::kPositionals,
    .options = ls_command::kOptions,
    .examples =
        "kilter ls runs.kilter\n"
        "kilter ls runs.kilter@step:1200\n"
        "kilter ls runs.kilter@v1 --tensors '*.attn.*'\n"
        "kilter ls runs.kilter@v1/optimizer.pt --tensors",
    .exit_statuses =
        "0    done\n2    wrong usage\n3    the store is malformed or damaged\n"
        "4    no such store, commit or file\n5    I/O error",
    .run = ls_command::run,
};

}  // namespace kilter::cli
