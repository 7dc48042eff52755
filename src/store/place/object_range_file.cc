#include "store/place/object_range_file.h"

#include "base/checked.h"
#include "base/try.h"

namespace kilter::store {
namespace {

class ObjectRangeFile : public io::ReadFile {
 public:
  ObjectRangeFile(std::shared_ptr<io::ObjectStore> objects, io::ObjectInfo info,
                  std::shared_ptr<RangeCache> cache)
      : objects_(std::move(objects)),
        info_(std::move(info)),
        cache_(std::move(cache)),
        path_(io::join_path(objects_->address(), info_.name)) {}
  const std::string& path() const override { return path_; }
  std::uint64_t bytes() const override { return info_.bytes; }

  Status read_at(std::uint64_t offset_bytes, std::span<std::byte> out) const override {
    if (!range_fits(offset_bytes, out.size(), info_.bytes))
      return fail(Error(ErrorCode::kOutOfRange, "the range ends past the object")
                      .at_path(path_)
                      .at_offset(offset_bytes));
    if (out.empty()) return ok();
    // Without a version a later object of this name could not be told from this one.
    const bool kept = cache_ != nullptr && !info_.etag.empty();
    if (kept && cache_->find(path_, info_.etag, offset_bytes, out)) return ok();
    KILTER_TRY(objects_->read_at(info_.name, offset_bytes, out, info_.etag));
    if (kept) cache_->add(path_, info_.etag, offset_bytes, out);
    return ok();
  }

 private:
  std::shared_ptr<io::ObjectStore> objects_;
  io::ObjectInfo info_;
  std::shared_ptr<RangeCache> cache_;
  std::string path_;
};

}  // namespace

Result<std::unique_ptr<io::ReadFile>> open_object_ranges(std::shared_ptr<io::ObjectStore> objects,
                                                         const std::string& name,
                                                         std::shared_ptr<RangeCache> cache) {
  KILTER_ASSIGN(io::ObjectInfo info, objects->head(name));
  return std::make_unique<ObjectRangeFile>(std::move(objects), std::move(info), std::move(cache));
}

}  // namespace kilter::store
