#include "formats/torch/pickle_writer.h"

#include <bit>
#include <vector>

namespace kilter::torch {

template <typename T>
void PickleWriter::little(T value) {
  for (std::size_t i = 0; i < sizeof(T); ++i)
    out_ += static_cast<char>((static_cast<std::uint64_t>(value) >> (8 * i)) & 0xff);
}

void PickleWriter::long_bytes(std::string_view two_complement) {
  out_ += '\x8a';
  out_ += static_cast<char>(two_complement.size());
  out_ += two_complement;
}

void PickleWriter::integer(std::int64_t value) {
  if (value >= 0 && value < 256) {
    out_ += 'K';
    little(static_cast<std::uint8_t>(value));
  } else if (value >= 0 && value < 65536) {
    out_ += 'M';
    little(static_cast<std::uint16_t>(value));
  } else if (value >= INT32_MIN && value <= INT32_MAX) {
    out_ += 'J';
    little(static_cast<std::uint32_t>(value));
  } else {
    std::string bytes;
    for (int i = 0; i < 8; ++i)
      bytes += static_cast<char>((static_cast<std::uint64_t>(value) >> (8 * i)) & 0xff);
    // The shortest two's complement, as Python writes it.
    while (bytes.size() > 1 && ((bytes.back() == '\0' && (bytes[bytes.size() - 2] & 0x80) == 0) ||
                                (bytes.back() == '\xff' && (bytes[bytes.size() - 2] & 0x80) != 0)))
      bytes.pop_back();
    long_bytes(bytes);
  }
}

void PickleWriter::big_integer(std::string_view decimal) {
  const bool negative = decimal.starts_with('-');
  std::vector<std::uint8_t> bytes = {0};  // little-endian magnitude
  for (const char c : decimal) {
    if (c < '0' || c > '9') continue;
    unsigned carry = static_cast<unsigned>(c - '0');
    for (std::uint8_t& byte : bytes) {
      carry += byte * 10U;
      byte = static_cast<std::uint8_t>(carry & 0xff);
      carry >>= 8;
    }
    if (carry > 0) bytes.push_back(static_cast<std::uint8_t>(carry));
  }
  bytes.push_back(0);
  if (negative) {
    unsigned carry = 1;
    for (std::uint8_t& byte : bytes) {
      carry += static_cast<std::uint8_t>(~byte);
      byte = static_cast<std::uint8_t>(carry & 0xff);
      carry >>= 8;
    }
  }
  while (bytes.size() > 1 && ((bytes.back() == 0 && bytes[bytes.size() - 2] < 0x80) ||
                              (bytes.back() == 0xff && bytes[bytes.size() - 2] >= 0x80)))
    bytes.pop_back();
  long_bytes({reinterpret_cast<const char*>(bytes.data()), bytes.size()});
}

void PickleWriter::number(double value) {
  out_ += 'G';
  const auto bits = std::bit_cast<std::uint64_t>(value);
  for (int shift = 56; shift >= 0; shift -= 8)
    out_ += static_cast<char>((bits >> shift) & 0xff);  // big-endian, alone in the format
}

void PickleWriter::string(std::string_view utf8) {
  out_ += 'X';
  little(static_cast<std::uint32_t>(utf8.size()));
  out_ += utf8;
}

void PickleWriter::name(std::string_view utf8) {
  const auto [known, added] = names_.try_emplace(std::string("s").append(utf8), 0);
  if (!added) return get(known->second);
  string(utf8);
  known->second = put();
}

void PickleWriter::global(std::string_view module_dot_name) {
  const auto [known, added] = names_.try_emplace(std::string("g").append(module_dot_name), 0);
  if (!added) return get(known->second);
  const std::size_t dot = module_dot_name.rfind('.');
  std::string_view module = module_dot_name.substr(0, dot);
  // Protocol 2 was Python 2's: its names, which every reader maps back.
  if (module == "builtins") module = "__builtin__";
  out_ += 'c';
  out_.append(module).append("\n").append(module_dot_name.substr(dot + 1)).append("\n");
  known->second = put();
}

std::uint32_t PickleWriter::put() {
  const std::uint32_t number = memo_count_++;
  if (number < 256) {
    out_ += 'q';
    little(static_cast<std::uint8_t>(number));
  } else {
    out_ += 'r';
    little(number);
  }
  return number;
}

void PickleWriter::get(std::uint32_t number) {
  if (number < 256) {
    out_ += 'h';
    little(static_cast<std::uint8_t>(number));
  } else {
    out_ += 'j';
    little(number);
  }
}

}  // namespace kilter::torch
