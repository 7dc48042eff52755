#include "formats/dcp/metadata.h"

#include <algorithm>
#include <set>

#include "base/text.h"
#include "base/try.h"
#include "formats/pickle/machine.h"
#include "formats/torch/assemble.h"
#include "formats/torch/storages.h"

namespace kilter::dcp {
namespace {

using pickle::Graph;
using pickle::kNoNode;
using pickle::Node;
using pickle::NodeId;
using pickle::NodeKind;

constexpr std::size_t kRankMax = 64;
constexpr std::size_t kTransformsMax = 8;

/// Looks into the objects of a graph, whatever way a pickle protocol wrote them.
class Objects {
 public:
  Objects(const Graph& graph, const std::string& path) : graph_(graph), path_(path) {}

  const Node& operator[](NodeId id) const { return graph_[id]; }

  /// The class of an instance; kNoNode if `id` is none.
  NodeId class_of(NodeId id) const {
    const Node& node = graph_[id];
    if (node.kind != NodeKind::kCall || node.items.size() < 2) return kNoNode;
    const Node& callable = graph_[node.items[0]];
    if (callable.kind != NodeKind::kGlobal) return kNoNode;
    // Protocols 0 and 1 name the class as an argument.
    const bool indirect = pickle::is_named(callable, "copyreg._reconstructor") ||
                          pickle::is_named(callable, "copyreg.__newobj__");
    if (!indirect) return node.items[0];
    const Node& arguments = graph_[node.items[1]];
    const bool named = arguments.kind == NodeKind::kTuple && !arguments.items.empty() &&
                       graph_[arguments.items[0]].kind == NodeKind::kGlobal;
    return named ? arguments.items[0] : kNoNode;
  }

  /// "TensorStorageMetadata"; modules moved between versions. Empty if `id` is no instance.
  std::string_view class_name(NodeId id) const {
    const NodeId global = class_of(id);
    if (global == kNoNode) return {};
    const std::string_view name = graph_[global].text2;
    return name.substr(name.rfind('.') + 1);
  }

  /// What BUILD set under `name`; kNoNode if nothing did.
  NodeId attribute(NodeId id, std::string_view name) const {
    for (const NodeId state : graph_[id].states) {
      if (const NodeId found = entry(state, name); found != kNoNode) return found;
      // (dictionary, slots)
      if (graph_[state].kind != NodeKind::kTuple) continue;
      for (const NodeId part : graph_[state].items)
        if (const NodeId found = entry(part, name); found != kNoNode) return found;
    }
    return kNoNode;
  }

  NodeId entry(NodeId dict, std::string_view key) const {
    const Node& node = graph_[dict];
    if (node.kind != NodeKind::kDict) return kNoNode;
    for (std::size_t i = node.items.size() / 2; i-- > 0;) {  // the last one counts
      const Node& name = graph_[node.items[2 * i]];
      if (name.kind == NodeKind::kString && name.text == key) return node.items[2 * i + 1];
    }
    return kNoNode;
  }

  bool absent(NodeId id) const { return id == kNoNode || graph_[id].kind == NodeKind::kNone; }

  tl::unexpected<Error> broken(NodeId id, std::string message, std::string wanted) const {
    Error error(ErrorCode::kMalformed, std::move(message));
    error.expected = std::move(wanted);
    if (id != kNoNode) {
      error.found = pickle::render(graph_, id, 80);
      error.offset_bytes = graph_[id].offset_bytes;
    }
    return fail(std::move(error).at_path(path_));
  }

  Result<std::string> text(NodeId id, std::string_view what) const {
    if (id != kNoNode && graph_[id].kind == NodeKind::kString) return graph_[id].text;
    return broken(id, std::string(what) + " is no text", "a string");
  }

  Result<std::uint64_t> count(NodeId id, std::string_view what) const {
    const auto value = id == kNoNode ? std::nullopt : torch::count_of(graph_, id);
    if (value) return *value;
    return broken(id, std::string(what) + " is no count", "a number of at least 0");
  }

  /// torch.Size((2, 3)), or the plain tuple or list.
  Result<std::vector<std::int64_t>> numbers(NodeId id, std::string_view what) const {
    const NodeId list = id == kNoNode ? kNoNode : unwrapped(id);
    const bool sound = list != kNoNode && is_list(list) && graph_[list].items.size() <= kRankMax;
    if (!sound) return broken(id, std::string(what) + " is no list of numbers", "torch.Size");
    std::vector<std::int64_t> out;
    for (const NodeId item : graph_[list].items) {
      const auto value = torch::count_of(graph_, item);
      if (!value || *value > static_cast<std::uint64_t>(INT64_MAX))
        return broken(item, std::string(what) + " holds no count", "a number of at least 0");
      out.push_back(static_cast<std::int64_t>(*value));
    }
    return out;
  }

