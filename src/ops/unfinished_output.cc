#include "ops/unfinished_output.h"

#include <utility>

#include <nlohmann/json.hpp>

#include "base/hash.h"
#include "base/json.h"
#include "base/try.h"
#include "io/publish.h"

namespace kilter::ops {
namespace {

constexpr int kPartialVersion = 1;
constexpr std::uint64_t kPartialBytesMax = 64U << 10;

void hash_number(Blake3& hash, std::uint64_t number) {
  std::byte bytes[8];
  for (int i = 0; i < 8; ++i) bytes[i] = static_cast<std::byte>(number >> (8 * i));
  hash.update(bytes);
}

void hash_text(Blake3& hash, std::string_view text) {
  hash.update(std::as_bytes(std::span(text.data(), text.size())));
}

/// Durable before it has its name.
Status replace_text(io::FileSystem& files, const std::string& path, std::string_view text) {
  const std::string fresh = path + ".new";
  static_cast<void>(files.remove(fresh));  // left by a process that was killed just here
  {
    KILTER_ASSIGN(auto file, files.create(fresh));
    KILTER_TRY(file->write_at(0, std::as_bytes(std::span(text.data(), text.size()))));
    KILTER_TRY(file->sync());
  }
  KILTER_TRY(files.rename(fresh, path, io::Replace::kAllow));
  return files.sync_folder(io::parent_path(path));
}

Error other_plan(const std::string& path, const std::string& state_path) {
  Error error(ErrorCode::kAlreadyExists, "another unfinished output is in the way");
  error.path = io::partial_path(path);
  error.hint = "finish that work first, or remove it and " + state_path;
  return error;
}

/// The state may have outlived its files: a crash between publishing and finish() leaves it alone.
bool is_there(io::FileSystem& files, const Place& place, const std::vector<FileLayout>& layout,
              const PartialState& state) {
  for (std::size_t i = 0; i < layout.size() && i <= state.file; ++i) {
    std::uint64_t wanted = 0;
    for (const Segment& segment : layout[i].segments) wanted += segment.bytes;
    if (i == state.file) wanted = state.offset_bytes;
    if (wanted == 0) continue;
    const auto found =
        files.stat(place.is_folder ? io::join_path(io::partial_path(place.path), layout[i].name)
                                   : io::partial_path(io::join_path(place.parent, layout[i].name)),
                   false);
    if (!found || found->kind != io::FileKind::kFile || found->bytes < wanted) return false;
  }
  return state.file <= layout.size();
}

}  // namespace

std::string write_partial_state(const PartialState& state) {
  const Json out = {{"kilter_partial", kPartialVersion},
                    {"plan", state.plan},
                    {"file", state.file},
                    {"offset", state.offset_bytes}};
  return dump_json(out, -1) + "\n";
}

Result<PartialState> parse_partial_state(std::string_view text) {
  KILTER_ASSIGN(const Json json, parse_json(text, {.bytes_max = kPartialBytesMax, .depth_max = 4}));
  const auto is_count = [&](const char* key) {
    return json.contains(key) && json[key].is_number_unsigned();
  };
  if (!json.is_object() || !json.contains("plan") || !json["plan"].is_string() ||
      !is_count("kilter_partial") || !is_count("file") || !is_count("offset"))
    return fail(ErrorCode::kMalformed, "this is no state of an unfinished output");
  if (json["kilter_partial"] != kPartialVersion)
    return fail(Error(ErrorCode::kUnsupported, "this unfinished output is of another version")
                    .wanted("1", dump_json(json["kilter_partial"], -1)));
  return PartialState{json["plan"].get<std::string>(), json["file"].get<std::size_t>(),
                      json["offset"].get<std::uint64_t>()};
}

std::string layout_digest(const std::vector<FileLayout>& layout) {
  Blake3 hash;
  for (const FileLayout& file : layout) {
    hash_number(hash, file.name.size());
    hash_text(hash, file.name);
    for (const Segment& segment : file.segments) {
      hash_number(hash, static_cast<std::uint64_t>(segment.kind));
      hash_number(hash, segment.bytes);
      if (segment.kind == SegmentKind::kLiteral) hash_text(hash, segment.literal);
    }
  }
  return to_hex(hash.finish());
}

Result<UnfinishedOutput> UnfinishedOutput::open(io::FileSystem& files, const Place& place,
                                                const std::vector<FileLayout>& layout) {
  const std::string& path = place.path;
  UnfinishedOutput out;
  out.files_ = &files;
  out.state_path_ = io::partial_path(path) + ".json";
  out.lock_path_ = io::partial_path(path) + ".lock";
  KILTER_TRY(out.take_lock(files, path));
  out.resume_ = std::make_unique<EngineResume>();
  const std::string digest = layout_digest(layout);
  const auto text = io::read_text(files, out.state_path_, kPartialBytesMax);
  if (!text && text.error().code != ErrorCode::kNotFound) return fail(text.error());
  if (text) {
    auto state = parse_partial_state(*text);
    if (!state) return fail(std::move(state).error().at_path(out.state_path_));
    if (state->plan != digest) return fail(other_plan(path, out.state_path_));
    if (is_there(files, place, layout, *state)) {
      out.resume_->file = state->file;
      out.resume_->offset_bytes = state->offset_bytes;
    }
  }
  const std::string folder = place.is_folder ? io::partial_path(path) : "";
  out.resume_->reached = [&files, folder, digest, state_path = out.state_path_](
                             std::size_t file, std::uint64_t offset_bytes) -> Status {
    if (!folder.empty()) KILTER_TRY(files.sync_folder(folder));
    return replace_text(files, state_path, write_partial_state({digest, file, offset_bytes}));
  };
  return out;
}

Status UnfinishedOutput::take_lock(io::FileSystem& files, const std::string& path) {
  auto lock = files.lock(lock_path_, io::LockMode::kExclusive, false);
  if (!lock && lock.error().code == ErrorCode::kUnsupported) return ok();  // nobody else can either
  if (!lock) return fail(std::move(lock).error());
  lock_ = std::move(*lock);
  if (lock_ != nullptr) return ok();
  return fail(
      Error(ErrorCode::kAlreadyExists, "another process is writing this output").at_path(path));
}

void UnfinishedOutput::finish() {
  static_cast<void>(files_->remove(state_path_));
  static_cast<void>(files_->remove(lock_path_));
  lock_.reset();
}

}  // namespace kilter::ops
