#include "flow/load.h"

#include <algorithm>
#include <atomic>
#include <chrono>
#include <condition_variable>
#include <cstring>
#include <mutex>
#include <unordered_map>

#include "base/checked.h"
#include "base/text.h"
#include "base/thread_pool.h"
#include "base/try.h"
#include "flow/block_cache.h"
#include "flow/fresh_memory.h"
#include "flow/raw_range.h"
#include "flow/raw_runs.h"
#include "io/buffer_pool.h"
#include "io/io_queue.h"
#include "io/mapped_file.h"

namespace kilter {
namespace {

constexpr double kCachedEnough = 0.5;
constexpr std::uint64_t kChunkBytes = 4ULL << 20;  ///< of one transfer; whole huge pages
constexpr unsigned kLoadDepth = 16;
constexpr std::uint64_t kDirectRunMin = 256ULL << 10;
/// Reading over a gap is cheaper than another region, but its memory stays.
constexpr std::uint64_t kGapBytesMax = 64 * 1024;
constexpr std::uint64_t kGatherAlignBytes = 64;
constexpr auto kCancelPoll = std::chrono::milliseconds(20);

/// A run of one file that is read as it is.
struct Region {
  std::shared_ptr<const io::ReadFile> file;
  std::uint64_t begin = 0, end = 0;  ///< of the file; begin is a multiple of the direct alignment
  bool direct = false;
  flow::FreshMemory memory;  ///< holds [begin, end rounded up)
};

class Loaded : public LoadedTensors {
 public:
  Bytes bytes(std::size_t tensor) const override { return spans[tensor]; }
  LoadMode mode() const override {
    return regions.empty() && !maps.empty() ? LoadMode::kMap : LoadMode::kRead;
  }

  std::shared_ptr<const Source> source;
  std::vector<Bytes> spans;
  std::vector<io::MappedFile> maps;
  std::vector<Region> regions;
  flow::FreshMemory gathered;  ///< tensors that lie in no file as they are
};

/// Bytes to be brought, into their final place.
struct Job {
  const Region* region = nullptr;  ///< else a tensor
  std::size_t tensor = 0;
  std::uint64_t offset_bytes = 0;  ///< in the file, or in the tensor
  std::span<std::byte> out;
  bool fresh = true;  ///< memory that nobody touched yet
};

/// Files that tensors are read from past the page cache, because it does not hold them.
class DirectFiles {
 public:
  explicit DirectFiles(const Source& source) : source_(source) {}

  /// nullptr where plain reads are better, or too many files are held.
  const io::ReadFile* find(std::uint32_t number) {
    std::lock_guard lock(mutex_);
    if (const auto known = files_.find(number); known != files_.end()) return known->second.get();
    if (files_.size() >= kHeldMax) return nullptr;
    auto file = source_.open_file(number);
    const bool direct =
        file && file->direct_fd() >= 0 && io::cached_fraction(*file) < kCachedEnough;
    return files_.emplace(number, direct ? std::move(file) : nullptr).first->second.get();
  }

 private:
  static constexpr std::size_t kHeldMax = 256;
  const Source& source_;
  std::mutex mutex_;
  std::unordered_map<std::uint32_t, std::shared_ptr<const io::ReadFile>> files_;
};

/// Runs jobs on a pool: pages are made present by all cores, disks see many transfers at once.
class JobRun {
 public:
  JobRun(const Source& source, const RunContext& context, std::unique_ptr<io::IoQueue> queue)
      : source_(source),
        context_(context),
        direct_(source),
        runs_(source.index()),
        buffers_(kChunkBytes + 2 * io::kDirectAlignBytes, kLoadDepth),
        queue_(std::move(queue)) {}

  Status run(const std::vector<Job>& jobs) {
    for (const Job& job : jobs) pool_.submit([this, &job] { start(job); });
    std::uint64_t done_bytes = 0;
    for (std::size_t done = 0; done < jobs.size();) {
      std::unique_lock lock(mutex_);
      changed_.wait_for(lock, kCancelPoll, [&] { return done_ != done; });
      done = done_;
      done_bytes = done_bytes_;
      if (auto status = context_.check(); !status) note(std::move(status));
      lock.unlock();
      if (context_.progress != nullptr && !stop_) context_.progress->update(done_bytes);
    }
    pool_.wait_idle();
    queue_->wait_idle();
    return std::move(status_);
  }

