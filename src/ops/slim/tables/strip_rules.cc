// Sources: transformers' _keys_to_ignore_on_load_unexpected (position_ids, masked_bias, attn.bias,
// inv_freq: buffers that every model makes itself), CompVis' latent-diffusion (loss.*:
// discriminator and perceptual net of an autoencoder's training), transformers' Trainer and
// accelerate (files).
#include "ops/slim/strip_rules.h"

namespace kilter::ops {
namespace {

constexpr StripTensorRow kStripTensors[] = {
    {"*position_ids", 0, "position numbers, which models count themselves"},
    {"*.attn.masked_bias", 0, "a constant of the causal mask"},
    {"*.attention.masked_bias", 0, "a constant of the causal mask"},
    {"*.attn.bias", 4, "the causal mask, which models make themselves"},
    {"*.attention.bias", 4, "the causal mask, which models make themselves"},
    {"*rotary_emb.inv_freq", 1, "frequencies, which models compute themselves"},
    {"loss.*", 0, "a loss module of training"},
    {"first_stage_model.loss.*", 0, "a loss module of training"},
};

constexpr StripFileRow kStripFiles[] = {
    {"trainer_state.json", "the trainer's state"},
    {"training_args*", "the trainer's arguments"},
    {"optimizer*", "optimizer state"},
    {"scheduler*", "schedule of the learning rate"},
    {"rng_state*", "random state"},
    {"random_states*", "random state"},
    {"scaler*", "loss scaling"},
    {"*events.out.tfevents*", "a log of training"},
    {"runs/*", "a log of training"},
    {"all_results.json", "a log of training"},
    {"train_results.json", "a log of training"},
    {"eval_results.json", "a log of training"},
};

}  // namespace

std::span<const StripTensorRow> strip_tensor_table() { return kStripTensors; }
std::span<const StripFileRow> strip_file_table() { return kStripFiles; }

}  // namespace kilter::ops
