// How long do the shards of a distributed checkpoint take into memory that exists already?
//
// dcp_bench FOLDER RANKS: forks RANKS processes; each opens the checkpoint and reads its part of
// every tensor along the first dimension (as torch.chunk cuts) into memory that was touched before.
// Prints
// {"load_seconds", "bytes", "sum"}: the slowest rank's time, and all bytes added as 64-bit words.
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <cstring>

#include "kilter/checkpoint.h"

#include "flow/load.h"

namespace {

struct Result {
  double seconds = 0;
  std::uint64_t bytes = 0;
  std::uint64_t sum = 0;
};

struct Shard {
  std::size_t tensor = 0;
  std::uint64_t offset_bytes = 0;
  std::uint64_t bytes = 0;
};

std::vector<Shard> shards_of(const kilter::Checkpoint& checkpoint, std::int64_t rank,
                             std::int64_t ranks) {
  std::vector<Shard> out;
  for (std::size_t i = 0; i < checkpoint.tensors().size(); ++i) {
    const kilter::TensorInfo& tensor = checkpoint.tensors()[i];
    const std::int64_t rows = tensor.shape.empty() ? 1 : tensor.shape[0];
    const std::int64_t step = (rows + ranks - 1) / ranks;
    const std::int64_t first = std::min(rank * step, rows);
    const auto count = static_cast<std::uint64_t>(std::min(step, rows - first));
    if (count == 0) continue;
    const std::uint64_t row_bytes = tensor.bytes() / static_cast<std::uint64_t>(rows);
    out.push_back({i, static_cast<std::uint64_t>(first) * row_bytes, count * row_bytes});
  }
  return out;
}

/// The memory a trained model has: its shapes are known, its pages present.
std::vector<std::byte> memory_for(const std::vector<Shard>& shards) {
  std::uint64_t total = 0;
  for (const Shard& shard : shards) total += shard.bytes;
  return std::vector<std::byte>(total, std::byte{1});
}

int load_rank(const char* folder, std::int64_t rank, std::int64_t ranks, int to) {
  auto shapes = kilter::open_checkpoint(folder);
  if (!shapes) return 1;
  std::vector<std::byte> memory = memory_for(shards_of(*shapes, rank, ranks));
  const auto start = std::chrono::steady_clock::now();
  const auto checkpoint = kilter::open_checkpoint(folder);
  if (!checkpoint) return 1;
  std::vector<kilter::TensorRange> ranges;
  std::uint64_t at = 0;
  for (const Shard& shard : shards_of(*checkpoint, rank, ranks)) {
    ranges.push_back(
        {shard.tensor, shard.offset_bytes, std::span(memory).subspan(at, shard.bytes)});
    at += shard.bytes;
  }
  const auto loaded = kilter::read_ranges(checkpoint->source(), ranges, {});
  Result result;
  result.seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  if (!loaded) {
    std::fprintf(stderr, "%s\n", loaded.error().text().c_str());
    return 1;
  }
  result.bytes = memory.size();
  for (std::size_t i = 0; i + 8 <= memory.size(); i += 8) {
    std::uint64_t word = 0;
    std::memcpy(&word, memory.data() + i, 8);
    result.sum += word;
  }
  return write(to, &result, sizeof result) == sizeof result ? 0 : 1;
}

}  // namespace

int main(int argc, char** argv) {
  const long ranks = argc == 3 ? std::strtol(argv[2], nullptr, 10) : 0;
  int pipe_ends[2];
  if (ranks < 1 || ranks > 64 || pipe(pipe_ends) != 0) {
    std::fputs("usage: dcp_bench FOLDER RANKS\n", stderr);
    return 2;
  }
  for (long rank = 0; rank < ranks; ++rank)
    if (fork() == 0) _exit(load_rank(argv[1], rank, ranks, pipe_ends[1]));
  Result all;
  for (long rank = 0; rank < ranks; ++rank) {
    int status = 0;
    if (wait(&status) < 0 || status != 0) return 1;
    Result one;
    if (read(pipe_ends[0], &one, sizeof one) != sizeof one) return 1;
    all.seconds = std::max(all.seconds, one.seconds);
    all.bytes += one.bytes;
    all.sum += one.sum;
  }
  std::printf("{\"load_seconds\": %.6f, \"bytes\": %llu, \"sum\": %llu}\n", all.seconds,
              static_cast<unsigned long long>(all.bytes), static_cast<unsigned long long>(all.sum));
  return 0;
}
