#include "formats/folder/folder_opening.h"

#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <optional>
#include <set>
#include <unordered_map>
#include <unordered_set>

#include "base/text.h"
#include "base/thread_pool.h"
#include "base/try.h"
#include "formats/dcp/dcp_reader.h"
#include "formats/dcp/rank_join.h"
#include "formats/dcp/rank_layout.h"
#include "formats/deepspeed/deepspeed_format.h"
#include "formats/file_name.h"
#include "formats/folder/documents.h"
#include "formats/folder/hub_links.h"
#include "formats/merge_data.h"
#include "formats/state_json/state_json.h"
#include "io/safe_path.h"

namespace kilter::formats {
namespace {

constexpr std::size_t kDataFilesMax = 5000;  // looked into; the others are only listed
constexpr std::size_t kDocumentsMax = 500;
constexpr std::uint64_t kDocumentsBytesMax = 32 << 20;
constexpr std::ptrdiff_t kDocumentDepthMax = 3;
constexpr std::size_t kParallelFrom = 4;  // files; below it threads cost more than they bring
constexpr unsigned kThreadsMax = 8;

/// Tokenizers' word lists: no use to anybody who asks what the folder is.
bool is_word_list(std::string_view name) {
  const std::string file = file_name_of(name);
  return file == "vocab.json" || file == "tokenizer.json" || file == "merges.txt" ||
         file == "vocab.txt" || file.ends_with(".index.json") || file.ends_with(".state.json");
}

bool hidden(std::string_view name) {
  return name.starts_with('.') || name.find("/.") != std::string_view::npos;
}

struct Opened {
  bool claimed = false;  // a format recognized it
  std::optional<CheckpointData> data;
  std::optional<Error> error;
};

class FolderOpening {
 public:
  explicit FolderOpening(const OpenArguments& arguments)
      : arguments_(arguments),
        files_(with_hub_links(*arguments.files)),
        root_(arguments.probe->path),
        lenient_(arguments.options.lenient) {}

  Result<CheckpointData> run() {
    data_.format = "folder";
    data_.root = root_;
    data_.root_is_folder = true;
    for (const std::string& name : arguments_.probe->entry_names)
      if (!hidden(name)) names_.push_back(name);
    KILTER_ASSIGN(roster_, make_roster(files_, root_, without_distributed(names_)));
    for (const Fault& fault : roster_.faults) KILTER_TRY(tell(fault));
    std::move(roster_.notes.begin(), roster_.notes.end(), std::back_inserter(data_.findings));
    list_files();
    read_documents();
    open_files();
    KILTER_TRY(judge_opened());
    KILTER_TRY(open_distributed());
    reconcile();
    for (const Fault& fault : shard_faults_) KILTER_TRY(tell(fault));
    join();
    KILTER_TRY(join_ranks());
    KILTER_TRY(drop_repeated_names());
    KILTER_TRY(data_.index.validate());
    KILTER_TRY(attach_states());
    describe();
    if (data_.index.tensors.empty() && data_.state.empty() && data_.documents.empty())
      return fail(Error(ErrorCode::kUnsupported, "no checkpoint was recognized in this folder")
                      .at_path(root_)
                      .wanted("weights, or a model's configuration, tokenizer or card",
                              fmt::format("{} other files", names_.size())));
    return std::move(data_);
  }

 private:
  std::string full(const std::string& name) const { return root_ + "/" + name; }

  /// A fault is an error to a strict reader and a finding to a lenient one.
  Status tell(const Fault& fault) {
    Severity severity = severity_of(fault.error.code);
    if (fault.rule == "shard.total-size") severity = Severity::kNote;
    if (!lenient_ && stops_reading(fault)) return fail(fault.error);
    data_.findings.push_back(finding_from(fault, severity, root_));
    return ok();
  }

  /// A distributed checkpoint in a subfolder: a trainer's model or optimizer, saved by all ranks.
  struct Distributed {
    std::string folder;
    std::vector<std::string> names;  // within it
    std::optional<CheckpointData> data;
  };

