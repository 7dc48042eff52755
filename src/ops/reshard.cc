#include "kilter/reshard.h"

#include <fmt/format.h>

#include <algorithm>
#include <unordered_map>

#include <nlohmann/json.hpp>

#include "base/json.h"
#include "base/try.h"
#include "flow/engine.h"
#include "formats/dcp/dcp_sink.h"
#include "formats/folder/hub_links.h"
#include "formats/format.h"
#include "io/publish.h"
#include "ops/convert_plan.h"
#include "ops/rank_sinks.h"
#include "ops/shard_cut.h"
#include "ops/state_values.h"

namespace kilter {

namespace {

using ops::ShardPiece;

class Resharding {
 public:
  Resharding(const Checkpoint& source, const std::string& target, const ReshardOptions& options)
      : source_(source), target_(target), options_(options) {
    while (target_.size() > 1 && target_.back() == '/') target_.pop_back();
  }

  Result<ReshardReport> run() {
    if (options_.to != "dcp" && options_.to != "safetensors")
      return fail(Error(ErrorCode::kInvalidArgument, "cannot reshard to '" + options_.to + "'")
                      .advise("give --to dcp or safetensors"));
    KILTER_ASSIGN(cut_, ops::cut_tensors(data().index, options_));
    make_plan();
    KILTER_TRY(make_sink());
    KILTER_TRY(fill_report());
    if (!options_.dry_run) KILTER_TRY(write());
    return std::move(report_);
  }

 private:
  const CheckpointData& data() const { return source_.data(); }
  bool to_dcp() const { return options_.to == "dcp"; }
  io::FileSystem& files() const {
    return options_.open.files != nullptr ? *options_.open.files : io::real_file_system();
  }

  /// Pieces are tensors of a source of their own: views of the same storages.
  void make_plan() {
    auto index = std::make_shared<TensorIndex>(data().index);
    index->tensors.clear();
    for (const ShardPiece& piece : cut_.pieces) index->tensors.push_back(piece.view);
    io::FileSystem& within = data().root_is_folder ? formats::with_hub_links(files()) : files();
    const auto pieces = make_file_source(within, data().root, data().root_is_folder,
                                         std::shared_ptr<const TensorIndex>(index));
    plan_.verb = "reshard";
    for (std::size_t i = 0; i < cut_.pieces.size(); ++i) {
      const ShardPiece& piece = cut_.pieces[i];
      const ops::Target kind = to_dcp() ? ops::Target::kDcp : ops::Target::kSafetensors;
      const ops::Storable storable = ops::storable_as(kind, piece.view);
      PlanOutput output;
      output.name = piece.view.name;
      output.dtype = storable.dtype;
      output.shape = storable.shape;
      output.bytes = piece.view.bytes();
      output.inputs = {{pieces, InputKind::kTensor, i, 0}};
      plan_.outputs.push_back(std::move(output));
    }
    for (const TensorInfo& tensor : data().index.tensors)
      plan_.accounts.push_back({tensor.name, Fate::kCopied, tensor.name, ""});
  }

  /// A piece's offsets count as its output does: a dtype that the target writes as another one may
  /// have further dimensions.
  static std::vector<std::int64_t> offsets_of(const ShardPiece& piece, const PlanOutput& output) {
    std::vector<std::int64_t> offsets = piece.offsets;
    offsets.resize(output.shape.size(), 0);
    return offsets;
  }

  std::vector<std::int64_t> whole_size(const ShardPiece& piece, const PlanOutput& output) const {
    std::vector<std::int64_t> size = output.shape;
    const auto& row = cut_.tensors[piece.tensor];
    if (row.dim) {
      const auto dim = static_cast<std::size_t>(*row.dim);
      size[dim] = data().index.tensors[piece.tensor].shape[dim];
    }
    return size;
  }

  Status make_sink() {
    formats::WriteOptions write;
    write.stem = "model";
    for (const TensorInfo& tensor : data().index.tensors) write.tensor_names.push_back(tensor.name);
    if (!to_dcp()) return make_safetensors_sink(write);
    if (!data().state.empty()) write.state = &data().state;
    std::vector<dcp::OutputShard> shards;
    for (std::size_t i = 0; i < cut_.pieces.size(); ++i) {
      const ShardPiece& piece = cut_.pieces[i];
      const PlanOutput& output = plan_.outputs[i];
      shards.push_back({piece.view.name,
                        whole_size(piece, output),
                        {offsets_of(piece, output), output.shape},
                        piece.rank});
    }
    sink_ = dcp::make_dcp_sink(write, std::move(shards));
    return ok();
  }

