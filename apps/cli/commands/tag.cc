// kilter tag, kilter branch: references of a store.
#include <fmt/format.h>

#include <cstdio>

#include "base/text.h"
#include "base/try.h"
#include "cli/command.h"
#include "cli/store_support.h"

namespace kilter::cli {

namespace {
namespace tag_command {

constexpr PositionalSpec kTagPositionals[] = {
    {"STORE", "A store, or STORE@REF for the commit to be tagged"},
    {"[NAME]", "The tag; without it, all tags are listed"}};
constexpr PositionalSpec kBranchPositionals[] = {
    {"STORE", "A store, or STORE@REF for the commit the branch begins at"},
    {"[NAME]", "The branch; without it, all branches are listed"}};
constexpr OptionSpec kOptions[] = {
    {"-d,--delete", ValueKind::kFlag, "",
     "Remove it; commits nobody reaches go at the next collect"},
    {"-f,--force", ValueKind::kFlag, "", "Move it if it exists"},
};

Status list_kind(const Invocation& invocation, const OpenedStore& opened, store::RefKind kind) {
  const Style style(invocation.terminal.colour_out);
  Json list = Json::array();
  for (const store::Ref& ref : opened.history.refs()) {
    if (ref.kind != kind) continue;
    const auto commit = opened.history.find(ref.commit);
    const std::string step = commit ? step_text(opened.history.commits()[*commit]) : "";
    if (!invocation.terminal.json)
      std::printf("%s  %s%s\n", style.name(short_digest(ref.commit)).c_str(),
                  escape_text(ref.name).c_str(),
                  step.empty() ? "" : fmt::format("  step {}", step).c_str());
    list.push_back({{"name", ref.name}, {"commit", to_hex(ref.commit)}});
  }
  if (invocation.terminal.json)
    print_json({{kind == store::RefKind::kTag ? "tags" : "branches", list}});
  return ok();
}

void report(const Invocation& invocation, const std::string& name, const char* done,
            const store::Digest& commit) {
  if (invocation.terminal.json) {
    print_json({{"name", name}, {"done", done}, {"commit", to_hex(commit)}});
  } else if (!invocation.terminal.quiet) {
    std::printf("%s %s  %s\n", escape_text(name).c_str(), done, short_digest(commit).c_str());
  }
}

const char* done_text(store::RefChange change) {
  switch (change) {
    case store::RefChange::kRemoved:
      return "removed";
    case store::RefChange::kMoved:
      return "moved";
    default:
      return "made";
  }
}

Status change(const Invocation& invocation, const OpenedStore& opened, store::RefKind kind) {
  const std::string& name = invocation.arguments.positionals[1];
  std::optional<store::Digest> commit;
  if (!invocation.arguments.has("delete")) {
    KILTER_TRY(store::check_ref_name(name));
    KILTER_ASSIGN(const std::size_t number, named_commit(opened));
    commit = opened.history.commits()[number].digest;
  }
  KILTER_ASSIGN(const auto changed, store::change_ref(opened.store->place(), kind, name, commit,
                                                      invocation.arguments.has("force")));
  report(invocation, name, done_text(changed.change), changed.commit);
  return ok();
}

int run_kind(const Invocation& invocation, store::RefKind kind) {
  auto opened = open_with_history(invocation.arguments.positionals[0]);
  if (!opened) return report_error(opened.error(), invocation.terminal);
  const Status done = invocation.arguments.positionals.size() < 2
                          ? list_kind(invocation, *opened, kind)
                          : change(invocation, *opened, kind);
  return done ? 0 : report_error(done.error(), invocation.terminal);
}

int run_tag(const Invocation& invocation) { return run_kind(invocation, store::RefKind::kTag); }
int run_branch(const Invocation& invocation) {
  return run_kind(invocation, store::RefKind::kBranch);
}

constexpr std::string_view kExitStatuses =
    "0    done\n2    wrong usage, or the name is taken\n3    the store is malformed\n"
    "4    no such store, commit or name\n5    I/O error, or others moved it meanwhile";

}  // namespace tag_command
}  // namespace

const CommandSpec kTagCommand = {
    .name = "tag",
    .summary = "Name a commit for good, list tags, remove one",
    .description =
        "A tag stays where it is while branches move on. Tagged commits survive `retain "
        "--tagged`.",
    .positionals = tag_command::kTagPositionals,
    .options = tag_command::kOptions,
    .examples =
        "kilter tag runs.kilter@best:loss v1.0\n"
        "kilter tag runs.kilter\n"
        "kilter tag runs.kilter v1.0 --delete",
    .exit_statuses = tag_command::kExitStatuses,
    .run = tag_command::run_tag,
};

const CommandSpec kBranchCommand = {
    .name = "branch",
    .summary = "Begin a branch at a commit, list branches, remove one",
    .description =
        "`kilter save` moves a branch on. Removing one removes the name alone: what no "
        "other reference reaches goes at the next `kilter collect`.",
    .positionals = tag_command::kBranchPositionals,
    .options = tag_command::kOptions,
    .examples =
        "kilter branch runs.kilter@step:1200 retry\n"
        "kilter branch runs.kilter\n"
        "kilter branch runs.kilter retry --delete",
    .exit_statuses = tag_command::kExitStatuses,
    .run = tag_command::run_branch,
};

}  // namespace kilter::cli