  /// Takes the files of such subfolders out. Shards beside whole weights are the same weights.
  std::vector<std::string> without_distributed(const std::vector<std::string>& names) {
    std::set<std::string> folders;
    for (const std::string& name : arguments_.probe->entry_names) {
      const bool shard = dcp::is_sharded_safetensors(file_name_of(name));
      if ((shard || file_name_of(name) == dcp::kMetadataName) &&
          name.find('/') != std::string::npos)
        folders.insert(folder_of(name));
    }
    if (folders.empty()) return names;
    std::vector<std::string> rest;
    std::map<std::string, std::vector<std::string>> inside;
    for (const std::string& name : arguments_.probe->entry_names) {
      std::string folder = folder_of(name);
      while (!folders.contains(folder) && folder != ".") folder = folder_of(folder);
      if (folder != ".") inside[folder].push_back(name.substr(folder.size() + 1));
    }
    for (const std::string& name : names) {
      std::string folder = folder_of(name);
      while (!folders.contains(folder) && folder != ".") folder = folder_of(folder);
      if (folder == ".") rest.push_back(name);
    }
    const bool whole = std::any_of(rest.begin(), rest.end(), [](const std::string& name) {
      return name.ends_with(".safetensors") && name.find('/') == std::string::npos;
    });
    for (auto& [folder, held] : inside) {
      const bool shards = std::any_of(held.begin(), held.end(), [](const std::string& name) {
        return dcp::is_sharded_safetensors(name);
      });
      if (!shards || !whole) distributed_.push_back({folder, std::move(held), std::nullopt});
    }
    return rest;
  }

  Status open_distributed() {
    for (Distributed& one : distributed_) {
      const bool has_metadata =
          std::binary_search(one.names.begin(), one.names.end(), dcp::kMetadataName);
      const auto open = has_metadata ? dcp::open_dcp : dcp::open_sharded_safetensors;
      auto data = open(files_, full(one.folder), one.names, arguments_.options);
      if (!data && !lenient_) return fail(std::move(data).error());
      if (data) one.data = std::move(*data);
      if (!data)
        data_.findings.push_back(finding_from({"folder.unreadable-file", data.error()},
                                              severity_of(data.error().code), root_));
    }
    return ok();
  }

  void list_files() {
    for (const std::string& name : names_) {
      const auto stat = files_.stat(full(name));
      number_of_.emplace(name, static_cast<std::uint32_t>(data_.index.files.size()));
      data_.index.files.push_back({name, stat ? stat->bytes : 0});
    }
  }

  void read_documents() {
    std::uint64_t total = 0;
    for (const std::string& name : roster_.documents) {
      const std::uint64_t bytes = data_.index.files[number_of_.at(name)].bytes;
      if (bytes > kDocumentBytesMax || total + bytes > kDocumentsBytesMax || is_word_list(name) ||
          data_.documents.size() >= kDocumentsMax ||
          std::count(name.begin(), name.end(), '/') > kDocumentDepthMax)
        continue;
      const auto file = io::open_beneath(files_, root_, name);
      if (!file) continue;
      std::string text(std::min((*file)->bytes(), kDocumentBytesMax), '\0');
      if (!(*file)->read_at(0, std::as_writable_bytes(std::span(text)))) continue;
      total += text.size();
      if (text.find('\0') == std::string::npos && is_valid_utf8(text))
        data_.documents.push_back({name, std::move(text)});
    }
  }

  Opened open_one(const RosterFile& file) const {
    Opened out;
    const auto refuse = [&](Error error) {
      if (error.path.empty()) error.path = full(file.name);
      out.error = std::move(error);
      return out;
    };
    // Names from an index, and symlinks: nothing outside of the folder is ever opened.
    if (file.nested) return open_nested(file);
    if (auto beneath = io::open_beneath(files_, root_, file.name); !beneath)
      return refuse(std::move(beneath).error());
    const auto probe = make_probe(files_, full(file.name));
    if (!probe) return refuse(probe.error());
    const Recognized recognized = recognize(*probe);
    if (recognized.format == nullptr || recognized.format->name() == "document") {
      if (!file.weights) return out;
      const auto diagnosis = diagnose(files_, *probe);
      Error error(ErrorCode::kUnsupported,
                  diagnosis ? diagnosis->message : "the weights are in no format Kilter knows");
      if (diagnosis) error.hint = diagnosis->hint;
      return refuse(std::move(error));
    }
    out.claimed = true;
    auto data = recognized.format->open({&files_, probe->path, &*probe, arguments_.options});
    if (!data) return refuse(std::move(data).error());
    out.data = std::move(*data);
    return out;
  }

