// Steps as folders beside each other: step-00001200/. Source: spec/training-state.md.
#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <deque>
#include <future>

#include "base/raw_bytes.h"
#include "base/text.h"
#include "base/thread_pool.h"
#include "base/try.h"
#include "io/append_writer.h"
#include "io/file_system.h"
#include "io/publish.h"
#include "train/folder_retention.h"
#include "train/step_manifest.h"
#include "train/step_target.h"
#include "train/verified_files.h"

namespace kilter::train {
namespace {

constexpr std::uint64_t kPieceBytes = 4ULL << 20;
constexpr std::uint64_t kManifestBytesMax = 256ULL << 20;

/// A run of bytes on its way: filled and hashed on the pool, written in order.
struct RunJob {
  RawBytes bytes;
  ManifestRun run;
  Status status;
};

/// Writes one file, run by run.
class FileWriter {
 public:
  FileWriter(StepContent& content, ThreadPool& pool, std::uint64_t memory_bytes)
      : content_(content), pool_(pool), memory_bytes_(memory_bytes) {}

  Result<ManifestFile> write(const FileLayout& layout, io::WriteFile& file) {
    std::uint64_t bytes = 0;
    for (const Segment& segment : layout.segments) bytes += segment.bytes;
    KILTER_TRY(file.reserve(bytes));
    out_.path = layout.name;
    KILTER_ASSIGN(writer_, io::AppendWriter::begin(
                               file, std::min<std::uint64_t>(memory_bytes_ / 2, 32ULL << 20)));
    for (const Segment& segment : layout.segments) {
      Status added = add_segment(segment);
      if (!added) {
        drain();
        return fail(std::move(added).error());
      }
    }
    while (!jobs_.empty()) {
      if (Status taken = take_first(); !taken) {
        drain();
        return fail(std::move(taken).error());
      }
    }
    KILTER_TRY(writer_->finish());
    return std::move(out_);
  }

 private:
  struct Pending {
    std::shared_ptr<RunJob> job;
    std::future<void> done;
  };

  Status add_segment(const Segment& segment) {
    for (std::uint64_t at = 0; at < segment.bytes; at += kPieceBytes) {
      KILTER_TRY(content_.context.check());
      const std::uint64_t count = std::min(kPieceBytes, segment.bytes - at);
      while (!jobs_.empty() && held_bytes_ + count > memory_bytes_) KILTER_TRY(take_first());
      start(segment, at, count);
    }
    return ok();
  }

  void start(const Segment& segment, std::uint64_t at, std::uint64_t count) {
    auto job = std::make_shared<RunJob>();
    auto promise = std::make_shared<std::promise<void>>();
    held_bytes_ += count;
    jobs_.push_back({job, promise->get_future()});
    pool_.submit([this, job, promise, &segment, at, count] {
      job->bytes.resize(static_cast<std::size_t>(count));
      if (segment.kind == SegmentKind::kOutput) {
        job->status = content_.read(segment.index, at, job->bytes);
      } else if (segment.kind == SegmentKind::kLiteral) {
        const Bytes text = as_bytes(segment.literal).subspan(at, count);
        std::ranges::copy(text, job->bytes.begin());
      } else {
        std::ranges::fill(job->bytes, std::byte{0});
      }
      job->run = {count, blake3(job->bytes)};
      promise->set_value();
    });
  }

  Status take_first() {
    Pending first = std::move(jobs_.front());
    jobs_.pop_front();
    first.done.wait();
    held_bytes_ -= first.job->bytes.size();
    KILTER_TRY(std::move(first.job->status));
    out_.runs.push_back(first.job->run);
    return writer_->append(first.job->bytes);
  }

  /// Workers refer to what goes away.
  void drain() {
    for (Pending& pending : jobs_) pending.done.wait();
    jobs_.clear();
  }

  StepContent& content_;
  ThreadPool& pool_;
  std::uint64_t memory_bytes_;
  std::uint64_t held_bytes_ = 0;
  std::deque<Pending> jobs_;
  std::unique_ptr<io::AppendWriter> writer_;
  ManifestFile out_;
};

class FolderTarget final : public StepTarget {
 public:
  FolderTarget(io::FileSystem& files, std::string folder, SaverOptions options)
      : files_(files), folder_(std::move(folder)), options_(std::move(options)) {}

