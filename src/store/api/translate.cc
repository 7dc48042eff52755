#include "store/api/translate.h"

#include "base/try.h"

namespace kilter::store::api {
namespace {

kilter::MetaValue value_of(const MetaValue& value) {
  return std::visit([](const auto& v) -> kilter::MetaValue { return v; }, value);
}

/// A summary holds arrays and objects as their text, which a text may look like.
bool may_be_json(const MetaValue& value) {
  const auto* text = std::get_if<std::string>(&value);
  return text != nullptr && (text->starts_with('[') || text->starts_with('{'));
}

Result<kilter::Metadata> metadata_of(Store& store, const CommitSummary& commit) {
  kilter::Metadata out;
  for (const auto& [key, value] : commit.metadata) {
    if (may_be_json(value)) {
      KILTER_ASSIGN(const Commit whole, store.read_commit(commit.digest));
      return to_metadata(whole.metadata);
    }
    out.emplace(key, value_of(value));
  }
  return out;
}

kilter::StoreFault to_fault(StoreFault fault) {
  kilter::StoreFault out;
  out.error = std::move(fault.error);
  for (Affected& hit : fault.affected)
    out.affected.push_back(
        {to_hex(hit.commit), std::move(hit.step), std::move(hit.file), std::move(hit.tensor)});
  return out;
}

}  // namespace

Result<kilter::CommitInfo> to_info(Store& store, const History& history, std::size_t commit) {
  const CommitSummary& summary = history.commits()[commit];
  kilter::CommitInfo out;
  out.digest = to_hex(summary.digest);
  out.tree = to_hex(summary.tree);
  for (const Digest& parent : summary.parents) out.parents.push_back(to_hex(parent));
  out.time_unix_ns = summary.time_unix_ns;
  out.author = summary.author;
  out.message = summary.message;
  KILTER_ASSIGN(out.metadata, metadata_of(store, summary));
  for (const Ref& ref : history.refs())
    if (ref.commit == summary.digest)
      (ref.kind == RefKind::kTag ? out.tags : out.branches).push_back(ref.name);
  out.retired = summary.retired;
  return out;
}

std::vector<kilter::StoreRef> to_refs(const std::vector<Ref>& refs) {
  std::vector<kilter::StoreRef> out;
  for (const Ref& ref : refs)
    out.push_back({ref.kind == RefKind::kTag ? kilter::RefKind::kTag : kilter::RefKind::kBranch,
                   ref.name, to_hex(ref.commit)});
  return out;
}

kilter::CheckReport to_report(CheckOutcome outcome) {
  kilter::CheckReport out;
  out.commit_count = outcome.commit_count;
  out.pack_count = outcome.pack_count;
  out.chunk_count = outcome.chunk_count;
  out.read_bytes = outcome.read_bytes;
  for (StoreFault& fault : outcome.faults) out.faults.push_back(to_fault(std::move(fault)));
  return out;
}

}  // namespace kilter::store::api
