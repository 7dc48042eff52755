// Hand-made tar archives for tests.
#pragma once

#include <cstdio>
#include <optional>
#include <string>
#include <vector>

namespace kilter::tar {

class TarBuilder {
 public:
  std::optional<std::string> size_field;  ///< in place of the true sizes

  TarBuilder& add(const std::string& name, const std::string& data, char type = '0',
                  const std::string& link = "") {
    const std::size_t at = bytes_.size();
    bytes_.append(512, '\0');
    put(at, name);
    put(at + 100, "0000644");
    put(at + 108, "0000000");
    put(at + 116, "0000000");
    char size[16];
    std::snprintf(size, sizeof size, "%011llo", static_cast<unsigned long long>(data.size()));
    sizes_.push_back({at + 124, size});
    put(at + 136, "00000000000");
    bytes_[at + 156] = type;
    put(at + 157, link);
    put(at + 257, "ustar");
    put(at + 263, "00");
    headers_.push_back(at);
    bytes_ += data;
    bytes_.append((512 - data.size() % 512) % 512, '\0');
    return *this;
  }

  std::string build() const {
    std::string out = bytes_;
    for (const auto& [at, text] : sizes_) {
      const std::string size = size_field.value_or(text);
      out.replace(at, size.size(), size);
    }
    for (const std::size_t at : headers_) seal(&out, at);
    return out.append(1024, '\0');
  }

  /// Writes the checksum of the header at `at`.
  static void seal(std::string* bytes, std::size_t at) {
    bytes->replace(at + 148, 8, "        ");
    unsigned sum = 0;
    for (std::size_t i = 0; i < 512; ++i) sum += static_cast<unsigned char>((*bytes)[at + i]);
    char text[16];
    std::snprintf(text, sizeof text, "%06o", sum);
    bytes->replace(at + 148, 7, std::string(text, 7));
  }

 private:
  void put(std::size_t at, const std::string& text) { bytes_.replace(at, text.size(), text); }
  struct Size {
    std::size_t at;
    std::string text;
  };
  std::string bytes_;
  std::vector<Size> sizes_;
  std::vector<std::size_t> headers_;
};

}  // namespace kilter::tar
