// kilter._native: what the Python package is made of. Nothing here is public: kilter/*.py is.
#include <nanobind/nanobind.h>
#include <nanobind/stl/string.h>

#include "kilter/version.h"

#include "native/bind.h"

namespace nb = nanobind;

NB_MODULE(_native, module) {
  module.doc() = "Kilter's engine. Private: use the package kilter.";
  module.def("version", [] { return std::string(kilter::version()); });
  kilter::python::bind_errors(module);
  kilter::python::bind_dtypes(module);
  kilter::python::bind_checkpoint(module);
  kilter::python::bind_state_builder(module);
  kilter::python::bind_verbs(module);
  kilter::python::bind_weights(module);
  kilter::python::bind_store(module);
  kilter::python::bind_saver(module);
  kilter::python::bind_sharded(module);
}
