#include "kilter/tensor_index.h"

#include <limits>

#include "base/checked.h"
#include "base/try.h"
#include "flow/check_assembly.h"

namespace kilter {
namespace {

/// DEFLATE cannot expand further: 258 bytes from two bits. Source: RFC 1951, 3.2.5.
constexpr std::uint64_t kDeflateExpansionMax = 1032;
/// Nor can Zstandard: a block of 128 KiB from four bytes. Source: RFC 8878, 3.1.1.2.
constexpr std::uint64_t kZstdExpansionMax = 32768;

/// Sizes beyond this cannot be file positions (off_t is signed).
constexpr auto kBytesMax = static_cast<std::uint64_t>(std::numeric_limits<std::int64_t>::max());

std::string quoted_shape(const std::vector<std::int64_t>& numbers) {
  std::string out = "[";
  for (std::size_t i = 0; i < numbers.size() && i < 16; ++i) {
    if (i != 0) out += ", ";
    out += std::to_string(numbers[i]);
  }
  if (numbers.size() > 16) out += ", ...";
  return out + "]";
}

std::string bytes_text(std::uint64_t bytes) { return std::to_string(bytes) + " bytes"; }

std::string range_text(std::uint64_t begin, std::uint64_t count) {
  const auto end = checked_add(begin, count);
  return "bytes [" + std::to_string(begin) + ", " +
         (end ? std::to_string(*end) : std::string("beyond 2^64")) + ")";
}

/// Bytes of `count` elements, rounded up; nullopt where no file could hold them.
std::optional<std::uint64_t> packed_bytes(std::uint64_t count, std::uint64_t bits) {
  const auto total = checked_mul(count, bits);
  if (!total || *total > kBytesMax) return std::nullopt;
  return *total / 8 + (*total % 8 != 0 ? 1 : 0);
}

Status check_assembled(const StorageInfo& storage) {
  if (!storage.assembly || storage.big_endian || storage.offset_bytes != 0 ||
      storage.stored_bytes != 0)
    return fail(Error(ErrorCode::kMalformed,
                      "storage \"" + storage.name + "\" is assembled but states bytes of its own"));
  return flow::check_assembly(*storage.assembly, storage.bytes);
}

Status check_storage(const TensorIndex& index, const StorageInfo& storage) {
  if (storage.file >= index.files.size())
    return fail(Error(ErrorCode::kMalformed, "storage \"" + storage.name + "\" lies in no file")
                    .wanted("file number below " + std::to_string(index.files.size()),
                            std::to_string(storage.file)));
  if (storage.coding == StorageCoding::kPieces) return check_assembled(storage);
  const FileEntry& file = index.files[storage.file];
  const auto at = [&](Error error) {
    return fail(std::move(error).at_path(file.path).at_offset(storage.offset_bytes));
  };
  if (!range_fits(storage.offset_bytes, storage.stored_bytes, file.bytes))
    return at(Error(ErrorCode::kMalformed,
                    "storage \"" + storage.name + "\" ends past the end of the file")
                  .wanted(range_text(storage.offset_bytes, storage.stored_bytes),
                          "a file of " + bytes_text(file.bytes)));
  if (storage.coding == StorageCoding::kRaw) {
    if (storage.bytes == storage.stored_bytes) return ok();
    return at(Error(ErrorCode::kMalformed,
                    "storage \"" + storage.name + "\" is stored raw but states two sizes")
                  .wanted(bytes_text(storage.bytes), bytes_text(storage.stored_bytes)));
  }
  if (storage.coding == StorageCoding::kInline) {
    const std::uint64_t held = storage.inline_bytes ? storage.inline_bytes->size() : 0;
    if (storage.bytes == held) return ok();
    return at(Error(ErrorCode::kMalformed,
                    "storage \"" + storage.name + "\" was decoded to another size than it states")
                  .wanted(bytes_text(storage.bytes), bytes_text(held)));
  }
  const bool zstd = storage.coding == StorageCoding::kZstd;
  const auto most =
      checked_mul(storage.stored_bytes, zstd ? kZstdExpansionMax : kDeflateExpansionMax);
  if (storage.bytes > kBytesMax || (most && storage.bytes > *most))
    return at(Error(ErrorCode::kMalformed, "compressed storage \"" + storage.name +
                                               "\" states more bytes than " +
                                               (zstd ? "Zstandard" : "DEFLATE") + " can expand to")
                  .wanted("at most " + (most ? bytes_text(*most) : bytes_text(kBytesMax)),
                          bytes_text(storage.bytes)));
  return ok();
}

/// Checks the shape alone. Returns true if the tensor has elements.
Result<bool> check_shape(const TensorInfo& tensor) {
  if (tensor.strides.size() != tensor.shape.size())
    return fail(Error(ErrorCode::kMalformed, "shape and strides differ in length")
                    .wanted(quoted_shape(tensor.shape), quoted_shape(tensor.strides)));
  bool empty = false;
  for (std::size_t i = 0; i < tensor.shape.size(); ++i) {
    if (tensor.shape[i] < 0 || tensor.strides[i] < 0)
      return fail(Error(ErrorCode::kMalformed, "negative size or stride")
                      .wanted("numbers of at least 0", "shape " + quoted_shape(tensor.shape) +
                                                           ", strides " +
                                                           quoted_shape(tensor.strides)));
    empty = empty || tensor.shape[i] == 0;
  }
  if (empty) return false;
  std::optional<std::uint64_t> count = 1;
  for (const std::int64_t size : tensor.shape)
    count = count ? checked_mul(*count, static_cast<std::uint64_t>(size)) : count;
  if (!count || !packed_bytes(*count, dtype_row(tensor.dtype).bits))
    return fail(Error(ErrorCode::kMalformed, "the shape's byte count does not fit 63 bits")
                    .wanted("a size a file can have", quoted_shape(tensor.shape)));
  return true;
}

/// One past the last element the view touches, in elements; nullopt on overflow.
std::optional<std::uint64_t> view_end(const TensorInfo& tensor) {
  std::optional<std::uint64_t> end = checked_add(tensor.offset_elements, std::uint64_t{1});
  for (std::size_t i = 0; i < tensor.shape.size() && end; ++i) {
    const auto reach = checked_mul(static_cast<std::uint64_t>(tensor.shape[i] - 1),
                                   static_cast<std::uint64_t>(tensor.strides[i]));
    end = reach ? checked_add(*end, *reach) : std::nullopt;
  }
  return end;
}

/// Elements narrower than a byte can only be copied as whole bytes.
Status check_packed(const TensorInfo& tensor, std::uint64_t bits) {
  if (!tensor.contiguous())
    return fail(Error(ErrorCode::kMalformed, "elements narrower than a byte with strides")
                    .wanted("strides " + quoted_shape(contiguous_strides(tensor.shape)),
                            quoted_shape(tensor.strides)));
  if (tensor.offset_elements * bits % 8 != 0)
    return fail(Error(ErrorCode::kMalformed, "elements narrower than a byte begin inside a byte")
                    .wanted("an offset of whole bytes", std::to_string(tensor.offset_elements) +
                                                            " elements of " + std::to_string(bits) +
                                                            " bits"));
  return ok();
}

Status check_view(const TensorIndex& index, const TensorInfo& tensor) {
  if (tensor.storage >= index.storages.size())
    return fail(Error(ErrorCode::kMalformed, "the tensor refers to a storage that is not there")
                    .wanted("storage number below " + std::to_string(index.storages.size()),
                            std::to_string(tensor.storage)));
  KILTER_ASSIGN(const bool has_elements, check_shape(tensor));
  if (!has_elements) return ok();  // nothing is ever read; torch writes any offset here
  const StorageInfo& storage = index.storages[tensor.storage];
  const std::uint64_t bits = dtype_row(tensor.dtype).bits;
  const auto end = view_end(tensor);
  const auto end_bytes = end ? packed_bytes(*end, bits) : std::nullopt;
  if (!end_bytes || *end_bytes > storage.bytes) {
    Error error(ErrorCode::kMalformed,
                "the view reaches past the end of storage \"" + storage.name + "\"");
    // Where the first byte would lie; left out where even that leaves the numbers.
    if (const auto skip = packed_bytes(tensor.offset_elements, bits);
        skip && storage.coding == StorageCoding::kRaw) {
      if (const auto at = checked_add(storage.offset_bytes, *skip)) error.offset_bytes = *at;
    }
    return fail(std::move(error).wanted(
        end_bytes ? "a storage of at least " + bytes_text(*end_bytes)
                  : "a view that fits 63 bits: offset " + std::to_string(tensor.offset_elements) +
                        ", shape " + quoted_shape(tensor.shape) + ", strides " +
                        quoted_shape(tensor.strides),
        bytes_text(storage.bytes)));
  }
  return bits % 8 == 0 ? ok() : check_packed(tensor, bits);
}

/// The views that fill an assembly. Its boxes were checked.
Status check_pieces(const TensorIndex& index, const Assembly& assembly) {
  TensorInfo view;
  view.dtype = assembly.element;
  for (const Piece& piece : assembly.pieces) {
    view.shape = piece.sizes;
    view.strides = piece.strides;
    view.storage = piece.storage;
    view.offset_elements = piece.offset_elements;
    KILTER_TRY(check_view(index, view));
    if (index.storages[piece.storage].coding == StorageCoding::kPieces)
      return fail(ErrorCode::kMalformed, "a piece of a tensor is itself in pieces");
  }
  return ok();
}

/// Some tensor that lies in the storage, for messages.
std::string tensor_in(const TensorIndex& index, std::size_t storage) {
  for (const TensorInfo& tensor : index.tensors)
    if (tensor.storage == storage) return tensor.name;
  return "";
}

Status check_assemblies(const TensorIndex& index) {
  for (std::size_t i = 0; i < index.storages.size(); ++i) {
    const StorageInfo& storage = index.storages[i];
    if (storage.coding != StorageCoding::kPieces) continue;
    auto status = check_pieces(index, *storage.assembly);
    if (status) continue;
    return fail(std::move(status)
                    .error()
                    .at_path(index.files[storage.file].path)
                    .at_tensor(tensor_in(index, i)));
  }
  return ok();
}

}  // namespace

std::uint64_t TensorInfo::element_count() const {
  std::uint64_t count = 1;
  for (const std::int64_t size : shape) count *= static_cast<std::uint64_t>(size);
  return count;
}

std::uint64_t TensorInfo::bytes() const {
  return packed_bytes(element_count(), dtype_row(dtype).bits).value_or(0);
}

bool TensorInfo::contiguous() const {
  for (const std::int64_t size : shape)
    if (size == 0) return true;
  std::uint64_t next = 1;
  for (std::size_t i = shape.size(); i-- > 0;) {
    if (shape[i] == 1) continue;
    if (static_cast<std::uint64_t>(strides[i]) != next) return false;
    next *= static_cast<std::uint64_t>(shape[i]);
  }
  return true;
}

std::optional<std::size_t> TensorIndex::find(std::string_view name) const {
  for (std::size_t i = 0; i < tensors.size(); ++i)
    if (tensors[i].name == name) return i;
  return std::nullopt;
}

Status TensorIndex::validate() const {
  for (std::size_t i = 0; i < storages.size(); ++i) {
    auto status = check_storage(*this, storages[i]);
    if (status) continue;
    if (storages[i].coding != StorageCoding::kPieces) return status;
    return fail(std::move(status).error().at_tensor(tensor_in(*this, i)));
  }
  KILTER_TRY(check_assemblies(*this));
  for (const TensorInfo& tensor : tensors) {
    auto status = check_view(*this, tensor);
    if (status) continue;
    const bool in_file =
        tensor.storage < storages.size() && storages[tensor.storage].file < files.size();
    return fail(std::move(status)
                    .error()
                    .at_path(in_file ? files[storages[tensor.storage].file].path : std::string())
                    .at_tensor(tensor.name));
  }
  return ok();
}

std::vector<std::int64_t> contiguous_strides(const std::vector<std::int64_t>& shape) {
  std::vector<std::int64_t> strides(shape.size(), 1);
  std::uint64_t next = 1;  // unsigned: shapes that do not fit are refused later, not here
  for (std::size_t i = shape.size(); i-- > 0;) {
    strides[i] = static_cast<std::int64_t>(next & kBytesMax);
    if (shape[i] > 1) next *= static_cast<std::uint64_t>(shape[i]);
  }
  return strides;
}

}  // namespace kilter
