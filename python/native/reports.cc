#include "native/reports.h"

#include <nanobind/stl/map.h>
#include <nanobind/stl/string.h>
#include <nanobind/stl/vector.h>

#include "native/errors.h"

namespace kilter::python {
namespace {

/// d("name", value)("name", value)…
class Fields {
 public:
  template <typename T>
  Fields& operator()(const char* name, const T& value) {
    dict_[name] = value;
    return *this;
  }
  operator Row() const { return dict_; }  // NOLINT(google-explicit-constructor)

 private:
  Row dict_;
};

nb::object json_module() { return nb::module_::import_("json"); }

MetaValue value_from(const nb::handle& value) {
  if (value.is_none()) return nullptr;
  if (nb::isinstance<nb::bool_>(value)) return nb::cast<bool>(value);
  if (nb::isinstance<nb::int_>(value)) {
    int overflow = 0;
    const long long number = PyLong_AsLongLongAndOverflow(value.ptr(), &overflow);
    if (overflow != 0) return PyLong_AsDouble(value.ptr());
    return static_cast<std::int64_t>(number);
  }
  if (nb::isinstance<nb::float_>(value)) return nb::cast<double>(value);
  if (nb::isinstance<nb::str>(value)) return nb::cast<std::string>(value);
  return JsonText{nb::cast<std::string>(json_module().attr("dumps")(value))};
}

const char* change_name(Change change) {
  switch (change) {
    case Change::kSame:
      return "same";
    case Change::kChanged:
      return "changed";
    case Change::kAdded:
      return "added";
    case Change::kRemoved:
      return "removed";
  }
  return "";
}

nb::tuple shape_of(const std::vector<std::int64_t>& shape) { return nb::tuple(nb::cast(shape)); }

nb::object json_or_none(const std::string& text) {
  if (text.empty()) return nb::none();
  return json_module().attr("loads")(text);
}

Row to_python(const StoreFault& fault) {
  nb::list affected;
  for (const auto& one : fault.affected)
    affected.append(nb::dict(
        Fields()("commit", one.commit)("step", one.step)("file", one.file)("tensor", one.tensor)));
  return Fields()("error", error_object(fault.error))("affected", affected);
}

Row to_python(const FormStats& form) {
  return Fields()("form", form.form)("element", form.element)("chunk_count", form.chunk_count)(
      "plain_bytes", form.plain_bytes)("stored_bytes", form.stored_bytes);
}

}  // namespace

nb::object to_python(const MetaValue& value) {
  return std::visit(
      [](const auto& v) -> nb::object {
        using T = std::decay_t<decltype(v)>;
        if constexpr (std::is_same_v<T, std::nullptr_t>) {
          return nb::none();
        } else if constexpr (std::is_same_v<T, JsonText>) {
          return json_module().attr("loads")(v.text);
        } else {
          return nb::cast(v);
        }
      },
      value);
}

Row to_python(const Metadata& metadata) {
  Row out;
  for (const auto& [key, value] : metadata) out[key.c_str()] = to_python(value);
  return out;
}

Metadata metadata_from(const nb::dict& values) {
  Metadata out;
  for (const auto& [key, value] : values)
    out.emplace(nb::cast<std::string>(key), value_from(value));
  return out;
}

Row to_python(const Lineage& lineage) {
  return Fields()("operation", lineage.operation)("parameters", to_python(lineage.parameters))(
      "inputs", lineage.inputs);
}

Row to_python(const CommitInfo& commit) {
  return Fields()("digest", commit.digest)("tree", commit.tree)("parents", commit.parents)(
      "time_unix_ns", commit.time_unix_ns)("author", commit.author)("message", commit.message)(
      "metadata", to_python(commit.metadata))("branches", commit.branches)("tags", commit.tags)(
      "retired", commit.retired);
}

Row to_python(const CommitDetails& details) {
  return Fields()("info", to_python(details.info))("lineage", to_python(details.lineage))(
      "kilter_version", details.kilter_version)("format", details.format)(
      "single_file", details.single_file)("file_count", details.file_count)(
      "tensor_count", details.tensor_count)("bytes", details.bytes);
}

Row to_python(const StoredFile& file) { return Fields()("path", file.path)("bytes", file.bytes); }

Row to_python(const StoredTensor& tensor) {
  return Fields()("name", tensor.name)("dtype", std::string(dtype_name(tensor.dtype)))(
      "shape", shape_of(tensor.shape))("file", tensor.file)("offset_bytes", tensor.offset_bytes)(
      "bytes", tensor.bytes);
}

Row to_python(const StoreRef& ref) {
  return Fields()("kind", ref.kind == RefKind::kBranch ? "branch" : "tag")("name", ref.name)(
      "commit", ref.commit);
}

Row to_python(const CommitDiff& diff) {
  nb::list files, tensors, metadata;
  for (const FileChange& one : diff.files)
    files.append(Row(Fields()("change", change_name(one.change))("path", one.path)(
        "bytes_before", one.bytes_before)("bytes_after", one.bytes_after)));
  for (const TensorChange& one : diff.tensors)
    tensors.append(Row(Fields()("change", change_name(one.change))("name", one.name)(
        "file", one.file)("bytes", one.bytes)("changed_bytes", one.changed_bytes)(
        "shape_changed", one.shape_changed)));
  for (const MetadataChange& one : diff.metadata)
    metadata.append(Row(Fields()("key", one.key)("before", json_or_none(one.before))(
        "after", json_or_none(one.after))));
  return Fields()("files", files)("tensors", tensors)("metadata", metadata)(
      "new_plain_bytes", diff.new_plain_bytes)("new_stored_bytes", diff.new_stored_bytes)(
      "same", diff.same);
}

Row to_python(const SaveOutcome& outcome) {
  nb::list warnings;
  for (const Error& error : outcome.warnings) warnings.append(error_object(error));
  return Fields()("commit", outcome.commit)("present", outcome.present)(
      "metadata", to_python(outcome.metadata))("file_count", outcome.file_count)(
      "file_bytes", outcome.file_bytes)("tensor_count", outcome.tensor_count)(
      "new_bytes", outcome.new_bytes)("stored_bytes", outcome.stored_bytes)(
      "unread_bytes", outcome.unread_bytes)("seconds", outcome.seconds)("warnings", warnings);
}

Row to_python(const RestoreOutcome& outcome) {
  return Fields()("file_count", outcome.file_count)("bytes", outcome.bytes)("seconds",
                                                                            outcome.seconds);
}

Row to_python(const RetainReport& report) {
  nb::list kept;
  for (const auto& one : report.kept)
    kept.append(nb::make_tuple(to_python(one.commit), one.reason));
  return Fields()("kept", kept)("retired", to_python(report.retired));
}

Row to_python(const CollectReport& report) {
  return Fields()("removed_packs", report.removed_packs)("removed_bytes", report.removed_bytes)(
      "waiting_packs", report.waiting_packs)("waiting_bytes", report.waiting_bytes)(
      "dead_bytes", report.dead_bytes)("swept_files", report.swept_files)("writers",
                                                                          report.writers);
}

Row to_python(const CompactReport& report) {
  return Fields()("before_bytes", report.before_bytes)("after_bytes", report.after_bytes)(
      "encoded_count", report.encoded_count)("smaller_count", report.smaller_count)(
      "collected", to_python(report.collected));
}

Row to_python(const CheckReport& report) {
  nb::list faults;
  for (const StoreFault& fault : report.faults) faults.append(to_python(fault));
  return Fields()("commit_count", report.commit_count)("pack_count", report.pack_count)(
      "chunk_count", report.chunk_count)("read_bytes", report.read_bytes)("faults", faults);
}

Row to_python(const RepairReport& report) {
  return Fields()("set_aside", report.set_aside)("indexed_packs", report.indexed_packs)(
      "saved_count", report.saved_count)("fetched_count", report.fetched_count)(
      "after", to_python(report.after));
}

Row to_python(const TransferReport& report) {
  return Fields()("commit_count", report.commit_count)("chunk_count", report.chunk_count)(
      "bytes", report.bytes)("present_count", report.present_count)("moved",
                                                                    to_python(report.moved));
}

Row to_python(const StoreStats& stats) {
  nb::list forms;
  for (const FormStats& form : stats.forms) forms.append(to_python(form));
  return Fields()("commit_count", stats.commit_count)("retired_count", stats.retired_count)(
      "file_bytes", stats.file_bytes)("unique_bytes", stats.unique_bytes)(
      "stored_bytes", stats.stored_bytes)("pack_bytes", stats.pack_bytes)(
      "index_bytes", stats.index_bytes)("pack_count", stats.pack_count)("forms", forms)(
      "chunks_by_depth", stats.chunks_by_depth);
}

}  // namespace kilter::python
