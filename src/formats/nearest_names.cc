#include "formats/nearest_names.h"

#include <algorithm>
#include <numeric>
#include <utility>

#include "base/text.h"

namespace kilter::formats {
namespace {

constexpr std::size_t kNameCountMax = 50'000;
constexpr std::size_t kNameBytesMax = 256;

bool ends_with_part(std::string_view whole, std::string_view end) {
  return whole.size() > end.size() && whole.ends_with(end) &&
         whole[whole.size() - end.size() - 1] == '.';
}

}  // namespace

std::size_t edit_distance(std::string_view a, std::string_view b, std::size_t limit) {
  if (a.size() > b.size()) std::swap(a, b);
  if (b.size() - a.size() > limit) return limit + 1;
  std::vector<std::size_t> row(a.size() + 1);
  std::iota(row.begin(), row.end(), std::size_t{0});
  for (std::size_t j = 1; j <= b.size(); ++j) {
    std::size_t diagonal = std::exchange(row[0], j);
    std::size_t best = row[0];
    for (std::size_t i = 1; i <= a.size(); ++i) {
      const std::size_t replace = diagonal + (a[i - 1] == b[j - 1] ? 0 : 1);
      diagonal = row[i];
      row[i] = std::min({replace, row[i] + 1, row[i - 1] + 1});
      best = std::min(best, row[i]);
    }
    if (best > limit) return limit + 1;
  }
  return std::min(row[a.size()], limit + 1);
}

std::vector<std::string> nearest_names(const std::vector<TensorInfo>& tensors,
                                       std::string_view name, std::size_t count_max) {
  if (name.size() > kNameBytesMax || name.empty()) return {};
  const std::size_t limit = std::min<std::size_t>(8, name.size() / 3 + 1);
  std::vector<std::pair<std::size_t, std::size_t>> found;  // distance, position
  for (std::size_t i = 0; i < std::min(tensors.size(), kNameCountMax); ++i) {
    const std::string_view candidate = tensors[i].name;
    if (candidate.size() > kNameBytesMax) continue;
    const bool related = ends_with_part(candidate, name) || ends_with_part(name, candidate);
    const std::size_t distance = related ? 0 : edit_distance(candidate, name, limit);
    if (distance <= limit) found.emplace_back(distance, i);
  }
  std::sort(found.begin(), found.end());
  std::vector<std::string> out;
  for (std::size_t i = 0; i < std::min(count_max, found.size()); ++i)
    out.push_back('"' + escape_text(tensors[found[i].second].name, 200) + '"');
  return out;
}

}  // namespace kilter::formats
