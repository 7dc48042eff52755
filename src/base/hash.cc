#include "base/hash.h"

#include <blake3.h>
#include <openssl/evp.h>

#include "base/try.h"

namespace kilter {

std::string to_hex(std::span<const std::byte> bytes) {
  constexpr std::string_view kDigits = "0123456789abcdef";
  std::string out;
  out.reserve(bytes.size() * 2);
  for (const std::byte byte : bytes) {
    const auto value = std::to_integer<std::size_t>(byte);
    out += kDigits[value >> 4U];
    out += kDigits[value & 15U];
  }
  return out;
}

struct Blake3::State {
  blake3_hasher hasher;
};

Blake3::Blake3() : state_(std::make_unique<State>()) { blake3_hasher_init(&state_->hasher); }
Blake3::~Blake3() = default;
Blake3::Blake3(Blake3&&) noexcept = default;
Blake3& Blake3::operator=(Blake3&&) noexcept = default;

void Blake3::update(Bytes bytes) {
  blake3_hasher_update(&state_->hasher, bytes.data(), bytes.size());
}

Digest256 Blake3::finish() const {
  Digest256 digest;
  blake3_hasher_finalize(&state_->hasher, reinterpret_cast<std::uint8_t*>(digest.data()),
                         digest.size());
  return digest;
}

struct Sha256::State {
  State() : context(EVP_MD_CTX_new()) {}
  ~State() { EVP_MD_CTX_free(context); }
  State(const State&) = delete;
  State& operator=(const State&) = delete;
  EVP_MD_CTX* context;
};

// The EVP calls below fail only where memory does or where the library was built without SHA-256.
Sha256::Sha256() : state_(std::make_unique<State>()) {
  KILTER_CHECK(state_->context != nullptr);
  KILTER_CHECK(EVP_DigestInit_ex(state_->context, EVP_sha256(), nullptr) == 1);
}
Sha256::~Sha256() = default;
Sha256::Sha256(Sha256&&) noexcept = default;
Sha256& Sha256::operator=(Sha256&&) noexcept = default;

void Sha256::update(Bytes bytes) {
  KILTER_CHECK(EVP_DigestUpdate(state_->context, bytes.data(), bytes.size()) == 1);
}

Digest256 Sha256::finish() {
  Digest256 digest;
  unsigned length_bytes = 0;
  KILTER_CHECK(EVP_DigestFinal_ex(state_->context, reinterpret_cast<unsigned char*>(digest.data()),
                                  &length_bytes) == 1);
  KILTER_CHECK(length_bytes == digest.size());
  return digest;
}

Digest256 blake3(Bytes bytes) {
  Blake3 hash;
  hash.update(bytes);
  return hash.finish();
}

Digest256 sha256(Bytes bytes) {
  Sha256 hash;
  hash.update(bytes);
  return hash.finish();
}

}  // namespace kilter
