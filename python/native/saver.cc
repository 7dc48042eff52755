#include "kilter/saver.h"

#include <nanobind/stl/optional.h>
#include <nanobind/stl/shared_ptr.h>
#include <nanobind/stl/string.h>
#include <nanobind/stl/tuple.h>
#include <nanobind/stl/vector.h>

#include "base/error_table.h"
#include "base/try.h"
#include "native/bind.h"
#include "native/long_work.h"
#include "native/reports.h"
#include "native/saver_options.h"
#include "native/state_builder.h"
#include "train/step_target.h"

namespace kilter::python {

Row report_dict(const SaveReport& report) {
  Row out;
  out["step"] = report.step;
  out["skipped"] = report.skipped;
  out["commit"] = report.commit;
  out["bytes"] = report.bytes;
  out["new_bytes"] = report.new_bytes;
  out["stored_bytes"] = report.stored_bytes;
  out["staged_bytes"] = report.staged_bytes;
  out["pause_seconds"] = report.pause_seconds;
  out["seconds"] = report.seconds;
  return out;
}

SaveCoding coding_named(const std::string& name) {
  if (name == "raw") return SaveCoding::kRaw;
  if (name == "fast") return SaveCoding::kFast;
  if (name == "small") return SaveCoding::kSmall;
  throw nb::value_error("coding is 'raw', 'fast' or 'small'");
}

namespace {

using Best = std::vector<std::tuple<std::uint64_t, std::string, bool>>;
constexpr double kTicketPollSeconds = 0.1;

/// A step opened for reading.
struct PythonStep {
  std::shared_ptr<Opened> checkpoint;
  StateTree state;
  ResumeReport report;
};

using Damaged = nb::typed<nb::tuple, int, nb::str, nb::any>;

nb::typed<nb::list, Damaged> damaged_list(const std::vector<DamagedStep>& damaged) {
  nb::typed<nb::list, Damaged> out;
  for (const DamagedStep& one : damaged)
    out.append(nb::make_tuple(one.step, one.commit, error_object(one.error)));
  return out;
}

Saver open_saver(const std::string& address, bool plain_folder, const std::string& branch,
                 const std::string& author, bool announces_updates, std::uint64_t staging_bytes_max,
                 bool skip_when_full, bool skip_when_busy, const std::string& coding,
                 unsigned thread_count, std::uint64_t write_memory_bytes,
                 std::optional<std::uint64_t> last, std::optional<std::uint64_t> every,
                 const Best& best, bool tagged) {
  SaverOptions options;
  options.plain_folder = plain_folder;
  options.branch = branch;
  options.author = author;
  options.announces_updates = announces_updates;
  options.staging_bytes_max = staging_bytes_max;
  options.skip_when_full = skip_when_full;
  options.skip_when_busy = skip_when_busy;
  options.coding = coding_named(coding);
  options.thread_count = thread_count;
  options.write_memory_bytes = write_memory_bytes;
  options.keep.last = last;
  options.keep.every = every;
  for (const auto& [count, key, highest] : best) options.keep.best.push_back({count, key, highest});
  options.keep.tagged = tagged;
  return released([&] { return Saver::open(address, std::move(options)); });
}

SaveTicket save(Saver& self, std::int64_t step, StateBuilder& builder, StateId root,
                const Row& metadata) {
  const State state = builder.training_state(root);
  const Metadata stated = metadata_from(metadata);
  return released([&] { return self.save(step, state, stated); });
}

Row on_preempt(Saver& self, std::int64_t step, StateBuilder& builder, StateId root, double seconds,
               const Row& metadata) {
  const State state = builder.training_state(root);
  const Metadata stated = metadata_from(metadata);
  return report_dict(released([&] { return self.on_preempt(step, state, seconds, stated); }));
}

void prepare(Saver& self, StateBuilder& builder, StateId root) {
  const State state = builder.training_state(root);
  released([&] { return self.prepare(state); });
}

std::optional<PythonStep> open_newest(Saver& self, const std::string& before,
                                      const nb::object& progress) {
  auto opened = long_work(progress, [&](const RunContext&) { return self.open_newest(before); });
  if (!opened) return std::nullopt;
  return PythonStep{std::make_shared<Opened>(std::move(opened->checkpoint)),
                    std::move(opened->state), std::move(opened->report)};
}

/// None where it is not done in time. Looks for signals while it waits.
nb::object wait_for(const SaveTicket& self, std::optional<double> seconds) {
  double left = seconds.value_or(kTicketPollSeconds);
  for (;;) {
    const double turn = std::min(left, kTicketPollSeconds);
    std::optional<Result<SaveReport>> ended;
    {
      nb::gil_scoped_release release;
      ended = self.wait_for(turn);
    }
    if (ended) return report_dict(unwrap(std::move(*ended)));
    if (PyErr_CheckSignals() != 0) throw nb::python_error();
    if (seconds) left -= turn;
    if (left <= 0) return nb::none();
  }
}

}  // namespace

void bind_saver(nb::module_& module) {
  nb::class_<SaveTicket>(module, "SaveTicket", "One save on its way.")
      .def_prop_ro("done", &SaveTicket::done)
      .def("wait", &wait_for, nb::arg("seconds").none(),
           nb::sig("def wait(self, seconds: float | None) -> dict[str, typing.Any] | None"));
  nb::class_<PythonStep>(module, "OpenedStep", "A step opened for reading.")
      .def_prop_ro("checkpoint", [](const PythonStep& self) { return self.checkpoint; })
      .def_prop_ro("step", [](const PythonStep& self) { return self.report.step; })
      .def_prop_ro("commit", [](const PythonStep& self) { return self.report.commit; })
      .def_prop_ro("metadata",
                   [](const PythonStep& self) { return to_python(self.report.metadata); })
      .def_prop_ro("damaged",
                   [](const PythonStep& self) { return damaged_list(self.report.damaged); })
      .def(
          "state",
          [](const PythonStep& self, const nb::object& handlers) {
            return nb::borrow<nb::any>(state_to_python(self.state, handlers));
          },
          nb::arg("handlers"));
  nb::class_<Saver>(module, "Saver", "Writes steps while training goes on.")
      .def("save", &save, nb::arg("step"), nb::arg("builder"), nb::arg("root"), nb::arg("metadata"))
      .def("before_update", [](Saver& self) { released([&] { return self.before_update(); }); })
      .def("wait",
           [](Saver& self) {
             long_work(nb::none(), [&](const RunContext&) { return self.wait(); });
           })
      .def("prepare", &prepare, nb::arg("builder"), nb::arg("root"))
      .def("open_newest", &open_newest, nb::arg("before"), nb::arg("progress").none())
      .def("on_preempt", &on_preempt, nb::arg("step"), nb::arg("builder"), nb::arg("root"),
           nb::arg("seconds"), nb::arg("metadata"));
  module.def("open_saver", &open_saver, nb::arg("address"), nb::arg("plain_folder"),
             nb::arg("branch"), nb::arg("author"), nb::arg("announces_updates"),
             nb::arg("staging_bytes_max"), nb::arg("skip_when_full"), nb::arg("skip_when_busy"),
             nb::arg("coding"), nb::arg("thread_count"), nb::arg("write_memory_bytes"),
             nb::arg("last").none(), nb::arg("every").none(), nb::arg("best"), nb::arg("tagged"));
  module.def("watch_preemption", [] { released([] { return Saver::watch_preemption(); }); });
  module.def("preempted", [] { return Saver::preempted(); });
  module.def(
      "is_damage",
      [](const std::string& code) {
        for (const ErrorRow& row : error_table())
          if (row.name == code) return train::is_damage(Error(row.code, {}));
        return false;
      },
      nb::arg("code"), "True if an error of that name means that a step is damaged.");
}

}  // namespace kilter::python
