#include "formats/torch/zip_layout.h"

#include <algorithm>
#include <array>

#include "base/text.h"
#include "formats/zip/finding_list.h"

namespace kilter::torch {
namespace {

/// "archive/" of "archive/data.pkl"; nullopt where `leaf` lies deeper or is not the last part.
std::optional<std::string_view> root_of(std::string_view name, std::string_view leaf) {
  if (!name.ends_with(leaf)) return std::nullopt;
  name.remove_suffix(leaf.size());
  if (name.empty()) return name;
  if (name.back() != '/' || name.find('/') != name.size() - 1) return std::nullopt;
  return name;
}

/// Folders and files that torch and its tools put beside data.pkl.
constexpr std::array<std::string_view, 8> kKnownFolders = {
    "data/",     "constants/",        "code/",         "extra/", ".data/",
    "bytecode/", "xl_model_weights/", "traced_inputs/"};
constexpr std::array<std::string_view, 9> kKnownFiles = {
    "data.pkl",           "constants.pkl",  "version",      "byteorder",        ".format_version",
    ".storage_alignment", "attributes.pkl", "bytecode.pkl", "traced_inputs.pkl"};

bool known(std::string_view inner) {
  return std::find(kKnownFiles.begin(), kKnownFiles.end(), inner) != kKnownFiles.end() ||
         std::any_of(kKnownFolders.begin(), kKnownFolders.end(),
                     [inner](std::string_view folder) { return inner.starts_with(folder); });
}

std::string list_names(const std::vector<std::string_view>& names) {
  std::string out;
  for (std::size_t i = 0; i < names.size() && i < 10; ++i) {
    if (i > 0) out += ", ";
    out += escape_text(names[i], 100);
  }
  if (names.size() > 10) out += ", …";
  return out;
}

void add(std::string_view rule, Severity severity, const std::string& path, std::string message,
         std::string evidence, std::vector<Finding>* findings) {
  zip::FindingList(findings, 1, path)
      .add(rule, severity, "", std::move(message), std::move(evidence));
}

}  // namespace

std::optional<ZipLayout> find_layout(const zip::Archive& archive) {
  ZipLayout layout;
  bool found = false;
  for (std::size_t i = 0; i < archive.members.size() && !found; ++i) {
    const auto root = root_of(archive.members[i].name, kDataPickle);
    if (!root) continue;
    layout.root = *root;
    found = true;
  }
  if (!found) return std::nullopt;
  layout.data_pickle = *archive.find(layout.root + std::string(kDataPickle));
  layout.constants_pickle = archive.find(layout.root + std::string(kConstantsPickle));
  for (std::size_t i = 0; i < archive.members.size(); ++i) {
    const std::string_view name = archive.members[i].name;
    if (!name.starts_with(layout.root) || archive.members[i].folder()) continue;
    const std::string_view inner = name.substr(layout.root.size());
    if (inner.starts_with("code/") && inner.ends_with(".py")) layout.code.push_back(i);
    if (inner.starts_with("extra/")) layout.extras.push_back(i);
  }
  return layout;
}

void judge_layout(const zip::Archive& archive, const ZipLayout& layout, const std::string& path,
                  std::vector<Finding>* findings) {
  std::vector<std::string_view> pickles;
  std::vector<std::string_view> strangers;
  for (const zip::Member& member : archive.members) {
    const std::string_view name = member.name;
    if (root_of(name, kDataPickle)) pickles.push_back(name);
    const bool inside = name.starts_with(layout.root);
    if (!member.folder() && (!inside || !known(name.substr(layout.root.size()))))
      strangers.push_back(name);
  }
  std::sort(pickles.begin(), pickles.end());
  pickles.erase(std::unique(pickles.begin(), pickles.end()), pickles.end());
  if (pickles.size() > 1)
    add("torch.several-pickles", Severity::kSuspicious, path,
        "the archive holds several checkpoints: which one counts depends on the loader",
        list_names(pickles), findings);
  if (!strangers.empty())
    add("torch.extra-member", Severity::kNote, path,
        std::to_string(strangers.size()) + " members are no part of a torch checkpoint",
        list_names(strangers), findings);
}

}  // namespace kilter::torch
