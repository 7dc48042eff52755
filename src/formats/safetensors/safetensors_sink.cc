#include "formats/safetensors/safetensors_sink.h"

#include <fmt/format.h>

#include <algorithm>
#include <numeric>

#include "base/checked.h"
#include "base/text.h"
#include "base/try.h"
#include "formats/safetensors/layout.h"
#include "formats/shard_plan.h"
#include "formats/state_json/json_text.h"
#include "formats/state_json/state_json.h"
#include "tensor/layout.h"

namespace kilter::safetensors {
namespace {

using state_json::json_string;  // escapes exactly what the reference's JSON writer does

std::size_t dtype_rank(DType dtype) {
  const auto at = std::find(kDtypeOrder.begin(), kDtypeOrder.end(), dtype_row(dtype).safetensors);
  return static_cast<std::size_t>(at - kDtypeOrder.begin());
}

Error output_error(const PlanOutput& output, ErrorCode code, std::string message) {
  Error error(code, std::move(message));
  error.tensor = output.name;
  return error;
}

/// Dtypes the format lacks are stored as plain bytes; the state file says what they are.
bool is_raw(const PlanOutput& output) { return dtype_row(output.dtype).safetensors.empty(); }

DType stored_dtype(const PlanOutput& output) { return is_raw(output) ? DType::kU8 : output.dtype; }

std::vector<std::int64_t> stored_shape(const PlanOutput& output) {
  if (!is_raw(output)) return output.shape;
  return {static_cast<std::int64_t>(output.bytes)};
}

/// What the format can hold; the caller's plan must not ask for more.
Status check_output(const PlanOutput& output) {
  if (!output.views.empty())
    return fail(output_error(output, ErrorCode::kInternal, "safetensors cannot share storages"));
  if (output.name == kMetadataKey || !is_valid_utf8(output.name))
    return fail(output_error(output, ErrorCode::kInvalidArgument,
                             "safetensors cannot hold a tensor of this name")
                    .advise("rename it with --rename"));
  KILTER_ASSIGN(const std::uint64_t count, element_count(output.shape));
  const std::uint64_t bits = dtype_row(output.dtype).bits;
  const auto total = checked_mul(count, bits);
  if (!total || *total % 8 != 0 || *total / 8 != output.bytes)
    return fail(
        output_error(output, ErrorCode::kInvalidArgument,
                     "the tensor does not fill whole bytes, as safetensors asks")
            .wanted(fmt::format("{} bytes", output.bytes),
                    total ? fmt::format("{} bits", *total) : "more than 64 bits can count"));
  return ok();
}

Status check_names(const std::vector<PlanOutput>& outputs) {
  std::vector<std::string_view> names;
  names.reserve(outputs.size());
  for (const PlanOutput& output : outputs) names.push_back(output.name);
  std::sort(names.begin(), names.end());
  const auto twice = std::adjacent_find(names.begin(), names.end());
  if (twice == names.end()) return ok();
  Error error(ErrorCode::kInvalidArgument, "two tensors of the output have the same name");
  error.tensor = *twice;
  return fail(std::move(error));
}

class SafetensorsSink final : public Sink {
 public:
  explicit SafetensorsSink(const formats::WriteOptions& options)
      : stem_(options.stem),
        extension_(options.extension.empty() ? ".safetensors" : options.extension),
        shard_bytes_max_(options.shard_bytes_max),
        metadata_(options.metadata),
        state_(options.state),
        tensor_names_(options.tensor_names),
        aliases_(options.aliases) {
    std::sort(metadata_.begin(), metadata_.end());
  }

  Result<std::vector<FileLayout>> layout(const Plan& plan) override {
    for (const PlanOutput& output : plan.outputs) KILTER_TRY(check_output(output));
    KILTER_TRY(check_names(plan.outputs));
    std::vector<std::uint64_t> sizes;
    std::uint64_t total_bytes = 0;
    for (const PlanOutput& output : plan.outputs) {
      sizes.push_back(output.bytes);
      const auto sum = checked_add(total_bytes, output.bytes);
      if (!sum) return fail(ErrorCode::kInvalidArgument, "the output's size does not fit 64 bits");
      total_bytes = *sum;
    }
    const auto shards = formats::plan_shards(sizes, shard_bytes_max_);
    std::vector<FileLayout> files;
    KILTER_ASSIGN(std::string sidecar, make_sidecar(plan));
    if (!sidecar.empty())
      files.push_back(literal_file(stem_ + std::string(state_json::kSuffix), std::move(sidecar)));
    if (shards.size() == 1) {
      KILTER_ASSIGN(auto file, lay_out(plan, shards[0], stem_ + extension_));
      files.push_back(std::move(file));
      return files;
    }
    std::vector<std::pair<std::string, std::string>> weight_map;
    for (std::size_t i = 0; i < shards.size(); ++i) {
      const std::string name = formats::shard_name(stem_, i + 1, shards.size(), extension_);
      for (const std::size_t output : shards[i])
        weight_map.emplace_back(plan.outputs[output].name, name);
      KILTER_ASSIGN(auto file, lay_out(plan, shards[i], name));
      files.push_back(std::move(file));
    }
    files.push_back(literal_file(stem_ + extension_ + ".index.json",
                                 formats::shard_index_json(total_bytes, std::move(weight_map))));
    return files;
  }

