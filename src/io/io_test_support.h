// What the tests of this floor share.
#pragma once

#include <gtest/gtest.h>
#include <stdlib.h>

#include <cerrno>
#include <memory>
#include <string>
#include <system_error>
#include <utility>
#include <vector>

#include "base/try.h"
#include "io/fault_file_system.h"
#include "io/file_system.h"
#include "io/memory_file_system.h"

namespace kilter::io {

/// A folder of the real file system that goes with the test.
class TempFolder {
 public:
  TempFolder() {
    const char* base = ::getenv("TMPDIR");
    path_ = join_path(base != nullptr ? base : "/tmp", "kilter_io_test_XXXXXX");
    // An object without a folder must never be: tests write into it, and its end removes it.
    if (::mkdtemp(path_.data()) == nullptr)
      throw std::system_error(errno, std::generic_category(), "cannot make " + path_);
  }
  TempFolder(const TempFolder&) = delete;
  TempFolder& operator=(const TempFolder&) = delete;
  ~TempFolder() { EXPECT_TRUE(remove_tree(real_file_system(), path_).has_value()); }
  const std::string& path() const { return path_; }
  std::string operator/(const std::string& name) const { return join_path(path_, name); }

 private:
  std::string path_;
};

inline Status write_text(FileSystem& files, const std::string& path, std::string_view text) {
  KILTER_ASSIGN(const auto file, files.create(path));
  KILTER_TRY(file->write_at(0, as_bytes(text)));
  return file->sync();
}

/// The file's text, or the error's.
inline std::string text_of(FileSystem& files, const std::string& path) {
  auto text = read_text(files, path, 1 << 20);
  return text ? *text : "error: " + text.error().text();
}

inline std::vector<std::string> names_in(FileSystem& files, const std::string& path) {
  std::vector<std::string> names;
  const auto entries = files.list(path);
  EXPECT_TRUE(entries.has_value());
  if (entries)
    for (const FolderEntry& entry : *entries) names.push_back(entry.name);
  return names;
}

template <typename T>
ErrorCode code_of(const Result<T>& result) {
  EXPECT_FALSE(result.has_value());
  return result ? ErrorCode::kInternal : result.error().code;
}

inline testing::AssertionResult succeeded_or(const Error* error) {
  if (error == nullptr) return testing::AssertionSuccess();
  return testing::AssertionFailure() << error->text();
}

/// Success, or the error's text.
template <typename T>
testing::AssertionResult succeeded(const Result<T>& result) {
  return succeeded_or(result ? nullptr : &result.error());
}

#define EXPECT_OK(expression) EXPECT_TRUE(succeeded(expression))
#define ASSERT_OK(expression) ASSERT_TRUE(succeeded(expression))

}  // namespace kilter::io
