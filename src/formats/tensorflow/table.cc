#include "formats/tensorflow/table.h"

#include <snappy.h>

#include <utility>

#include "base/checked.h"
#include "base/crc32c.h"
#include "base/protobuf.h"
#include "base/text.h"
#include "base/try.h"

namespace kilter::tensorflow {
namespace {

constexpr std::uint64_t kTrailerBytes = 5;  // type, masked CRC-32C of contents and type
constexpr std::uint64_t kHandlesBytes = 40;
/// A copy in snappy's format makes at most 64 bytes out of two.
constexpr std::uint64_t kSnappyExpansionMax = 64;
/// Every entry costs this much beside its bytes.
constexpr std::uint64_t kEntryCost = sizeof(TableEntry);

struct BlockHandle {
  std::uint64_t offset_bytes = 0;
  std::uint64_t bytes = 0;  // without the trailer
};

Result<BlockHandle> read_handle(ByteReader* reader) {
  BlockHandle handle;
  KILTER_ASSIGN(handle.offset_bytes, read_varint(reader));
  KILTER_ASSIGN(handle.bytes, read_varint(reader));
  return handle;
}

class TableReader {
 public:
  TableReader(const io::ReadFile& file, std::uint64_t bytes_max)
      : file_(file), budget_(bytes_max) {}

  Result<Table> run() {
    auto status = read();
    if (!status) return fail(std::move(status).error().at_path(file_.path()));
    return std::move(out_);
  }

 private:
  Status read() {
    if (file_.bytes() < kFooterBytes)
      return fail(
          Error(ErrorCode::kMalformed, "the file is shorter than a table's footer")
              .wanted(std::to_string(kFooterBytes) + " bytes", format_bytes(file_.bytes())));
    std::vector<std::byte> footer(kFooterBytes);
    const std::uint64_t begin = file_.bytes() - kFooterBytes;
    KILTER_TRY(file_.read_at(begin, footer));
    if (!as_text(footer).ends_with(kTableMagic))
      return fail(Error(ErrorCode::kMalformed, "the table's magic number is not at its end")
                      .at_offset(file_.bytes() - kTableMagic.size())
                      .advise("the file was cut off or is no table; copy it again"));
    ByteReader reader(Bytes(footer).first(kHandlesBytes), begin);
    KILTER_TRY(read_handle(&reader));  // the meta index: filters, which bundles do not have
    KILTER_ASSIGN(const BlockHandle index, read_handle(&reader));
    std::vector<TableEntry> handles;
    KILTER_TRY(read_block(index, &handles));
    for (const TableEntry& entry : handles) {
      ByteReader value(as_bytes(entry.value));
      auto handle = read_handle(&value);
      if (!handle) {
        handle.error().offset_bytes = index.offset_bytes;
        return fail(std::move(handle).error());
      }
      KILTER_TRY(read_block(*handle, &out_.entries));
      ++out_.block_count;
    }
    return ok();
  }

  Status spend(std::uint64_t bytes, std::uint64_t offset_bytes) {
    if (bytes > budget_)
      return fail(
          Error(ErrorCode::kLimitExceeded, "the table's entries take more memory than is allowed")
              .at_offset(offset_bytes));
    budget_ -= bytes;
    return ok();
  }

  /// The block's bytes, decompressed, its checksum verified.
  Result<std::string> load(const BlockHandle& handle) {
    const auto with_trailer = checked_add(handle.bytes, kTrailerBytes);
    if (!with_trailer || !range_fits(handle.offset_bytes, *with_trailer, file_.bytes()))
      return fail(Error(ErrorCode::kMalformed, "a block lies outside of the file")
                      .at_offset(handle.offset_bytes)
                      .wanted("a block within " + format_bytes(file_.bytes()),
                              std::to_string(handle.bytes) + " bytes"));
    KILTER_TRY(spend(handle.bytes, handle.offset_bytes));
    std::string stored(*with_trailer, '\0');
    KILTER_TRY(file_.read_at(handle.offset_bytes, std::as_writable_bytes(std::span<char>(stored))));
    const Bytes summed = as_bytes(stored).first(handle.bytes + 1);
    const auto wanted = unmask_crc32c(load_le<std::uint32_t>(as_bytes(stored), handle.bytes + 1));
    const std::uint32_t found = crc32c(summed);
    if (wanted != found)
      return fail(Error(ErrorCode::kCorrupt, "a block's checksum does not match its bytes")
                      .at_offset(handle.offset_bytes)
                      .wanted(std::to_string(wanted), std::to_string(found))
                      .advise("copy the index again from where it came"));
    const char type = stored[handle.bytes];
    stored.resize(handle.bytes);
    if (type == 0) return stored;
    if (type == 1) return unpack(stored, handle.offset_bytes);
    return fail(Error(ErrorCode::kUnsupported, "a block is compressed in an unknown way")
                    .at_offset(handle.offset_bytes)
                    .wanted("0 (not at all) or 1 (snappy)",
                            std::to_string(static_cast<unsigned char>(type))));
  }

