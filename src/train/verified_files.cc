#include "train/verified_files.h"

#include <algorithm>
#include <cstring>
#include <map>
#include <set>

#include "base/checked.h"
#include "base/raw_bytes.h"
#include "base/try.h"
#include "io/os_error.h"

namespace kilter::train {
namespace {

struct VerifiedFile {
  std::vector<ManifestRun> runs;
  std::vector<std::uint64_t> begins;  // one more than runs: the last is the file's size
};

class VerifiedReadFile final : public io::ReadFile {
 public:
  VerifiedReadFile(std::unique_ptr<io::ReadFile> file, const VerifiedFile& known)
      : file_(std::move(file)), known_(known) {}
  const std::string& path() const override { return file_->path(); }
  std::uint64_t bytes() const override { return known_.begins.back(); }

  Status read_at(std::uint64_t offset_bytes, std::span<std::byte> out) const override {
    if (!range_fits(offset_bytes, out.size(), bytes()))
      return fail(io::out_of_range(path(), offset_bytes, out.size(), bytes()));
    while (!out.empty()) {
      const auto after = std::ranges::upper_bound(known_.begins, offset_bytes);
      const auto run = static_cast<std::size_t>(after - known_.begins.begin()) - 1;
      const std::uint64_t skip = offset_bytes - known_.begins[run];
      const std::uint64_t take = std::min<std::uint64_t>(out.size(), known_.runs[run].bytes - skip);
      KILTER_TRY(read_run(run, skip, out.first(take)));
      offset_bytes += take;
      out = out.subspan(take);
    }
    return ok();
  }

 private:
  Status read_run(std::size_t run, std::uint64_t skip, std::span<std::byte> out) const {
    const ManifestRun& known = known_.runs[run];
    if (out.size() == known.bytes) return read_checked(run, out);
    RawBytes whole(static_cast<std::size_t>(known.bytes));
    KILTER_TRY(read_checked(run, whole));
    std::memcpy(out.data(), whole.data() + skip, out.size());
    return ok();
  }

  Status read_checked(std::size_t run, std::span<std::byte> out) const {
    const std::uint64_t begin = known_.begins[run];
    if (!range_fits(begin, out.size(), file_->bytes()))
      return fail(Error(ErrorCode::kCorrupt, "the file is shorter than what was saved")
                      .at_path(path())
                      .wanted(std::to_string(bytes()) + " bytes",
                              std::to_string(file_->bytes()) + " bytes"));
    KILTER_TRY(file_->read_at(begin, out));
    const Digest256 found = blake3(out);
    if (found == known_.runs[run].digest) return ok();
    return fail(Error(ErrorCode::kCorrupt, "the bytes are not what was saved")
                    .at_path(path())
                    .at_offset(begin)
                    .wanted(to_hex(known_.runs[run].digest), to_hex(found)));
  }

  std::unique_ptr<io::ReadFile> file_;
  const VerifiedFile& known_;
};

class VerifiedFiles final : public io::FileSystem {
 public:
  VerifiedFiles(io::FileSystem& files, std::string root, StepManifest manifest)
      : files_(files), root_(std::move(root)) {
    for (ManifestFile& file : manifest.files) {
      VerifiedFile& known = known_[io::join_path(root_, file.path)];
      known.begins.push_back(0);
      for (const ManifestRun& run : file.runs)
        known.begins.push_back(known.begins.back() + run.bytes);
      known.runs = std::move(file.runs);
    }
  }

  Result<std::unique_ptr<io::ReadFile>> open_read(const std::string& path) override {
    const auto found = known_.find(path);
    if (found == known_.end())
      return fail(Error(ErrorCode::kNotFound, "the step has no such file").at_path(path));
    KILTER_ASSIGN(auto file, files_.open_read(path));
    return std::make_unique<VerifiedReadFile>(std::move(file), found->second);
  }
  Result<io::FileStat> stat(const std::string& path, bool) override {
    io::FileStat info;
    if (const auto found = known_.find(path); found != known_.end()) {
      info.bytes = info.allocated_bytes = found->second.begins.back();
      return info;
    }
    info.kind = io::FileKind::kFolder;
    if (path == root_ || !below(path).empty()) return info;
    return fail(Error(ErrorCode::kNotFound, "the step has no such file").at_path(path));
  }
  Result<std::vector<io::FolderEntry>> list(const std::string& path) override {
    return below(path);
  }
  Result<std::unique_ptr<io::WriteFile>> create(const std::string& path) override {
    return refuse(path);
  }
  Status make_folder(const std::string& path) override { return refuse(path); }
  Status remove(const std::string& path) override { return refuse(path); }
  Status rename(const std::string& from, const std::string&, io::Replace) override {
    return refuse(from);
  }
  Status sync_folder(const std::string& path) override { return refuse(path); }
  Result<std::uint64_t> free_bytes(const std::string&) override { return std::uint64_t{0}; }

 private:
  static tl::unexpected<Error> refuse(const std::string& path) {
    return fail(Error(ErrorCode::kPermission, "a step never changes").at_path(path));
  }

  /// What lies directly in a folder, by name.
  std::vector<io::FolderEntry> below(const std::string& folder) const {
    const std::string prefix = folder + "/";
    std::map<std::string, io::FileStat> entries;
    for (auto at = known_.lower_bound(prefix); at != known_.end() && at->first.starts_with(prefix);
         ++at) {
      const std::string rest = at->first.substr(prefix.size());
      const std::size_t slash = rest.find('/');
      io::FileStat info;
      if (slash == std::string::npos) {
        info.bytes = info.allocated_bytes = at->second.begins.back();
      } else {
        info.kind = io::FileKind::kFolder;
      }
      entries.emplace(rest.substr(0, slash), info);
    }
    std::vector<io::FolderEntry> out;
    for (auto& [name, info] : entries) out.push_back({name, info});
    return out;
  }

  io::FileSystem& files_;
  std::string root_;
  std::map<std::string, VerifiedFile> known_;
};

}  // namespace

std::unique_ptr<io::FileSystem> make_verified_files(io::FileSystem& files, std::string root,
                                                    StepManifest manifest) {
  return std::make_unique<VerifiedFiles>(files, std::move(root), std::move(manifest));
}

}  // namespace kilter::train
