#include "formats/tensorflow/object_graph.h"

#include <string>
#include <vector>

#include "base/protobuf.h"
#include "base/try.h"
#include "base/utf8.h"
#include "formats/merge_data.h"

namespace kilter::tensorflow {
namespace {

struct Attribute {
  std::string_view name, full_name, key;
};
struct Slot {
  std::uint64_t variable = 0, slot_variable = 0;  // numbers of nodes
  std::string_view name;
};
struct Object {
  std::string_view key;  // of its first attribute: a variable has one
};

/// State nodes of an attribute or a slot, and what stands here until then.
constexpr std::uint64_t kItemCost = 8 * sizeof(StateNode);

class ObjectGraph {
 public:
  explicit ObjectGraph(std::uint64_t bytes_max) : budget_(bytes_max) {}

  Status read(Bytes message) {
    ProtoReader reader(message);
    while (!reader.done()) {
      KILTER_ASSIGN(const ProtoField field, reader.next());
      if (!field.is(1, WireType::kBytes)) continue;
      KILTER_TRY(spend(sizeof(Object)));
      objects_.emplace_back();
      KILTER_TRY(read_object(field.content));
    }
    return ok();
  }

  StateId add_to(StateTree* tree) const {
    formats::DictBuilder names(tree);
    for (const Attribute& attribute : attributes_)
      names.add(attribute.key, add_text(attribute.full_name, tree));
    formats::DictBuilder root(tree);
    root.add("names", names.finish());
    StateNode slots;
    slots.kind = StateKind::kList;
    for (const Slot& slot : slots_) {
      if (slot.variable >= objects_.size() || slot.slot_variable >= objects_.size()) continue;
      formats::DictBuilder one(tree);
      one.add("key", add_text(objects_[slot.slot_variable].key, tree));
      one.add("of", add_text(objects_[slot.variable].key, tree));
      one.add("slot", add_text(slot.name, tree));
      slots.items.push_back(one.finish());
    }
    if (!slots.items.empty()) root.add("slots", tree->add(std::move(slots)));
    return root.finish();
  }

 private:
  static StateId add_text(std::string_view text, StateTree* tree) {
    StateNode node;
    node.kind = StateKind::kString;
    node.text = replace_invalid_utf8(text);
    return tree->add(std::move(node));
  }

  Status spend(std::uint64_t bytes) {
    if (bytes > budget_)
      return fail(ErrorCode::kLimitExceeded, "the object graph takes more memory than is allowed");
    budget_ -= bytes;
    return ok();
  }

  Status read_object(Bytes message) {
    ProtoReader reader(message);
    while (!reader.done()) {
      KILTER_ASSIGN(const ProtoField field, reader.next());
      if (field.is(2, WireType::kBytes)) KILTER_TRY(read_attribute(field.content));
      if (field.is(3, WireType::kBytes)) KILTER_TRY(read_slot(field.content));
    }
    return ok();
  }

  Status read_attribute(Bytes message) {
    KILTER_TRY(spend(kItemCost + message.size()));
    Attribute attribute;
    ProtoReader reader(message);
    while (!reader.done()) {
      KILTER_ASSIGN(const ProtoField field, reader.next());
      if (field.is(1, WireType::kBytes)) attribute.name = field.text();
      if (field.is(2, WireType::kBytes)) attribute.full_name = field.text();
      if (field.is(3, WireType::kBytes)) attribute.key = field.text();
    }
    if (attribute.key.empty()) return ok();
    if (objects_.back().key.empty()) objects_.back().key = attribute.key;
    if (attribute.full_name.empty()) attribute.full_name = attribute.name;
    attributes_.push_back(attribute);
    return ok();
  }

  Status read_slot(Bytes message) {
    KILTER_TRY(spend(kItemCost + message.size()));
    Slot slot;
    ProtoReader reader(message);
    while (!reader.done()) {
      KILTER_ASSIGN(const ProtoField field, reader.next());
      if (field.is(1, WireType::kVarint)) slot.variable = field.value;
      if (field.is(2, WireType::kBytes)) slot.name = field.text();
      if (field.is(3, WireType::kVarint)) slot.slot_variable = field.value;
    }
    slots_.push_back(slot);
    return ok();
  }

  std::uint64_t budget_;
  std::vector<Object> objects_;
  std::vector<Attribute> attributes_;
  std::vector<Slot> slots_;
};

}  // namespace

Result<StateId> add_object_graph(Bytes message, std::uint64_t bytes_max, StateTree* tree) {
  ObjectGraph graph(bytes_max);
  KILTER_TRY(graph.read(message));
  return graph.add_to(tree);
}

}  // namespace kilter::tensorflow
