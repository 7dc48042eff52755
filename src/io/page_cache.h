// What of a file is in memory already.
#pragma once

#include <cstdint>

#include "io/file_system.h"

namespace kilter::io {

/// Bytes of a page of memory.
std::uint64_t page_bytes();

/// Part of the file's pages that are in the page cache, 0 to 1, from samples where the file is
/// large. Reads nothing from the disk. 1 for a file without descriptor (it is in memory); 0 where
/// the kernel does not say. An empty file is 1.
double cached_fraction(const ReadFile& file);

/// Asks the kernel to read a range ahead, without waiting.
void read_ahead(const ReadFile& file, std::uint64_t offset_bytes, std::uint64_t count_bytes);

/// Drops the file's clean pages, for cold measurements. Errors: kUnsupported without descriptor.
Status drop_page_cache(const ReadFile& file);

}  // namespace kilter::io
