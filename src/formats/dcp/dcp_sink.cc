#include "formats/dcp/dcp_sink.h"

#include <algorithm>
#include <cstring>
#include <map>
#include <unordered_map>
#include <unordered_set>
#include <utility>

#include "base/try.h"
#include "formats/dcp/flatten.h"
#include "formats/dcp/item_writer.h"
#include "formats/dcp/metadata_writer.h"
#include "formats/torch/state_writer.h"

namespace kilter::dcp {
namespace {

class DcpSink final : public Sink {
 public:
  DcpSink(const formats::WriteOptions& options, std::vector<OutputShard> shards)
      : options_(options), given_(std::move(shards)) {}

  Result<std::vector<FileLayout>> layout(const Plan& plan) override {
    metadata_ = Metadata();
    files_.clear();
    take_shards(plan);
    KILTER_TRY(lay_outputs(plan));
    KILTER_TRY(lay_state(plan));
    std::vector<FileLayout> out;
    for (auto& [rank, file] : files_) out.push_back(std::move(file.layout));
    FileLayout metadata;
    metadata.name = std::string(kMetadataName);
    Segment segment;
    segment.kind = SegmentKind::kLiteral;
    segment.literal = write_metadata(metadata_);
    segment.bytes = segment.literal.size();
    metadata.segments.push_back(std::move(segment));
    out.push_back(std::move(metadata));
    return out;
  }

  bool wants_checksums() const override { return true; }

  Status fill_late(std::size_t, std::size_t index, const OutputChecksums& crc32,
                   std::span<std::byte> out) override {
    const std::string tail =
        tensor_frame(pickles_[index], payload_bytes_[index], crc32[index]).tail;
    if (tail.size() != out.size())
      return fail(ErrorCode::kInternal, "an item's records changed their size");
    std::memcpy(out.data(), tail.data(), out.size());
    return ok();
  }

 private:
  struct RankFile {
    FileLayout layout;
    std::uint64_t bytes = 0;
  };

  void take_shards(const Plan& plan) {
    shards_ = given_;
    if (shards_.empty())
      for (const PlanOutput& output : plan.outputs)
        shards_.push_back({output.name,
                           output.shape,
                           {std::vector<std::int64_t>(output.shape.size(), 0), output.shape},
                           0});
    by_tensor_.clear();
    for (std::size_t i = 0; i < shards_.size(); ++i) by_tensor_[shards_[i].tensor].push_back(i);
  }

  RankFile& file_of(unsigned rank) {
    RankFile& file = files_[rank];
    if (file.layout.name.empty())
      file.layout.name = "__" + std::to_string(rank) + "_0" + std::string(kDataSuffix);
    return file;
  }

  static void add(RankFile* file, SegmentKind kind, std::uint64_t bytes, std::string literal,
                  std::size_t index) {
    Segment segment;
    segment.kind = kind;
    segment.bytes = bytes;
    segment.literal = std::move(literal);
    segment.index = index;
    file->bytes += bytes;
    file->layout.segments.push_back(std::move(segment));
  }

  Status lay_outputs(const Plan& plan) {
    places_.assign(plan.outputs.size(), {});
    pickles_.assign(plan.outputs.size(), {});
    payload_bytes_.assign(plan.outputs.size(), 0);
    if (shards_.size() != plan.outputs.size())
      return fail(ErrorCode::kInternal, "outputs and shards differ in number");
    for (std::size_t i = 0; i < plan.outputs.size(); ++i) {
      const PlanOutput& output = plan.outputs[i];
      KILTER_ASSIGN(pickles_[i], tensor_pickle(shards_[i].tensor, output.dtype, output.shape));
      payload_bytes_[i] = output.bytes;
      ItemFrame frame = tensor_frame(pickles_[i], output.bytes, 0);
      RankFile& file = file_of(shards_[i].rank);
      places_[i] = {file.layout.name, file.bytes, frame.bytes, {}};
      const std::uint64_t head = frame.head.size(), tail = frame.tail.size();
      add(&file, SegmentKind::kLiteral, head, std::move(frame.head), 0);
      add(&file, SegmentKind::kOutput, output.bytes, {}, i);
      add(&file, SegmentKind::kLate, tail, {}, i);
    }
    return ok();
  }

