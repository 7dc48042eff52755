#include "store/keep/decode_all.h"

#include <algorithm>
#include <atomic>
#include <mutex>

#include "base/thread_pool.h"
#include "base/try.h"
#include "store/codecs/codec.h"
#include "store/keep/base_forest.h"

namespace kilter::store {
namespace {

// A payload, what it becomes, its base, and what the codec needs.
constexpr std::uint64_t kDecodeBytesMax = 4 * kChunkBytesMax;

/// What all threads share.
class DecodeAll {
 public:
  DecodeAll(Store& store, const std::vector<ChunkPlace>& places, const DecodeAllRequest& request)
      : store_(store), places_(places), request_(request), forest_(places) {}

  Result<std::vector<BadPlace>> run() {
    const auto at_once = std::max<std::uint64_t>(1, request_.max_memory_bytes / kDecodeBytesMax);
    const unsigned wanted = request_.thread_count != 0 ? request_.thread_count : usable_cpu_count();
    const auto walkers = static_cast<unsigned>(std::min<std::uint64_t>(at_once, wanted));
    const std::uint64_t share = request_.max_memory_bytes / walkers;
    kept_bytes_max_ = share - std::min(share, kDecodeBytesMax);
    {
      ThreadPool pool(walkers);
      for (unsigned i = 0; i < walkers; ++i) pool.submit([this] { walk_trees(); });
      pool.wait_idle();
    }
    KILTER_TRY(request_.context.check());
    std::ranges::sort(bad_, {}, &BadPlace::place);
    return std::move(bad_);
  }

 private:
  /// A place whose bytes others still wait for; they may have been dropped.
  struct Waiting {
    std::uint32_t place = 0;
    PlainChunk plain;
    std::size_t next = 0;  // of those below it
  };

  void walk_trees() {
    const auto& roots = forest_.roots();
    for (std::size_t i = next_root_++; i < roots.size(); i = next_root_++)
      if (!walk_tree(roots[i])) return;
  }

  /// False once the user has had enough.
  bool walk_tree(std::uint32_t root) {
    std::vector<Waiting> open;
    std::uint64_t kept_bytes = 0;
    const auto enter = [&](std::uint32_t place, PlainChunk plain) {
      if (forest_.below(place).empty()) return;
      if (plain != nullptr) kept_bytes += plain->size();
      open.push_back({place, std::move(plain), 0});
      for (std::size_t i = 0; i < open.size() && kept_bytes > kept_bytes_max_; ++i)
        if (open[i].plain != nullptr) kept_bytes -= std::exchange(open[i].plain, nullptr)->size();
    };
    enter(root, decode(root, root, nullptr));
    while (!open.empty()) {
      if (!request_.context.check()) return false;
      Waiting& top = open.back();
      const std::uint32_t base = top.place;
      const auto below = forest_.below(base);
      const std::uint32_t place = below[top.next++];
      PlainChunk base_plain = top.plain;
      if (top.next == below.size()) {
        if (base_plain != nullptr) kept_bytes -= base_plain->size();
        open.pop_back();
      }
      PlainChunk plain = decode(place, base, base_plain);
      base_plain.reset();
      enter(place, std::move(plain));
    }
    return request_.context.check().has_value();
  }

  /// nullptr for a bad one. Without the base's bytes the whole chain is followed: then it is also
  /// what knows of other places, and says what is wrong.
  PlainChunk decode(std::uint32_t number, std::uint32_t base, const PlainChunk& base_plain) {
    const ChunkPlace& place = places_[number];
    CodecBase from;
    if (base_plain != nullptr) from = {places_[base].record.element, *base_plain};
    const bool alone = !place.record.has_base();
    auto plain = base_plain != nullptr ? store_.decode_link(place, &from)
                 : alone               ? store_.decode_link(place, nullptr)
                                       : store_.decode_place(place);
    const std::lock_guard guard(mutex_);
    if (request_.advance) request_.advance(place.record.stored_bytes);
    if (plain) return std::move(*plain);
    bad_.push_back({number, std::move(plain).error()});
    return nullptr;
  }

  Store& store_;
  const std::vector<ChunkPlace>& places_;
  const DecodeAllRequest& request_;
  const BaseForest forest_;
  std::uint64_t kept_bytes_max_ = 0;  // of each thread
  std::atomic<std::size_t> next_root_{0};
  std::mutex mutex_;
  std::vector<BadPlace> bad_;
};

}  // namespace

Result<std::vector<BadPlace>> decode_all(Store& store, const std::vector<ChunkPlace>& places,
                                         const DecodeAllRequest& request) {
  return DecodeAll(store, places, request).run();
}

}  // namespace kilter::store
