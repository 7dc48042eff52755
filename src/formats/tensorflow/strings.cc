#include "formats/tensorflow/strings.h"

#include <array>
#include <limits>

#include "base/checked.h"
#include "base/crc32c.h"
#include "base/protobuf.h"
#include "base/try.h"

namespace kilter::tensorflow {
namespace {

/// A length as it lay in the writer's memory: four bytes where they are enough.
std::uint32_t add_length(std::uint64_t length, bool big_endian, std::uint32_t crc) {
  const std::size_t bytes = length <= std::numeric_limits<std::uint32_t>::max() ? 4 : 8;
  std::array<std::byte, 8> word{};
  for (std::size_t i = 0; i < bytes; ++i)
    word[big_endian ? bytes - 1 - i : i] = static_cast<std::byte>(length >> (8 * i));
  return crc32c(Bytes(word).first(bytes), crc);
}

Status check_sum(std::uint32_t wanted, std::uint32_t found, const char* what, std::uint64_t at) {
  if (wanted == found) return ok();
  return fail(Error(ErrorCode::kCorrupt, std::string("the checksum of ") + what + " does not match")
                  .at_offset(at)
                  .wanted(std::to_string(wanted), std::to_string(found)));
}

}  // namespace

Result<std::vector<std::string_view>> read_strings(Bytes content, std::uint64_t count,
                                                   bool big_endian, std::uint32_t masked_crc32c) {
  if (count > content.size())
    return fail(
        Error(ErrorCode::kMalformed, "the tensor holds more strings than bytes")
            .wanted(std::to_string(count) + " bytes or more", std::to_string(content.size())));
  ByteReader reader(content);
  std::vector<std::uint64_t> lengths(count);
  std::uint32_t crc = 0;
  for (std::uint64_t& length : lengths) {
    KILTER_ASSIGN(length, read_varint(&reader));
    crc = add_length(length, big_endian, crc);
  }
  const std::uint64_t at = reader.position();
  KILTER_ASSIGN(const Bytes stored_sum, reader.take(4));
  ByteReader sum(stored_sum);
  KILTER_ASSIGN(const std::uint32_t masked, big_endian ? sum.u32_be() : sum.u32_le());
  KILTER_TRY(check_sum(unmask_crc32c(masked), crc, "the strings' lengths", at));
  crc = crc32c(content.subspan(at), crc);  // of the sum itself too, then of all bytes
  KILTER_TRY(check_sum(unmask_crc32c(masked_crc32c), crc, "the strings", 0));
  std::vector<std::string_view> out;
  out.reserve(count);
  for (const std::uint64_t length : lengths) {
    KILTER_ASSIGN(const Bytes one, reader.take(length));
    out.push_back(as_text(one));
  }
  if (!reader.done())
    return fail(Error(ErrorCode::kMalformed, "bytes are left over behind the last string")
                    .at_offset(reader.position()));
  return out;
}

StateId add_strings(const std::vector<std::string_view>& strings,
                    const std::vector<std::int64_t>& shape, StateTree* tree) {
  std::vector<StateId> level;
  level.reserve(strings.size());
  for (const std::string_view text : strings) {
    StateNode node;
    node.kind = StateKind::kBytes;
    node.text = text;
    level.push_back(tree->add(std::move(node)));
  }
  // From the innermost dimension out: each list takes that many of the level below.
  for (std::size_t d = shape.size(); d-- > 0;) {
    const auto size = static_cast<std::size_t>(shape[d]);
    std::size_t lists = 1;
    for (std::size_t outer = 0; outer < d; ++outer) lists *= static_cast<std::size_t>(shape[outer]);
    if (strings.empty()) lists = d == 0 ? 1 : 0;  // an empty dimension hides those inside it
    std::vector<StateId> above;
    for (std::size_t i = 0; i < lists; ++i) {
      StateNode node;
      node.kind = StateKind::kList;
      if (!level.empty())
        node.items.assign(level.begin() + static_cast<std::ptrdiff_t>(i * size),
                          level.begin() + static_cast<std::ptrdiff_t>((i + 1) * size));
      above.push_back(tree->add(std::move(node)));
    }
    level = std::move(above);
  }
  return level.empty() ? kNoState : level[0];
}

}  // namespace kilter::tensorflow