 private:
  void start(const Job& job) {
    if (stop_) return finish(job, ok());
    if (job.fresh) flow::populate(job.out);
    if (job.region == nullptr) {
      if (!start_direct(job))
        finish(job, source_.read_tensor(job.tensor, job.offset_bytes, job.out));
      return;
    }
    if (!job.region->direct) {
      const std::uint64_t left = job.region->end - job.offset_bytes;
      const auto out = job.out.first(std::min<std::uint64_t>(job.out.size(), left));
      return finish(job, job.region->file->read_at(job.offset_bytes, out));
    }
    queue_->submit(io::IoRead{job.region->file.get(), job.offset_bytes, job.out, true,
                              [this, &job](Status status) { finish(job, std::move(status)); }});
  }

  /// Pieces that lie raw in files nobody cached: large direct reads into bounce buffers, because
  /// neither their place in the file nor in memory is a multiple of anything. False if the job has
  /// none, or too short ones.
  bool start_direct(const Job& job) {
    if (job.out.size() > kChunkBytes) return false;
    const auto runs = runs_.find(job.tensor, job.offset_bytes, job.out);
    std::vector<const io::ReadFile*> files;
    for (const flow::RawRun& run : runs) {
      files.push_back(run.out.size() < kDirectRunMin ? nullptr : direct_.find(run.file));
      if (files.back() == nullptr) return false;
    }
    if (runs.empty()) return false;
    auto left = std::make_shared<Pending>();
    left->count = runs.size();
    for (std::size_t i = 0; i < runs.size(); ++i) submit_run(job, runs[i], *files[i], left);
    return true;
  }

  struct Pending {
    std::mutex mutex;
    std::size_t count = 0;
    Status status;
  };

  void submit_run(const Job& job, const flow::RawRun& run, const io::ReadFile& file,
                  const std::shared_ptr<Pending>& left) {
    const auto done = [this, &job, left](Status status) {
      std::unique_lock lock(left->mutex);
      if (!status && left->status)
        left->status =
            fail(std::move(status).error().at_tensor(source_.index().tensors[job.tensor].name));
      if (--left->count != 0) return;
      lock.unlock();
      finish(job, std::move(left->status));
    };
    auto buffer = buffers_.take();
    if (!buffer) return done(fail(std::move(buffer).error()));
    const std::uint64_t skip = run.offset_bytes % io::kDirectAlignBytes;
    const auto whole = buffer->span().first(round_up(skip + run.out.size(), io::kDirectAlignBytes));
    auto held = std::make_shared<io::Buffer>(std::move(*buffer));
    queue_->submit(io::IoRead{&file, run.offset_bytes - skip, whole, true,
                              [held, whole, skip, out = run.out, done](Status status) {
                                if (status)
                                  std::memcpy(out.data(), whole.data() + skip, out.size());
                                *held = io::Buffer();
                                done(std::move(status));
                              }});
  }

  void finish(const Job& job, Status status) {
    std::lock_guard lock(mutex_);
    if (!status) note(std::move(status));
    ++done_;
    done_bytes_ += job.out.size();
    changed_.notify_one();
  }

  void note(Status status) {  // under mutex_
    if (status_) status_ = std::move(status);
    stop_ = true;
  }

  const Source& source_;
  const RunContext& context_;
  std::mutex mutex_;
  std::condition_variable changed_;
  std::size_t done_ = 0;
  std::uint64_t done_bytes_ = 0;
  Status status_;
  std::atomic<bool> stop_{false};
  DirectFiles direct_;
  flow::RawRuns runs_;
  io::BufferPool buffers_;
  std::unique_ptr<io::IoQueue> queue_;
  ThreadPool pool_;
};

/// A tensor that lies in a file as it is.
struct RawTensor {
  std::size_t tensor = 0;
  std::uint32_t file = 0;
  std::uint64_t begin = 0, end = 0;
};

class Loader {
 public:
  Loader(std::shared_ptr<const Source> source, LoadMode mode, MapAccess access)
      : mode_(mode), access_(access), loaded_(std::make_unique<Loaded>()) {
    loaded_->source = std::move(source);
  }

