#include <array>

#include "formats/dcp/dcp_format.h"
#include "formats/deepspeed/deepspeed_format.h"
#include "formats/folder/document_format.h"
#include "formats/folder/folder_format.h"
#include "formats/format.h"
#include "formats/npy/npy_formats.h"
#include "formats/pickle/pickle_format.h"
#include "formats/safetensors/safetensors_format.h"
#include "formats/tensorflow/tensorflow_format.h"
#include "formats/torch/torch_formats.h"
#include "formats/zip/archive_formats.h"

namespace kilter::formats {

std::span<const Format* const> format_table() {
  static const std::array kTable = {
      &safetensors_format(), &torch_zip_format(),   &torch_legacy_format(), &torch_tar_format(),
      &pickle_format(),      &npy_format(),         &npz_format(),          &dcp_format(),
      &folder_format(),      &tensorflow_format(),  &deepspeed_format(),    &document_format(),
      &zip_archive_format(), &tar_archive_format(),
  };
  return kTable;
}

const Format* find_format(std::string_view name) {
  for (const Format* format : format_table())
    if (format->name() == name) return format;
  return nullptr;
}

Recognized recognize(const Probe& probe) {
  Recognized best;
  for (const Format* format : format_table()) {
    Detection detection = format->detect(probe);
    if (detection.score > best.detection.score) best = {format, std::move(detection)};
  }
  return best;
}

}  // namespace kilter::formats
