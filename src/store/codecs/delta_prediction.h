// What a delta's elements are compared with: the base itself, or the base times a constant, as
// decaying averages and decaying weights are. Source: spec/store-forms.md, Delta.
#pragma once

#include <cstdint>

#include "store/codecs/codec.h"

namespace kilter::store {

/// predicted = base * scale, `repeats` times, rounded to float32 each time. Zero repeats: none.
struct Prediction {
  std::uint8_t repeats = 0;
  float scale = 0;
};

inline constexpr std::uint8_t kPredictionRepeatsMax = 16;

/// Whether no product of an element in the range of exponents can leave float32's normal numbers.
bool is_sound(const Prediction& prediction);

/// The constant that most f32 elements of a sample were multiplied by; none for other elements
/// and where nothing stands out. Deterministic: basic IEEE arithmetic alone.
Prediction find_prediction(Element element, Bytes plain, Bytes base);

}  // namespace kilter::store
