#include "formats/torch/zip_storages.h"

#include "base/checked.h"

namespace kilter::torch {

void ZipStorages::fault(std::uint32_t storage, std::string rule, Severity severity, bool unusable,
                        Error error) {
  faults.push_back({storage, std::move(rule), severity, std::move(error), unusable});
}

StorageInfo ZipStorages::describe(const zip::Member& member, const StorageRequest& request,
                                  std::uint64_t needed_bytes, std::uint32_t number) {
  StorageInfo info;
  info.name = member.name;
  info.device = request.device;
  info.big_endian = big_endian_;
  info.offset_bytes = member.data_offset_bytes;
  info.stored_bytes = member.stored_bytes;
  info.bytes = member.bytes;
  info.coding = member.method == 8 ? StorageCoding::kDeflate : StorageCoding::kRaw;
  if (!member.readable() || (member.method == 0 && member.stored_bytes != member.bytes)) {
    fault(number, "torch.storage-unreadable", Severity::kMalformed, true,
          Error(ErrorCode::kMalformed, "storage member \"" + member.name + "\" cannot be read")
              .at_offset(member.header_offset_bytes)
              .wanted("data inside the file, stored or deflated",
                      "method " + std::to_string(member.method)));
    info.stored_bytes = info.bytes = 0;
    info.offset_bytes = 0;
    info.coding = StorageCoding::kRaw;
    return info;
  }
  info.crc32 = member.crc32;
  if (member.bytes == needed_bytes) return info;
  const bool shorter = member.bytes < needed_bytes;
  fault(number, "torch.storage-size", shorter ? Severity::kMalformed : Severity::kSuspicious,
        shorter,
        Error(ErrorCode::kMalformed,
              "storage member \"" + member.name + "\" has another size than the pickle states")
            .at_offset(member.data_offset_bytes)
            .wanted(std::to_string(needed_bytes) + " bytes",
                    std::to_string(member.bytes) + " bytes"));
  // What the pickle claims bounds every view, as in torch.
  if (!shorter && info.coding == StorageCoding::kRaw) {
    info.stored_bytes = info.bytes = needed_bytes;
    info.crc32.reset();
  }
  return info;
}

Result<StorageRef> ZipStorages::resolve(const StorageRequest& request, TensorIndex* index) {
  const auto needed = checked_mul(request.element_count, storage_element_bytes(request.dtype));
  if (!needed)
    return fail(Error(ErrorCode::kMalformed, "a storage of more than 2^64 bytes")
                    .at_offset(request.offset_bytes));
  StorageRef ref;
  ref.dtype = request.dtype;
  ref.untyped = request.untyped;
  ref.element_count = request.element_count;
  if (const auto known = known_.find(request.key); known != known_.end()) {
    ref.storage = known->second.ref.storage;
    if (*needed != known->second.bytes)
      fault(ref.storage, "torch.storage-two-sizes", Severity::kSuspicious, false,
            Error(ErrorCode::kMalformed,
                  "storage \"" + request.key + "\" is referred to with two sizes")
                .wanted(std::to_string(known->second.bytes) + " bytes",
                        std::to_string(*needed) + " bytes"));
    return ref;
  }
  ref.storage = static_cast<std::uint32_t>(index->storages.size());
  name_.assign(folder_).append(request.key);
  auto member = archive_.find(name_);
  if (!member && !fallback_.empty()) member = archive_.find(fallback_ + request.key);
  members_.resize(ref.storage, kNoMember);  // numpy arrays have storages outside the archive
  members_.push_back(member.value_or(kNoMember));
  if (member) {
    index->storages.push_back(describe(archive_.members[*member], request, *needed, ref.storage));
  } else {
    StorageInfo missing;
    missing.name = folder_ + request.key;
    missing.device = request.device;
    index->storages.push_back(std::move(missing));
    if (*needed > 0)
      fault(ref.storage, "torch.storage-missing", Severity::kMalformed, true,
            Error(ErrorCode::kMalformed,
                  "the archive has no storage \"" + folder_ + request.key + "\"")
                .wanted(std::to_string(*needed) + " bytes", "no such member"));
  }
  known_[request.key] = {ref, *needed};
  return ref;
}

}  // namespace kilter::torch
