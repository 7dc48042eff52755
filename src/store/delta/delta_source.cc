#include "store/delta/delta_source.h"

#include <fmt/format.h>

#include <algorithm>
#include <unordered_set>

#include "base/checked.h"
#include "base/raw_bytes.h"
#include "base/text.h"
#include "base/try.h"
#include "store/delta/pieced_source.h"
#include "store/format/element.h"

namespace kilter::store {
namespace {

std::optional<std::string> delta_metadata(const Checkpoint& checkpoint, std::string_view key) {
  for (const auto& [name, value] : checkpoint.data().metadata)
    if (name == key) return value;
  return std::nullopt;
}

tl::unexpected<Error> damaged_delta(std::string what, std::string_view tensor) {
  return fail(
      Error(ErrorCode::kMalformed, "the delta is damaged: " + std::move(what)).at_tensor(tensor));
}

bool is_content_digest(std::string_view text) {
  return text.size() == 64 && text.find_first_not_of("0123456789abcdef") == std::string_view::npos;
}

/// What a result's tensor or file is made of.
struct CodedTensor {
  Element element = Element::kBytes;
  std::optional<std::size_t> base;    ///< the base's tensor of the same name
  std::optional<BaseWindow> between;  ///< absent: nothing to lean on
  bool same = false;
  std::size_t payload = 0;  ///< the delta's tensor
  std::vector<DeltaBlock> blocks;
};

class DecodingSource final : public DeltaSource {
 public:
  DecodingSource(const DeltaFile& delta, const ops::WeightsInput& base)
      : delta_(delta), base_(base) {}

  Status prepare() {
    std::vector<TensorInfo> infos;
    for (const DeltaManifest::Tensor& tensor : delta_.manifest.tensors)
      KILTER_TRY(add_tensor(tensor, infos));
    for (const DeltaManifest::File& file : delta_.manifest.files) KILTER_TRY(add_file(file, infos));
    for (const TensorInfo& info : delta_.checkpoint.tensors())
      if (info.name != kDeltaManifest && !named_.contains(info.name))
        return damaged_delta("its manifest does not list this", info.name);
    index_ = made_up_index(std::move(infos), delta_.address);
    return {};
  }

  const TensorIndex& index() const override { return index_; }
  std::string file_path(std::uint32_t) const override { return delta_.address; }
  const io::ReadFile* raw_file(std::uint32_t) const override { return nullptr; }
  std::optional<std::size_t> same_as_base(std::size_t tensor) const override {
    return coded_[tensor].same ? coded_[tensor].base : std::nullopt;
  }

  Status read_tensor(std::size_t tensor, std::uint64_t offset_bytes, std::span<std::byte> out,
                     std::uint64_t scratch_bytes_max) const override {
    const CodedTensor& coded = coded_[tensor];
    const std::uint64_t total = index_.tensors[tensor].bytes();
    if (!range_fits(offset_bytes, out.size(), total))
      return fail(ErrorCode::kOutOfRange, "read past the end");
    if (coded.same)
      return base_.checkpoint.source()->read_tensor(*coded.base, offset_bytes, out,
                                                    scratch_bytes_max);
    RawBytes part;  // of a block that is not wanted as a whole
    while (!out.empty()) {
      const std::uint64_t block = offset_bytes / kDeltaBlockBytes;
      const std::uint64_t begin = offset_bytes % kDeltaBlockBytes;
      const std::uint64_t bytes = delta_block_bytes(total, block);
      const auto count =
          static_cast<std::size_t>(std::min<std::uint64_t>(bytes - begin, out.size()));
      if (count == bytes) {
        KILTER_TRY(decode(tensor, block, out.first(count)));
      } else {
        part.resize(bytes);
        KILTER_TRY(decode(tensor, block, part));
        std::copy_n(part.begin() + static_cast<std::ptrdiff_t>(begin), count, out.begin());
      }
      out = out.subspan(count);
      offset_bytes += count;
    }
    return {};
  }
  Status read_storage(std::size_t storage, DType, std::uint64_t offset_bytes,
                      std::span<std::byte> out) const override {
    return read_tensor(storage, offset_bytes, out, 8ULL << 20);
  }
  Status read_file(std::uint32_t, std::uint64_t, std::span<std::byte>) const override {
    return fail(ErrorCode::kUnsupported, "a delta's result is no file");
  }

