// kilter show ADDR: one commit, whole.
#include <fmt/format.h>

#include <cstdio>

#include "base/text.h"
#include "base/try.h"
#include "cli/command.h"
#include "cli/store_support.h"

namespace kilter::cli {

namespace {
namespace show_command {

constexpr PositionalSpec kPositionals[] = {{"ADDR", "A commit: STORE@REF"}};

/// "merge of a@…, b@…  {"weight":0.5}"; what does not look so, as it stands.
std::string lineage_text(const store::SortedJson& entry) {
  const auto text = [&](const char* key) { return entry.find(key); };
  if (!entry.is_object() || text("operation") == entry.end() || text("inputs") == entry.end() ||
      !text("operation")->is_string() || !text("inputs")->is_array())
    return entry.dump();
  std::string out = text("operation")->get<std::string>();
  const char* between = " of ";
  for (const auto& input : *text("inputs")) {
    out += between + (input.is_string() ? input.get<std::string>() : input.dump());
    between = ", ";
  }
  const auto parameters = text("parameters");
  if (parameters != entry.end() && !parameters->empty()) out += "  " + parameters->dump();
  return out;
}

Status show(const Invocation& invocation) {
  KILTER_ASSIGN(const OpenedStore opened, open_with_history(invocation.arguments.positionals[0]));
  KILTER_ASSIGN(const std::size_t number, named_commit(opened));
  const store::CommitSummary& summary = opened.history.commits()[number];
  KILTER_ASSIGN(const store::Commit commit, opened.store->read_commit(summary.digest));
  std::shared_ptr<const store::Tree> tree;
  if (!summary.retired) {
    KILTER_ASSIGN(tree, opened.store->read_tree(commit.tree));
  }
  if (invocation.terminal.json) {
    Json out = commit_json(opened.history, number);
    out["metadata"] = Json(commit.metadata);
    out["lineage"] = Json(commit.lineage);
    out["kilter"] = commit.kilter_version;
    if (tree != nullptr) {
      out["files"] = tree->files.size();
      out["tensors"] = tree->tensors.size();
      out["bytes"] = tree->file_bytes();
      out["format"] = tree->format;
    }
    print_json(out);
    return ok();
  }
  const Style style(invocation.terminal.colour_out);
  std::printf("commit   %s\n", style.name(to_hex(summary.digest)).c_str());
  for (const std::string& name : opened.history.names_at(number))
    std::printf("at       %s\n", style.good(name).c_str());
  for (const store::Digest& parent : commit.parents)
    std::printf("parent   %s\n", to_hex(parent).c_str());
  std::printf("time     %s\nauthor   %s\n", minute_text(commit.time_unix_ns).c_str(),
              escape_text(commit.author).c_str());
  if (!commit.message.empty()) std::printf("message  %s\n", escape_text(commit.message).c_str());
  if (tree != nullptr)
    std::printf("holds    %s in %s files, %s tensors%s\n", format_bytes(tree->file_bytes()).c_str(),
                format_count(tree->files.size()).c_str(),
                format_count(tree->tensors.size()).c_str(),
                tree->format.empty() ? "" : fmt::format(", {}", tree->format).c_str());
  if (tree == nullptr)
    std::printf("holds    %s\n", style.dim("nothing: its data was given up").c_str());
  for (const auto& [key, value] : commit.metadata.items())
    std::printf(
        "  %-20s %s\n", escape_text(key, 60).c_str(),
        escape_text(value.is_string() ? value.get<std::string>() : value.dump(), 300).c_str());
  for (const auto& entry : commit.lineage)
    std::printf("derived  %s\n", escape_text(lineage_text(entry), 300).c_str());
  return ok();
}

int run(const Invocation& invocation) {
  const Status done = show(invocation);
  return done ? 0 : report_error(done.error(), invocation.terminal);
}

}  // namespace show_command
}  // namespace

const CommandSpec kShowCommand = {
    .name = "show",
    .summary = "Show one commit of a store: metadata, lineage, size",
    .description =
        "Prints everything a commit states about its checkpoint, and what it was derived from.",
    .positionals = show_command::kPositionals,
    .options = {},
    .examples =
        "kilter show runs.kilter@best:loss\n"
        "kilter show runs.kilter@v1 --json",
    .exit_statuses =
        "0    done\n2    wrong usage\n3    the store is malformed or damaged\n"
        "4    no such store or commit\n5    I/O error",
    .run = show_command::run,
};

}  // namespace kilter::cli
