#include "store/restore.h"

#include "base/try.h"
#include "io/publish.h"
#include "store/read/commit_files.h"

namespace kilter::store {
namespace {

/// Each output of the plan is a file of the same name.
class FilesSink : public Sink {
 public:
  Result<std::vector<FileLayout>> layout(const Plan& plan) override {
    std::vector<FileLayout> files;
    for (std::size_t i = 0; i < plan.outputs.size(); ++i) {
      FileLayout file;
      file.name = plan.outputs[i].name;
      file.segments.push_back({SegmentKind::kOutput, plan.outputs[i].bytes, {}, i});
      files.push_back(std::move(file));
    }
    return files;
  }
};

/// What of a tree is restored, and under which names.
struct Selected {
  std::uint32_t file = 0;
  std::string name;
};

Result<std::vector<Selected>> select_files(const Tree& tree, const std::string& path,
                                           bool& single) {
  std::vector<Selected> selected;
  single = tree.single_file;
  for (std::uint32_t i = 0; i < tree.files.size(); ++i) {
    const std::string& name = tree.files[i].path;
    if (path.empty()) {
      selected.push_back({i, name});
    } else if (name == path) {
      selected.push_back({i, io::last_part(name)});
      single = true;
    } else if (name.starts_with(path) && name[path.size()] == '/') {
      selected.push_back({i, name.substr(path.size() + 1)});
    }
  }
  if (selected.empty() && !path.empty())
    return fail(Error(ErrorCode::kNotFound, "no file of this name in the commit").at_path(path));
  return selected;
}

Plan make_plan(const std::shared_ptr<const TreeReader>& reader,
               const std::vector<Selected>& selected, io::FileSystem& files) {
  TensorIndex index;
  for (const TreeFile& file : reader->tree().files) index.files.push_back({file.path, file.bytes});
  const bool folder = !reader->tree().single_file;
  const auto source = make_file_source(files, "commit", folder, std::move(index));
  Plan plan;
  plan.verb = "restore";
  for (const Selected& item : selected) {
    PlanOutput output;
    output.name = item.name;
    output.dtype = DType::kU8;
    output.bytes = reader->tree().files[item.file].bytes;
    output.shape = {static_cast<std::int64_t>(output.bytes)};
    output.inputs.push_back({source, InputKind::kFile, item.file, 0});
    plan.outputs.push_back(std::move(output));
  }
  return plan;
}

/// A checkpoint that was an empty folder.
Result<RestoreOutcome> restore_nothing(const std::string& target) {
  io::FileSystem& files = io::real_file_system();
  KILTER_TRY(files.make_folder(target));
  KILTER_TRY(files.sync_folder(io::parent_path(target)));
  return RestoreOutcome{};
}

}  // namespace

Result<RestoreOutcome> restore_tree(const RestoreRequest& request) {
  KILTER_ASSIGN(const Commit commit, request.from.store->read_commit(request.from.digest));
  KILTER_ASSIGN(auto tree, request.from.store->read_tree(commit.tree));
  bool single = false;
  std::string path = request.from.path;
  while (path.ends_with('/')) path.pop_back();
  KILTER_ASSIGN(auto selected, select_files(*tree, path, single));
  if (selected.empty()) return restore_nothing(request.target);
  if (single) selected.front().name = io::last_part(request.target);
  const auto reader = std::make_shared<const TreeReader>(request.from.store, std::move(tree));
  const auto files = make_tree_file_system(reader, "commit");
  const Plan plan = make_plan(reader, selected, *files);

  io::FileSystem& real = io::real_file_system();
  const auto replace = request.force ? io::Replace::kAllow : io::Replace::kRefuse;
  const std::string parent = io::parent_path(request.target);
  KILTER_ASSIGN(const auto publication,
                single ? io::Publication::beside(real, parent, replace)
                       : io::Publication::folder(real, request.target, replace));
  EngineOptions options;
  const std::uint64_t chunk_bytes = chunk_memory(request.max_memory_bytes);
  request.from.store->set_cache_bytes(chunk_bytes);
  options.max_memory_bytes = request.max_memory_bytes - chunk_bytes;
  options.thread_count = request.thread_count;
  FilesSink sink;
  KILTER_ASSIGN(const RunReport report,
                run_plan(plan, sink, real, *publication, parent, options, request.context));
  return RestoreOutcome{selected.size(), report.written_bytes, report.seconds};
}

}  // namespace kilter::store
