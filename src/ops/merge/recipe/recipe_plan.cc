#include "ops/merge/recipe/recipe_plan.h"

#include <fmt/format.h>

#include <algorithm>
#include <memory>

#include "base/try.h"
#include "ops/merge/recipe/recipe_parameters.h"
#include "ops/merge/recipe/slice_frame.h"
#include "ops/weights/blend_kernel.h"
#include "ops/weights/mismatches.h"
#include "tensor/kernels/float_values.h"

namespace kilter::ops {
namespace {

std::string recipe_shape_text(const TensorInfo& tensor) {
  return fmt::format("{} [{}]", dtype_name(tensor.dtype), fmt::join(tensor.shape, ", "));
}

/// As torch promotes floats; an 8-bit float beside another dtype becomes float32.
DType promoted_dtype(DType a, DType b) {
  if (a == b) return a;
  return a == DType::kF64 || b == DType::kF64 ? DType::kF64 : DType::kF32;
}

/// What is lost if `from` is rounded to `to`.
bool rounds_away(DType from, DType to) {
  return from != to &&
         (dtype_row(to).bits < dtype_row(from).bits || to == DType::kF16 || to == DType::kBF16);
}

/// The tensor of one input that goes into an output.
struct Member {
  std::size_t input = 0;  // of the frame
  PlanInput from;
  TensorInfo info;  // of `from`
};

/// An output tensor in the making.
struct Joined {
  std::string name;
  std::vector<std::string> names;  // of each input of the frame
  double position = 0;
  std::vector<Member> members;
  std::optional<std::size_t> base;  // among the members
  WeightsReport::Tensor row;
};

class RecipePlanner {
 public:
  explicit RecipePlanner(const RecipePlanRequest& request)
      : recipe_(*request.recipe),
        models_(*request.models),
        tokens_(request.tokens),
        allow_(request.allow) {
    for (const RecipeModel& model : models_) {
      names_.push_back(model.name);
      marks_.emplace_back(model.input.names.size());
    }
  }

  Result<RecipePlan> run() {
    out_.plan.verb = "merge";
    for (const RecipeModule& module : recipe_.modules) KILTER_TRY(add_module(module));
    account_for_the_rest();
    KILTER_TRY(mismatches_.status());
    if (out_.plan.outputs.empty())
      return fail(ErrorCode::kInvalidArgument, "the recipe leaves no tensors");
    for (const WeightsReport::Tensor& row : out_.tensors)
      out_.plan.accounts.push_back(
          {row.name, row.fate == "dropped" ? Fate::kDropped : Fate::kUsed, row.name, row.reason});
    return std::move(out_);
  }

 private:
  /// What has become of a tensor of a model.
  struct Mark {
    bool used = false;
    bool wanted = false;  // it stands where others take tensors from: unused, it is too much
    std::string reason;   // why it is not used
  };

  static void note(WeightsReport::Tensor& row, const std::string& reason) {
    row.reason += (row.reason.empty() ? "" : "; ") + reason;
  }

  Status add_module(const RecipeModule& module) {
    layouts_.clear();
    for (const RecipeModel& model : models_) layouts_.push_back(lay_out_model(model, module.name));
    if (!module.whole_models) KILTER_TRY(lay_out_sources(module));
    std::int64_t layer = 0;
    for (const RecipeSlice& slice : module.slices) {
      KILTER_ASSIGN(const SliceFrame frame, frame_slice(recipe_, module, slice, names_, layouts_));
      if (frame.reference().layout->tensors.empty())
        return fail(yaml_error(ErrorCode::kInvalidArgument, module.place.line, module.place.column,
                               "no tensor belongs to the module '" + module.name + "'"));
      if (module.whole_models)
        KILTER_TRY(add_whole(frame));
      else
        KILTER_TRY(add_slice(frame, layer, &slice == &module.slices.front(),
                             &slice == &module.slices.back()));
      layer += frame.layers;
    }
    return ok();
  }

  Status lay_out_sources(const RecipeModule& module) {
    for (const RecipeSlice& slice : module.slices)
      for (const RecipeSource& source : slice.sources) {
        const auto at = std::ranges::find(names_, source.model) - names_.begin();
        ModelLayout& layout = layouts_[static_cast<std::size_t>(at)];
        if (layout.layers.empty()) KILTER_TRY(lay_out_layers(layout));
      }
    return ok();
  }

