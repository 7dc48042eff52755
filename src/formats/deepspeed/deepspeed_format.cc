#include "formats/deepspeed/deepspeed_format.h"

#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <set>

#include "base/text.h"
#include "base/try.h"
#include "formats/deepspeed/file_names.h"
#include "formats/deepspeed/rank_files.h"
#include "formats/deepspeed/universal_reader.h"
#include "formats/deepspeed/zero_reader.h"
#include "formats/file_name.h"
#include "formats/findings.h"
#include "formats/folder/folder_format.h"
#include "formats/merge_data.h"
#include "io/safe_path.h"

namespace kilter::formats {
namespace {

constexpr std::uint64_t kTagTextBytesMax = 4096;
constexpr std::string_view kPointers[] = {"latest", "latest_universal"};

bool lists(const std::vector<std::string>& names, std::string_view name) {
  return std::binary_search(names.begin(), names.end(), name);
}

/// Names below `folder` ("" for all), without it.
std::vector<std::string> names_below(const std::vector<std::string>& names,
                                     const std::string& folder) {
  if (folder.empty()) return names;
  std::vector<std::string> out;
  const std::string prefix = folder + "/";
  for (auto at = std::lower_bound(names.begin(), names.end(), prefix);
       at != names.end() && at->starts_with(prefix); ++at)
    out.push_back(at->substr(prefix.size()));
  return out;
}

/// Files of a checkpoint at the top of these names.
bool holds_checkpoint(const std::vector<std::string>& names) {
  return deepspeed::is_universal(names) ||
         std::any_of(names.begin(), names.end(),
                     [](const std::string& name) { return deepspeed::parse_file_name(name); });
}

/// Folders at the top of these names that hold a checkpoint.
std::vector<std::string> tags_of(const std::vector<std::string>& names) {
  std::set<std::string> out;
  for (const std::string& name : names) {
    const std::size_t slash = name.find('/');
    if (slash == std::string::npos) continue;
    const std::string_view rest = std::string_view(name).substr(slash + 1);
    const bool universal = rest.starts_with("zero/") && rest.ends_with("/fp32.pt");
    if (universal || deepspeed::parse_file_name(rest)) out.insert(name.substr(0, slash));
  }
  return {out.begin(), out.end()};
}

std::string tag_in(io::FileSystem& files, const std::string& path) {
  auto text = io::read_text(files, path, kTagTextBytesMax);
  if (!text) return "";
  while (!text->empty() && (text->back() == '\n' || text->back() == '\r' || text->back() == ' '))
    text->pop_back();
  return *text;
}

class DeepspeedOpening {
 public:
  explicit DeepspeedOpening(const OpenArguments& arguments)
      : arguments_(arguments), root_(arguments.probe->path) {}

  Result<CheckpointData> run() {
    KILTER_TRY(choose_folder());
    data_.format = "deepspeed";
    data_.root = folder_;
    data_.root_is_folder = true;
    deepspeed::RankFiles opener(*arguments_.files, folder_, arguments_.options, &data_);
    if (deepspeed::is_universal(names_)) {
      KILTER_ASSIGN(const StateId root, deepspeed::add_universal(names_, folder_, &opener, &data_));
      data_.state.set_root(root);
      data_.format_detail = "universal checkpoint";
    } else {
      KILTER_TRY(open_zero(&opener));
    }
    if (!tag_.empty()) data_.metadata.emplace_back("tag", tag_);
    add_other_names();
    KILTER_TRY(data_.index.validate());
    return std::move(data_);
  }

 private:
  Status choose_folder() {
    const auto tag = find_deepspeed_tag(*arguments_.files, root_, arguments_.probe->entry_names);
    if (!tag) {
      const auto tags = tags_of(arguments_.probe->entry_names);
      return fail(Error(ErrorCode::kUnsupported,
                        "the folder holds several DeepSpeed checkpoints, and its text `latest` "
                        "names none of them")
                      .at_path(root_)
                      .advise(tags.empty() ? "give the folder of one"
                                           : fmt::format("give one: {}/{}", root_, tags.back())));
    }
    tag_ = *tag;
    folder_ = tag_.empty() ? root_ : root_ + "/" + tag_;
    names_ = names_below(arguments_.probe->entry_names, tag_);
    return ok();
  }

  Status open_zero(deepspeed::RankFiles* opener) {
    std::map<std::uint32_t, deepspeed::ZeroFiles> by_rank;
    for (const deepspeed::CheckpointFile& file : deepspeed::sort_files(names_)) {
      deepspeed::ZeroFiles& files = by_rank[file.mp_rank];
      using deepspeed::FileRole;
      if (file.role == FileRole::kModel || file.role == FileRole::kModelPartition)
        files.model.push_back(file.name);
      if (file.role == FileRole::kOptimizer) files.optimizer.push_back(file.name);
      if (file.role == FileRole::kExpert) files.experts.push_back(file);
    }
    DictBuilder all(&data_.state);
    for (const auto& [mp_rank, files] : by_rank) {
      const std::string key = fmt::format("mp_rank_{:02}", mp_rank);
      const std::string prefix = by_rank.size() == 1 ? "" : key + ".";
      KILTER_ASSIGN(const StateId root,
                    deepspeed::add_zero(files, prefix, folder_, *arguments_.files, opener, &data_));
      if (by_rank.size() == 1) data_.state.set_root(root);
      all.add(key, root);
    }
    if (by_rank.size() > 1) {
      data_.state.set_root(all.finish());
      Finding note;
      note.rule = "deepspeed.model-parallel";
      note.path = folder_;
      note.message = fmt::format(
          "{} model-parallel ranks: each holds a slice of the model, under a prefix of its own",
          by_rank.size());
      data_.findings.push_back(std::move(note));
    }
    describe(by_rank);
    return ok();
  }

