#include <gtest/gtest.h>
#include <zlib.h>

#include <algorithm>
#include <cstring>

#include "flow/engine_test_support.h"

namespace kilter::test {

std::string deflated(std::string plain) {
  z_stream z{};
  EXPECT_EQ(deflateInit2(&z, 1, Z_DEFLATED, -MAX_WBITS, 8, Z_DEFAULT_STRATEGY), Z_OK);
  std::string out(deflateBound(&z, plain.size()) + 16, '\0');
  z.next_in = reinterpret_cast<Bytef*>(plain.data());
  z.avail_in = static_cast<uInt>(plain.size());
  z.next_out = reinterpret_cast<Bytef*>(out.data());
  z.avail_out = static_cast<uInt>(out.size());
  EXPECT_EQ(deflate(&z, Z_FINISH), Z_STREAM_END);
  out.resize(z.total_out);
  deflateEnd(&z);
  return out;
}

namespace {

std::string random_bytes(Random& random, std::size_t count) {
  std::string out(count, '\0');
  for (char& c : out) c = static_cast<char>(random() % 5 == 0 ? random() : random() % 3);
  return out;
}

std::uint32_t crc_of(const std::string& text) {
  return static_cast<std::uint32_t>(
      ::crc32_z(0, reinterpret_cast<const Bytef*>(text.data()), text.size()));
}

/// Little-endian bytes of the view, element by element.
std::string contiguous_form(const TensorInfo& tensor, const StorageInfo& storage,
                            const std::string& decoded) {
  const DTypeRow& row = dtype_row(tensor.dtype);
  if (row.bits < 8) return decoded.substr(tensor.offset_elements * row.bits / 8, tensor.bytes());
  const std::size_t bytes = row.bits / 8U;
  std::string out;
  for (std::uint64_t i = 0; i < tensor.element_count(); ++i) {
    std::uint64_t rest = i, at = tensor.offset_elements;
    for (std::size_t d = tensor.shape.size(); d-- > 0;) {
      const auto size = static_cast<std::uint64_t>(tensor.shape[d]);
      at += rest % size * static_cast<std::uint64_t>(tensor.strides[d]);
      rest /= size;
    }
    std::string element = decoded.substr(at * bytes, bytes);
    if (storage.big_endian)
      for (std::size_t u = 0; u < bytes; u += row.swap_bytes)
        std::reverse(element.begin() + static_cast<std::ptrdiff_t>(u),
                     element.begin() + static_cast<std::ptrdiff_t>(u + row.swap_bytes));
    out += element;
  }
  return out;
}

/// u16 from f4 (two to a byte) and u8: 256 * nibble + byte.
class JoinKernel : public Kernel {
 public:
  std::string name() const override { return "join"; }
  static std::uint16_t join(std::uint8_t packed, bool high, std::uint8_t low) {
    const unsigned nibble = high ? packed >> 4U : packed & 15U;
    return static_cast<std::uint16_t>(nibble << 8U | low);
  }
  Status run(const KernelTile& tile) const override {
    const std::size_t count = tile.out.size() / 2;
    if (tile.inputs.size() != 2 || tile.inputs[1].size() != count ||
        tile.inputs[0].size() != (count + 1) / 2)
      return fail(ErrorCode::kInternal, "the tile's inputs do not fit its output");
    for (std::size_t i = 0; i < count; ++i) {
      const auto value = join(static_cast<std::uint8_t>(tile.inputs[0][i / 2]), i % 2 != 0,
                              static_cast<std::uint8_t>(tile.inputs[1][i]));
      std::memcpy(tile.out.data() + 2 * i, &value, 2);
    }
    return ok();
  }
};

/// f4 from u8: the sum's low bits, two to a byte. Its output is narrower than a byte.
class NarrowKernel : public Kernel {
 public:
  std::string name() const override { return "narrow"; }
  Status run(const KernelTile& tile) const override {
    const Bytes in = tile.inputs[0];
    if (tile.out.size() != (in.size() + 1) / 2)
      return fail(ErrorCode::kInternal, "the tile's inputs do not fit its output");
    for (std::size_t i = 0; i < tile.out.size(); ++i) {
      auto value = static_cast<unsigned>(in[2 * i]) & 15U;
      if (2 * i + 1 < in.size()) value |= (static_cast<unsigned>(in[2 * i + 1]) & 15U) << 4U;
      tile.out[i] = static_cast<std::byte>(value);
    }
    return ok();
  }
};

/// What a late segment holds: its number and the checksums of all outputs before it, repeated.
std::string late_content(std::size_t file, std::size_t index,
                         const std::vector<std::size_t>& before, const OutputChecksums& crc32,
                         std::size_t bytes) {
  std::string text = std::to_string(file) + "/" + std::to_string(index) + ":";
  for (const std::size_t output : before) text += std::to_string(crc32[output]) + ",";
  std::string out;
  while (out.size() < bytes) out += text;
  out.resize(bytes);
  return out;
}

class CaseSink : public Sink {
 public:
  std::vector<FileLayout> files;

