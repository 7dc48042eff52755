// Small distributed checkpoints in memory.
#pragma once

#include <gtest/gtest.h>
#include <libdeflate.h>

#include <string>
#include <vector>

#include "formats/dcp/item_writer.h"
#include "formats/dcp/metadata_writer.h"
#include "formats/torch/pickle_writer.h"
#include "io/memory_file_system.h"

namespace kilter::dcp {

/// Data files and metadata under construction.
struct TestCheckpoint {
  std::unique_ptr<io::MemoryFileSystem> files = io::make_memory_file_system();
  Metadata metadata;
  std::string data;  ///< of "__0_0.distcp"

  /// Appends an item that holds `values` in the given shape.
  Place tensor_item(const std::vector<std::int64_t>& shape, const std::vector<float>& values) {
    const std::string payload(reinterpret_cast<const char*>(values.data()), values.size() * 4);
    const auto pickle = tensor_pickle("t", DType::kF32, shape);
    EXPECT_TRUE(pickle.has_value());
    const ItemFrame frame =
        tensor_frame(*pickle, payload.size(), libdeflate_crc32(0, payload.data(), payload.size()));
    return append(frame.head + payload + frame.tail);
  }
  Place object_item(std::int64_t value) {
    torch::PickleWriter out;
    out.integer(value);
    out.stop();
    return append(object_frame(out.take()).head);
  }

  void add_tensor(const std::string& fqn, std::vector<std::int64_t> size,
                  const std::vector<std::pair<Chunk, Place>>& chunks) {
    Entry entry;
    entry.fqn = fqn;
    entry.is_tensor = true;
    entry.size = std::move(size);
    for (const auto& [chunk, place] : chunks) {
      entry.chunks.push_back(chunk);
      metadata.chunk_places.insert_or_assign({fqn, chunk.offsets}, place);
    }
    metadata.entries.push_back(std::move(entry));
  }
  void add_object(const std::string& fqn, const Place& place) {
    Entry entry;
    entry.fqn = fqn;
    metadata.object_places[fqn] = place;
    metadata.entries.push_back(std::move(entry));
  }

  /// "w" [3, 2] of 1..6 in two chunks, "whole" [2] of 7, 8, and the number 12 at model.0.n.
  static TestCheckpoint sound() {
    TestCheckpoint out;
    const Place low = out.tensor_item({2, 2}, {1, 2, 3, 4});
    const Place high = out.tensor_item({1, 2}, {5, 6});
    out.add_tensor("w", {3, 2}, {{{{0, 0}, {2, 2}}, low}, {{{2, 0}, {1, 2}}, high}});
    out.add_tensor("whole", {2}, {{{{0}, {2}}, out.tensor_item({2}, {7, 8})}});
    out.add_object("model.0.n", out.object_item(12));
    out.metadata.paths["model.0.n"] = {{"model", {}}, {"", 0}, {"n", {}}};
    return out;
  }

  void put() {
    files->put("/d/.metadata", write_metadata(metadata));
    files->put("/d/__0_0.distcp", data);
  }

 private:
  Place append(const std::string& bytes) {
    Place place{"__0_0.distcp", data.size(), bytes.size(), {}};
    data += bytes;
    return place;
  }
};

}  // namespace kilter::dcp
