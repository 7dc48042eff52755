#include "base/progress.h"

#include <fmt/format.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <algorithm>
#include <optional>
#include <utility>

#include "base/text.h"

namespace kilter {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

constexpr auto kRedrawInterval = milliseconds(100);
constexpr auto kLineInterval = seconds(5);
constexpr auto kShortWork = seconds(1);  // over before anybody asks: not worth a line
constexpr unsigned kLineStepPercent = 10;
constexpr unsigned kBarWidth = 24;
// A rate measured over less than this says nothing yet.
constexpr double kRateSecondsMin = 0.2;

std::string bar_text(unsigned percent, unsigned width) {
  const unsigned filled = percent * width / 100;
  return fmt::format("[{:#<{}}{:.<{}}]", "", filled, "", width - filled);
}

std::string duration_text(double seconds_left) {
  const auto total = static_cast<std::uint64_t>(std::min(seconds_left + 0.5, 359'999.0));
  const std::uint64_t hours = total / 3600, minutes = total / 60 % 60, rest = total % 60;
  if (hours > 0) return fmt::format("{}:{:02}:{:02}", hours, minutes, rest);
  return fmt::format("{}:{:02}", minutes, rest);
}

std::string rate_text(const ProgressState& state, ProgressTime now) {
  const double elapsed = state.seconds(now);
  if (elapsed < kRateSecondsMin || state.done_bytes == 0) return {};
  const double rate = static_cast<double>(state.done_bytes) / elapsed;
  std::string out = fmt::format("  {}", format_rate(rate));
  if (state.total_bytes <= state.done_bytes) return out;
  const auto left_bytes = static_cast<double>(state.total_bytes - state.done_bytes);
  return fmt::format("{}  {} left", out, duration_text(left_bytes / rate));
}

/// Columns of the terminal behind `out`; 0 where none tells.
std::size_t terminal_columns(std::FILE* out) {
  winsize size{};
  return ioctl(fileno(out), TIOCGWINSZ, &size) == 0 ? size.ws_col : 0;
}

/// The text with a bar, without one, or cut: a line that wraps could not be redrawn in place.
std::string text_that_fits(const ProgressState& state, ProgressTime now, std::size_t columns) {
  std::string text = progress_text(state, now, kBarWidth);
  if (columns == 0 || text.size() < columns) return text;
  text = progress_text(state, now, 0);
  if (text.size() < columns) return text;
  return escape_text(text, columns > 2 ? columns - 2 : 0);
}

}  // namespace

Status RunContext::check() const {
  if (cancel != nullptr && cancel->cancelled()) {
    return fail(ErrorCode::kCancelled, "the work was cancelled");
  }
  return ok();
}

double ProgressState::seconds(ProgressTime now) const {
  return std::chrono::duration<double>(now - started).count();
}

std::optional<unsigned> ProgressState::percent() const {
  if (total_bytes == 0) return std::nullopt;
  const double part = static_cast<double>(done_bytes) / static_cast<double>(total_bytes);
  return static_cast<unsigned>(std::min(part, 1.0) * 100);
}

std::string progress_text(const ProgressState& state, ProgressTime now, unsigned bar_width) {
  std::string out = escape_text(state.verb, 40);
  const auto percent = state.percent();
  if (percent) {
    if (bar_width > 0) out.append("  ").append(bar_text(*percent, bar_width));
    out += fmt::format("  {:3}%", *percent);
  }
  out.append("  ").append(format_bytes(state.done_bytes));
  if (percent) out.append("/").append(format_bytes(state.total_bytes));
  return out + rate_text(state, now);
}

TerminalProgress::TerminalProgress(std::FILE* out, ProgressClock clock)
    : out_(out), clock_(std::move(clock)) {}

void TerminalProgress::begin(std::string_view verb, std::uint64_t total_bytes) {
  const ProgressTime now = clock_();
  state_ = {std::string(verb), total_bytes, 0, now};
  draw(now);
}

void TerminalProgress::update(std::uint64_t done_bytes) {
  state_.done_bytes = done_bytes;
  const ProgressTime now = clock_();
  if (now - drawn_ >= kRedrawInterval) draw(now);
}

void TerminalProgress::end() {
  if (!visible_) return;
  std::fputs("\r\x1b[K", out_);
  std::fflush(out_);
  visible_ = false;
}

void TerminalProgress::draw(ProgressTime now) {
  // Wiping after the text, not before it, keeps the line from flickering.
  const std::string text = text_that_fits(state_, now, terminal_columns(out_));
  std::fputs(fmt::format("\r{}\x1b[K", text).c_str(), out_);
  std::fflush(out_);
  drawn_ = now;
  visible_ = true;
}

LineProgress::LineProgress(std::FILE* out, ProgressClock clock)
    : out_(out), clock_(std::move(clock)) {}

void LineProgress::begin(std::string_view verb, std::uint64_t total_bytes) {
  const ProgressTime now = clock_();
  state_ = {std::string(verb), total_bytes, 0, now};
  written_ = now;
  written_percent_ = 0;
}

void LineProgress::update(std::uint64_t done_bytes) {
  state_.done_bytes = done_bytes;
  const ProgressTime now = clock_();
  if (now - written_ < kLineInterval) return;
  const auto percent = state_.percent();
  if (percent && *percent < written_percent_ + kLineStepPercent) return;
  std::fputs((progress_text(state_, now, 0) + "\n").c_str(), out_);
  std::fflush(out_);
  written_ = now;
  written_percent_ = percent.value_or(0);
}

void LineProgress::end() {
  if (clock_() - state_.started < kShortWork) return;
  std::fputs((progress_text(state_, clock_(), 0) + "\n").c_str(), out_);
  std::fflush(out_);
}

std::unique_ptr<Progress> make_progress(std::FILE* out, bool quiet) {
  if (quiet) return nullptr;
  if (isatty(fileno(out)) == 1) return std::make_unique<TerminalProgress>(out);
  return std::make_unique<LineProgress>(out);
}

}  // namespace kilter
