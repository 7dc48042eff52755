#include "kilter/saver.h"

#include <algorithm>
#include <chrono>
#include <condition_variable>
#include <mutex>
#include <thread>

#include "base/try.h"
#include "io/file_system.h"
#include "train/fit.h"
#include "train/live_cut.h"
#include "train/preemption.h"
#include "train/staging_pool.h"
#include "train/step_layout.h"
#include "train/step_target.h"

namespace kilter {

using Clock = std::chrono::steady_clock;

struct SaveTicket::Shared {
  std::mutex mutex;
  std::condition_variable changed;
  std::optional<Result<SaveReport>> result;

  void finish(Result<SaveReport> what) {
    const std::lock_guard guard(mutex);
    result = std::move(what);
    changed.notify_all();
  }
};

bool SaveTicket::done() const {
  const std::lock_guard guard(shared_->mutex);
  return shared_->result.has_value();
}

Result<SaveReport> SaveTicket::wait() const {
  std::unique_lock guard(shared_->mutex);
  shared_->changed.wait(guard, [&] { return shared_->result.has_value(); });
  return *shared_->result;
}

std::optional<Result<SaveReport>> SaveTicket::wait_for(double seconds) const {
  std::unique_lock guard(shared_->mutex);
  const auto span = std::chrono::duration<double>(std::clamp(seconds, 0.0, 1e9));
  shared_->changed.wait_for(guard, span, [&] { return shared_->result.has_value(); });
  return shared_->result;
}

namespace {

double seconds_since(Clock::time_point begun) {
  return std::chrono::duration<double>(Clock::now() - begun).count();
}

Metadata step_metadata(std::int64_t step, const Metadata& stated) {
  Metadata metadata = stated;
  metadata["step"] = step;
  metadata.try_emplace("model.kind", std::string("training-checkpoint"));
  return metadata;
}

bool keeps_all(const RetainRequest& keep) {
  return !keep.last && !keep.every && keep.best.empty() && !keep.tagged;
}

}  // namespace

namespace train {

/// One save on its way.
struct SaveJob {
  std::shared_ptr<SaveTicket::Shared> ticket = std::make_shared<SaveTicket::Shared>();
  std::unique_ptr<LiveCut> cut;
  CancelToken cancel;
  std::mutex mutex;  // of `report`
  SaveReport report;
  Clock::time_point begun = Clock::now();
};

/// Applies the rules of retention on a thread of its own: removing gigabytes may take longer than
/// writing them, and no save waits for it.
class Keeper {
 public:
  Keeper(StepTarget& target, std::function<void(const Error&)> on_error)
      : target_(target), on_error_(std::move(on_error)), thread_([this] { work(); }) {}
  ~Keeper() {
    {
      const std::lock_guard guard(mutex_);
      stopping_ = true;
      changed_.notify_all();
    }
    thread_.join();  // what was asked for is done first
  }
  void ask() {
    const std::lock_guard guard(mutex_);
    asked_ = true;
    changed_.notify_all();
  }
  void wait_idle() {
    std::unique_lock guard(mutex_);
    changed_.wait(guard, [&] { return !asked_ && !working_; });
  }

 private:
  void work() {
    std::unique_lock guard(mutex_);
    for (;;) {
      changed_.wait(guard, [&] { return asked_ || stopping_; });
      if (!asked_) return;
      asked_ = false;
      working_ = true;
      guard.unlock();
      const Status kept = target_.retain();
      if (!kept) on_error_(kept.error());
      guard.lock();
      working_ = false;
      changed_.notify_all();
    }
  }

  StepTarget& target_;
  std::function<void(const Error&)> on_error_;
  std::mutex mutex_;
  std::condition_variable changed_;
  bool asked_ = false, working_ = false, stopping_ = false;
  std::thread thread_;
};

}  // namespace train

struct Saver::Impl {
  SaverOptions options;
  std::unique_ptr<train::StepTarget> target;
  train::StagingPool pool;
  std::unique_ptr<ThreadPool> helpers;  // that copy
  std::shared_ptr<train::SaveJob> job;  // the last one; its thread may have ended
  std::thread worker;
  std::mutex mutex;
  std::optional<Error> untold;            // of a save, until a call returns it
  double bytes_per_second = 0;            // of the last whole save
  std::unique_ptr<train::Keeper> keeper;  // null: everything stays

  ~Impl() {
    join();
    keeper.reset();
  }
  void join() {
    if (worker.joinable()) worker.join();
  }
  bool busy() const { return job != nullptr && !SaveTicket(job->ticket).done(); }

  Status take_error() {
    const std::lock_guard guard(mutex);
    if (!untold) return ok();
    Error error = std::move(*untold);
    untold.reset();
    return fail(std::move(error));
  }

  train::LiveCut::WhenFull when_full() const {
    return options.skip_when_full ? train::LiveCut::WhenFull::kGiveUp
                                  : train::LiveCut::WhenFull::kWait;
  }

