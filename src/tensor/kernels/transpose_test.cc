#include "tensor/kernels/transpose.h"

#include <gtest/gtest.h>

#include <random>
#include <vector>

namespace kilter {
namespace {

TEST(Transpose, AgreesWithTheReferenceForShapesAroundTheTileSizes) {
  std::mt19937 random(1);
  for (const std::uint32_t element : {1U, 2U, 4U, 8U, 16U}) {
    for (const std::int64_t rows : {1, 3, 16, 17, 64, 65, 131}) {
      for (const std::int64_t cols : {1, 2, 15, 16, 33, 64, 70}) {
        for (const std::int64_t source_row : {1, 2}) {
          const std::int64_t source_col = rows * source_row + 3, target_row = cols + 5;
          std::vector<std::byte> source(static_cast<std::size_t>(source_col * cols) * element + 1);
          for (std::byte& byte : source) byte = static_cast<std::byte>(random());
          std::vector<std::byte> expected(static_cast<std::size_t>(target_row * rows) * element +
                                          1);
          auto found = expected;
          TransposeBlock block{source.data() + 1,
                               expected.data() + 1,
                               source_row,
                               source_col,
                               target_row,
                               rows,
                               cols,
                               element};
          transpose_reference(block);
          block.target = found.data() + 1;
          transpose(block);
          ASSERT_EQ(found, expected) << element << ": " << rows << " x " << cols;
        }
      }
    }
  }
}

}  // namespace
}  // namespace kilter