 private:
  static FileLayout literal_file(std::string name, std::string text) {
    FileLayout file;
    file.name = std::move(name);
    file.segments.push_back({SegmentKind::kLiteral, text.size(), std::move(text), 0});
    return file;
  }

  /// Only where the caller hands state over; otherwise what the format cannot say is refused, not
  /// lost.
  Result<std::string> make_sidecar(const Plan& plan) const {
    const bool wanted = state_ != nullptr || !aliases_.empty();
    for (const PlanOutput& output : plan.outputs)
      if (is_raw(output) && !wanted)
        return fail(output_error(output, ErrorCode::kUnsupported, "safetensors has no such dtype")
                        .wanted("a dtype of safetensors", std::string(dtype_name(output.dtype))));
    if (!wanted) return std::string();
    state_json::SidecarInput input{&plan, state_, &tensor_names_, &aliases_, {}};
    for (const PlanOutput& output : plan.outputs)
      if (is_raw(output)) input.raw_outputs.push_back(output.name);
    return state_json::make_sidecar(input);
  }

  Result<FileLayout> lay_out(const Plan& plan, std::vector<std::size_t> outputs,
                             std::string name) const {
    std::sort(outputs.begin(), outputs.end(), [&](std::size_t a, std::size_t b) {
      const PlanOutput &left = plan.outputs[a], &right = plan.outputs[b];
      const std::size_t left_rank = dtype_rank(stored_dtype(left)),
                        right_rank = dtype_rank(stored_dtype(right));
      return left_rank != right_rank ? left_rank > right_rank : left.name < right.name;
    });
    const std::string json = header_json(plan, outputs);
    if (json.size() > kHeaderBytesMax)
      return fail(Error(ErrorCode::kLimitExceeded, "the header would be too large for safetensors")
                      .at_path(name)
                      .wanted(fmt::format("at most {} bytes", kHeaderBytesMax),
                              fmt::format("{} bytes", json.size()))
                      .advise("write shards with --max-shard-size"));
    std::string head(kLengthBytes, '\0');
    for (std::size_t i = 0; i < kLengthBytes; ++i)
      head[i] = static_cast<char>(json.size() >> (8 * i) & 0xff);
    head += json;
    FileLayout file = literal_file(std::move(name), std::move(head));
    for (const std::size_t i : outputs)
      file.segments.push_back({SegmentKind::kOutput, plan.outputs[i].bytes, {}, i});
    return file;
  }

  std::string header_json(const Plan& plan, const std::vector<std::size_t>& outputs) const {
    std::string json = "{";
    const auto comma = [&] {
      if (json.size() > 1) json += ',';
    };
    if (!metadata_.empty()) json += metadata_json();
    std::uint64_t begin = 0;
    for (const std::size_t i : outputs) {
      const PlanOutput& output = plan.outputs[i];
      comma();
      json += fmt::format(R"({}:{{"dtype":"{}","shape":[{}],"data_offsets":[{},{}]}})",
                          json_string(output.name), dtype_row(stored_dtype(output)).safetensors,
                          fmt::join(stored_shape(output), ","), begin, begin + output.bytes);
      begin += output.bytes;
    }
    json += '}';
    json.resize(round_up(json.size(), kHeaderAlignBytes), ' ');
    return json;
  }

  std::string metadata_json() const {
    std::string out = json_string(kMetadataKey) + ":{";
    for (const auto& [key, value] : metadata_) {
      if (out.back() != '{') out += ',';
      out.append(json_string(key)).append(":").append(json_string(value));
    }
    return out + "}";
  }

  std::string stem_, extension_;
  std::uint64_t shard_bytes_max_;
  std::vector<std::pair<std::string, std::string>> metadata_;
  const StateTree* state_;
  std::vector<std::string> tensor_names_;
  std::vector<std::pair<std::string, std::string>> aliases_;
};

}  // namespace

std::unique_ptr<Sink> make_safetensors_sink(const formats::WriteOptions& options) {
  return std::make_unique<SafetensorsSink>(options);
}

}  // namespace kilter::safetensors
