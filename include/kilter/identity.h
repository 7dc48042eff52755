// What a checkpoint is, with evidence for each answer. Owned by the floor `model`.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "kilter/checkpoint.h"

namespace kilter {

/// One answer: a stable value ("adapter", "sdxl-base", "unknown"), how sure (0 to 1), and why.
struct Answer {
  std::string value = "unknown";
  std::string title;  ///< for people: "Stable Diffusion XL base"
  double confidence = 0;
  std::vector<std::string> evidence;  ///< keys, shapes, config fields that led to it
};

/// Parameters counted under one heading.
struct Count {
  std::string name;
  std::uint64_t tensor_count = 0;
  std::uint64_t parameter_count = 0;
  std::uint64_t bytes = 0;
};

/// Tensors that are one and the same, or share bytes.
struct SharedGroup {
  std::string kind;  ///< "tied" (same tensor) or "shared-storage" (views of one storage)
  std::vector<std::string> tensors;
  std::uint64_t bytes = 0;  ///< of the storage
};

struct Identity {
  /// "full-training", "weights", "adapter", "optimizer", "card-only", "config-only",
  /// "tokenizer-only", "tensors" (a collection that is no model), "state" (no tensors), "unknown"
  Answer instance;
  /// "base", "fine-tuned", "merged", "partial", "delta", "ema", "carries-ema", "unknown"
  Answer type;
  Answer architecture;  ///< family: "llama", "sdxl", "bert", …
  Answer variant;       ///< "sdxl-base", "llama-7b-shaped", "inpaint", …
  Answer adapter;  ///< "lora-kohya", "lora-peft", "lora-diffusers", "ia3", "loha", "lokr"; else
                   ///< unknown
  Answer licence;
  std::vector<std::pair<std::string, std::string>> sizes;  ///< "layers" "32", "width" "4096", …
  std::vector<Count> by_dtype;
  std::vector<Count> by_part;  ///< "unet", "text-encoder", "vae", "optimizer", "ema", "layers", …
  std::uint64_t parameter_count = 0;  ///< of weights; tied tensors once
  std::uint64_t tensor_bytes = 0;
  std::vector<SharedGroup> shared;
  /// Step, epoch, loss, learning rate and whatever else is stated: (key, value as text, where).
  struct Stated {
    std::string key;
    std::string value;
    std::string source;  ///< "state: epoch", "config.json", "__metadata__"
  };
  std::vector<Stated> stated;
};

/// Recognizes by signature tables (src/model/tables). Looks at names, shapes, state, metadata and
/// documents only: never at tensor bytes.
Identity identify(const CheckpointData& data);

/// The part each tensor belongs to: "weights", "ema", "optimizer" or "other"; by index.
std::vector<std::string> tensor_parts(const CheckpointData& data);

/// The name of each tensor inside its part, containers such as `state_dict.` and `module.` removed
/// where that stays unambiguous; by index.
std::vector<std::string> unwrapped_names(const CheckpointData& data);

}  // namespace kilter