  Opened open_nested(const RosterFile& file) const {
    Opened out;
    out.claimed = true;
    const auto probe = make_probe(files_, full(file.name));
    if (!probe) {
      out.error = probe.error();
      return out;
    }
    auto data = deepspeed_format().open({&files_, probe->path, &*probe, arguments_.options});
    if (!data) {
      out.error = std::move(data).error();
    } else {
      out.data = std::move(*data);
    }
    return out;
  }

  void open_files() {
    if (roster_.files.size() > kDataFilesMax) roster_.files.resize(kDataFilesMax);
    opened_.resize(roster_.files.size());
    if (roster_.files.size() < kParallelFrom) {
      for (std::size_t i = 0; i < opened_.size(); ++i) opened_[i] = open_one(roster_.files[i]);
      return;
    }
    ThreadPool pool(std::min({usable_cpu_count(), kThreadsMax}));
    for (std::size_t i = 0; i < opened_.size(); ++i)
      pool.submit([this, i] { opened_[i] = open_one(roster_.files[i]); });
    pool.wait_idle();
  }

  /// Weights must open. What else lies in the folder may be broken or foreign: that is noted.
  Status judge_opened() {
    for (std::size_t i = 0; i < opened_.size(); ++i) {
      if (!opened_[i].error) continue;
      const Error& error = *opened_[i].error;
      if (roster_.files[i].weights && !lenient_) return fail(error);
      const Fault fault{"folder.unreadable-file", error};
      data_.findings.push_back(finding_from(
          fault, roster_.files[i].weights ? severity_of(error.code) : Severity::kUnknown, root_));
    }
    return ok();
  }

  void reconcile() {
    for (const RosterSet& set : roster_.sets) {
      if (set.index_name.empty()) continue;
      std::vector<ShardContent> contents(set.index.files.size());
      for (std::size_t i = 0; i < set.files.size(); ++i) {
        const Opened& opened = opened_[set.files[i]];
        if (opened.data) contents[set.index_file_of[i]] = {true, &opened.data->index.tensors};
      }
      for (Fault& fault : reconcile_shards(set.index, full(set.index_name), contents))
        shard_faults_.push_back(std::move(fault));
    }
  }

  /// One key of the combined state: a file, or the shards of a set.
  struct Part {
    std::string key;
    std::vector<StateId> roots;
    std::vector<std::size_t> tensors;
  };

  void join() {
    std::vector<std::size_t> with_data;
    for (std::size_t i = 0; i < opened_.size(); ++i)
      if (opened_[i].data) with_data.push_back(i);
    // The only checkpoint in a folder needs no prefix.
    if (with_data.size() == 1 && roster_.sets.empty() && distributed_.empty())
      roster_.files[with_data[0]].prefix.clear();
    std::vector<Part> parts;
    for (const std::size_t i : with_data) {
      const std::string& prefix = roster_.files[i].prefix;
      const std::string key = prefix.empty() ? "model" : prefix.substr(0, prefix.size() - 1);
      if (parts.empty() || parts.back().key != key) parts.push_back({key, {}, {}});
      take(i, &parts.back());
    }
    for (Distributed& one : distributed_) parts.push_back(take_distributed(&one));
    join_state(parts);
  }

  void take(std::size_t i, Part* part) {
    CheckpointData& more = *opened_[i].data;
    if (format_names_.insert(more.format).second && !format_text_.empty()) format_text_ += ", ";
    if (format_names_.size() > format_count_) {
      format_text_ += more.format;
      format_count_ = format_names_.size();
    }
    place_files(roster_.files[i].name, &more);
    if (data_.metadata.empty()) data_.metadata = std::move(more.metadata);
    const std::size_t first = data_.index.tensors.size();
    const StateId root = append_data(std::move(more), roster_.files[i].prefix, false, &data_);
    if (root != kNoState) part->roots.push_back(root);
    for (std::size_t t = first; t < data_.index.tensors.size(); ++t) part->tensors.push_back(t);
    prefix_bytes_of_[part->key] = roster_.files[i].prefix.size();
    opened_[i].data.reset();
  }