  Result<std::vector<FileLayout>> layout(const Plan&) override { return files; }
  bool wants_checksums() const override { return true; }
  Status fill_late(std::size_t file, std::size_t index, const OutputChecksums& crc32,
                   std::span<std::byte> out) override {
    const std::string text = late_content(file, index, before(file, index), crc32, out.size());
    std::memcpy(out.data(), text.data(), text.size());
    return ok();
  }
  std::vector<std::size_t> before(std::size_t file, std::size_t late) const {
    std::vector<std::size_t> outputs;
    for (std::size_t f = 0; f <= file; ++f)
      for (const Segment& segment : files[f].segments) {
        if (f == file && segment.kind == SegmentKind::kLate && segment.index == late) break;
        if (segment.kind == SegmentKind::kOutput) outputs.push_back(segment.index);
      }
    return outputs;
  }
};

class CaseMaker {
 public:
  CaseMaker(io::FileSystem& files, std::string root, Random& random, const CaseShape& shape)
      : files_(files), root_(std::move(root)), random_(random), shape_(shape) {}

  Case make() {
    add_storages();
    for (std::size_t i = 0; i < shape_.output_count * 2; ++i) add_tensor();
    source_ = make_file_source(files_, root_, true, index_);
    const Status sound = index_.validate();
    EXPECT_TRUE(sound.has_value()) << (sound ? std::string() : sound.error().text());
    for (std::size_t i = 0; i < shape_.output_count; ++i) add_output();
    lay_out();
    made_.plan.verb = "test";
    made_.sink = std::move(sink_);
    return std::move(made_);
  }

 private:
  void add_storages() {
    for (unsigned i = 0; i < 6; ++i) {
      const auto coding = i % 3 == 2   ? StorageCoding::kInline
                          : i % 3 == 1 ? StorageCoding::kDeflate
                                       : StorageCoding::kRaw;
      const std::string plain =
          random_bytes(random_, shape_.tensor_bytes_max * 2 + random_() % 5000);
      const std::string stored = coding == StorageCoding::kDeflate ? deflated(plain) : plain;
      const std::string lead = random_bytes(random_, random_() % 5000);
      StorageInfo storage;
      storage.file = i;
      storage.offset_bytes = lead.size();
      storage.stored_bytes = stored.size();
      storage.bytes = plain.size();
      storage.coding = coding;
      storage.big_endian = i >= 3;
      const auto* begin = reinterpret_cast<const std::byte*>(plain.data());
      if (coding == StorageCoding::kInline)
        storage.inline_bytes =
            std::make_shared<const std::vector<std::byte>>(begin, begin + plain.size());
      if (coding == StorageCoding::kDeflate) storage.crc32 = crc_of(plain);
      const std::string name = std::string("source-").append(std::to_string(i));
      const std::string whole = lead + stored + random_bytes(random_, random_() % 100);
      write_file(files_, root_ + "/" + name, whole);
      index_.files.push_back({name, whole.size()});
      index_.storages.push_back(storage);
      plain_.push_back(plain);
      whole_.push_back(whole);
    }
  }

