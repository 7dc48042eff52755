// Early return of errors.
#pragma once

#include <utility>

#define KILTER_CONCAT_INNER_(a, b) a##b
#define KILTER_CONCAT_(a, b) KILTER_CONCAT_INNER_(a, b)

/// KILTER_TRY(status_expression): returns its error from the enclosing function.
#define KILTER_TRY(expression)                                 \
  do {                                                         \
    if (auto kilter_try_ = (expression); !kilter_try_)         \
      return ::tl::unexpected(std::move(kilter_try_).error()); \
  } while (false)

/// KILTER_ASSIGN(auto value, result_expression): declares or assigns, or returns the error.
#define KILTER_ASSIGN(target, expression) \
  KILTER_ASSIGN_INNER_(KILTER_CONCAT_(kilter_result_, __LINE__), target, expression)
#define KILTER_ASSIGN_INNER_(name, target, expression)         \
  auto name = (expression);                                    \
  if (!name) return ::tl::unexpected(std::move(name).error()); \
  target = std::move(*name)

/// For what only a fault of Kilter itself can break. Prints and aborts.
#define KILTER_CHECK(condition) \
  ((condition) ? static_cast<void>(0) : ::kilter::check_failed(#condition, __FILE__, __LINE__))

namespace kilter {
[[noreturn]] void check_failed(const char* condition, const char* file, int line);
}
