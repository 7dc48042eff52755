// Parts of a path as text.
#pragma once

#include <string>
#include <string_view>

namespace kilter::formats {

/// What stands after the last '/'.
inline std::string file_name_of(std::string_view path) {
  return std::string(path.substr(path.rfind('/') + 1));
}

/// What stands before the last '/'; "." if there is none, "/" for the root.
inline std::string folder_of(std::string_view path) {
  const std::size_t slash = path.rfind('/');
  if (slash == std::string_view::npos) return ".";
  return std::string(path.substr(0, slash == 0 ? 1 : slash));
}

/// The last part without its extension.
inline std::string stem_of(std::string_view path) {
  const std::string name = file_name_of(path);
  const std::size_t dot = name.rfind('.');
  return dot == std::string::npos || dot == 0 ? name : name.substr(0, dot);
}

}  // namespace kilter::formats
