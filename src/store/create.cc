// Makes stores where their users want them, and nowhere else.
#include <algorithm>

#include "base/try.h"
#include "io/memory_file_system.h"
#include "store/address.h"

namespace kilter::store {
namespace {

/// What a writer that died while it made a store may have left in the folder.
bool is_of_a_store(const std::string& name) {
  constexpr std::string_view kNames[] = {"refs", "locks", "sessions"};
  return name.starts_with(".stage-") || std::ranges::find(kNames, name) != std::end(kNames);
}

tl::unexpected<Error> refuse_place(const std::string& address, const char* why, const char* hint) {
  return fail(Error(ErrorCode::kInvalidArgument, why).at_path(address).advise(hint));
}

/// Nobody's files are mixed with a store's.
Status check_free(const std::string& address) {
  io::FileSystem& files = io::real_file_system();
  const auto info = files.stat(address);
  if (!info) return ok();  // making the folder says what is wrong, if something is
  if (info->kind != io::FileKind::kFolder)
    return refuse_place(address, "this is a file, not a store: a store is a folder",
                        "name the store behind what is to be saved, as in `kilter save FILE "
                        "runs.kilter`; it is made if it is missing");
  const auto entries = files.list(address);
  if (!entries) return ok();
  // Another saver may have made the store since the caller looked.
  const bool made =
      std::ranges::find(*entries, kStoreFile, &io::FolderEntry::name) != entries->end();
  if (made) return ok();
  if (!std::ranges::all_of(*entries, is_of_a_store, &io::FolderEntry::name))
    return refuse_place(address, "the folder holds something else than a store",
                        "name a new folder");
  return ok();
}

/// A place that holds a store or is free for one.
Result<std::unique_ptr<Place>> open_free_place(const std::string& address) {
  KILTER_ASSIGN(auto place, open_place(address));
  const auto known = place->remote() ? std::nullopt : parse_store_address(address);
  const bool store = known && !known->stated;
  if (!place->remote() && !store) KILTER_TRY(check_free(address));
  return place;
}

/// A store and the memory it lies in.
struct ImaginedStore {
  std::unique_ptr<io::FileSystem> files = io::make_memory_file_system();
  std::shared_ptr<Store> store;
};

}  // namespace

Result<std::shared_ptr<Store>> open_or_imagine_store(const std::string& address) {
  KILTER_ASSIGN(auto place, open_free_place(address));
  KILTER_ASSIGN(const auto text, place->read_small(std::string(kStoreFile)));
  if (text) return Store::open(std::move(place));
  const auto imagined = std::make_shared<ImaginedStore>();
  KILTER_ASSIGN(imagined->store, Store::create(make_folder_place(*imagined->files, "store")));
  return std::shared_ptr<Store>(imagined, imagined->store.get());
}

Result<std::shared_ptr<Store>> open_or_create_store(const std::string& address) {
  KILTER_ASSIGN(auto place, open_free_place(address));
  return Store::open_or_create(std::move(place));
}

Result<std::shared_ptr<Store>> create_store(const std::string& address) {
  KILTER_ASSIGN(auto place, open_free_place(address));
  return Store::create(std::move(place));
}

}  // namespace kilter::store
