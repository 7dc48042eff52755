// kilter save SRC... STORE[@branch]: checkpoints into a store.
#include "store/save.h"

#include <fmt/format.h>

#include <cstdio>

#include "base/text.h"
#include "base/try.h"
#include "cli/command.h"
#include "cli/store_support.h"
#include "store/series.h"
#include "store/write/describe.h"

namespace kilter::cli {

namespace {
namespace save_command {

constexpr PositionalSpec kPositionals[] = {
    {"SRC", "A checkpoint: file, folder, or address in a store"},
    {"STORE", "The store, made if it is missing; STORE@BRANCH for another branch than main", true}};
constexpr OptionSpec kOptions[] = {
    {"--series", ValueKind::kFlag, "",
     "SRC is many: all paths before STORE, or one quoted pattern, saved in the order of their "
     "steps"},
    {"--step", ValueKind::kText, "N", "State the step (default: what the files state)"},
    {"--loss", ValueKind::kText, "X", "State the loss"},
    {"--meta", ValueKind::kText, "KEY=VALUE", "State anything else; JSON or text", true},
    {"-m,--message", ValueKind::kText, "TEXT", "Say what this is"},
    {"--author", ValueKind::kText, "NAME", "Default: KILTER_AUTHOR, else user@host"},
    {"--tag", ValueKind::kText, "NAME", "Tag it as well", true},
    {"--parent", ValueKind::kText, "ADDR",
     "Begin a new branch at this commit (\"main~3\", \"v1\")"},
    {"--derived-from", ValueKind::kText, "ADDR",
     "What it was made from: an address, a digest or a name (lineage)", true},
    {"--operation", ValueKind::kText, "NAME", "How: finetune, merge, quantize, …; default derive"},
    {"--parameter", ValueKind::kText, "KEY=VALUE", "With which parameters", true},
    {"--skip", ValueKind::kText, "GLOB", "Leave out files of this relative path", true},
    {"--max-memory", ValueKind::kBytes, "SIZE", "Memory for buffers; default 512MiB"},
    {"--fast", ValueKind::kFlag, "",
     "Compress only while the disk is busy anyway; `kilter compact` makes it small later"},
    {"--rehash", ValueKind::kFlag, "",
     "Read all files, also those that have not changed since they were last saved here"},
    {"-n,--dry-run", ValueKind::kFlag, "", "Say what would be saved, write nothing"},
};

Result<std::vector<store::SourceItem>> collect_items(const Arguments& arguments,
                                                     io::FileSystem& files) {
  const std::vector<std::string> paths(arguments.positionals.begin(),
                                       arguments.positionals.end() - 1);
  const std::vector<std::string> skip = arguments.all("skip");
  if (arguments.has("series")) return store::find_series(files, paths, skip);
  if (paths.size() > 1)
    return fail(Error(ErrorCode::kInvalidArgument, "more than one checkpoint")
                    .advise("--series saves them one after the other"));
  KILTER_ASSIGN(store::SourceItem item, store::look_at_source(files, paths.front(), skip));
  return std::vector<store::SourceItem>{std::move(item)};
}

Status add_pair(const std::string& key, const std::string& text, store::SortedJson& metadata) {
  const store::SortedJson value = store::metadata_value(text);
  KILTER_TRY(store::check_stated(key, value));
  metadata[key] = value;
  return ok();
}

Status add_pairs(const Arguments& arguments, const std::string& option,
                 store::SortedJson& metadata) {
  for (const std::string& pair : arguments.all(option)) {
    const std::size_t equals = pair.find('=');
    if (equals == 0 || equals == std::string::npos)
      return fail(ErrorCode::kInvalidArgument, fmt::format("--{} needs KEY=VALUE", option));
    KILTER_TRY(add_pair(pair.substr(0, equals), pair.substr(equals + 1), metadata));
  }
  return ok();
}

Status add_stated(const Arguments& arguments, store::SortedJson& metadata) {
  for (const char* key : {"step", "loss"})
    if (arguments.has(key)) KILTER_TRY(add_pair(key, arguments.text(key), metadata));
  return add_pairs(arguments, "meta", metadata);
}

/// What the user says it was made from, else what it says of itself.
Result<store::SortedJson> lineage_of(const Arguments& arguments, io::FileSystem& files,
                                     const std::string& source) {
  store::SortedJson lineage = store::SortedJson::array();
  std::vector<std::string> inputs = arguments.all("derived-from");
  for (std::string& input : inputs) {
    KILTER_ASSIGN(input, store::lineage_input(input));
  }
  store::SortedJson parameters = store::SortedJson::object();
  KILTER_TRY(add_pairs(arguments, "parameter", parameters));
  if (inputs.empty() && (arguments.has("operation") || !parameters.empty()))
    return fail(ErrorCode::kInvalidArgument,
                "--operation and --parameter belong to --derived-from");
  if (!inputs.empty()) {
    lineage.push_back(
        store::lineage_entry(arguments.text("operation", "derive"), parameters, inputs));
  } else {
    return store::lineage_of_source(files, source);
  }
  return lineage;
}

Json saved_json(const store::SourceItem& item, const store::SaveOutcome& saved) {
  Json out;
  out["source"] = item.path;
  out["commit"] = to_hex(saved.commit);
  out["present"] = saved.present;
  out["metadata"] = Json(saved.content.metadata);
  out["files"] = saved.file_count;
  out["bytes"] = saved.file_bytes;
  out["tensors"] = saved.tensor_count;
  out["new_bytes"] = saved.totals.new_plain_bytes;
  out["stored_bytes"] = saved.totals.stored_bytes;
  out["unread_bytes"] = saved.totals.unread_bytes;
  out["seconds"] = saved.seconds;
  out["warnings"] = Json::array();
  for (const Error& warning : saved.warnings)
    out["warnings"].push_back(error_to_json(warning)["error"]);
  return out;
}

void print_saved(const store::SourceItem& item, const store::SaveOutcome& saved,
                 const Style& style) {
  std::string step;
  if (const auto found = saved.content.metadata.find("step"); found != saved.content.metadata.end())
    step = fmt::format("step {}  ", found->dump());
  if (saved.present) {
    std::printf("%s  %s%s  %s\n", style.name(short_digest(saved.commit)).c_str(), step.c_str(),
                escape_text(item.path).c_str(), style.dim("is there already").c_str());
    return;
  }
  const double rate = saved.seconds > 0 ? static_cast<double>(saved.file_bytes) / saved.seconds : 0;
  std::printf(
      "%s  %s%s  %s, %s new, %s stored  %s\n", style.name(short_digest(saved.commit)).c_str(),
      step.c_str(), escape_text(item.path).c_str(), format_bytes(saved.file_bytes).c_str(),
      format_bytes(saved.totals.new_plain_bytes).c_str(),
      format_bytes(saved.totals.stored_bytes).c_str(), style.dim(format_rate(rate)).c_str());
}

/// The save went well; what was saved may not be what its owner believes.
void warn(const std::vector<Error>& warnings, const Style& style) {
  for (const Error& warning : warnings)
    std::fprintf(stderr, "%s %s\n  saved byte for byte all the same\n",
                 style.warn("warning:").c_str(), warning.text().c_str());
}

class Saver {
 public:
  explicit Saver(const Invocation& invocation)
      : invocation_(invocation),
        arguments_(invocation.arguments),
        files_(store::make_address_file_system(io::real_file_system())) {}

