// What the fuzz targets of formats share: one file in memory, opened, checked, scanned and read.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <memory>
#include <string_view>
#include <vector>

#include "kilter/checkpoint.h"

#include "flow/source.h"
#include "formats/format.h"
#include "io/memory_file_system.h"

namespace kilter::fuzz {

inline void read_tensors(io::FileSystem& files, const CheckpointData& data) {
  if (!data.index.validate()) std::abort();  // an opened index is a sound one
  const auto source = make_file_source(files, data.root, data.root_is_folder, data.index);
  std::vector<std::byte> block(4096);
  for (std::size_t i = 0; i < std::min<std::size_t>(data.index.tensors.size(), 20); ++i) {
    const std::uint64_t bytes = data.index.tensors[i].bytes();
    const std::size_t count =
        static_cast<std::size_t>(std::min<std::uint64_t>(bytes, block.size()));
    (void)source->read_tensor(i, bytes - count, std::span(block).first(count));
  }
}

/// Runs everything `format` can do on a file of these bytes.
inline void exercise(const formats::Format& format, const std::uint8_t* data, std::size_t size) {
  const auto files = io::make_memory_file_system();
  files->put("/f", {reinterpret_cast<const char*>(data), size});
  const auto probe = formats::make_probe(*files, "/f");
  if (!probe) return;
  (void)format.detect(*probe);
  for (const bool lenient : {false, true}) {
    OpenOptions options;
    options.lenient = lenient;
    options.header_bytes_max = 16 << 20;
    options.files = files.get();
    const auto opened = format.open({files.get(), "/f", &*probe, options});
    if (opened) read_tensors(*files, *opened);
    if (!opened && opened.error().path.empty()) std::abort();  // every error says where
  }
  std::vector<Finding> findings;
  (void)format.check({files.get(), "/f", &*probe, true, {}}, &findings);
  (void)format.scan({files.get(), "/f", &*probe, true, {}}, &findings);
  (void)formats::diagnose(*files, *probe);
}

}  // namespace kilter::fuzz
