#include "flow/blocks.h"

#include <algorithm>
#include <future>
#include <memory>
#include <vector>

#include "base/try.h"

namespace kilter {

namespace {

struct Window {
  std::unique_ptr<std::byte[]> bytes;
  std::size_t used = 0;
};

Status fill(const io::ReadFile& file, std::uint64_t offset_bytes, std::size_t block_bytes,
            Window* window) {
  window->used =
      static_cast<std::size_t>(std::min<std::uint64_t>(block_bytes, file.bytes() - offset_bytes));
  return file.read_at(offset_bytes, {window->bytes.get(), window->used});
}

}  // namespace

Status for_each_block(const io::ReadFile& file, const RunContext& context,
                      const std::function<Status(std::uint64_t, Bytes)>& use,
                      std::uint64_t* done_bytes, std::size_t block_bytes) {
  if (file.bytes() == 0) return ok();
  block_bytes = static_cast<std::size_t>(std::min<std::uint64_t>(block_bytes, file.bytes()));
  Window now{std::make_unique_for_overwrite<std::byte[]>(block_bytes)};
  Window next{std::make_unique_for_overwrite<std::byte[]>(block_bytes)};
  KILTER_TRY(fill(file, 0, block_bytes, &now));
  for (std::uint64_t offset = 0; offset < file.bytes();) {
    KILTER_TRY(context.check());
    const std::uint64_t ahead = offset + now.used;
    std::future<Status> reading;
    if (ahead < file.bytes()) {
      reading = std::async(std::launch::async, [&file, ahead, block_bytes, &next] {
        return fill(file, ahead, block_bytes, &next);
      });
    }
    const Status used = use(offset, Bytes(now.bytes.get(), now.used));
    const Status read = reading.valid() ? reading.get() : ok();
    KILTER_TRY(used);
    KILTER_TRY(read);
    if (done_bytes != nullptr) {
      *done_bytes += now.used;
      if (context.progress != nullptr) context.progress->update(*done_bytes);
    }
    offset = ahead;
    std::swap(now, next);
  }
  return ok();
}

Result<bool> equal_tensors(const Source& source, std::size_t a, std::size_t b,
                           const RunContext& context) {
  constexpr std::uint64_t kBlockBytes = 2U << 20;
  const auto& tensors = source.index().tensors;
  const std::uint64_t bytes = tensors[a].bytes();
  if (tensors[b].bytes() != bytes) return false;
  const auto size = static_cast<std::size_t>(std::min(kBlockBytes, bytes));
  std::vector<std::byte> left(size), right(size);
  for (std::uint64_t at = 0; at < bytes;) {
    KILTER_TRY(context.check());
    const auto count = static_cast<std::size_t>(std::min<std::uint64_t>(size, bytes - at));
    KILTER_TRY(source.read_tensor(a, at, {left.data(), count}));
    KILTER_TRY(source.read_tensor(b, at, {right.data(), count}));
    if (!std::equal(left.begin(), left.begin() + static_cast<std::ptrdiff_t>(count), right.begin()))
      return false;
    at += count;
  }
  return true;
}

}  // namespace kilter