  bool is_list(NodeId id) const {
    return graph_[id].kind == NodeKind::kTuple || graph_[id].kind == NodeKind::kList;
  }

 private:
  NodeId unwrapped(NodeId id) const {
    const Node& node = graph_[id];
    if (node.kind != NodeKind::kCall || class_name(id) != "Size") return id;
    const Node& arguments = graph_[node.items[1]];
    return arguments.items.size() == 1 ? arguments.items[0] : kNoNode;
  }

  const Graph& graph_;
  const std::string& path_;
};

class MetadataParser {
 public:
  MetadataParser(const Graph& graph, const std::string& path) : objects_(graph, path) {}

  Result<Metadata> parse(NodeId root) {
    KILTER_TRY(check_root(root));
    KILTER_TRY(read_entries(objects_.attribute(root, "state_dict_metadata")));
    KILTER_TRY(read_places(objects_.attribute(root, "storage_data")));
    read_paths(objects_.attribute(root, "planner_data"));
    const NodeId version = objects_.attribute(root, "version");
    if (!objects_.absent(version) && objects_[version].kind == NodeKind::kString)
      out_.version = objects_[version].text;
    return std::move(out_);
  }

 private:
  Status check_root(NodeId root) {
    const NodeId global = objects_.class_of(root);
    if (global == kNoNode)
      return objects_.broken(root, "this is no Metadata object", "an instance");
    out_.class_name = pickle::qualified_name(objects_[global]);
    if (out_.class_name.starts_with("bytecheckpoint."))
      return fail(Error(ErrorCode::kUnsupported,
                        "this is a checkpoint of ByteCheckpoint, which only shares file names with "
                        "torch's distributed checkpoints")
                      .wanted("torch.distributed.checkpoint.metadata.Metadata", out_.class_name)
                      .advise("load it with ByteCheckpoint and save it with torch"));
    if (objects_.attribute(root, "state_dict_metadata") != kNoNode) return ok();
    return objects_.broken(root, "the Metadata object describes no state",
                           "an attribute state_dict_metadata");
  }

  Status read_entries(NodeId dict) {
    if (objects_[dict].kind != NodeKind::kDict)
      return objects_.broken(dict, "state_dict_metadata is no dictionary", "a dict");
    const auto& items = objects_[dict].items;
    std::set<std::string_view> seen;
    for (std::size_t i = 0; i + 1 < items.size(); i += 2) {
      KILTER_ASSIGN(std::string fqn, objects_.text(items[i], "a name of the state"));
      if (!seen.insert(objects_[items[i]].text).second)
        return objects_.broken(items[i], "a name of the state comes twice", "each name once");
      auto entry = read_entry(items[i + 1]);
      if (!entry) return fail(std::move(entry).error().at_tensor(fqn));
      entry->fqn = std::move(fqn);
      out_.entries.push_back(std::move(*entry));
    }
    return ok();
  }

  Result<Entry> read_entry(NodeId id) {
    const std::string_view name = objects_.class_name(id);
    Entry entry;
    if (name == "BytesStorageMetadata") return entry;
    if (name != "TensorStorageMetadata")
      return objects_.broken(id, "an entry of unknown kind",
                             "TensorStorageMetadata or BytesStorageMetadata");
    entry.is_tensor = true;
    KILTER_TRY(read_properties(objects_.attribute(id, "properties"), &entry));
    KILTER_ASSIGN(entry.size, objects_.numbers(objects_.attribute(id, "size"), "a tensor's size"));
    const NodeId chunks = objects_.attribute(id, "chunks");
    if (chunks == kNoNode || !objects_.is_list(chunks))
      return objects_.broken(chunks, "a tensor without a list of chunks", "a list");
    for (const NodeId chunk : objects_[chunks].items) {
      Chunk one;
      KILTER_ASSIGN(one.offsets, objects_.numbers(objects_.attribute(chunk, "offsets"), "offsets"));
      KILTER_ASSIGN(one.sizes, objects_.numbers(objects_.attribute(chunk, "sizes"), "sizes"));
      if (one.offsets.size() != entry.size.size() || one.sizes.size() != entry.size.size())
        return objects_.broken(chunk, "a chunk has not its tensor's dimensions",
                               std::to_string(entry.size.size()) + " dimensions");
      entry.chunks.push_back(std::move(one));
    }
    return entry;
  }

