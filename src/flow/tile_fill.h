// Makes the bytes of one tile of an output file.
#pragma once

#include <cstdint>
#include <set>
#include <utility>
#include <vector>

#include "flow/block_cache.h"
#include "flow/memory_plan.h"
#include "flow/tile_map.h"
#include "io/buffer_pool.h"

namespace kilter::flow {

/// Output bytes that were read ahead for a tile.
struct StagedPart {
  std::size_t segment = 0;
  Bytes bytes;
};

/// CRC-32 of a run of one output's bytes.
struct ChecksumPiece {
  std::size_t output = 0;
  std::uint32_t crc32 = 0;
  std::uint64_t bytes = 0;
  std::uint64_t run_offset = 0;  ///< in the tile
};

struct TileFill {
  Status status;
  std::vector<ChecksumPiece> checksums;  ///< in file order; only where wanted
  std::vector<SegmentPart> late;         ///< still to be filled, in order
  std::uint64_t read_bytes = 0;
};

/// Fills tiles from literals, zeros, sources and kernels. Thread-safe.
class TileFiller {
 public:
  TileFiller(const Plan& plan, const MemoryPlan& memory, bool wants_checksums);

  /// Bytes [offset_bytes, offset_bytes + out.size()) of the file. `staged` parts (by ascending
  /// segment) are copied, other output bytes are read or computed. Late segments are left zero.
  TileFill fill(const FileMap& map, std::uint64_t offset_bytes, std::span<std::byte> out,
                const std::vector<StagedPart>& staged);

 private:
  Status fill_output(std::size_t number, std::uint64_t offset_bytes, std::span<std::byte> out);
  Status compute(std::size_t number, std::uint64_t offset_bytes, std::span<std::byte> out);
  Status compute_groups(std::size_t number, std::uint64_t first_element,
                        std::uint64_t element_count, std::span<std::byte> out,
                        std::span<std::byte> scratch);
  Status read_input(std::size_t number, std::size_t input_number, std::uint64_t offset_bytes,
                    std::span<std::byte> out);

  const Plan& plan_;
  std::uint64_t scratch_bytes_;
  bool wants_checksums_;
  io::BufferPool kernel_buffers_;
  std::set<std::pair<std::size_t, std::size_t>> in_blocks_;  ///< outputs and their inputs' numbers
  BlockCache blocks_;
};

/// True if input `input` of the output is best read in blocks.
bool wants_blocks(const PlanInput& input);

/// Bytes of kernel inputs that eight elements of the output need: what a thread's kernel scratch
/// must at least hold.
std::uint64_t kernel_group_bytes(const PlanOutput& output);

/// CRC-32 (IEEE) of `a` followed by `b`, from theirs.
std::uint32_t combine_crc32(std::uint32_t a, std::uint32_t b, std::uint64_t b_bytes);

}  // namespace kilter::flow