  /// Storages of a single file lie in it; those of a checkpoint of several files in the same files
  /// as seen from this folder.
  void place_files(const std::string& name, CheckpointData* more) {
    const auto known = number_of_.find(name);
    const std::uint32_t own = known == number_of_.end() ? 0 : known->second;
    std::vector<std::uint32_t> number(more->index.files.size(), own);
    if (more->root_is_folder) {
      const std::string base =
          more->root.size() > root_.size() ? more->root.substr(root_.size() + 1) + "/" : "";
      for (std::size_t i = 0; i < number.size(); ++i) {
        const FileEntry& file = more->index.files[i];
        const auto [at, fresh] = number_of_.emplace(
            base + file.path, static_cast<std::uint32_t>(data_.index.files.size()));
        if (fresh) data_.index.files.push_back({at->first, file.bytes});
        number[i] = at->second;
      }
    }
    for (StorageInfo& storage : more->index.storages)
      storage.file = storage.file < number.size() ? number[storage.file] : own;
  }

  /// Names stay as they are unless another file has one of them.
  Part take_distributed(Distributed* one) {
    Part part{one->folder, {}, {}};
    if (!one->data) return part;
    std::unordered_set<std::string_view> taken;
    for (const TensorInfo& tensor : data_.index.tensors) taken.insert(tensor.name);
    std::string prefix;
    for (const TensorInfo& tensor : one->data->index.tensors)
      if (taken.contains(tensor.name)) prefix = one->folder + ".";
    std::replace(prefix.begin(), prefix.end(), '/', '.');
    const auto& files = one->data->index.files;
    for (StorageInfo& storage : one->data->index.storages) {
      const FileEntry& file = files[storage.file];
      const std::string name = one->folder + "/" + file.path;
      const auto [known, is_new] =
          number_of_.try_emplace(name, static_cast<std::uint32_t>(data_.index.files.size()));
      if (is_new) data_.index.files.push_back({name, file.bytes});
      storage.file = known->second;
    }
    if (format_names_.insert("dcp").second) {
      if (!format_text_.empty()) format_text_ += ", ";
      format_text_ += "dcp";
      format_count_ = format_names_.size();
    }
    const std::size_t first = data_.index.tensors.size();
    const StateId root = append_data(std::move(*one->data), prefix, false, &data_);
    if (root != kNoState) part.roots.push_back(root);
    for (std::size_t t = first; t < data_.index.tensors.size(); ++t) part.tensors.push_back(t);
    prefix_bytes_of_[part.key] = prefix.size();
    return part;
  }

  /// One node for a part: its own root, its shards' dictionaries as one, or a plain dictionary.
  StateId node_of(const Part& part) {
    if (part.roots.size() == 1) return part.roots[0];
    StateTree& tree = data_.state;
    if (part.roots.empty()) {
      DictBuilder dict(&tree);
      const std::size_t skip = prefix_bytes_of_.at(part.key);
      for (const std::size_t t : part.tensors)
        dict.add(std::string_view(data_.index.tensors[t].name).substr(skip),
                 add_tensor_node(t, &tree));
      return dict.finish();
    }
    StateNode all;
    all.kind = StateKind::kDict;
    for (const StateId root : part.roots) {
      const StateNode& node = tree[root];
      const bool ordered = node.kind == StateKind::kObject && node.extra != kNoState;
      const StateNode& entries = ordered ? tree[node.extra] : node;
      if (entries.kind == StateKind::kDict)
        all.items.insert(all.items.end(), entries.items.begin(), entries.items.end());
    }
    return tree.add(std::move(all));
  }

