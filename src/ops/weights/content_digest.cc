#include <algorithm>
#include <vector>

#include "kilter/weights.h"

#include "base/hash.h"
#include "base/raw_bytes.h"
#include "base/run_jobs.h"
#include "base/try.h"
#include "flow/source.h"

namespace kilter {
namespace {

constexpr std::uint64_t kReadBytes = 1 << 20;

void add_number(Blake3& hasher, std::uint64_t value) {
  std::byte bytes[8];
  for (unsigned i = 0; i < 8; ++i) bytes[i] = static_cast<std::byte>(value >> (8 * i));
  hasher.update(bytes);
}

void add_text(Blake3& hasher, std::string_view text) {
  add_number(hasher, text.size());
  hasher.update(std::as_bytes(std::span(text)));
}

Result<Digest256> digest_of_tensor(const Checkpoint& checkpoint, std::size_t tensor,
                                   const RunContext& context) {
  Blake3 hasher;
  const std::uint64_t total = checkpoint.tensors()[tensor].bytes();
  RawBytes block(static_cast<std::size_t>(std::min(total, kReadBytes)));
  for (std::uint64_t at = 0; at < total; at += block.size()) {
    KILTER_TRY(context.check());
    block.resize(static_cast<std::size_t>(std::min<std::uint64_t>(block.size(), total - at)));
    KILTER_TRY(checkpoint.source()->read_tensor(tensor, at, block));
    hasher.update(block);
  }
  return hasher.finish();
}

}  // namespace

Result<std::string> content_digest(const Checkpoint& checkpoint, unsigned thread_count,
                                   const RunContext& context) {
  const auto& tensors = checkpoint.tensors();
  std::vector<Digest256> digests(tensors.size());
  Jobs jobs{"digest", tensors.size(), [&](std::size_t i) { return tensors[i].bytes(); }, {}};
  jobs.run = [&](std::size_t i) -> Status {
    KILTER_ASSIGN(digests[i], digest_of_tensor(checkpoint, i, context));
    return {};
  };
  KILTER_TRY(run_jobs(jobs, thread_count, context));
  std::vector<std::size_t> order(tensors.size());
  for (std::size_t i = 0; i < order.size(); ++i) order[i] = i;
  std::ranges::sort(order, {},
                    [&](std::size_t i) -> const std::string& { return tensors[i].name; });
  Blake3 hasher;
  hasher.update(std::as_bytes(std::span(std::string_view("kilter content 1\n"))));
  for (const std::size_t i : order) {
    add_text(hasher, tensors[i].name);
    add_text(hasher, dtype_name(tensors[i].dtype));
    add_number(hasher, tensors[i].shape.size());
    for (const std::int64_t extent : tensors[i].shape)
      add_number(hasher, static_cast<std::uint64_t>(extent));
    hasher.update(digests[i]);
  }
  return to_hex(hasher.finish());
}

}  // namespace kilter
