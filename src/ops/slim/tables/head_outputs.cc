// Output projections of attention: the columns of one head hold all that the head says. Sources:
// module names of transformers, of llama's own releases, of diffusers and timm.
#include "ops/slim/head_outputs.h"

namespace kilter::ops {
namespace {

constexpr HeadOutputRow kHeadOutputs[] = {
    {"*attn.o_proj.weight", false},       {"*attention.o_proj.weight", false},
    {"*attn.out_proj.weight", false},     {"*attention.output.dense.weight", false},
    {"*attention.dense.weight", false},   {"*self_attention.dense.weight", false},
    {"*attention.wo.weight", false},      {"*attn.dense.weight", false},
    {"*attention.out_lin.weight", false}, {"*SelfAttention.o.weight", false},
    {"*EncDecAttention.o.weight", false}, {"*attn.to_out.0.weight", false},
    {"*attn1.to_out.0.weight", false},    {"*attn2.to_out.0.weight", false},
    {"*attn.proj.weight", false},         {"*attn.c_proj.weight", true},  // GPT-2's Conv1D
};

}  // namespace

std::span<const HeadOutputRow> head_output_table() { return kHeadOutputs; }

}  // namespace kilter::ops