  Result<std::unique_ptr<train::LiveCut>> make_cut(const train::StepLayout& layout,
                                                   const std::vector<LiveTensor>& tensors) {
    std::vector<train::LiveCut::Part> parts;
    for (std::size_t i = 0; i < layout.outputs.size(); ++i) {
      const PlanOutput& output = layout.outputs[i];
      parts.push_back({tensors[layout.tensors[i]], output.bytes, target->piece_bytes()});
      if (!options.announces_updates) parts.back().tensor.held = false;
    }
    return train::LiveCut::make(std::move(parts), pool, helpers.get());
  }

  Status grow_pool(std::uint64_t state_bytes) {
    // Each piece begins at a multiple of 64 bytes.
    const std::uint64_t wanted = state_bytes + state_bytes / 64 + (1 << 20);
    return pool.grow(std::min(wanted, options.staging_bytes_max));
  }

  void stage(train::LiveCut::Which which) {
    const auto begun = Clock::now();
    const auto staged = job->cut->stage(which, when_full());
    const std::lock_guard guard(job->mutex);
    job->report.staged_bytes += staged.bytes;
    job->report.pause_seconds += seconds_since(begun);
  }

  void run(const std::shared_ptr<train::SaveJob>& running, train::StepContent content) {
    content.read = [running](std::size_t output, std::uint64_t at, std::span<std::byte> out) {
      return running->cut->read(output, at, out);
    };
    content.context.cancel = &running->cancel;
    auto written = target->write(std::move(content));
    running->cut->abandon();  // whoever waits to go on does not wait for what failed
    finish(*running, std::move(written));
  }

  void finish(train::SaveJob& ended, Result<train::WrittenStep> written) {
    SaveReport report;
    {
      const std::lock_guard guard(ended.mutex);
      ended.report.seconds = seconds_since(ended.begun);
      report = ended.report;
    }
    if (!written && ended.cut->gave_up()) {
      report.skipped = true;
      return ended.ticket->finish(report);
    }
    if (!written) {
      note(written.error());
      return ended.ticket->finish(fail(std::move(written).error()));
    }
    report.commit = written->name;
    report.new_bytes = written->new_bytes;
    report.stored_bytes = written->stored_bytes;
    {
      const std::lock_guard guard(mutex);
      if (report.seconds > 0) bytes_per_second = static_cast<double>(report.bytes) / report.seconds;
    }
    ended.ticket->finish(report);
    if (keeper != nullptr) keeper->ask();
  }

  void note(const Error& error) {
    const std::lock_guard guard(mutex);
    if (!untold) untold = error;
  }

  SaveTicket skip(std::int64_t step) {
    auto shared = std::make_shared<SaveTicket::Shared>();
    SaveReport report;
    report.step = step;
    report.skipped = true;
    shared->finish(report);
    return SaveTicket(std::move(shared));
  }

