// Statistics as JSON. Source: spec/cli-json.md.
#include <nlohmann/json.hpp>

#include "kilter/stats.h"

#include "base/json.h"

namespace kilter {
namespace ops {
namespace {

Json numbers_json(const NumberStats& row) {
  return {{"numbers", row.numbers},
          {"finite", row.finite},
          {"nan", row.nan},
          {"infinite", row.infinite},
          {"zero", row.zero},
          {"subnormal", row.subnormal},
          {"min", row.min},
          {"max", row.max},
          {"mean", row.mean},
          {"deviation", row.deviation},
          {"l1", row.l1},
          {"l2", row.l2},
          {"largest", row.largest},
          {"skewness", row.skewness},
          {"kurtosis", row.kurtosis},
          {"histogram",
           {{"first", row.histogram.first},
            {"width", row.histogram.width},
            {"counts", row.histogram.counts}}},
          {"exponents", {{"first", row.exponents.first}, {"counts", row.exponents.counts}}}};
}

Json channels_json(const ChannelStats& channels) {
  Json outliers = Json::array();
  for (const auto& [index, norm] : channels.outliers)
    outliers.push_back({{"index", index}, {"norm", norm}});
  return {{"count", channels.count},     {"dead", channels.dead},
          {"mean", channels.mean},       {"deviation", channels.deviation},
          {"largest", channels.largest}, {"outlier_count", channels.outlier_count},
          {"outliers", outliers}};
}

}  // namespace
}  // namespace ops

std::string stats_json(const CheckpointStats& stats) {
  Json tensors = Json::array();
  for (const TensorStats& row : stats.tensors) {
    Json one = {{"name", row.name}, {"dtype", dtype_name(row.dtype)}, {"shape", row.shape}};
    if (row.has_numbers) one.update(ops::numbers_json(row.numbers));
    if (row.rows) one["rows"] = ops::channels_json(*row.rows);
    if (row.columns) one["columns"] = ops::channels_json(*row.columns);
    tensors.push_back(std::move(one));
  }
  return dump_json(Json{{"address", stats.address},
                        {"tensors", std::move(tensors)},
                        {"total", ops::numbers_json(stats.total)},
                        {"read_bytes", stats.read_bytes},
                        {"seconds", stats.seconds}});
}

}  // namespace kilter
