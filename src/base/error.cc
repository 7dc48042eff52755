#include "kilter/error.h"

#include <array>
#include <cstddef>
#include <cstdio>
#include <cstdlib>

#include "base/error_table.h"
#include "base/text.h"
#include "base/try.h"

namespace kilter {
namespace {

// In the order of the enumerators: error_row() indexes it. Exit statuses are the command line's
// (0 done, 1 bad answer, 2 usage, 3 malformed or not judged, 4 not found, 5 I/O, 130 interrupted);
// 70 is EX_SOFTWARE of sysexits.h. HTTP statuses are those of RFC 9110; 499 is nginx's "client
// closed request", since no standard status says that the caller gave up.
constexpr std::array kErrorTable = {
    ErrorRow{ErrorCode::kInvalidArgument, "invalid_argument", 2, 400, "ArgumentError"},
    ErrorRow{ErrorCode::kNotFound, "not_found", 4, 404, "NotFoundError"},
    ErrorRow{ErrorCode::kAlreadyExists, "already_exists", 2, 409, "AlreadyExistsError"},
    ErrorRow{ErrorCode::kMalformed, "malformed", 3, 422, "MalformedError"},
    ErrorRow{ErrorCode::kUnsupported, "unsupported", 3, 422, "UnsupportedError"},
    ErrorRow{ErrorCode::kLimitExceeded, "limit_exceeded", 3, 422, "LimitError"},
    ErrorRow{ErrorCode::kUnsafe, "unsafe", 3, 422, "UnsafeError"},
    ErrorRow{ErrorCode::kCorrupt, "corrupt", 3, 422, "CorruptError"},
    ErrorRow{ErrorCode::kOutOfRange, "out_of_range", 2, 416, "RangeError"},
    ErrorRow{ErrorCode::kIo, "io", 5, 500, "IoError"},
    ErrorRow{ErrorCode::kNoSpace, "no_space", 5, 507, "NoSpaceError"},
    ErrorRow{ErrorCode::kPermission, "permission", 5, 403, "PermissionDeniedError"},
    ErrorRow{ErrorCode::kCancelled, "cancelled", 130, 499, "CancelledError"},
    ErrorRow{ErrorCode::kInternal, "internal", 70, 500, "InternalError"},
};

constexpr bool rows_stand_at_their_code() {
  for (std::size_t i = 0; i < kErrorTable.size(); ++i) {
    if (static_cast<std::size_t>(kErrorTable[i].code) != i) return false;
  }
  return kErrorTable.size() == static_cast<std::size_t>(ErrorCode::kInternal) + 1;
}
static_assert(rows_stand_at_their_code());

void set_if_empty(std::string& field, std::string_view value) {
  if (field.empty()) field = value;
}

std::string comparison_text(const Error& error) {
  if (error.expected.empty() && error.found.empty()) return {};
  std::string out = " (";
  if (!error.expected.empty()) out += "expected " + escape_text(error.expected);
  if (!error.expected.empty() && !error.found.empty()) out += ", ";
  if (!error.found.empty()) out += "found " + escape_text(error.found);
  return out + ")";
}

}  // namespace

std::span<const ErrorRow> error_table() { return kErrorTable; }

const ErrorRow& error_row(ErrorCode code) {
  const auto index = static_cast<std::size_t>(code);
  return index < kErrorTable.size() ? kErrorTable[index] : kErrorTable.back();
}

Error&& Error::at_path(std::string_view p) && {
  set_if_empty(path, p);
  return std::move(*this);
}

Error&& Error::at_tensor(std::string_view t) && {
  set_if_empty(tensor, t);
  return std::move(*this);
}

Error&& Error::at_offset(std::uint64_t bytes) && {
  if (!offset_bytes) offset_bytes = bytes;
  return std::move(*this);
}

Error&& Error::wanted(std::string expected_text, std::string found_text) && {
  set_if_empty(expected, expected_text);
  set_if_empty(found, found_text);
  return std::move(*this);
}

Error&& Error::advise(std::string text) && {
  set_if_empty(hint, text);
  return std::move(*this);
}

std::string Error::text() const {
  std::string out;
  if (!path.empty()) out += escape_text(path) + ": ";
  if (!tensor.empty()) out += "tensor \"" + escape_text(tensor) + "\": ";
  if (offset_bytes) out += "offset " + std::to_string(*offset_bytes) + ": ";
  out += escape_text(message) + comparison_text(*this);
  if (!hint.empty()) out += "; " + escape_text(hint);
  return out;
}

void check_failed(const char* condition, const char* file, int line) {
  std::fprintf(stderr, "%s:%d: a fault of kilter itself: %s does not hold\n", file, line,
               condition);
  std::abort();
}

}  // namespace kilter
