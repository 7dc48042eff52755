// The small texts of a store: what it is, references, lists of condemned packs and of retired
// commits. Byte 0 says which; what is read of a list is the same when it is written and read again.
#include <cstdint>
#include <cstdlib>
#include <string_view>

#include "io/memory_file_system.h"
#include "store/fossils.h"
#include "store/store.h"

namespace kilter::store {
namespace {

void check(bool holds) {
  if (!holds) std::abort();
}

void try_store_file(io::MemoryFileSystem& files, std::string_view text) {
  files.put("s/kilter-store.json", text);
  const auto store = Store::open(make_folder_place(files, "s"));
  if (store)
    check(Store::create(make_folder_place(files, "s")).error().code == ErrorCode::kAlreadyExists);
}

void try_ref(io::MemoryFileSystem& files, std::string_view text) {
  files.put("s/refs/heads/main", text);
  const auto place = make_folder_place(files, "s");
  const auto one = read_ref(*place, RefKind::kBranch, "main");
  const auto all = list_refs(*place);
  check(one.has_value() == all.has_value());
  if (!one) return;
  check(*one && all->size() == 1 && all->front().commit == **one);
  check(to_hex(**one) + "\n" == text);
}

void try_fossils(io::MemoryFileSystem& files, std::string_view text) {
  files.put("s/fossils/" + to_hex(blake3(as_bytes(text))) + ".json", text);
  const auto place = make_folder_place(files, "s");
  auto lists = read_fossils(*place);
  check(lists.has_value() == condemned_packs(*place).has_value());
  if (!lists) return;
  check(lists->size() == 1);
  FossilList list = lists->front();
  check(place->remove(list.name).has_value());
  check(write_fossils(*place, list).has_value());
  const auto again = read_fossils(*place);
  check(again && again->size() == 1 && again->front().name == list.name);
  check(again->front().packs == list.packs && again->front().sessions == list.sessions);
}

void try_retired(io::MemoryFileSystem& files, std::string_view text) {
  files.put("s/retired/" + to_hex(blake3(as_bytes(text))) + ".json", text);
  const auto place = make_folder_place(files, "s");
  const auto commits = read_retired(*place);
  if (!commits) return;
  check(write_retired(*place, *commits)
            .has_value());  // beside the first: the two together say no more
  const auto again = read_retired(*place);
  check(again && *again == *commits);
}

void try_ref_name(std::string_view name) {
  if (!check_ref_name(name)) return;
  check(name.find_first_of("@~: \\") == std::string_view::npos);
  check(name.find("..") == std::string_view::npos && !digest_from_hex(name));
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size == 0) return 0;
  const std::string_view text(reinterpret_cast<const char*>(data) + 1, size - 1);
  const auto files = io::make_memory_file_system();
  switch (data[0] % 5) {
    case 0:
      try_store_file(*files, text);
      break;
    case 1:
      try_ref(*files, text);
      break;
    case 2:
      try_fossils(*files, text);
      break;
    case 3:
      try_retired(*files, text);
      break;
    default:
      try_ref_name(text);
  }
  return 0;
}

}  // namespace kilter::store
