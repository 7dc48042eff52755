#include "formats/dcp/metadata_writer.h"

#include "formats/torch/pickle_writer.h"

namespace kilter::dcp {
namespace {

constexpr std::string_view kMetadataModule = "torch.distributed.checkpoint.metadata.";
constexpr std::string_view kStorageInfo = "torch.distributed.checkpoint.filesystem._StorageInfo";

class MetadataWriter {
 public:
  std::string write(const Metadata& metadata) {
    begin_object(std::string(kMetadataModule) + "Metadata");
    out_.name("state_dict_metadata");
    write_entries(metadata);
    out_.name("planner_data");
    write_paths(metadata);
    out_.name("storage_data");
    write_places(metadata);
    out_.name("storage_meta");
    out_.none();
    out_.name("version");
    out_.string("1.0.0");
    end_object();
    out_.stop();
    return out_.take();
  }

 private:
  /// An instance whose attributes follow as keys and values.
  void begin_object(const std::string& name) {
    out_.global(name);
    out_.empty_tuple();
    out_.new_object();
    out_.empty_dict();
    out_.mark();
  }
  void end_object() {
    out_.set_items();
    out_.build();
  }

  void size(const std::vector<std::int64_t>& numbers) {
    out_.global("torch.Size");
    out_.mark();
    out_.mark();
    for (const std::int64_t number : numbers) out_.integer(number);
    out_.tuple();
    out_.tuple();
    out_.reduce();
  }

  void write_entries(const Metadata& metadata) {
    out_.empty_dict();
    out_.mark();
    for (const Entry& entry : metadata.entries) {
      out_.name(entry.fqn);
      if (entry.is_tensor) {
        write_tensor(entry);
      } else {
        out_.global(std::string(kMetadataModule) + "BytesStorageMetadata");
        out_.empty_tuple();
        out_.new_object();
      }
    }
    out_.set_items();
  }

  void write_tensor(const Entry& entry) {
    begin_object(std::string(kMetadataModule) + "TensorStorageMetadata");
    out_.name("properties");
    write_properties(entry);
    out_.name("size");
    size(entry.size);
    out_.name("chunks");
    out_.empty_list();
    out_.mark();
    for (const Chunk& chunk : entry.chunks) {
      begin_object(std::string(kMetadataModule) + "ChunkStorageMetadata");
      out_.name("offsets");
      size(chunk.offsets);
      out_.name("sizes");
      size(chunk.sizes);
      end_object();
    }
    out_.appends();
    end_object();
  }

  /// The state that every version takes: dtype, layout, requires_grad, memory format, pin_memory.
  void write_properties(const Entry& entry) {
    out_.global(std::string(kMetadataModule) + "TensorProperties");
    out_.empty_tuple();
    out_.new_object();
    out_.mark();
    out_.global(std::string("torch.").append(dtype_row(entry.dtype).torch));
    out_.global("torch.strided");
    out_.boolean(entry.requires_grad);
    out_.global(std::string(kMetadataModule) + "_MEM_FORMAT_ENCODING");
    out_.mark();
    out_.integer(0);  // contiguous
    out_.tuple();
    out_.reduce();
    out_.boolean(false);
    out_.tuple();
    out_.build();
  }

  void write_paths(const Metadata& metadata) {
    out_.empty_dict();
    out_.mark();
    for (const Entry& entry : metadata.entries) {
      const auto path = metadata.paths.find(entry.fqn);
      if (path == metadata.paths.end()) continue;
      out_.name(entry.fqn);
      out_.mark();
      for (const PathPart& part : path->second) {
        if (part.position) {
          out_.integer(*part.position);
        } else {
          out_.name(part.key);
        }
      }
      out_.tuple();
    }
    out_.set_items();
  }

  void write_places(const Metadata& metadata) {
    out_.empty_dict();
    out_.mark();
    for (const Entry& entry : metadata.entries) {
      if (!entry.is_tensor) write_place(entry, nullptr, 0, metadata.object_places.at(entry.fqn));
      for (std::size_t i = 0; i < entry.chunks.size(); ++i)
        write_place(entry, &entry.chunks[i].offsets, i,
                    metadata.chunk_places.at({entry.fqn, entry.chunks[i].offsets}));
    }
    out_.set_items();
  }

  void write_place(const Entry& entry, const std::vector<std::int64_t>* offsets, std::size_t number,
                   const Place& place) {
    begin_object(std::string(kMetadataModule) + "MetadataIndex");
    out_.name("fqn");
    out_.name(entry.fqn);
    out_.name("offset");
    if (offsets == nullptr) {
      out_.none();
    } else {
      size(*offsets);
    }
    out_.name("index");
    if (offsets == nullptr) {
      out_.none();
    } else {
      out_.integer(static_cast<std::int64_t>(number));
    }
    end_object();
    begin_object(std::string(kStorageInfo));
    out_.name("relative_path");
    out_.name(place.file);
    out_.name("offset");
    out_.integer(static_cast<std::int64_t>(place.offset_bytes));
    out_.name("length");
    out_.integer(static_cast<std::int64_t>(place.bytes));
    end_object();
  }

  torch::PickleWriter out_;
};

}  // namespace

std::string write_metadata(const Metadata& metadata) { return MetadataWriter().write(metadata); }

}  // namespace kilter::dcp