  Status lay_state(const Plan& plan) {
    std::unordered_set<std::string> mentioned, names;
    if (options_.state != nullptr) {
      StateTree state = *options_.state;
      KILTER_ASSIGN(const auto leaves, flatten_state(state));
      for (const FlatLeaf& leaf : leaves) {
        names.insert(leaf.fqn);
        const StateNode& node = state[leaf.node];
        if (node.kind != StateKind::kTensor) {
          KILTER_TRY(add_object(leaf, &state));
          continue;
        }
        const auto number = static_cast<std::size_t>(node.integer);
        if (number >= options_.tensor_names.size()) continue;
        const std::string& name = options_.tensor_names[number];
        if (!by_tensor_.contains(name)) continue;
        mentioned.insert(name);
        add_tensor(plan, leaf.fqn, leaf.path, name);
      }
    }
    // In the plan's order.
    for (const OutputShard& shard : shards_) {
      if (!mentioned.insert(shard.tensor).second) continue;
      std::string fqn = shard.tensor;
      while (!names.insert(fqn).second) fqn += '#';
      add_tensor(plan, fqn, {{fqn, std::nullopt}}, shard.tensor);
    }
    return ok();
  }

  void add_tensor(const Plan& plan, const std::string& fqn, std::vector<PathPart> path,
                  const std::string& name) {
    const auto& outputs = by_tensor_.at(name);
    const PlanOutput& first = plan.outputs[outputs.front()];
    Entry entry;
    entry.fqn = fqn;
    entry.is_tensor = true;
    entry.dtype = saved_dtype(first.dtype);
    entry.size = saved_shape(first.dtype, shards_[outputs.front()].size);
    for (const std::size_t output : outputs) {
      Chunk chunk{saved_shape(first.dtype, shards_[output].chunk.offsets),
                  saved_shape(first.dtype, shards_[output].chunk.sizes)};
      metadata_.chunk_places.emplace(std::pair(fqn, chunk.offsets), places_[output]);
      entry.chunks.push_back(std::move(chunk));
    }
    metadata_.paths.emplace(fqn, std::move(path));
    metadata_.entries.push_back(std::move(entry));
  }

  Status add_object(const FlatLeaf& leaf, StateTree* state) {
    state->set_root(leaf.node);
    KILTER_ASSIGN(const std::string pickle, object_pickle(*state));
    ItemFrame frame = object_frame(pickle);
    RankFile& file = file_of(0);
    metadata_.object_places.emplace(leaf.fqn, Place{file.layout.name, file.bytes, frame.bytes, {}});
    add(&file, SegmentKind::kLiteral, frame.bytes, std::move(frame.head), 0);
    metadata_.paths.emplace(leaf.fqn, leaf.path);
    Entry entry;
    entry.fqn = leaf.fqn;
    metadata_.entries.push_back(std::move(entry));
    return ok();
  }

  static Result<std::string> object_pickle(const StateTree& state) {
    return torch::write_data_pickle(Plan(), &state, {});
  }

  formats::WriteOptions options_;
  std::vector<OutputShard> given_, shards_;
  std::unordered_map<std::string, std::vector<std::size_t>> by_tensor_;  // outputs
  std::vector<Place> places_;  // by output, as are the next two
  std::vector<std::string> pickles_;
  std::vector<std::uint64_t> payload_bytes_;
  std::map<unsigned, RankFile> files_;
  Metadata metadata_;
};

}  // namespace

std::unique_ptr<Sink> make_dcp_sink(const formats::WriteOptions& options,
                                    std::vector<OutputShard> shards) {
  return std::make_unique<DcpSink>(options, std::move(shards));
}

}  // namespace kilter::dcp
