// The format "tensorflow": checkpoints of TensorFlow 1 (version 2 files) and 2. Read only.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "formats/format.h"

namespace kilter::formats {

/// Its row of the table of formats. It opens P.index, a folder that holds one, a folder of several
/// with a text `checkpoint` that names the newest, and SavedModel folders (variables/).
const Format& tensorflow_format();

/// Of a folder's sorted names, the indexes that data files lie beside.
std::vector<std::string> bundle_indexes(const std::vector<std::string>& names);

/// The file the prefix "a/model.ckpt-3" stands for; nullopt if there is no such index.
std::optional<std::string> index_of_prefix(io::FileSystem& files, const std::string& path);

/// "a/model.ckpt-3" of "a/model.ckpt-3.data-00000-of-00002"; nullopt for other names.
std::optional<std::string> prefix_of_data(const std::string& path);
/// True for a data file whose index lies beside it: raw numbers and strings.
bool is_bundle_data(io::FileSystem& files, const std::string& path);

}  // namespace kilter::formats
