#include "store/series.h"

#include <algorithm>

#include "base/text.h"
#include "base/try.h"

namespace kilter::store {
namespace {

/// What a pattern of whole paths leads to: 'run/checkpoint-*'.
std::vector<std::string> expand_pattern(const std::string& pattern) {
  if (pattern.find_first_of("*?[") == std::string::npos) return {pattern};
  io::FileSystem& files = io::real_file_system();
  std::vector<std::string> open{pattern.starts_with('/') ? "/" : ""};
  for (std::size_t begin = 0; begin <= pattern.size();) {
    const std::size_t end = std::min(pattern.find('/', begin), pattern.size());
    const std::string part = pattern.substr(begin, end - begin);
    begin = end + 1;
    if (part.empty()) continue;
    std::vector<std::string> next;
    for (const std::string& folder : open) {
      const auto entries = files.list(folder);
      if (!entries) continue;
      for (const io::FolderEntry& entry : *entries)
        if (glob_match(part, entry.name) && (part.front() == '.' || entry.name.front() != '.'))
          next.push_back(io::join_path(folder, entry.name));
    }
    open = std::move(next);
  }
  return open;
}

double stated_step(const SourceItem& item) {
  const auto found = item.metadata.find("step");
  return found != item.metadata.end() && found->is_number() ? found->get<double>() : -1.0;
}

}  // namespace

Result<SourceItem> look_at_source(io::FileSystem& files, std::string path,
                                  const std::vector<std::string>& skip) {
  while (path.size() > 1 && path.ends_with('/')) path.pop_back();
  SourceItem item;
  const TreeSource source{&files, path, skip};
  KILTER_ASSIGN(item.bytes, source_bytes(source));
  item.metadata = describe_source(source, &item.format);
  item.path = std::move(path);
  return item;
}

Result<std::vector<SourceItem>> find_series(io::FileSystem& files,
                                            const std::vector<std::string>& patterns,
                                            const std::vector<std::string>& skip) {
  std::vector<SourceItem> items;
  for (const std::string& pattern : patterns)
    for (std::string& path : expand_pattern(pattern)) {
      KILTER_ASSIGN(SourceItem item, look_at_source(files, std::move(path), skip));
      items.push_back(std::move(item));
    }
  if (items.empty())
    return fail(Error(ErrorCode::kNotFound, "no file or folder of this name")
                    .at_path(patterns.empty() ? "" : patterns.front()));
  std::ranges::stable_sort(items, {}, stated_step);
  return items;
}

}  // namespace kilter::store
