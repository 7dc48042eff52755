// One sink for several: a plan's outputs dealt out to ranks, each with files of its own.
#pragma once

#include <memory>
#include <utility>
#include <vector>

#include "flow/sink.h"

namespace kilter::ops {

/// `rank_of` gives, for each output of the plan, the inner sink that writes it. Inner sinks need no
/// checksums and have no late segments.
class RankSinks final : public Sink {
 public:
  RankSinks(std::vector<std::unique_ptr<Sink>> inner, std::vector<unsigned> rank_of)
      : inner_(std::move(inner)), rank_of_(std::move(rank_of)) {}
  Result<std::vector<FileLayout>> layout(const Plan& plan) override;

 private:
  std::vector<std::unique_ptr<Sink>> inner_;
  std::vector<unsigned> rank_of_;
};

}  // namespace kilter::ops
