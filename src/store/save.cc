#include "store/save.h"

#include <fmt/format.h>
#include <pwd.h>
#include <unistd.h>

#include <chrono>
#include <cstdlib>

#include "kilter/version.h"

#include "base/text.h"
#include "base/try.h"
#include "store/address.h"
#include "store/fossils.h"
#include "store/history/history.h"
#include "store/unreadable.h"
#include "store/write/describe.h"

namespace kilter::store {
namespace {

constexpr int kRacesMax = 1000;

std::int64_t save_time() {
  return std::chrono::duration_cast<std::chrono::nanoseconds>(
             std::chrono::system_clock::now().time_since_epoch())
      .count();
}

class Save {
 public:
  Save(Store& store, const SaveRequest& request) : store_(store), request_(request) {}

  Result<SaveOutcome> run() {
    const auto begun = std::chrono::steady_clock::now();
    KILTER_TRY(check());
    // From here on a collector waits for us, or we see what it has condemned.
    KILTER_ASSIGN(session_, store_.place().begin_session());
    KILTER_ASSIGN(condemned_, condemned_packs(store_.place()));
    KILTER_TRY(store_.refresh());
    KILTER_TRY(store_tree());
    KILTER_ASSIGN(const auto present, find_present());
    if (present) {
      outcome_.commit = *present;
      outcome_.present = true;
    } else {
      KILTER_TRY(commit_and_refer());
    }
    outcome_.seconds =
        std::chrono::duration<double>(std::chrono::steady_clock::now() - begun).count();
    return std::move(outcome_);
  }

 private:
  Status check() {
    KILTER_TRY(check_ref_name(request_.branch));
    KILTER_ASSIGN(const auto tip, read_ref(store_.place(), RefKind::kBranch, request_.branch));
    if (!tip) KILTER_TRY(check_free_name(store_.place(), RefKind::kBranch, request_.branch));
    for (const std::string& tag : request_.tags) {
      KILTER_TRY(check_ref_name(tag));
      KILTER_ASSIGN(const auto taken, read_ref(store_.place(), RefKind::kTag, tag));
      if (taken)
        return fail(
            Error(ErrorCode::kAlreadyExists, fmt::format("the tag \"{}\" exists already", tag))
                .at_path(store_.address())
                .advise("choose another, or remove it with `kilter tag --delete`"));
      KILTER_TRY(check_free_name(store_.place(), RefKind::kTag, tag));
      if (tag == request_.branch)
        return fail(ErrorCode::kInvalidArgument,
                    fmt::format("\"{}\" cannot be the tag and the branch", tag));
    }
    return ok();
  }

  ChunkWriterOptions writer_options() const {
    ChunkWriterOptions options;
    options.thread_count = request_.thread_count;
    options.memory_bytes = request_.max_memory_bytes / 2;
    options.condemned = condemned_;
    options.keep_disk_busy = request_.fast;
    options.raw = request_.raw;
    return options;
  }

  /// Files, then the tree that lists them.
  Status store_tree() {
    writer_ = std::make_unique<ChunkWriter>(store_, writer_options());
    const std::int64_t begun = save_time();
    SourceStats stats;
    KILTER_TRY(request_.content ? store_content() : store_source(stats));
    KILTER_TRY(add_text(tree_text(tree_), ChunkKind::kTree, &outcome_.content.tree));
    outcome_.totals = writer_->totals();
    outcome_.file_count = tree_.files.size();
    outcome_.file_bytes = tree_.file_bytes();
    outcome_.tensor_count = tree_.tensors.size();
    remember(stats, begun);
    return request_.context.check();
  }

  Status store_source(SourceStats& stats) {
    SortedJson metadata = describe_source(request_.source, &tree_.format);
    metadata.update(request_.metadata);
    outcome_.content.metadata = std::move(metadata);
    KILTER_TRY(add_tree(request_.source, *writer_, tree_, stats, request_.seen, request_.context));
    outcome_.warnings = unreadable_files(request_.source, tree_);
    KILTER_TRY(writer_->wait());
    return check_unchanged(request_.source, tree_, stats);
  }

  Status store_content() {
    outcome_.content.metadata = request_.metadata;
    Status added = request_.content(*writer_, tree_);
    // Jobs that are on their way refer to what the caller gave.
    Status done = writer_->wait();
    KILTER_TRY(std::move(added));
    return done;
  }

  /// A commit of the branch that says the same and still has its data.
  Result<std::optional<Digest>> find_present() {
    std::optional<Digest> present;
    if (!request_.skip_present) return present;
    KILTER_ASSIGN(const History history, History::load(store_));
    const auto tip = history.tip(RefKind::kBranch, request_.branch);
    if (!tip) return present;
    for (const std::size_t number : history.ancestry(tip)) {
      const CommitSummary& summary = history.commits()[number];
      if (summary.retired || summary.tree != outcome_.content.tree) continue;
      KILTER_ASSIGN(const Commit commit, store_.read_commit(summary.digest));
      if (commit.metadata != outcome_.content.metadata || commit.message != request_.message)
        continue;
      present = summary.digest;
      break;
    }
    return present;
  }

