// What a store reports, as dictionaries: kilter/reports.py makes them dataclasses.
#pragma once

#include <nanobind/nanobind.h>

#include <string>
#include <vector>

#include "kilter/store.h"

namespace kilter::python {

namespace nb = nanobind;

/// A dictionary by name of field.
using Row = nb::typed<nb::dict, nb::str, nb::any>;

nb::object to_python(const MetaValue& value);
Row to_python(const Metadata& metadata);
/// None, numbers, text as they are; lists and dictionaries as JSON.
Metadata metadata_from(const nb::dict& values);

Row to_python(const Lineage& lineage);
Row to_python(const CommitInfo& commit);
Row to_python(const CommitDetails& details);
Row to_python(const StoredFile& file);
Row to_python(const StoredTensor& tensor);
Row to_python(const StoreRef& ref);
Row to_python(const CommitDiff& diff);
Row to_python(const SaveOutcome& outcome);
Row to_python(const RestoreOutcome& outcome);
Row to_python(const RetainReport& report);
Row to_python(const CollectReport& report);
Row to_python(const CompactReport& report);
Row to_python(const CheckReport& report);
Row to_python(const RepairReport& report);
Row to_python(const TransferReport& report);
Row to_python(const StoreStats& stats);

template <typename T>
nb::typed<nb::list, Row> to_python(const std::vector<T>& values) {
  nb::typed<nb::list, Row> out;
  for (const T& value : values) out.append(to_python(value));
  return out;
}

}  // namespace kilter::python
