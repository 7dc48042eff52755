#include "io/publish.h"

#include <unistd.h>

#include <algorithm>
#include <array>
#include <random>
#include <vector>

#include "base/try.h"
#include "io/published_file.h"
#include "io/safe_path.h"

namespace kilter::io {
namespace {

constexpr int kNameTriesMax = 16;
constexpr std::size_t kNameBytesKept = 160;  // of the target's name, of 255 a name may have

Error path_error(ErrorCode code, std::string message, const std::string& path) {
  return Error(code, std::move(message)).at_path(path);
}

Error exists_error(const std::string& path) {
  return path_error(ErrorCode::kAlreadyExists, "the output exists already", path)
      .advise("choose another name or allow it to be replaced (--force)");
}

bool is_code(const Status& status, ErrorCode code) {
  return !status && status.error().code == code;
}

/// Temporary names mean nothing to whoever reads the error.
Error at_target(Error error, const std::string& path) {
  error.path = path;
  return error;
}

std::string random_text() {
  static constexpr std::string_view kDigits = "0123456789abcdefghijklmnopqrstuv";
  std::random_device device;
  std::string text;
  for (int i = 0; i < 12; ++i) text += kDigits[device() % kDigits.size()];
  return text;
}

/// The name of `target`, short enough to get something behind it.
std::string kept_name(const std::string& target) {
  std::string name = last_part(target);
  if (name.size() > kNameBytesKept) {
    name.resize(kNameBytesKept);
    while (!name.empty() && (static_cast<unsigned char>(name.back()) & 0xc0U) == 0x80U)
      name.pop_back();  // whole characters only: some file systems insist on UTF-8
    if (!name.empty() && (static_cast<unsigned char>(name.back()) & 0x80U) != 0) name.pop_back();
  }
  return name;
}

/// A name beside `target` that nobody else chooses.
std::string temporary_path(const std::string& target) {
  return join_path(parent_path(target), "." + kept_name(target) + ".kilter-" +
                                            std::to_string(::getpid()) + "-" + random_text() +
                                            ".tmp");
}

/// What stands at `path` itself; kNotFound is an answer here, not an error.
Result<std::optional<FileKind>> kind_at(FileSystem& files, const std::string& path) {
  const auto found = files.stat(path, false);
  if (found) return found->kind;
  if (found.error().code == ErrorCode::kNotFound) return std::nullopt;
  return fail(found.error());
}

/// Refuses a target that may not be replaced by a file or a folder.
Status check_target(const std::optional<FileKind>& kind, const std::string& path, bool by_folder,
                    Replace replace) {
  if (!kind) return ok();
  if (replace == Replace::kRefuse) return fail(exists_error(path));
  if (*kind == FileKind::kSymlink || (*kind == FileKind::kFolder) == by_folder) return ok();
  return fail(path_error(ErrorCode::kInvalidArgument,
                         by_folder ? "a file has the name of the output folder"
                                   : "a folder has the name of the output file",
                         path));
}

/// One name that moves from its temporary to its final place, and back if need be.
class Placement {
 public:
  Placement(FileSystem& files, std::string temporary, std::string target)
      : files_(files), temporary_(std::move(temporary)), target_(std::move(target)) {}

  const std::string& temporary() const { return temporary_; }
  const std::string& target() const { return target_; }

  Status place(bool by_folder, Replace replace) {
    KILTER_ASSIGN(const auto kind, kind_at(files_, target_));
    KILTER_TRY(check_target(kind, target_, by_folder, replace));
    if (!kind) return move_in(Replace::kRefuse, State::kNew);
    Status swapped = files_.exchange(temporary_, target_);
    if (is_code(swapped, ErrorCode::kUnsupported)) return move_in(replace, State::kFinal);
    if (!swapped) return fail(at_target(std::move(swapped).error(), target_));
    state_ = State::kSwapped;
    return ok();
  }

  /// Undoes place().
  void take_back() {
    if (state_ == State::kNew)
      twice([&] { return files_.rename(target_, temporary_, Replace::kRefuse); });
    if (state_ == State::kSwapped) twice([&] { return files_.exchange(temporary_, target_); });
    if (state_ != State::kFinal) state_ = State::kTemporary;
  }

  /// Removes what has the temporary name: the new output before place(), the old one after it.
  void clear(Unfinished unfinished = Unfinished::kRemove) {
    if (unfinished == Unfinished::kKeep && state_ == State::kTemporary) return;
    if (state_ == State::kNew || state_ == State::kFinal) return;
    twice([&] { return remove_tree(files_, temporary_); });
    // A crash must not bring a large old output back under a name that nobody looks at.
    if (state_ == State::kSwapped)
      twice([&] { return files_.sync_folder(parent_path(temporary_)); });
  }

 private:
  enum class State : std::uint8_t { kTemporary, kNew, kSwapped, kFinal };

  Status move_in(Replace replace, State state) {
    Status moved = files_.rename(temporary_, target_, replace);
    if (!moved) return fail(at_target(std::move(moved).error(), target_));
    state_ = state;
    return ok();
  }

