#include "store/save.h"

#include "kilter/store.h"

#include "base/try.h"
#include "store/api/store_impl.h"
#include "store/api/translate.h"
#include "store/series.h"

namespace kilter {
namespace {

/// The commit a branch that is new shall continue.
Result<store::Digest> parent_of(store::Store& store, const SaveRequest& request) {
  KILTER_ASSIGN(const auto named, store::api::named_commit(store, request.parent));
  KILTER_TRY(store::check_new_branch(store, request.branch));
  return named.summary().digest;
}

Result<store::SaveRequest> internal_request(store::Store& store, io::FileSystem& files,
                                            const SaveRequest& request) {
  store::SaveRequest out;
  out.source = {&files, request.source, request.skip};
  while (out.source.root.size() > 1 && out.source.root.ends_with('/')) out.source.root.pop_back();
  out.branch = request.branch;
  out.tags = request.tags;
  if (!request.parent.empty()) {
    KILTER_ASSIGN(out.parent, parent_of(store, request));
  }
  out.author = request.author;
  out.message = request.message;
  KILTER_ASSIGN(out.metadata, store::api::to_json(request.metadata));
  KILTER_ASSIGN(out.lineage, store::api::to_json(request.lineage));
  if (out.lineage.empty()) {
    KILTER_ASSIGN(out.lineage, store::lineage_of_source(files, request.source));
  }
  out.skip_present = request.skip_present;
  out.time_unix_ns = request.time_unix_ns;
  out.fast = request.fast;
  out.thread_count = request.thread_count;
  out.max_memory_bytes = request.max_memory_bytes;
  out.context = request.context;
  return out;
}

/// Progress needs to know how much there is.
Result<store::SaveOutcome> save_with_progress(store::Store& store,
                                              const store::SaveRequest& request) {
  Progress* progress = request.context.progress;
  if (progress == nullptr) return store::save_tree(store, request);
  KILTER_ASSIGN(const std::uint64_t bytes, store::source_bytes(request.source));
  progress->begin("save", bytes);
  auto saved = store::save_tree(store, request);
  progress->end();
  return saved;
}

}  // namespace

Result<SaveOutcome> Store::save(const SaveRequest& request) {
  const auto files = store::make_address_file_system(io::real_file_system());
  KILTER_ASSIGN(auto inner, internal_request(*impl_->store, *files, request));
  store::SeenFiles seen;
  if (request.skip_unchanged) {
    KILTER_ASSIGN(seen, store::SeenFiles::of_user(*impl_->store));
    inner.seen = &seen;
  }
  KILTER_ASSIGN(auto saved, save_with_progress(*impl_->store, inner));
  seen.save();  // a hint for the next save: nothing is lost without it
  SaveOutcome out;
  out.commit = to_hex(saved.commit);
  out.present = saved.present;
  out.metadata = store::api::to_metadata(saved.content.metadata);
  out.file_count = saved.file_count;
  out.file_bytes = saved.file_bytes;
  out.tensor_count = saved.tensor_count;
  out.new_bytes = saved.totals.new_plain_bytes;
  out.stored_bytes = saved.totals.stored_bytes;
  out.unread_bytes = saved.totals.unread_bytes;
  out.seconds = saved.seconds;
  out.warnings = std::move(saved.warnings);
  return out;
}

Result<std::vector<SeriesItem>> find_series(const std::vector<std::string>& patterns,
                                            const std::vector<std::string>& skip) {
  const auto files = store::make_address_file_system(io::real_file_system());
  KILTER_ASSIGN(auto found, store::find_series(*files, patterns, skip));
  std::vector<SeriesItem> out;
  for (store::SourceItem& item : found)
    out.push_back({std::move(item.path), std::move(item.format),
                   store::api::to_metadata(item.metadata), item.bytes});
  return out;
}

}  // namespace kilter
