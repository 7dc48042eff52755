#include "store/torture/rounds.h"

#include <fmt/format.h>

#include <charconv>
#include <cstring>
#include <random>

#include "base/try.h"
#include "store/history/history.h"
#include "store/read/commit_files.h"

namespace kilter::store {
namespace {

constexpr std::string_view kRoundPrefix = "round ";
constexpr const char* kRoundRoot = "round";
constexpr std::uint64_t kConstantTensorSeed = ~std::uint64_t{0};

std::string random_tensor(std::uint64_t seed, std::uint64_t bytes) {
  std::mt19937_64 random(seed);
  std::string out(static_cast<std::size_t>(bytes), '\0');
  for (std::size_t at = 0; at + sizeof(std::uint64_t) <= out.size(); at += sizeof(std::uint64_t)) {
    const std::uint64_t word = random() & 0x3f3f3f3f3f3f3f3f;
    std::memcpy(out.data() + at, &word, sizeof word);
  }
  return out;
}

std::string two_tensors(std::uint64_t round, std::uint64_t bytes) {
  std::string header =
      fmt::format(R"({{"moves":{{"dtype":"F32","shape":[{0}],"data_offsets":[0,{1}]}},)"
                  R"("stays":{{"dtype":"F32","shape":[{0}],"data_offsets":[{1},{2}]}}}})",
                  bytes / 4, bytes, 2 * bytes);
  header.resize((header.size() + 7) / 8 * 8, ' ');
  std::string out;
  for (std::size_t i = 0; i < 8; ++i) out += static_cast<char>(header.size() >> (8 * i) & 0xff);
  return out + header + random_tensor(round, bytes) + random_tensor(kConstantTensorSeed, bytes);
}

std::optional<std::uint64_t> take_number(std::string_view& text) {
  std::uint64_t value = 0;
  const auto parsed = std::from_chars(text.data(), text.data() + text.size(), value);
  if (parsed.ec != std::errc()) return std::nullopt;
  text.remove_prefix(static_cast<std::size_t>(parsed.ptr - text.data()));
  return value;
}

struct RoundName {
  std::uint64_t round = 0;
  std::uint64_t tensor_bytes = 0;
};

Result<RoundName> parse_round(std::string_view message) {
  const std::string whole(message);
  const auto refuse = [&] {
    return fail(ErrorCode::kCorrupt,
                fmt::format("a commit says \"{}\", which no one saved", whole));
  };
  if (!message.starts_with(kRoundPrefix)) return refuse();
  message.remove_prefix(kRoundPrefix.size());
  const auto round = take_number(message);
  constexpr std::string_view kOf = " of ";
  if (!round || !message.starts_with(kOf)) return refuse();
  message.remove_prefix(kOf.size());
  const auto bytes = take_number(message);
  if (!bytes || message != " bytes") return refuse();
  return RoundName{*round, *bytes};
}

Status check_round(const std::shared_ptr<Store>& store, const Digest& digest) {
  KILTER_ASSIGN(const Commit commit, store->read_commit(digest));
  KILTER_ASSIGN(const RoundName name, parse_round(commit.message));
  KILTER_ASSIGN(auto tree, store->read_tree(commit.tree));
  const TreeReader reader(store, std::move(tree));
  const RoundFiles wanted = round_files(name.round, name.tensor_bytes);
  if (reader.tree().files.size() != wanted.size())
    return fail(Error(ErrorCode::kCorrupt, commit.message + " has another number of files"));
  for (const auto& [path, text] : wanted) {
    const auto file = reader.find(path);
    if (!file || reader.tree().files[*file].bytes != text.size())
      return fail(Error(ErrorCode::kCorrupt, commit.message + ": a file is missing or shorter")
                      .at_path(path));
    std::string found(text.size(), '\0');
    KILTER_TRY(reader.read(*file, 0, std::as_writable_bytes(std::span(found))));
    if (found != text)
      return fail(
          Error(ErrorCode::kCorrupt, commit.message + ": a file has other bytes").at_path(path));
  }
  return ok();
}

}  // namespace

RoundFiles round_files(std::uint64_t round, std::uint64_t tensor_bytes) {
  return {{"config.json", fmt::format("{{\"round\": {}}}\n", round)},
          {"weights/model.safetensors", two_tensors(round, tensor_bytes)}};
}

Result<SaveOutcome> save_round(Store& store, std::uint64_t round, std::uint64_t tensor_bytes,
                               const std::string& branch) {
  const auto memory = io::make_memory_file_system();
  for (const auto& [path, text] : round_files(round, tensor_bytes))
    memory->put(io::join_path(kRoundRoot, path), text);
  SaveRequest request;
  request.source = {memory.get(), kRoundRoot, {}};
  request.branch = branch;
  request.author = "torture";
  request.message = fmt::format("{}{} of {} bytes", kRoundPrefix, round, tensor_bytes);
  request.metadata["step"] = round;
  request.thread_count = 2;
  request.max_memory_bytes = 64ULL << 20;
  return save_tree(store, request);
}

Result<std::uint64_t> round_of(const Commit& commit) {
  return parse_round(commit.message).map([](const RoundName& name) { return name.round; });
}

Result<std::uint64_t> check_rounds(Store& store) {
  KILTER_TRY(store.refresh());
  KILTER_ASSIGN(const History history, History::load(store));
  // TreeReader shares the store; the caller's outlives this call.
  const std::shared_ptr<Store> shared(std::shared_ptr<Store>(), &store);
  for (const Ref& ref : history.refs())
    if (!history.find(ref.commit))
      return fail(
          Error(ErrorCode::kCorrupt, "a reference points to a missing commit").at_path(ref.name));
  const auto reached = history.ancestry(std::nullopt);
  for (const std::size_t number : reached) {
    const CommitSummary& commit = history.commits()[number];
    for (const Digest& parent : commit.parents)
      if (!history.find(parent)) return fail(ErrorCode::kCorrupt, "a commit's parent is missing");
    if (commit.retired) continue;
    auto checked = check_round(shared, commit.digest);
    if (!checked)
      return fail(std::move(checked).error().at_path("commit " + to_hex(commit.digest)));
  }
  return reached.size();
}

Result<std::uint64_t> tip_round(Store& store, const std::string& branch) {
  KILTER_ASSIGN(const auto tip, read_ref(store.place(), RefKind::kBranch, branch));
  if (!tip) return fail(Error(ErrorCode::kNotFound, "the branch is gone").at_path(branch));
  KILTER_ASSIGN(const Commit commit, store.read_commit(*tip));
  return round_of(commit);
}

}  // namespace kilter::store
