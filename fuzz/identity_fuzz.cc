// Any tensor names and shapes, with a model card, as a checkpoint to recognize.
// The input is lines `name dimension,dimension,…`; what follows the first NUL is the card.
#include <algorithm>
#include <charconv>
#include <cstdlib>
#include <string_view>

#include "kilter/identity.h"

#include "model/card.h"

namespace {

using namespace kilter;

/// At most three dimensions of at most 2^20, so that the size of a tensor fits 64 bits.
std::vector<std::int64_t> read_shape(std::string_view text) {
  constexpr std::size_t kDimensionsMax = 3;
  constexpr std::int64_t kDimensionMax = 1 << 20;
  std::vector<std::int64_t> shape;
  while (!text.empty() && shape.size() < kDimensionsMax) {
    std::int64_t size = 0;
    const auto end = std::from_chars(text.data(), text.data() + text.size(), size).ptr;
    shape.push_back(size < 0 || size > kDimensionMax ? 1 : size);
    text.remove_prefix(static_cast<std::size_t>(end - text.data()));
    if (!text.empty()) text.remove_prefix(1);
  }
  return shape;
}

CheckpointData read_checkpoint(std::string_view lines) {
  CheckpointData data;
  data.format = "safetensors";
  data.index.files = {{"f", 0}};
  data.index.storages.resize(1);
  while (!lines.empty()) {
    const std::string_view line = lines.substr(0, lines.find('\n'));
    lines.remove_prefix(std::min(lines.size(), line.size() + 1));
    const std::size_t space = line.rfind(' ');
    TensorInfo tensor;
    tensor.name = line.substr(0, space);
    if (space != std::string_view::npos) tensor.shape = read_shape(line.substr(space + 1));
    tensor.strides = contiguous_strides(tensor.shape);
    data.index.tensors.push_back(std::move(tensor));
  }
  return data;
}

void check(bool holds) {
  if (!holds) std::abort();
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* bytes, std::size_t size) {
  const std::string_view input(reinterpret_cast<const char*>(bytes), size);
  const std::string_view lines = input.substr(0, input.find('\0'));
  CheckpointData data = read_checkpoint(lines);
  if (lines.size() < input.size()) {
    const std::string_view card = input.substr(lines.size() + 1);
    for (const auto& [key, values] : model::read_card(card).fields) check(!key.empty());
    data.documents.push_back({"README.md", std::string(card)});
    data.documents.push_back({"config.json", std::string(card)});
    data.documents.push_back({"adapter_config.json", std::string(card)});
  }
  const Identity identity = identify(data);
  for (const Answer* answer : {&identity.instance, &identity.type, &identity.architecture,
                               &identity.variant, &identity.adapter, &identity.licence})
    check(answer->confidence >= 0 && answer->confidence <= 1 && !answer->value.empty());
  const std::size_t count = data.index.tensors.size();
  check(tensor_parts(data).size() == count && unwrapped_names(data).size() == count);
  return 0;
}
