#include "kilter/checkpoint.h"

#include <nanobind/stl/shared_ptr.h>
#include <nanobind/stl/string.h>
#include <nanobind/stl/tuple.h>
#include <nanobind/stl/vector.h>

#include "kilter/identity.h"
#include "kilter/store.h"

#include "base/checked.h"
#include "base/try.h"
#include "flow/read_into.h"
#include "native/bind.h"
#include "native/long_work.h"
#include "native/opened.h"
#include "store/address.h"

namespace kilter::python {
namespace {

using Address = std::uintptr_t;

/// A file, a folder, or an address in a store.
Result<Checkpoint> open_address(const std::string& address, const OpenOptions& options) {
  const auto parsed = store::parse_store_address(address);
  if (!parsed) return open_checkpoint(address, options);
  KILTER_ASSIGN(const Store store, Store::open(parsed->store));
  return store.open_checkpoint(parsed->selector, options);
}

std::shared_ptr<Opened> open(const std::string& address, bool lenient, bool join_ranks) {
  OpenOptions options;
  options.lenient = lenient;
  options.join_ranks = join_ranks;
  return released([&]() -> Result<std::shared_ptr<Opened>> {
    KILTER_ASSIGN(Checkpoint checkpoint, open_address(address, options));
    return std::make_shared<Opened>(std::move(checkpoint));
  });
}

using Text = nb::str;
using TextPair = nb::typed<nb::tuple, Text, Text>;
using Sizes = nb::typed<nb::tuple, int, nb::ellipsis>;

Sizes sizes(const std::vector<std::int64_t>& values) {
  nb::list out;
  for (const std::int64_t value : values) out.append(value);
  return nb::tuple(out);
}

/// name, dtype, shape, strides, storage, offset in it, bytes, contiguous, requires_grad, parameter,
/// conjugate, negative
using TensorRow =
    nb::typed<nb::tuple, Text, Text, Sizes, Sizes, int, int, int, bool, bool, bool, bool, bool>;

TensorRow tensor_info(const Opened& self, std::size_t number) {
  const TensorInfo& tensor = self.index().tensors.at(number);
  return nb::make_tuple(tensor.name, std::string(dtype_name(tensor.dtype)), sizes(tensor.shape),
                        sizes(tensor.strides), tensor.storage, tensor.offset_elements,
                        tensor.bytes(), tensor.contiguous(), tensor.requires_grad, tensor.parameter,
                        tensor.conjugate, tensor.negative);
}

nb::typed<nb::tuple, int, Text, bool, Text> storage_info(const Opened& self, std::size_t number) {
  const StorageInfo& storage = self.index().storages.at(number);
  return nb::make_tuple(storage.bytes, storage.device, storage.coding == StorageCoding::kInline,
                        storage.name);
}

DType dtype_named(const std::string& name) { return dtype_from_name(name).value_or(DType::kU8); }

ByteArray storage(const Opened& self, std::size_t number, const std::string& dtype) {
  if (number >= self.index().storages.size()) throw nb::index_error("no such storage");
  auto held = released([&] { return self.storage(number, dtype_named(dtype)); });
  return byte_array(held.bytes, std::move(held.owner));
}

ByteArray read(const Opened& self, std::size_t number, std::uint64_t offset_bytes,
               std::uint64_t count_bytes) {
  auto fresh = released([&]() -> Result<FreshBytes> {
    if (number >= self.index().tensors.size() ||
        !range_fits(offset_bytes, count_bytes, self.index().tensors[number].bytes()))
      return fail(ErrorCode::kOutOfRange, "the bytes asked for are not in the tensor");
    KILTER_ASSIGN(FreshBytes made, fresh_bytes(count_bytes));
    KILTER_TRY(self.checkpoint().read_tensor(number, offset_bytes, made.span()));
    return made;
  });
  return byte_array(fresh.span(), fresh.memory);
}

std::vector<ByteArray> load_all(const Opened& self, bool mapped, const nb::object& progress) {
  const LoadMode mode = mapped ? LoadMode::kMap : LoadMode::kRead;
  std::shared_ptr<const LoadedTensors> loaded = long_work(progress, [&](const RunContext& context) {
    return load_storages(self.checkpoint().source(), mode, context, MapAccess::kCopyOnWrite);
  });
  std::vector<ByteArray> out;
  for (std::size_t i = 0; i < self.index().storages.size(); ++i)
    out.push_back(byte_array(loaded->bytes(i), loaded));
  return out;
}

void load_into_memory(const Opened& self,
                      const std::vector<std::tuple<std::size_t, Address, std::uint64_t>>& targets,
                      bool verify, const nb::object& progress) {
  std::vector<flow::IntoTarget> jobs;
  for (const auto& [tensor, address, bytes] : targets)
    jobs.push_back({tensor, {reinterpret_cast<std::byte*>(address), bytes}});
  flow::IntoOptions options;
  options.verify = verify;
  long_work(progress, [&](const RunContext& context) {
    return flow::read_into(*self.checkpoint().source(), jobs, options, context);
  });
}

std::size_t find(const Opened& self, const std::string& name) {
  if (const auto found = self.index().find(name)) return *found;
  throw ErrorException(self.checkpoint().read_tensor(name).error());
}

template <typename Pairs>
nb::typed<nb::list, TextPair> pairs(const Pairs& from) {
  nb::typed<nb::list, TextPair> out;
  for (const auto& [first, second] : from) out.append(nb::make_tuple(first, second));
  return out;
}

using FindingRow = nb::typed<nb::tuple, Text, Text, Text, Text>;

nb::typed<nb::list, FindingRow> findings(const Opened& self) {
  nb::typed<nb::list, FindingRow> out;
  for (const Finding& finding : self.data().findings)
    out.append(nb::make_tuple(finding.rule, finding.path, finding.tensor, finding.message));
  return out;
}

nb::typed<nb::list, TextPair> documents(const Opened& self) {
  nb::typed<nb::list, TextPair> out;
  for (const Document& document : self.data().documents)
    out.append(nb::make_tuple(
        document.path,
        nb::steal(PyUnicode_DecodeUTF8(document.text.data(),
                                       static_cast<Py_ssize_t>(document.text.size()), "replace"))));
  return out;
}

std::vector<std::string> names(const Opened& self) {
  std::vector<std::string> out;
  out.reserve(self.index().tensors.size());
  for (const TensorInfo& tensor : self.index().tensors) out.push_back(tensor.name);
  return out;
}

/// For DLPack: views of bytes with the dtypes that numpy lacks. Codes: dlpack.h.
nb::any typed_view(const ByteArray& bytes, std::uint64_t offset_bytes,
                   const std::vector<std::size_t>& shape, const std::vector<std::int64_t>& strides,
                   std::uint8_t code, std::uint8_t bits) {
  nb::dlpack::dtype dtype;
  dtype.code = code;
  dtype.bits = bits;
  dtype.lanes = 1;
  return nb::borrow<nb::any>(
      nb::cast(nb::ndarray<>(bytes.data() + offset_bytes, shape.size(), shape.data(),
                             nb::cast(bytes), strides.data(), dtype)));
}

}  // namespace

void bind_checkpoint(nb::module_& module) {
  nb::class_<Opened>(module, "Checkpoint", "An opened checkpoint.")
      .def_prop_ro("path", [](const Opened& self) { return self.data().path; })
      .def_prop_ro("format", [](const Opened& self) { return self.data().format; })
      .def_prop_ro("format_detail", [](const Opened& self) { return self.data().format_detail; })
      .def_prop_ro("metadata", [](const Opened& self) { return pairs(self.data().metadata); })
      .def_prop_ro("ties", [](const Opened& self) { return pairs(self.data().ties); })
      .def_prop_ro("documents", &documents)
      .def_prop_ro("findings", &findings)
      .def_prop_ro("names", &names)
      .def_prop_ro("parts", [](const Opened& self) { return tensor_parts(self.data()); })
      .def_prop_ro("tensor_count", [](const Opened& self) { return self.index().tensors.size(); })
      .def_prop_ro("storage_count", [](const Opened& self) { return self.index().storages.size(); })
      .def_prop_ro("has_state", [](const Opened& self) { return !self.data().state.empty(); })
      .def("find", &find, nb::arg("name"), "Number of the tensor of that name.")
      .def("tensor_info", &tensor_info, nb::arg("number"))
      .def("storage_info", &storage_info, nb::arg("number"))
      .def("storage", &storage, nb::arg("number"), nb::arg("dtype"),
           "Bytes of a storage, mapped where they lie in a file as they are.")
      .def("read", &read, nb::arg("number"), nb::arg("offset_bytes"), nb::arg("count_bytes"),
           "A copy of some of a tensor's bytes: contiguous, C order, little-endian.")
      .def("load_all", &load_all, nb::arg("mapped"), nb::arg("progress").none(),
           "Bytes of all storages.")
      .def("load_into", &load_into_memory, nb::arg("targets"), nb::arg("verify"),
           nb::arg("progress").none(), "Tensors into memory at these addresses.")
      .def(
          "state",
          [](const Opened& self, const nb::object& handlers) {
            return nb::borrow<nb::any>(state_to_python(self.data().state, handlers));
          },
          nb::arg("handlers"), "The state tree as Python's values.");
  module.def("open", &open, nb::arg("address"), nb::arg("lenient") = false,
             nb::arg("join_ranks") = true,
             "Opens a file, a folder, or an address in a store.");
  module.def("typed_view", &typed_view, nb::arg("bytes"), nb::arg("offset_bytes"), nb::arg("shape"),
             nb::arg("strides"), nb::arg("code"), nb::arg("bits"),
             "A view with any dtype that DLPack knows.");
}

}  // namespace kilter::python
