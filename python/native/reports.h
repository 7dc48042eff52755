// What a store reports, as dictionaries: kilter/reports.py makes them dataclasses.
#pragma once

#include <nanobind/nanobind.h>

#include <string>
#include <vector>

#include "kilter/store.h"

namespace kilter::python {

namespace nb = nanobind;

nb::object to_python(const MetaValue& value);
nb::dict to_python(const Metadata& metadata);
/// None, numbers, text as they are; lists and dictionaries as JSON.
Metadata metadata_from(const nb::dict& values);

nb::dict to_python(const Lineage& lineage);
nb::dict to_python(const CommitInfo& commit);
nb::dict to_python(const CommitDetails& details);
nb::dict to_python(const StoredFile& file);
nb::dict to_python(const StoredTensor& tensor);
nb::dict to_python(const StoreRef& ref);
nb::dict to_python(const CommitDiff& diff);
nb::dict to_python(const SaveOutcome& outcome);
nb::dict to_python(const RestoreOutcome& outcome);
nb::dict to_python(const RetainReport& report);
nb::dict to_python(const CollectReport& report);
nb::dict to_python(const CompactReport& report);
nb::dict to_python(const CheckReport& report);
nb::dict to_python(const RepairReport& report);
nb::dict to_python(const TransferReport& report);
nb::dict to_python(const StoreStats& stats);

template <typename T>
nb::list to_python(const std::vector<T>& values) {
  nb::list out;
  for (const T& value : values) out.append(to_python(value));
  return out;
}

}  // namespace kilter::python
