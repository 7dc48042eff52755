// How small do the forms of a chunk make a training run, and how fast?
//
//   codec_bench gaussian [MIB]     bf16 weights of 64 layers (default 256 MiB), exponent form
//   codec_bench series FOLDER [KIND]
//                                  a folder of step-N folders with safetensors files; of these
//                                  weights, master, exp_avg or exp_avg_sq alone
//
// `series` codes the first step without bases and every other against the step before it; bf16
// weights may be the cast of NAME.master of the same step. Prints ratio and GB/s of plain bytes,
// memory to memory, by form and kind of tensor and for the whole: plain bytes by the processor
// seconds of each of two threads, and of the wall's clock. Two threads; the chunks of a tensor are
// cut every 2^20 elements. Every payload is decoded and compared with what went in.
#include <time.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <map>
#include <random>
#include <string>
#include <thread>
#include <vector>

#include "kilter/checkpoint.h"

#include "store/codecs/codec.h"

namespace {

using namespace kilter;  // a program of one file
using store::CodecBase;
using store::Effort;
using store::Element;
using store::EncodedChunk;
using store::Form;

constexpr std::size_t kChunkElements = 1 << 20;
constexpr std::size_t kThreads = 2;

double now() {
  return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

/// Processor seconds of this thread: a shared machine counts only what is ours.
double thread_seconds() {
  timespec time{};
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time);
  return static_cast<double>(time.tv_sec) + static_cast<double>(time.tv_nsec) * 1e-9;
}

[[noreturn]] void stop(const std::string& what) {
  std::fprintf(stderr, "codec_bench: %s\n", what.c_str());
  std::exit(1);
}

template <typename T>
T need(Result<T> result) {
  if (!result) stop(result.error().text());
  return std::move(*result);
}

Element element_of(DType dtype) {
  switch (dtype) {
    case DType::kBF16:
      return Element::kBf16;
    case DType::kF16:
      return Element::kF16;
    case DType::kF32:
      return Element::kF32;
    case DType::kF64:
      return Element::kF64;
    case DType::kI64:
      return Element::kInt64;
    default:
      return Element::kBytes;
  }
}

/// A chunk to code, what it may lean on, and what came of it.
struct Work {
  std::string kind;
  Element element = Element::kBytes;
  Bytes plain;
  std::vector<CodecBase> bases;
  EncodedChunk encoded;
  double encode_seconds = 0, decode_seconds = 0;  // of the processor
};

/// Runs f(work) for all, on two threads; returns the seconds it took.
template <typename F>
double for_all(std::vector<Work>& all, F&& f) {
  std::atomic<std::size_t> next = 0;
  const double start = now();
  const auto run = [&] {
    for (std::size_t i = next++; i < all.size(); i = next++) f(all[i]);
  };
  std::vector<std::thread> threads;
  for (std::size_t t = 1; t < kThreads; ++t) threads.emplace_back(run);
  run();
  for (std::thread& thread : threads) thread.join();
  return now() - start;
}

void encode_one(Work& work, Effort effort) {
  const double start = thread_seconds();
  work.encoded = store::encode_smallest(work.element, work.plain, work.bases, effort);
  work.encode_seconds = thread_seconds() - start;
}

void decode_one(Work& work) {
  thread_local std::vector<std::byte> plain;
  plain.resize(work.plain.size());
  const EncodedChunk& encoded = work.encoded;
  const CodecBase* const base = encoded.base ? &work.bases[*encoded.base] : nullptr;
  const Bytes payload = encoded.form == Form::kRaw ? work.plain : Bytes(encoded.payload);
  const double start = thread_seconds();
  const Status status = store::find_codec(encoded.form)->decode(work.element, payload, base, plain);
  work.decode_seconds = thread_seconds() - start;
  if (!status) stop(status.error().text());
  if (std::memcmp(plain.data(), work.plain.data(), plain.size()) != 0) stop("bytes differ");
}

struct Sum {
  double plain = 0, stored = 0, encode_seconds = 0, decode_seconds = 0;
  void add(const Work& work) {
    plain += static_cast<double>(work.plain.size());
    stored += static_cast<double>(work.encoded.form == Form::kRaw ? work.plain.size()
                                                                  : work.encoded.payload.size());
    encode_seconds += work.encode_seconds;
    decode_seconds += work.decode_seconds;
  }
  /// Rates are those of two threads that each have a processor for themselves.
  void print(const std::string& name) const {
    std::printf("%-34s %9.1f MiB  ratio %8.3f  encode %6.2f GB/s  decode %6.2f GB/s\n",
                name.c_str(), plain / 1048576, plain / stored,
                kThreads * plain / encode_seconds / 1e9, kThreads * plain / decode_seconds / 1e9);
  }
};

using Table = std::map<std::string, Sum>;

double wall_encode_seconds = 0, wall_decode_seconds = 0;

void print_wall(double plain_bytes) {
  std::printf("by the wall's clock: encode %.2f GB/s, decode with comparison %.2f GB/s\n",
              plain_bytes / wall_encode_seconds / 1e9, plain_bytes / wall_decode_seconds / 1e9);
  wall_encode_seconds = wall_decode_seconds = 0;
}

void code_all(std::vector<Work>& all, Effort effort, Table& table) {
  wall_encode_seconds += for_all(all, [&](Work& work) { encode_one(work, effort); });
  wall_decode_seconds += for_all(all, [](Work& work) { decode_one(work); });
  for (const Work& work : all) {
    table[work.kind + " " + std::string(form_name(work.encoded.form))].add(work);
    table["(all)"].add(work);
  }
}

// The series.

struct Tensor {
  Element element = Element::kBytes;
  std::vector<std::byte> bytes;
};
using Step = std::map<std::string, Tensor>;

/// "exp_avg" of "a.weight.exp_avg", "weights" of anything else.
std::string kind_of(const std::string& name) {
  for (const char* kind : {"master", "exp_avg", "exp_avg_sq"}) {
    if (name.ends_with(std::string(".") + kind)) return kind;
  }
  return "weights";
}

Step read_step(const std::filesystem::path& folder, const std::string& kind) {
  Step step;
  for (const auto& entry : std::filesystem::directory_iterator(folder)) {
    if (entry.path().extension() != ".safetensors") continue;
    const Checkpoint checkpoint = need(open_checkpoint(entry.path().string()));
    for (const TensorInfo& tensor : checkpoint.tensors()) {
      if (!kind.empty() && kind_of(tensor.name) != kind) continue;
      step[tensor.name] = {element_of(tensor.dtype), need(checkpoint.read_tensor(tensor.name))};
    }
  }
  return step;
}

void add_base(Work& work, const Step& step, const std::string& name, std::size_t chunk) {
  const auto found = step.find(name);
  if (found == step.end()) return;
  const Bytes all = found->second.bytes;
  const std::size_t bytes = kChunkElements * element_bytes(found->second.element);
  if (chunk * bytes >= all.size()) return;
  const Bytes part = all.subspan(chunk * bytes, std::min(bytes, all.size() - chunk * bytes));
  work.bases.push_back({found->second.element, part});
}

std::vector<Work> cut_step(const Step& step, const Step& before) {
  std::vector<Work> all;
  for (const auto& [name, tensor] : step) {
    const std::size_t bytes = kChunkElements * element_bytes(tensor.element);
    for (std::size_t at = 0; at < tensor.bytes.size(); at += bytes) {
      Work work;
      work.kind = kind_of(name);
      work.element = tensor.element;
      work.plain = Bytes(tensor.bytes).subspan(at, std::min(bytes, tensor.bytes.size() - at));
      add_base(work, before, name, at / bytes);
      add_base(work, step, name + ".master", at / bytes);
      all.push_back(std::move(work));
    }
  }
  return all;
}

void print_table(const Table& table) {
  for (const auto& [name, sum] : table) sum.print(name);
}

void run_series(const std::string& folder, const std::string& kind) {
  std::map<long, std::filesystem::path> steps;
  for (const auto& entry : std::filesystem::directory_iterator(folder)) {
    const std::string name = entry.path().filename().string();
    if (name.starts_with("step-")) steps[std::stol(name.substr(5))] = entry.path();
  }
  if (steps.empty()) stop("no step-N folders in " + folder);
  Step before;
  Table chained, alone;
  for (const auto& [number, path] : steps) {
    const Step step = read_step(path, kind);
    std::vector<Work> works = cut_step(step, before);
    Table table;
    code_all(works, Effort::kSmall, table);
    table["(all)"].print("step " + std::to_string(number));
    for (Work& work : works) {
      chained[work.kind + " " + std::string(form_name(work.encoded.form))].add(work);
      chained["(all)"].add(work);
      work.bases.clear();
    }
    code_all(works, Effort::kFast, alone);
    before = step;
  }
  std::puts("\nchained, smallest:");
  print_table(chained);
  std::puts("\neach step alone, fast:");
  print_table(alone);
}

// Weights as they are drawn when a network begins.
void run_gaussian(std::size_t mib) {
  constexpr std::size_t kLayers = 64;
  std::vector<std::vector<std::uint16_t>> layers(kLayers);
  std::mt19937_64 random(1);
  std::vector<Work> works;
  for (std::size_t i = 0; i < kLayers; ++i) {
    std::normal_distribution<float> normal(0, 0.01F + 0.002F * static_cast<float>(i % 16));
    layers[i].resize(mib * 1048576 / kLayers / 2);
    for (std::uint16_t& value : layers[i]) {
      const float drawn = normal(random);
      std::uint32_t bits = 0;
      std::memcpy(&bits, &drawn, 4);
      value = static_cast<std::uint16_t>((bits + 0x7FFF + (bits >> 16 & 1)) >> 16);
    }
    const Bytes all = std::as_bytes(std::span(layers[i]));
    for (std::size_t at = 0; at < all.size(); at += 2 * kChunkElements) {
      Work work;
      work.kind = "gaussian bf16";
      work.element = Element::kBf16;
      work.plain = all.subspan(at, std::min(2 * kChunkElements, all.size() - at));
      works.push_back(std::move(work));
    }
  }
  for (int round = 0; round < 5; ++round) {
    Table table;
    code_all(works, Effort::kFast, table);
    const double plain = table["(all)"].plain;
    table.erase("(all)");
    print_table(table);
    print_wall(plain);
  }
}

}  // namespace

int main(int argc, char** argv) {
  const std::string mode = argc > 1 ? argv[1] : "";
  if (mode == "gaussian") {
    run_gaussian(argc > 2 ? std::stoul(argv[2]) : 256);
  } else if (mode == "series" && argc > 2) {
    run_series(argv[2], argc > 3 ? argv[3] : "");
  } else {
    stop("usage: codec_bench gaussian [MIB] | series FOLDER [KIND]");
  }
}
