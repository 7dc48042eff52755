// Digests of byte streams.
#pragma once

#include <array>
#include <cstddef>
#include <memory>
#include <span>
#include <string>

#include "base/byte_reader.h"

namespace kilter {

using Digest256 = std::array<std::byte, 32>;

/// Lower-case hexadecimal.
std::string to_hex(std::span<const std::byte> bytes);

/// BLAKE3, unkeyed, 32 bytes out. Source: the BLAKE3 paper; upstream C code.
class Blake3 {
 public:
  Blake3();
  ~Blake3();
  Blake3(Blake3&&) noexcept;
  Blake3& operator=(Blake3&&) noexcept;
  void update(Bytes bytes);
  Digest256 finish() const;  ///< of all bytes so far; the stream may go on
 private:
  struct State;
  std::unique_ptr<State> state_;
};

/// SHA-256 (FIPS 180-4), through OpenSSL.
class Sha256 {
 public:
  Sha256();
  ~Sha256();
  Sha256(Sha256&&) noexcept;
  Sha256& operator=(Sha256&&) noexcept;
  void update(Bytes bytes);
  Digest256 finish();  ///< ends the stream
 private:
  struct State;
  std::unique_ptr<State> state_;
};

Digest256 blake3(Bytes bytes);
Digest256 sha256(Bytes bytes);

}  // namespace kilter