  const std::string& name_of(const SliceInput& input, std::size_t tensor) const {
    return models_[input.model].input.names[tensor];
  }
  Mark& mark_of(const SliceInput& input, std::size_t tensor) { return marks_[input.model][tensor]; }

  Status add_whole(const SliceFrame& frame) {
    for (const SliceInput& input : frame.inputs)
      for (const std::size_t tensor : input.layout->tensors) mark_of(input, tensor).wanted = true;
    return add_same_names(frame, frame.reference().layout->tensors, true);
  }

  /// Heads that the reference ties to its embeddings, and another model does not.
  void add_heads(const SliceFrame& frame, std::vector<std::string>& names) const {
    for (const SliceInput& input : frame.inputs)
      for (const std::size_t tensor : input.layout->tensors) {
        const std::string& name = name_of(input, tensor);
        if (is_head_name(name) && std::ranges::find(names, name) == names.end())
          names.push_back(name);
      }
  }

  /// Tensors that are called alike in every input.
  Status add_same_names(const SliceFrame& frame, const std::vector<std::size_t>& tensors,
                        bool heads) {
    std::vector<std::string> names;
    const SliceInput& reference = frame.reference();
    for (const std::size_t tensor : tensors) names.push_back(name_of(reference, tensor));
    if (heads) add_heads(frame, names);
    for (std::string& name : names) {
      Joined joined;
      joined.names.assign(frame.inputs.size(), name);
      joined.position = frame.layers == 0 ? reference.layout->position(name) : 0;
      joined.name = std::move(name);
      KILTER_TRY(add(frame, std::move(joined)));
    }
    return ok();
  }

  Status add_slice(const SliceFrame& frame, std::int64_t at_layer, bool first, bool last) {
    for (const SliceInput& input : frame.inputs) {
      if (first) want(input, input.layout->before);
      if (last) want(input, input.layout->after);
      for (std::int64_t i = 0; i < frame.layers; ++i)
        want(input, input.layout->layers[static_cast<std::size_t>(input.first_layer + i)]);
    }
    if (first) KILTER_TRY(add_same_names(frame, frame.reference().layout->before, false));
    for (std::int64_t i = 0; i < frame.layers; ++i) KILTER_TRY(add_layer(frame, at_layer, i));
    return last ? add_same_names(frame, frame.reference().layout->after, true) : ok();
  }

  void want(const SliceInput& input, const std::vector<std::size_t>& tensors) {
    for (const std::size_t tensor : tensors) mark_of(input, tensor).wanted = true;
  }

  Status add_layer(const SliceFrame& frame, std::int64_t at_layer, std::int64_t i) {
    const SliceInput& reference = frame.reference();
    const auto layer = static_cast<std::size_t>(reference.first_layer + i);
    if (frame.module->name == "default")
      out_.layers.push_back({reference.model, reference.first_layer + i});
    for (const std::size_t tensor : reference.layout->layers[layer]) {
      const auto split = split_layer_name(name_of(reference, tensor));
      Joined joined;
      joined.name = layer_name(split->prefix, at_layer + i, split->rest);
      joined.position =
          frame.layers > 1 ? static_cast<double>(i) / static_cast<double>(frame.layers - 1) : 1;
      for (const SliceInput& input : frame.inputs)
        joined.names.push_back(
            layer_name(input.layout->main.prefix, input.first_layer + i, split->rest));
      KILTER_TRY(add(frame, std::move(joined)));
    }
    return ok();
  }

  /// All heads are stated to be the embeddings: a copy of its own would never be read.
  bool tied_everywhere(const SliceFrame& frame) const {
    return std::ranges::all_of(frame.inputs, [this](const SliceInput& input) {
      return models_[input.model].ties_heads().value_or(false);
    });
  }

