// Licence texts by phrases of their first pages; parts of models by pieces of names.
#include "model/tables/tables.h"

namespace kilter::model {
namespace {

// Source: the texts themselves, as the Hub's licence list and SPDX name them.
constexpr LicenceRow kLicences[] = {
    {"apache-2.0", "Apache License 2.0", "apache license|version 2.0"},
    {"llama4", "Llama 4 Community License", "llama 4 community license"},
    {"llama3.3", "Llama 3.3 Community License", "llama 3.3 community license"},
    {"llama3.2", "Llama 3.2 Community License", "llama 3.2 community license"},
    {"llama3.1", "Llama 3.1 Community License", "llama 3.1 community license"},
    {"llama3", "Llama 3 Community License", "llama 3 community license"},
    {"llama2", "Llama 2 Community License", "llama 2 community license"},
    {"gemma", "Gemma Terms of Use", "gemma terms of use"},
    {"openrail++", "CreativeML Open RAIL++-M", "open rail++-m"},
    {"creativeml-openrail-m", "CreativeML Open RAIL-M", "creativeml open rail-m"},
    {"bigscience-bloom-rail-1.0", "BigScience BLOOM RAIL 1.0", "bigscience rail license"},
    {"bigcode-openrail-m", "BigCode OpenRAIL-M", "bigcode open rail-m"},
    {"flux-1-dev-non-commercial-license", "FLUX.1 [dev] Non-Commercial License",
     "flux.1 [dev] non-commercial license"},
    {"stabilityai-ai-community", "Stability AI Community License",
     "stability ai community license"},
    {"stabilityai-nc-research-community", "Stability AI Non-Commercial Research Community License",
     "stability ai non-commercial research community license"},
    {"mrl", "Mistral AI Research License", "mistral ai research license"},
    {"mnpl", "Mistral AI Non-Production License", "mistral ai non-production license"},
    {"qwen", "Qwen License", "tongyi qianwen license"},
    {"qwen-research", "Qwen Research License", "qwen research license"},
    {"deepseek", "DeepSeek License", "deepseek license agreement"},
    {"coqui-public-model-license", "Coqui Public Model License", "coqui public model license"},
    {"cc-by-nc-sa-4.0", "CC BY-NC-SA 4.0", "attribution-noncommercial-sharealike 4.0"},
    {"cc-by-nc-nd-4.0", "CC BY-NC-ND 4.0", "attribution-noncommercial-noderivatives 4.0"},
    {"cc-by-nc-4.0", "CC BY-NC 4.0", "attribution-noncommercial 4.0"},
    {"cc-by-sa-4.0", "CC BY-SA 4.0", "attribution-sharealike 4.0"},
    {"cc-by-4.0", "CC BY 4.0", "attribution 4.0 international"},
    {"cc0-1.0", "CC0 1.0", "cc0 1.0 universal"},
    {"agpl-3.0", "GNU AGPL 3.0", "gnu affero general public license|version 3"},
    {"lgpl-3.0", "GNU LGPL 3.0", "gnu lesser general public license|version 3"},
    {"gpl-3.0", "GNU GPL 3.0", "gnu general public license|version 3"},
    {"gpl-2.0", "GNU GPL 2.0", "gnu general public license|version 2"},
    {"mpl-2.0", "Mozilla Public License 2.0", "mozilla public license|version 2.0"},
    {"bsd-3-clause", "BSD 3-Clause",
     "redistribution and use in source and binary forms|neither the name"},
    {"bsd-2-clause", "BSD 2-Clause", "redistribution and use in source and binary forms"},
    {"mit", "MIT",
     "permission is hereby granted, free of charge|the software is provided \"as is\""},
    {"unlicense", "The Unlicense",
     "this is free and unencumbered software released into the public domain"},
};

// First row that fits. Names are lower case here.
constexpr PartRow kParts[] = {
    {"adapter", ".lora_ lora_unet_ lora_te .hada_ .lokr_ ia3_l .dora_scale"},
    {"quantization",
     ".weight_scale .scb$ .absmax$ .quant_map$ .nested_ .quant_state. .qzeros$ .g_idx$ "
     ".scales$ .input_scale$ .weight_zero_point$ .weight_shape$"},
    {"norm", "norm ln_ .ln. .bn bn1. bn2. bn3. .groupnorm"},
    {"head",
     "lm_head embed_out. output_layer. proj_out.weight$ classifier. .head. score. "
     "cls.predictions vocab_projector vocab_transform pre_classifier mel_head text_head "
     "qa_outputs"},
    {"embeddings",
     "embed wte. wpe. position_ids cls_token pos_emb .emb. emb.weight shared.weight "
     "class_embedding token_type relative_attention_bias"},
    {"experts", "experts."},
    {"router", ".gate.weight .router. gate.e_score shared_expert_gate"},
    {"attention", "attn attention q_proj k_proj v_proj o_proj qkv wqkv query_key_value"},
    {"mlp",
     "mlp ffn feed_forward .fc fc1. fc2. intermediate.dense output.dense densereludense ff.net "
     ".w1. .w2. .w3. dense_h_to_4h dense_4h_to_h linear1. linear2. .linear lin1. lin2."},
    {"recurrent", "lstm gru rnn. weight_ih weight_hh bias_ih bias_hh mixer. ssm"},
    {"convolution", "conv downsample upsample resnets in_layers out_layers skip_connection"},
};

}  // namespace

std::span<const LicenceRow> licence_table() { return kLicences; }
std::span<const PartRow> part_table() { return kParts; }

}  // namespace kilter::model
