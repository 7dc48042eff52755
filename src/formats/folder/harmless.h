// Binary files that come with models and that no loader runs or unpickles.
#pragma once

#include <optional>
#include <string_view>

#include "formats/format.h"

namespace kilter::formats {

/// True if `content` is a sentencepiece model from end to end: a ModelProto whose every field is
/// one it has, and nothing behind it. Source: sentencepiece_model.proto.
bool is_sentencepiece_model(Bytes content);

/// "PNG image" and the like, unless the file is also an archive at its end; nullopt otherwise.
std::optional<std::string_view> plain_image(const Probe& probe);

}  // namespace kilter::formats
