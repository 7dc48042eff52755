// Writes what one checkpoint has beyond another. Source: spec/delta.md.
#include <fmt/format.h>

#include <algorithm>
#include <atomic>
#include <mutex>

#include "kilter/delta.h"

#include "base/hash.h"
#include "base/run_jobs.h"
#include "base/text.h"
#include "base/try.h"
#include "base/utf8.h"
#include "formats/format.h"
#include "ops/companions.h"
#include "ops/convert_plan.h"
#include "ops/output_place.h"
#include "ops/weights/content_digest.h"
#include "ops/weights/recipe.h"
#include "store/delta/delta_blocks.h"
#include "store/delta/delta_format.h"
#include "store/delta/pieced_source.h"
#include "store/format/element.h"

namespace kilter {
namespace store {
namespace {

void append_count(RawBytes& out, std::uint32_t value) {
  for (unsigned i = 0; i < 4; ++i) out.push_back(static_cast<std::byte>(value >> (8 * i)));
}

/// One tensor of the base, read forwards once and hashed as it passes.
class HashedBase {
 public:
  HashedBase(const Checkpoint& base, std::size_t tensor)
      : base_(base), tensor_(tensor), bytes_(base.tensors()[tensor].bytes()) {}

  /// The bytes of a window that begins where the last one ended.
  Result<Bytes> next(const BaseWindow::Range& range) {
    buffer_.resize(static_cast<std::size_t>(range.bytes));
    KILTER_TRY(base_.source()->read_tensor(tensor_, range.offset_bytes, buffer_));
    hasher_.update(buffer_);
    at_ = range.offset_bytes + range.bytes;
    return Bytes(buffer_);
  }
  /// Of the whole tensor: what no window asked for is read now.
  Result<Digest256> finish(const RunContext& context) {
    while (at_ < bytes_) {
      KILTER_TRY(context.check());
      KILTER_TRY(next({at_, std::min(kDeltaBlockBytes, bytes_ - at_)}).map([](Bytes) {}));
    }
    return hasher_.finish();
  }

 private:
  const Checkpoint& base_;
  std::size_t tensor_;
  std::uint64_t bytes_, at_ = 0;
  RawBytes buffer_;
  Blake3 hasher_;
};

class DeltaMaker {
 public:
  DeltaMaker(ops::WeightsInput base, ops::WeightsInput result, const WeightsOptions& options)
      : base_(std::move(base)), result_(std::move(result)), options_(options) {}

  Result<DeltaReport> run(const std::string& target) {
    KILTER_TRY(check_target(target));
    KILTER_ASSIGN(scratch_, ScratchFile::create(place_.parent));
    list_work();
    KILTER_TRY(check_names());
    KILTER_TRY(encode_all());
    fill_manifest();
    KILTER_TRY(write());
    return std::move(report_);
  }

 private:
  /// One tensor of the result, or one that only the base has, or one file.
  struct Work {
    enum class Kind : std::uint8_t { kTensor, kBaseOnly, kFile } kind = Kind::kTensor;
    std::size_t index = 0;
    std::optional<std::size_t> base;
    std::string name;
    std::uint64_t bytes = 0;
    // What encode() found.
    bool same = false, leans = false;
    PiecedTensor payload;
    Digest256 digest{};
  };

  Status check_target(const std::string& target) {
    KILTER_ASSIGN(const ops::Target format, ops::choose_target(options_.to, target));
    place_ = ops::place_of(target, false);
    if (format == ops::Target::kSafetensors && options_.shard_bytes_max == 0 && !place_.is_folder)
      return {};
    return fail(Error(ErrorCode::kInvalidArgument, "a delta is one safetensors file")
                    .at_path(target)
                    .advise("call it NAME.safetensors"));
  }

  void list_work() {
    const Checkpoint &result = result_.checkpoint, &base = base_.checkpoint;
    std::vector<bool> used(base.tensors().size(), false);
    for (std::size_t i = 0; i < result_.names.size(); ++i) {
      if (result_.names[i].empty()) continue;
      Work work{Work::Kind::kTensor,
                i,
                base_.find(result_.names[i]),
                result_.names[i],
                result.tensors()[i].bytes(),
                false,
                false,
                {},
                {}};
      if (work.base) used[*work.base] = true;
      work_.push_back(std::move(work));
    }
    for (std::size_t i = 0; i < used.size(); ++i)
      if (!used[i])
        work_.push_back({Work::Kind::kBaseOnly,
                         i,
                         i,
                         base.tensors()[i].name,
                         base.tensors()[i].bytes(),
                         false,
                         false,
                         {},
                         {}});
    if (!result.data().root_is_folder) return;
    for (const std::uint32_t file : ops::companion_files(result.data())) {
      const FileEntry& entry = result.data().index.files[file];
      work_.push_back(
          {Work::Kind::kFile, file, std::nullopt, entry.path, entry.bytes, false, false, {}, {}});
    }
  }