  void join_state(const std::vector<Part>& parts) {
    const bool any = std::any_of(parts.begin(), parts.end(),
                                 [](const Part& part) { return !part.roots.empty(); });
    if (!any) {
      data_.state = StateTree();
      return;
    }
    if (parts.size() == 1) {
      data_.state.set_root(node_of(parts[0]));
      return;
    }
    DictBuilder root(&data_.state);
    for (const Part& part : parts) root.add(part.key, node_of(part));
    data_.state.set_root(root.finish());
  }

  Status join_ranks() {
    if (!arguments_.options.join_ranks || !has(dcp::kRankLayoutName)) return ok();
    auto joined = dcp::join_ranks(files_, root_, arguments_.options, &data_);
    return joined ? ok() : tell({"dcp.unreadable", std::move(joined).error()});
  }

  /// Names are unique in an index. Shards with a tensor twice were reported; other clashes come
  /// from files with dots in their names.
  Status drop_repeated_names() {
    std::unordered_set<std::string_view> seen;
    std::vector<bool> repeated(data_.index.tensors.size());
    std::size_t count = 0;
    for (std::size_t i = 0; i < repeated.size(); ++i) {
      repeated[i] = !seen.insert(data_.index.tensors[i].name).second;
      count += repeated[i] ? 1U : 0U;
    }
    if (count == 0) return ok();
    for (std::size_t i = 0; i < repeated.size(); ++i) {
      if (!repeated[i]) continue;
      TensorInfo& tensor = data_.index.tensors[i];
      Error error(ErrorCode::kMalformed, "two files of the folder give a tensor of the same name");
      error.path = full(data_.index.files[data_.index.storages[tensor.storage].file].path);
      error.tensor = tensor.name;
      if (!lenient_) return fail(std::move(error));
      data_.findings.push_back(
          finding_from({"folder.same-name", std::move(error)}, Severity::kMalformed, root_));
      tensor.name = unique_name(tensor.name, seen);
      seen.insert(tensor.name);
    }
    return ok();
  }

  static std::string unique_name(const std::string& name,
                                 const std::unordered_set<std::string_view>& seen) {
    for (std::size_t number = 2;; ++number) {
      std::string candidate = fmt::format("{}#{}", name, number);
      if (!seen.contains(candidate)) return candidate;
    }
  }

  /// STEM.state.json of sharded weights; a single file's own format has read its own.
  Status attach_states() {
    if (roster_.sets.size() != 1 || !data_.state.empty()) return ok();
    const RosterSet& set = roster_.sets[0];
    if (set.files.size() < 2 || !number_of_.contains(set.state_name)) return ok();
    return state_json::attach_state_json(files_, full(set.state_name), &data_);
  }

  bool has(std::string_view name) const { return number_of_.contains(std::string(name)); }

  void describe() {
    std::string_view kind = "plain folder";
    if (has(dcp::kRankLayoutName)) {
      kind = "step saved by several ranks";
    } else if (has("model_index.json")) {
      kind = "diffusers folder";
    } else if (has("adapter_config.json")) {
      kind = "adapter folder";
    } else if (has("config.json") || has("tokenizer_config.json")) {
      kind = "Hugging Face model folder";
    }
    data_.format_detail = fmt::format("{}, {} files", kind, names_.size());
    if (!format_text_.empty()) data_.format_detail += ": " + format_text_;
    std::size_t shards = 0;
    for (const RosterSet& set : roster_.sets)
      if (set.files.size() > 1) shards += set.files.size();
    if (shards > 0) data_.format_detail += fmt::format(", {} shards", shards);
  }

  const OpenArguments& arguments_;
  io::FileSystem& files_;
  std::string root_;
  bool lenient_;
  std::vector<std::string> names_;
  Roster roster_;
  std::vector<Opened> opened_;
  std::vector<Distributed> distributed_;
  std::vector<Fault> shard_faults_;
  std::unordered_map<std::string, std::uint32_t> number_of_;
  std::unordered_map<std::string, std::size_t> prefix_bytes_of_;
  std::set<std::string> format_names_;
  std::size_t format_count_ = 0;
  std::string format_text_;
  CheckpointData data_;
};

}  // namespace

Result<CheckpointData> open_folder(const OpenArguments& arguments) {
  return FolderOpening(arguments).run();
}

}  // namespace kilter::formats
