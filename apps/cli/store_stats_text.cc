// The statistics of a store: commits, chunks, sizes.
#include "cli/store_stats_text.h"

#include <fmt/format.h>

#include <cstdio>

#include "base/text.h"
#include "base/try.h"
#include "cli/store_support.h"
#include "store/keep/stats.h"

namespace kilter::cli {
namespace {

Json store_stats_json(const store::StoreStats& stats) {
  Json forms = Json::array();
  for (const store::FormStats& form : stats.forms)
    forms.push_back({{"form", form.form},
                     {"element", form.element},
                     {"chunks", form.chunk_count},
                     {"bytes", form.plain_bytes},
                     {"stored_bytes", form.stored_bytes}});
  Json depths = Json::object();
  for (const auto& [depth, count] : stats.chunks_by_depth) depths[std::to_string(depth)] = count;
  return {{"commits", stats.commit_count},
          {"retired", stats.retired_count},
          {"file_bytes", stats.file_bytes},
          {"unique_bytes", stats.unique_bytes},
          {"stored_bytes", stats.stored_bytes},
          {"packs", stats.pack_count},
          {"pack_bytes", stats.pack_bytes},
          {"index_bytes", stats.index_bytes},
          {"forms", forms},
          {"chunks_by_depth", depths}};
}

double stored_ratio(std::uint64_t before, std::uint64_t after) {
  return after == 0 ? 1.0 : static_cast<double>(before) / static_cast<double>(after);
}

}  // namespace

Status print_store_stats(const std::string& address, const Invocation& invocation) {
  KILTER_ASSIGN(const auto store, store::open_store(address));
  KILTER_ASSIGN(const auto stats, store::store_stats(*store, invocation.context));
  if (invocation.terminal.json) {
    print_json(store_stats_json(stats));
    return ok();
  }
  std::printf("commits   %s, %s of them without data\n", format_count(stats.commit_count).c_str(),
              format_count(stats.retired_count).c_str());
  std::printf("files     %s if each were kept whole\n", format_bytes(stats.file_bytes).c_str());
  std::printf("unique    %s once each chunk is kept once (%.2fx)\n",
              format_bytes(stats.unique_bytes).c_str(),
              stored_ratio(stats.file_bytes, stats.unique_bytes));
  std::printf("stored    %s as they are stored (%.2fx)\n", format_bytes(stats.stored_bytes).c_str(),
              stored_ratio(stats.file_bytes, stats.stored_bytes));
  std::printf("on disk   %s in %s packs, index %s\n", format_bytes(stats.pack_bytes).c_str(),
              format_count(stats.pack_count).c_str(), format_bytes(stats.index_bytes).c_str());
  const Style style(invocation.terminal.colour_out);
  std::printf("%s\n", style
                          .dim(fmt::format("{:<10}{:<8}{:>10}{:>12}{:>12}{:>11}", "form", "element",
                                           "chunks", "bytes", "stored", "ratio"))
                          .c_str());
  for (const store::FormStats& form : stats.forms)
    std::printf("%s\n", fmt::format("{:<10}{:<8}{:>10}{:>12}{:>12}{:>10.2f}x", form.form,
                                    form.element, format_count(form.chunk_count),
                                    format_bytes(form.plain_bytes), format_bytes(form.stored_bytes),
                                    stored_ratio(form.plain_bytes, form.stored_bytes))
                            .c_str());
  return ok();
}

}  // namespace kilter::cli
