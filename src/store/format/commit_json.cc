#include "base/try.h"
#include "store/format/json_fields.h"
#include "store/format/objects.h"

namespace kilter::store {
namespace {

constexpr std::uint64_t kCommitVersion = 1;
constexpr std::size_t kParentsMax = 1000;
constexpr std::uint64_t kCommitTextMax = 256ULL << 20;

Status parse_parents(JsonFields& fields, Commit& commit) {
  const Json& parents = fields.array("parents");
  if (parents.size() > kParentsMax)
    return fail(ErrorCode::kLimitExceeded, "a commit has more than a thousand parents");
  for (const Json& parent : parents) commit.parents.push_back(fields.to_digest(parent));
  return ok();
}

}  // namespace

std::string commit_text(const Commit& commit) {
  SortedJson out = SortedJson::object();
  out["author"] = commit.author;
  out["kilter"] = commit.kilter_version;
  out["lineage"] = commit.lineage;
  out["message"] = commit.message;
  out["metadata"] = commit.metadata;
  SortedJson parents = SortedJson::array();
  for (const Digest& parent : commit.parents) parents.push_back(to_hex(parent));
  out["parents"] = std::move(parents);
  out["time"] = time_text(commit.time_unix_ns);
  out["tree"] = to_hex(commit.tree);
  out["version"] = kCommitVersion;
  return out.dump(-1, ' ', false, SortedJson::error_handler_t::replace);
}

Result<Commit> parse_commit(std::string_view text) {
  KILTER_ASSIGN(const Json json, parse_json(text, {.bytes_max = kCommitTextMax, .depth_max = 64}));
  JsonFields fields(json, "the commit");
  Commit commit;
  const std::uint64_t version = fields.u64("version", ~std::uint64_t{0});
  if (fields.sound() && version != kCommitVersion)
    return fail(Error(ErrorCode::kUnsupported, "the commit is of another version")
                    .wanted("version 1", "version " + std::to_string(version))
                    .advise("use a newer Kilter"));
  commit.author = fields.text_or("author", {});
  commit.message = fields.text_or("message", {});
  commit.kilter_version = fields.text_or("kilter", {});
  commit.tree = fields.digest("tree");
  KILTER_TRY(parse_parents(fields, commit));
  const auto time = parse_time(fields.text("time"));
  if (!time) fields.fault("holds a time that is none");
  commit.time_unix_ns = time.value_or(0);
  commit.metadata = SortedJson(fields.member("metadata"));
  if (!commit.metadata.is_object()) fields.fault("has metadata that is no object");
  commit.lineage = SortedJson(fields.array("lineage", true));
  KILTER_TRY(fields.status());
  return commit;
}

}  // namespace kilter::store
