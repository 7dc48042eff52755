// What stands beside a UNet: VAE, ControlNet, text encoders.
#include "model/tables/tables.h"

namespace kilter::model::tables {
namespace {

constexpr std::string_view kControlLdmCovers =
    "input_blocks. middle_block. time_embed. label_emb. input_hint_block. zero_convs. "
    "middle_block_out.";
constexpr std::string_view kControlDiffusersCovers =
    "down_blocks. mid_block. conv_in. time_embedding. add_embedding. controlnet_";

constexpr Signature kRows[] = {
    {"controlnet-ldm", "controlnet", "ControlNet", "controlnet", 95, R"(
! input_hint_block.0.weight [*,hint-channels,3,3]
! zero_convs.0.0.weight [width,width,1,1]
! input_blocks.0.0.weight [width,in-channels,3,3]
+ middle_block_out.0.weight
+ time_embed.0.weight [*,width]
? input_blocks.1.1.transformer_blocks.0.attn2.to_k.weight [*,context-width]
? input_blocks.4.1.transformer_blocks.0.attn2.to_k.weight [*,context-width]
- out.2.weight
)",
     kControlLdmCovers, "", "lllyasviel/ControlNet cldm/cldm.py"},
    {"controlnet-diffusers", "controlnet", "ControlNet", "controlnet", 95, R"(
! controlnet_cond_embedding.conv_in.weight [*,hint-channels,3,3]
! controlnet_down_blocks.0.weight [width,width,1,1]
! conv_in.weight [width,in-channels,3,3]
+ controlnet_mid_block.weight
+ time_embedding.linear_1.weight [*,width]
? down_blocks.0.attentions.0.transformer_blocks.0.attn2.to_k.weight [*,context-width]
? down_blocks.1.attentions.0.transformer_blocks.0.attn2.to_k.weight [*,context-width]
)",
     kControlDiffusersCovers, "", "huggingface/diffusers models/controlnets/controlnet.py"},
    {"controlnet-transformer", "controlnet", "ControlNet for a diffusion transformer", "controlnet",
     95, R"(
! controlnet_blocks.{n}.weight [width,width]
! transformer_blocks.{layers}.attn.to_q.weight [width,width]
+ context_embedder.weight [width,context-width]
)",
     "transformer_blocks. single_transformer_blocks. controlnet_ x_embedder. context_embedder. "
     "time_text_embed. pos_embed. pos_embed_input.",
     "", "huggingface/diffusers models/controlnets/controlnet_flux.py, controlnet_sd3.py"},
    {"vae-ldm", "vae", "VAE of latent diffusion (AutoencoderKL)", "vae", 40, R"(
! decoder.up.0.block.0.conv1.weight [128,*,3,3]
! decoder.conv_in.weight [512,latent-channels,3,3]
! decoder.conv_out.weight [3,128,3,3]
! decoder.mid.attn_1.q.weight [512,512,...]
+ encoder.conv_in.weight [128,3,3,3]
+ encoder.down.0.block.0.conv1.weight [128,128,3,3]
+ encoder.conv_out.weight [2*latent-channels,512,3,3]
- quantize.embedding.weight
)",
     "encoder. decoder. quant_conv. post_quant_conv.", "",
     "CompVis/latent-diffusion ldm/models/autoencoder.py"},
    {"vae-diffusers", "vae", "VAE of latent diffusion (AutoencoderKL)", "vae", 40, R"(
! decoder.up_blocks.0.resnets.0.conv1.weight [512,512,3,3]
! decoder.conv_in.weight [512,latent-channels,3,3]
! decoder.conv_out.weight [3,128,3,3]
! decoder.mid_block.resnets.0.conv1.weight [512,512,3,3]
+ encoder.conv_in.weight [128,3,3,3]
+ encoder.down_blocks.0.resnets.0.conv1.weight [128,128,3,3]
+ encoder.conv_out.weight [2*latent-channels,512,3,3]
- quantize.embedding.weight
)",
     "encoder. decoder. quant_conv. post_quant_conv.", "",
     "huggingface/diffusers models/autoencoders/autoencoder_kl.py"},
    {"clip-text-hf", "clip-text", "CLIP text encoder", "text-encoder", 30, R"(
! text_model.encoder.layers.{layers}.self_attn.q_proj.weight [width,width]
! text_model.embeddings.token_embedding.weight [vocabulary,width]
! text_model.encoder.layers.{n}.mlp.fc1.weight [inner,width]
+ text_model.embeddings.position_embedding.weight [context,width]
+ text_model.final_layer_norm.weight [width]
- vision_model.embeddings.patch_embedding.weight
)",
     "text_model. text_projection", "heads=width/64",
     "huggingface/transformers models/clip/modeling_clip.py"},
    {"clip-text-bare", "clip-text", "CLIP text encoder", "text-encoder", 30, R"(
! encoder.layers.{layers}.self_attn.q_proj.weight [width,width]
! embeddings.token_embedding.weight [vocabulary,width]
! encoder.layers.{n}.mlp.fc1.weight [inner,width]
+ embeddings.position_embedding.weight [context,width]
+ final_layer_norm.weight [width]
- ^vision_model.embeddings.patch_embedding.weight
- ^text_model.embeddings.token_embedding.weight
)",
     "encoder. embeddings. final_layer_norm.", "heads=width/64",
     "huggingface/transformers models/clip/modeling_clip.py"},
    {"clip-text-open", "clip-text", "OpenCLIP text encoder", "text-encoder", 30, R"(
! transformer.resblocks.{layers}.attn.in_proj_weight [3*width,width]
! token_embedding.weight [vocabulary,width]
! transformer.resblocks.{n}.mlp.c_fc.weight [inner,width]
+ positional_embedding [context,width]
+ ln_final.weight [width]
- visual.conv1.weight
)",
     "transformer. token_embedding. positional_embedding ln_final. text_projection logit_scale",
     "heads=width/64", "mlfoundations/open_clip src/open_clip/transformer.py"},
};

}  // namespace

std::span<const Signature> diffusion_parts() { return kRows; }

}  // namespace kilter::model::tables
