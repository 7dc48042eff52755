#include "formats/folder/roster.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <map>
#include <set>

#include "base/text.h"
#include "base/try.h"
#include "formats/deepspeed/deepspeed_format.h"
#include "formats/file_name.h"
#include "formats/folder/documents.h"
#include "formats/state_json/state_json.h"
#include "formats/tensorflow/tensorflow_format.h"
#include "io/safe_path.h"

namespace kilter::formats {
namespace {

constexpr std::string_view kIndexSuffix = ".index.json";

/// Names that libraries give to a folder's own weights. Sources: transformers/utils/__init__.py,
/// peft/utils/constants.py, diffusers/utils/constants.py.
constexpr std::array<std::string_view, 4> kWeightStems = {
    "model", "pytorch_model", "diffusion_pytorch_model", "pytorch_lora_weights"};
constexpr std::array<std::string_view, 1> kAdapterStems = {"adapter_model"};

bool contains(std::span<const std::string_view> list, std::string_view item) {
  return std::find(list.begin(), list.end(), item) != list.end();
}

/// "unet/model.safetensors" -> "unet/"; "" at the top.
std::string folder_part(std::string_view name) {
  const std::size_t slash = name.rfind('/');
  return slash == std::string_view::npos ? "" : std::string(name.substr(0, slash + 1));
}

std::string dotted(std::string path) {
  std::replace(path.begin(), path.end(), '/', '.');
  return path;
}

bool is_safetensors_name(std::string_view name) { return name.ends_with(".safetensors"); }

/// One way to read a folder's weights. Lower rank is better.
struct Candidate {
  int rank = 0;
  std::string label;  // the file that stands for it
  std::string index_name;
  ShardIndex index;
  std::vector<std::string> files;  // present ones
  std::string stem;
};

class Sorter {
 public:
  Sorter(io::FileSystem& files, const std::string& root, const std::vector<std::string>& names)
      : io_(files), root_(root), names_(names), all_(names.begin(), names.end()) {}

  Result<Roster> run() {
    for (const std::string& name : names_)
      if (name.ends_with(kIndexSuffix)) KILTER_TRY(add_index(name));
    add_numbered_sets();
    add_single_files();
    choose();
    add_deepspeed();
    add_others();
    return std::move(out_);
  }

 private:
  /// Weights of one folder that stand for the same thing: its own, or an adapter's.
  struct Group {
    std::string folder;
    bool adapter;
    auto operator<=>(const Group&) const = default;
  };

  Status add_index(const std::string& name) {
    const auto refuse = [&](Error error) {
      error.path = root_ + "/" + name;
      const bool unsafe = error.code == ErrorCode::kUnsafe;
      out_.faults.push_back(
          {unsafe ? "document.path-traversal" : "shard.broken-index", std::move(error)});
      return ok();
    };
    auto file = io::open_beneath(io_, root_, name);
    if (!file) return refuse(std::move(file).error());
    if ((*file)->bytes() > kShardIndexBytesMax)
      return refuse(Error(ErrorCode::kLimitExceeded, "the shard index is too large"));
    std::string text((*file)->bytes(), '\0');
    KILTER_TRY((*file)->read_at(0, std::as_writable_bytes(std::span(text))));
    auto index = parse_shard_index(text);
    if (!index) return refuse(std::move(index).error());

    Candidate candidate;
    candidate.index_name = candidate.label = name;
    const std::string folder = folder_part(name);
    for (const std::string& shard : index->files)
      if (all_.contains(folder + shard)) candidate.files.push_back(folder + shard);
    const std::string target = name.substr(0, name.size() - kIndexSuffix.size());
    candidate.stem = stem_of(target);
    candidate.rank = is_safetensors_name(target) ? 0 : 10;
    if (candidate.files.empty()) candidate.rank += 100;  // only if there is nothing else
    candidate.index = std::move(*index);
    for (const std::string& shard : candidate.files) taken_by_index_.insert(shard);
    add_candidate(folder, std::move(candidate));
    return ok();
  }

  /// "model-00001-of-00002.safetensors" and the like, where no index names them.
  void add_numbered_sets() {
    std::map<std::string, std::vector<std::pair<std::string, ShardName>>> sets;
    for (const std::string& name : names_) {
      if (is_document_name(name) || taken_by_index_.contains(name)) continue;
      const auto shard = parse_shard_name(file_name_of(name));
      if (!shard) continue;
      const std::string extension = name.substr(name.rfind('.'));
      sets[fmt::format("{}{}-of-{}{}", folder_part(name), shard->stem, shard->count, extension)]
          .emplace_back(name, *shard);
    }
    for (auto& [label, members] : sets) {
      const ShardName& first = members[0].second;
      if (!contains(kWeightStems, first.stem) && !contains(kAdapterStems, first.stem)) continue;
      Candidate candidate;
      candidate.label = members[0].first;
      candidate.stem = first.stem;
      candidate.rank = is_safetensors_name(candidate.label) ? 2 : 12;
      for (const auto& [name, shard] : members) candidate.files.push_back(name);
      if (members.size() < first.count) {
        missing_of_[candidate.label] = first.count - members.size();
        candidate.rank += 50;
      }
      add_candidate(folder_part(candidate.label), std::move(candidate));
    }
  }