  Result<SaveTicket> begin(std::int64_t step, const State& state, const Metadata& metadata) {
    const auto begun = Clock::now();
    if (options.skip_when_busy && busy()) return skip(step);
    join();
    KILTER_TRY(take_error());
    train::StepContent content;
    content.step = step;
    content.metadata = step_metadata(step, metadata);
    KILTER_ASSIGN(content.layout,
                  train::lay_out_step(state.capture(), state.tensors(), state.files()));
    KILTER_TRY(grow_pool(content.layout.tensor_bytes()));
    pool.reset();
    auto fresh = std::make_shared<train::SaveJob>();
    fresh->begun = begun;
    fresh->report.step = step;
    fresh->report.bytes = content.layout.tensor_bytes();
    KILTER_ASSIGN(fresh->cut, make_cut(content.layout, state.tensors()));
    fresh->report.staged_bytes = fresh->cut->copied_bytes();
    job = fresh;
    worker = std::thread(
        [this, fresh, held = std::move(content)]() mutable { run(fresh, std::move(held)); });
    stage(train::LiveCut::Which::kLoose);
    const std::lock_guard guard(job->mutex);
    job->report.pause_seconds = seconds_since(begun);
    return SaveTicket(job->ticket);
  }
};

Saver::Saver(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
Saver::Saver(Saver&&) noexcept = default;
Saver& Saver::operator=(Saver&&) noexcept = default;
Saver::~Saver() = default;

Result<Saver> Saver::open(const std::string& address, SaverOptions options) {
  auto impl = std::make_unique<Impl>();
  KILTER_ASSIGN(impl->target, options.plain_folder ? train::make_folder_target(
                                                         io::real_file_system(), address, options)
                                                   : train::make_store_target(address, options));
  impl->options = std::move(options);
  if (!keeps_all(impl->options.keep))
    impl->keeper = std::make_unique<train::Keeper>(
        *impl->target, [&saver = *impl](const Error& error) { saver.note(error); });
  // The thread that stages is one of those that copy.
  const unsigned copiers = std::min(usable_cpu_count(), 8U);
  if (copiers > 1) impl->helpers = std::make_unique<ThreadPool>(copiers - 1);
  return Saver(std::move(impl));
}

Result<SaveTicket> Saver::save(std::int64_t step, const State& state, const Metadata& metadata) {
  return impl_->begin(step, state, metadata);
}

Status Saver::before_update() {
  if (impl_->job != nullptr && !impl_->job->cut->settled())
    impl_->stage(train::LiveCut::Which::kAll);
  return impl_->take_error();
}

Status Saver::wait() {
  impl_->join();
  if (impl_->keeper != nullptr) impl_->keeper->wait_idle();
  return impl_->take_error();
}

Status Saver::prepare(const State& state) {
  impl_->join();
  std::uint64_t bytes = 0;
  for (const LiveTensor& tensor : state.tensors()) {
    KILTER_ASSIGN(const std::uint64_t one, train::live_bytes(tensor));
    bytes += one;
  }
  KILTER_TRY(impl_->grow_pool(bytes));
  impl_->pool.settle();
  return ok();
}

Result<std::optional<OpenedStep>> Saver::open_newest(const std::string& before) {
  impl_->join();
  std::vector<DamagedStep> damaged;
  std::string older_than = before;
  for (;;) {
    KILTER_ASSIGN(auto found, impl_->target->find_newest(older_than));
    if (!found) break;
    if (found->checkpoint) {
      found->report.damaged = std::move(damaged);
      train::LoadedState loaded = train::joined_state(found->checkpoint->data());
      loaded.tree.set_root(loaded.root);
      return OpenedStep{std::move(*found->checkpoint), std::move(loaded.tree),
                        std::move(found->report)};
    }
    damaged.push_back({found->report.step, found->report.commit, std::move(*found->damage)});
    older_than = found->report.commit;
  }
  if (!damaged.empty()) return fail(train::none_intact(damaged));
  return std::nullopt;
}

Result<ResumeReport> Saver::resume(State& state, const RunContext& context) {
  std::vector<DamagedStep> damaged;
  std::string before;
  for (;;) {
    auto opened = open_newest(before);
    if (!opened) return fail(std::move(opened).error());
    if (!*opened) break;
    OpenedStep& step = **opened;
    for (DamagedStep& one : step.report.damaged) damaged.push_back(std::move(one));
    const train::LoadedState loaded{step.state, step.state.root()};
    KILTER_ASSIGN(auto targets, train::fit_state(state, step.checkpoint, loaded));
    KILTER_TRY(state.fits(loaded.tree, loaded.root));
    auto read = train::load_fitted(step.checkpoint, std::move(targets), context);
    if (read) {
      KILTER_TRY(state.release(loaded.tree, loaded.root));
      step.report.damaged = std::move(damaged);
      return step.report;
    }
    if (!train::is_damage(read.error())) return fail(std::move(read).error());
    before = step.report.commit;
    damaged.push_back({step.report.step, before, std::move(read).error()});
  }
  if (!damaged.empty()) return fail(train::none_intact(damaged));
  return ResumeReport{};
}

Status Saver::watch_preemption() { return train::watch_sigterm(); }
bool Saver::preempted() { return train::sigterm_came(); }

Result<SaveReport> Saver::on_preempt(std::int64_t step, const State& state, double seconds,
                                     const Metadata& metadata) {
  const auto begun = Clock::now();
  const auto left = [&] { return seconds - seconds_since(begun); };
  const auto late = [&](const char* why) {
    return fail(Error(ErrorCode::kCancelled, why)
                    .wanted("at most " + std::to_string(seconds) + " s", "more")
                    .advise("the step saved before it is the newest; training resumes from there"));
  };
  if (impl_->busy()) {
    const SaveTicket running(impl_->job->ticket);
    const auto ended = running.wait_for(left());
    if (!ended) return late("the save that was running was not done in the time that was left");
    if (*ended && (*ended)->step == step && !(*ended)->skipped) return **ended;
  }
  double needed = 0;
  {
    const std::lock_guard guard(impl_->mutex);
    impl_->untold.reset();  // a last attempt is made whatever failed before
    std::uint64_t bytes = 0;
    for (const LiveTensor& tensor : state.tensors()) bytes += train::live_bytes(tensor).value_or(0);
    if (impl_->bytes_per_second > 0) needed = static_cast<double>(bytes) / impl_->bytes_per_second;
  }
  if (needed > left()) return late("there is no time left for another save");
  KILTER_ASSIGN(const SaveTicket ticket, impl_->begin(step, state, metadata));
  auto ended = ticket.wait_for(left());
  if (ended) return std::move(*ended);
  impl_->job->cancel.cancel();
  return late("this step was not saved in the time that was left");
}

}  // namespace kilter
