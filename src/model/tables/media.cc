// Speech and vision.
#include "model/tables/tables.h"

namespace kilter::model::tables {
namespace {

constexpr std::string_view kVision = "vision";

constexpr Signature kSpeech[] = {
    {"whisper-hf", "whisper", "Whisper", "speech", 70, R"(
! encoder.conv1.weight [width,mels:80|128,3]
! decoder.layers.{decoder-layers}.encoder_attn.q_proj.weight [width,width]
! encoder.layers.{encoder-layers}.self_attn.q_proj.weight [width,width]
! decoder.embed_tokens.weight [vocabulary,width]
+ encoder.conv2.weight [width,width,3]
+ encoder.embed_positions.weight [*,width]
+ decoder.embed_positions.weight [context,width]
+ encoder.layers.{n}.fc1.weight [inner,width]
)",
     "encoder. decoder. ^proj_out.", "heads=width/64",
     "huggingface/transformers models/whisper/modeling_whisper.py"},
    {"whisper-openai", "whisper", "Whisper, OpenAI's naming", "speech", 70, R"(
! encoder.conv1.weight [width,mels:80|128,3]
! decoder.blocks.{decoder-layers}.cross_attn.query.weight [width,width]
! encoder.blocks.{encoder-layers}.attn.query.weight [width,width]
! decoder.token_embedding.weight [vocabulary,width]
+ encoder.conv2.weight [width,width,3]
+ encoder.ln_post.weight [width]
+ decoder.positional_embedding [context,width]
+ encoder.blocks.{n}.mlp.0.weight [inner,width]
)",
     "encoder. decoder.", "heads=width/64", "openai/whisper whisper/model.py"},
    {"xtts-v2", "xtts", "XTTS v2", "speech", 72, R"(
! gpt.conditioning_perceiver.latents [32,width]
! gpt.gpt.h.{layers}.attn.c_attn.weight [width,3*width]
! gpt.text_embedding.weight [vocabulary,width]
! gpt.mel_embedding.weight [audio-vocabulary,width]
+ gpt.mel_head.weight [audio-vocabulary,width]
+ gpt.conditioning_encoder.init.weight [width,80,1]
+ hifigan_decoder.waveform_decoder.conv_pre.weight
+ hifigan_decoder.speaker_encoder.conv1.weight
)",
     "gpt. hifigan_decoder. mel_stats dvae. torch_mel_spectrogram_ diffusion_decoder. vocoder.",
     "heads=width/64", "coqui-ai/TTS TTS/tts/models/xtts.py, TTS/tts/layers/xtts/gpt.py"},
    {"xtts-v1", "xtts", "XTTS v1", "speech", 71, R"(
! gpt.gpt.h.{layers}.attn.c_attn.weight [width,3*width]
! gpt.text_embedding.weight [vocabulary,width]
! gpt.mel_embedding.weight [audio-vocabulary,width]
+ gpt.conditioning_encoder.init.weight
- gpt.conditioning_perceiver.latents
)",
     "gpt. hifigan_decoder. diffusion_decoder. vocoder. dvae. mel_stats", "heads=width/64",
     "coqui-ai/TTS TTS/tts/models/xtts.py"},
    {"wav2vec2", "wav2vec2", "wav2vec 2.0 family", "speech", 60, R"(
! feature_extractor.conv_layers.0.conv.weight [*,1,*]
! encoder.layers.{layers}.attention.q_proj.weight [width,width]
+ feature_projection.projection.weight [width,*]
+ encoder.layers.{n}.feed_forward.intermediate_dense.weight [inner,width]
+ encoder.pos_conv_embed.conv.bias [width]
)",
     "feature_extractor. feature_projection. encoder. masked_spec_embed ^lm_head. ^quantizer. "
     "^project_",
     "", "huggingface/transformers models/wav2vec2/modeling_wav2vec2.py"},
};

