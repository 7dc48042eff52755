#include "formats/foreign.h"

#include <array>

#include "base/byte_reader.h"

namespace kilter::formats {
namespace {

using namespace std::string_view_literals;

struct Magic {
  std::size_t offset_bytes;
  std::string_view bytes;
  std::string_view name;
};

// Sources: each format's own specification; ggml's from whisper.cpp and llama.cpp ("lmgg" on disk).
constexpr std::array kMagics = {
    Magic{0, "GGUF"sv, "GGUF (llama.cpp)"},
    Magic{0, "lmgg"sv, "legacy ggml"},
    Magic{0, "fmgg"sv, "legacy ggml (ggmf)"},
    Magic{0, "tjgg"sv, "legacy ggml (ggjt)"},
    Magic{0, "algg"sv, "ggml LoRA adapter (ggla)"},
    Magic{0, "\x89HDF\r\n\x1a\n"sv, "HDF5 (Keras .h5)"},
    Magic{0, "7z\xbc\xaf\x27\x1c"sv, "7-Zip archive"},
    Magic{0, "Rar!\x1a\x07"sv, "RAR archive"},
    Magic{0, "\x1f\x8b"sv, "gzip-compressed file"},
    Magic{0,
          "\xfd"
          "7zXZ\0"sv,
          "xz-compressed file"},
    Magic{0, "BZh"sv, "bzip2-compressed file"},
    Magic{0, "\x28\xb5\x2f\xfd"sv, "Zstandard-compressed file"},
    Magic{0, "\x04\x22\x4d\x18"sv, "LZ4-compressed file"},
    Magic{4, "TFL3"sv, "TensorFlow Lite model"},
    Magic{0,
          "\x7f"
          "ELF"sv,
          "ELF program or library"},
    Magic{0, "MZ"sv, "Windows program or library"},
    Magic{0, "%PDF-"sv, "PDF document"},
    Magic{0, "PAR1"sv, "Parquet table"},
    Magic{0, "ARROW1\0\0"sv, "Arrow file"},
    Magic{0, "\x08\x01\x12\x07pytorch"sv, "ONNX model"},
};

/// An ONNX ModelProto begins with field 1 (ir_version, a small varint), then a length-delimited
/// field 2 (producer_name) or 8 (opset_import) or 7 (graph). Source: onnx.proto.
bool looks_like_onnx(std::string_view head) {
  if (head.size() < 64 || head[0] != '\x08' || head[1] < 1 || head[1] > 13) return false;
  const char next = head[2];
  if (next != '\x12' && next != '\x3a' && next != '\x42') return false;
  return head.find("onnx") != std::string_view::npos || head.find("pytorch") < 16 ||
         head.find("graph") != std::string_view::npos;
}

/// A SavedModel begins with field 1 (schema version 1) and field 2 (a MetaGraphDef).
bool looks_like_saved_model(std::string_view head) {
  return head.size() > 16 && head.starts_with("\x08\x01\x12") &&
         (head.find("serve") < 4096 || head.find("NoOp") != std::string_view::npos ||
          head.find("saved_model") != std::string_view::npos);
}

/// SentencePiece's ModelProto begins with its first piece, usually "<unk>" or "<pad>".
bool looks_like_sentencepiece(std::string_view head) {
  return head.size() > 32 && head[0] == '\x0a' && head[2] == '\x0a' &&
         (head.substr(0, 32).find("<unk>") != std::string_view::npos ||
          head.substr(0, 32).find("<pad>") != std::string_view::npos ||
          head.substr(0, 32).find("<s>") != std::string_view::npos);
}

}  // namespace

std::optional<std::string_view> foreign_format(const Probe& probe) {
  if (probe.is_folder) return std::nullopt;
  const std::string_view head = as_text(Bytes(probe.head));
  for (const Magic& magic : kMagics)
    if (head.substr(std::min(magic.offset_bytes, head.size())).starts_with(magic.bytes))
      return magic.name;
  if (looks_like_onnx(head)) return "ONNX model";
  if (looks_like_saved_model(head)) return "TensorFlow SavedModel";
  if (looks_like_sentencepiece(head)) return "SentencePiece tokenizer";
  return std::nullopt;
}

}  // namespace kilter::formats
