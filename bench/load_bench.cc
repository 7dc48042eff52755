// How long does a checkpoint take into memory through the C++ API?
//
// load_bench FILE: opens (bounds and structure verified), loads, then reads every byte once.
// Prints {"load_seconds", "touch_seconds", "bytes", "sum", "mode"}; `sum` adds the bytes as 64-bit
// words so that the answer can be compared with other readers'.
#include <chrono>
#include <cstdio>
#include <cstring>

#include "kilter/checkpoint.h"

#include "flow/load.h"

namespace {

double seconds_since(std::chrono::steady_clock::time_point start) {
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
}

std::uint64_t word_sum(std::span<const std::byte> bytes) {
  std::uint64_t sum = 0, word = 0;
  std::size_t at = 0;
  for (; at + 8 <= bytes.size(); at += 8) {
    std::memcpy(&word, bytes.data() + at, 8);
    sum += word;
  }
  for (; at < bytes.size(); ++at) sum += static_cast<std::uint64_t>(bytes[at]);
  return sum;
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 2) {
    std::fputs("usage: load_bench FILE\n", stderr);
    return 2;
  }
  const auto start = std::chrono::steady_clock::now();
  const auto checkpoint = kilter::open_checkpoint(argv[1]);
  if (!checkpoint) {
    std::fprintf(stderr, "%s\n", checkpoint.error().text().c_str());
    return 1;
  }
  const auto loaded = checkpoint->load();
  if (!loaded) {
    std::fprintf(stderr, "%s\n", loaded.error().text().c_str());
    return 1;
  }
  const double load_seconds = seconds_since(start);
  std::uint64_t sum = 0, bytes = 0;
  const auto touch = std::chrono::steady_clock::now();
  for (std::size_t i = 0; i < checkpoint->tensors().size(); ++i) {
    sum += word_sum((*loaded)->bytes(i));
    bytes += (*loaded)->bytes(i).size();
  }
  std::printf(
      "{\"load_seconds\": %.6f, \"touch_seconds\": %.6f, \"bytes\": %llu, \"sum\": %llu, \"mode\": "
      "\"%s\"}\n",
      load_seconds, seconds_since(touch), static_cast<unsigned long long>(bytes),
      static_cast<unsigned long long>(sum),
      (*loaded)->mode() == kilter::LoadMode::kMap ? "map" : "read");
  return 0;
}
