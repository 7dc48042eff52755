// Objects by name, as S3 and its kin keep them: no folders, no renames, no partial writes.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "kilter/error.h"

#include "base/byte_reader.h"
#include "io/file_system.h"

namespace kilter::io {

struct ObjectInfo {
  std::string name = {};  ///< whole key below the store's prefix
  std::uint64_t bytes = 0;
  std::string etag = {};                   ///< as the server states it; empty if it does not
  std::int64_t modified_unix_seconds = 0;  ///< as the server states it
};

/// What must hold for a put to happen. At most one of the two.
struct PutCondition {
  bool if_absent = false;    ///< `If-None-Match: *`
  std::string if_etag = {};  ///< `If-Match`; empty: none
  bool any() const { return if_absent || !if_etag.empty(); }
};

/// All calls may come from several threads. Transient faults are retried inside.
class ObjectStore {
 public:
  virtual ~ObjectStore() = default;
  /// For messages: "s3://bucket/prefix".
  virtual std::string address() const = 0;
  /// Errors: kNotFound, kPermission, kIo.
  virtual Result<ObjectInfo> head(const std::string& name) = 0;
  /// Fills `out` from `offset_bytes`; large ranges come in parallel parts. All parts are of one
  /// version of the object: that of `if_etag` where it is given. Damage on the way is noticed where
  /// the range is the whole object and the server keeps its checksum; callers that read parts check
  /// digests of their own.
  /// Errors: kNotFound; kOutOfRange; kIo also when the object changed meanwhile.
  virtual Status read_at(const std::string& name, std::uint64_t offset_bytes,
                         std::span<std::byte> out, const std::string& if_etag = {}) = 0;
  /// The whole small object and its etag. kLimitExceeded above `bytes_max`.
  struct Text {
    std::string text;
    std::string etag;
  };
  virtual Result<Text> read_text(const std::string& name, std::uint64_t bytes_max) = 0;
  /// The object appears whole or not at all. A put whose answer was lost is looked up, so that a
  /// writer does not lose against itself; but if another writer has replaced it by then, the answer
  /// is kAlreadyExists although it stood there for a moment.
  /// Errors: kAlreadyExists where a condition failed, also `if_etag` of an object that is gone;
  /// kUnsupported where the server knows no conditions. Returns the new object.
  virtual Result<ObjectInfo> put(const std::string& name, Bytes bytes,
                                 const PutCondition& condition = {}) = 0;
  /// The same from a file, in parallel parts where it is large.
  virtual Result<ObjectInfo> put_file(const std::string& name, const ReadFile& file,
                                      const PutCondition& condition = {}) = 0;
  /// All objects whose names begin with `prefix`, sorted by name.
  virtual Result<std::vector<ObjectInfo>> list(const std::string& prefix) = 0;
  /// An object that is not there is no error.
  virtual Status remove(const std::string& name) = 0;
  /// Ends uploads in parts below the store's prefix that began before this time and were never
  /// completed: their parts cost room and no listing shows them. Returns how many.
  virtual Result<std::uint64_t> remove_stale_uploads(std::int64_t before_unix_seconds) = 0;
};

/// An object as a file: its size and version are those of now, and every read is of that version.
/// `store` must outlive it. Errors: as ObjectStore::head().
Result<std::unique_ptr<ReadFile>> open_object(ObjectStore& store, const std::string& name);

/// Whether the server keeps the conditions of puts: some refuse them, and some ignore them, which
/// only trying shows. Writes `probe_name` a few times and removes it.
/// Errors: as put() and remove(), but never kUnsupported.
Result<bool> honours_conditions(ObjectStore& store, const std::string& probe_name);

}  // namespace kilter::io