  /// As torch's HuggingFaceStorageWriter names files and says where each tensor's piece lies.
  Status make_safetensors_sink(const formats::WriteOptions& common) {
    const formats::Format* format = formats::find_format("safetensors");
    if (format == nullptr) return fail(ErrorCode::kInternal, "safetensors has no row");
    std::vector<std::unique_ptr<Sink>> inner;
    for (unsigned rank = 0; rank < options_.ranks; ++rank) {
      formats::WriteOptions write = common;
      write.stem = fmt::format("shard-{:05}-model-00001-of-00001", rank + 1);
      Json places = Json::object();
      for (std::size_t i = 0; i < cut_.pieces.size(); ++i)
        if (cut_.pieces[i].rank == rank)
          places[cut_.pieces[i].view.name] = {
              {"saved_offsets", offsets_of(cut_.pieces[i], plan_.outputs[i])}};
      write.metadata = {
          {"DCP_SHARDING_INFO", dump_json(places, -1)}, {"DCP_VERSION", "1.0"}, {"format", "pt"}};
      inner.push_back(format->make_sink(write));
    }
    std::vector<unsigned> rank_of;
    for (const ShardPiece& piece : cut_.pieces) rank_of.push_back(piece.rank);
    sink_ = std::make_unique<ops::RankSinks>(std::move(inner), std::move(rank_of));
    return ok();
  }

  Status fill_report() {
    report_.source_path = data().path;
    report_.source_format = data().format;
    report_.target_path = target_;
    report_.target_format = options_.to;
    report_.ranks = options_.ranks;
    report_.tensors = cut_.tensors;
    report_.rank_bytes = cut_.rank_bytes;
    report_.value_count = ops::state_values(data().state).size();
    report_.values_kept = to_dcp();
    report_.dry_run = options_.dry_run;
    KILTER_ASSIGN(const std::vector<FileLayout> layouts, sink_->layout(plan_));
    for (const FileLayout& file : layouts) {
      std::uint64_t bytes = 0;
      for (const Segment& segment : file.segments) bytes += segment.bytes;
      report_.files.emplace_back(file.name, bytes);
    }
    return ok();
  }

  Status write() {
    const io::Replace replace = options_.force ? io::Replace::kAllow : io::Replace::kRefuse;
    io::FileSystem& target_files = io::real_file_system();
    auto opened = io::Publication::folder(target_files, target_, replace);
    if (!opened) return fail(std::move(opened).error());
    EngineOptions engine;
    engine.max_memory_bytes = options_.max_memory_bytes;
    engine.thread_count = options_.thread_count;
    engine.direct_io = options_.direct_io;
    KILTER_ASSIGN(const RunReport run, run_plan(plan_, *sink_, target_files, **opened, target_,
                                                engine, options_.context));
    report_.read_bytes = run.read_bytes;
    report_.written_bytes = run.written_bytes;
    report_.seconds = run.seconds;
    return ok();
  }

  const Checkpoint& source_;
  std::string target_;
  const ReshardOptions& options_;
  ops::ShardCut cut_;
  Plan plan_;
  std::unique_ptr<Sink> sink_;
  ReshardReport report_;
};

}  // namespace

Result<ReshardReport> reshard(const std::string& source, const std::string& target,
                              const ReshardOptions& options) {
  KILTER_ASSIGN(const Checkpoint checkpoint, open_checkpoint(source, options.open));
  return Resharding(checkpoint, target, options).run();
}

std::string reshard_json(const ReshardReport& report) {
  Json tensors = Json::array(), files = Json::array();
  for (const auto& tensor : report.tensors) {
    Json row = {{"name", tensor.name}, {"pieces", tensor.pieces}, {"bytes", tensor.bytes}};
    if (tensor.dim) row["dim"] = *tensor.dim;
    if (!tensor.reason.empty()) row["reason"] = tensor.reason;
    tensors.push_back(std::move(row));
  }
  for (const auto& [name, bytes] : report.files)
    files.push_back({{"name", name}, {"bytes", bytes}});
  return dump_json(
      Json{{"source", {{"path", report.source_path}, {"format", report.source_format}}},
           {"target", {{"path", report.target_path}, {"format", report.target_format}}},
           {"ranks", report.ranks},
           {"rank_bytes", report.rank_bytes},
           {"tensors", std::move(tensors)},
           {"values", report.value_count},
           {"values_kept", report.values_kept},
           {"files", std::move(files)},
           {"read_bytes", report.read_bytes},
           {"written_bytes", report.written_bytes},
           {"seconds", report.seconds},
           {"dry_run", report.dry_run}});
}

}  // namespace kilter
