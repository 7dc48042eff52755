// Long work: without the GIL, with progress, ended by Ctrl-C.
#pragma once

#include <nanobind/nanobind.h>

#include <functional>
#include <optional>
#include <utility>

#include "kilter/progress.h"

#include "native/errors.h"

namespace kilter::python {

/// Runs `work` on a thread of its own while the calling thread, without the GIL, waits. Several
/// times a second it takes the GIL to look for signals and to call `progress(verb, done_bytes,
/// total_bytes)`, unless that is None. A signal handler or `progress` that raises cancels the work;
/// what it raised is raised here once the work has ended.
void run_long(const nb::object& progress, const std::function<void(const RunContext&)>& work);

/// The same for what returns a Result or Status; errors are raised.
template <typename Work>
auto long_work(const nb::object& progress, Work&& work) {
  using Outcome = decltype(work(std::declval<const RunContext&>()));
  std::optional<Outcome> outcome;
  run_long(progress, [&](const RunContext& context) { outcome.emplace(work(context)); });
  return unwrap(std::move(*outcome));
}

/// Short work without the GIL.
template <typename Work>
auto released(Work&& work) {
  auto outcome = [&] {
    nb::gil_scoped_release release;
    return work();
  }();
  return unwrap(std::move(outcome));
}

}  // namespace kilter::python