  Result<std::unique_ptr<LoadedTensors>> load(const RunContext& context) {
    const TensorIndex& index = loaded_->source->index();
    loaded_->spans.resize(index.tensors.size());
    sort_tensors(index);
    for (auto first = raw_.begin(); first != raw_.end();) {
      const auto last = std::find_if(first, raw_.end(),
                                     [&](const RawTensor& raw) { return raw.file != first->file; });
      KILTER_TRY(place_file(std::span(first, last)));
      first = last;
    }
    KILTER_TRY(place_gathered(index));
    for (Region& region : loaded_->regions) add_jobs(region);
    KILTER_TRY(bring(context));
    return std::move(loaded_);
  }

 private:
  void sort_tensors(const TensorIndex& index) {
    for (std::size_t i = 0; i < index.tensors.size(); ++i) {
      const std::uint64_t bytes = index.tensors[i].bytes();
      if (bytes == 0) continue;
      if (const auto raw = flow::raw_range(index, index.tensors[i])) {
        raw_.push_back({i, raw->file, raw->offset_bytes, raw->offset_bytes + bytes});
      } else {
        gather_.push_back(i);
      }
    }
    std::sort(raw_.begin(), raw_.end(), [](const RawTensor& a, const RawTensor& b) {
      return std::tie(a.file, a.begin, a.end) < std::tie(b.file, b.begin, b.end);
    });
  }

  Status place_file(std::span<const RawTensor> tensors) {
    const std::uint32_t number = tensors.front().file;
    auto file = loaded_->source->open_file(number);
    if (!file) return gather_all(tensors);
    const std::uint64_t end =
        std::max_element(tensors.begin(), tensors.end(), [](const auto& a, const auto& b) {
          return a.end < b.end;
        })->end;
    if (end > file->bytes())
      return fail(Error(ErrorCode::kIo, "the file became shorter since it was examined")
                      .at_path(loaded_->source->file_path(number)));
    const bool cached = mode_ == LoadMode::kAuto && io::cached_fraction(*file) >= kCachedEnough;
    if (mode_ == LoadMode::kMap || cached) {
      auto map = access_ == MapAccess::kCopyOnWrite ? io::MappedFile::map_private(*file)
                                                    : io::MappedFile::map(*file);
      if (map) return place_map(std::move(*map), tensors);
      if (map.error().code != ErrorCode::kUnsupported) return fail(std::move(map).error());
    }
    return place_regions(std::move(file), tensors);
  }

  /// For sources whose bytes do not lie in files.
  Status gather_all(std::span<const RawTensor> tensors) {
    for (const RawTensor& raw : tensors) gather_.push_back(raw.tensor);
    return ok();
  }

  Status place_map(io::MappedFile map, std::span<const RawTensor> tensors) {
    for (const RawTensor& raw : tensors)
      loaded_->spans[raw.tensor] = map.bytes().subspan(raw.begin, raw.end - raw.begin);
    loaded_->maps.push_back(std::move(map));
    return ok();
  }

  Status place_regions(std::shared_ptr<const io::ReadFile> file,
                       std::span<const RawTensor> tensors) {
    const bool direct = file->direct_fd() >= 0 && io::cached_fraction(*file) < kCachedEnough;
    for (std::size_t first = 0; first < tensors.size();) {
      Region region{file,
                    tensors[first].begin / io::kDirectAlignBytes * io::kDirectAlignBytes,
                    tensors[first].end,
                    direct,
                    {}};
      std::size_t next = first;
      for (; next < tensors.size() && tensors[next].begin <= region.end + kGapBytesMax; ++next)
        region.end = std::max(region.end, tensors[next].end);
      KILTER_ASSIGN(region.memory, take_memory(region.end - region.begin));
      for (; first < next; ++first)
        loaded_->spans[tensors[first].tensor] = region.memory.span().subspan(
            tensors[first].begin - region.begin, tensors[first].end - tensors[first].begin);
      loaded_->regions.push_back(std::move(region));
    }
    return ok();
  }