  Status check_names() const {
    for (const Work& work : work_)
      if (replace_invalid_utf8(work.name) != work.name)
        return fail(
            Error(ErrorCode::kInvalidArgument, "a name is no UTF-8, and a delta cannot hold it")
                .at_path(result_.address)
                .at_tensor(escape_text(work.name, 200)));
    return {};
  }

  Status encode_all() {
    base_digests_.resize(base_.checkpoint.tensors().size());
    Jobs jobs{"compare", work_.size(), [this](std::size_t i) { return work_[i].bytes; }, {}};
    jobs.run = [this](std::size_t i) { return encode(work_[i]); };
    return run_jobs(jobs, options_.thread_count, options_.context);
  }

  Status encode(Work& work) {
    std::optional<HashedBase> base;
    std::optional<BaseWindow> between;
    if (work.base) base.emplace(base_.checkpoint, *work.base);
    if (work.kind == Work::Kind::kTensor && work.base)
      between = BaseWindow::between(result_.info(work.index), base_.info(*work.base));
    if (work.kind != Work::Kind::kBaseOnly)
      KILTER_TRY(encode_blocks(work, between, base ? &*base : nullptr));
    if (base) {
      KILTER_ASSIGN(base_digests_[*work.base], base->finish(options_.context));
    }
    return {};
  }

  Status encode_blocks(Work& work, const std::optional<BaseWindow>& between, HashedBase* base) {
    const bool is_file = work.kind == Work::Kind::kFile;
    const Element element = is_file ? Element::kBytes : element_of(result_.info(work.index).dtype);
    bool all_same = !is_file && between && between->same_dtype() &&
                    result_.info(work.index).shape == base_.info(*work.base).shape;
    Blake3 hasher;
    RawBytes plain;
    for (std::uint64_t at = 0; at < work.bytes; at += plain.size()) {
      KILTER_TRY(options_.context.check());
      plain.resize(std::min(kDeltaBlockBytes, work.bytes - at));
      KILTER_TRY(read_plain(work, at, plain));
      if (!is_file) hasher.update(plain);
      Bytes window;
      if (const auto range = between ? between->range(at, plain.size()) : std::nullopt) {
        KILTER_ASSIGN(window, base->next(*range));
      }
      EncodedDeltaBlock block = encode_delta_block(element, plain, between, window);
      all_same = all_same && block.form == kDeltaSame;
      work.leans = work.leans || block.form >= static_cast<std::uint8_t>(Form::kDelta);
      KILTER_TRY(keep(work, block, plain));
    }
    work.digest = hasher.finish();
    work.same = all_same;
    if (!work.same) return {};
    work.payload.head.clear();
    return {};
  }

  Status read_plain(const Work& work, std::uint64_t at, std::span<std::byte> out) const {
    const auto source = result_.checkpoint.source();
    if (work.kind == Work::Kind::kFile)
      return source->read_file(static_cast<std::uint32_t>(work.index), at, out);
    return source->read_tensor(work.index, at, out);
  }

  Status keep(Work& work, const EncodedDeltaBlock& block, Bytes plain) {
    const Bytes payload = block.form == 0 ? plain : Bytes(block.payload);
    append_count(work.payload.head, static_cast<std::uint32_t>(payload.size()) |
                                      std::uint32_t{block.form} << kDeltaSizeBits);
    if (payload.empty()) return {};
    const std::uint64_t offset = scratch_bytes_.fetch_add(payload.size());
    KILTER_TRY(scratch_->write_at(offset, payload));
    work.payload.pieces.push_back({offset, payload.size()});
    return {};
  }

