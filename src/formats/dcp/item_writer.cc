#include "formats/dcp/item_writer.h"

#include <libdeflate.h>

#include "base/byte_reader.h"
#include "base/try.h"
#include "flow/plan.h"
#include "formats/torch/pickle_writer.h"
#include "formats/torch/tensor_writer.h"
#include "formats/torch/zip_records.h"

namespace kilter::dcp {
namespace {

using torch::ZipEntry;

/// torch.save into a stream calls the archive so.
constexpr std::string_view kFolder = "archive/";

class FrameBuilder {
 public:
  void literal(std::string_view name, const std::string& bytes) {
    ZipEntry entry;
    entry.name = std::string(kFolder).append(name);
    entry.bytes = bytes.size();
    entry.crc32 = libdeflate_crc32(0, bytes.data(), bytes.size());
    begin(&entry);
    out() += bytes;
    at_ += bytes.size();
    end(entry);
  }

  void payload(std::uint64_t bytes, std::uint32_t crc32) {
    ZipEntry entry;
    entry.name = std::string(kFolder) + "data/0";
    entry.bytes = bytes;
    entry.crc32 = crc32;
    begin(&entry);
    in_tail_ = true;
    at_ += bytes;
    end(entry);
  }

  ItemFrame finish() {
    std::string directory;
    for (const ZipEntry& entry : entries_) directory += torch::central_entry(entry, entry.crc32);
    const std::string ends = torch::end_records(entries_.size(), at_, directory.size());
    out() += directory + ends;
    frame_.bytes = at_ + directory.size() + ends.size();
    return std::move(frame_);
  }

 private:
  std::string& out() { return in_tail_ ? frame_.tail : frame_.head; }
  void begin(ZipEntry* entry) {
    entry->header_offset_bytes = at_;
    add(torch::local_header(*entry, at_));
  }
  void end(const ZipEntry& entry) {
    add(torch::descriptor(entry, entry.crc32));
    entries_.push_back(entry);
  }
  void add(const std::string& bytes) {
    out() += bytes;
    at_ += bytes.size();
  }

  ItemFrame frame_;
  std::vector<ZipEntry> entries_;
  std::uint64_t at_ = 0;
  bool in_tail_ = false;
};

void add_settings(FrameBuilder* builder) {
  builder->literal(".format_version", "1");
  builder->literal(".storage_alignment", std::to_string(torch::kPayloadAlign));
  builder->literal("byteorder", "little");
}

}  // namespace

DType saved_dtype(DType dtype) {
  switch (dtype) {
    case DType::kQI8:
      return DType::kI8;
    case DType::kQU8:
      return DType::kU8;
    case DType::kQI32:
      return DType::kI32;
    default:
      return dtype;
  }
}

std::vector<std::int64_t> saved_shape(DType dtype, std::vector<std::int64_t> shape) {
  if (dtype == DType::kF4E2M1 && !shape.empty()) shape.back() /= 2;
  return shape;
}

Result<std::string> tensor_pickle(const std::string& name, DType dtype,
                                  const std::vector<std::int64_t>& shape) {
  Plan plan;
  PlanOutput output;
  output.name = name;
  output.dtype = dtype;
  output.shape = shape;
  TensorInfo info;
  info.dtype = dtype;
  info.shape = shape;
  output.bytes = info.bytes();
  plan.outputs.push_back(std::move(output));
  const torch::TensorWriter tensors(plan);
  KILTER_TRY(tensors.check());
  torch::PickleWriter out;
  tensors.write(0, &out);
  out.stop();
  return out.take();
}

ItemFrame tensor_frame(const std::string& pickle, std::uint64_t payload_bytes,
                       std::uint32_t crc32) {
  FrameBuilder builder;
  builder.literal("data.pkl", pickle);
  add_settings(&builder);
  builder.payload(payload_bytes, crc32);
  builder.literal("version", "3\n");
  return builder.finish();
}

ItemFrame object_frame(const std::string& pickle) {
  FrameBuilder builder;
  builder.literal("data.pkl", pickle);
  add_settings(&builder);
  builder.literal("version", "3\n");
  return builder.finish();
}

}  // namespace kilter::dcp