 private:
  Status add_tensor(const DeltaManifest::Tensor& tensor, std::vector<TensorInfo>& infos) {
    CodedTensor coded;
    KILTER_ASSIGN(TensorInfo info, checked_info(tensor.name, tensor.dtype, tensor.shape));
    coded.element = element_of(tensor.dtype);
    coded.base = base_.find(tensor.name);
    if (coded.base) coded.between = BaseWindow::between(info, base_.info(*coded.base));
    if (tensor.same) {
      const TensorInfo* const its = coded.base ? &base_.info(*coded.base) : nullptr;
      if (its == nullptr || its->dtype != tensor.dtype || its->shape != tensor.shape)
        return damaged_delta("it takes from the base what the base does not have", tensor.name);
      coded.same = true;
    } else {
      KILTER_TRY(find_blocks(std::string(kDeltaTensorPrefix) + tensor.name, info.bytes(), coded));
    }
    infos.push_back(std::move(info));
    coded_.push_back(std::move(coded));
    return {};
  }

  Status add_file(const DeltaManifest::File& file, std::vector<TensorInfo>& infos) {
    CodedTensor coded;
    KILTER_ASSIGN(TensorInfo info,
                  checked_info(file.path, DType::kU8, {static_cast<std::int64_t>(file.bytes)}));
    KILTER_TRY(find_blocks(std::string(kDeltaFilePrefix) + file.path, file.bytes, coded));
    infos.push_back(std::move(info));
    coded_.push_back(std::move(coded));
    return {};
  }

  /// Its size fits 63 bits.
  static Result<TensorInfo> checked_info(const std::string& name, DType dtype,
                                         std::vector<std::int64_t> shape) {
    std::optional<std::uint64_t> bits = dtype_row(dtype).bits;
    for (const std::int64_t extent : shape)
      if (bits) bits = checked_mul<std::uint64_t>(*bits, static_cast<std::uint64_t>(extent));
    const bool none = std::ranges::find(shape, 0) != shape.end();
    if (!none && (!bits || *bits > INT64_MAX)) return damaged_delta("a tensor is too large", name);
    TensorInfo info;
    info.name = name;
    info.dtype = dtype;
    info.shape = std::move(shape);
    return info;
  }

  Status find_blocks(std::string name, std::uint64_t plain_bytes, CodedTensor& coded) {
    const auto payload = delta_.checkpoint.data().index.find(name);
    if (!payload) return damaged_delta("this tensor is missing", name);
    const TensorInfo& info = delta_.checkpoint.tensors()[*payload];
    if (info.dtype != DType::kU8 || info.shape.size() != 1)
      return damaged_delta("this tensor is no run of bytes", name);
    const std::uint64_t count = delta_block_count(plain_bytes);
    if (count > info.bytes() / 4) return damaged_delta("a directory is cut off", name);
    RawBytes directory(static_cast<std::size_t>(4 * count));
    KILTER_TRY(delta_.checkpoint.source()->read_tensor(*payload, 0, directory));
    auto blocks = read_delta_directory(directory, plain_bytes, info.bytes());
    if (!blocks) return fail(std::move(blocks).error().at_tensor(name));
    for (std::size_t i = 0; i < blocks->size(); ++i) {
      const auto needs = delta_form_needs_window((*blocks)[i].form, coded.between);
      if (!needs) return fail(Error(needs.error()).at_tensor(name));
      if (*needs && !window_of(coded, i, plain_bytes))
        return damaged_delta("a block leans on what the base does not have", name);
    }
    coded.payload = *payload;
    coded.blocks = *std::move(blocks);
    named_.insert(std::move(name));
    return {};
  }