  Status run() {
    std::string target = arguments_.positionals.back();
    const auto known = store::parse_store_address(target);
    const bool whole = known && !known->stated;  // a store's own name may hold an '@'
    const std::size_t at = known && known->stated ? known->store.size() : target.rfind('@');
    if (!whole && at != std::string::npos && at > 0) {
      branch_ = target.substr(at + 1);
      target.resize(at);
    }
    // What is wrong on the command line is said before a store is made.
    KILTER_TRY(store::check_ref_name(branch_));
    store::SortedJson stated = store::SortedJson::object();
    KILTER_TRY(add_stated(arguments_, stated));
    KILTER_ASSIGN(items_, collect_items(arguments_, *files_));
    if (items_.size() > 1 && arguments_.has("tag"))
      return fail(ErrorCode::kInvalidArgument, "--tag names one checkpoint, and these are several");
    for (store::SourceItem& item : items_) {
      item.metadata.update(stated);
      KILTER_ASSIGN(const auto lineage, lineage_of(arguments_, *files_, item.path));
      lineages_.push_back(lineage);
    }
    if (arguments_.has("dry-run")) return print_plan(target);
    KILTER_ASSIGN(store_, store::open_or_create_store(target));
    KILTER_TRY(find_parent());
    KILTER_TRY(load_seen());
    for (std::size_t i = 0; i < items_.size(); ++i) KILTER_TRY(save(items_[i], lineages_[i]));
    seen_.save();  // a hint for the next save: nothing is lost without it
    if (invocation_.terminal.json)
      print_json({{"store", target}, {"branch", branch_}, {"saved", saved_}});
    return ok();
  }

 private:
  Status find_parent() {
    if (!arguments_.has("parent")) return ok();
    KILTER_ASSIGN(const store::History history, store::History::load(*store_));
    KILTER_ASSIGN(const std::size_t commit, history.resolve(arguments_.text("parent")));
    KILTER_TRY(store::check_new_branch(*store_, branch_));
    parent_ = history.commits()[commit].digest;
    return ok();
  }

  Status load_seen() {
    if (arguments_.has("rehash")) return ok();
    KILTER_ASSIGN(seen_, store::SeenFiles::of_user(*store_));
    return ok();
  }

