// ObjectStore over one bucket.
#pragma once

#include <memory>
#include <mutex>
#include <string>

#include "base/thread_pool.h"
#include "io/object_store.h"
#include "io/s3/client.h"
#include "io/s3/parts.h"

namespace kilter::io::s3 {

class Store : public ObjectStore {
 public:
  Store(std::unique_ptr<Client> client, const S3Options& options);

  std::string address() const override { return client_->address().text(); }
  Result<ObjectInfo> head(const std::string& name) override;
  Status read_at(const std::string& name, std::uint64_t offset_bytes, std::span<std::byte> out,
                 const std::string& if_etag) override;
  Result<Text> read_text(const std::string& name, std::uint64_t bytes_max) override;
  Result<ObjectInfo> put(const std::string& name, Bytes bytes,
                         const PutCondition& condition) override;
  Result<ObjectInfo> put_file(const std::string& name, const ReadFile& file,
                              const PutCondition& condition) override;
  Result<std::vector<ObjectInfo>> list(const std::string& prefix) override;
  Status remove(const std::string& name) override;
  Result<std::uint64_t> remove_stale_uploads(std::int64_t before_unix_seconds) override;

 private:
  Result<std::string> checked_key(const std::string& name) const;
  ThreadPool& pool();  ///< made when the first large object comes

  std::unique_ptr<Client> client_;
  S3Options options_;
  std::once_flag pool_made_;
  std::unique_ptr<ThreadPool> pool_;
};

}  // namespace kilter::io::s3
