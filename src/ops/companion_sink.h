// A sink that writes further files beside those of another sink.
#pragma once

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "flow/sink.h"

namespace kilter::ops {

/// Small texts (a state file) and copies of whole files (config, tokenizer) that belong to an
/// output. Copies are the plan's outputs from `inner_output_count` on, one file each.
class CompanionSink : public Sink {
 public:
  CompanionSink(std::unique_ptr<Sink> inner, std::size_t inner_output_count)
      : inner_(std::move(inner)), inner_output_count_(inner_output_count) {}

  void add_text(std::string name, std::string text) {
    texts_.emplace_back(std::move(name), std::move(text));
  }

  Result<std::vector<FileLayout>> layout(const Plan& plan) override;
  bool wants_checksums() const override { return inner_->wants_checksums(); }
  Status fill_late(std::size_t file, std::size_t index, const OutputChecksums& crc32,
                   std::span<std::byte> out) override;

 private:
  std::unique_ptr<Sink> inner_;
  std::size_t inner_output_count_;
  std::vector<std::pair<std::string, std::string>> texts_;
  std::size_t companion_count_ = 0;  ///< files before the inner sink's
};

}  // namespace kilter::ops
