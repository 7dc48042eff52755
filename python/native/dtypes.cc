#include <nanobind/nanobind.h>

#include <string>

#include "kilter/dtype.h"

#include "native/bind.h"

namespace kilter::python {

namespace nb = nanobind;

void bind_dtypes(nb::module_& module) {
  module.def(
      "dtype_table",
      [] {
        nb::list out;
        for (const DTypeRow& row : dtype_table())
          out.append(nb::make_tuple(std::string(row.name).c_str(), std::string(row.torch).c_str(),
                                    std::string(row.numpy).c_str(), row.bits));
        return out;
      },
      nb::sig("def dtype_table() -> list[tuple[str, str, str, int]]"),
      "Every dtype: Kilter's name, torch's, numpy's descriptor, bits of an element.");
}

}  // namespace kilter::python
