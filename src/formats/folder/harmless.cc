#include "formats/folder/harmless.h"

#include <array>

#include "base/protobuf.h"

namespace kilter::formats {
namespace {

using namespace std::string_view_literals;

/// piece (string), score (float), type (enum); proto2 extensions from 200 on.
bool is_piece(Bytes content) {
  ProtoReader reader(content);
  bool named = false;
  while (!reader.done()) {
    const auto field = reader.next();
    if (!field) return false;
    named = named || field->is(1, WireType::kBytes);
    if (field->number > 3 && field->number < 200) return false;
  }
  return named;
}

struct ImageMagic {
  std::string_view magic;
  std::string_view title;
};
constexpr std::array kImages = {
    ImageMagic{"\x89PNG\r\n\x1a\n"sv, "PNG image"}, ImageMagic{"\xff\xd8\xff"sv, "JPEG image"},
    ImageMagic{"GIF87a"sv, "GIF image"}, ImageMagic{"GIF89a"sv, "GIF image"}};

}  // namespace

bool is_sentencepiece_model(Bytes content) {
  ProtoReader reader(content);
  std::size_t pieces = 0;
  while (!reader.done()) {
    const auto field = reader.next();
    if (!field || field->type != WireType::kBytes) return false;
    if (field->number > 5 && field->number < 200) return false;
    if (field->number != 1) continue;  // trainer, normalizer, self test, denormalizer
    if (!is_piece(field->content)) return false;
    ++pieces;
  }
  return pieces > 0;
}

std::optional<std::string_view> plain_image(const Probe& probe) {
  const std::string_view head = as_text(Bytes(probe.head));
  if (as_text(Bytes(probe.tail)).find("PK\5\6") != std::string_view::npos) return std::nullopt;
  for (const ImageMagic& row : kImages)
    if (head.starts_with(row.magic)) return row.title;
  return std::nullopt;
}

}  // namespace kilter::formats
