#include "cli/html_page.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "base/byte_reader.h"
#include "base/text.h"
#include "base/try.h"
#include "cli/html_frame.h"
#include "io/file_system.h"
#include "io/publish.h"

namespace kilter::cli {

std::string html_text(std::string_view text, std::size_t chars_max) {
  std::string out;
  for (const char c : escape_text(text, chars_max)) {
    switch (c) {
      case '&':
        out += "&amp;";
        break;
      case '<':
        out += "&lt;";
        break;
      case '>':
        out += "&gt;";
        break;
      case '"':
        out += "&quot;";
        break;
      case '\'':
        out += "&#39;";
        break;
      default:
        out += c;
    }
  }
  return out;
}

std::string html_number(double value) { return fmt::format("{:.4g}", value); }

std::string html_page(std::string_view title, std::string_view body) {
  std::string out =
      "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n"
      "<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n"
      "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src "
      "'unsafe-inline'; script-src 'unsafe-inline'\">\n<title>";
  out += html_text(title, 200);
  out += "</title>\n<style>";
  out += kPageStyle;
  out += "</style>\n</head>\n<body>\n";
  out += body;
  out += "\n<script>";
  out += kPageScript;
  out += "</script>\n</body>\n</html>\n";
  return out;
}

std::string html_facts(const std::vector<std::pair<std::string, std::string>>& facts) {
  std::string out = "<dl>\n";
  for (const auto& [name, value] : facts)
    out += "<dt>" + html_text(name) + "</dt><dd>" + html_text(value) + "</dd>\n";
  return out + "</dl>\n";
}

std::string html_number_cell(double order, std::string_view shown) {
  return fmt::format("<td class=\"n\" data-v=\"{}\">{}</td>", std::isfinite(order) ? order : 0,
                     html_text(shown));
}

std::string html_number_cell(double value) { return html_number_cell(value, html_number(value)); }

std::string html_bars(const std::vector<std::uint64_t>& counts, std::string_view title) {
  if (counts.empty()) return {};
  constexpr double kHeight = 100;
  const auto highest = static_cast<double>(*std::ranges::max_element(counts));
  std::string path;
  for (std::size_t i = 0; i < counts.size(); ++i) {
    if (counts[i] == 0) continue;
    const double height =
        std::max(2.0, std::round(kHeight * static_cast<double>(counts[i]) / highest));
    path += fmt::format("M{} {:.0f}v-{:.0f}h1v{:.0f}z", i, kHeight, height, height);
  }
  return fmt::format(
      "<svg class=\"bars\" viewBox=\"0 0 {} 100\" preserveAspectRatio=\"none\"><title>{}</title>"
      "<path d=\"{}\"/></svg>",
      counts.size(), html_text(title), path);
}

Status check_page_target(const std::string& path, bool force) {
  const auto stat = io::real_file_system().stat(path);
  if (!stat || force) return ok();
  Error error(ErrorCode::kAlreadyExists, "there is something of that name already");
  error.path = path;
  error.hint = "give another name for --html, or --force to replace it";
  return fail(std::move(error));
}

Status write_page(const std::string& path, std::string_view page, bool force) {
  const auto slash = path.find_last_of('/');
  const std::string parent =
      slash == std::string::npos ? "" : path.substr(0, std::max<std::size_t>(slash, 1));
  const std::string name = slash == std::string::npos ? path : path.substr(slash + 1);
  KILTER_ASSIGN(const auto publication,
                io::Publication::beside(io::real_file_system(), parent,
                                        force ? io::Replace::kAllow : io::Replace::kRefuse));
  KILTER_ASSIGN(io::WriteFile* const file, publication->add(name));
  KILTER_TRY(file->write_at(0, as_bytes(page)));
  return publication->commit();
}

}  // namespace kilter::cli
