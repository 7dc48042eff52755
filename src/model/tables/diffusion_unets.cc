// UNets of the Stable Diffusion line, in the layout of the original code and in diffusers'.
#include "model/tables/tables.h"

namespace kilter::model::tables {
namespace {

constexpr std::string_view kLdmCovers =
    "input_blocks. middle_block. output_blocks. time_embed. out. label_emb.";
constexpr std::string_view kDiffusersCovers =
    "down_blocks. mid_block. up_blocks. conv_in. conv_out. conv_norm_out. time_embedding. "
    "add_embedding. class_embedding.";
constexpr std::string_view kLdmSource =
    "CompVis/stable-diffusion ldm/modules/diffusionmodules/openaimodel.py; "
    "huggingface/diffusers loaders/single_file_utils.py";
constexpr std::string_view kDiffusersSource =
    "huggingface/diffusers models/unets/unet_2d_condition.py";

constexpr Signature kRows[] = {
    {"sd1-unet", "sd1", "Stable Diffusion 1.x", "unet", 90, R"(
! input_blocks.1.1.transformer_blocks.0.attn2.to_k.weight [width:320,context-width:768]
! input_blocks.0.0.weight [width,in-channels,3,3]
! out.2.weight [out-channels,width,3,3]
! middle_block.1.transformer_blocks.0.attn2.to_k.weight [1280,context-width]
+ time_embed.0.weight [1280,width]
+ input_blocks.8.1.proj_in.weight [1280,1280,1,1]
+ output_blocks.11.1.transformer_blocks.0.attn2.to_k.weight [width,context-width]
- zero_convs.0.0.weight
- label_emb.0.0.weight
)",
     kLdmCovers, "", kLdmSource},
    {"sd2-unet", "sd2", "Stable Diffusion 2.x", "unet", 90, R"(
! input_blocks.1.1.transformer_blocks.0.attn2.to_k.weight [width:320,context-width:1024]
! input_blocks.0.0.weight [width,in-channels,3,3]
! out.2.weight [out-channels,width,3,3]
! middle_block.1.transformer_blocks.0.attn2.to_k.weight [1280,context-width]
+ time_embed.0.weight [1280,width]
+ input_blocks.8.1.proj_in.weight [1280,1280]
+ output_blocks.11.1.transformer_blocks.0.attn2.to_k.weight [width,context-width]
? label_emb.0.0.weight [1280,conditioning-width]
- zero_convs.0.0.weight
)",
     kLdmCovers, "", kLdmSource},
    {"sd-x4-unet", "sd2", "Stable Diffusion x4 upscaler", "unet", 90, R"(
! input_blocks.4.1.transformer_blocks.0.attn2.to_k.weight [512,context-width:1024]
! input_blocks.0.0.weight [width:256,in-channels:7,3,3]
! out.2.weight [out-channels,width,3,3]
+ label_emb.weight [1000,1024]
- zero_convs.0.0.weight
)",
     kLdmCovers, "", "Stability-AI/stablediffusion configs/stable-diffusion/x4-upscaling.yaml"},
    {"sdxl-unet", "sdxl", "Stable Diffusion XL base", "unet", 90, R"(
! input_blocks.4.1.transformer_blocks.0.attn2.to_k.weight [640,context-width:2048]
! input_blocks.0.0.weight [width:320,in-channels,3,3]
! label_emb.0.0.weight [1280,conditioning-width:2816]
! out.2.weight [out-channels,width,3,3]
+ time_embed.0.weight [1280,width]
+ middle_block.1.transformer_blocks.9.attn2.to_k.weight [1280,context-width]
+ output_blocks.8.0.in_layers.0.weight
- zero_convs.0.0.weight
)",
     kLdmCovers, "", "Stability-AI/generative-models configs/inference/sd_xl_base.yaml"},
    {"sdxl-refiner-unet", "sdxl", "Stable Diffusion XL refiner", "unet", 90, R"(
! input_blocks.4.1.transformer_blocks.0.attn2.to_k.weight [768,context-width:1280]
! input_blocks.0.0.weight [width:384,in-channels,3,3]
! label_emb.0.0.weight [1536,conditioning-width:2560]
! out.2.weight [out-channels,width,3,3]
+ time_embed.0.weight [1536,width]
+ middle_block.1.transformer_blocks.3.attn2.to_k.weight [1536,context-width]
- zero_convs.0.0.weight
)",
     kLdmCovers, "", "Stability-AI/generative-models configs/inference/sd_xl_refiner.yaml"},
    {"sd1-unet-diffusers", "sd1", "Stable Diffusion 1.x", "unet", 90, R"(
! down_blocks.0.attentions.0.transformer_blocks.0.attn2.to_k.weight [width:320,context-width:768]
! conv_in.weight [width,in-channels,3,3]
! conv_out.weight [out-channels,width,3,3]
! mid_block.attentions.0.transformer_blocks.0.attn2.to_k.weight [1280,context-width]
+ time_embedding.linear_1.weight [1280,width]
+ up_blocks.3.attentions.2.transformer_blocks.0.attn2.to_k.weight [width,context-width]
- controlnet_cond_embedding.conv_in.weight
- add_embedding.linear_1.weight
)",
     kDiffusersCovers, "", kDiffusersSource},
    {"sd2-unet-diffusers", "sd2", "Stable Diffusion 2.x", "unet", 90, R"(
! down_blocks.0.attentions.0.transformer_blocks.0.attn2.to_k.weight [width:320,context-width:1024]
! conv_in.weight [width,in-channels,3,3]
! conv_out.weight [out-channels,width,3,3]
! mid_block.attentions.0.transformer_blocks.0.attn2.to_k.weight [1280,context-width]
+ time_embedding.linear_1.weight [1280,width]
+ up_blocks.3.attentions.2.transformer_blocks.0.attn2.to_k.weight [width,context-width]
? class_embedding.linear_1.weight [1280,conditioning-width]
- controlnet_cond_embedding.conv_in.weight
)",
     kDiffusersCovers, "", kDiffusersSource},
    {"sdxl-unet-diffusers", "sdxl", "Stable Diffusion XL base", "unet", 90, R"(
! down_blocks.1.attentions.0.transformer_blocks.0.attn2.to_k.weight [640,context-width:2048]
! conv_in.weight [width:320,in-channels,3,3]
! add_embedding.linear_1.weight [1280,conditioning-width:2816]
! conv_out.weight [out-channels,width,3,3]
+ time_embedding.linear_1.weight [1280,width]
+ mid_block.attentions.0.transformer_blocks.9.attn2.to_k.weight [1280,context-width]
- controlnet_cond_embedding.conv_in.weight
)",
     kDiffusersCovers, "", kDiffusersSource},
    {"sdxl-refiner-unet-diffusers", "sdxl", "Stable Diffusion XL refiner", "unet", 90, R"(
! down_blocks.1.attentions.0.transformer_blocks.0.attn2.to_k.weight [768,context-width:1280]
! conv_in.weight [width:384,in-channels,3,3]
! add_embedding.linear_1.weight [1536,conditioning-width:2560]
! conv_out.weight [out-channels,width,3,3]
+ time_embedding.linear_1.weight [1536,width]
+ mid_block.attentions.0.transformer_blocks.3.attn2.to_k.weight [1536,context-width]
- controlnet_cond_embedding.conv_in.weight
)",
     kDiffusersCovers, "", kDiffusersSource},
    {"animatediff-motion", "animatediff", "AnimateDiff motion module", "motion-module", 60, R"(
! down_blocks.{n}.motion_modules.{n}.temporal_transformer.transformer_blocks.{n}.attention_blocks.{n}.to_q.weight
+ up_blocks.{n}.motion_modules.{n}.temporal_transformer.proj_in.weight
)",
     "down_blocks. mid_block. up_blocks.", "",
     "guoyww/AnimateDiff animatediff/models/motion_module.py"},
};

}  // namespace

std::span<const Signature> diffusion_unets() { return kRows; }

}  // namespace kilter::model::tables