  /// Cleaning up has nobody left to report to; a passing fault gets a second chance.
  template <typename Step>
  static void twice(Step step) {
    const Status first = step();
    if (!first && first.error().code != ErrorCode::kNotFound) static_cast<void>(step());
  }

  FileSystem& files_;
  std::string temporary_, target_;
  State state_ = State::kTemporary;
};

/// Calls `folder` with each folder above the last part of `name`, outermost first.
template <typename Step>
Status each_folder(const std::string& root, const std::string& name, Step step) {
  for (std::size_t slash = name.find('/'); slash != std::string::npos;
       slash = name.find('/', slash + 1))
    KILTER_TRY(step(join_path(root, std::string_view(name).substr(0, slash))));
  return ok();
}

Status sync_files(const std::vector<std::unique_ptr<WriteFile>>& open) {
  for (const auto& file : open) KILTER_TRY(file->sync());
  return ok();
}

/// What was left under a kept name, else a new file.
Result<std::unique_ptr<WriteFile>> create_or_go_on(FileSystem& files, const std::string& path,
                                                   Unfinished unfinished) {
  if (unfinished == Unfinished::kRemove) return files.create(path);
  auto left = files.open_write(path);
  if (left || left.error().code != ErrorCode::kNotFound) return left;
  return files.create(path);
}

bool contains(const std::vector<std::string>& values, const std::string& value) {
  return std::ranges::find(values, value) != values.end();
}

class FolderPublication : public Publication {
 public:
  FolderPublication(FileSystem& files, const std::string& target, const std::string& temporary,
                    Replace replace, Unfinished unfinished)
      : files_(files),
        place_(files, temporary, target),
        replace_(replace),
        unfinished_(unfinished) {
    folders_.push_back(temporary);
  }
  ~FolderPublication() override {
    if (!done_) abort();
  }

  Result<WriteFile*> add(const std::string& name) override {
    KILTER_TRY(check_relative_name(name));
    KILTER_TRY(each_folder(place_.temporary(), name, [&](const auto& f) { return enter(f); }));
    const std::string path = join_path(place_.target(), name);
    auto file = create_or_go_on(files_, join_path(place_.temporary(), name), unfinished_);
    if (!file) return fail(at_target(std::move(file).error(), path));
    open_.push_back(std::make_unique<PublishedFile>(std::move(*file), path));
    return open_.back().get();
  }

  Status commit() override {
    Status status = make_durable();
    if (!status) return abort(), status;
    open_.clear();
    place_.clear();
    done_ = true;
    return ok();
  }

 private:
  Status enter(const std::string& folder) {
    if (contains(folders_, folder)) return ok();
    Status made = files_.make_folder(folder);
    const bool left = unfinished_ == Unfinished::kKeep && is_code(made, ErrorCode::kAlreadyExists);
    if (!left) KILTER_TRY(shown(std::move(made), folder));
    folders_.push_back(folder);
    return ok();
  }

  /// The same status with the path that `folder` will have.
  Status shown(Status status, const std::string& folder) const {
    if (status) return status;
    const std::string below = folder.substr(place_.temporary().size());
    return fail(at_target(std::move(status).error(), place_.target() + below));
  }

  /// Deepest first: folders_ has parents before what they hold.
  Status sync_made_folders() {
    for (auto folder = folders_.rbegin(); folder != folders_.rend(); ++folder)
      KILTER_TRY(shown(files_.sync_folder(*folder), *folder));
    return ok();
  }

  Status make_durable() {
    KILTER_TRY(sync_files(open_));
    KILTER_TRY(sync_made_folders());
    KILTER_TRY(place_.place(true, replace_));
    return files_.sync_folder(parent_path(place_.target()));
  }

  void abort() {
    open_.clear();
    place_.take_back();
    place_.clear(unfinished_);
    done_ = true;
  }

  FileSystem& files_;
  Placement place_;
  Replace replace_;
  Unfinished unfinished_;
  bool done_ = false;
  std::vector<std::string> folders_;  // made so far, parents first, the temporary root among them
  std::vector<std::unique_ptr<WriteFile>> open_;
};

class BesidePublication : public Publication {
 public:
  BesidePublication(FileSystem& files, std::string parent, Replace replace, Unfinished unfinished)
      : files_(files), parent_(std::move(parent)), replace_(replace), unfinished_(unfinished) {}
  ~BesidePublication() override {
    if (!done_) abort();
  }

  Result<WriteFile*> add(const std::string& name) override {
    KILTER_TRY(check_relative_name(name));
    const std::string target = join_path(parent_, name);
    if (std::ranges::any_of(places_, [&](const Placement& p) { return p.target() == target; }))
      return fail(exists_error(target));
    KILTER_TRY(each_folder(parent_, name, [&](const std::string& f) { return enter(f); }));
    KILTER_ASSIGN(const auto kind, kind_at(files_, target));
    KILTER_TRY(check_target(kind, target, false, replace_));
    return create_temporary(target);
  }

  Status commit() override {
    Status status = make_durable();
    if (!status) return abort(), status;
    open_.clear();
    for (Placement& place : places_) place.clear();
    done_ = true;
    return ok();
  }

