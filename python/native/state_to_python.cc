// From a state tree to Python's values, without recursion: the tree comes from a file.
#include <vector>

#include "native/opened.h"

namespace kilter::python {
namespace {

nb::object text_of(const std::string& text) {
  PyObject* made =
      PyUnicode_DecodeUTF8(text.data(), static_cast<Py_ssize_t>(text.size()), "surrogatepass");
  if (made == nullptr) {
    PyErr_Clear();
    made =
        PyUnicode_DecodeUTF8(text.data(), static_cast<Py_ssize_t>(text.size()), "surrogateescape");
  }
  if (made == nullptr) throw nb::python_error();
  return nb::steal(made);
}

class Maker {
 public:
  Maker(const StateTree& tree, const nb::object& handlers)
      : tree_(tree),
        tensor_(handlers.attr("tensor")),
        object_(handlers.attr("object")),
        global_(handlers.attr("global_")),
        made_(tree.size()),
        entered_(tree.size(), false) {}

  nb::object run() {
    if (tree_.empty()) return nb::none();
    std::vector<Step> waiting = {{tree_.root(), false}};
    while (!waiting.empty()) {
      const Step step = waiting.back();
      waiting.pop_back();
      if (step.leave) {
        leave(step.id);
      } else if (!entered_[step.id]) {
        entered_[step.id] = true;
        if (enter(step.id)) continue;
        waiting.push_back({step.id, true});
        const StateNode& node = tree_[step.id];
        if (node.extra != kNoState) waiting.push_back({node.extra, false});
        if (node.state != kNoState) waiting.push_back({node.state, false});
        for (auto item = node.items.rbegin(); item != node.items.rend(); ++item)
          waiting.push_back({*item, false});
      }
    }
    return made_[tree_.root()];
  }

 private:
  struct Step {
    StateId id;
    bool leave;
  };

  /// Makes a leaf, or an empty list or dict that its own items may refer to. True for a leaf.
  bool enter(StateId id) {
    const StateNode& node = tree_[id];
    switch (node.kind) {
      case StateKind::kNone:
        made_[id] = nb::none();
        return true;
      case StateKind::kBool:
        made_[id] = nb::bool_(node.integer != 0);
        return true;
      case StateKind::kInt:
        made_[id] = nb::int_(node.integer);
        return true;
      case StateKind::kBigInt:
        made_[id] = big_integer(node.text);
        return true;
      case StateKind::kFloat:
        made_[id] = nb::float_(node.number);
        return true;
      case StateKind::kComplex:
        made_[id] = nb::steal(PyComplex_FromDoubles(node.number, node.imaginary));
        return true;
      case StateKind::kString:
        made_[id] = text_of(node.text);
        return true;
      case StateKind::kBytes:
        made_[id] = nb::bytes(node.text.data(), node.text.size());
        return true;
      case StateKind::kTensor:
        made_[id] = tensor_(node.integer);
        return true;
      case StateKind::kGlobal:
        made_[id] = global_(text_of(node.text));
        return true;
      case StateKind::kList:
        made_[id] = nb::list();
        return false;
      case StateKind::kDict:
        made_[id] = nb::dict();
        return false;
      default:
        return false;
    }
  }

  /// All items are made: fills a container, or makes what needs its items first.
  void leave(StateId id) {
    const StateNode& node = tree_[id];
    switch (node.kind) {
      case StateKind::kList:
        for (const StateId item : node.items) nb::borrow<nb::list>(made_[id]).append(value(item));
        return;
      case StateKind::kDict:
        return fill(id);
      case StateKind::kTuple:
        made_[id] = tuple(node.items);
        return;
      case StateKind::kSet:
        return set(id);
      default:
        made_[id] = object(node);
    }
  }

  /// What contains itself through a tuple or an object's arguments cannot be made in Python either.
  nb::object value(StateId id) {
    if (made_[id].is_valid()) return made_[id];
    return object_("recursive reference", nb::tuple());
  }

  nb::object tuple(const std::vector<StateId>& items) {
    nb::object out = nb::steal(PyTuple_New(static_cast<Py_ssize_t>(items.size())));
    if (!out.is_valid()) throw nb::python_error();
    for (std::size_t i = 0; i < items.size(); ++i)
      PyTuple_SET_ITEM(out.ptr(), static_cast<Py_ssize_t>(i), value(items[i]).release().ptr());
    return out;
  }

  void fill(StateId id) {
    const StateNode& node = tree_[id];
    for (std::size_t i = 0; i + 1 < node.items.size(); i += 2) {
      const nb::object key = value(node.items[i]);
      const nb::object item = value(node.items[i + 1]);
      if (PyDict_SetItem(made_[id].ptr(), key.ptr(), item.ptr()) == 0) continue;
      PyErr_Clear();  // a key that Python cannot hash stays visible as text
      const nb::object text = nb::repr(key);
      if (PyDict_SetItem(made_[id].ptr(), text.ptr(), item.ptr()) != 0) throw nb::python_error();
    }
  }

  void set(StateId id) {
    const StateNode& node = tree_[id];
    const nb::object items = tuple(node.items);
    PyObject* made =
        node.text == "frozenset" ? PyFrozenSet_New(items.ptr()) : PySet_New(items.ptr());
    if (made == nullptr) {
      PyErr_Clear();
      made_[id] = items;
    } else {
      made_[id] = nb::steal(made);
    }
  }

  nb::object object(const StateNode& node) {
    nb::dict parts;
    if (node.state != kNoState) parts["state"] = value(node.state);
    if (node.extra != kNoState) parts["extra"] = value(node.extra);
    return object_(text_of(node.text), tuple(node.items), **parts);
  }

  nb::object big_integer(const std::string& decimal) {
    PyObject* made = PyLong_FromString(decimal.c_str(), nullptr, 10);
    if (made != nullptr) return nb::steal(made);
    PyErr_Clear();  // beyond what Python reads in decimal
    return object_("builtins.int", nb::make_tuple(decimal.c_str()));
  }

  const StateTree& tree_;
  nb::object tensor_, object_, global_;
  std::vector<nb::object> made_;
  std::vector<bool> entered_;
};

}  // namespace

nb::object state_to_python(const StateTree& tree, const nb::object& handlers) {
  return Maker(tree, handlers).run();
}

}  // namespace kilter::python