  void fill_manifest() {
    std::vector<ops::NamedContent> contents;
    manifest_.base = ops::lasting_address(base_.address, options_.open);
    if (result_.checkpoint.data().format.find("safetensors") != std::string::npos)
      manifest_.metadata = result_.checkpoint.data().metadata;
    for (const Work& work : work_) {
      WeightsReport::Tensor row;
      row.name = work.name;
      row.bytes = work.same ? 0 : work.payload.bytes();
      if (work.kind == Work::Kind::kBaseOnly) {
        manifest_.removed.push_back(work.name);
        row.fate = "removed";
        row.from = row.to = base_.info(work.index).dtype;
      } else if (work.kind == Work::Kind::kFile) {
        manifest_.files.push_back({work.name, work.bytes});
        continue;
      } else {
        const TensorInfo& info = result_.info(work.index);
        manifest_.tensors.push_back({work.name, info.dtype, info.shape, work.same});
        contents.push_back({work.name, info.dtype, &info.shape, work.digest});
        row.fate = work.same ? "same" : work.leans ? "delta" : "whole";
        row.from = work.base ? base_.info(*work.base).dtype : info.dtype;
        row.to = info.dtype;
        report_.plain_bytes += work.bytes;
        report_.payload_bytes += row.bytes;
      }
      report_.tensors.push_back(std::move(row));
    }
    report_.base_digest = ops::digest_of_contents(base_.checkpoint, base_digests_);
    report_.result_digest = ops::digest_of_contents(std::move(contents));
  }

  Status write() {
    std::vector<PiecedTensor> tensors(1);
    const std::string text = write_delta_manifest(manifest_);
    tensors[0].name = kDeltaManifest;
    tensors[0].head.assign(as_bytes(text).begin(), as_bytes(text).end());
    for (Work& work : work_) {
      if (work.same || work.kind == Work::Kind::kBaseOnly) continue;
      work.payload.name =
          std::string(work.kind == Work::Kind::kFile ? kDeltaFilePrefix : kDeltaTensorPrefix) +
          work.name;
      tensors.push_back(std::move(work.payload));
    }
    const auto source = make_pieced_source(std::move(tensors), scratch_);
    Plan plan;
    plan.verb = "delta-make";
    formats::WriteOptions how;
    how.stem = place_.stem;
    how.extension = place_.extension;
    how.metadata = {{std::string(kDeltaKey), std::string(kDeltaVersion)},
                    {std::string(kDeltaBaseKey), report_.base_digest},
                    {std::string(kDeltaResultKey), report_.result_digest}};
    for (std::size_t i = 0; i < source->index().tensors.size(); ++i) {
      const TensorInfo& info = source->index().tensors[i];
      plan.outputs.push_back({info.name,
                              info.dtype,
                              info.shape,
                              info.bytes(),
                              {{source, InputKind::kTensor, i, 0}},
                              nullptr,
                              {}});
      how.tensor_names.push_back(info.name);
    }
    const auto sink = formats::find_format("safetensors")->make_sink(how);
    return publish(plan, *sink);
  }

  Status publish(const Plan& plan, Sink& sink) {
    report_.verb = "delta-make";
    report_.sources = {base_.address, result_.address};
    report_.target_path = place_.path;
    report_.target_format = "safetensors";
    report_.dry_run = options_.dry_run;
    KILTER_ASSIGN(const std::vector<FileLayout> files, sink.layout(plan));
    for (const FileLayout& file : files) {
      std::uint64_t bytes = 0;
      for (const Segment& segment : file.segments) bytes += segment.bytes;
      report_.files.emplace_back(file.name, bytes);
    }
    if (options_.dry_run) return {};
    KILTER_ASSIGN(const RunReport run, ops::write_to(place_, plan, sink, options_));
    report_.read_bytes = run.read_bytes;
    report_.written_bytes = run.written_bytes;
    report_.seconds = run.seconds;
    return {};
  }

  ops::WeightsInput base_, result_;
  const WeightsOptions& options_;
  ops::Place place_;
  std::shared_ptr<ScratchFile> scratch_;
  std::atomic<std::uint64_t> scratch_bytes_ = 0;
  std::vector<Work> work_;
  std::vector<Digest256> base_digests_;
  DeltaManifest manifest_;
  DeltaReport report_;
};

}  // namespace
}  // namespace store

Result<DeltaReport> delta_make(const std::string& base, const std::string& result,
                               const std::string& target, const WeightsOptions& options) {
  KILTER_ASSIGN(ops::WeightsInput from, ops::open_weights(base, options.open, Part::kAll));
  KILTER_ASSIGN(ops::WeightsInput to, ops::open_weights(result, options.open, Part::kAll));
  return store::DeltaMaker(std::move(from), std::move(to), options).run(target);
}

}  // namespace kilter
