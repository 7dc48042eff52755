// The edge where Kilter's errors become Python's exceptions.
#pragma once

#include <nanobind/nanobind.h>

#include <exception>
#include <utility>

#include "kilter/error.h"

namespace kilter::python {

namespace nb = nanobind;

/// An Error on its way to Python: never seen by anything but the translator below.
class ErrorException : public std::exception {
 public:
  explicit ErrorException(Error error) : error_(std::move(error)) {}
  const Error& error() const { return error_; }
  const char* what() const noexcept override { return error_.message.c_str(); }

 private:
  Error error_;
};

template <typename T>
T unwrap(Result<T>&& result) {
  if (!result) throw ErrorException(std::move(result).error());
  if constexpr (!std::is_void_v<T>) return std::move(*result);
}

/// The instance of kilter.KilterError that stands for `error`.
nb::object error_object(const Error& error);

}  // namespace kilter::python
