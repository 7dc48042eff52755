#include "ops/weights/content_digest.h"

#include <algorithm>

#include "base/raw_bytes.h"
#include "base/run_jobs.h"
#include "base/try.h"
#include "flow/source.h"

namespace kilter {
namespace ops {
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

Result<std::vector<Digest256>> tensor_digests(const Checkpoint& checkpoint, unsigned thread_count,
                                              const RunContext& context) {
  const auto& tensors = checkpoint.tensors();
  std::vector<Digest256> digests(tensors.size());
  Jobs jobs{"digest", tensors.size(), [&](std::size_t i) { return tensors[i].bytes(); }, {}};
  jobs.run = [&](std::size_t i) -> Status {
    KILTER_ASSIGN(digests[i], digest_of_tensor(checkpoint, i, context));
    return {};
  };
  KILTER_TRY(run_jobs(jobs, thread_count, context));
  return digests;
}

std::string digest_of_contents(std::vector<NamedContent> tensors) {
  std::ranges::stable_sort(tensors, {}, &NamedContent::name);
  Blake3 hasher;
  hasher.update(std::as_bytes(std::span(std::string_view("kilter content 1\n"))));
  for (const NamedContent& tensor : tensors) {
    add_text(hasher, tensor.name);
    add_text(hasher, dtype_name(tensor.dtype));
    add_number(hasher, tensor.shape->size());
    for (const std::int64_t extent : *tensor.shape)
      add_number(hasher, static_cast<std::uint64_t>(extent));
    hasher.update(tensor.digest);
  }
  return to_hex(hasher.finish());
}

std::string digest_of_contents(const Checkpoint& checkpoint,
                               const std::vector<Digest256>& digests) {
  std::vector<NamedContent> tensors;
  for (std::size_t i = 0; i < digests.size(); ++i) {
    const TensorInfo& info = checkpoint.tensors()[i];
    tensors.push_back({info.name, info.dtype, &info.shape, digests[i]});
  }
  return digest_of_contents(std::move(tensors));
}

}  // namespace ops

Result<std::string> content_digest(const Checkpoint& checkpoint, unsigned thread_count,
                                   const RunContext& context) {
  KILTER_ASSIGN(const std::vector<Digest256> digests,
                ops::tensor_digests(checkpoint, thread_count, context));
  return ops::digest_of_contents(checkpoint, digests);
}

}  // namespace kilter
