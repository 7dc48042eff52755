#include "formats/conformance_samples.h"

#include <fmt/format.h>
#include <zlib.h>

#include <algorithm>
#include <cstdint>
#include <string_view>

#include "formats/tensorflow/tensorflow_test_support.h"
#include "formats/test_files.h"

namespace kilter::formats::test {
namespace {

using namespace std::string_literals;

/// One text after the other. (GCC 12 warns of overlaps that cannot be where `"x" + string` is
/// used.)
template <typename... Parts>
std::string cat(const Parts&... parts) {
  std::string out;
  (out.append(parts), ...);
  return out;
}

std::string number(std::uint64_t value, int bytes) {
  std::string out;
  for (int i = 0; i < bytes; ++i) out += static_cast<char>(i < 8 ? value >> (8 * i) & 0xff : 0);
  return out;
}

// Pickles, protocol 2, opcode by opcode.

std::string text(std::string_view value) { return cat("X", number(value.size(), 4), value); }
std::string global(std::string_view module, std::string_view name) {
  return fmt::format("c{}\n{}\n", module, name);
}
std::string pickled(std::string_view body) { return "\x80\x02"s.append(body).append("."); }

/// The call that rebuilds a float tensor of two elements; `storage` pushes its storage.
std::string rebuild(std::string_view storage) {
  return cat(global("torch._utils", "_rebuild_tensor_v2"), "(", storage, "K\0K\2\x85K\1\x85\x89"s,
             global("collections", "OrderedDict"), ")RtR");
}

/// {"w": tensor, "step": 7} in an OrderedDict. `extra` ends the persistent id's tuple.
std::string state_dict(std::string_view extra) {
  const std::string storage = cat("(", text("storage"), global("torch", "FloatStorage"), text("0"),
                                  text("cpu"), "K\2", extra, "tQ");
  return pickled(cat(global("collections", "OrderedDict"), ")R(", text("w"), rebuild(storage),
                     text("step"), "K\7u"));
}

const std::string kTwoFloats = "\0\0\x80\x3f\0\0\0\x40"s;

// Zip archives.

struct ZipEntry {
  std::string name, content;
  bool deflated = false;
};

std::string deflated(const std::string& content) {
  std::string out(compressBound(content.size()) + 64, '\0');
  z_stream stream{};
  deflateInit2(&stream, 9, Z_DEFLATED, -MAX_WBITS, 8, Z_DEFAULT_STRATEGY);
  std::string input = content;
  stream.next_in = reinterpret_cast<Bytef*>(input.data());
  stream.avail_in = static_cast<uInt>(input.size());
  stream.next_out = reinterpret_cast<Bytef*>(out.data());
  stream.avail_out = static_cast<uInt>(out.size());
  deflate(&stream, Z_FINISH);
  out.resize(stream.total_out);
  deflateEnd(&stream);
  return out;
}

std::string zip(const std::vector<ZipEntry>& entries) {
  std::string out, directory;
  for (const ZipEntry& entry : entries) {
    const std::string stored = entry.deflated ? deflated(entry.content) : entry.content;
    const auto* bytes = reinterpret_cast<const Bytef*>(entry.content.data());
    const std::string common = number(entry.deflated ? 8 : 0, 2) + number(0, 2) + number(0x21, 2) +
                               number(crc32(0, bytes, static_cast<uInt>(entry.content.size())), 4) +
                               number(stored.size(), 4) + number(entry.content.size(), 4) +
                               number(entry.name.size(), 2) + number(0, 2);
    directory += cat("PK\1\2", number(20, 2), number(20, 2), number(0, 2), common, number(0, 10),
                     number(out.size(), 4), entry.name);
    out += cat("PK\3\4", number(20, 2), number(0, 2), common, entry.name, stored);
  }
  return cat(out, directory, "PK\5\6", number(0, 4), number(entries.size(), 2),
             number(entries.size(), 2), number(directory.size(), 4), number(out.size(), 4),
             number(0, 2));
}

// numpy.

std::string npy(std::string_view descr, std::string_view shape, std::string_view data) {
  std::string literal =
      fmt::format("{{'descr': '{}', 'fortran_order': False, 'shape': {}, }}", descr, shape);
  while ((literal.size() + 11) % 64 != 0) literal += ' ';
  literal += '\n';
  return cat("\x93NUMPY\1\0"s, number(literal.size(), 2), literal, data);
}

/// numpy.array({"w": array}, dtype=object), as numpy pickles it.
std::string object_array() {
  const auto dtype = [](std::string_view code, std::string_view order, std::string_view flags) {
    return cat(global("numpy", "dtype"), "(", text(code), "K\0K\1tR(K\3"s, text(order),
               "NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK", flags, "tb");
  };
  const std::string make = cat(global("numpy.core.multiarray", "_reconstruct"),
                               global("numpy", "ndarray"), "K\0\x85U\1b\x87R"s);
  const std::string bytes =
      cat(global("_codecs", "encode"), text("abcdefgh"), text("latin1"), "\x86R");
  const std::string inner = cat(make, "(K\1K\2\x85", dtype("f4", "<", "\0"s), "\x89", bytes, "tb");
  return pickled(cat(make, "(K\1)", dtype("O8", "|", "?"), "\x89](}(", text("w"), inner, "uetb"));
}

// tar, as torch before 0.1.10 wrote it.

std::string tar_member(std::string_view name, const std::string& content) {
  std::string header(512, '\0');
  const auto put = [&](std::size_t at, std::string_view value) {
    std::copy(value.begin(), value.end(), header.begin() + static_cast<std::ptrdiff_t>(at));
  };
  put(0, name);
  put(100, "0000644");
  put(108, "0000000");
  put(116, "0000000");
  put(124, fmt::format("{:011o}", content.size()));
  put(136, "00000000000");
  put(148, "        ");
  put(156, "0");
  put(257,
      "ustar\0"
      "00"s);
  unsigned sum = 0;
  for (const char c : header) sum += static_cast<unsigned char>(c);
  put(148, cat(fmt::format("{:06o}", sum), "\0 "s));
  std::string out = header + content;
  out.resize((out.size() + 511) / 512 * 512, '\0');
  return out;
}

std::string torch_tar() {
  const std::string storages =
      cat(pickled("K\1"), pickled(cat("K\5", text("cpu"), global("torch", "FloatStorage"), "\x87")),
          number(2, 8), kTwoFloats, pickled("]"));
  const std::string tensors =
      cat(pickled("K\1"), pickled(cat("K\6K\5", global("torch", "FloatTensor"), "\x87")),
          number(1, 4), number(0, 4), number(2, 8), number(1, 8), number(0, 8));
  const std::string object = pickled(cat("}", text("w"), text("6"), "Qs"));
  return cat(tar_member("sys_info", pickled("}")), tar_member("storages", storages),
             tar_member("tensors", tensors), tar_member("pickle", object), std::string(1024, '\0'));
}

std::string torch_legacy() {
  return cat(
      pickled("\x8a\x0a\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19"), pickled("M\xe9\3"),
      pickled(cat("}(", text("protocol_version"), "M\xe9\3", text("little_endian"), "\x88u")),
      state_dict("N"), pickled(cat("]", text("0"), "a")), number(2, 8), kTwoFloats);
}

tensorflow::test::BundleBuilder tensorflow_bundle() {
  using tensorflow::test::TestEntry;
  tensorflow::test::BundleBuilder bundle;
  bundle.add("w", 1, {2}, kTwoFloats);
  bundle.add_strings("words", {2}, {"a", "bc"});
  bundle.add_slice("v", {{0, 1}, {0, -1}}, 4, {1, 2}, "ab");
  bundle.add_slice("v", {{1, 1}, {0, -1}}, 4, {1, 2}, "cd");
  TestEntry whole;
  whole.dtype = 4;
  whole.shape = {2, 2};
  whole.slices = {{{0, 1}, {0, -1}}, {{1, 1}, {0, -1}}};
  bundle.entries["v"] = whole.message();
  return bundle;
}

std::string torch_zip() {
  return zip({{"archive/data.pkl", state_dict(""), false},
              {"archive/byteorder", "little", false},
              {"archive/data/0", kTwoFloats, false},
              {"archive/version", "3\n", false}});
}

}  // namespace

std::vector<Sample> samples() {
  const std::string floats = npy("<f4", "(2,)", kTwoFloats);
  const auto bundle = tensorflow_bundle();
  const std::vector<std::pair<std::string, std::string>> shards = {
      {".data-00000-of-00001", bundle.data}};
  return {
      {"tensorflow", "tensorflow", bundle.index(), 2, true, shards},
      {"tensorflowSnappy", "tensorflow", bundle.index(true), 2, true, shards},
      {"safetensors", "safetensors",
       safetensors_file(
           R"({"__metadata__":{"format":"pt"},"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]},)"
           R"("b":{"dtype":"F4","shape":[2,2],"data_offsets":[8,10]}})",
           cat(kTwoFloats, "ab")),
       2},
      {"npy", "npy", floats, 1},
      {"npyObjects", "npy", npy("|O", "()", object_array()), 1},
      {"npz", "npz",
       zip({{"x.npy", floats, false},
            {"y.npy", floats, true},
            {"z.npy", npy("<U1", "(1,)", "abcd"), false}}),
       2},
      {"npzObjects", "npz", zip({{"o.npy", npy("|O", "()", object_array()), true}}), 1},
      {"torchZip", "torch-zip", torch_zip(), 1},
      {"torchLegacy", "torch-legacy", torch_legacy(), 1},
      {"torchTar", "torch-tar", torch_tar(), 1},
      {"pickle", "pickle", "\x80\x04\x95\x11\0\0\0\0\0\0\0}\x94(\x8c\1a\x94K\1\x8c\1b\x94]\x94u."s,
       0},
      {"config", "document", R"({"model_type": "llama", "architectures": ["LlamaForCausalLM"]})",
       0},
      {"card", "document", "---\nlicense: mit\ntags:\n- x\n---\n# A model\n", 0},
      {"zipOfTexts", "zip", zip({{"a.txt", "hello", false}, {"b.txt", "hello", true}}), 0, false},
      {"tarOfTexts", "tar", cat(tar_member("a.txt", "hello"), std::string(1024, '\0')), 0, false},
  };
}

}  // namespace kilter::formats::test
