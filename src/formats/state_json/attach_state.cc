#include <fmt/format.h>

#include <limits>
#include <unordered_map>

#include "base/text.h"
#include "base/try.h"
#include "formats/file_name.h"
#include "formats/findings.h"
#include "formats/state_json/state_json.h"
#include "tensor/layout.h"

namespace kilter::state_json {
namespace {

using Positions = std::unordered_map<std::string_view, std::size_t>;

class Joiner {
 public:
  Joiner(std::string path, CheckpointData* data) : path_(std::move(path)), data_(data) {}

  void join(StateFile* file) {
    stored_count_ = data_->index.tensors.size();
    Positions stored = positions();
    for (const TensorRecord& record : file->records)
      record.view_of.empty() ? apply(record, stored) : add_view(record, stored);
    // Only now: growing the index moves the names that `stored` holds.
    for (const TensorInfo& view : views_) data_->index.tensors.push_back(view);
    if (const auto status = data_->index.validate(); !status) {
      note("state-json.record", status.error().tensor, status.error().message);
      drop_views();
    }
    join_state(file, positions());
  }

 private:
  void note(std::string rule, std::string_view tensor, std::string message) {
    Finding finding;
    finding.rule = std::move(rule);
    finding.severity = Severity::kMalformed;
    finding.path = path_;
    finding.tensor = tensor;
    finding.message = std::move(message);
    data_->findings.push_back(std::move(finding));
  }

  Positions positions() const {
    Positions out;
    for (std::size_t i = 0; i < data_->index.tensors.size(); ++i)
      out.emplace(data_->index.tensors[i].name, i);
    return out;
  }

  void apply(const TensorRecord& record, const Positions& stored) {
    const auto at = stored.find(record.name);
    if (at == stored.end())
      return note("state-json.missing-tensor", record.name,
                  "the state describes a tensor that is not in the checkpoint");
    TensorInfo& tensor = data_->index.tensors[at->second];
    tensor.requires_grad = record.requires_grad;
    tensor.parameter = record.parameter;
    if (stored.contains(record.tied_to)) data_->ties.emplace_back(record.name, record.tied_to);
    if (!record.dtype) return;
    if (dtype_row(*record.dtype).bits == dtype_row(tensor.dtype).bits &&
        *record.shape == tensor.shape) {
      tensor.dtype = *record.dtype;  // whatever the layout: only the meaning of the bits changes
      return;
    }
    const auto bytes = contiguous_bytes(*record.dtype, *record.shape);
    if (!bytes || *bytes != tensor.bytes() || !tensor.contiguous() || tensor.offset_elements != 0)
      return note("state-json.record", record.name,
                  "dtype and shape in the state do not fit the stored bytes");
    tensor.dtype = *record.dtype;
    tensor.shape = *record.shape;
    tensor.strides = contiguous_strides(tensor.shape);
  }

  void add_view(const TensorRecord& record, const Positions& stored) {
    const auto base_at = stored.find(record.view_of);
    if (base_at == stored.end())
      return note("state-json.missing-tensor", record.name,
                  "the state describes a view of a tensor that is not in the checkpoint");
    if (stored.contains(record.name))
      return note("state-json.record", record.name,
                  "the state calls a tensor a view that the checkpoint stores");
    const TensorInfo& base = data_->index.tensors[base_at->second];
    if (!base.contiguous() || base.offset_elements != 0)
      return note("state-json.record", record.name, "the tensor it views is not stored contiguous");
    TensorInfo view;
    view.name = record.name;
    view.dtype = record.dtype.value_or(base.dtype);
    view.shape = record.shape.value_or(base.shape);
    view.strides = record.strides.value_or(contiguous_strides(view.shape));
    view.storage = base.storage;
    view.offset_elements = record.offset_elements;
    view.requires_grad = record.requires_grad;
    view.parameter = record.parameter;
    if (view.shape == base.shape && view.strides == base.strides && view.dtype == base.dtype &&
        view.offset_elements == 0)
      data_->ties.emplace_back(view.name, base.name);
    views_.push_back(std::move(view));
  }

  void drop_views() {
    data_->index.tensors.resize(stored_count_);
    std::erase_if(data_->ties, [&](const auto& tie) {
      for (const TensorInfo& view : views_)
        if (view.name == tie.first) return true;
      return false;
    });
  }

  void join_state(StateFile* file, const Positions& all) {
    std::vector<std::int64_t> position_of;
    std::vector<bool> mentioned(data_->index.tensors.size());
    for (const std::string& name : file->tensor_names) {
      const auto at = all.find(name);
      if (at == all.end()) {
        note("state-json.missing-tensor", name,
             "the state names a tensor that is not in the checkpoint");
        position_of.push_back(-1);
      } else {
        mentioned[at->second] = true;
        position_of.push_back(static_cast<std::int64_t>(at->second));
      }
    }
    point_at_tensors(&file->state, position_of);
    if (!file->state.empty()) note_unlisted(mentioned);
    data_->state = std::move(file->state);
  }

  /// A tensor that is not there becomes none: no node points outside the index.
  static void point_at_tensors(StateTree* tree, const std::vector<std::int64_t>& position_of) {
    for (StateId id = 0; id < tree->size(); ++id) {
      StateNode& node = (*tree)[id];
      if (node.kind != StateKind::kTensor) continue;
      node.integer = position_of[static_cast<std::size_t>(node.integer)];
      if (node.integer >= 0) continue;
      node.integer = 0;
      node.kind = StateKind::kNone;
    }
  }

  void note_unlisted(const std::vector<bool>& mentioned) {
    std::size_t count = 0;
    const TensorInfo* first = nullptr;
    for (std::size_t i = 0; i < mentioned.size(); ++i) {
      if (mentioned[i]) continue;
      if (first == nullptr) first = &data_->index.tensors[i];
      ++count;
    }
    if (first != nullptr)
      note("state-json.unlisted-tensor", first->name,
           fmt::format(
               "the checkpoint has {} tensor(s) that the state does not name, this one first",
               count));
  }

  std::string path_;
  CheckpointData* data_;
  std::size_t stored_count_ = 0;
  std::vector<TensorInfo> views_;
};

}  // namespace

void attach_state(StateFile file, const std::string& path, CheckpointData* data) {
  Joiner(path, data).join(&file);
}

Status attach_state_json(io::FileSystem& files, const std::string& path, CheckpointData* data) {
  const auto stat = files.stat(path);
  if (!stat || stat->kind != io::FileKind::kFile) return ok();
  const auto note = [&](Error error) {
    data->findings.push_back(formats::finding_from({"state-json.malformed", std::move(error)},
                                                   Severity::kMalformed, path));
    return ok();
  };
  auto text = io::read_text(files, path, kTextBytesMax);
  if (!text && text.error().code == ErrorCode::kLimitExceeded) return note(text.error());
  if (!text) return fail(std::move(text).error());
  auto file = parse_state_json(*text);
  if (!file) return note(std::move(file).error());
  attach_state(std::move(*file), path, data);
  return ok();
}

std::string state_json_path(std::string_view tensor_file_path) {
  const std::size_t slash = tensor_file_path.rfind('/');
  const std::string folder =
      slash == std::string_view::npos ? "" : std::string(tensor_file_path.substr(0, slash + 1));
  return folder + formats::stem_of(tensor_file_path) + std::string(kSuffix);
}

}  // namespace kilter::state_json
