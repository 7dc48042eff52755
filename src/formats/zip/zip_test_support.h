// Hand-made archives for tests, honest or lying.
#pragma once

#include <libdeflate.h>
#include <zlib.h>

#include <algorithm>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "formats/zip/archive.h"
#include "formats/zip/sub_file.h"
#include "formats/zip/zip_format.h"

namespace kilter::zip {

template <typename T>
void put_le(std::string* out, T value) {
  for (std::size_t i = 0; i < sizeof(T); ++i)
    *out += static_cast<char>((static_cast<std::uint64_t>(value) >> (8 * i)) & 0xff);
}

inline std::uint32_t crc_of_text(std::string_view text) {
  return libdeflate_crc32(0, text.data(), text.size());
}

inline std::string deflate_raw(std::string_view text) {
  z_stream stream{};
  deflateInit2(&stream, 9, Z_DEFLATED, -MAX_WBITS, 8, Z_DEFAULT_STRATEGY);
  std::string out(deflateBound(&stream, text.size()), '\0');
  stream.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(text.data()));
  stream.avail_in = static_cast<uInt>(text.size());
  stream.next_out = reinterpret_cast<Bytef*>(out.data());
  stream.avail_out = static_cast<uInt>(out.size());
  deflate(&stream, Z_FINISH);
  out.resize(stream.total_out);
  deflateEnd(&stream);
  return out;
}

/// One member; what is not set is told truly.
struct TestMember {
  std::string name;
  std::string data;
  std::uint16_t method = 0;
  std::uint16_t flags = 0;
  std::optional<std::string> local_name;
  std::optional<std::uint16_t> local_method;
  std::optional<std::uint16_t> local_flags;
  std::optional<std::uint32_t> crc32;         ///< in both places
  std::optional<std::uint32_t> local_bytes;   ///< both sizes in the local header
  std::optional<std::uint32_t> stored_bytes;  ///< in the directory
  std::optional<std::uint32_t> bytes;         ///< in the directory
  std::optional<std::uint32_t> header_offset;
  std::string extra;  ///< in the directory
  std::string gap;    ///< raw bytes before the local header
  bool in_directory = true;
};

/// Lays members out one after another, then the directory and the end record.
class ZipBuilder {
 public:
  std::string prefix;
  std::string comment;
  std::string trailing;
  std::optional<std::uint16_t> count;
  std::optional<std::uint32_t> directory_offset;
  std::optional<std::uint32_t> directory_bytes;
  std::vector<TestMember> members;

  ZipBuilder& add(std::string name, std::string data, std::uint16_t method = 0) {
    TestMember member;
    member.name = std::move(name);
    member.data = std::move(data);
    member.method = method;
    members.push_back(std::move(member));
    return *this;
  }

  std::string build() const {
    std::string out = prefix;
    std::string directory;
    std::size_t listed = 0;
    for (const TestMember& m : members) {
      out += m.gap;
      const auto offset = static_cast<std::uint32_t>(out.size());
      const std::string stored = m.method == 8 ? deflate_raw(m.data) : m.data;
      const std::uint32_t crc = m.crc32.value_or(crc_of_text(m.data));
      const bool late = (m.flags & kFlagDescriptor) != 0;
      add_local(m, stored, late ? 0 : crc, late, &out);
      out += stored;
      if (late) {
        put_le(&out, kDescriptorSignature);
        put_le(&out, crc);
        put_le(&out, static_cast<std::uint32_t>(stored.size()));
        put_le(&out, static_cast<std::uint32_t>(m.data.size()));
      }
      if (!m.in_directory) continue;
      ++listed;
      add_central(m, stored, crc, offset, &directory);
    }
    const auto at = static_cast<std::uint32_t>(out.size());
    out += directory;
    put_le(&out, kEndSignature);
    put_le(&out, std::uint32_t{0});
    put_le(&out, count.value_or(static_cast<std::uint16_t>(listed)));
    put_le(&out, count.value_or(static_cast<std::uint16_t>(listed)));
    put_le(&out, directory_bytes.value_or(static_cast<std::uint32_t>(directory.size())));
    put_le(&out, directory_offset.value_or(at));
    put_le(&out, static_cast<std::uint16_t>(comment.size()));
    return out + comment + trailing;
  }

 private:
  static void add_local(const TestMember& m, const std::string& stored, std::uint32_t crc,
                        bool late, std::string* out) {
    const std::string name = m.local_name.value_or(m.name);
    put_le(out, kLocalSignature);
    put_le(out, std::uint16_t{20});
    put_le(out, m.local_flags.value_or(m.flags));
    put_le(out, m.local_method.value_or(m.method));
    put_le(out, std::uint32_t{0});
    put_le(out, crc);
    put_le(out, m.local_bytes.value_or(late ? 0U : static_cast<std::uint32_t>(stored.size())));
    put_le(out, m.local_bytes.value_or(late ? 0U : static_cast<std::uint32_t>(m.data.size())));
    put_le(out, static_cast<std::uint16_t>(name.size()));
    put_le(out, std::uint16_t{0});
    *out += name;
  }

  static void add_central(const TestMember& m, const std::string& stored, std::uint32_t crc,
                          std::uint32_t offset, std::string* out) {
    put_le(out, kCentralSignature);
    put_le(out, std::uint32_t{20});
    put_le(out, m.flags);
    put_le(out, m.method);
    put_le(out, std::uint32_t{0});
    put_le(out, crc);
    put_le(out, m.stored_bytes.value_or(static_cast<std::uint32_t>(stored.size())));
    put_le(out, m.bytes.value_or(static_cast<std::uint32_t>(m.data.size())));
    put_le(out, static_cast<std::uint16_t>(m.name.size()));
    put_le(out, static_cast<std::uint16_t>(m.extra.size()));
    put_le(out, std::uint64_t{0});
    put_le(out, std::uint16_t{0});
    put_le(out, m.header_offset.value_or(offset));
    *out += m.name + m.extra;
  }
};

inline MemoryFile memory_file(std::string_view text, std::string path = "a.zip") {
  const auto* begin = reinterpret_cast<const std::byte*>(text.data());
  return MemoryFile(std::move(path), std::vector<std::byte>(begin, begin + text.size()));
}

inline bool has_rule(const std::vector<Finding>& findings, std::string_view rule) {
  return std::any_of(findings.begin(), findings.end(),
                     [rule](const Finding& finding) { return finding.rule == rule; });
}

inline Severity worst(const std::vector<Finding>& findings) {
  Severity out = Severity::kNote;
  for (const Finding& finding : findings) out = std::max(out, finding.severity);
  return out;
}

inline std::string rules_of(const std::vector<Finding>& findings) {
  std::string out;
  for (const Finding& finding : findings) out += finding.rule + " ";
  return out;
}

}  // namespace kilter::zip
