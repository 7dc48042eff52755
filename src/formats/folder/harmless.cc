#include "formats/folder/harmless.h"

#include <array>

#include "base/try.h"

namespace kilter::formats {
namespace {

using namespace std::string_view_literals;

// Wire types of protocol buffers. Source: protobuf.dev, "Encoding".
enum : std::uint64_t { kVarint = 0, kFixed64 = 1, kBytes = 2, kFixed32 = 5 };

std::optional<std::uint64_t> varint(ByteReader* reader) {
  std::uint64_t value = 0;
  for (unsigned shift = 0; shift < 64; shift += 7) {
    const auto byte = reader->u8();
    if (!byte) return std::nullopt;
    value |= static_cast<std::uint64_t>(*byte & 0x7fU) << shift;
    if ((*byte & 0x80U) == 0) return value;
  }
  return std::nullopt;
}

struct Field {
  std::uint64_t number = 0;
  std::uint64_t type = 0;
  Bytes content;  // of kBytes
};

std::optional<Field> next_field(ByteReader* reader) {
  const auto key = varint(reader);
  if (!key) return std::nullopt;
  Field out{*key >> 3, *key & 7, {}};
  if (out.number == 0) return std::nullopt;
  if (out.type == kVarint) {
    if (!varint(reader)) return std::nullopt;
  } else if (out.type == kBytes) {
    const auto bytes = varint(reader);
    const auto content = bytes ? reader->take(*bytes) : Result<Bytes>(Bytes());
    if (!bytes || !content) return std::nullopt;
    out.content = *content;
  } else if (out.type != kFixed32 && out.type != kFixed64) {
    return std::nullopt;
  } else if (!reader->skip(out.type == kFixed32 ? 4 : 8)) {
    return std::nullopt;
  }
  return out;
}

/// piece (string), score (float), type (enum); proto2 extensions from 200 on.
bool is_piece(Bytes content) {
  ByteReader reader(content);
  bool named = false;
  while (!reader.done()) {
    const auto field = next_field(&reader);
    if (!field) return false;
    named = named || (field->number == 1 && field->type == kBytes);
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
  ByteReader reader(content);
  std::size_t pieces = 0;
  while (!reader.done()) {
    const auto field = next_field(&reader);
    if (!field || field->type != kBytes) return false;
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