  void add_single_files() {
    for (const std::string& name : names_) {
      if (is_document_name(name) || taken_by_index_.contains(name)) continue;
      std::string stem = stem_of(name);
      int rank = is_safetensors_name(name) ? 1 : 11;
      if (const std::size_t dot = stem.find('.'); dot != std::string::npos) {
        stem.resize(dot);  // "model.fp16.safetensors": a variant, read if there is no other
        rank += 20;
      }
      if (!contains(kWeightStems, stem) && !contains(kAdapterStems, stem)) continue;
      const bool known = is_safetensors_name(name) || name.ends_with(".bin") ||
                         name.ends_with(".pt") || name.ends_with(".pth");
      if (!known) continue;
      Candidate candidate;
      candidate.label = name;
      candidate.stem = stem;
      candidate.rank = rank;
      candidate.files = {name};
      add_candidate(folder_part(name), std::move(candidate));
    }
  }

  void add_candidate(std::string folder, Candidate candidate) {
    const bool adapter = contains(kAdapterStems, candidate.stem);
    groups_[{std::move(folder), adapter}].push_back(std::move(candidate));
  }

  void choose() {
    for (auto& [group, candidates] : groups_) {
      std::stable_sort(candidates.begin(), candidates.end(),
                       [](const Candidate& a, const Candidate& b) { return a.rank < b.rank; });
      const bool beside = group.adapter && groups_.contains({group.folder, false});
      keep(group.folder + (beside ? "adapter_model" : ""), std::move(candidates[0]));
      for (std::size_t i = 1; i < candidates.size(); ++i) leave_out(candidates[i]);
    }
  }

  void keep(std::string key, Candidate candidate) {
    while (key.ends_with('/')) key.pop_back();
    const std::string prefix = key.empty() ? "" : dotted(key) + ".";
    RosterSet set;
    set.index_name = candidate.index_name;
    set.state_name =
        folder_part(candidate.label) + candidate.stem + std::string(state_json::kSuffix);
    const std::string folder = folder_part(candidate.label);
    for (const std::string& name : candidate.files) {
      if (!used_.insert(name).second) continue;
      set.files.push_back(out_.files.size());
      if (!candidate.index_name.empty()) {
        const auto& listed = candidate.index.files;
        const auto at = std::find(listed.begin(), listed.end(), name.substr(folder.size()));
        set.index_file_of.push_back(static_cast<std::size_t>(at - listed.begin()));
      }
      out_.files.push_back({name, prefix, true, false});
    }
    set.index = std::move(candidate.index);
    if (const auto missing = missing_of_.find(candidate.label); missing != missing_of_.end()) {
      Error error(ErrorCode::kMalformed,
                  fmt::format("{} shards are missing, judging by the names", missing->second));
      error.path = root_ + "/" + candidate.label;
      error.hint = "fetch the other shards into the folder";
      out_.faults.push_back({"shard.missing-file", std::move(error)});
    }
    out_.sets.push_back(std::move(set));
  }

  void leave_out(const Candidate& candidate) {
    for (const std::string& name : candidate.files) {
      if (!used_.insert(name).second) continue;
      Finding note;
      note.rule = "folder.alternative-weights";
      note.path = root_ + "/" + name;
      note.message = "another form of weights that were read already; it was left out";
      out_.notes.push_back(std::move(note));
    }
  }

  /// What a trainer that runs DeepSpeed leaves beside its own files. Without weights of its own the
  /// folder's weights are DeepSpeed's.
  void add_deepspeed() {
    for (const std::string& name : names_)
      if (is_deepspeed_file(name)) deepspeed_files_.insert(name);
    if (deepspeed_files_.empty()) return;
    const auto tag = find_deepspeed_tag(io_, root_, names_);
    if (!tag || tag->empty()) return deepspeed_files_.clear();
    const bool own = std::any_of(groups_.begin(), groups_.end(), [](const auto& group) {
      return group.first.folder.empty() && !group.first.adapter;
    });
    out_.files.push_back({*tag, own ? "deepspeed." : "", !own, true});
  }

  void add_others() {
    std::set<std::string> prefixes;
    std::vector<std::string> others;
    for (const std::string& name : names_) {
      if (used_.contains(name) || deepspeed_files_.contains(name)) continue;
      // The index beside it speaks for both.
      if (const auto bundle = prefix_of_data(name); bundle && all_.contains(*bundle + ".index"))
        continue;
      if (is_document_name(name)) {
        out_.documents.push_back(name);
      } else {
        others.push_back(name);
      }
    }
    for (const std::string& name : others) {
      std::string prefix = dotted(folder_part(name) + stem_of(name)) + ".";
      if (!prefixes.insert(prefix).second) prefix = dotted(name) + ".";
      out_.files.push_back({name, std::move(prefix), false, false});
    }
  }

  io::FileSystem& io_;
  std::string root_;
  const std::vector<std::string>& names_;
  std::set<std::string> all_, used_, taken_by_index_, deepspeed_files_;
  std::map<Group, std::vector<Candidate>> groups_;
  std::map<std::string, std::size_t> missing_of_;
  Roster out_;
};

}  // namespace

Result<Roster> make_roster(io::FileSystem& files, const std::string& root,
                           const std::vector<std::string>& names) {
  return Sorter(files, root, names).run();
}

}  // namespace kilter::formats
