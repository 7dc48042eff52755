#include "formats/folder/hub_links.h"

#include <filesystem>
#include <optional>

namespace kilter::formats {
namespace {

struct CachePlace {
  std::string root;    // the cache folder of one model
  std::string prefix;  // "snapshots/<revision>/"
};

std::optional<CachePlace> cache_of(const std::string& folder) {
  std::error_code failed;
  const auto absolute = std::filesystem::absolute(folder, failed).lexically_normal();
  if (failed) return std::nullopt;
  auto path = absolute.filename().empty() ? absolute.parent_path() : absolute;
  // Subfolders of a snapshot (unet/) are opened from the snapshot: names bring them along.
  if (path.parent_path().filename() != "snapshots") return std::nullopt;
  return CachePlace{path.parent_path().parent_path().string(),
                    "snapshots/" + path.filename().string() + "/"};
}

class HubLinks final : public io::FileSystem {
 public:
  explicit HubLinks(io::FileSystem& inner) : inner_(inner) {}

  Result<std::unique_ptr<io::ReadFile>> open_read_beneath(const std::string& root,
                                                          const std::string& name) override {
    auto opened = inner_.open_read_beneath(root, name);
    if (opened || opened.error().code != ErrorCode::kUnsafe) return opened;
    const auto cache = cache_of(root);
    if (!cache) {
      opened.error().hint =
          "the file is a symlink that leads out of the folder; give the path it leads to";
      return opened;
    }
    return inner_.open_read_beneath(cache->root, cache->prefix + name);
  }

  Result<std::unique_ptr<io::ReadFile>> open_read(const std::string& path) override {
    return inner_.open_read(path);
  }
  Result<std::unique_ptr<io::WriteFile>> create(const std::string& path) override {
    return inner_.create(path);
  }
  Result<io::FileStat> stat(const std::string& path, bool follow_symlinks) override {
    return inner_.stat(path, follow_symlinks);
  }
  Result<std::vector<io::FolderEntry>> list(const std::string& path) override {
    return inner_.list(path);
  }
  Status make_folder(const std::string& path) override { return inner_.make_folder(path); }
  Status remove(const std::string& path) override { return inner_.remove(path); }
  Status rename(const std::string& from, const std::string& to, io::Replace replace) override {
    return inner_.rename(from, to, replace);
  }
  Status sync_folder(const std::string& path) override { return inner_.sync_folder(path); }
  Result<std::uint64_t> free_bytes(const std::string& path) override {
    return inner_.free_bytes(path);
  }
  Status exchange(const std::string& a, const std::string& b) override {
    return inner_.exchange(a, b);
  }

 private:
  io::FileSystem& inner_;
};

}  // namespace

io::FileSystem& with_hub_links(io::FileSystem& files) {
  static HubLinks links(io::real_file_system());
  return &files == &io::real_file_system() ? links : files;
}

}  // namespace kilter::formats
