// Small hand-made torch files for tests.
#pragma once

#include <gtest/gtest.h>

#include <cstring>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "flow/source.h"
#include "formats/format.h"
#include "formats/torch/pickle_writer.h"
#include "formats/torch/torch_formats.h"
#include "formats/zip/zip_test_support.h"
#include "io/memory_file_system.h"

namespace kilter::torch {

inline std::string floats(const std::vector<float>& values) {
  std::string out(values.size() * 4, '\0');
  std::memcpy(out.data(), values.data(), out.size());
  return out;
}

/// A storage's persistent id and the rebuild call around it.
struct TestTensor {
  std::string key;
  std::int64_t numel = 0;
  std::vector<std::int64_t> shape;
  std::vector<std::int64_t> strides;
  std::int64_t offset = 0;
  std::string storage = "torch.FloatStorage";
};

inline void write_ints(PickleWriter* out, const std::vector<std::int64_t>& values) {
  out->mark();
  for (const std::int64_t value : values) out->integer(value);
  out->tuple();
}

inline void write_tensor(PickleWriter* out, const TestTensor& tensor, bool legacy = false) {
  out->global("torch._utils._rebuild_tensor_v2");
  out->mark();
  out->mark();
  out->name("storage");
  out->global(tensor.storage);
  out->string(tensor.key);
  out->name("cpu");
  out->integer(tensor.numel);
  if (legacy) out->none();
  out->tuple();
  out->persistent_id();
  out->integer(tensor.offset);
  write_ints(out, tensor.shape);
  write_ints(out, tensor.strides);
  out->boolean(false);
  out->global("collections.OrderedDict");
  out->empty_tuple();
  out->reduce();
  out->tuple();
  out->reduce();
}

inline std::string pickle_of(const std::vector<std::pair<std::string, TestTensor>>& tensors,
                             bool legacy = false) {
  PickleWriter out;
  out.empty_dict();
  out.mark();
  for (const auto& [name, tensor] : tensors) {
    out.string(name);
    write_tensor(&out, tensor, legacy);
  }
  out.set_items();
  out.stop();
  return out.take();
}

/// Two tensors: "w" 2x3 of 1..6 in storage 0, "b" 3 of 7..9 in storage 1.
inline std::vector<std::pair<std::string, TestTensor>> two_tensors() {
  return {{"w", {"0", 6, {2, 3}, {3, 1}}}, {"b", {"1", 3, {3}, {1}}}};
}
inline const std::string kStorage0 = floats({1, 2, 3, 4, 5, 6});
inline const std::string kStorage1 = floats({7, 8, 9});

inline zip::ZipBuilder torch_zip(const std::string& pickle) {
  zip::ZipBuilder builder;
  builder.add("m/data.pkl", pickle).add("m/byteorder", "little");
  builder.add("m/data/0", kStorage0).add("m/data/1", kStorage1).add("m/version", "3\n");
  return builder;
}

inline std::string pickled(const std::function<void(PickleWriter*)>& write) {
  PickleWriter out;
  write(&out);
  out.stop();
  return out.take();
}

inline std::string legacy_count(std::int64_t count) {
  std::string out;
  zip::put_le(&out, count);
  return out;
}

/// magic, protocol, system info, `object`, keys, then what `storages` holds.
inline std::string torch_legacy(const std::string& object, const std::vector<std::string>& keys,
                                const std::string& storages) {
  std::string out("\x80\x02\x8a\x0a\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19.", 15);
  out += pickled([](PickleWriter* p) { p->integer(1001); });
  out += pickled([](PickleWriter* p) {
    p->empty_dict();
    p->mark();
    p->string("little_endian");
    p->boolean(true);
    p->set_items();
  });
  out += object;
  out += pickled([&](PickleWriter* p) {
    p->empty_list();
    p->mark();
    for (const std::string& key : keys) p->string(key);
    p->appends();
  });
  return out + storages;
}

inline std::string two_tensors_legacy() {
  return torch_legacy(pickle_of(two_tensors(), true), {"0", "1"},
                      legacy_count(6) + kStorage0 + legacy_count(3) + kStorage1);
}

/// One file in memory and the format that is to read it.
struct Opened {
  std::unique_ptr<io::MemoryFileSystem> files = io::make_memory_file_system();
  formats::Probe probe;
  const formats::Format* format = nullptr;

  Opened(const formats::Format& which, const std::string& bytes) : format(&which) {
    files->put("/m.pt", bytes);
    probe = *formats::make_probe(*files, "/m.pt");
  }
  Result<CheckpointData> open(bool lenient = false) const {
    formats::OpenArguments arguments;
    arguments.files = files.get();
    arguments.path = "/m.pt";
    arguments.probe = &probe;
    arguments.options.lenient = lenient;
    return format->open(arguments);
  }
  std::vector<Finding> look(bool scan) const {
    formats::CheckArguments arguments;
    arguments.files = files.get();
    arguments.path = "/m.pt";
    arguments.probe = &probe;
    std::vector<Finding> findings;
    const auto status =
        scan ? format->scan(arguments, &findings) : format->check(arguments, &findings);
    EXPECT_TRUE(status) << status.error().text();
    return findings;
  }
  std::vector<Finding> scan() const { return look(true); }
  std::vector<Finding> check() const { return look(false); }
};

inline std::vector<float> read_floats(const Opened& opened, const CheckpointData& data,
                                      std::string_view name) {
  const auto source = make_file_source(*opened.files, "/m.pt", false, data.index);
  const std::size_t at = *data.index.find(name);
  std::vector<float> out(data.index.tensors[at].element_count());
  const auto status = source->read_tensor(at, 0, std::as_writable_bytes(std::span(out)));
  EXPECT_TRUE(status) << status.error().text();
  return out;
}

}  // namespace kilter::torch
