// One function for each area that is bound; module.cc calls them all.
#pragma once

#include <nanobind/nanobind.h>

namespace kilter::python {

void bind_errors(nanobind::module_& module);
void bind_dtypes(nanobind::module_& module);
void bind_checkpoint(nanobind::module_& module);
void bind_state_builder(nanobind::module_& module);
void bind_verbs(nanobind::module_& module);
void bind_weights(nanobind::module_& module);
void bind_store(nanobind::module_& module);
void bind_saver(nanobind::module_& module);
void bind_sharded(nanobind::module_& module);

}  // namespace kilter::python
