// Random plans and a reference that runs them one byte at a time.
#pragma once

#include <map>
#include <memory>
#include <random>
#include <string>
#include <vector>

#include "flow/sink.h"
#include "io/file_system.h"

namespace kilter::test {

using Random = std::mt19937_64;

/// A plan over sources in one file system, its sink, and the bytes that must come out.
struct Case {
  Plan plan;
  std::unique_ptr<Sink> sink;
  std::map<std::string, std::string> want;  ///< file name to content
};

struct CaseShape {
  std::uint64_t tensor_bytes_max = 60000;
  std::size_t output_count = 12;
  std::size_t file_count = 3;
};

/// Puts source files into `root` (which exists) and plans copies of contiguous, strided,
/// big-endian, deflated and inline tensors, storages and files, and kernels of two inputs, into
/// several files with literals, padding and late segments.
Case make_case(io::FileSystem& files, const std::string& root, Random& random,
               const CaseShape& shape = {});

/// As a raw DEFLATE stream.
std::string deflated(std::string plain);
/// A file's content.
std::string content_of(io::FileSystem& files, const std::string& path);
/// Creates a file with this content.
void write_file(io::FileSystem& files, const std::string& path, const std::string& content);

}  // namespace kilter::test
