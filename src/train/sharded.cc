#include "kilter/sharded.h"

#include <fmt/format.h>

#include <algorithm>

#include "base/try.h"
#include "formats/format.h"
#include "store/address.h"
#include "store/api/translate.h"
#include "store/format/element.h"
#include "store/keep/retain.h"
#include "store/save_parts.h"
#include "store/write/layout_writer.h"
#include "train/live_cut.h"
#include "train/step_layout.h"
#include "train/step_target.h"

namespace kilter {
namespace {

constexpr std::uint64_t kPartMemoryMin = 64ULL << 20;

using Named = std::vector<std::pair<std::string, LiveTensor>>;

/// One safetensors file of these tensors.
Result<train::StepLayout> lay_out_part(const std::string& stem, const Named& tensors) {
  train::StepLayout layout;
  Plan plan;
  for (std::size_t i = 0; i < tensors.size(); ++i) {
    const auto& [name, tensor] = tensors[i];
    auto bytes = train::live_bytes(tensor);
    if (!bytes) return fail(std::move(bytes).error().at_tensor(name));
    PlanOutput output;
    output.name = name;
    output.dtype = tensor.dtype;
    output.shape = tensor.shape;
    output.bytes = *bytes;
    plan.outputs.push_back(output);
    layout.tensors.push_back(i);
  }
  formats::WriteOptions options;
  options.stem = stem;
  // Dtypes that safetensors lacks go into the state file beside, which asks for a state.
  const StateTree none;
  options.state = &none;
  KILTER_ASSIGN(layout.files,
                formats::find_format("safetensors")->make_sink(options)->layout(plan));
  layout.outputs = std::move(plan.outputs);
  return layout;
}

FileLayout text_file(const std::string& name, const std::string& text) {
  FileLayout file;
  file.name = name;
  file.segments.push_back({SegmentKind::kLiteral, text.size(), text, 0});
  return file;
}

}  // namespace

struct ShardedSaver::Impl {
  SaverOptions options;
  std::shared_ptr<store::Store> store;
  std::optional<store::StoredPart> held;

  store::SaveRequest request() const {
    store::SaveRequest out;
    out.branch = options.branch;
    out.author = options.author;
    out.raw = options.coding == SaveCoding::kRaw;
    out.fast = options.coding == SaveCoding::kFast;
    out.thread_count = options.thread_count;
    out.max_memory_bytes = std::max(2 * options.write_memory_bytes, kPartMemoryMin);
    return out;
  }

  /// Every chunk of the tree is in the store as it is seen here.
  Status check_present(const store::Tree& tree) const {
    const auto index = store->index();
    const auto check = [&](const store::Digest& digest, const std::string& name) -> Status {
      KILTER_ASSIGN(const bool there, index->contains(digest, {}));
      if (there) return ok();
      return fail(Error(ErrorCode::kNotFound, "a rank's part is not in this store")
                      .at_path(store->address())
                      .at_tensor(name)
                      .advise("all ranks must save into one store, on a file system they share"));
    };
    for (const store::TreeTensor& tensor : tree.tensors)
      for (const store::Digest& digest : tensor.chunks) KILTER_TRY(check(digest, tensor.name));
    for (const store::SkeletonPart& part : tree.skeleton) KILTER_TRY(check(part.digest, ""));
    return ok();
  }
};

ShardedSaver::ShardedSaver(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
ShardedSaver::ShardedSaver(ShardedSaver&&) noexcept = default;
ShardedSaver& ShardedSaver::operator=(ShardedSaver&&) noexcept = default;
ShardedSaver::~ShardedSaver() = default;

Result<ShardedSaver> ShardedSaver::open(const std::string& address, SaverOptions options) {
  if (options.plain_folder)
    return fail(ErrorCode::kUnsupported, "several ranks save into a store, not a plain folder");
  auto impl = std::make_unique<Impl>();
  KILTER_ASSIGN(impl->store, store::open_or_create_store(address));
  impl->options = std::move(options);
  return ShardedSaver(std::move(impl));
}

Result<std::string> ShardedSaver::write(unsigned rank, const Named& tensors) {
  impl_->held.reset();
  KILTER_ASSIGN(train::StepLayout layout, lay_out_part(fmt::format("rank-{:05}", rank), tensors));
  train::StagingPool no_pool;
  std::vector<train::LiveCut::Part> parts;
  for (std::size_t i = 0; i < tensors.size(); ++i) {
    parts.push_back({tensors[i].second, layout.outputs[i].bytes, store::kChunkReadBytes});
    parts.back().tensor.held = true;  // nobody changes them before this returns
  }
  KILTER_ASSIGN(const auto cut, train::LiveCut::make(std::move(parts), no_pool, nullptr));
  store::LaidOutFiles files{std::move(layout.files), std::move(layout.outputs),
                            [&](std::size_t output, std::uint64_t at, std::span<std::byte> out) {
                              return cut->read(output, at, out);
                            }};
  store::SaveRequest request = impl_->request();
  request.content = [&](store::ChunkWriter& writer, store::Tree& tree) {
    tree.format = "folder";
    return store::add_laid_out(files, writer, tree, {});
  };
  KILTER_ASSIGN(impl_->held, store::store_part(*impl_->store, request));
  return store::tree_text(impl_->held->tree);
}

Result<SaveReport> ShardedSaver::commit(
    std::int64_t step, const std::vector<std::string>& parts,
    const std::vector<std::pair<std::string, std::string>>& files, const Metadata& metadata) {
  KILTER_TRY(impl_->store->refresh());
  std::vector<store::Tree> trees(1);
  for (const std::string& part : parts) {
    KILTER_ASSIGN(store::Tree tree, store::parse_tree(part));
    KILTER_TRY(impl_->check_present(tree));
    trees.push_back(std::move(tree));
  }
  Metadata stated = metadata;
  stated["step"] = step;
  stated.try_emplace("model.kind", std::string("training-checkpoint"));
  store::LaidOutFiles beside;
  for (const auto& [name, text] : files) beside.files.push_back(text_file(name, text));
  store::SaveRequest request = impl_->request();
  KILTER_ASSIGN(request.metadata, store::api::to_json(stated));
  store::Tree extra;
  request.content = [&](store::ChunkWriter& writer, store::Tree& tree) -> Status {
    KILTER_TRY(store::add_laid_out(beside, writer, extra, {}));
    KILTER_TRY(writer.wait());
    trees.front() = extra;
    KILTER_ASSIGN(tree, store::join_parts(std::move(trees)));
    tree.format = "folder";
    return ok();
  };
  KILTER_ASSIGN(const store::SaveOutcome saved, store::save_tree(*impl_->store, request));
  SaveReport report;
  report.step = step;
  report.commit = to_hex(saved.commit);
  report.bytes = saved.file_bytes;
  report.seconds = saved.seconds;
  return report;
}

void ShardedSaver::release() { impl_->held.reset(); }

}  // namespace kilter
