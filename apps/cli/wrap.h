// Laying out text in columns.
#pragma once

#include <string>

namespace kilter::cli {

/// Breaks paragraphs (separated by '\n') at spaces so that no line exceeds `width_columns`.
std::string wrap(const std::string& text, std::size_t width_columns);

/// "  left            right right\n                  right": right wrapped beside left.
std::string two_columns(const std::string& left, const std::string& right, std::size_t left_columns,
                        std::size_t width_columns);

/// Columns a terminal needs to show `text` (UTF-8, no control characters, wide East Asian as two).
std::size_t display_columns(const std::string& text);

/// `text` padded with spaces to `columns`; cut with "…" when longer and `cut`.
std::string padded(const std::string& text, std::size_t columns, bool cut = false);
std::string padded_left(const std::string& text, std::size_t columns);

}  // namespace kilter::cli
