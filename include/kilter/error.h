// Errors and results. Owned by the floor `base`.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

#include <tl/expected.hpp>

namespace kilter {

/// What went wrong, as a caller can act on it. One row each in `error_table()`.
enum class ErrorCode : std::uint8_t {
  kInvalidArgument,  ///< the caller asked for something that cannot be
  kNotFound,         ///< no such file, tensor or address
  kAlreadyExists,    ///< the output exists and `force` was not given
  kMalformed,        ///< the input breaks its format's rules
  kUnsupported,      ///< well-formed as far as seen, but not something Kilter reads
  kLimitExceeded,    ///< a budget (depth, count, bytes, expansion) was exhausted
  kUnsafe,           ///< a name or call in the input was refused
  kCorrupt,          ///< stored bytes fail their checksum
  kOutOfRange,       ///< an index or range lies outside the object
  kIo,               ///< the operating system reported an I/O error
  kNoSpace,          ///< the disk is full
  kPermission,       ///< access was denied
  kCancelled,        ///< the user asked to stop
  kInternal,         ///< a fault of Kilter itself
};

/// One row of the table that every edge (exit status, HTTP, Python) reads.
struct ErrorRow {
  ErrorCode code;
  std::string_view name;          ///< as in JSON: "malformed"
  int exit_status;                ///< as `kilter --help` documents
  int http_status;                ///< for the server
  std::string_view python_class;  ///< in module `kilter`
};

/// The row of `code`. Never fails: every enumerator has one (a test checks).
const ErrorRow& error_row(ErrorCode code);

/// An error that says what happened and where. Fields that do not apply stay empty.
///
/// `message` is one sentence without the location: text() puts `path`, `tensor`
/// and `offset` in front, and `hint` (what to do next) behind it.
struct Error {
  ErrorCode code = ErrorCode::kInternal;
  std::string message;
  std::string path;                           ///< file, or file!member inside an archive
  std::string tensor;                         ///< tensor name as the file states it
  std::optional<std::uint64_t> offset_bytes;  ///< from the start of `path`
  std::string expected;                       ///< what a sound file would hold here
  std::string found;                          ///< what this one holds
  std::string hint;                           ///< what the reader can do next

  Error() = default;
  Error(ErrorCode c, std::string m) : code(c), message(std::move(m)) {}

  // Each layer adds what it alone knows; a value that is already there stays.
  Error&& at_path(std::string_view p) &&;
  Error&& at_tensor(std::string_view t) &&;
  Error&& at_offset(std::uint64_t bytes) &&;
  Error&& wanted(std::string expected_text, std::string found_text) &&;
  Error&& advise(std::string text) &&;

  /// One line: `path: tensor "name": offset N: message (expected E, found F); hint`.
  /// Control and bidirectional characters are escaped: names come from files.
  std::string text() const;
};

template <typename T>
using Result = tl::expected<T, Error>;
using Status = Result<void>;

/// Shorthand: `return fail(ErrorCode::kMalformed, "header is no JSON");`
inline tl::unexpected<Error> fail(ErrorCode code, std::string message) {
  return tl::unexpected<Error>(Error(code, std::move(message)));
}
inline tl::unexpected<Error> fail(Error error) { return tl::unexpected<Error>(std::move(error)); }

/// A Status that is fine.
inline Status ok() { return {}; }

}  // namespace kilter