constexpr Signature kVisionRows[] = {
    {"clip-hf", "clip", "CLIP", "image-and-text", 52, R"(
! vision_model.encoder.layers.{vision-layers}.self_attn.q_proj.weight [width,width]
! text_model.encoder.layers.{text-layers}.self_attn.q_proj.weight [text-width,text-width]
! vision_model.embeddings.patch_embedding.weight [width,3,patch,patch]
! text_model.embeddings.token_embedding.weight [vocabulary,text-width]
+ visual_projection.weight [projection,width]
+ text_projection.weight [projection,text-width]
+ logit_scale
)",
     "vision_model. text_model. visual_projection. text_projection. logit_scale", "heads=width/64",
     "huggingface/transformers models/clip/modeling_clip.py"},
    {"clip-vision-hf", "clip-vision", "CLIP image encoder", "image-encoder", 45, R"(
! vision_model.encoder.layers.{layers}.self_attn.q_proj.weight [width,width]
! vision_model.embeddings.patch_embedding.weight [width,3,patch,patch]
+ vision_model.embeddings.position_embedding.weight [*,width]
+ vision_model.embeddings.class_embedding [width]
- text_model.embeddings.token_embedding.weight
)",
     "vision_model. visual_projection.", "heads=width/64",
     "huggingface/transformers models/clip/modeling_clip.py"},
    {"clip-openai", "clip", "CLIP, OpenAI's naming", "image-and-text", 52, R"(
! visual.transformer.resblocks.{vision-layers}.attn.in_proj_weight [3*width,width]
! transformer.resblocks.{text-layers}.attn.in_proj_weight [3*text-width,text-width]
! visual.conv1.weight [width,3,patch,patch]
! token_embedding.weight [vocabulary,text-width]
+ visual.proj [width,projection]
+ text_projection [text-width,projection]
+ logit_scale
)",
     "visual. transformer. token_embedding. positional_embedding ln_final. text_projection "
     "logit_scale",
     "heads=width/64", "openai/CLIP clip/model.py; mlfoundations/open_clip"},
    {"clip-resnet", "clip", "CLIP with a ResNet, OpenAI's naming", "image-and-text", 52, R"(
! visual.attnpool.positional_embedding [*,width]
! transformer.resblocks.{text-layers}.attn.in_proj_weight [3*text-width,text-width]
! visual.layer1.0.conv1.weight
+ token_embedding.weight [vocabulary,text-width]
)",
     "visual. transformer. token_embedding. positional_embedding ln_final. text_projection "
     "logit_scale",
     "", "openai/CLIP clip/model.py"},
    {"clip-vision-openai", "clip-vision", "CLIP image encoder, OpenAI's naming", "image-encoder",
     45,
     R"(
! visual.transformer.resblocks.{layers}.attn.in_proj_weight [3*width,width]
! visual.conv1.weight [width,3,patch,patch]
+ visual.class_embedding [width]
- token_embedding.weight
)",
     "visual.", "heads=width/64", "openai/CLIP clip/model.py"},
    {"vit-hf", "vit", "Vision Transformer", kVision, 50, R"(
! encoder.layer.{layers}.attention.attention.query.weight [width,width]
! embeddings.patch_embeddings.projection.weight [width,3,patch,patch]
! encoder.layer.{n}.intermediate.dense.weight [inner,width]
+ embeddings.cls_token [1,1,width]
+ embeddings.position_embeddings [1,*,width]
+ layernorm.weight [width]
? ^classifier.weight [classes,width]
- encoder.layer.{n}.layer_scale1.lambda1
)",
     "encoder. embeddings. layernorm. pooler. ^classifier.", "heads=width/64",
     "huggingface/transformers models/vit/modeling_vit.py"},
    {"dinov2-hf", "dinov2", "DINOv2", kVision, 50, R"(
! encoder.layer.{layers}.attention.attention.query.weight [width,width]
! encoder.layer.{n}.layer_scale1.lambda1 [width]
! embeddings.patch_embeddings.projection.weight [width,3,patch,patch]
+ embeddings.cls_token [1,1,width]
)",
     "encoder. embeddings. layernorm. ^classifier.", "heads=width/64",
     "huggingface/transformers models/dinov2/modeling_dinov2.py"},
    {"vit-timm", "vit", "Vision Transformer, timm's naming", kVision, 50, R"(
! blocks.{layers}.attn.qkv.weight [3*width,width]
! patch_embed.proj.weight [width,3,patch,patch]
! blocks.{n}.mlp.fc1.weight [inner,width]
+ cls_token [1,1,width]
+ pos_embed [1,*,width]
+ norm.weight [width]
? head.weight [classes,width]
- blocks.{n}.ls1.gamma
- blocks.{n}.attn.rel_pos_h
)",
     "blocks. patch_embed. cls_token pos_embed norm. head. fc_norm. dist_token head_dist.",
     "heads=width/64", "huggingface/pytorch-image-models timm/models/vision_transformer.py"},
    {"dinov2", "dinov2", "DINOv2", kVision, 50, R"(
! blocks.{layers}.attn.qkv.weight [3*width,width]
! blocks.{n}.ls1.gamma [width]
! patch_embed.proj.weight [width,3,patch,patch]
+ cls_token [1,1,width]
+ pos_embed [1,*,width]
)",
     "blocks. patch_embed. cls_token pos_embed norm. head. mask_token register_tokens",
     "heads=width/64", "facebookresearch/dinov2 dinov2/models/vision_transformer.py"},
    {"sam", "sam", "Segment Anything", kVision, 52, R"(
! image_encoder.blocks.{layers}.attn.rel_pos_h
! image_encoder.patch_embed.proj.weight [width,3,16,16]
! mask_decoder.iou_token.weight
+ prompt_encoder.no_mask_embed.weight
)",
     "image_encoder. mask_decoder. prompt_encoder.", "",
     "facebookresearch/segment-anything segment_anything/modeling/sam.py"},
    {"swin", "swin", "Swin Transformer", kVision, 50, R"(
! layers.{stages}.blocks.{n}.attn.relative_position_bias_table
! layers.{n}.blocks.{n}.attn.qkv.weight
! patch_embed.proj.weight [width,3,patch,patch]
+ head.weight [classes,*]
)",
     "layers. patch_embed. norm. head. absolute_pos_embed", "",
     "microsoft/Swin-Transformer models/swin_transformer.py"},
    {"resnet", "resnet", "ResNet (torchvision)", kVision, 50, R"(
! layer1.{n}.conv1.weight
! conv1.weight [64,3,7,7]
! layer4.{n}.conv2.weight
! bn1.running_mean [64]
+ layer1.{n}.bn1.weight
+ fc.weight [classes,*]
)",
     "layer1. layer2. layer3. layer4. conv1. bn1. fc.", "",
     "pytorch/vision torchvision/models/resnet.py"},
    {"esrgan", "esrgan", "ESRGAN upscaler", kVision, 50, R"(
! body.{blocks}.rdb1.conv1.weight [*,width,3,3]
! conv_first.weight [width,in-channels,3,3]
! conv_last.weight [out-channels,width,3,3]
+ conv_up1.weight
+ conv_body.weight
)",
     "body. conv_", "", "xinntao/Real-ESRGAN; XPixelGroup/BasicSR basicsr/archs/rrdbnet_arch.py"},
    {"esrgan-old", "esrgan", "ESRGAN upscaler, first naming", kVision, 50, R"(
! model.1.sub.{blocks}.RDB1.conv1.0.weight [*,width,3,3]
! model.0.weight [width,in-channels,3,3]
+ model.3.weight
)",
     "model.", "", "xinntao/ESRGAN architecture.py"},
};

}  // namespace

std::span<const Signature> speech() { return kSpeech; }
std::span<const Signature> vision() { return kVisionRows; }

}  // namespace kilter::model::tables
