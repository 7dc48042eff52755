// How fast does the engine move a checkpoint's bytes, and how much memory does it take?
//
//   flow_bench FOLDER [GIB] [WORK...]
//
// Makes a source file of GIB (default 2) binary gigabytes in FOLDER, runs each WORK (default all)
// and prints seconds, GB/s and the growth of peak RSS. `copy-*` writes a durable copy of 40 tensors
// through the engine, `transpose-*` the same with transposed views, `load-*` brings the tensors
// into memory and touches a byte of every page. `-cold` drops the page cache first. Each answer's
// bytes are compared with the source at sampled places. FOLDER must not be a memory file system.
#include <sys/resource.h>

#include <chrono>
#include <cstdio>
#include <cstring>
#include <fstream>
#include <functional>
#include <string>
#include <vector>

#include "flow/engine.h"
#include "flow/load.h"
#include "io/page_cache.h"

namespace {

using namespace kilter;  // a program of one file

constexpr std::uint64_t kLeadBytes = 1088;  // as a zip's local header: no multiple of a page
std::size_t tensor_count = 40;

double now() {
  return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

/// Processor seconds of all threads, user and system.
double cpu_seconds() {
  rusage usage{};
  getrusage(RUSAGE_SELF, &usage);
  const auto seconds = [](const timeval& t) {
    return static_cast<double>(t.tv_sec) + static_cast<double>(t.tv_usec) * 1e-6;
  };
  return seconds(usage.ru_utime) + seconds(usage.ru_stime);
}

/// Peak RSS since reset_peak(), in MiB.
double peak_mib() {
  std::ifstream status("/proc/self/status");
  for (std::string line; std::getline(status, line);)
    if (line.starts_with("VmHWM:")) return std::stod(line.substr(6)) / 1024;
  return 0;
}
void reset_peak() { std::ofstream("/proc/self/clear_refs") << "5"; }

[[noreturn]] void stop(const std::string& what) {
  std::fprintf(stderr, "flow_bench: %s\n", what.c_str());
  std::exit(1);
}

template <typename T>
T need(Result<T> result) {
  if (!result) stop(result.error().text());
  return std::move(*result);
}
void need(Status status) {
  if (!status) stop(status.error().text());
}

/// 64-bit word number `word` of the source file.
std::uint64_t word_at(std::uint64_t word) { return word * 0x9e3779b97f4a7c15ULL; }

void make_source(const std::string& path, std::uint64_t bytes) {
  auto file = need(io::real_file_system().create(path));
  std::vector<std::uint64_t> block(1 << 20);
  need(file->reserve(bytes));
  for (std::uint64_t at = 0; at < bytes; at += block.size() * 8) {
    for (std::size_t i = 0; i < block.size(); ++i) block[i] = word_at(at / 8 + i);
    const auto run = std::as_bytes(std::span(block));
    need(file->write_at(at, run.first(std::min<std::uint64_t>(run.size(), bytes - at))));
  }
  need(file->sync());
}

TensorIndex make_index(std::uint64_t bytes, bool transposed) {
  TensorIndex index;
  index.files.push_back({"source.bin", bytes});
  const std::uint64_t each = (bytes / tensor_count - kLeadBytes) / 65536 * 65536;
  for (std::size_t i = 0; i < tensor_count; ++i) {
    StorageInfo storage;
    storage.offset_bytes = i * (each + 64) + kLeadBytes;
    storage.stored_bytes = storage.bytes = each;
    index.storages.push_back(storage);
    TensorInfo tensor;
    tensor.name = "layer." + std::to_string(i);
    tensor.dtype = DType::kF32;
    const auto columns = static_cast<std::int64_t>(each / 4 / 4096);
    tensor.shape = {4096, columns};
    tensor.strides = {columns, 1};
    if (transposed) tensor.strides = {1, 4096};
    tensor.storage = static_cast<std::uint32_t>(i);
    index.tensors.push_back(tensor);
  }
  return index;
}

Plan make_plan(const std::shared_ptr<Source>& source) {
  Plan plan;
  plan.verb = "copy";
  for (std::size_t i = 0; i < source->index().tensors.size(); ++i) {
    const TensorInfo& tensor = source->index().tensors[i];
    PlanOutput output;
    output.name = tensor.name;
    output.shape = tensor.shape;
    output.bytes = tensor.bytes();
    output.inputs = {{source, InputKind::kTensor, i, 0}};
    plan.outputs.push_back(output);
  }
  return plan;
}

class OneFile : public Sink {
 public:
  explicit OneFile(bool checksums) : checksums_(checksums) {}
  Result<std::vector<FileLayout>> layout(const Plan& plan) override {
    FileLayout file{"out.bin", {{SegmentKind::kLiteral, 5000, std::string(5000, ' '), 0}}};
    for (std::size_t i = 0; i < plan.outputs.size(); ++i)
      file.segments.push_back({SegmentKind::kOutput, plan.outputs[i].bytes, {}, i});
    return std::vector<FileLayout>{file};
  }
  bool wants_checksums() const override { return checksums_; }

 private:
  bool checksums_;
};

struct Bench {
  std::string folder;
  std::uint64_t bytes = 0;
  EngineOptions options;

  std::shared_ptr<Source> source(bool transposed) const {
    return make_file_source(io::real_file_system(), folder, true, make_index(bytes, transposed));
  }
  void cold() const {
    auto file = need(io::real_file_system().open_read(folder + "/source.bin"));
    need(io::drop_page_cache(*file));
  }
  void warm() const {
    auto file = need(io::real_file_system().open_read(folder + "/source.bin"));
    std::vector<std::byte> block(8 << 20);
    for (std::uint64_t at = 0; at < bytes; at += block.size())
      need(file->read_at(
          at, std::span(block).first(std::min<std::uint64_t>(block.size(), bytes - at))));
  }
  struct Start {
    double peak = (reset_peak(), peak_mib());
    double cpu = cpu_seconds();
    double wall = now();
  };
  void report(const char* work, const Start& start) const {
    const double seconds = now() - start.wall;
    std::printf("%-16s %7.3f s %7.2f GB/s %7.3f s of processors   peak RSS +%.0f MiB\n", work,
                seconds, static_cast<double>(bytes) / seconds / 1e9, cpu_seconds() - start.cpu,
                peak_mib() - start.peak);
    std::fflush(stdout);
  }

  void copy(const char* work, bool is_cold, bool transposed, bool checksums) const {
    is_cold ? cold() : warm();
    const auto from = source(transposed);
    const Plan plan = make_plan(from);
    OneFile sink(checksums);
    const Start start;
    {
      auto publication =
          need(io::Publication::beside(io::real_file_system(), folder, io::Replace::kAllow));
      need(run_plan(plan, sink, io::real_file_system(), *publication, folder, options, {}));
    }
    report(work, start);
    auto out = need(io::real_file_system().open_read(folder + "/out.bin"));
    std::uint64_t at = 5000;
    for (std::size_t i = 0; i < plan.outputs.size(); at += plan.outputs[i++].bytes)
      for (std::uint64_t k = 0; k < 20; ++k) {
        const std::uint64_t offset = plan.outputs[i].bytes / 20 * k / 4 * 4;
        std::byte found[4], want[4];
        need(out->read_at(at + offset, found));
        need(from->read_tensor(i, offset, want));
        if (std::memcmp(found, want, 4) != 0) stop("the copy differs");
      }
    need(io::real_file_system().remove(folder + "/out.bin"));
  }

  void load(const char* work, bool is_cold, LoadMode mode) const {
    is_cold ? cold() : warm();
    const auto from = source(false);
    const Start start;
    const auto loaded = need(load_tensors(from, mode, {}));
    std::uint64_t wrong = 0;
    for (std::size_t i = 0; i < from->index().tensors.size(); ++i) {
      const std::uint64_t base = from->index().storages[i].offset_bytes;
      const Bytes bytes_of = loaded->bytes(i);
      for (std::uint64_t at = 0; at + 8 <= bytes_of.size(); at += 4096) {
        std::uint64_t word = 0;
        std::memcpy(&word, bytes_of.data() + at, 8);
        if (word != word_at((base + at) / 8)) ++wrong;
      }
    }
    report(work, start);
    if (wrong != 0) stop("loaded bytes differ");
  }
};

}  // namespace

int main(int argc, char** argv) {
  if (argc < 2) stop("usage: flow_bench FOLDER [GIB] [WORK...]");
  Bench bench;
  bench.folder = argv[1];
  bench.bytes = static_cast<std::uint64_t>((argc > 2 ? std::stod(argv[2]) : 2.0) * 1024) << 20;
  if (const char* tile = std::getenv("FLOW_BENCH_TILE"))
    bench.options.tile_bytes = std::stoull(tile);
  if (const char* memory = std::getenv("FLOW_BENCH_MEMORY"))
    bench.options.max_memory_bytes = std::stoull(memory);
  if (const char* mode = std::getenv("FLOW_BENCH_READ_AHEAD"))
    bench.options.read_ahead = static_cast<ReadAhead>(std::stoi(mode));
  if (const char* count = std::getenv("FLOW_BENCH_TENSORS")) tensor_count = std::stoull(count);
  const std::string source = bench.folder + "/source.bin";
  make_source(source, bench.bytes);
  const std::vector<std::pair<const char*, std::function<void(const char*)>>> works = {
      {"copy-warm", [&](const char* w) { bench.copy(w, false, false, false); }},
      {"copy-warm-crc", [&](const char* w) { bench.copy(w, false, false, true); }},
      {"copy-cold", [&](const char* w) { bench.copy(w, true, false, false); }},
      {"transpose-warm", [&](const char* w) { bench.copy(w, false, true, false); }},
      {"transpose-cold", [&](const char* w) { bench.copy(w, true, true, false); }},
      {"load-map-warm", [&](const char* w) { bench.load(w, false, LoadMode::kMap); }},
      {"load-read-warm", [&](const char* w) { bench.load(w, false, LoadMode::kRead); }},
      {"load-map-cold", [&](const char* w) { bench.load(w, true, LoadMode::kMap); }},
      {"load-auto-cold", [&](const char* w) { bench.load(w, true, LoadMode::kAuto); }},
  };
  for (const auto& [name, work] : works) {
    bool wanted = argc <= 3;
    for (int i = 3; i < argc; ++i) wanted = wanted || std::string(argv[i]) == name;
    if (wanted) work(name);
  }
  need(io::real_file_system().remove(source));
}