  void describe(const std::map<std::uint32_t, deepspeed::ZeroFiles>& by_rank) {
    if (by_rank.empty()) return;
    const deepspeed::ZeroFiles& files = by_rank.begin()->second;
    const bool partitions = std::any_of(files.model.begin(), files.model.end(), [](const auto& n) {
      return n.find("zero_pp_rank") != std::string::npos;
    });
    data_.format_detail = files.optimizer.empty()
                              ? "DeepSpeed without ZeRO"
                              : fmt::format("ZeRO stage {}, {} ranks", partitions ? "3" : "1 or 2",
                                            files.optimizer.size());
    if (by_rank.size() > 1)
      data_.format_detail += fmt::format(", {} model-parallel ranks", by_rank.size());
    if (!files.experts.empty())
      data_.format_detail += fmt::format(", {} files of experts", files.experts.size());
  }

  /// Files that were not needed are listed all the same.
  void add_other_names() {
    std::set<std::string_view> listed;
    const std::vector<FileEntry> opened = data_.index.files;
    for (const FileEntry& file : opened) listed.insert(file.path);
    for (const std::string& name : names_) {
      if (listed.contains(name) || name.starts_with('.') || name.find("/.") != std::string::npos)
        continue;
      const auto stat = arguments_.files->stat(folder_ + "/" + name);
      if (stat) data_.index.files.push_back({name, stat->bytes});
    }
  }

  const OpenArguments& arguments_;
  std::string root_;
  std::string tag_;
  std::string folder_;
  std::vector<std::string> names_;  // in folder_
  CheckpointData data_;
};

class DeepspeedFormat final : public Format {
 public:
  std::string_view name() const override { return "deepspeed"; }
  std::string_view title() const override { return "DeepSpeed checkpoint"; }

  Detection detect(const Probe& probe) const override {
    if (!probe.is_folder) return {};
    // A trainer's folder holds one among other things.
    const bool within =
        lists(probe.entry_names, "trainer_state.json") || lists(probe.entry_names, "config.json");
    const int score = within ? 30 : 85;
    if (holds_checkpoint(probe.entry_names)) return {91, "a folder with DeepSpeed's own names"};
    const auto tags = tags_of(probe.entry_names);
    if (tags.empty()) return {};
    return {score, fmt::format("a folder with a DeepSpeed checkpoint in {}", tags.back())};
  }

  Result<CheckpointData> open(const OpenArguments& arguments) const override {
    return DeepspeedOpening(arguments).run();
  }

  /// The files one by one, then what only all together can show.
  Status check(const CheckArguments& arguments, std::vector<Finding>* findings) const override {
    OpenArguments opening{arguments.files, arguments.path, arguments.probe, OpenOptions()};
    auto data = DeepspeedOpening(opening).run();
    if (!data) {
      Error error = std::move(data).error();
      if (error.code == ErrorCode::kIo || error.code == ErrorCode::kPermission ||
          error.code == ErrorCode::kCancelled)
        return fail(std::move(error));
      const Severity severity = severity_of(error.code);
      const std::string path = error.path.empty() ? arguments.probe->path : error.path;
      findings->push_back(finding_from({"deepspeed.broken", std::move(error)}, severity, path));
    } else {
      std::move(data->findings.begin(), data->findings.end(), std::back_inserter(*findings));
    }
    return check_files(arguments, findings);
  }

  Status scan(const CheckArguments& arguments, std::vector<Finding>* findings) const override {
    return folder_format().scan(arguments, findings);
  }

 private:
  static Status check_files(const CheckArguments& arguments, std::vector<Finding>* findings) {
    for (const std::string& name : arguments.probe->entry_names) {
      KILTER_TRY(arguments.context.check());
      if (!is_deepspeed_file(name)) continue;
      const std::string path = arguments.probe->path + "/" + name;
      KILTER_ASSIGN(const Probe probe, make_probe(*arguments.files, path));
      const Recognized recognized = recognize(probe);
      if (recognized.format == nullptr) continue;
      CheckArguments one = arguments;
      one.path = path;
      one.probe = &probe;
      KILTER_TRY(recognized.format->check(one, findings));
    }
    return ok();
  }
};

}  // namespace

std::optional<std::string> find_deepspeed_tag(io::FileSystem& files, const std::string& root,
                                              const std::vector<std::string>& names) {
  if (holds_checkpoint(names)) return "";
  const auto tags = tags_of(names);
  for (const std::string_view pointer : kPointers) {
    if (!lists(names, pointer)) continue;
    const std::string tag = tag_in(files, root + "/" + std::string(pointer));
    if (std::find(tags.begin(), tags.end(), tag) != tags.end()) return tag;
  }
  if (tags.size() == 1) return tags[0];
  return std::nullopt;
}

bool is_deepspeed_file(std::string_view name) {
  if (name.starts_with("zero/") || name.find("/zero/") != std::string_view::npos)
    return name.ends_with(".pt");
  return deepspeed::parse_file_name(file_name_of(name)).has_value();
}

const Format& deepspeed_format() {
  static const DeepspeedFormat kFormat;
  return kFormat;
}

}  // namespace kilter::formats