 private:
  /// Makes the folder unless it is there.
  Status enter(const std::string& folder) {
    KILTER_ASSIGN(const auto kind, kind_at(files_, folder));
    if (kind == FileKind::kFolder) return ok();
    if (kind)
      return fail(
          path_error(ErrorCode::kUnsafe, "the output's folder is a file or a symlink", folder));
    KILTER_TRY(files_.make_folder(folder));
    made_.push_back(folder);
    return ok();
  }

  Result<WriteFile*> create_temporary(const std::string& target) {
    const std::string temporary =
        unfinished_ == Unfinished::kKeep ? partial_path(target) : temporary_path(target);
    auto file = create_or_go_on(files_, temporary, unfinished_);
    if (!file) return fail(at_target(std::move(file).error(), target));
    places_.emplace_back(files_, temporary, target);
    open_.push_back(std::make_unique<PublishedFile>(std::move(*file), target));
    return open_.back().get();
  }

  /// All but the main file are durable before it appears: whoever sees it finds the others.
  Status make_durable() {
    KILTER_TRY(sync_files(open_));
    for (std::size_t i = 0; i < places_.size(); ++i) {
      if (i > 0 && i + 1 == places_.size()) KILTER_TRY(sync_parents(i));
      KILTER_TRY(places_[i].place(false, replace_));
    }
    return sync_parents(places_.size());
  }

  /// Syncs the folders of the first `count` files and those of the folders made for them.
  Status sync_parents(std::size_t count) {
    std::vector<std::string> folders;
    for (const std::string& folder : made_) add_once(folders, parent_path(folder));
    for (std::size_t i = 0; i < count; ++i) add_once(folders, parent_path(places_[i].target()));
    for (auto folder = folders.rbegin(); folder != folders.rend(); ++folder)
      KILTER_TRY(files_.sync_folder(*folder));
    return ok();
  }

  static void add_once(std::vector<std::string>& folders, std::string folder) {
    if (!contains(folders, folder)) folders.push_back(std::move(folder));
  }

  void abort() {
    open_.clear();
    for (auto place = places_.rbegin(); place != places_.rend(); ++place) {
      place->take_back();
      place->clear(unfinished_);
    }
    for (auto folder = made_.rbegin(); folder != made_.rend(); ++folder)
      if (!files_.remove(*folder)) static_cast<void>(files_.remove(*folder));
    done_ = true;
  }

  FileSystem& files_;
  std::string parent_;
  Replace replace_;
  Unfinished unfinished_;
  bool done_ = false;
  std::vector<std::string> made_;  // folders made, parents first
  std::vector<Placement> places_;
  std::vector<std::unique_ptr<WriteFile>> open_;
};

Status check_folder_name(const std::string& path) {
  const std::string name = last_part(path);
  if (!name.empty() && name != "." && name != ".." && name != "/") return ok();
  return fail(path_error(ErrorCode::kInvalidArgument, "the output folder needs a name", path));
}

/// Made, or left from the last time.
Result<std::unique_ptr<Publication>> kept_folder(FileSystem& files, const std::string& target,
                                                 Replace replace) {
  const std::string temporary = partial_path(target);
  Status made = files.make_folder(temporary);
  if (!made && !is_code(made, ErrorCode::kAlreadyExists))
    return fail(at_target(std::move(made).error(), target));
  KILTER_ASSIGN(const auto kind, kind_at(files, temporary));
  if (kind != FileKind::kFolder)
    return fail(
        path_error(ErrorCode::kUnsafe, "this is no folder of an unfinished output", temporary));
  return std::make_unique<FolderPublication>(files, target, temporary, replace, Unfinished::kKeep);
}

}  // namespace

std::string partial_path(const std::string& target) {
  return join_path(parent_path(target), "." + kept_name(target) + ".kilter-partial");
}

Result<std::unique_ptr<Publication>> Publication::folder(FileSystem& files, const std::string& path,
                                                         Replace replace, Unfinished unfinished) {
  KILTER_TRY(check_folder_name(path));
  const std::string target = join_path(parent_path(path), last_part(path));
  KILTER_ASSIGN(const auto kind, kind_at(files, target));
  KILTER_TRY(check_target(kind, target, true, replace));
  if (unfinished == Unfinished::kKeep) return kept_folder(files, target, replace);
  for (int i = 0;; ++i) {
    const std::string temporary = temporary_path(target);
    Status made = files.make_folder(temporary);
    if (made)
      return std::make_unique<FolderPublication>(files, target, temporary, replace, unfinished);
    if (i >= kNameTriesMax || !is_code(made, ErrorCode::kAlreadyExists))
      return fail(at_target(std::move(made).error(), target));
  }
}

Result<std::unique_ptr<Publication>> Publication::beside(FileSystem& files,
                                                         const std::string& parent, Replace replace,
                                                         Unfinished unfinished) {
  KILTER_ASSIGN(const FileStat info, files.stat(parent));
  if (info.kind != FileKind::kFolder)
    return fail(path_error(ErrorCode::kInvalidArgument, "not a folder", parent));
  return std::make_unique<BesidePublication>(files, parent, replace, unfinished);
}

}  // namespace kilter::io
