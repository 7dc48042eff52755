#include "native/opened.h"

#include <new>

#include "base/checked.h"
#include "base/try.h"
#include "flow/fresh_memory.h"

namespace kilter::python {

ByteArray byte_array(std::span<const std::byte> bytes, std::shared_ptr<const void> owner) {
  static std::uint8_t none = 0;  // numpy wants an address for no bytes, too
  auto* data = bytes.empty()
                   ? &none
                   : const_cast<std::uint8_t*>(reinterpret_cast<const std::uint8_t*>(bytes.data()));
  using Owner = std::shared_ptr<const void>;
  auto kept = std::make_unique<Owner>(std::move(owner));
  const nb::capsule capsule(kept.get(),
                            [](void* held) noexcept { delete static_cast<Owner*>(held); });
  static_cast<void>(kept.release());
  return ByteArray(data, {bytes.size()}, capsule);
}

Result<FreshBytes> fresh_bytes(std::uint64_t bytes) {
  // Memory of large tensors comes in huge pages; asking for it costs nothing until it is touched.
  KILTER_ASSIGN(auto memory, flow::FreshMemory::map(bytes));
  const auto held = std::make_shared<flow::FreshMemory>(std::move(memory));
  return FreshBytes{std::shared_ptr<std::byte[]>(held, held->span().data()),
                    static_cast<std::size_t>(bytes)};
}

std::shared_ptr<const io::MappedFile> Opened::mapped(std::uint32_t file) const {
  std::lock_guard lock(mutex_);
  if (const auto found = maps_.find(file); found != maps_.end()) return found->second;
  std::shared_ptr<const io::MappedFile> map;
  if (const auto open = checkpoint_.source()->open_file(file); open != nullptr && open->fd() >= 0) {
    if (auto made = io::MappedFile::map_private(*open))
      map = std::make_shared<const io::MappedFile>(std::move(*made));
  }
  maps_.emplace(file, map);
  return map;
}

Result<Opened::Held> Opened::storage(std::size_t number, DType element) const {
  const StorageInfo& info = index().storages.at(number);
  const bool swapped = info.big_endian && dtype_row(element).swap_bytes > 1;
  if (info.coding == StorageCoding::kRaw && !swapped && info.bytes > 0) {
    const auto map = mapped(info.file);
    if (map != nullptr && range_fits(info.offset_bytes, info.bytes, map->bytes().size())) {
      map->advise(io::MapAdvice::kWillNeed, info.offset_bytes, info.bytes);
      return Held{map->bytes().subspan(info.offset_bytes, info.bytes), map};
    }
  }
  KILTER_ASSIGN(const FreshBytes fresh, fresh_bytes(info.bytes));
  KILTER_TRY(checkpoint_.source()->read_storage(number, element, 0, fresh.span()));
  return Held{fresh.span(), fresh.memory};
}

}  // namespace kilter::python