  Status add(const SliceFrame& frame, Joined joined) {
    joined.row.name = joined.name;
    const bool head = is_head_name(joined.name);
    if (is_buffer_name(joined.name) || (head && tied_everywhere(frame))) {
      skip(frame, joined, head ? "config.json ties it to the embeddings" : "programs compute it");
      return ok();
    }
    KILTER_TRY(gather(frame, joined));
    if (joined.members.empty()) return ok();
    out_.has_head = out_.has_head || head;
    const bool floats = std::ranges::all_of(
        joined.members, [](const Member& member) { return has_float_values(member.info.dtype); });
    if (!floats) return add_values(frame, std::move(joined));
    const MergeNeeds needs = merge_needs(recipe_.method);
    const std::size_t terms = joined.members.size() - (joined.base ? 1 : 0);
    const bool complete =
        terms >= needs.terms_min && joined.base.has_value() == frame.base.has_value();
    if (!complete) {  // something was allowed to be missing: what there is goes across
      note(joined.row, "as " + path_of(frame, joined.members.front()) + " has it");
      joined.members.resize(1);
    }
    return add_merge(frame, std::move(joined), complete);
  }

  void skip(const SliceFrame& frame, const Joined& joined, const std::string& reason) {
    for (std::size_t i = 0; i < frame.inputs.size(); ++i) {
      const SliceInput& input = frame.inputs[i];
      const auto tensor = models_[input.model].input.find(joined.names[i]);
      if (!tensor) continue;
      mark_of(input, *tensor).wanted = false;
      mark_of(input, *tensor).reason = reason;
    }
  }

  const std::string& path_of(const SliceFrame& frame, const Member& member) const {
    return models_[frame.inputs[member.input].model].input.address;
  }

  /// The tensor in each input that has it as it should be. The reference comes first where the
  /// others are judged.
  Status gather(const SliceFrame& frame, Joined& joined) {
    const std::size_t first = frame.base.value_or(0);
    std::vector<std::optional<Member>> found(frame.inputs.size());
    for (std::size_t i = 0; i < frame.inputs.size(); ++i) {
      KILTER_ASSIGN(found[i], find(frame, joined, i));
    }
    std::optional<Member> judge = found[first];
    for (const auto& one : found)
      if (!judge && one) judge = one;
    if (!judge) return ok();
    bool fits = true;
    for (auto& one : found) {
      if (!one || fits_shape(frame, joined, *judge, *one)) continue;
      fits = false;
      one.reset();
    }
    if (!fits) {  // allowed: the first's values alone
      joined.members = {*judge};
      return ok();
    }
    for (std::size_t i = 0; i < found.size(); ++i) {
      if (!found[i]) continue;
      if (frame.base && *frame.base == i) joined.base = joined.members.size();
      joined.members.push_back(std::move(*found[i]));
    }
    return ok();
  }

  Result<std::optional<Member>> find(const SliceFrame& frame, Joined& joined, std::size_t i) {
    const SliceInput& input = frame.inputs[i];
    const RecipeModel& model = models_[input.model];
    const std::string& name = joined.names[i];
    std::optional<std::size_t> tensor = model.input.find(name);
    if (tensor) {
      mark_of(input, *tensor).used = true;
    } else if (tensor = tied_tensor(model, name); tensor) {
      note(joined.row, "the head of " + model.input.address + " is its embeddings");
    } else {
      if (mismatches_.allowed(Allow::kMissing, model.input.address, name, "is missing"))
        note(joined.row, "missing in " + model.input.address);
      return std::optional<Member>();
    }
    KILTER_ASSIGN(Member member, member_of(input.model, *tensor, name));
    member.input = i;
    return std::optional(std::move(member));
  }

  /// The embeddings, for a head that shares their numbers.
  static std::optional<std::size_t> tied_tensor(const RecipeModel& model, const std::string& name) {
    if (!is_head_name(name) || !name.ends_with("weight") || !model.ties_heads().value_or(true))
      return std::nullopt;
    const auto embedding = model.token_embedding();
    return embedding ? model.input.find(*embedding) : std::nullopt;
  }

