// Decoder language models of other shapes: GPT-2, NeoX, Falcon, OPT, BLOOM, …
#include "model/tables/tables.h"

namespace kilter::model::tables {
namespace {

constexpr std::string_view kLm = "language-model";

constexpr Signature kRows[] = {
    {"gpt2", "gpt2", "GPT-2", kLm, 60, R"(
! h.{layers}.attn.c_attn.weight [width,3*width]
! h.{n}.mlp.c_fc.weight [width,inner]
! h.{n}.attn.c_proj.weight [width,width]
+ wte.weight [vocabulary,width]
+ wpe.weight [context,width]
+ ln_f.weight [width]
+ h.{n}.ln_1.weight [width]
)",
     "h. wte. wpe. ln_f. ^lm_head.", "heads=width/64",
     "openai/gpt-2 src/model.py; huggingface/transformers models/gpt2/modeling_gpt2.py"},
    {"gpt2-linear", "gpt2", "GPT-2 with Linear layers (nanoGPT)", kLm, 61, R"(
! h.{layers}.attn.c_attn.weight [3*width,width]
! h.{n}.mlp.c_fc.weight [inner,width]
! h.{n}.attn.c_proj.weight [width,width]
+ wte.weight [vocabulary,width]
+ wpe.weight [context,width]
+ ln_f.weight [width]
- h.{n}.mlp.w1.weight
)",
     "h. wte. wpe. ln_f. ^lm_head.", "heads=width/64", "karpathy/nanoGPT model.py"},
    {"gpt-bigcode", "gpt-bigcode", "StarCoder (GPT BigCode)", kLm, 60, R"(
! h.{layers}.attn.c_attn.weight [*,width]
! h.{n}.mlp.c_fc.weight [inner,width]
! h.{n}.attn.c_proj.weight [width,width]
+ wte.weight [vocabulary,width]
+ wpe.weight [context,width]
+ ln_f.weight [width]
)",
     "h. wte. wpe. ln_f. ^lm_head.", "",
     "huggingface/transformers models/gpt_bigcode/modeling_gpt_bigcode.py"},
    {"qwen", "qwen", "Qwen (first generation)", kLm, 60, R"(
! h.{layers}.attn.c_attn.weight [3*width,width]
! h.{n}.mlp.w1.weight [inner,width]
! h.{n}.mlp.w2.weight [inner,width]
+ wte.weight [vocabulary,width]
+ ln_f.weight [width]
)",
     "h. wte. ln_f. ^lm_head.", "", "QwenLM/Qwen modeling_qwen.py"},
    {"gpt-neox", "gpt-neox", "GPT-NeoX", kLm, 60, R"(
! layers.{layers}.attention.query_key_value.weight [3*width,width]
! layers.{n}.mlp.dense_h_to_4h.weight [inner,width]
! layers.{n}.attention.dense.weight [width,width]
+ embed_in.weight [vocabulary,width]
+ final_layer_norm.weight [width]
+ layers.{n}.input_layernorm.weight [width]
? ^embed_out.weight [vocabulary,width]
? layers.{n}.attention.rotary_emb.inv_freq [_half-rotary]
)",
     "layers. embed_in. final_layer_norm. ^embed_out.", "",
     "huggingface/transformers models/gpt_neox/modeling_gpt_neox.py"},
    {"gpt-j", "gpt-j", "GPT-J", kLm, 60, R"(
! h.{layers}.attn.q_proj.weight [width,width]
! h.{n}.mlp.fc_in.weight [inner,width]
! h.{n}.attn.out_proj.weight [width,width]
+ wte.weight [vocabulary,width]
+ h.{n}.ln_1.weight [width]
- wpe.weight
)",
     "h. wte. ln_f. ^lm_head.", "", "huggingface/transformers models/gptj/modeling_gptj.py"},
    {"gpt-neo", "gpt-neo", "GPT-Neo", kLm, 60, R"(
! h.{layers}.attn.attention.q_proj.weight [width,width]
! h.{n}.mlp.c_fc.weight [inner,width]
+ wte.weight [vocabulary,width]
+ wpe.weight [context,width]
)",
     "h. wte. wpe. ln_f. ^lm_head.", "",
     "huggingface/transformers models/gpt_neo/modeling_gpt_neo.py"},
    {"codegen", "codegen", "CodeGen", kLm, 60, R"(
! h.{layers}.attn.qkv_proj.weight [3*width,width]
! h.{n}.mlp.fc_in.weight [inner,width]
+ wte.weight [vocabulary,width]
)",
     "h. wte. ln_f. ^lm_head.", "", "huggingface/transformers models/codegen/modeling_codegen.py"},
    {"falcon", "falcon", "Falcon", kLm, 60, R"(
! h.{layers}.self_attention.query_key_value.weight [_qkv,width]
! h.{n}.mlp.dense_h_to_4h.weight [inner,width]
! h.{n}.self_attention.dense.weight [width,width]
+ word_embeddings.weight [vocabulary,width]
+ ln_f.weight [width]
- h.{n}.self_attention.query_key_value.bias
- word_embeddings_layernorm.weight
)",
     "h. word_embeddings. ln_f. ^lm_head.", "",
     "huggingface/transformers models/falcon/modeling_falcon.py"},
    {"falcon-rw", "falcon", "Falcon RW", kLm, 59, R"(
! h.{layers}.self_attention.query_key_value.weight [3*width,width]
! h.{n}.self_attention.query_key_value.bias
! word_embeddings.weight [vocabulary,width]
+ h.{n}.mlp.dense_h_to_4h.weight [inner,width]
+ ln_f.weight [width]
- word_embeddings_layernorm.weight
)",
     "h. word_embeddings. ln_f. ^lm_head.", "", "tiiuae/falcon-rw-1b config.json"},
    {"bloom", "bloom", "BLOOM", kLm, 60, R"(
! h.{layers}.self_attention.query_key_value.weight [3*width,width]
! h.{n}.self_attention.query_key_value.bias
! word_embeddings_layernorm.weight [width]
+ h.{n}.mlp.dense_h_to_4h.weight [inner,width]
+ word_embeddings.weight [vocabulary,width]
+ ln_f.weight [width]
)",
     "h. word_embeddings. word_embeddings_layernorm. ln_f. ^lm_head.", "",
     "huggingface/transformers models/bloom/modeling_bloom.py"},
    {"opt", "opt", "OPT", kLm, 60, R"(
! decoder.layers.{layers}.self_attn.q_proj.weight [width,width]
! decoder.layers.{n}.fc1.weight [inner,width]
! decoder.embed_positions.weight [positions,width]
+ decoder.embed_tokens.weight [vocabulary,_embedding]
+ decoder.layers.{n}.final_layer_norm.weight [width]
- decoder.layers.{n}.encoder_attn.q_proj.weight
)",
     "decoder. ^lm_head.", "", "huggingface/transformers models/opt/modeling_opt.py"},
    {"mpt", "mpt", "MPT", kLm, 60, R"(
! blocks.{layers}.attn.Wqkv.weight [_qkv,width]
! blocks.{n}.ffn.up_proj.weight [inner,width]
! wte.weight [vocabulary,width]
+ blocks.{n}.norm_1.weight [width]
)",
     "blocks. wte. norm_f. wpe.", "", "mosaicml/llm-foundry llmfoundry/models/mpt/modeling_mpt.py"},
    {"chatglm", "chatglm", "ChatGLM", kLm, 60, R"(
! encoder.layers.{layers}.self_attention.query_key_value.weight [_qkv,width]
! encoder.layers.{n}.mlp.dense_h_to_4h.weight [*,width]
+ embedding.word_embeddings.weight [vocabulary,width]
+ output_layer.weight [vocabulary,width]
)",
     "encoder. embedding. output_layer. rotary_pos_emb.", "", "THUDM/ChatGLM3 modeling_chatglm.py"},
    {"mamba", "mamba", "Mamba", kLm, 60, R"(
! layers.{layers}.mixer.A_log [inner,state-width]
! layers.{n}.mixer.in_proj.weight [*,width]
! layers.{n}.mixer.x_proj.weight
+ layers.{n}.norm.weight [width]
+ embeddings.weight [vocabulary,width]
+ embedding.weight [vocabulary,width]
)",
     "layers. embeddings. embedding. norm_f. ^lm_head.", "",
     "state-spaces/mamba mamba_ssm/models/mixer_seq_simple.py"},
    {"rwkv", "rwkv", "RWKV", kLm, 60, R"(
! blocks.{layers}.att.time_decay
! blocks.{n}.ffn.key.weight [inner,width]
! blocks.{n}.att.receptance.weight [*,width]
+ emb.weight [vocabulary,width]
+ head.weight [vocabulary,width]
)",
     "blocks. emb. head. ln_out.", "", "BlinkDL/RWKV-LM RWKV-v4/src/model.py"},
};

}  // namespace

std::span<const Signature> decoders_other() { return kRows; }

}  // namespace kilter::model::tables
