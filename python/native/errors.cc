#include "native/errors.h"

#include <nanobind/stl/optional.h>
#include <nanobind/stl/string.h>

#include "base/error_table.h"
#include "native/bind.h"

namespace kilter::python {

nb::object error_object(const Error& error) {
  const nb::object make = nb::module_::import_("kilter.errors").attr("make_error");
  const ErrorRow& row = error_row(error.code);
  return make(std::string(row.python_class), error.message, error.path, error.tensor,
              error.offset_bytes, error.expected, error.found, error.hint, error.text());
}

void bind_errors(nb::module_& module) {
  nb::register_exception_translator([](const std::exception_ptr& pointer, void*) {
    try {
      std::rethrow_exception(pointer);
    } catch (const ErrorException& exception) {
      const nb::object object = error_object(exception.error());
      PyErr_SetObject(reinterpret_cast<PyObject*>(Py_TYPE(object.ptr())), object.ptr());
    }
  });
  module.def(
      "error_table",
      [] {
        nb::list out;
        for (const ErrorRow& row : error_table())
          out.append(nb::make_tuple(std::string(row.name), std::string(row.python_class),
                                    row.exit_status));
        return out;
      },
      nb::sig("def error_table() -> list[tuple[str, str, int]]"),
      "Every error: name, Python class, exit status of the program.");
}

}  // namespace kilter::python
