#include "kilter/checkpoint.h"

#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <new>
#include <optional>

#include "base/checked.h"
#include "base/text.h"
#include "base/try.h"
#include "flow/load.h"
#include "flow/source.h"
#include "formats/folder/hub_links.h"
#include "formats/folder/index_probe.h"
#include "formats/format.h"
#include "formats/nearest_names.h"

namespace kilter {
namespace {

/// Addresses that lead to no file of this file system. A file of that very name always comes first.
std::optional<Error> foreign_address(std::string_view address) {
  const auto not_yet = [&](std::string_view what) {
    return Error(ErrorCode::kUnsupported, fmt::format("{} cannot be opened by this version", what))
        .at_path(address)
        .wanted("the path of a file or folder", std::string(address));
  };
  const std::size_t scheme = address.find("://");
  if (scheme != std::string_view::npos && scheme > 0 && scheme < 12)
    return not_yet(fmt::format("an address that begins with \"{}://\"",
                               escape_text(address.substr(0, scheme), 20)));
  if (address.find(".kilter@") != std::string_view::npos)
    return Error(ErrorCode::kNotFound, "there is no such file, and no such store")
        .at_path(address)
        .advise("in C++, kilter::Store::open_checkpoint() opens what lies in a store");
  return std::nullopt;
}

Error not_a_checkpoint(io::FileSystem& files, const formats::Probe& probe) {
  if (auto diagnosis = formats::diagnose(files, probe))
    return Error(ErrorCode::kUnsupported, std::move(diagnosis->message))
        .at_path(probe.path)
        .advise(std::move(diagnosis->hint));
  return Error(ErrorCode::kUnsupported, probe.is_folder
                                            ? "no checkpoint was recognized in this folder"
                                            : "this is no checkpoint format that Kilter knows")
      .at_path(probe.path);
}

/// The reader's error, with what a look at the whole file can add.
Error with_diagnosis(Error error, io::FileSystem& files, const formats::Probe& probe) {
  if (error.path.empty()) error.path = probe.path;
  const bool content = error.code == ErrorCode::kMalformed || error.code == ErrorCode::kCorrupt;
  if (!content || !error.hint.empty()) return error;
  if (auto diagnosis = formats::diagnose(files, probe)) {
    error.message += "; " + diagnosis->message;
    error.hint = std::move(diagnosis->hint);
  }
  return error;
}

std::uint64_t physical_memory_bytes() {
  const long pages = sysconf(_SC_PHYS_PAGES), page_bytes = sysconf(_SC_PAGESIZE);
  if (pages <= 0 || page_bytes <= 0) return std::uint64_t{1} << 40;
  return static_cast<std::uint64_t>(pages) * static_cast<std::uint64_t>(page_bytes);
}

Error unknown_tensor(const CheckpointData& data, std::string_view name) {
  Error error(ErrorCode::kNotFound, "there is no tensor of this name");
  error.path = data.path;
  error.tensor = name;
  const auto near = formats::nearest_names(data.index.tensors, name, 3);
  if (near.empty()) {
    error.hint = fmt::format("`kilter inspect --tensors` lists all {}", data.index.tensors.size());
  } else {
    error.hint = fmt::format("did you mean {}?", fmt::join(near, " or "));
  }
  return error;
}

}  // namespace

Result<std::vector<std::byte>> Checkpoint::read_tensor(std::string_view name) const {
  const auto index = data_->index.find(name);
  if (!index) return fail(unknown_tensor(*data_, name));
  const TensorInfo& tensor = data_->index.tensors[*index];
  const std::uint64_t bytes = tensor.bytes();
  // Views may repeat a few bytes into a tensor of any size: a small file must not take the machine.
  const auto refuse = [&] {
    return fail(
        Error(ErrorCode::kLimitExceeded, "the tensor does not fit into memory")
            .at_path(data_->path)
            .at_tensor(name)
            .wanted("at most " + format_bytes(physical_memory_bytes()), format_bytes(bytes)));
  };
  if (bytes > physical_memory_bytes()) return refuse();
  std::vector<std::byte> out;
  try {
    out.resize(bytes);
  } catch (const std::bad_alloc&) {
    return refuse();
  }
  KILTER_TRY(read_tensor(*index, 0, out));
  return out;
}

Status Checkpoint::read_tensor(std::size_t index, std::uint64_t offset_bytes,
                               std::span<std::byte> out) const {
  if (index >= data_->index.tensors.size())
    return fail(Error(ErrorCode::kOutOfRange, "there is no tensor of this number")
                    .at_path(data_->path)
                    .wanted(fmt::format("a number below {}", data_->index.tensors.size()),
                            std::to_string(index)));
  const TensorInfo& tensor = data_->index.tensors[index];
  if (!range_fits(offset_bytes, out.size(), tensor.bytes()))
    return fail(Error(ErrorCode::kOutOfRange, "the range lies outside the tensor")
                    .at_path(data_->path)
                    .at_tensor(tensor.name)
                    .wanted(fmt::format("bytes within [0, {})", tensor.bytes()),
                            fmt::format("{} bytes from {}", out.size(), offset_bytes)));
  return source_->read_tensor(index, offset_bytes, out);
}

Result<std::unique_ptr<LoadedTensors>> Checkpoint::load(const RunContext& context) const {
  return load_tensors(source_, LoadMode::kAuto, context);
}

Result<Checkpoint> open_checkpoint(std::string_view address, const OpenOptions& options) {
  io::FileSystem& files = options.files == nullptr ? io::real_file_system() : *options.files;
  const std::string path(address);
  auto probe = formats::probe_checkpoint(files, path);
  if (!probe) {
    // A file system that was given knows its own addresses.
    if (probe.error().code == ErrorCode::kNotFound && options.files == nullptr)
      if (auto foreign = foreign_address(address)) return fail(std::move(*foreign));
    return fail(std::move(probe).error().at_path(path));
  }
  const formats::Recognized recognized = formats::recognize(*probe);
  if (recognized.format == nullptr) return fail(not_a_checkpoint(files, *probe));

  auto data = recognized.format->open({&files, probe->path, &*probe, options});
  if (!data) return fail(with_diagnosis(std::move(data).error(), files, *probe));
  data->path = path;
  auto shared = std::make_shared<const CheckpointData>(std::move(*data));
  io::FileSystem& within = shared->root_is_folder ? formats::with_hub_links(files) : files;
  auto source = make_file_source(within, shared->root, shared->root_is_folder,
                                 std::shared_ptr<const TensorIndex>(shared, &shared->index));
  return Checkpoint(std::move(shared), std::move(source));
}

}  // namespace kilter
