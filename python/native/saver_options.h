// What both savers take and report.
#pragma once

#include <nanobind/nanobind.h>

#include <string>

#include "kilter/saver.h"

#include "native/reports.h"

namespace kilter::python {

namespace nb = nanobind;

Row report_dict(const SaveReport& report);
/// "raw", "fast", "small"; raises ValueError for others.
SaveCoding coding_named(const std::string& name);

}  // namespace kilter::python
