// Files for the tests of formats: a scratch folder that cleans up, and small builders.
#pragma once

#include <unistd.h>

#include <cerrno>
#include <cstdint>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <optional>
#include <string>
#include <string_view>
#include <system_error>

namespace kilter::formats::test {

/// A fresh folder that goes away with the object.
class ScratchFolder {
 public:
  ScratchFolder() {
    std::string pattern = (std::filesystem::temp_directory_path() / "kilter_test_XXXXXX").string();
    if (::mkdtemp(pattern.data()) == nullptr)
      throw std::system_error(errno, std::generic_category(), "cannot make " + pattern);
    root_ = pattern;
  }
  ~ScratchFolder() {
    std::error_code ignored;
    std::filesystem::remove_all(root_, ignored);
  }
  ScratchFolder(const ScratchFolder&) = delete;
  ScratchFolder& operator=(const ScratchFolder&) = delete;

  std::string path(const std::string& name) const { return (root_ / name).string(); }
  std::string root() const { return root_.string(); }
  std::string put(const std::string& name, std::string_view content) const {
    std::filesystem::create_directories((root_ / name).parent_path());
    std::ofstream(root_ / name, std::ios::binary)
        .write(content.data(), static_cast<std::streamsize>(content.size()));
    return path(name);
  }

 private:
  std::filesystem::path root_;
};

inline std::string u64_le(std::uint64_t value) {
  std::string out;
  for (int i = 0; i < 8; ++i) out.push_back(static_cast<char>(value >> (8 * i) & 0xff));
  return out;
}

/// A safetensors file of this header and data.
inline std::string safetensors_file(const std::string& header, std::string_view data) {
  return u64_le(header.size()).append(header).append(data);
}

/// The folder of real checkpoint files; nullopt where it is absent.
inline std::optional<std::string> real_data() {
  const char* set = std::getenv("KILTER_REAL_DATA");
  std::string path = set != nullptr ? set : KILTER_SOURCE_DIR "/../shared/data";
  if (!std::filesystem::is_directory(path)) return std::nullopt;
  return path;
}

}  // namespace kilter::formats::test
