// kilter diff A B: what changed between two commits, or two checkpoints.
#include "store/history/diff.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <cstdio>

#include "kilter/weights_diff.h"

#include "base/text.h"
#include "base/try.h"
#include "cli/command.h"
#include "cli/diff_text.h"
#include "cli/html_page.h"
#include "cli/html_reports.h"
#include "cli/store_support.h"

namespace kilter::cli {

namespace {
namespace diff_command {

constexpr PositionalSpec kPositionals[] = {
    {"A", "A checkpoint: a file, a folder or a step in a store"}, {"B", "Another one"}};
constexpr OptionSpec kOptions[] = {
    {"--all", ValueKind::kFlag, "", "List what is the same as well"},
    {"--numbers", ValueKind::kFlag, "", "Compare numbers where both are commits, too"},
    {"--against", ValueKind::kPath, "C",
     "A third checkpoint: say whether B lies between A and C, and where"},
    {"--spectrum", ValueKind::kText, "N",
     "Take apart the differences of the N matrices that changed most, or of all; default: of 4 "
     "where other matrices did not change"},
    {"--html", ValueKind::kPath, "FILE", "Write a page with a heat map and every tensor as well"},
    {"-f,--force", ValueKind::kFlag, "", "Replace FILE if it exists"},
    {"--threads", ValueKind::kCount, "N", "Threads; default: all processors"},
};

const char* change_name(store::Change change) {
  switch (change) {
    case store::Change::kChanged:
      return "changed";
    case store::Change::kAdded:
      return "added";
    case store::Change::kRemoved:
      return "removed";
    default:
      return "same";
  }
}

Json diff_json(const store::CommitDiff& diff, bool all) {
  Json files = Json::array(), tensors = Json::array(), metadata = Json::array();
  for (const store::FileChange& file : diff.files)
    if (all || file.change != store::Change::kSame)
      files.push_back({{"path", file.path},
                       {"change", change_name(file.change)},
                       {"bytes_before", file.bytes_before},
                       {"bytes_after", file.bytes_after}});
  for (const store::TensorChange& tensor : diff.tensors)
    if (all || tensor.change != store::Change::kSame)
      tensors.push_back({{"name", tensor.name},
                         {"file", tensor.file},
                         {"change", change_name(tensor.change)},
                         {"bytes", tensor.bytes},
                         {"changed_bytes", tensor.changed_bytes},
                         {"shape_changed", tensor.shape_changed}});
  for (const store::MetadataChange& change : diff.metadata)
    metadata.push_back({{"key", change.key}, {"before", change.before}, {"after", change.after}});
  return {{"same", diff.same},
          {"files", files},
          {"tensors", tensors},
          {"metadata", metadata},
          {"new_bytes", diff.new_plain_bytes},
          {"new_stored_bytes", diff.new_stored_bytes}};
}

std::string mark(store::Change change, const Style& style) {
  switch (change) {
    case store::Change::kChanged:
      return style.warn("~");
    case store::Change::kAdded:
      return style.good("+");
    case store::Change::kRemoved:
      return style.bad("-");
    default:
      return " ";
  }
}

void print_diff(const Invocation& invocation, const store::CommitDiff& diff) {
  const Style style(invocation.terminal.colour_out);
  const bool all = invocation.arguments.has("all");
  std::size_t same_tensors = 0;
  for (const store::MetadataChange& change : diff.metadata)
    std::printf("%s %s: %s -> %s\n", style.warn("~").c_str(), escape_text(change.key).c_str(),
                escape_text(change.before.empty() ? "(none)" : change.before, 100).c_str(),
                escape_text(change.after.empty() ? "(none)" : change.after, 100).c_str());
  for (const store::FileChange& file : diff.files)
    if (all || file.change != store::Change::kSame)
      std::printf("%s file %s  %s -> %s\n", mark(file.change, style).c_str(),
                  escape_text(file.path).c_str(), format_bytes(file.bytes_before).c_str(),
                  format_bytes(file.bytes_after).c_str());
  for (const store::TensorChange& tensor : diff.tensors) {
    if (tensor.change == store::Change::kSame) ++same_tensors;
    if (!all && tensor.change == store::Change::kSame) continue;
    std::printf("%s %s  %s, %s new%s\n", mark(tensor.change, style).c_str(),
                escape_text(tensor.name).c_str(), format_bytes(tensor.bytes).c_str(),
                format_bytes(tensor.changed_bytes).c_str(),
                tensor.shape_changed ? ", shape or dtype changed" : "");
  }
  std::printf("%s of %s tensors are the same; %s new, stored in %s\n",
              format_count(same_tensors).c_str(), format_count(diff.tensors.size()).c_str(),
              format_bytes(diff.new_plain_bytes).c_str(),
              format_bytes(diff.new_stored_bytes).c_str());
}

Result<store::FoundCommit> find_one(const std::string& address) {
  KILTER_ASSIGN(const auto parsed, require_store(address));
  return store::find_commit(parsed);
}

/// "all", or a count.
Result<std::size_t> read_spectrum(const std::string& text) {
  if (text.empty()) return kSpectrumAuto;
  if (text == "all") return kSpectrumAll;
  std::size_t count = 0;
  const auto read = std::from_chars(text.data(), text.data() + text.size(), count);
  if (read.ec == std::errc() && read.ptr == text.data() + text.size()) return count;
  Error error(ErrorCode::kInvalidArgument, "--spectrum wants a number, or all, not '" + text + "'");
  return fail(std::move(error));
}

Result<CheckpointDiff> compare(const Invocation& invocation) {
  const auto& paths = invocation.arguments.positionals;
  const std::string page = invocation.arguments.text("html");
  const bool force = invocation.arguments.has("force");
  if (!page.empty()) KILTER_TRY(check_page_target(page, force));
  DiffOptions options;
  options.thread_count = invocation.arguments.count("threads", 0);
  options.context = invocation.context;
  options.against = invocation.arguments.text("against");
  KILTER_ASSIGN(options.spectrum_tensors, read_spectrum(invocation.arguments.text("spectrum")));
  std::vector<std::string> addresses = paths;
  if (!options.against.empty()) addresses.push_back(options.against);
  const auto files = store::files_for(addresses);
  options.open.files = files.get();
  KILTER_ASSIGN(CheckpointDiff diff, diff_checkpoints(paths[0], paths[1], options));
  if (!page.empty()) KILTER_TRY(write_page(page, diff_page(diff), force));
  return diff;
}

int run_checkpoints(const Invocation& invocation) {
  const auto diff = compare(invocation);
  if (!diff) return report_error(diff.error(), invocation.terminal);
  if (invocation.terminal.json)
    std::printf("%s\n", kilter::diff_json(*diff).c_str());
  else
    print_checkpoint_diff(*diff, invocation.terminal, invocation.arguments.has("all"));
  return diff->same ? 0 : 1;
}

/// What only a comparison of numbers can say.
bool wants_numbers(const Arguments& arguments) {
  return arguments.has("numbers") || arguments.has("html") || arguments.has("against") ||
         arguments.has("spectrum");
}

int run(const Invocation& invocation) {
  const bool commits = std::ranges::all_of(
      invocation.arguments.positionals,
      [](const std::string& address) { return store::parse_store_address(address).has_value(); });
  if (!commits || wants_numbers(invocation.arguments)) return run_checkpoints(invocation);
  const auto a = find_one(invocation.arguments.positionals[0]);
  if (!a) return report_error(a.error(), invocation.terminal);
  const auto b = find_one(invocation.arguments.positionals[1]);
  if (!b) return report_error(b.error(), invocation.terminal);
  const auto diff = store::diff_commits(*a->store, a->digest, *b->store, b->digest);
  if (!diff) return report_error(diff.error(), invocation.terminal);
  if (invocation.terminal.json) {
    print_json(diff_json(*diff, invocation.arguments.has("all")));
  } else {
    print_diff(invocation, *diff);
  }
  return diff->same ? 0 : 1;
}

}  // namespace diff_command
}  // namespace

const CommandSpec kDiffCommand = {
    .name = "diff",
    .summary = "Show what differs between two checkpoints, or two commits",
    .description =
        "Tensors are matched by name (without a container such as state_dict), by what wrappers "
        "and libraries make of names, as parts of fused ones, and at last by equal content; "
        "matrices transposed are found. They are compared number by number, across formats and "
        "dtypes: how many changed, by how much at most, in the mean square and relative to A, and "
        "the angle between them. What is equal once rounded to the narrower dtype is told from "
        "what changed. Of folders, the keys of configurations and the words of tokenizers are "
        "compared, of safetensors the metadata.\n"
        "Where only some matrices changed, the differences of four are taken apart: of so few "
        "directions as a merged LoRA has them? With --against C: is B an interpolation of A and "
        "C?\n"
        "Of two commits, files, tensors and metadata are compared by the names of their chunks, "
        "and "
        "no weights are read; --numbers reads them.",
    .positionals = diff_command::kPositionals,
    .options = diff_command::kOptions,
    .examples =
        "kilter diff base.safetensors tuned.safetensors\n"
        "kilter diff model.pt model/ --json\n"
        "kilter diff base/ merged/ --against tuned/\n"
        "kilter diff base/ tuned/ --html difference.html\n"
        "kilter diff runs.kilter@main~1 runs.kilter@main\n"
        "kilter diff runs.kilter@v1 runs.kilter@v2 --numbers",
    .exit_statuses =
        "0    the same\n1    different\n2    wrong usage, or FILE exists and --force was not "
        "given\n"
        "3    an input is damaged, malformed or no checkpoint\n4    not found\n"
        "5    I/O error\n130  interrupted",
    .run = diff_command::run,
};

}  // namespace kilter::cli