  static std::optional<BaseWindow::Range> window_of(const CodedTensor& coded, std::uint64_t block,
                                                    std::uint64_t plain_bytes) {
    if (!coded.between) return std::nullopt;
    return coded.between->range(block * kDeltaBlockBytes, delta_block_bytes(plain_bytes, block));
  }

  Status decode(std::size_t tensor, std::uint64_t number, std::span<std::byte> plain) const {
    const CodedTensor& coded = coded_[tensor];
    const DeltaBlock& block = coded.blocks[number];
    RawBytes payload(block.bytes), window;
    KILTER_TRY(delta_.checkpoint.source()->read_tensor(coded.payload, block.offset_bytes, payload));
    KILTER_ASSIGN(const bool needs, delta_form_needs_window(block.form, coded.between));
    if (needs) {
      const auto range = window_of(coded, number, index_.tensors[tensor].bytes());
      window.resize(static_cast<std::size_t>(range->bytes));
      KILTER_TRY(base_.checkpoint.source()->read_tensor(*coded.base, range->offset_bytes, window));
    }
    auto decoded =
        decode_delta_block(block.form, coded.element, payload, coded.between, window, plain);
    if (decoded) return {};
    return fail(std::move(decoded)
                    .error()
                    .at_path(delta_.address)
                    .at_tensor(index_.tensors[tensor].name)
                    .at_offset(number * kDeltaBlockBytes));
  }

  const DeltaFile& delta_;
  const ops::WeightsInput& base_;
  std::vector<CodedTensor> coded_;
  std::unordered_set<std::string> named_;  // the delta's tensors that the manifest needs
  TensorIndex index_;
};

}  // namespace

Result<DeltaFile> open_delta(const std::string& address, const OpenOptions& options) {
  KILTER_ASSIGN(Checkpoint checkpoint, open_checkpoint(address, options));
  const auto version = delta_metadata(checkpoint, kDeltaKey);
  if (!version)
    return fail(Error(ErrorCode::kInvalidArgument, "this is no delta")
                    .at_path(address)
                    .advise("`kilter delta make` writes deltas; the base comes first"));
  if (*version != kDeltaVersion)
    return fail(Error(ErrorCode::kUnsupported, "a delta of a version this program cannot read")
                    .at_path(address)
                    .wanted(std::string(kDeltaVersion), escape_text(*version, 40))
                    .advise("use a newer Kilter"));
  DeltaFile delta{address,
                  checkpoint,
                  delta_metadata(checkpoint, kDeltaBaseKey).value_or(""),
                  delta_metadata(checkpoint, kDeltaResultKey).value_or(""),
                  {}};
  if (!is_content_digest(delta.base_digest) || !is_content_digest(delta.result_digest))
    return fail(Error(ErrorCode::kMalformed, "the delta does not say what its base and result are")
                    .at_path(address));
  const auto manifest = checkpoint.data().index.find(kDeltaManifest);
  if (!manifest)
    return fail(Error(ErrorCode::kMalformed, "the delta has no manifest").at_path(address));
  const TensorInfo& info = checkpoint.tensors()[*manifest];
  if (info.dtype != DType::kU8 || info.bytes() > kDeltaManifestBytesMax)
    return fail(Error(ErrorCode::kMalformed, "the delta's manifest is no text of a sensible size")
                    .at_path(address));
  RawBytes text(static_cast<std::size_t>(info.bytes()));
  KILTER_TRY(checkpoint.source()->read_tensor(*manifest, 0, text));
  auto parsed = parse_delta_manifest(as_text(text));
  if (!parsed) return fail(std::move(parsed).error().at_path(address));
  delta.manifest = *std::move(parsed);
  return delta;
}

Result<std::shared_ptr<const DeltaSource>> DeltaSource::open(const DeltaFile& delta,
                                                             const ops::WeightsInput& base) {
  auto source = std::make_shared<DecodingSource>(delta, base);
  auto prepared = source->prepare();
  if (!prepared) return fail(std::move(prepared).error().at_path(delta.address));
  return std::shared_ptr<const DeltaSource>(std::move(source));
}

}  // namespace kilter::store
