#include "formats/torch/zip_sink.h"

#include <libdeflate.h>

#include <algorithm>
#include <cstring>

#include "base/checked.h"
#include "base/hash.h"
#include "base/text.h"
#include "base/try.h"
#include "formats/torch/state_writer.h"
#include "formats/torch/zip_records.h"
#include "io/safe_path.h"

namespace kilter::torch {
namespace {

/// 40 decimal digits, as torch writes; the same for the same content of names and pickle.
std::string serialization_id(const std::vector<ZipEntry>& entries) {
  Blake3 hash;
  for (const ZipEntry& entry : entries) {
    hash.update(as_bytes(entry.name + "\n" + std::to_string(entry.bytes) + "\n"));
    hash.update(as_bytes(entry.literal));
  }
  const Digest256 digest = hash.finish();
  std::string out;
  for (std::size_t half = 0; half < 2; ++half) {
    std::uint64_t value = 0;
    std::memcpy(&value, digest.data() + 8 * half, 8);
    const std::string digits = std::to_string(value);
    out.append(20 - digits.size(), '0').append(digits);
  }
  return out;
}

class ZipSink final : public Sink {
 public:
  explicit ZipSink(const formats::WriteOptions& options) : options_(options) {}

  Result<std::vector<FileLayout>> layout(const Plan& plan) override {
    KILTER_ASSIGN(std::string pickle,
                  write_data_pickle(plan, options_.state, options_.tensor_names));
    make_entries(plan, std::move(pickle));
    FileLayout file;
    file.name = options_.stem + (options_.extension.empty() ? ".pt" : options_.extension);
    std::uint64_t at = 0;
    for (ZipEntry& entry : entries_) add(&entry, &at, &file);
    directory_offset_ = at;
    std::uint64_t directory_bytes = 0;
    for (const ZipEntry& entry : entries_) directory_bytes += central_entry(entry, 0).size();
    Segment directory;
    directory.kind = SegmentKind::kLate;
    directory.index = entries_.size();
    directory.bytes = directory_bytes + end_records(0, 0, 0).size();
    file.segments.push_back(std::move(directory));
    return std::vector<FileLayout>{std::move(file)};
  }

  bool wants_checksums() const override { return true; }

  Status fill_late(std::size_t, std::size_t index, const OutputChecksums& crc32,
                   std::span<std::byte> out) override {
    std::string bytes;
    if (index < entries_.size()) {
      bytes = descriptor(entries_[index], checksum(entries_[index], crc32));
    } else {
      for (const ZipEntry& entry : entries_) bytes += central_entry(entry, checksum(entry, crc32));
      bytes += end_records(entries_.size(), directory_offset_, bytes.size());
    }
    if (bytes.size() != out.size())
      return fail(ErrorCode::kInternal, "zip layout changed its size");
    std::memcpy(out.data(), bytes.data(), out.size());
    return ok();
  }

 private:
  static std::uint32_t checksum(const ZipEntry& entry, const OutputChecksums& crc32) {
    return entry.output == kNoOutput ? entry.crc32 : crc32[entry.output];
  }

  /// torch names the folder after the file; a name that no folder could have becomes "archive".
  std::string root() const {
    const bool sound = io::check_relative_name(options_.stem).has_value() &&
                       options_.stem.find('/') == std::string::npos &&
                       options_.stem.size() < 4096 && is_valid_utf8(options_.stem);
    return (sound ? options_.stem : std::string("archive")) + "/";
  }

  void make_entries(const Plan& plan, std::string pickle) {
    entries_.clear();
    const std::string folder = root();
    const auto literal = [&](std::string_view name, std::string bytes) {
      ZipEntry entry;
      entry.name = folder + std::string(name);
      entry.bytes = bytes.size();
      entry.crc32 = libdeflate_crc32(0, bytes.data(), bytes.size());
      entry.literal = std::move(bytes);
      entries_.push_back(std::move(entry));
    };
    literal("data.pkl", std::move(pickle));
    literal(".format_version", "1");
    literal(".storage_alignment", std::to_string(kPayloadAlign));
    literal("byteorder", "little");
    for (std::size_t i = 0; i < plan.outputs.size(); ++i) {
      ZipEntry entry;
      entry.name = folder + "data/" + std::to_string(i);
      entry.output = i;
      entry.bytes = plan.outputs[i].bytes;
      entries_.push_back(std::move(entry));
    }
    literal("version", "3\n");
    literal(".data/serialization_id", serialization_id(entries_));
  }

  void add(ZipEntry* entry, std::uint64_t* at, FileLayout* file) {
    entry->header_offset_bytes = *at;
    const auto literal = [&](std::string bytes) {
      Segment segment;
      segment.kind = SegmentKind::kLiteral;
      segment.bytes = bytes.size();
      segment.literal = std::move(bytes);
      *at += segment.bytes;
      file->segments.push_back(std::move(segment));
    };
    std::string header = local_header(*entry, *at);
    if (entry->output == kNoOutput) {
      literal(header + entry->literal + descriptor(*entry, entry->crc32));
      return;
    }
    literal(std::move(header));
    Segment data;
    data.kind = SegmentKind::kOutput;
    data.bytes = entry->bytes;
    data.index = entry->output;
    *at += data.bytes;
    file->segments.push_back(std::move(data));
    Segment late;
    late.kind = SegmentKind::kLate;
    late.index = static_cast<std::size_t>(entry - entries_.data());
    late.bytes = descriptor(*entry, 0).size();
    *at += late.bytes;
    file->segments.push_back(std::move(late));
  }

  formats::WriteOptions options_;
  std::vector<ZipEntry> entries_;
  std::uint64_t directory_offset_ = 0;
};

}  // namespace

std::unique_ptr<Sink> make_zip_sink(const formats::WriteOptions& options) {
  return std::make_unique<ZipSink>(options);
}

}  // namespace kilter::torch