  /// With the output's rows, where rows are tokens and the recipe aligns them.
  Result<Member> member_of(std::size_t model, std::size_t tensor, const std::string& name) const {
    const WeightsInput& input = models_[model].input;
    Member out;
    out.from = {input.checkpoint.source(), InputKind::kTensor, tensor, 0};
    out.info = input.info(tensor);
    const bool tokens = tokens_ != nullptr && !out.info.shape.empty() &&
                        (is_head_name(name) || is_token_embedding_name(name));
    if (!tokens || !has_float_values(out.info.dtype)) return out;
    std::vector<TokenTensor> tensors;
    for (const RecipeModel& one : models_) {
      std::optional<std::size_t> its = one.input.find(name);
      if (!its) its = tied_tensor(one, name);
      tensors.push_back(its ? TokenTensor{one.input.checkpoint.source(), *its} : TokenTensor{});
    }
    KILTER_ASSIGN(auto rows, make_row_source(*tokens_, model, name, std::move(tensors)));
    out.info = rows->index().tensors.front();
    out.from = {std::move(rows), InputKind::kTensor, 0, 0};
    return out;
  }

  bool fits_shape(const SliceFrame& frame, Joined& joined, const Member& judge, const Member& one) {
    const TensorInfo &wanted = judge.info, &its = one.info;
    if (its.shape == wanted.shape) return true;
    std::string what =
        fmt::format("is {}, not {}", recipe_shape_text(its), recipe_shape_text(wanted));
    if (is_head_name(joined.name) || is_token_embedding_name(joined.name))
      what += " (another vocabulary: `tokenizer: {source: union}` in the recipe aligns them)";
    if (mismatches_.allowed(Allow::kShape, path_of(frame, one), joined.name, what))
      note(joined.row,
           "other shape in " + path_of(frame, one) + ": " + path_of(frame, judge) + "'s values");
    return false;
  }

  /// Integers and the like: one for all.
  Status add_values(const SliceFrame& frame, Joined joined) {
    const TensorInfo& info = joined.members.front().info;
    PlanOutput output;
    output.name = joined.name;
    output.dtype = info.dtype;
    output.shape = info.shape;
    output.bytes = info.bytes();
    std::vector<std::string> paths;
    for (const Member& member : joined.members) {
      const TensorInfo& its = member.info;
      if (its.dtype != info.dtype &&
          !mismatches_.allowed(
              Allow::kValues, path_of(frame, member), joined.name,
              fmt::format("is {}, not {}", recipe_shape_text(its), recipe_shape_text(info))))
        return ok();
      output.inputs.push_back(member.from);
      paths.push_back(path_of(frame, member));
    }
    if (allow_.contains(Allow::kValues)) output.inputs.resize(1);
    if (output.inputs.size() > 1) {
      output.kernel = std::make_shared<EqualKernel>(joined.name, std::move(paths));
      note(joined.row, "integers: equal in all inputs");
    }
    joined.row.fate = "copied";
    joined.row.from = joined.row.to = info.dtype;
    joined.row.bytes = output.bytes;
    out_.plan.outputs.push_back(std::move(output));
    out_.tensors.push_back(std::move(joined.row));
    return ok();
  }

  /// `complete`: by the recipe's method; else the one member as it is.
  Status add_merge(const SliceFrame& frame, Joined joined, bool complete) {
    const TensorInfo& info = joined.members.front().info;
    TensorMerge merge;
    merge.name = joined.name;
    merge.shape = info.shape;
    merge.method = complete ? recipe_.method : MergeMethod::kPassthrough;
    merge.compat = recipe_.compat;
    merge.seed = recipe_.seed;
    merge.is_embedding = is_head_name(joined.name) || is_token_embedding_name(joined.name);
    merge.allow_too_large = allow_.contains(Allow::kOverflow);
    merge.allow_not_finite = allow_.contains(Allow::kNonFinite);
    merge.parameters = merge_defaults(merge.method);
    std::optional<DType> together;
    for (std::size_t i = 0; i < joined.members.size(); ++i) {
      KILTER_ASSIGN(MergeTerm term, term_of(frame, joined, i, complete));
      together = promoted_dtype(together.value_or(term.dtype), term.dtype);
      if (joined.base == i)
        merge.base = std::move(term);
      else
        merge.terms.push_back(std::move(term));
    }
    merge.to = recipe_.out_dtype ? *recipe_.out_dtype : recipe_.dtype.value_or(*together);
    if (complete) {
      const ParameterPlace place{joined.name, joined.position, levels(frame, nullptr)};
      KILTER_TRY(read_tensor_parameters(merge.method, place, merge.parameters));
    }
    joined.row.fate = "merged";
    joined.row.from = info.dtype;
    joined.row.to = merge.to;
    add_output(std::move(merge), std::move(joined.row));
    return ok();
  }