  Result<flow::FreshMemory> take_memory(std::uint64_t bytes) {
    if (!available_) available_ = flow::available_memory_bytes();
    if (bytes > *available_)
      return fail(Error(ErrorCode::kLimitExceeded, "the tensors do not fit in memory")
                      .wanted(format_bytes(bytes) + " more", format_bytes(*available_)));
    *available_ -= bytes;
    return flow::FreshMemory::map(bytes);
  }

  /// All in one run of memory: a process may have only so many mappings.
  Status place_gathered(const TensorIndex& index) {
    std::optional<std::uint64_t> total = 0;
    for (const std::size_t tensor : gather_)
      total =
          total ? checked_add(*total, index.tensors[tensor].bytes() + kGatherAlignBytes) : total;
    auto memory = take_memory(total.value_or(~std::uint64_t{0}));
    if (!memory) return fail(std::move(memory).error());
    std::uint64_t begin = 0;
    for (const std::size_t tensor : gather_) {
      const std::uint64_t bytes = index.tensors[tensor].bytes();
      const auto out = memory->span().subspan(begin, bytes);
      begin = round_up(begin + bytes, kGatherAlignBytes);
      loaded_->spans[tensor] = out;
      // The more of a far-strided tensor comes at once, the longer are the runs it is read in.
      const std::uint64_t chunk = flow::wants_blocks(index, index.tensors[tensor])
                                      ? std::max(kChunkBytes, round_up(bytes / 2, kChunkBytes))
                                      : kChunkBytes;
      for (std::uint64_t at = 0; at < bytes; at += chunk)
        jobs_.push_back({nullptr, tensor, at, out.subspan(at, std::min(chunk, bytes - at)), true});
    }
    loaded_->gathered = std::move(*memory);
    return ok();
  }

  void add_jobs(const Region& region) {
    const auto all = region.memory.span();  // whole blocks: a direct read may fill the last
    for (std::uint64_t at = 0; at < all.size(); at += kChunkBytes)
      jobs_.push_back({&region, 0, region.begin + at,
                       all.subspan(at, std::min<std::uint64_t>(kChunkBytes, all.size() - at)),
                       true});
  }

  Status bring(const RunContext& context) {
    KILTER_TRY(context.check());
    if (jobs_.empty()) return ok();
    std::uint64_t total_bytes = 0;
    for (const Job& job : jobs_) total_bytes += job.out.size();
    KILTER_ASSIGN(auto queue, io::make_io_queue(io::IoQueueKind::kAuto, kLoadDepth));
    if (context.progress != nullptr) context.progress->begin("load", total_bytes);
    Status status = JobRun(*loaded_->source, context, std::move(queue)).run(jobs_);
    if (context.progress != nullptr) context.progress->end();
    return status;
  }

  LoadMode mode_;
  MapAccess access_;
  std::unique_ptr<Loaded> loaded_;
  std::vector<RawTensor> raw_;  // by file and place
  std::vector<std::size_t> gather_;
  std::vector<Job> jobs_;
  std::optional<std::uint64_t> available_;
};

}  // namespace

Result<std::unique_ptr<LoadedTensors>> load_tensors(std::shared_ptr<const Source> source,
                                                    LoadMode mode, const RunContext& context,
                                                    MapAccess access) {
  return Loader(std::move(source), mode, access).load(context);
}

Status read_ranges(std::shared_ptr<const Source> source, std::span<const TensorRange> ranges,
                   const RunContext& context) {
  std::vector<Job> jobs;
  std::uint64_t total_bytes = 0;
  for (const TensorRange& range : ranges) {
    total_bytes += range.out.size();
    for (std::uint64_t at = 0; at < range.out.size(); at += kChunkBytes)
      jobs.push_back(
          {nullptr, range.tensor, range.offset_bytes + at,
           range.out.subspan(at, std::min<std::uint64_t>(kChunkBytes, range.out.size() - at)),
           false});
  }
  KILTER_TRY(context.check());
  if (jobs.empty()) return ok();
  KILTER_ASSIGN(auto queue, io::make_io_queue(io::IoQueueKind::kAuto, kLoadDepth));
  if (context.progress != nullptr) context.progress->begin("load", total_bytes);
  Status status = JobRun(*source, context, std::move(queue)).run(jobs);
  if (context.progress != nullptr) context.progress->end();
  return status;
}

}  // namespace kilter