  /// Only a hint: whether the tree ever becomes durable is looked at when it is used.
  void remember(const SourceStats& stats, std::int64_t begun) {
    if (request_.seen == nullptr) return;
    std::size_t last = stats.size();
    for (const TreeTensor& tensor : tree_.tensors) {
      if (tensor.file != last)
        request_.seen->add(stats[tensor.file], {outcome_.content.tree, tensor.file}, begun);
      last = tensor.file;
    }
  }

  Status add_text(const std::string& text, ChunkKind kind, Digest* digest) {
    const Bytes bytes = as_bytes(text);
    if (bytes.size() > kObjectBytesMax)
      return fail(ErrorCode::kLimitExceeded, "the tree is larger than 256 MiB");
    KILTER_TRY(writer_->add(std::vector<std::byte>(bytes.begin(), bytes.end()), kind, digest));
    return writer_->wait();
  }

  /// A commit, its index entry, the branch; again if others moved the branch meanwhile.
  Status commit_and_refer() {
    for (int race = 0; race < kRacesMax; ++race) {
      KILTER_ASSIGN(const auto tip, read_ref(store_.place(), RefKind::kBranch, request_.branch));
      KILTER_TRY(write_commit(tip));
      KILTER_TRY(session_->still_alive());
      KILTER_ASSIGN(const bool moved, move_ref(store_.place(), RefKind::kBranch, request_.branch,
                                               outcome_.commit, tip));
      if (moved) return finish();
    }
    return fail(Error(ErrorCode::kIo, "the branch moved a thousand times while this was saved")
                    .at_path(store_.address()));
  }

  Status write_commit(const std::optional<Digest>& tip) {
    Commit& commit = outcome_.content;
    commit.parents.clear();
    if (tip) commit.parents.push_back(*tip);
    if (!tip && request_.parent) commit.parents.push_back(*request_.parent);
    commit.author = request_.author.empty() ? default_author() : request_.author;
    commit.message = request_.message;
    commit.lineage = request_.lineage;
    commit.kilter_version = std::string(version());
    commit.time_unix_ns = request_.time_unix_ns.value_or(save_time());
    const std::string text = commit_text(commit);
    // The first commit shares its pack with the tree; only one that lost a race needs its own.
    if (writer_ == nullptr) writer_ = std::make_unique<ChunkWriter>(store_, writer_options());
    KILTER_TRY(add_text(text, ChunkKind::kCommit, &outcome_.commit));
    KILTER_ASSIGN(IndexContent content, writer_->finish());
    writer_.reset();
    content.commits.push_back({outcome_.commit, commit.time_unix_ns, text});
    return put_index(store_.place(), content).map([](const Digest&) {});
  }

  Status finish() {
    for (const std::string& tag : request_.tags) {
      KILTER_ASSIGN(const bool made,
                    move_ref(store_.place(), RefKind::kTag, tag, outcome_.commit, std::nullopt));
      if (!made)
        return fail(Error(ErrorCode::kAlreadyExists, "the checkpoint is saved, but the tag \"" +
                                                         tag + "\" was taken meanwhile")
                        .at_path(store_.address()));
    }
    KILTER_TRY(store_.refresh());
    return merge_index_files(store_.place(), *store_.index());
  }

  Store& store_;
  const SaveRequest& request_;
  std::unique_ptr<PlaceSession> session_;
  std::set<Digest> condemned_;
  Tree tree_;
  std::unique_ptr<ChunkWriter> writer_;
  SaveOutcome outcome_;
};

}  // namespace

std::string default_author() {
  if (const char* stated = ::getenv("KILTER_AUTHOR"); stated != nullptr && *stated != '\0')
    return stated;
  char host[256] = "";
  if (::gethostname(host, sizeof host - 1) != 0) host[0] = '\0';
  const passwd* user = ::getpwuid(::geteuid());
  return std::string(user != nullptr ? user->pw_name : "unknown") + "@" + host;
}

Status check_new_branch(Store& store, const std::string& branch) {
  KILTER_ASSIGN(const auto tip, read_ref(store.place(), RefKind::kBranch, branch));
  if (!tip) return ok();
  return fail(Error(ErrorCode::kInvalidArgument,
                    fmt::format("the branch {} exists already: its tip is the parent", branch))
                  .advise("--parent is for a branch that is new"));
}

Result<std::string> lineage_input(const std::string& address) {
  const auto parsed = parse_store_address(address);
  if (!parsed) return address;
  KILTER_ASSIGN(const FoundCommit found, find_commit(*parsed));
  return parsed->store + "@" + to_hex(found.digest) + (found.path.empty() ? "" : "/" + found.path);
}

SortedJson lineage_entry(const std::string& operation, const SortedJson& parameters,
                         const std::vector<std::string>& inputs) {
  SortedJson entry;
  entry["operation"] = operation;
  entry["parameters"] = parameters;
  entry["inputs"] = inputs;
  return entry;
}

Result<SaveOutcome> save_tree(Store& store, const SaveRequest& request) {
  if (request.max_memory_bytes < 64ULL << 20)
    return fail(ErrorCode::kInvalidArgument, "saving needs at least 64 MiB of memory");
  return Save(store, request).run();
}

}  // namespace kilter::store
