#include "formats/zip/sub_file.h"

#include <cstring>

namespace kilter::zip {
namespace {

Status past_end(const std::string& path, std::uint64_t offset_bytes) {
  return fail(
      Error(ErrorCode::kOutOfRange, "read past the end").at_path(path).at_offset(offset_bytes));
}

}  // namespace

Status MemoryFile::read_at(std::uint64_t offset_bytes, std::span<std::byte> out) const {
  if (!range_fits(offset_bytes, out.size(), bytes_.size())) return past_end(path_, offset_bytes);
  if (!out.empty()) std::memcpy(out.data(), bytes_.data() + offset_bytes, out.size());
  return ok();
}

Status RangeFile::read_at(std::uint64_t offset_bytes, std::span<std::byte> out) const {
  if (!range_fits(offset_bytes, out.size(), bytes_)) return past_end(path_, offset_bytes);
  return outer_.read_at(offset_ + offset_bytes, out);
}

}  // namespace kilter::zip