  TensorInfo random_tensor() {
    static constexpr DType kDTypes[] = {DType::kU8, DType::kF16, DType::kF32, DType::kC128};
    TensorInfo tensor;
    tensor.name = std::string("t").append(std::to_string(index_.tensors.size()));
    tensor.storage = static_cast<std::uint32_t>(random_() % index_.storages.size());
    tensor.dtype = kDTypes[random_() % 4];
    const std::uint64_t most = shape_.tensor_bytes_max / (dtype_row(tensor.dtype).bits / 8U);
    const std::uint64_t rows = random_() % 40;
    tensor.shape = {
        static_cast<std::int64_t>(rows),
        static_cast<std::int64_t>(random_() % (most / std::max<std::uint64_t>(rows, 1)))};
    tensor.strides = contiguous_strides(tensor.shape);
    if (random_() % 3 == 0) {  // transposed
      tensor.strides[0] = 1;
      tensor.strides[1] = std::max<std::int64_t>(tensor.shape[0], 1);
    } else if (random_() % 5 == 0) {  // broadcast
      tensor.strides[0] = 0;
    }
    tensor.offset_elements = random_() % 50;
    return tensor;
  }

  void add_tensor() {
    TensorInfo tensor = random_tensor();
    contents_.push_back(
        contiguous_form(tensor, index_.storages[tensor.storage], plain_[tensor.storage]));
    index_.tensors.push_back(std::move(tensor));
  }

  void add_output() {
    PlanOutput output;
    output.name = std::string("o").append(std::to_string(made_.plan.outputs.size()));
    std::string content;
    switch (random_() % 6) {
      case 0:
        content = join_output(output);
        break;
      case 1:
        content = narrow_output(output);
        break;
      case 2:
        content = part_of(output, InputKind::kStorage);
        break;
      case 3:
        content = part_of(output, InputKind::kFile);
        break;
      default: {
        const std::size_t tensor = random_() % index_.tensors.size();
        output.inputs = {{source_, InputKind::kTensor, tensor, 0}};
        output.dtype = index_.tensors[tensor].dtype;
        output.shape = index_.tensors[tensor].shape;
        content = contents_[tensor];
      }
    }
    output.bytes = content.size();
    made_.plan.outputs.push_back(std::move(output));
    outputs_.push_back(std::move(content));
  }

  std::string part_of(PlanOutput& output, InputKind kind) {
    const std::size_t number = 3 * (random_() % 2);  // the raw storages; their files
    const std::string& whole = kind == InputKind::kFile ? whole_[number] : plain_[number];
    const std::size_t at = random_() % 1000;
    const std::size_t count = random_() % (whole.size() - at);
    output.dtype = DType::kU8;
    output.shape = {static_cast<std::int64_t>(count)};
    output.inputs = {{source_, kind, number, at}};
    return whole.substr(at, count);
  }

  std::string join_output(PlanOutput& output) {
    const std::size_t count = random_() % (shape_.tensor_bytes_max / 2);
    const std::size_t nibbles = random_() % 100, bytes = random_() % 100;
    output.dtype = DType::kU16;
    output.shape = {static_cast<std::int64_t>(count)};
    output.inputs = {f4_tensor(nibbles, count), {source_, InputKind::kTensor, 0, 0}};
    output.inputs[1] = u8_tensor(bytes, count);
    output.kernel = std::make_shared<JoinKernel>();
    std::string out;
    for (std::size_t i = 0; i < count; ++i) {
      const auto value =
          JoinKernel::join(static_cast<std::uint8_t>(plain_[0][nibbles + i / 2]), i % 2 != 0,
                           static_cast<std::uint8_t>(plain_[1][bytes + i]));
      out += static_cast<char>(value & 255U);
      out += static_cast<char>(value >> 8U);
    }
    return out;
  }

  std::string narrow_output(PlanOutput& output) {
    const std::size_t count = random_() % shape_.tensor_bytes_max;
    const std::size_t bytes = random_() % 100;
    output.dtype = DType::kF4E2M1;
    output.shape = {static_cast<std::int64_t>(count)};
    output.inputs = {u8_tensor(bytes, count)};
    output.kernel = std::make_shared<NarrowKernel>();
    std::string out((count + 1) / 2, '\0');
    for (std::size_t i = 0; i < count; ++i) {
      const auto nibble = static_cast<unsigned>(plain_[1][bytes + i]) & 15U;
      out[i / 2] = static_cast<char>(static_cast<unsigned>(out[i / 2]) | nibble << (i % 2 * 4U));
    }
    return out;
  }

