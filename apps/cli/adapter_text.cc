#include "cli/adapter_text.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <cstdio>
#include <map>

#include "base/text.h"
#include "cli/style.h"
#include "cli/wrap.h"

namespace kilter::cli {
namespace {

constexpr std::size_t kAdapterLabelColumns = 14;
constexpr std::size_t kIgnoredMax = 8;
constexpr std::size_t kStatedMax = 12;
constexpr std::size_t kStatedChars = 100;

/// "model.layers.12.mlp" -> "model.layers.*.mlp": alike layers make one row.
std::string without_numbers(std::string_view path) {
  std::string out;
  for (std::size_t i = 0; i < path.size(); ++i) {
    const auto digit = [&](std::size_t at) {
      return at < path.size() && path[at] >= '0' && path[at] <= '9';
    };
    const bool begins = i == 0 || path[i - 1] == '.' || path[i - 1] == '_';
    std::size_t end = i;
    while (digit(end)) ++end;
    if (begins && end > i && (end == path.size() || path[end] == '.' || path[end] == '_')) {
      out += '*';
      i = end - 1;
    } else {
      out += path[i];
    }
  }
  return out;
}

/// What may differ among the modules of one row.
struct Group {
  std::uint64_t count = 0, parameters = 0;
  std::map<std::string, std::uint64_t> shapes;
  std::map<std::int64_t, std::uint64_t> ranks;
  std::map<double, std::uint64_t> scales;
};

template <typename Value>
std::string listed(const std::map<Value, std::uint64_t>& values) {
  constexpr std::size_t kMax = 4;
  std::string out;
  std::size_t shown = 0;
  for (const auto& [value, count] : values) {
    if (shown++ == kMax) return out + ", …";
    out += fmt::format("{}{}", out.empty() ? "" : ", ", value);
  }
  return out;
}

class AdapterPrinter {
 public:
  AdapterPrinter(const AdapterReport& report, const Terminal& terminal, bool every)
      : report_(report), style_(terminal.colour_out), every_(every) {}

  void run() {
    std::printf("%s\n  %s\n\n", style_.bold(escape_text(report_.path)).c_str(), headline().c_str());
    row("naming", report_.naming + (report_.dialect.empty() ? "" : " (" + report_.dialect + ")"));
    if (!report_.architecture_title.empty()) row("fits", report_.architecture_title);
    if (!report_.base.empty())
      row("states base", escape_text(report_.base, 200) + "  (" + report_.base_source + ")");
    if (!report_.base_hash.empty()) row("base's hash", escape_text(report_.base_hash, 80));
    row("scale", scale_text());
    row("dtypes", dtypes_text());
    print_modules();
    print_rest();
  }

 private:
  void row(const std::string& label, const std::string& text) const {
    std::printf("  %s%s\n", style_.dim(padded(label, kAdapterLabelColumns)).c_str(), text.c_str());
  }

  std::string headline() const {
    return fmt::format("{} adapter, {} parameters in {} modules, {}", report_.kind,
                       format_quantity(report_.parameter_count), report_.modules.size(),
                       format_bytes(report_.bytes));
  }

  std::string scale_text() const {
    if (report_.scale_unknown)
      return style_.warn("not stated: adapter_config.json is missing beside it");
    std::map<std::int64_t, std::uint64_t> ranks;
    std::map<double, std::uint64_t> alphas, scales;
    bool stabilized = false;
    for (const auto& module : report_.modules) {
      if (module.rank == 0) continue;
      ++ranks[module.rank];
      ++scales[module.scale];
      if (module.alpha) ++alphas[*module.alpha];
      stabilized = stabilized || module.rank_stabilized;
    }
    if (ranks.empty()) return "1";
    return fmt::format("{}  (rank {}, alpha {}{})", listed(scales), listed(ranks),
                       alphas.empty() ? "not stated: the rank" : listed(alphas),
                       stabilized ? ", divided by the rank's root" : "");
  }

  std::string dtypes_text() const {
    std::string out;
    for (const auto& [dtype, count] : report_.dtypes)
      out += fmt::format("{}{} in {} tensors", out.empty() ? "" : ", ", dtype_name(dtype), count);
    return out;
  }

  void print_modules() const {
    std::vector<std::string> order;
    std::map<std::string, Group> groups;
    for (const auto& module : report_.modules) {
      const std::string path = every_ ? module.path : without_numbers(module.path);
      const std::string key =
          fmt::format("{}{}{}  {}", module.part, module.part.empty() ? "" : " ", path, module.kind);
      const auto [found, added] = groups.try_emplace(key);
      if (added) order.push_back(key);
      Group& group = found->second;
      ++group.count;
      group.parameters += module.parameter_count;
      if (!module.shape.empty()) ++group.shapes[fmt::format("{}", fmt::join(module.shape, "×"))];
      if (module.rank > 0) ++group.ranks[module.rank];
    }
    std::size_t widest = 0;
    for (const std::string& key : order) widest = std::max(widest, key.size());
    std::printf("\n");
    for (const std::string& key : order) {
      const Group& group = groups.at(key);
      const std::string shapes = group.shapes.empty() ? "" : "  " + listed(group.shapes);
      const std::string ranks = group.ranks.empty() ? "" : "  rank " + listed(group.ranks);
      std::printf("  %s  %4llu  %8s%s%s\n",
                  style_.name(padded(escape_text(key, 200), widest)).c_str(),
                  static_cast<unsigned long long>(group.count),
                  format_quantity(group.parameters).c_str(), ranks.c_str(), shapes.c_str());
    }
  }

  void print_rest() const {
    for (const std::string& what : report_.unsupported)
      row("unsupported", style_.warn(escape_text(what, 200)));
    for (std::size_t i = 0; i < report_.ignored.size() && i < kIgnoredMax; ++i)
      row("ignored", escape_text(report_.ignored[i].first, 200) + ": " + report_.ignored[i].second);
    if (report_.ignored.size() > kIgnoredMax)
      row("", fmt::format("… {} more", report_.ignored.size() - kIgnoredMax));
    for (std::size_t i = 0; i < report_.stated.size() && (every_ || i < kStatedMax); ++i)
      row("states", escape_text(report_.stated[i].first, 80) + " = " +
                        escape_text(report_.stated[i].second, kStatedChars));
    if (!every_ && report_.stated.size() > kStatedMax)
      row("", fmt::format("… {} more: --modules lists all", report_.stated.size() - kStatedMax));
  }

  const AdapterReport& report_;
  Style style_;
  bool every_;
};

}  // namespace

void print_adapter(const AdapterReport& report, const Terminal& terminal, bool every) {
  AdapterPrinter(report, terminal, every).run();
}

}  // namespace kilter::cli
