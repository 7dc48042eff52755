// Diffusion transformers: SD3, Flux and their relatives.
#include "model/tables/tables.h"

namespace kilter::model::tables {
namespace {

constexpr std::string_view kSd3Source =
    "Stability-AI/sd3.5 mmditx.py; Comfy-Org/ComfyUI comfy/model_detection.py";
constexpr std::string_view kFluxSource =
    "black-forest-labs/flux src/flux/model.py; Comfy-Org/ComfyUI comfy/model_detection.py";
constexpr std::string_view kComfySource = "Comfy-Org/ComfyUI comfy/model_detection.py";

constexpr Signature kRows[] = {
    {"sd3", "sd3", "Stable Diffusion 3", "transformer", 90, R"(
! joint_blocks.{layers}.context_block.adaLN_modulation.1.bias
! joint_blocks.{n}.x_block.attn.qkv.weight [3*width,width]
! x_embedder.proj.weight [width,in-channels:16,2,2]
! context_embedder.weight [width,context-width:4096]
! pos_embed [1,positions,width]
+ y_embedder.mlp.0.weight [width,2048]
+ t_embedder.mlp.0.weight [width,256]
+ final_layer.linear.weight [64,width]
)",
     "joint_blocks. x_embedder. context_embedder. pos_embed y_embedder. t_embedder. final_layer.",
     "heads=width/64", kSd3Source},
    {"sd3-diffusers", "sd3", "Stable Diffusion 3", "transformer", 90, R"(
! transformer_blocks.{layers}.attn.add_q_proj.weight [width,width]
! transformer_blocks.{n}.attn.to_q.weight [width,width]
! pos_embed.pos_embed [1,positions,width]
! pos_embed.proj.weight [width,in-channels:16,2,2]
! context_embedder.weight [width,context-width:4096]
+ time_text_embed.text_embedder.linear_1.weight [width,2048]
+ transformer_blocks.{n}.ff.net.0.proj.weight [inner,width]
+ proj_out.weight [64,width]
- controlnet_blocks.{n}.weight
)",
     "transformer_blocks. pos_embed. context_embedder. time_text_embed. norm_out. proj_out.",
     "heads=width/64", "huggingface/diffusers models/transformers/transformer_sd3.py"},
    {"flux", "flux", "Flux.1", "transformer", 90, R"(
! double_blocks.{layers}.img_attn.qkv.weight [3*width,width]
! double_blocks.{n}.img_attn.norm.key_norm.scale [_head-dim]
! single_blocks.{single-layers}.linear1.weight [*,width]
! img_in.weight [width:3072,in-channels]
! txt_in.weight [width,context-width:4096]
+ vector_in.in_layer.weight [width,768]
+ time_in.in_layer.weight [width,256]
+ final_layer.linear.weight [64,width]
- distilled_guidance_layer.in_proj.weight
)",
     "double_blocks. single_blocks. img_in. txt_in. vector_in. time_in. guidance_in. final_layer.",
     "heads=width/_head-dim", kFluxSource},
    {"flux-diffusers", "flux", "Flux.1", "transformer", 90, R"(
! transformer_blocks.{layers}.attn.add_q_proj.weight [width,width]
! single_transformer_blocks.{single-layers}.proj_mlp.weight [inner,width]
! x_embedder.weight [width:3072,in-channels]
! context_embedder.weight [width,context-width:4096]
+ transformer_blocks.{n}.attn.norm_k.weight [_head-dim]
+ time_text_embed.text_embedder.linear_1.weight [width,768]
+ proj_out.weight [64,width]
- controlnet_blocks.{n}.weight
)",
     "transformer_blocks. single_transformer_blocks. x_embedder. context_embedder. "
     "time_text_embed. norm_out. proj_out.",
     "heads=width/_head-dim", "huggingface/diffusers models/transformers/transformer_flux.py"},
    {"chroma", "chroma", "Chroma", "transformer", 90, R"(
! distilled_guidance_layer.in_proj.weight
! double_blocks.{layers}.img_attn.qkv.weight [3*width,width]
! single_blocks.{single-layers}.linear1.weight [*,width]
+ img_in.weight [width,in-channels]
)",
     "double_blocks. single_blocks. img_in. txt_in. distilled_guidance_layer. final_layer.", "",
     kComfySource},
    {"hunyuan-video", "hunyuan-video", "HunyuanVideo", "transformer", 90, R"(
! txt_in.individual_token_refiner.blocks.{n}.norm1.weight
! double_blocks.{layers}.img_attn_qkv.weight [3*width,width]
+ single_blocks.{single-layers}.linear1.weight
+ img_in.proj.weight [width,in-channels,...]
)",
     "double_blocks. single_blocks. img_in. txt_in. vector_in. time_in. guidance_in. final_layer.",
     "",
     "Tencent/HunyuanVideo hyvideo/modules/models.py; Comfy-Org/ComfyUI comfy/model_detection.py"},
    {"wan", "wan", "Wan video", "transformer", 90, R"(
! blocks.{layers}.cross_attn.norm_k.weight [width]
! blocks.{n}.self_attn.q.weight [width,width]
! head.modulation [1,2,width]
! patch_embedding.weight [width,in-channels,1,2,2]
+ text_embedding.0.weight [width,context-width]
+ time_projection.1.weight
)",
     "blocks. head. patch_embedding. text_embedding. time_embedding. time_projection. img_emb.", "",
     "Wan-Video/Wan2.1 wan/modules/model.py; Comfy-Org/ComfyUI comfy/model_detection.py"},
    {"ltx-video", "ltx-video", "LTX-Video", "transformer", 90, R"(
! adaln_single.emb.timestep_embedder.linear_1.bias
! patchify_proj.weight [width,in-channels]
! transformer_blocks.{layers}.attn1.to_q.weight [width,width]
+ caption_projection.linear_1.weight [width,context-width]
)",
     "transformer_blocks. adaln_single. patchify_proj. caption_projection. proj_out. "
     "scale_shift_table",
     "", kComfySource},
    {"pixart", "pixart", "PixArt", "transformer", 90, R"(
! t_block.1.weight
! blocks.{layers}.cross_attn.q_linear.weight [width,width]
! y_embedder.y_proj.fc1.weight [width,context-width]
+ x_embedder.proj.weight [width,in-channels,2,2]
+ final_layer.linear.weight
)",
     "blocks. t_block. y_embedder. x_embedder. t_embedder. final_layer. pos_embed csize_embedder. "
     "ar_embedder.",
     "", "PixArt-alpha/PixArt-alpha diffusion/model/nets/PixArt.py"},
    {"auraflow", "auraflow", "AuraFlow", "transformer", 90, R"(
! cond_seq_linear.weight [width,context-width]
! double_layers.{layers}.attn.w1q.weight [width,width]
+ single_layers.{single-layers}.attn.w1q.weight
+ positional_encoding
)",
     "double_layers. single_layers. cond_seq_linear. init_x_linear. positional_encoding "
     "register_tokens modF. final_linear. t_embedder.",
     "", kComfySource},
    {"stable-cascade", "stable-cascade", "Stable Cascade", "transformer", 90, R"(
! clip_txt_pooled_mapper.weight
! down_blocks.{n}.{n}.channelwise.0.weight
+ up_blocks.{n}.{n}.channelwise.0.weight
)",
     "down_blocks. up_blocks. down_downscalers. up_upscalers. embedding. clf. clip_ effnet_mapper. "
     "pixels_mapper. down_repeat_mappers. up_repeat_mappers.",
     "", kComfySource},
};

}  // namespace

std::span<const Signature> diffusion_transformers() { return kRows; }

}  // namespace kilter::model::tables