  /// A source of its own for one more tensor over storage `storage`.
  PlanInput lone_tensor(DType dtype, std::uint32_t storage, std::size_t offset, std::size_t count) {
    TensorIndex index = index_;
    TensorInfo tensor;
    tensor.name = "lone";
    tensor.dtype = dtype;
    tensor.storage = storage;
    tensor.shape = {static_cast<std::int64_t>(count)};
    tensor.strides = {1};
    tensor.offset_elements = offset;
    index.tensors = {tensor};
    EXPECT_TRUE(index.validate().has_value());
    return {make_file_source(files_, root_, true, std::move(index)), InputKind::kTensor, 0, 0};
  }
  PlanInput f4_tensor(std::size_t offset_bytes, std::size_t count) {
    return lone_tensor(DType::kF4E2M1, 0, offset_bytes * 2, count);
  }
  PlanInput u8_tensor(std::size_t offset_bytes, std::size_t count) {
    return lone_tensor(DType::kU8, 1, offset_bytes, count);
  }

  void lay_out() {
    sink_ = std::make_unique<CaseSink>();
    std::vector<std::size_t> order(made_.plan.outputs.size());
    for (std::size_t i = 0; i < order.size(); ++i) order[i] = i;
    std::shuffle(order.begin(), order.end(), random_);
    OutputChecksums crc32;
    for (const std::string& content : outputs_) crc32.push_back(crc_of(content));
    for (std::size_t f = 0; f < shape_.file_count; ++f) {
      sink_->files.push_back({std::string("part-").append(std::to_string(f)), {}});
      std::string& want = made_.want[sink_->files[f].name];
      std::size_t late_count = 0;
      for (std::size_t i = f; i < order.size(); i += shape_.file_count) {
        add_literal(sink_->files[f], want);
        sink_->files[f].segments.push_back(
            {SegmentKind::kOutput, outputs_[order[i]].size(), {}, order[i]});
        want += outputs_[order[i]];
        const std::size_t zeros = random_() % 3 == 0 ? random_() % 9000 : random_() % 64;
        sink_->files[f].segments.push_back({SegmentKind::kZero, zeros, {}, 0});
        want.append(zeros, '\0');
        if (random_() % 2 == 0) add_late(f, late_count++, crc32, want);
      }
    }
    sink_->files.push_back({"empty", {}});
    made_.want["empty"] = "";
  }
  void add_literal(FileLayout& file, std::string& want) {
    const std::string text = random_bytes(random_, random_() % 300);
    file.segments.push_back({SegmentKind::kLiteral, text.size(), text, 0});
    want += text;
  }
  void add_late(std::size_t file, std::size_t number, const OutputChecksums& crc32,
                std::string& want) {
    const std::size_t bytes = random_() % 4 == 0 ? random_() % 20000 : random_() % 40;
    sink_->files[file].segments.push_back({SegmentKind::kLate, bytes, {}, number});
    want += late_content(file, number, sink_->before(file, number), crc32, bytes);
  }

  io::FileSystem& files_;
  std::string root_;
  Random& random_;
  CaseShape shape_;
  TensorIndex index_;
  std::vector<std::string> plain_, whole_, contents_, outputs_;
  std::shared_ptr<Source> source_;
  std::unique_ptr<CaseSink> sink_;
  Case made_;
};

}  // namespace

Case make_case(io::FileSystem& files, const std::string& root, Random& random,
               const CaseShape& shape) {
  return CaseMaker(files, root, random, shape).make();
}

std::string content_of(io::FileSystem& files, const std::string& path) {
  auto file = files.open_read(path);
  if (!file) return "cannot open: " + file.error().text();
  std::string out((*file)->bytes(), '\0');
  if (!out.empty()) {
    const Status status = (*file)->read_at(0, std::as_writable_bytes(std::span(out)));
    EXPECT_TRUE(status.has_value());
  }
  return out;
}

void write_file(io::FileSystem& files, const std::string& path, const std::string& content) {
  auto file = files.create(path);
  ASSERT_TRUE(file.has_value()) << file.error().text();
  const Status status = (*file)->write_at(0, as_bytes(content));
  ASSERT_TRUE(status.has_value()) << status.error().text();
  ASSERT_TRUE((*file)->sync().has_value());
}

}  // namespace kilter::test
