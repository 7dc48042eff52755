// Pages that stand alone: one file, nothing fetched, every text from a checkpoint escaped.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "kilter/error.h"

namespace kilter::cli {

/// For content and for attributes in double quotes: control and invalid bytes made visible, then
/// & < > " ' as entities.
std::string html_text(std::string_view text, std::size_t chars_max = 1000);
/// "0.0123" for people; "nan", "inf" too.
std::string html_number(double value);

/// A whole page; `body` is HTML already. Dark or light as the reader's system is. It may run its
/// own small script (tables sort by a click on their heads) and load nothing.
std::string html_page(std::string_view title, std::string_view body);

/// "<dl>" of names and values, both plain text.
std::string html_facts(const std::vector<std::pair<std::string, std::string>>& facts);

/// A cell of a table that sorts by `order`.
std::string html_number_cell(double order, std::string_view shown);
std::string html_number_cell(double value);

/// Bars of a histogram as an image in the text.
std::string html_bars(const std::vector<std::uint64_t>& counts, std::string_view title);

/// Errors: kAlreadyExists if there is something and not `force`.
Status check_page_target(const std::string& path, bool force);
/// The page appears whole or not at all. Errors: as check_page_target(); kIo, kNoSpace.
Status write_page(const std::string& path, std::string_view page, bool force);

}  // namespace kilter::cli
