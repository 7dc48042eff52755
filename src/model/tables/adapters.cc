// Namings of adapters, and what tells the model an adapter is for.
#include "model/tables/tables.h"

namespace kilter::model {
namespace {

// kohya and LyCORIS fold the path with '_' behind one of these.
constexpr std::string_view kKohya = "lora_|lycoris_";
constexpr std::string_view kDown = ".lora_down.weight";

constexpr AdapterRow kRows[] = {
    {"dora", "DoRA magnitudes", "", "",
     ".dora_scale|.lora_magnitude_vector|.lora_magnitude_vector.weight|"
     ".lora_magnitude_vector.default.weight",
     "", "arXiv 2402.09353; huggingface/peft tuners/lora/dora.py; KohakuBlueleaf/LyCORIS"},
    {"loha", "LoHa", "", ".hada_", ".hada_w1_a|.hada_w1_b|.hada_w2_a|.hada_w2_b|.hada_t1|.hada_t2",
     ".hada_w1_b", "KohakuBlueleaf/LyCORIS lycoris/modules/loha.py; huggingface/peft tuners/loha"},
    {"lokr", "LoKr", "", ".lokr_",
     ".lokr_w1|.lokr_w1_a|.lokr_w1_b|.lokr_w2|.lokr_w2_a|.lokr_w2_b|.lokr_t2",
     ".lokr_w1_b|.lokr_w2_b",
     "KohakuBlueleaf/LyCORIS lycoris/modules/lokr.py; huggingface/peft tuners/lokr"},
    {"ia3", "IA3", "", "ia3_l", "ia3_l|ia3_l.default|ia3_l.weight", "",
     "huggingface/peft tuners/ia3/layer.py"},
    {"ia3", "IA3 (LyCORIS)", kKohya, "", ".on_input", "",
     "KohakuBlueleaf/LyCORIS lycoris/modules/ia3.py"},
    {"glora", "GLoRA", "", "", ".a1.weight|.a2.weight|.b1.weight|.b2.weight", ".a2.weight",
     "KohakuBlueleaf/LyCORIS lycoris/modules/glora.py"},
    {"oft", "OFT", "", "", ".oft_blocks|.oft_diag|.oft_r|.boft_R|.boft_s", "",
     "KohakuBlueleaf/LyCORIS lycoris/modules/diag_oft.py; huggingface/peft tuners/oft"},
    {"full-diff", "Full difference", "", "", ".diff|.diff_b", "",
     "KohakuBlueleaf/LyCORIS lycoris/modules/full.py; Comfy-Org/ComfyUI comfy/weight_adapter"},
    {"lora-kohya", "LoRA, kohya's naming", kKohya, "",
     ".lora_down.weight|.lora_up.weight|.lora_mid.weight", kDown,
     "kohya-ss/sd-scripts networks/lora.py"},
    {"lora-xlabs", "LoRA, XLabs' naming", "", ".processor.",
     "qkv_lora.down.weight|qkv_lora.up.weight|proj_lora.down.weight|proj_lora.up.weight|"
     "qkv_lora1.down.weight|qkv_lora1.up.weight|proj_lora1.down.weight|proj_lora1.up.weight|"
     "qkv_lora2.down.weight|qkv_lora2.up.weight|proj_lora2.down.weight|proj_lora2.up.weight",
     "_lora.down.weight|_lora1.down.weight|_lora2.down.weight", "XLabs-AI/x-flux"},
    {"lora-comfyui", "LoRA, ComfyUI's naming",
     "diffusion_model.|text_encoders.|clip_l.|clip_g.|t5xxl.", "",
     ".lora_down.weight|.lora_up.weight|.lora_A.weight|.lora_B.weight|.lora_A.default.weight|.lora_"
     "B.default.weight",
     ".lora_down.weight|.lora_A.weight|.lora_A.default.weight", "Comfy-Org/ComfyUI comfy/lora.py"},
    {"lora-diffusers", "LoRA, diffusers' naming",
     "unet.|text_encoder.|text_encoder_2.|transformer.|prior.", "",
     ".lora_A.weight|.lora_B.weight|.lora_A.default.weight|.lora_B.default.weight|.lora.down."
     "weight|.lora.up.weight|.lora_linear_layer.down.weight|.lora_linear_layer.up.weight|_lora."
     "down.weight|_lora.up.weight",
     ".lora_A.weight|.lora_A.default.weight|.lora.down.weight|.lora_linear_layer.down.weight|_lora."
     "down.weight",
     "huggingface/diffusers loaders/lora_pipeline.py"},
    {"lora-diffusers", "LoRA, diffusers' first naming (attention processors)", "", ".processor.",
     "_lora.down.weight|_lora.up.weight", "_lora.down.weight",
     "huggingface/diffusers loaders/unet.py (attn_procs)"},
    {"lora-peft", "LoRA, PEFT's naming", "", ".lora_",
     ".lora_A.weight|.lora_B.weight|.lora_A.default.weight|.lora_B.default.weight|.lora_embedding_"
     "A|.lora_embedding_B|.lora_embedding_A.default|.lora_embedding_B.default|.lora_A|.lora_B|."
     "lora_E|.lora_B.bias",
     ".lora_A.weight|.lora_A.default.weight|.lora_embedding_A|.lora_A",
     "huggingface/peft tuners/lora/layer.py, utils/save_and_load.py"},
    {"lora-kohya", "LoRA, kohya's factors under dotted names", "", "",
     ".lora_down.weight|.lora_up.weight", kDown, "Comfy-Org/ComfyUI comfy/lora.py"},
    {"", "alpha of an adapter's layer", "", "", ".alpha", "",
     "kohya-ss/sd-scripts networks/lora.py"},
    {"", "norms and biases an adapter replaces", kKohya, "", ".w_norm|.b_norm|.bias|.weight", "",
     "KohakuBlueleaf/LyCORIS lycoris/modules/norms.py"},
    {"prompt-tuning", "Soft prompt", "prompt_embeddings|prompt_encoder.", "", "", "",
     "huggingface/peft tuners/prompt_tuning"},
    {"textual-inversion", "Textual inversion", "string_to_param.|emb_params|string_to_token.", "",
     "", "",
     "rinongal/textual_inversion; AUTOMATIC1111/stable-diffusion-webui modules/textual_inversion"},
};

constexpr AdapterBaseRow kBases[] = {
    {"flux", "Flux.1", "double_blocks", 0, 0.9, "black-forest-labs/flux src/flux/model.py"},
    {"flux", "Flux.1", "single_transformer_blocks", 0, 0.9,
     "huggingface/diffusers models/transformers/transformer_flux.py"},
    {"sd3", "Stable Diffusion 3", "joint_blocks", 0, 0.9, "Stability-AI/sd3.5 mmditx.py"},
    {"sdxl", "Stable Diffusion XL", "lora_te2_", 0, 0.95, "kohya-ss/sd-scripts networks/lora.py"},
    {"sdxl", "Stable Diffusion XL", "text_encoder_2. attn2", 0, 0.9, "huggingface/diffusers"},
    {"sdxl", "Stable Diffusion XL", "attn2 to_k", 2048, 0.95,
     "Stability-AI/generative-models configs/inference/sd_xl_base.yaml"},
    {"sdxl", "Stable Diffusion XL refiner", "attn2 to_k", 1280, 0.7,
     "Stability-AI/generative-models configs/inference/sd_xl_refiner.yaml"},
    {"sd2", "Stable Diffusion 2.x", "attn2 to_k", 1024, 0.95, "Stability-AI/stablediffusion"},
    {"sd1", "Stable Diffusion 1.x", "attn2 to_k", 768, 0.95, "CompVis/stable-diffusion"},
    {"sd3", "Stable Diffusion 3", "transformer_blocks add_q_proj", 1536, 0.85,
     "huggingface/diffusers"},
    {"flux", "Flux.1", "transformer_blocks add_q_proj", 3072, 0.85, "huggingface/diffusers"},
    {"wan", "Wan video", "blocks cross_attn", 5120, 0.7, "Wan-Video/Wan2.1"},
    {"whisper", "Whisper", "encoder_attn q_proj", 0, 0.6, "huggingface/transformers"},
    {"t5", "T5", "SelfAttention", 0, 0.7, "huggingface/transformers"},
    {"deepseek-v2", "DeepSeek V2 or V3", "kv_a_proj_with_mqa", 0, 0.6, "huggingface/transformers"},
    {"phi3", "Phi-3 layout", "self_attn qkv_proj", 0, 0.6, "huggingface/transformers"},
    {"llama", "Llama layout (Llama, Mistral, Qwen, …)", "layers self_attn q_proj", 0, 0.5,
     "huggingface/transformers"},
    {"llama", "Llama layout (Llama, Mistral, Qwen, …)", "layers self_attn v_proj", 0, 0.5,
     "huggingface/transformers"},
    {"llama", "Llama layout (Llama, Mistral, Qwen, …)", "layers mlp gate_proj", 0, 0.5,
     "huggingface/transformers"},
    {"gpt2", "GPT-2", "h attn c_attn", 0, 0.7, "huggingface/transformers"},
    {"gpt-j", "GPT-J layout", "h attn q_proj", 0, 0.5, "huggingface/transformers"},
    {"gpt-neox", "GPT-NeoX", "layers attention query_key_value", 0, 0.7,
     "huggingface/transformers"},
    {"falcon", "Falcon or BLOOM", "h self_attention query_key_value", 0, 0.5,
     "huggingface/transformers"},
    {"bert", "BERT layout (BERT, RoBERTa)", "encoder layer attention self query", 0, 0.5,
     "huggingface/transformers"},
    {"distilbert", "DistilBERT", "transformer layer attention q_lin", 0, 0.8,
     "huggingface/transformers"},
    {"vit", "Vision Transformer", "encoder layer attention attention query", 0, 0.6,
     "huggingface/transformers"},
};

}  // namespace

std::span<const AdapterRow> adapter_table() { return kRows; }
std::span<const AdapterBaseRow> adapter_base_table() { return kBases; }

}  // namespace kilter::model
