// What does a save cost a training run, and how long is it until the step is durable?
//
// saver_bench FOLDER GIB [raw|fast|small] [store|folder]: a state of GIB in tensors of 16 MiB
// (float32 of a weight-like spread). For each of three saves: the pause where the step lasts longer
// than the write, and where the optimizer wants to go on at once; beside it, in turn, a plain
// memcpy of as many bytes by as many threads into memory that was touched before. Checks what was
// saved. Prints one JSON object.
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <random>
#include <string>
#include <thread>
#include <vector>

#include "kilter/saver.h"

#include "base/hash.h"
#include "base/thread_pool.h"
#include "flow/fresh_memory.h"

namespace {

using Clock = std::chrono::steady_clock;
constexpr std::size_t kTensorBytes = 16 << 20;

double seconds_since(Clock::time_point begun) {
  return std::chrono::duration<double>(Clock::now() - begun).count();
}

[[noreturn]] void give_up(const std::string& text) {
  std::fprintf(stderr, "saver_bench: %s\n", text.c_str());
  std::exit(1);
}

struct State {
  std::vector<std::vector<float>> tensors;
  kilter::State tree;

  explicit State(double gib) {
    const auto count = static_cast<std::size_t>(gib * 64);
    std::vector<float> values(kTensorBytes / 4);
    std::mt19937 random(1);
    std::normal_distribution<float> normal(0, 0.02F);
    for (float& value : values) value = normal(random);
    for (std::size_t i = 0; i < count; ++i) {
      tensors.push_back(values);
      tensors.back()[0] = static_cast<float>(i);
      const auto part = i % 3 == 0 ? "model" : "optimizer";
      const auto added =
          tree.tensor({part, "tensor" + std::to_string(i)},
                      {kilter::DType::kF32, {4096, 1024}, tensors.back().data(), {}, true});
      if (!added) give_up(added.error().text());
    }
  }

  /// An optimizer step: no two tensors, and no two steps, have the same bytes.
  void update(int step) {
    for (std::size_t i = 0; i < tensors.size(); ++i) {
      const auto by = static_cast<float>(step * 1000 + static_cast<int>(i)) * 1e-7F;
      for (float& value : tensors[i]) value += by;
    }
  }
  std::uint64_t bytes() const { return tensors.size() * kTensorBytes; }
  std::string digest() const {
    kilter::Blake3 hash;
    for (const auto& tensor : tensors) hash.update(std::as_bytes(std::span(tensor)));
    return kilter::to_hex(hash.finish());
  }
};

/// The same bytes copied by all threads into memory that is there already.
double copy_seconds(const State& state, std::span<std::byte> to) {
  kilter::ThreadPool pool;
  const auto begun = Clock::now();
  for (std::size_t i = 0; i < state.tensors.size(); ++i)
    pool.submit([&, i] {
      std::memcpy(to.data() + i * kTensorBytes, state.tensors[i].data(), kTensorBytes);
    });
  pool.wait_idle();
  return seconds_since(begun);
}

struct Figures {
  double pause = 0, durable = 0, staged_bytes = 0;
};

Figures save(kilter::Saver& saver, State& state, int step, bool wait_first) {
  const auto ticket = saver.save(step, state.tree);
  if (!ticket) give_up(ticket.error().text());
  if (wait_first)  // a long forward and backward
    while (!ticket->done()) std::this_thread::sleep_for(std::chrono::milliseconds(1));
  if (const auto ready = saver.before_update(); !ready) give_up(ready.error().text());
  const auto report = ticket->wait();
  if (!report) give_up(report.error().text());
  return {report->pause_seconds, report->seconds, static_cast<double>(report->staged_bytes)};
}

}  // namespace

int main(int argc, char** argv) {
  if (argc < 3) give_up("usage: saver_bench FOLDER GIB [raw|fast|small] [store|folder]");
  State state(std::atof(argv[2]));
  kilter::SaverOptions options;
  const std::string coding = argc > 3 ? argv[3] : "raw";
  options.coding = coding == "raw"    ? kilter::SaveCoding::kRaw
                   : coding == "fast" ? kilter::SaveCoding::kFast
                                      : kilter::SaveCoding::kSmall;
  options.plain_folder = argc > 4 && std::string(argv[4]) == "folder";
  options.announces_updates = true;
  options.staging_bytes_max = state.bytes() + (64 << 20);
  options.keep.last = 1;
  const std::string place = std::string(argv[1]) + "/bench.kilter";
  std::filesystem::remove_all(place);
  auto saver = kilter::Saver::open(place, options);
  if (!saver) give_up(saver.error().text());
  if (const auto prepared = saver->prepare(state.tree); !prepared) give_up(prepared.error().text());
  auto copy = kilter::flow::FreshMemory::map(state.bytes());
  if (!copy) give_up(copy.error().text());
  kilter::flow::populate(copy->span());

  std::printf("{\"bytes\": %llu, \"rounds\": [", static_cast<unsigned long long>(state.bytes()));
  for (int round = 0; round < 3; ++round) {
    state.update(2 * round);
    const Figures slow = save(*saver, state, 2 * round, true);
    const double memcpy_seconds = copy_seconds(state, copy->span());
    state.update(2 * round + 1);
    const Figures quick = save(*saver, state, 2 * round + 1, false);
    std::printf(
        "%s\n {\"long_step_pause_seconds\": %.6f, \"durable_seconds\": %.4f, "
        "\"short_step_pause_seconds\": %.6f, \"staged_bytes\": %.0f, \"memcpy_seconds\": %.6f}",
        round == 0 ? "" : ",", slow.pause, slow.durable, quick.pause, quick.staged_bytes,
        memcpy_seconds);
  }
  if (const auto done = saver->wait(); !done) give_up(done.error().text());
  const std::string saved = state.digest();
  state.update(99);
  const auto begun = Clock::now();
  const auto resumed = saver->resume(state.tree);
  if (!resumed) give_up(resumed.error().text());
  const double resume_seconds = seconds_since(begun);
  if (state.digest() != saved) give_up("what came back is not what was saved");
  std::printf("],\n \"resume_seconds\": %.4f}\n", resume_seconds);
  std::filesystem::remove_all(place);
}
