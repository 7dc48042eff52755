#include "native/long_work.h"

#include <chrono>
#include <condition_variable>
#include <mutex>
#include <string>
#include <system_error>
#include <thread>

namespace kilter::python {
namespace {

constexpr auto kLookForSignals = std::chrono::milliseconds(50);

/// Keeps the newest state of the work; the waiting thread hands it to Python.
class ProgressNotes final : public Progress {
 public:
  struct Note {
    std::string verb;
    std::uint64_t done_bytes = 0, total_bytes = 0;
  };

  void begin(std::string_view verb, std::uint64_t total_bytes) override {
    std::lock_guard lock(mutex_);
    note_ = Note{std::string(verb), 0, total_bytes};
    news_ = true;
  }
  void update(std::uint64_t done_bytes) override {
    std::lock_guard lock(mutex_);
    note_.done_bytes = done_bytes;
    news_ = true;
  }
  void end() override {}

  std::optional<Note> take() {
    std::lock_guard lock(mutex_);
    if (!std::exchange(news_, false)) return std::nullopt;
    return note_;
  }

 private:
  std::mutex mutex_;
  Note note_;
  bool news_ = false;
};

/// With the GIL: signals, then progress. False, with Python's error set aside, if either raised.
bool look(const nb::object& progress, ProgressNotes* notes, std::exception_ptr* raised) {
  try {
    if (PyErr_CheckSignals() != 0) throw nb::python_error();
    if (progress.is_none()) return true;
    if (const auto note = notes->take())
      progress(note->verb.c_str(), note->done_bytes, note->total_bytes);
    return true;
  } catch (...) {
    *raised = std::current_exception();
    return false;
  }
}

}  // namespace

void run_long(const nb::object& progress, const std::function<void(const RunContext&)>& work) {
  ProgressNotes notes;
  CancelToken cancel;
  const RunContext context{progress.is_none() ? nullptr : &notes, &cancel};
  std::exception_ptr raised;
  std::mutex mutex;
  std::condition_variable changed;
  bool done = false;
  {
    nb::gil_scoped_release release;
    std::thread worker;
    try {
      worker = std::thread([&] {
        work(context);
        std::lock_guard lock(mutex);
        done = true;
        changed.notify_one();
      });
    } catch (const std::system_error&) {  // no thread to be had: without signals, then
      work(context);
      done = true;
    }
    std::unique_lock lock(mutex);
    while (!done) {
      if (changed.wait_for(lock, kLookForSignals, [&] { return done; }) || raised) continue;
      lock.unlock();
      {
        nb::gil_scoped_acquire acquire;
        if (!look(progress, &notes, &raised)) cancel.cancel();
      }
      lock.lock();
    }
    lock.unlock();
    if (worker.joinable()) worker.join();
  }
  if (!raised) look(progress, &notes, &raised);  // the last state of the work
  if (raised) std::rethrow_exception(raised);
}

}  // namespace kilter::python