  std::vector<const Parameters*> levels(const SliceFrame& frame, const RecipeSource* source) const {
    std::vector<const Parameters*> out;
    if (source != nullptr) out.push_back(&source->parameters);
    out.push_back(&frame.slice->parameters);
    out.push_back(&frame.module->parameters);
    out.push_back(&recipe_.parameters);
    return out;
  }

  Result<MergeTerm> term_of(const SliceFrame& frame, const Joined& joined, std::size_t i,
                            bool complete) {
    const Member& member = joined.members[i];
    const SliceInput& input = frame.inputs[member.input];
    MergeTerm term;
    term.input = member.from;
    term.dtype = member.info.dtype;
    term.path = path_of(frame, member);
    if (recipe_.compat == MergeCompat::kMergekit && recipe_.dtype &&
        rounds_away(term.dtype, *recipe_.dtype)) {  // mergekit casts first and merges then
      term.input = {make_rounded_source(member.from.source, member.from.index, *recipe_.dtype),
                    InputKind::kTensor, 0, 0};
      term.dtype = *recipe_.dtype;
    }
    if (!complete || joined.base == i) return term;
    const ParameterPlace place{joined.names[member.input], joined.position,
                               levels(frame, input.source)};
    auto status = read_term_parameters(recipe_.method, place, term.parameters);
    if (!status) return fail(std::move(status.error()).at_path(term.path));
    return term;
  }

  void add_output(TensorMerge merge, WeightsReport::Tensor row) {
    PlanOutput output;
    output.name = merge.name;
    output.dtype = merge.to;
    output.shape = merge.shape;
    output.bytes = dtype_row(merge.to).bits / 8U;
    for (const std::int64_t size : merge.shape) output.bytes *= static_cast<std::uint64_t>(size);
    if (merge.base) output.inputs.push_back(merge.base->input);
    for (const MergeTerm& term : merge.terms) output.inputs.push_back(term.input);
    row.bytes = output.bytes;
    out_.merge_outputs.push_back(out_.plan.outputs.size());
    out_.plan.outputs.push_back(std::move(output));
    out_.merges.push_back(std::move(merge));
    out_.tensors.push_back(std::move(row));
  }

  void account_for_the_rest() {
    for (std::size_t m = 0; m < models_.size(); ++m)
      for (std::size_t i = 0; i < marks_[m].size(); ++i)
        if (!marks_[m][i].used) account_for(models_[m], i, marks_[m][i]);
  }

  void account_for(const RecipeModel& model, std::size_t tensor, Mark& mark) {
    const std::string& name = model.input.names[tensor];
    const TensorInfo& info = model.input.info(tensor);
    if (name.empty())
      mark.reason = "it is not a weight";
    else if (mark.reason.empty() && is_buffer_name(name))
      mark.reason = "programs compute it";
    else if (mark.reason.empty() && !mark.wanted)
      mark.reason = "the recipe takes nothing from there";
    else if (mark.reason.empty()) {
      if (!mismatches_.allowed(Allow::kExtra, model.input.address, name,
                               "has no counterpart in the other models"))
        return;
      mark.reason = "extra";
    }
    WeightsReport::Tensor row;
    row.name = info.name;
    row.fate = "dropped";
    row.reason = mark.reason + " (" + model.input.address + ")";
    row.from = row.to = info.dtype;
    out_.tensors.push_back(std::move(row));
  }

  const MergeRecipe& recipe_;
  const std::vector<RecipeModel>& models_;
  const TokenAlignment* tokens_;
  const std::set<Allow>& allow_;
  Mismatches mismatches_{allow_};
  std::vector<ModelName> names_;
  std::vector<std::vector<Mark>> marks_;  // by model and tensor
  std::vector<ModelLayout> layouts_;      // of the module at hand, by model
  RecipePlan out_;
};

}  // namespace

Result<RecipePlan> plan_recipe(const RecipePlanRequest& request) {
  return RecipePlanner(request).run();
}

}  // namespace kilter::ops
