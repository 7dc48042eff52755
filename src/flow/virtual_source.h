// A source whose tensors are computed as they are read.
#pragma once

#include <string>
#include <vector>

#include "flow/source.h"

namespace kilter {

/// Holds the index; whoever derives from it implements read_tensor() alone. To the engine such
/// tensors lie in no file: it asks for them tile by tile.
class VirtualSource : public Source {
 public:
  const TensorIndex& index() const override { return index_; }
  std::string file_path(std::uint32_t file) const override;
  Status read_storage(std::size_t storage, DType element, std::uint64_t offset_bytes,
                      std::span<std::byte> out) const override;
  Status read_file(std::uint32_t file, std::uint64_t offset_bytes,
                   std::span<std::byte> out) const override;
  const io::ReadFile* raw_file(std::uint32_t) const override { return nullptr; }

 protected:
  /// `name` stands in messages where a file's path would.
  explicit VirtualSource(std::string name) : name_(std::move(name)) {}
  /// Returns the tensor's index.
  std::size_t add_tensor(std::string name, DType dtype, std::vector<std::int64_t> shape);

 private:
  std::string name_;
  TensorIndex index_;
};

}  // namespace kilter