  std::uint64_t piece_bytes() const override { return kPieceBytes; }

  Result<WrittenStep> write(StepContent content) override {
    const std::string name = step_folder_name(content.step);
    KILTER_ASSIGN(const auto output, io::Publication::folder(files_, io::join_path(folder_, name),
                                                             io::Replace::kAllow));
    StepManifest manifest{content.step, content.metadata, {}};
    WrittenStep written;
    ThreadPool pool(options_.thread_count);
    for (const FileLayout& layout : content.layout.files) {
      KILTER_ASSIGN(io::WriteFile* const file, output->add(layout.name));
      KILTER_ASSIGN(ManifestFile listed,
                    FileWriter(content, pool, options_.write_memory_bytes).write(layout, *file));
      written.stored_bytes += listed.bytes();
      manifest.files.push_back(std::move(listed));
    }
    const std::string text = manifest_text(manifest);
    KILTER_ASSIGN(io::WriteFile* const file, output->add(std::string(kManifestName)));
    KILTER_TRY(file->write_at(0, as_bytes(text)));
    KILTER_TRY(content.context.check());
    KILTER_TRY(output->commit());
    written.name = name;
    written.new_bytes = written.stored_bytes;
    return written;
  }

  Status retain() override { return retain_folders(files_, folder_, options_.keep); }

  Result<std::optional<Found>> find_newest(const std::string& before) override {
    KILTER_ASSIGN(const auto steps, list_steps(files_, folder_));
    bool older = before.empty();
    for (auto step = steps.rbegin(); step != steps.rend(); ++step) {
      if (older) return open_step(*step);
      older = step->name == before;
    }
    return std::nullopt;
  }

 private:
  Result<std::optional<Found>> open_step(const StepFolder& step) {
    Found found;
    found.report.step = step.step;
    found.report.commit = step.name;
    const std::string root = io::join_path(folder_, step.name);
    auto opened = open_verified(root, found.report.metadata);
    if (opened) {
      found.damage = damage_of(opened->data());
      if (!found.damage) found.checkpoint = std::move(*opened);
    } else if (is_damage(opened.error())) {
      found.damage = std::move(opened).error().at_path(root);
    } else {
      return fail(std::move(opened).error());
    }
    return found;
  }

  /// The checkpoint keeps the file system it reads through.
  struct Verified {
    std::unique_ptr<io::FileSystem> files;
    std::optional<Checkpoint> checkpoint;
  };

  Result<Checkpoint> open_verified(const std::string& root, Metadata& metadata) {
    const std::string path = io::join_path(root, kManifestName);
    KILTER_ASSIGN(const std::string text, io::read_text(files_, path, kManifestBytesMax));
    auto manifest = parse_manifest(text);
    if (!manifest) return fail(std::move(manifest).error().at_path(path));
    metadata = manifest->metadata;
    auto kept = std::make_shared<Verified>();
    kept->files = make_verified_files(files_, root, std::move(*manifest));
    OpenOptions options;
    options.files = kept->files.get();
    KILTER_ASSIGN(kept->checkpoint, open_checkpoint(root, options));
    const CheckpointData* data = &kept->checkpoint->data();
    const Source* source = kept->checkpoint->source().get();
    return Checkpoint(std::shared_ptr<const CheckpointData>(kept, data),
                      std::shared_ptr<const Source>(kept, source));
  }

  io::FileSystem& files_;
  std::string folder_;
  SaverOptions options_;
};

}  // namespace

Result<std::unique_ptr<StepTarget>> make_folder_target(io::FileSystem& files,
                                                       const std::string& folder,
                                                       const SaverOptions& options) {
  const auto info = files.stat(folder);
  if (info && info->kind != io::FileKind::kFolder)
    return fail(Error(ErrorCode::kInvalidArgument, "this is a file, not a folder").at_path(folder));
  if (!info) KILTER_TRY(files.make_folder(folder));
  KILTER_TRY(sweep_folders(files, folder));
  return std::make_unique<FolderTarget>(files, folder, options);
}

}  // namespace kilter::train
