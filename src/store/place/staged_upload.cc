#include "store/place/staged_upload.h"

#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

#include <cerrno>

#include "base/try.h"
#include "io/os_error.h"
#include "io/real_file.h"

namespace kilter::store {
namespace {

std::string staging_folder(const std::string& stated) {
  if (!stated.empty()) return stated;
  const char* folder = ::getenv("TMPDIR");
  return folder != nullptr && *folder != '\0' ? folder : "/tmp";
}

class StagedUpload : public StagedObject {
 public:
  StagedUpload(std::shared_ptr<io::ObjectStore> objects, io::UniqueFd fd, const std::string& path)
      : objects_(std::move(objects)), file_(std::move(fd), path) {}
  io::WriteFile& file() override { return file_; }

  /// An acknowledged put is durable; the file here need not be.
  Status publish(const std::string& name) override {
    const auto there = objects_->head(name);
    if (there) return ok();  // its name says what it holds
    if (there.error().code != ErrorCode::kNotFound) return fail(there.error());
    io::UniqueFd again(::fcntl(file_.fd(), F_DUPFD_CLOEXEC, 0));
    if (!again) return fail(io::os_error(errno, "read back", file_.path()));
    KILTER_ASSIGN(const auto written, io::RealReadFile::adopt(std::move(again), file_.path()));
    return objects_->put_file(name, *written).map([](const io::ObjectInfo&) {});
  }

 private:
  std::shared_ptr<io::ObjectStore> objects_;
  io::RealWriteFile file_;
};

}  // namespace

Result<std::unique_ptr<StagedObject>> stage_upload(std::shared_ptr<io::ObjectStore> objects,
                                                   const std::string& folder) {
  std::string path = io::join_path(staging_folder(folder), "kilter-upload-XXXXXX");
  io::UniqueFd fd(::mkostemp(path.data(), O_CLOEXEC));
  if (!fd) return fail(io::os_error(errno, "create", path));
  static_cast<void>(::unlink(path.c_str()));
  return std::make_unique<StagedUpload>(std::move(objects), std::move(fd), path);
}

}  // namespace kilter::store
