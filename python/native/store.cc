#include "kilter/store.h"

#include <nanobind/stl/optional.h>
#include <nanobind/stl/pair.h>
#include <nanobind/stl/shared_ptr.h>
#include <nanobind/stl/string.h>
#include <nanobind/stl/tuple.h>
#include <nanobind/stl/vector.h>

#include "base/try.h"
#include "native/bind.h"
#include "native/long_work.h"
#include "native/opened.h"
#include "native/reports.h"

namespace kilter::python {
namespace {

using Strings = std::vector<std::string>;
using Text = const std::string&;
using Object = const nb::object&;

/// A method without progress: its outcome as Python's values.
template <typename Work>
auto quick(Work&& work) {
  return to_python(released(std::forward<Work>(work)));
}

Store open_store(Text address, Text mode) {
  return released([&] {
    if (mode == "create") return Store::create(address);
    return mode == "open" ? Store::open(address) : Store::open_or_create(address);
  });
}

std::vector<Lineage> lineage_from(const nb::list& list) {
  std::vector<Lineage> out;
  for (const nb::handle one : list) {
    const auto fields = nb::cast<nb::dict>(one);
    out.push_back({nb::cast<std::string>(fields["operation"]),
                   metadata_from(nb::cast<nb::dict>(fields["parameters"])),
                   nb::cast<Strings>(fields["inputs"])});
  }
  return out;
}

Row save(Store& self, Text source, Text branch, const Strings& tags, Text parent, Text author,
         Text message, const Row& metadata, const nb::typed<nb::list, Row>& lineage,
         const Strings& skip, std::optional<std::int64_t> time_unix_ns, bool fast,
         bool skip_unchanged, bool skip_present, unsigned thread_count,
         std::uint64_t max_memory_bytes, Object progress) {
  SaveRequest request;
  request.source = source;
  request.branch = branch;
  request.tags = tags;
  request.parent = parent;
  request.author = author;
  request.message = message;
  request.metadata = metadata_from(metadata);
  request.lineage = lineage_from(lineage);
  request.skip = skip;
  request.time_unix_ns = time_unix_ns;
  request.fast = fast;
  request.skip_unchanged = skip_unchanged;
  request.skip_present = skip_present;
  request.thread_count = thread_count;
  request.max_memory_bytes = max_memory_bytes;
  return to_python(long_work(progress, [&](const RunContext& context) {
    request.context = context;
    return self.save(request);
  }));
}

Row restore(const Store& self, Text commit, Text target, const Strings& only, Text as, bool force,
            unsigned thread_count, std::uint64_t max_memory_bytes, Object progress) {
  RestoreRequest request;
  request.target = target;
  request.only = only;
  request.as = as;
  request.force = force;
  request.thread_count = thread_count;
  request.max_memory_bytes = max_memory_bytes;
  return to_python(long_work(progress, [&](const RunContext& context) {
    request.context = context;
    return self.restore(commit, request);
  }));
}

nb::bytes read_file(const Store& self, Text commit, Text path) {
  const std::vector<std::byte> bytes = released([&] { return self.read_file(commit, path); });
  return nb::bytes(bytes.data(), bytes.size());
}

std::shared_ptr<Opened> open_commit(const Store& self, Text commit) {
  return released([&]() -> Result<std::shared_ptr<Opened>> {
    KILTER_ASSIGN(Checkpoint checkpoint, self.open_checkpoint(commit));
    return std::make_shared<Opened>(std::move(checkpoint));
  });
}

nb::typed<nb::list, Row> log(const Store& self, Text from, Text where,
                             std::optional<std::size_t> count_max) {
  LogRequest request;
  request.from = from;
  request.where = where;
  if (count_max) request.count_max = *count_max;
  return quick([&] { return self.log(request); });
}

Row diff(const Store& self, Text before, Text after, const Store* other) {
  return quick([&] {
    return other == nullptr ? self.diff(before, after) : self.diff(before, *other, after);
  });
}

Row retain(Store& self, std::optional<std::uint64_t> last, std::optional<std::uint64_t> every,
           const std::vector<std::tuple<std::uint64_t, std::string, bool>>& best, bool tagged,
           bool dry_run) {
  RetainRequest request;
  request.last = last;
  request.every = every;
  for (const auto& [count, key, highest] : best) request.best.push_back({count, key, highest});
  request.tagged = tagged;
  request.dry_run = dry_run;
  return quick([&] { return self.retain(request); });
}

Row collect(Store& self, bool dry_run, Object progress) {
  return to_python(long_work(progress, [&](const RunContext& context) {
    return self.collect({.dry_run = dry_run, .context = context});
  }));
}

Row compact(Store& self, bool dry_run, unsigned chain_max, unsigned thread_count,
            std::uint64_t max_memory_bytes, Object progress) {
  return to_python(long_work(progress, [&](const RunContext& context) {
    return self.compact({dry_run, chain_max, thread_count, max_memory_bytes, context});
  }));
}

Row check(const Store& self, bool data, unsigned thread_count, std::uint64_t max_memory_bytes,
          Object progress) {
  return to_python(long_work(progress, [&](const RunContext& context) {
    return self.check({data, thread_count, max_memory_bytes, context});
  }));
}

Row repair(Text address, Text from, bool dry_run, Object progress) {
  RepairRequest request;
  request.from = from;
  request.dry_run = dry_run;
  return to_python(long_work(progress, [&](const RunContext& context) {
    request.context = context;
    return Store::repair(address, request);
  }));
}

template <typename Self, typename Method>
Row transfer(Self& self, Method method, Text address, Text ref, bool force, bool dry_run,
             Object progress) {
  TransferRequest request;
  request.ref = ref;
  request.force = force;
  request.dry_run = dry_run;
  return to_python(long_work(progress, [&](const RunContext& context) {
    request.context = context;
    return (self.*method)(address, request);
  }));
}

nb::typed<nb::list, nb::typed<nb::tuple, nb::str, nb::str, Row, int>> series(
    const Strings& patterns, const Strings& skip) {
  const auto items = released([&] { return find_series(patterns, skip); });
  nb::typed<nb::list, nb::typed<nb::tuple, nb::str, nb::str, Row, int>> out;
  for (const SeriesItem& item : items)
    out.append(nb::make_tuple(item.path, item.format, to_python(item.metadata), item.bytes));
  return out;
}

void bind_reading(nb::class_<Store>& store) {
  store.def_prop_ro("address", [](const Store& self) { return self.address(); })
      .def("log", &log, nb::arg("from_"), nb::arg("where"), nb::arg("count_max").none())
      .def(
          "find",
          [](const Store& self, Text commit) { return quick([&] { return self.find(commit); }); },
          nb::arg("commit"))
      .def(
          "show",
          [](const Store& self, Text commit) { return quick([&] { return self.show(commit); }); },
          nb::arg("commit"))
      .def(
          "files",
          [](const Store& self, Text commit) { return quick([&] { return self.files(commit); }); },
          nb::arg("commit"))
      .def(
          "tensors",
          [](const Store& self, Text commit) {
            return quick([&] { return self.tensors(commit); });
          },
          nb::arg("commit"))
      .def("restore", &restore, nb::arg("commit"), nb::arg("target"), nb::arg("only"),
           nb::arg("as_"), nb::arg("force"), nb::arg("thread_count"), nb::arg("max_memory_bytes"),
           nb::arg("progress").none())
      .def("read_file", &read_file, nb::arg("commit"), nb::arg("path"))
      .def("open", &open_commit, nb::arg("commit"))
      .def("refs", [](const Store& self) { return quick([&] { return self.refs(); }); })
      .def("diff", &diff, nb::arg("before"), nb::arg("after"), nb::arg("other").none())
      .def("check", &check, nb::arg("data"), nb::arg("thread_count"), nb::arg("max_memory_bytes"),
           nb::arg("progress").none())
      .def(
          "stats",
          [](const Store& self, Object progress) {
            return to_python(long_work(
                progress, [&](const RunContext& context) { return self.stats(context); }));
          },
          nb::arg("progress").none());
}

void bind_changing(nb::class_<Store>& store) {
  store
      .def("save", &save, nb::arg("source"), nb::arg("branch"), nb::arg("tags"), nb::arg("parent"),
           nb::arg("author"), nb::arg("message"), nb::arg("metadata"), nb::arg("lineage"),
           nb::arg("skip"), nb::arg("time_unix_ns").none(), nb::arg("fast"),
           nb::arg("skip_unchanged"), nb::arg("skip_present"), nb::arg("thread_count"),
           nb::arg("max_memory_bytes"), nb::arg("progress").none())
      .def(
          "set_tag",
          [](Store& self, Text name, Text commit, bool force) {
            released([&] { return self.set_tag(name, commit, force); });
          },
          nb::arg("name"), nb::arg("commit"), nb::arg("force"))
      .def(
          "set_branch",
          [](Store& self, Text name, Text commit, bool force) {
            released([&] { return self.set_branch(name, commit, force); });
          },
          nb::arg("name"), nb::arg("commit"), nb::arg("force"))
      .def(
          "remove_tag",
          [](Store& self, Text name) { released([&] { return self.remove_tag(name); }); },
          nb::arg("name"))
      .def(
          "remove_branch",
          [](Store& self, Text name) { released([&] { return self.remove_branch(name); }); },
          nb::arg("name"))
      .def(
          "remove",
          [](Store& self, Text commit) { return quick([&] { return self.remove(commit); }); },
          nb::arg("commit"))
      .def("retain", &retain, nb::arg("last").none(), nb::arg("every").none(), nb::arg("best"),
           nb::arg("tagged"), nb::arg("dry_run"))
      .def("collect", &collect, nb::arg("dry_run"), nb::arg("progress").none())
      .def("compact", &compact, nb::arg("dry_run"), nb::arg("chain_max"), nb::arg("thread_count"),
           nb::arg("max_memory_bytes"), nb::arg("progress").none())
      .def(
          "push",
          [](const Store& self, Text to, Text ref, bool force, bool dry_run, Object progress) {
            return transfer(self, &Store::push, to, ref, force, dry_run, progress);
          },
          nb::arg("to"), nb::arg("ref"), nb::arg("force"), nb::arg("dry_run"),
          nb::arg("progress").none())
      .def(
          "pull",
          [](Store& self, Text from, Text ref, bool force, bool dry_run, Object progress) {
            return transfer(self, &Store::pull, from, ref, force, dry_run, progress);
          },
          nb::arg("from_"), nb::arg("ref"), nb::arg("force"), nb::arg("dry_run"),
          nb::arg("progress").none());
}

}  // namespace

void bind_store(nb::module_& module) {
  nb::class_<Store> store(module, "Store", "A store.");
  bind_reading(store);
  bind_changing(store);
  module.def("open_store", &open_store, nb::arg("address"), nb::arg("mode"));
  module.def("repair_store", &repair, nb::arg("address"), nb::arg("from_"), nb::arg("dry_run"),
             nb::arg("progress").none());
  module.def("find_series", &series, nb::arg("patterns"), nb::arg("skip"));
}

}  // namespace kilter::python
