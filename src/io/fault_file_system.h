// Wraps a file system and makes its Nth call fail. Its files have no descriptors, so that every
// transfer, an IoQueue's too, passes here.
#pragma once

#include <cstdint>
#include <memory>

#include "io/file_system.h"

namespace kilter::io {

enum class Fault : std::uint8_t {
  kNone,
  kIoError,        ///< the call does nothing and returns kIo
  kNoSpace,        ///< kNoSpace; a write puts half of its bytes first, as a filling disk does
  kShortTransfer,  ///< a read or write moves half, and the rest counts as a further call; other
                   ///< calls are not touched
};

class FaultFileSystem : public FileSystem {
 public:
  /// The call with this number (from 0, counting every call that touches the disk) fails so; the
  /// ones after it work again, unless `sticky`.
  virtual void fail_at(std::uint64_t call, Fault fault, bool sticky = false) = 0;
  virtual std::uint64_t call_count() const = 0;
};
/// `inner` must outlive it.
std::unique_ptr<FaultFileSystem> make_fault_file_system(FileSystem& inner);

}  // namespace kilter::io
