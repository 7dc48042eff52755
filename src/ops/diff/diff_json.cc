// Differences as JSON. Source: spec/cli-json.md.
#include <nlohmann/json.hpp>

#include "kilter/weights_diff.h"

#include "base/json.h"

namespace kilter {
namespace ops {
namespace {

Json diff_tensor_json(const TensorDiff& row) {
  Json out = {{"name", row.name}, {"change", change_name(row.change)}};
  if (!row.name_b.empty()) out["name_b"] = row.name_b;
  if (!row.rule.empty()) out["rule"] = row.rule;
  if (!row.layout.empty()) out["layout"] = row.layout;
  if (row.change != WeightChange::kOnlyInB) {
    out["dtype_a"] = dtype_name(row.dtype_a);
    out["shape_a"] = row.shape_a;
  }
  if (row.change != WeightChange::kOnlyInA) {
    out["dtype_b"] = dtype_name(row.dtype_b);
    out["shape_b"] = row.shape_b;
  }
  return out;
}

void add_difference_numbers(Json& out, const TensorDiff& row) {
  out["elements"] = row.elements;
  out["changed"] = row.changed;
  out["not_finite"] = row.not_finite;
  out["largest"] = row.largest;
  out["mean"] = row.mean;
  out["rms"] = row.rms;
  out["cosine"] = row.cosine;
  out["relative_norm"] = row.relative_norm;
  out["norm_a"] = row.norm_a;
  out["norm_b"] = row.norm_b;
}

Json interpolation_json(const Interpolation& one) {
  return {{"t", one.t}, {"residual", one.residual}, {"rounding", one.rounding}};
}

void add_closer_look(Json& out, const TensorDiff& row) {
  if (row.interpolation) out["interpolation"] = interpolation_json(*row.interpolation);
  if (row.spectrum)
    out["spectrum"] = {{"rank", row.spectrum->rank},
                       {"values", row.spectrum->values},
                       {"energy", row.spectrum->energy}};
}

bool was_compared(WeightChange change) {
  return change == WeightChange::kIdentical || change == WeightChange::kEqualAfterRounding ||
         change == WeightChange::kChanged;
}

/// A value that is JSON already; null where there is none.
Json json_value(const std::string& text) {
  if (text.empty()) return nullptr;
  auto value = parse_json(text);
  return value ? *std::move(value) : Json(text);
}

Json keys_json(const std::vector<CheckpointDiff::Key>& keys) {
  Json out = Json::array();
  for (const auto& key : keys)
    out.push_back(
        {{"key", key.key}, {"before", json_value(key.before)}, {"after", json_value(key.after)}});
  return out;
}

Json text_json(const CheckpointDiff::Text& text) {
  Json out = {{"name", text.name}, {"before", text.before}, {"after", text.after}};
  if (!text.file.empty()) out["file"] = text.file;
  if (!text.keys.empty()) out["keys"] = keys_json(text.keys);
  return out;
}

Json tokenizer_json(const TokenizerDiff& row) {
  return {{"path", row.path},
          {"words_a", row.words_a},
          {"words_b", row.words_b},
          {"added", row.added},
          {"removed", row.removed},
          {"moved", row.moved},
          {"added_examples", row.added_examples},
          {"removed_examples", row.removed_examples},
          {"merges_a", row.merges_a},
          {"merges_b", row.merges_b},
          {"merges_changed", row.merges_changed},
          {"keys", keys_json(row.keys)}};
}

}  // namespace
}  // namespace ops

std::string diff_json(const CheckpointDiff& diff) {
  Json tensors = Json::array(), texts = Json::array(), tokenizers = Json::array();
  for (const TensorDiff& row : diff.tensors) {
    Json one = ops::diff_tensor_json(row);
    if (ops::was_compared(row.change)) ops::add_difference_numbers(one, row);
    ops::add_closer_look(one, row);
    tensors.push_back(std::move(one));
  }
  for (const auto& text : diff.texts) texts.push_back(ops::text_json(text));
  for (const auto& row : diff.tokenizers) tokenizers.push_back(ops::tokenizer_json(row));
  Json total = Json::object();
  ops::add_difference_numbers(total, diff.total);
  Json out = {{"a", diff.a},
              {"b", diff.b},
              {"same", diff.same},
              {"tensors", std::move(tensors)},
              {"total", std::move(total)},
              {"texts", std::move(texts)},
              {"tokenizers", std::move(tokenizers)},
              {"guesses", diff.guesses},
              {"read_bytes", diff.read_bytes},
              {"seconds", diff.seconds}};
  if (diff.against) {
    out["against"] = ops::interpolation_json(diff.against->total);
    out["against"]["address"] = diff.against->address;
    out["against"]["compared"] = diff.against->compared;
    out["against"]["left_out"] = diff.against->left_out;
  }
  return dump_json(out);
}

}  // namespace kilter
