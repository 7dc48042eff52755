// Decoder language models whose layers look like Llama's.
#include "model/tables/tables.h"

namespace kilter::model::tables {
namespace {

constexpr std::string_view kCovers = "layers. embed_tokens. norm. rotary_emb. ^lm_head.";
constexpr std::string_view kHeads = "_head-dim=_half*2 heads=_q/_head-dim kv-heads=_kv/_head-dim";
constexpr std::string_view kLm = "language-model";

constexpr Signature kRows[] = {
    {"llama", "llama", "Llama family", kLm, 60, R"(
! layers.{layers}.self_attn.q_proj.weight [_q,width]
! layers.{n}.mlp.gate_proj.weight [inner,width]
! layers.{n}.mlp.down_proj.weight [width,inner]
+ layers.{n}.self_attn.k_proj.weight [_kv,width]
+ layers.{n}.input_layernorm.weight [width]
+ layers.{n}.post_attention_layernorm.weight [width]
+ embed_tokens.weight [vocabulary,width]
+ norm.weight [width]
? ^lm_head.weight [vocabulary,width]
? layers.{n}.self_attn.rotary_emb.inv_freq [_half]
- layers.{n}.self_attn.q_proj.bias
- layers.{n}.self_attn.q_norm.weight
- layers.{n}.input_layernorm.bias
- layers.{n}.pre_feedforward_layernorm.weight
- layers.{n}.mlp.experts.{n}.gate_proj.weight
- layers.{n}.block_sparse_moe.gate.weight
- layers.{n}.encoder_attn.q_proj.weight
)",
     kCovers, kHeads, "huggingface/transformers models/llama/modeling_llama.py"},
    {"llama-biased", "llama", "Llama layout with biases", kLm, 59, R"(
! layers.{layers}.self_attn.q_proj.weight [_q,width]
! layers.{n}.self_attn.o_proj.bias [width]
! layers.{n}.self_attn.q_proj.bias [_q]
! layers.{n}.mlp.gate_proj.weight [inner,width]
+ layers.{n}.self_attn.k_proj.weight [_kv,width]
+ layers.{n}.input_layernorm.weight [width]
+ embed_tokens.weight [vocabulary,width]
- layers.{n}.self_attn.q_norm.weight
- layers.{n}.self_attn.sinks
)",
     kCovers, kHeads, "huggingface/transformers models/llama/modeling_llama.py (attention_bias)"},
    {"llama-native", "llama", "Llama family, Meta's naming", kLm, 60, R"(
! layers.{layers}.attention.wq.weight [_q,width]
! layers.{n}.feed_forward.w1.weight [inner,width]
! layers.{n}.attention.wo.weight [*,_q]
+ layers.{n}.attention.wk.weight [_kv,width]
+ layers.{n}.attention_norm.weight [width]
+ layers.{n}.ffn_norm.weight [width]
+ tok_embeddings.weight [vocabulary,width]
+ norm.weight [width]
+ output.weight [vocabulary,width]
- layers.{n}.feed_forward.experts.{n}.w1.weight
)",
     "layers. tok_embeddings. norm. output. rope.", "",
     "meta-llama/llama llama/model.py; mistralai/mistral-inference "
     "src/mistral_inference/transformer.py"},
    {"mixtral-native", "mixtral", "Mixtral, Mistral's naming", kLm, 60, R"(
! layers.{layers}.attention.wq.weight [_q,width]
! layers.{n}.feed_forward.experts.{experts}.w1.weight [inner,width]
! layers.{n}.feed_forward.gate.weight [*,width]
+ layers.{n}.attention.wk.weight [_kv,width]
+ tok_embeddings.weight [vocabulary,width]
+ output.weight [vocabulary,width]
)",
     "layers. tok_embeddings. norm. output.", "",
     "mistralai/mistral-inference src/mistral_inference/moe.py"},
    {"mixtral", "mixtral", "Mixtral", kLm, 60, R"(
! layers.{layers}.self_attn.q_proj.weight [_q,width]
! layers.{n}.block_sparse_moe.experts.{experts}.w1.weight [inner,width]
! layers.{n}.block_sparse_moe.gate.weight [*,width]
+ layers.{n}.self_attn.k_proj.weight [_kv,width]
+ layers.{n}.input_layernorm.weight [width]
+ embed_tokens.weight [vocabulary,width]
+ norm.weight [width]
- layers.{n}.input_layernorm.bias
)",
     kCovers, kHeads, "huggingface/transformers models/mixtral/modeling_mixtral.py"},
    {"mixtral-fused", "mixtral", "Mixtral, fused experts", kLm, 60, R"(
! layers.{layers}.self_attn.q_proj.weight [_q,width]
! layers.{n}.mlp.experts.gate_up_proj [experts,*,*]
! layers.{n}.mlp.gate.weight [experts,width]
+ layers.{n}.self_attn.k_proj.weight [_kv,width]
+ layers.{n}.input_layernorm.weight [width]
+ embed_tokens.weight [vocabulary,width]
- layers.{n}.self_attn.q_norm.weight
- layers.{n}.self_attn.q_proj.bias
- layers.{n}.mlp.shared_expert.gate_proj.weight
)",
     kCovers, kHeads, "huggingface/transformers models/mixtral/modeling_mixtral.py (since 5.0)"},
    {"phimoe", "phi", "Phi-3.5 MoE", kLm, 60, R"(
! layers.{layers}.self_attn.q_proj.weight [_q,width]
! layers.{n}.block_sparse_moe.experts.{experts}.w1.weight [inner,width]
! layers.{n}.input_layernorm.bias [width]
+ layers.{n}.block_sparse_moe.gate.weight [*,width]
+ embed_tokens.weight [vocabulary,width]
)",
     kCovers, "", "huggingface/transformers models/phimoe/modeling_phimoe.py"},
    {"qwen2", "qwen2", "Qwen2", kLm, 60, R"(
! layers.{layers}.self_attn.q_proj.weight [_q,width]
! layers.{n}.self_attn.q_proj.bias [_q]
! layers.{n}.mlp.gate_proj.weight [inner,width]
+ layers.{n}.self_attn.k_proj.weight [_kv,width]
+ layers.{n}.input_layernorm.weight [width]
+ layers.{n}.post_attention_layernorm.weight [width]
+ embed_tokens.weight [vocabulary,width]
+ norm.weight [width]
? ^lm_head.weight [vocabulary,width]
- layers.{n}.self_attn.o_proj.bias
- layers.{n}.self_attn.q_norm.weight
- layers.{n}.input_layernorm.bias
- layers.{n}.mlp.experts.{n}.gate_proj.weight
)",
     kCovers, kHeads, "huggingface/transformers models/qwen2/modeling_qwen2.py"},
    {"qwen2-moe", "qwen2-moe", "Qwen2 MoE", kLm, 60, R"(
! layers.{layers}.self_attn.q_proj.weight [_q,width]
! layers.{n}.self_attn.q_proj.bias [_q]
! layers.{n}.mlp.experts.{experts}.gate_proj.weight [expert-inner,width]
! layers.{n}.mlp.shared_expert.gate_proj.weight [inner,width]
+ layers.{n}.mlp.shared_expert_gate.weight [1,width]
+ layers.{n}.mlp.gate.weight [*,width]
+ layers.{n}.self_attn.k_proj.weight [_kv,width]
+ embed_tokens.weight [vocabulary,width]
)",
     kCovers, kHeads, "huggingface/transformers models/qwen2_moe/modeling_qwen2_moe.py"},
    {"qwen3", "qwen3", "Qwen3", kLm, 60, R"(
! layers.{layers}.self_attn.q_proj.weight [_q,width]
! layers.{n}.self_attn.q_norm.weight [_head-dim]
! layers.{n}.self_attn.k_norm.weight [_head-dim]
! layers.{n}.mlp.gate_proj.weight [inner,width]
+ layers.{n}.self_attn.k_proj.weight [_kv,width]
+ layers.{n}.input_layernorm.weight [width]
+ layers.{n}.post_attention_layernorm.weight [width]
+ embed_tokens.weight [vocabulary,width]
+ norm.weight [width]
? ^lm_head.weight [vocabulary,width]
- layers.{n}.self_attn.q_proj.bias
- layers.{n}.pre_feedforward_layernorm.weight
- layers.{n}.mlp.experts.{n}.gate_proj.weight
)",
     kCovers, kHeads, "huggingface/transformers models/qwen3/modeling_qwen3.py"},
    {"qwen3-moe", "qwen3-moe", "Qwen3 MoE", kLm, 60, R"(
! layers.{layers}.self_attn.q_proj.weight [_q,width]
! layers.{n}.self_attn.q_norm.weight [_head-dim]
! layers.{n}.mlp.experts.{experts}.gate_proj.weight [expert-inner,width]
! layers.{n}.mlp.gate.weight [*,width]
+ layers.{n}.self_attn.k_proj.weight [_kv,width]
+ layers.{n}.input_layernorm.weight [width]
+ embed_tokens.weight [vocabulary,width]
- layers.{n}.mlp.shared_experts.gate_proj.weight
- layers.{n}.self_attn.q_proj.bias
)",
     kCovers, kHeads, "huggingface/transformers models/qwen3_moe/modeling_qwen3_moe.py"},
    {"qwen3-moe-fused", "qwen3-moe", "Qwen3 MoE, fused experts", kLm, 60, R"(
! layers.{layers}.self_attn.q_proj.weight [_q,width]
! layers.{n}.self_attn.q_norm.weight [_head-dim]
! layers.{n}.mlp.experts.gate_up_proj [experts,*,*]
! layers.{n}.mlp.gate.weight [experts,width]
+ layers.{n}.self_attn.k_proj.weight [_kv,width]
+ layers.{n}.input_layernorm.weight [width]
+ embed_tokens.weight [vocabulary,width]
- layers.{n}.self_attn.q_proj.bias
)",
     kCovers, kHeads,
     "huggingface/transformers models/qwen3_moe/modeling_qwen3_moe.py (since 5.0)"},
    {"deepseek-v2", "deepseek-v2", "DeepSeek V2", kLm, 60, R"(
! layers.{layers}.self_attn.kv_a_proj_with_mqa.weight [*,width]
! layers.{n}.self_attn.kv_b_proj.weight
! layers.{n}.self_attn.o_proj.weight [width,*]
+ layers.{n}.self_attn.kv_a_layernorm.weight
+ layers.{n}.mlp.experts.{experts}.gate_proj.weight [expert-inner,width]
+ layers.{n}.mlp.shared_experts.gate_proj.weight [*,width]
+ layers.{n}.mlp.gate.weight [*,width]
+ embed_tokens.weight [vocabulary,width]
? layers.0.mlp.gate_proj.weight [inner,width]
? layers.{n}.self_attn.q_a_proj.weight [query-rank,width]
- layers.{n}.mlp.gate.e_score_correction_bias
)",
     kCovers, "", "deepseek-ai/DeepSeek-V2 modeling_deepseek.py"},
    {"deepseek-v3", "deepseek-v3", "DeepSeek V3", kLm, 60, R"(
! layers.{layers}.self_attn.kv_a_proj_with_mqa.weight [*,width]
! layers.{n}.self_attn.kv_b_proj.weight
! layers.{n}.mlp.gate.e_score_correction_bias [*]
+ layers.{n}.self_attn.kv_a_layernorm.weight
+ layers.{n}.mlp.experts.{experts}.gate_proj.weight [expert-inner,width]
+ layers.{n}.mlp.shared_experts.gate_proj.weight [*,width]
+ layers.{n}.mlp.gate.weight [*,width]
+ embed_tokens.weight [vocabulary,width]
? layers.0.mlp.gate_proj.weight [inner,width]
? layers.{n}.self_attn.q_a_proj.weight [query-rank,width]
? layers.{mtp-layers}.eh_proj.weight
)",
     kCovers, "", "deepseek-ai/DeepSeek-V3 README_WEIGHTS.md, inference/model.py"},
    {"gemma2", "gemma2", "Gemma 2", kLm, 60, R"(
! layers.{layers}.self_attn.q_proj.weight [_q,width]
! layers.{n}.pre_feedforward_layernorm.weight [width]
! layers.{n}.post_feedforward_layernorm.weight [width]
! layers.{n}.mlp.gate_proj.weight [inner,width]
+ layers.{n}.self_attn.k_proj.weight [_kv,width]
+ embed_tokens.weight [vocabulary,width]
+ norm.weight [width]
- layers.{n}.self_attn.q_norm.weight
)",
     kCovers, "", "huggingface/transformers models/gemma2/modeling_gemma2.py"},
    {"gemma3", "gemma3", "Gemma 3", kLm, 60, R"(
! layers.{layers}.self_attn.q_proj.weight [_q,width]
! layers.{n}.pre_feedforward_layernorm.weight [width]
! layers.{n}.self_attn.q_norm.weight [_head-dim]
! layers.{n}.mlp.gate_proj.weight [inner,width]
+ layers.{n}.post_feedforward_layernorm.weight [width]
+ layers.{n}.self_attn.k_proj.weight [_kv,width]
+ embed_tokens.weight [vocabulary,width]
+ norm.weight [width]
- layers.{n}.laurel.linear_left.weight
)",
     kCovers, kHeads, "huggingface/transformers models/gemma3/modeling_gemma3.py"},
    {"phi", "phi", "Phi-1 and Phi-2", kLm, 60, R"(
! layers.{layers}.self_attn.dense.weight [width,width]
! layers.{n}.self_attn.q_proj.weight [_q,width]
! layers.{n}.mlp.fc1.weight [inner,width]
+ layers.{n}.input_layernorm.bias [width]
+ final_layernorm.weight [width]
+ embed_tokens.weight [vocabulary,width]
? ^lm_head.bias [vocabulary]
)",
     "layers. embed_tokens. final_layernorm. ^lm_head.", "",
     "huggingface/transformers models/phi/modeling_phi.py"},
    {"phi-mixformer", "phi", "Phi-1 and Phi-2, original naming", kLm, 60, R"(
! h.{layers}.mixer.Wqkv.weight [3*width,width]
! h.{n}.mlp.fc1.weight [inner,width]
+ h.{n}.mixer.out_proj.weight [width,width]
+ embd.wte.weight [vocabulary,width]
)",
     "h. embd. ^lm_head.", "", "microsoft/phi-2 modeling_phi.py (2023)"},
    {"phi3", "phi3", "Phi-3 and Phi-4", kLm, 60, R"(
! layers.{layers}.self_attn.qkv_proj.weight [_qkv,width]
! layers.{n}.mlp.gate_up_proj.weight [2*inner,width]
! layers.{n}.mlp.down_proj.weight [width,inner]
+ layers.{n}.input_layernorm.weight [width]
+ layers.{n}.post_attention_layernorm.weight [width]
+ embed_tokens.weight [vocabulary,width]
+ norm.weight [width]
- layers.{n}.self_attn.qkv_proj.bias
)",
     kCovers, "", "huggingface/transformers models/phi3/modeling_phi3.py"},
    {"olmo2", "olmo2", "OLMo 2", kLm, 60, R"(
! layers.{layers}.self_attn.q_proj.weight [_q,width]
! layers.{n}.post_feedforward_layernorm.weight [width]
! layers.{n}.self_attn.q_norm.weight
! layers.{n}.mlp.gate_proj.weight [inner,width]
+ embed_tokens.weight [vocabulary,width]
- layers.{n}.input_layernorm.weight
- layers.{n}.pre_feedforward_layernorm.weight
)",
     kCovers, "", "huggingface/transformers models/olmo2/modeling_olmo2.py"},
    {"stablelm", "stablelm", "StableLM", kLm, 60, R"(
! layers.{layers}.self_attn.q_proj.weight [_q,width]
! layers.{n}.input_layernorm.bias [width]
! layers.{n}.mlp.gate_proj.weight [inner,width]
+ layers.{n}.self_attn.k_proj.weight [_kv,width]
+ embed_tokens.weight [vocabulary,width]
+ norm.bias [width]
- layers.{n}.self_attn.o_proj.bias
)",
     kCovers, "", "huggingface/transformers models/stablelm/modeling_stablelm.py"},
    {"starcoder2", "starcoder2", "StarCoder 2", kLm, 60, R"(
! layers.{layers}.self_attn.q_proj.weight [_q,width]
! layers.{n}.mlp.c_fc.weight [inner,width]
! layers.{n}.mlp.c_proj.weight [width,inner]
+ layers.{n}.self_attn.k_proj.weight [_kv,width]
+ embed_tokens.weight [vocabulary,width]
)",
     kCovers, "", "huggingface/transformers models/starcoder2/modeling_starcoder2.py"},
    {"gpt-oss", "gpt-oss", "gpt-oss", kLm, 60, R"(
! layers.{layers}.self_attn.sinks [heads]
! layers.{n}.self_attn.q_proj.weight [_q,width]
! layers.{n}.mlp.router.weight [experts,width]
+ embed_tokens.weight [vocabulary,width]
)",
     kCovers, "", "huggingface/transformers models/gpt_oss/modeling_gpt_oss.py"},
    {"baichuan", "baichuan", "Baichuan", kLm, 60, R"(
! layers.{layers}.self_attn.W_pack.weight [3*width,width]
! layers.{n}.mlp.gate_proj.weight [inner,width]
+ embed_tokens.weight [vocabulary,width]
)",
     kCovers, "", "baichuan-inc/Baichuan2-7B-Base modeling_baichuan.py"},
    {"internlm2", "internlm2", "InternLM2", kLm, 60, R"(
! layers.{layers}.attention.wqkv.weight [_qkv,width]
! layers.{n}.feed_forward.w1.weight [inner,width]
+ tok_embeddings.weight [vocabulary,width]
+ ^output.weight [vocabulary,width]
)",
     "layers. tok_embeddings. norm. ^output.", "", "internlm/internlm2-7b modeling_internlm2.py"},
};

}  // namespace

std::span<const Signature> decoders_llama() { return kRows; }

}  // namespace kilter::model::tables