  Result<std::string> unpack(const std::string& stored, std::uint64_t offset_bytes) {
    out_.compressed = true;
    const auto broken = [&](std::string message) {
      return fail(Error(ErrorCode::kMalformed, std::move(message)).at_offset(offset_bytes));
    };
    std::size_t bytes = 0;
    if (!snappy::GetUncompressedLength(stored.data(), stored.size(), &bytes))
      return broken("a snappy block does not say how long it is");
    if (bytes > stored.size() * kSnappyExpansionMax)
      return broken("a snappy block states more bytes than snappy can expand to");
    KILTER_TRY(spend(bytes, offset_bytes));
    std::string out(bytes, '\0');
    if (!snappy::RawUncompress(stored.data(), stored.size(), out.data()))
      return broken("a snappy block cannot be decompressed");
    return out;
  }

  Status read_block(const BlockHandle& handle, std::vector<TableEntry>* out) {
    KILTER_ASSIGN(const std::string block, load(handle));
    const auto malformed = [&](std::string message) {
      return fail(Error(ErrorCode::kMalformed, std::move(message)).at_offset(handle.offset_bytes));
    };
    if (block.size() < 4) return malformed("a block is too short for its own end");
    const std::uint64_t restarts = load_le<std::uint32_t>(as_bytes(block), block.size() - 4);
    if (restarts > (block.size() - 4) / 4)
      return malformed("a block states more restart points than it can hold");
    // Restart points are for searching; whoever reads everything does not need them.
    ByteReader reader(as_bytes(block).first(block.size() - 4 - restarts * 4));
    std::string key;
    while (!reader.done()) {
      auto status = read_entry(&reader, handle, &key, out);
      if (status) continue;
      status.error().offset_bytes = handle.offset_bytes;
      return status;
    }
    return ok();
  }

  Status read_entry(ByteReader* reader, const BlockHandle& handle, std::string* key,
                    std::vector<TableEntry>* out) {
    KILTER_ASSIGN(const std::uint64_t shared, read_varint(reader));
    KILTER_ASSIGN(const std::uint64_t fresh, read_varint(reader));
    KILTER_ASSIGN(const std::uint64_t value_bytes, read_varint(reader));
    if (shared > key->size())
      return fail(Error(ErrorCode::kMalformed, "a key shares more than the key before it has")
                      .wanted("at most " + std::to_string(key->size()), std::to_string(shared)));
    KILTER_ASSIGN(const Bytes rest, reader->take(fresh));
    KILTER_ASSIGN(const Bytes value, reader->take(value_bytes));
    key->resize(shared);
    key->append(as_text(rest));
    // Shared prefixes make keys longer than the bytes they came from.
    KILTER_TRY(spend(kEntryCost + key->size() + value.size(), handle.offset_bytes));
    if (!out->empty() && out->back().key >= *key)
      return fail(Error(ErrorCode::kMalformed, "the table's keys are not in order")
                      .wanted("a key after \"" + escape_text(out->back().key, 60) + "\"",
                              "\"" + escape_text(*key, 60) + "\""));
    out->push_back({*key, std::string(as_text(value)), handle.offset_bytes});
    return ok();
  }

  const io::ReadFile& file_;
  std::uint64_t budget_;
  Table out_;
};

}  // namespace

Result<Table> read_table(const io::ReadFile& file, std::uint64_t bytes_max) {
  return TableReader(file, bytes_max).run();
}

}  // namespace kilter::tensorflow