  /// With all that will be stated about it.
  void print_planned(const store::SourceItem& item) const {
    std::printf("would save %s  %s%s\n", escape_text(item.path).c_str(),
                format_bytes(item.bytes).c_str(),
                item.metadata.contains("step")
                    ? fmt::format("  step {}", item.metadata["step"].dump()).c_str()
                    : "");
    const Style style(invocation_.terminal.colour_out);
    std::string line;
    for (const auto& [key, value] : item.metadata.items())
      line +=
          fmt::format("{}{} = {}", line.empty() ? "" : ", ", escape_text(key, 60),
                      escape_text(value.is_string() ? value.get<std::string>() : value.dump(), 80));
    if (!line.empty()) std::printf("  %s\n", style.dim(line).c_str());
  }

  Status print_plan(const std::string& target) {
    Json list = Json::array();
    for (const store::SourceItem& item : items_) {
      if (!invocation_.terminal.json) print_planned(item);
      list.push_back(
          {{"source", item.path}, {"bytes", item.bytes}, {"metadata", Json(item.metadata)}});
    }
    if (invocation_.terminal.json)
      print_json({{"store", target}, {"branch", branch_}, {"dry_run", true}, {"would_save", list}});
    return ok();
  }

  Status save(const store::SourceItem& item, const store::SortedJson& lineage) {
    store::SaveRequest request;
    request.source = {files_.get(), item.path, arguments_.all("skip")};
    request.branch = branch_;
    request.tags = arguments_.all("tag");
    request.parent = parent_;
    request.author = arguments_.text("author");
    request.message = arguments_.text("message");
    KILTER_TRY(add_stated(arguments_, request.metadata));
    request.lineage = lineage;
    // The same command again, a few checkpoints later, saves those alone.
    request.skip_present = arguments_.has("series") && request.tags.empty();
    request.max_memory_bytes = arguments_.bytes("max-memory", request.max_memory_bytes);
    request.fast = arguments_.has("fast");
    if (!arguments_.has("rehash")) request.seen = &seen_;
    request.context = invocation_.context;
    Progress* progress = request.context.progress;
    if (progress != nullptr) progress->begin("save", item.bytes);
    auto saved = store::save_tree(*store_, request);
    if (progress != nullptr) progress->end();
    if (!saved) return fail(std::move(saved).error());
    warn(saved->warnings, Style(invocation_.terminal.colour_err));
    if (invocation_.terminal.json) {
      saved_.push_back(saved_json(item, *saved));
    } else if (!invocation_.terminal.quiet) {
      print_saved(item, *saved, Style(invocation_.terminal.colour_out));
    }
    return ok();
  }

  const Invocation& invocation_;
  const Arguments& arguments_;
  std::unique_ptr<io::FileSystem> files_;
  std::string branch_ = "main";
  std::vector<store::SourceItem> items_;
  std::vector<store::SortedJson> lineages_;  // of each item
  std::shared_ptr<store::Store> store_;
  store::SeenFiles seen_;
  std::optional<store::Digest> parent_;
  Json saved_ = Json::array();
};

int run(const Invocation& invocation) {
  const Status saved = Saver(invocation).run();
  return saved ? 0 : report_error(saved.error(), invocation.terminal);
}

}  // namespace save_command
}  // namespace

const CommandSpec kSaveCommand = {
    .name = "save",
    .summary = "Save a checkpoint, or a series of them, into a store",
    .description =
        "Puts a checkpoint into a store: its files with their exact bytes, its tensors cut, named "
        "by "
        "their content and stored once whatever file holds them, and what the files state (step, "
        "loss, learning rate, architecture, …) as metadata.\n"
        "Of a series, checkpoints that the branch has already are not saved again: the same "
        "command "
        "later saves what has come since.\n"
        "The store is made if it is missing. When the command ends well, the checkpoint is "
        "durable; "
        "when it is interrupted, the store is as it was.",
    .positionals = save_command::kPositionals,
    .options = save_command::kOptions,
    .examples =
        "kilter save model.safetensors runs.kilter\n"
        "kilter save --series 'run/checkpoint-*' runs.kilter   # in the order of their steps\n"
        "kilter save ft/ runs.kilter@lr-sweep --parent v1 --meta lr=2e-5 -m 'lower rate'\n"
        "kilter save best.pt runs.kilter --tag v1.0 --loss 1.93\n"
        "kilter save merged/ runs.kilter@merged --derived-from runs.kilter@v1 --operation merge",
    .exit_statuses =
        "0    saved, durable\n"
        "2    wrong usage\n"
        "3    the store is malformed\n"
        "4    not found\n"
        "5    I/O error or no space; the store is as it was\n"
        "130  interrupted; the store is as it was",
    .run = save_command::run,
};

}  // namespace kilter::cli
