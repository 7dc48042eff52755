// Writing objects: in one request, or in parts.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "base/thread_pool.h"
#include "io/object_store.h"
#include "io/s3/client.h"

namespace kilter::io::s3 {

/// Where an object's bytes come from. `part` may use the buffer or not; it is called from several
/// threads, each with a buffer of its own.
struct PutSource {
  std::uint64_t bytes = 0;
  std::function<Result<Bytes>(std::uint64_t offset_bytes, std::uint64_t count_bytes,
                              std::vector<std::byte>& buffer)>
      part;
};

/// As ObjectStore::put(); the name in what it returns stays empty.
Result<ObjectInfo> put_object(Client& client, const std::string& key, const PutSource& source,
                              const PutCondition& condition, const S3Options& options,
                              const std::function<ThreadPool&()>& pool);

/// Removes the parts of an upload. One that is not there is no error.
Status abort_upload(Client& client, const std::string& key, const std::string& upload_id);

/// What marks one put among others, in its object's metadata.
struct PutMark {
  std::string text;
  NameValue header() const { return {"x-amz-meta-kilter-put", text}; }
};
PutMark make_put_mark();

/// Headers of `condition`.
void add_condition(const PutCondition& condition, std::vector<NameValue>* headers);

/// What a failed conditional write means. The answer is kAlreadyExists too often after a lost
/// answer, because the first attempt was done: the mark tells. `info` is returned where the object
/// there is this put's.
Result<ObjectInfo> settle_put(Client& client, const std::string& key, Failure failure,
                              const PutCondition& condition, const PutMark& mark, ObjectInfo info);

}  // namespace kilter::io::s3
