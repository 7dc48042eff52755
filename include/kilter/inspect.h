// kilter inspect: what is this? Owned by the floor `ops`.
#pragma once

#include <optional>
#include <string>

#include "kilter/identity.h"

namespace kilter {

struct InspectOptions {
  bool hashes = false;  ///< reads every byte: SHA-256, old web-UI hash, data-only SHA-256, BLAKE3
  bool tensor_hashes = false;  ///< with `hashes`: SHA-256 of each tensor's contiguous bytes too
  OpenOptions open;
  RunContext context;
};

struct FileHashes {
  std::string path;
  std::string sha256;
  std::string blake3;
  std::string webui_old;    ///< 8 digits: SHA-256 of 64 KiB at 0x100000
  std::string data_sha256;  ///< of the bytes after a safetensors header; empty elsewhere
};

struct InspectReport {
  std::string path;
  std::uint64_t file_bytes = 0;  ///< all files together
  /// Set when the input is no checkpoint but something that can be named (LFS pointer, HTML page,
  /// truncated download, …): kind, message, hint; then `checkpoint` is empty.
  struct NotACheckpoint {
    std::string kind, message, hint;
    std::optional<std::uint64_t> missing_bytes;
  };
  std::optional<NotACheckpoint> not_a_checkpoint;
  std::string format_evidence;
  std::optional<Checkpoint> checkpoint;
  Identity identity;
  std::vector<FileHashes> hashes;
  std::vector<std::string> tensor_sha256;  ///< by tensor index, when asked for
};

/// Errors: kNotFound, kPermission, kIo, kMalformed, kLimitExceeded. Unrecognized content is not an
/// error: it is a report with `not_a_checkpoint`.
Result<InspectReport> inspect(const std::string& address, const InspectOptions& options = {});

/// As spec/cli-json.md describes. `tensor_glob` empty: no tensor list; `tree`: the state too.
std::string inspect_json(const InspectReport& report, const std::string& tensor_glob, bool tree);

}  // namespace kilter
