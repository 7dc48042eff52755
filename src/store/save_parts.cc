#include "store/save_parts.h"

#include <algorithm>

#include "base/try.h"
#include "store/fossils.h"

namespace kilter::store {
namespace {

Error apart(const std::string& path) {
  return Error(ErrorCode::kInvalidArgument, "the files of two parts of a checkpoint are mixed")
      .at_path(path);
}

}  // namespace

Result<StoredPart> store_part(Store& store, const SaveRequest& request) {
  StoredPart part;
  KILTER_ASSIGN(part.session, store.place().begin_session());
  ChunkWriterOptions options;
  options.thread_count = request.thread_count;
  options.memory_bytes = request.max_memory_bytes / 2;
  options.keep_disk_busy = request.fast;
  options.raw = request.raw;
  KILTER_ASSIGN(options.condemned, condemned_packs(store.place()));
  KILTER_TRY(store.refresh());
  ChunkWriter writer(store, options);
  Status added = request.content(writer, part.tree);
  Status done = writer.wait();  // jobs on their way refer to what the caller gave
  KILTER_TRY(std::move(added));
  KILTER_TRY(std::move(done));
  part.totals = writer.totals();
  KILTER_ASSIGN(IndexContent content, writer.finish());
  if (!content.packs.empty())
    KILTER_TRY(put_index(store.place(), content).map([](const Digest&) {}));
  KILTER_TRY(part.session->still_alive());
  return part;
}

Result<Tree> join_parts(std::vector<Tree> parts) {
  std::erase_if(parts, [](const Tree& part) { return part.files.empty(); });
  std::ranges::sort(parts, {}, [](const Tree& part) { return part.files.front().path; });
  Tree whole;
  for (Tree& part : parts) {
    const auto first = static_cast<std::uint32_t>(whole.files.size());
    for (TreeFile& file : part.files) {
      if (!whole.files.empty() && whole.files.back().path >= file.path)
        return fail(apart(file.path));
      whole.files.push_back(std::move(file));
    }
    for (TreeTensor& tensor : part.tensors) {
      tensor.file += first;
      whole.tensors.push_back(std::move(tensor));
    }
    std::ranges::move(part.skeleton, std::back_inserter(whole.skeleton));
    if (whole.format.empty()) whole.format = part.format;
  }
  return whole;
}

}  // namespace kilter::store
