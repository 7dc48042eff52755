// Texts that come with a model, and what can be dangerous in them.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "kilter/finding.h"

#include "formats/format.h"

namespace kilter::formats {

inline constexpr std::uint64_t kDocumentBytesMax = 4 << 20;  ///< larger ones are not loaded
inline constexpr std::uint64_t kScannedTextBytesMax = 256ULL << 20;

/// Names that are texts by convention: configurations, cards, licences, templates.
bool is_document_name(std::string_view path);

/// Judges a text by what loaders do with files of its name: JSON (`chat_template`, `auto_map`,
/// `weight_map`, `trust_remote_code`), chat templates, Python source, YAML, anything else as plain
/// text. Rules: spec/scan-rules.md, section "document".
void scan_document(std::string_view path, std::string_view text, std::vector<Finding>* findings);

/// The same on a file that no format claims; also true for binaries that are data and nothing else
/// (sentencepiece models, images, the data of TensorFlow checkpoints). False, and nothing appended,
/// if it is neither, is too large, or is one of the things diagnose() knows (LFS pointer, error
/// page).
bool scan_document_file(io::FileSystem& files, const std::string& path, const Probe& probe,
                        std::vector<Finding>* findings);

/// Judges a Jinja template that a tokenizer would render. `where` is how findings call it.
void scan_template(std::string_view path, std::string_view where, std::string_view text,
                   std::vector<Finding>* findings);

}  // namespace kilter::formats