  /// The state is a tuple that begins with dtype, layout and requires_grad; in the oldest files a
  /// dictionary.
  Status read_properties(NodeId id, Entry* entry) {
    if (objects_.absent(id)) return objects_.broken(id, "a tensor without properties", "a dtype");
    NodeId dtype = objects_.attribute(id, "dtype");
    NodeId gradient = objects_.attribute(id, "requires_grad");
    for (const NodeId state : objects_[id].states) {
      const auto& parts = objects_[state].items;
      if (objects_[state].kind != NodeKind::kTuple || parts.size() < 5) continue;
      dtype = parts[0];
      gradient = parts[2];
    }
    const bool named = dtype != kNoNode && objects_[dtype].kind == NodeKind::kGlobal &&
                       objects_[dtype].text == "torch";
    const auto known = named ? dtype_from_torch(objects_[dtype].text2) : std::nullopt;
    if (!known) return objects_.broken(dtype, "a tensor of unknown dtype", "a dtype of torch");
    entry->dtype = *known;
    entry->requires_grad = gradient != kNoNode && objects_[gradient].integer != 0 &&
                           objects_[gradient].kind == NodeKind::kBool;
    return ok();
  }

  Status read_places(NodeId dict) {
    if (objects_.absent(dict) || objects_[dict].kind != NodeKind::kDict)
      return objects_.broken(dict, "the Metadata object does not say where data lies",
                             "a dictionary storage_data");
    const auto& items = objects_[dict].items;
    for (std::size_t i = 0; i + 1 < items.size(); i += 2) {
      KILTER_ASSIGN(std::string fqn,
                    objects_.text(objects_.attribute(items[i], "fqn"), "the name of an item"));
      auto place = read_place(items[i + 1]);
      if (!place) return fail(std::move(place).error().at_tensor(fqn));
      const NodeId offset = objects_.attribute(items[i], "offset");
      if (objects_.absent(offset)) {
        out_.object_places.insert_or_assign(std::move(fqn), std::move(*place));
        continue;
      }
      KILTER_ASSIGN(auto offsets, objects_.numbers(offset, "the offset of an item"));
      out_.chunk_places.insert_or_assign({std::move(fqn), std::move(offsets)}, std::move(*place));
    }
    return ok();
  }

  Result<Place> read_place(NodeId id) {
    Place place;
    KILTER_ASSIGN(place.file,
                  objects_.text(objects_.attribute(id, "relative_path"), "the file of an item"));
    KILTER_ASSIGN(place.offset_bytes,
                  objects_.count(objects_.attribute(id, "offset"), "the offset of an item"));
    KILTER_ASSIGN(place.bytes,
                  objects_.count(objects_.attribute(id, "length"), "the length of an item"));
    const NodeId transforms = objects_.attribute(id, "transform_descriptors");
    if (objects_.absent(transforms)) return place;
    if (!objects_.is_list(transforms) || objects_[transforms].items.size() > kTransformsMax)
      return objects_.broken(transforms, "transforms that are no short list", "a list of names");
    for (const NodeId item : objects_[transforms].items) {
      KILTER_ASSIGN(std::string name, objects_.text(item, "a transform"));
      place.transforms.push_back(std::move(name));
    }
    return place;
  }

  /// A planner's own business: what is not of torch's shape is left out.
  void read_paths(NodeId dict) {
    if (objects_.absent(dict) || objects_[dict].kind != NodeKind::kDict) return;
    const auto& items = objects_[dict].items;
    for (std::size_t i = 0; i + 1 < items.size(); i += 2) {
      if (objects_[items[i]].kind != NodeKind::kString || !objects_.is_list(items[i + 1])) continue;
      const auto& parts = objects_[items[i + 1]].items;
      std::vector<PathPart> path;
      for (const NodeId part : parts) {
        const Node& node = objects_[part];
        if (node.kind == NodeKind::kString) path.push_back({node.text, std::nullopt});
        if (node.kind == NodeKind::kInt) path.push_back({"", node.integer});
      }
      if (!path.empty() && path.size() == parts.size() && path.size() <= kRankMax)
        out_.paths.insert_or_assign(objects_[items[i]].text, std::move(path));
    }
  }

  Objects objects_;
  Metadata out_;
};

}  // namespace

const Place* Metadata::find(const std::string& fqn,
                            const std::vector<std::int64_t>& offsets) const {
  if (const auto found = chunk_places.find({fqn, offsets}); found != chunk_places.end())
    return &found->second;
  // Plain tensors had no offset in the first versions.
  const bool first = std::all_of(offsets.begin(), offsets.end(), [](auto at) { return at == 0; });
  const auto whole = object_places.find(fqn);
  return first && whole != object_places.end() ? &whole->second : nullptr;
}

Result<Metadata> parse_metadata(Bytes bytes, const std::string& path,
                                std::uint64_t header_bytes_max) {
  Graph graph;
  const pickle::Stream stream =
      pickle::run_stream(bytes, 0, torch::pickle_limits(header_bytes_max), &graph);
  if (stream.error) return fail(Error(*stream.error).at_path(path));
  if (stream.result == kNoNode)
    return fail(Error(ErrorCode::kMalformed, "the pickle yields nothing").at_path(path));
  return MetadataParser(graph, path).parse(stream.result);
}

}  // namespace kilter::dcp
