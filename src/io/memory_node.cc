#include "io/memory_node.h"

#include <cerrno>

namespace kilter::io {
namespace {

constexpr int kFollowedMax = 40;

void push_names(std::string_view path, std::vector<std::string>& stack) {
  while (!path.empty()) {
    const std::size_t slash = path.rfind('/');
    const std::string_view part = slash == std::string_view::npos ? path : path.substr(slash + 1);
    if (!part.empty() && part != ".") stack.emplace_back(part);
    path = slash == std::string_view::npos ? std::string_view() : path.substr(0, slash);
  }
}

class MemoryWalk {
 public:
  MemoryWalk(const MemoryNodePtr& start, MemoryNodePtr root, const MemoryLookup& lookup)
      : root_(std::move(root)), lookup_(lookup), folders_{start} {}

  MemorySpot run(std::string_view path) {
    push_names(path, todo_);
    MemorySpot spot{nullptr, "", folders_.back(), 0};
    while (!todo_.empty() && spot.error_number == 0) spot = step();
    if (spot.error_number != 0) spot.node = nullptr;
    return spot;
  }

 private:
  MemorySpot step() {
    const std::string part = std::move(todo_.back());
    todo_.pop_back();
    if (part == "..") return leave();
    const MemoryNodePtr folder = folders_.back();
    const auto found = folder->entries.find(part);
    const MemoryNodePtr node = found == folder->entries.end() ? nullptr : found->second;
    const bool last = todo_.empty();
    if (node == nullptr) return {last ? folder : nullptr, part, nullptr, ENOENT};
    if (node->kind == FileKind::kSymlink && (!last || lookup_.follow_last))
      return {nullptr, "", nullptr, follow(*node)};
    if (last) {
      if (node->kind == FileKind::kFolder) folders_.push_back(node);
      return {folder, part, node, 0};
    }
    if (node->kind != FileKind::kFolder) return {nullptr, "", nullptr, ENOTDIR};
    folders_.push_back(node);
    return {};
  }

  MemorySpot leave() {
    if (folders_.size() > 1)
      folders_.pop_back();
    else if (lookup_.beneath)
      return {nullptr, "", nullptr, EXDEV};
    return {nullptr, "", folders_.back(), 0};
  }

  int follow(const MemoryNode& link) {
    if (++symlink_count_ > kFollowedMax) return ELOOP;
    if (link.content.starts_with('/')) {
      if (lookup_.beneath) return EXDEV;
      folders_ = {root_};
    }
    push_names(link.content, todo_);
    return 0;
  }

  MemoryNodePtr root_;
  MemoryLookup lookup_;
  int symlink_count_ = 0;
  std::vector<std::string> todo_;
  std::vector<MemoryNodePtr> folders_;
};

}  // namespace

MemorySpot find_memory_node(const MemoryNodePtr& start, const MemoryNodePtr& root,
                            std::string_view path, const MemoryLookup& lookup) {
  return MemoryWalk(start, root, lookup).run(path);
}

}  // namespace kilter::io
