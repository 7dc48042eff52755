// kilter push, kilter pull, kilter clone: commits from store to store.
#include <fmt/format.h>

#include <cstdio>

#include "base/text.h"
#include "base/try.h"
#include "cli/command.h"
#include "cli/store_support.h"
#include "store/keep/transfer.h"

namespace kilter::cli {

namespace {
namespace push_command {

constexpr PositionalSpec kPushPositionals[] = {
    {"STORE", "What to copy from: all branches and tags, or one with STORE@NAME"},
    {"TO", "Another store, made if it is missing"}};
constexpr PositionalSpec kPullPositionals[] = {
    {"STORE", "The store to bring up to date"},
    {"FROM", "What to copy from: all branches and tags, or one with FROM@NAME"}};
constexpr OptionSpec kOptions[] = {
    {"-f,--force", ValueKind::kFlag, "", "Move branches and tags also where that loses commits"},
    {"--max-memory", ValueKind::kBytes, "SIZE", "Memory for buffers; default 512MiB"},
    {"-n,--dry-run", ValueKind::kFlag, "", "Say what would be copied, change nothing"},
};

void print_outcome(const Invocation& invocation, const store::TransferOutcome& outcome) {
  const bool dry_run = invocation.arguments.has("dry-run");
  if (invocation.terminal.json) {
    Json moved = Json::array();
    for (const store::Ref& ref : outcome.moved)
      moved.push_back({{"name", ref.name}, {"commit", to_hex(ref.commit)}});
    print_json({{"dry_run", dry_run},
                {"commits", outcome.commit_count},
                {"chunks", outcome.chunk_count},
                {"bytes", outcome.bytes},
                {"present_chunks", outcome.present_count},
                {"moved", moved}});
    return;
  }
  if (invocation.terminal.quiet) return;
  std::printf("%s %s commits, %s chunks, %s; %s chunks were there\n",
              dry_run ? "would copy" : "copied", format_count(outcome.commit_count).c_str(),
              format_count(outcome.chunk_count).c_str(), format_bytes(outcome.bytes).c_str(),
              format_count(outcome.present_count).c_str());
  for (const store::Ref& ref : outcome.moved)
    std::printf("  %s is at %s\n", escape_text(ref.name).c_str(), short_digest(ref.commit).c_str());
}

Status copy(const Invocation& invocation, const std::string& from, const std::string& to,
            bool make) {
  KILTER_ASSIGN(const OpenedStore source, open_with_history(from));
  store::TransferRequest request;
  std::optional<std::string> name;
  if (source.address.stated) name = source.address.selector;
  KILTER_ASSIGN(request.refs, store::chosen_refs(source.history, name));
  request.force = invocation.arguments.has("force");
  request.dry_run = invocation.arguments.has("dry-run");
  request.max_memory_bytes = invocation.arguments.bytes("max-memory", request.max_memory_bytes);
  request.context = invocation.context;
  KILTER_ASSIGN(const auto target, !make             ? store::open_store(to)
                                   : request.dry_run ? store::open_or_imagine_store(to)
                                                     : store::open_or_create_store(to));
  KILTER_ASSIGN(const auto outcome, store::transfer(*source.store, *target, request));
  print_outcome(invocation, outcome);
  return ok();
}

int finish(const Status& done, const Invocation& invocation) {
  return done ? 0 : report_error(done.error(), invocation.terminal);
}

int run_push(const Invocation& invocation) {
  const auto& names = invocation.arguments.positionals;
  return finish(copy(invocation, names[0], names[1], true), invocation);
}

int run_pull(const Invocation& invocation) {
  const auto& names = invocation.arguments.positionals;
  return finish(copy(invocation, names[1], names[0], false), invocation);
}

/// A store that somebody uses. One without references is what an interrupted clone leaves: it sets
/// them last.
Result<bool> is_taken(const std::string& to) {
  const bool remote = to.find("://") != std::string::npos;
  if (!remote && !store::parse_store_address(to)) return false;
  const auto there = store::open_store(to);
  if (!there && remote) return false;  // making it will say what is wrong
  if (!there) return fail(there.error());
  KILTER_ASSIGN(const auto refs, store::list_refs((*there)->place()));
  return !refs.empty();
}

Status clone(const Invocation& invocation) {
  const auto& names = invocation.arguments.positionals;
  KILTER_ASSIGN(const bool taken, is_taken(names[1]));
  if (taken)
    return fail(Error(ErrorCode::kAlreadyExists, "there is a store already")
                    .at_path(names[1])
                    .advise("`kilter push` brings it up to date"));
  return copy(invocation, names[0], names[1], true);
}

int run_clone(const Invocation& invocation) { return finish(clone(invocation), invocation); }

constexpr std::string_view kExitStatuses =
    "0    done\n2    wrong usage, or a reference would lose commits\n"
    "3    a store is damaged or malformed\n4    no such store or reference\n"
    "5    I/O error or no space; run it again to go on\n130  interrupted; run it again to go on";

}  // namespace push_command
}  // namespace

const CommandSpec kPushCommand = {
    .name = "push",
    .summary = "Copy commits to another store: only what is missing there",
    .description =
        "Copies chunks as they are stored, then the index, then references. Interrupted, "
        "it goes on where it was. Branches only move forward unless forced.\n"
        "s3://BUCKET/PREFIX takes keys and region from the usual AWS variables or profile, and the "
        "endpoint from KILTER_S3_ENDPOINT where it is not Amazon's.",
    .positionals = push_command::kPushPositionals,
    .options = push_command::kOptions,
    .examples =
        "kilter push runs.kilter /backup/runs.kilter\n"
        "kilter push runs.kilter@v1.0 s3://models/runs.kilter",
    .exit_statuses = push_command::kExitStatuses,
    .run = push_command::run_push,
};

const CommandSpec kPullCommand = {
    .name = "pull",
    .summary = "Copy commits from another store: only what is missing here",
    .description = "The other way round than `kilter push`.",
    .positionals = push_command::kPullPositionals,
    .options = push_command::kOptions,
    .examples = "kilter pull runs.kilter s3://models/runs.kilter@main",
    .exit_statuses = push_command::kExitStatuses,
    .run = push_command::run_pull,
};

const CommandSpec kCloneCommand = {
    .name = "clone",
    .summary = "Copy a store into a new one",
    .description =
        "All branches and tags with everything they reach. Interrupted, it goes on where it was.",
    .positionals = push_command::kPushPositionals,
    .options = push_command::kOptions,
    .examples =
        "kilter clone runs.kilter /backup/runs.kilter\n"
        "kilter clone s3://models/runs.kilter runs.kilter",
    .exit_statuses = push_command::kExitStatuses,
    .run = push_command::run_clone,
};

}  // namespace kilter::cli
