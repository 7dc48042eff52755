#include "kilter/identity.h"

#include "model/adapter.h"
#include "model/architecture.h"
#include "model/counts.h"
#include "model/kind.h"
#include "model/match.h"
#include "model/names.h"
#include "model/papers.h"
#include "model/stated.h"
#include "model/unwrap.h"

namespace kilter {
namespace {

// The weights, or the averaged ones where there are no others.
model::NameTable names_of_weights(const CheckpointData& data, const model::Placement& placement) {
  const model::Part part =
      placement.count(model::Part::kWeights) > 0 ? model::Part::kWeights : model::Part::kEma;
  std::vector<std::uint32_t> tensors;
  std::vector<std::string_view> names;
  tensors.reserve(placement.count(part));
  names.reserve(placement.count(part));
  for (std::uint32_t i = 0; i < placement.parts.size(); ++i) {
    if (placement.parts[i] != part) continue;
    tensors.push_back(i);
    names.push_back(placement.names[i]);
  }
  return {data.index, std::move(tensors), std::move(names)};
}

}  // namespace

Identity identify(const CheckpointData& data) {
  Identity identity;
  const model::Placement placement = model::place_tensors(data);
  const model::NameTable names = names_of_weights(data, placement);
  const model::Papers papers = model::read_papers(data);
  const model::Components components = model::find_components(names);
  model::count_all(data, placement, names, components, &identity);
  model::answer_architecture(data, names, components, papers, &identity);
  const model::AdapterReport adapter = model::answer_adapter(data, names, papers, &identity);
  model::answer_instance(data, placement, names, adapter, &identity);
  model::answer_type(data, placement, components, papers, adapter, &identity);
  model::answer_licence(data, papers, &identity);
  model::collect_stated(data, papers, &identity);
  return identity;
}

}  // namespace kilter
