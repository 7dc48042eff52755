// Trains a small character model and keeps its state in a store while it goes on. Kill it whenever
// you like: started again, it continues from the last saved step, and the final weights are the
// same bit for bit.
//
//   charlm TEXT_FILE STORE [STEPS [SAVE_EVERY]]
#include <kilter/saver.h>

#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <iterator>

#include "model.h"

namespace {

constexpr double kGraceSeconds = 2;  // between SIGTERM and SIGKILL

int give_up(const kilter::Error& error) {
  std::fprintf(stderr, "charlm: %s\n", error.text().c_str());
  return 1;
}

/// A step that could not be saved is no reason to stop: the ones before are there.
void warn(const kilter::Error& error) {
  std::printf("not saved: %s\n", error.text().c_str());
  std::fflush(stdout);
}

/// Everything the run needs to go on from where it was.
struct Run {
  charlm::Random random;
  charlm::Model model{random};
  std::int64_t step = 0;
  std::int64_t position = 0;  // in the text
  double loss = 0;            // smoothed

  /// The state by reference: for every save, and for resuming.
  kilter::Status describe(kilter::State& state) {
    for (charlm::Parameter& p : model.parameters()) {
      const std::vector<std::int64_t> shape{p.rows, p.columns};
      const auto add = [&](kilter::State::Path path, std::vector<float>& numbers) {
        // Only adamw() changes these, and before_update() is called ahead of it: held.
        return state.tensor(path, {kilter::DType::kF32, shape, numbers.data(), {}, true});
      };
      for (const auto& added : {add({"model", p.name}, p.value),
                                add({"optimizer", "state", p.name, "exp_avg"}, p.exp_avg),
                                add({"optimizer", "state", p.name, "exp_avg_sq"}, p.exp_avg_sq)})
        if (!added) return added;
    }
    for (const auto& bound :
         {state.bind({"optimizer", "step"}, step), state.bind({"rng"}, random.state),
          state.bind({"data", "position"}, position), state.bind({"loss"}, loss)})
      if (!bound) return bound;
    return kilter::ok();
  }

  double forward_and_backward(const std::string& text) {
    std::vector<std::array<int, charlm::kContext>> contexts(charlm::kBatch);
    std::vector<int> targets(charlm::kBatch);
    for (std::size_t b = 0; b < contexts.size(); ++b) {
      // Half of the batch reads on, the other half looks somewhere else.
      const std::uint64_t last = text.size() - charlm::kContext - 1;
      const std::uint64_t at =
          b % 2 == 0 ? static_cast<std::uint64_t>(position++) % last : random.next() % last;
      for (std::size_t i = 0; i < charlm::kContext; ++i)
        contexts[b][i] = charlm::symbol_of(text[at + i]);
      targets[b] = charlm::symbol_of(text[at + charlm::kContext]);
    }
    const double now = model.learn(contexts, targets);
    return loss = step == 0 ? now : 0.98 * loss + 0.02 * now;
  }
};

}  // namespace

int main(int argc, char** argv) {
  if (argc < 3) {
    std::fprintf(stderr, "usage: charlm TEXT_FILE STORE [STEPS [SAVE_EVERY]]\n");
    return 2;
  }
  const std::int64_t steps = argc > 3 ? std::atoll(argv[3]) : 400;
  const std::int64_t every = argc > 4 ? std::atoll(argv[4]) : 20;
  std::ifstream file(argv[1], std::ios::binary);
  const std::string text{std::istreambuf_iterator<char>(file), {}};
  if (text.size() < 1000 || every < 1) {
    std::fprintf(stderr, "charlm: %s: at least 1000 characters are needed\n", argv[1]);
    return 2;
  }

  Run run;
  kilter::State state;
  if (const auto described = run.describe(state); !described) return give_up(described.error());
  kilter::SaverOptions options;
  options.announces_updates = true;
  options.staging_bytes_max = 1 << 20;  // a quarter of the state
  options.keep.last = 5;
  kilter::Saver::watch_preemption();
  auto saver = kilter::Saver::open(argv[2], options);
  if (!saver) return give_up(saver.error());
  const auto resumed = saver->resume(state);
  if (!resumed) return give_up(resumed.error());
  for (const kilter::DamagedStep& one : resumed->damaged)
    std::printf("step %lld is damaged: %s\n", static_cast<long long>(one.step),
                one.error.text().c_str());
  if (run.step > 0) std::printf("continues from step %lld\n", static_cast<long long>(run.step));

  while (run.step < steps) {
    run.forward_and_backward(text);
    if (const auto ready = saver->before_update(); !ready) warn(ready.error());
    charlm::adamw(run.model.parameters(), run.step + 1, charlm::learning_rate_at(run.step, steps));
    ++run.step;
    if (kilter::Saver::preempted()) {  // SIGTERM: the machine goes away in a moment
      const auto last = saver->on_preempt(run.step, state, kGraceSeconds, {{"loss", run.loss}});
      if (!last) return give_up(last.error());
      std::printf("preempted: step %lld is saved\n", static_cast<long long>(last->step));
      return 143;
    }
    if (run.step % every != 0 && run.step != steps) continue;
    std::printf("step %lld  loss %.4f\n", static_cast<long long>(run.step), run.loss);
    std::fflush(stdout);
    auto ticket = saver->save(run.step, state, {{"loss", run.loss}});
    if (!ticket) {  // an earlier one failed: this one is tried all the same
      warn(ticket.error());
      ticket = saver->save(run.step, state, {{"loss", run.loss}});
    }
    if (!ticket) return give_up(ticket.error());
  }
  if (const auto saved = saver->wait(); !saved) return give_up(saved.error());
  std::string written = run.model.write("The ", 80, run.random);
  for (char& c : written)
    if (c < ' ' || c > '~') c = ' ';
  std::printf("it writes: %s\n", written.c_str());
}
