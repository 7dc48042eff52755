// From errno to Error.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "kilter/error.h"

namespace kilter::io {

/// "cannot `action`: <strerror>" with the code that `error_number` means and the path.
Error os_error(int error_number, std::string_view action, std::string_view path);

/// The disk is full. `free_bytes` is what the file system says is left.
Error no_space_error(std::string_view action, std::string_view path, std::uint64_t needed_bytes,
                     std::uint64_t free_bytes);

/// os_error(), or no_space_error() asking the file system of `fd` how much is free.
Error write_error(int error_number, std::string_view action, std::string_view path, int fd,
                  std::uint64_t needed_bytes);

/// A read past the end of a file.
Error out_of_range(std::string_view path, std::uint64_t offset_bytes, std::uint64_t count_bytes,
                   std::uint64_t file_bytes);

/// A read met the end of a file before the end it had when it was opened.
Error became_shorter(std::string_view path, std::uint64_t offset_bytes);

}  // namespace kilter::io
