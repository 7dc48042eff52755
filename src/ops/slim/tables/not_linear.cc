// Matrices that quantization and pruning leave alone unless they are asked for. Sources: module
// names of transformers, of llama's own releases, of GPT-NeoX, timm and open_clip; that routers of
// mixtures stay is what the published f8 releases of DeepSeek-V3 and Qwen3 do.
#include "ops/slim/linear_names.h"

namespace kilter::ops {
namespace {

constexpr NotLinearRow kNotLinear[] = {
    {"*embed_tokens*", "an embedding"},
    {"*embeddings.*", "an embedding"},
    {"*_embeddings*", "an embedding"},
    {"*embed_positions*", "an embedding"},
    {"*token_embedding*", "an embedding"},
    {"*position_embedding*", "an embedding"},
    {"*positional_embedding*", "an embedding"},
    {"*wte.weight", "an embedding"},
    {"*wpe.weight", "an embedding"},
    {"*embed_in.weight", "an embedding"},
    {"*embedding.weight", "an embedding"},
    {"*.embed.weight", "an embedding"},
    {"embed.weight", "an embedding"},
    {"shared.weight", "an embedding"},
    {"*.shared.weight", "an embedding"},
    {"*relative_attention_bias*", "an embedding"},
    {"*lm_head*", "the output head"},
    {"output.weight", "the output head"},
    {"*embed_out.weight", "the output head"},
    {"score.weight", "the output head"},
    {"*.score.weight", "the output head"},
    {"*classifier*", "the output head"},
    {"*classification_head*", "the output head"},
    {"*qa_outputs*", "the output head"},
    {"*cls.predictions*", "the output head"},
    {"head.weight", "the output head"},
    {"*.mlp.gate.weight", "a router"},
    {"*.block_sparse_moe.gate.weight", "a router"},
    {"*router*", "a router"},
};

}  // namespace

std::span<const NotLinearRow> not_linear_table() { return kNotLinear; }

}  // namespace kilter::ops
