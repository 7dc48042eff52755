// One address names any checkpoint: STORE@SELECTOR[/PATH], or a file or folder as ever.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "io/file_system.h"
#include "store/store.h"

namespace kilter::store {

/// An address taken apart.
struct StoreAddress {
  std::string store;     ///< folder or s3://…
  std::string selector;  ///< behind the '@'; may hold a path behind the commit's name
  bool stated = false;   ///< false: there was no '@'
};

/// Opens the place of a store. Errors: kUnsupported for schemes that are not known.
Result<std::unique_ptr<Place>> open_place(const std::string& address);
Result<std::shared_ptr<Store>> open_store(const std::string& address);

/// Opens it, or makes an empty one. Errors: kInvalidArgument for a file, and for a folder that
/// holds something else than a store.
Result<std::shared_ptr<Store>> open_or_create_store(const std::string& address);
/// Opens it; where there is none, an empty one in memory: what a dry run works on. Errors: as
/// above.
Result<std::shared_ptr<Store>> open_or_imagine_store(const std::string& address);
/// Errors: as above; kAlreadyExists.
Result<std::shared_ptr<Store>> create_store(const std::string& address);

/// nullopt if no part of it, up to an '@' or its end, is a store; an existing file or folder of the
/// whole name always wins.
std::optional<StoreAddress> parse_store_address(std::string_view address);

/// A commit found by its address.
struct FoundCommit {
  std::shared_ptr<Store> store;
  Digest digest{};
  std::string path;  ///< within the commit; empty for all of it
};
/// Errors: kNotFound, kInvalidArgument …; kNotFound with the reason for a commit whose data is
/// gone.
Result<FoundCommit> find_commit(const StoreAddress& address);
/// The same in a store that is open.
Result<FoundCommit> find_commit(std::shared_ptr<Store> store, const std::string& selector);

/// The real file system, in which "STORE@SELECTOR" is also a folder (or the one file) with the
/// commit's files. Made for one run of a verb: a commit once found stays the same.
std::unique_ptr<io::FileSystem> make_address_file_system(
    io::FileSystem& real, std::optional<std::uint64_t> chunk_bytes = std::nullopt);

/// What of a verb's memory decoded chunks are kept in; the rest is for its buffers.
std::uint64_t chunk_memory(std::uint64_t max_memory_bytes);

/// The real file system, in which `mount` ("runs.kilter@v1": it must hold an '@') is this commit
/// without its path.
Result<std::unique_ptr<io::FileSystem>> make_commit_file_system(const FoundCommit& commit,
                                                                std::string mount);

/// That file system if one of these addresses lies in a store; null (which readers take as the real
/// one) if none does.
/// With `max_memory_bytes`, takes what chunks are kept in out of it.
std::unique_ptr<io::FileSystem> files_for(const std::vector<std::string>& addresses,
                                          std::uint64_t* max_memory_bytes = nullptr);

}  // namespace kilter::store
