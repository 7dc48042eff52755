// Progress for people: a bar on a terminal, plain lines elsewhere. Only the command line makes
// one of these; the library itself never prints.
#pragma once

#include <chrono>
#include <cstdio>
#include <functional>
#include <memory>
#include <optional>
#include <string>

#include "kilter/progress.h"

namespace kilter {

using ProgressTime = std::chrono::steady_clock::time_point;
using ProgressClock = std::function<ProgressTime()>;

/// What both kinds of display count.
struct ProgressState {
  std::string verb;
  std::uint64_t total_bytes = 0;  ///< 0: unknown
  std::uint64_t done_bytes = 0;
  ProgressTime started;

  double seconds(ProgressTime now) const;
  /// 0..100; nullopt where the total is unknown.
  std::optional<unsigned> percent() const;
};

/// "convert  42%  1.2 GiB/2.9 GiB  1.43 GB/s  0:08 left", with a bar of `bar_width` (0: none).
std::string progress_text(const ProgressState& state, ProgressTime now, unsigned bar_width);

/// One line, redrawn in place at most ten times a second and wiped at the end.
class TerminalProgress final : public Progress {
 public:
  explicit TerminalProgress(std::FILE* out, ProgressClock clock = std::chrono::steady_clock::now);
  void begin(std::string_view verb, std::uint64_t total_bytes) override;
  void update(std::uint64_t done_bytes) override;
  void end() override;

 private:
  void draw(ProgressTime now);
  std::FILE* out_;
  ProgressClock clock_;
  ProgressState state_;
  ProgressTime drawn_;
  bool visible_ = false;
};

/// A plain line at each tenth of the work or after five seconds, whichever comes later; work that
/// ends within five seconds writes one line, at its end, and within one second none.
class LineProgress final : public Progress {
 public:
  explicit LineProgress(std::FILE* out, ProgressClock clock = std::chrono::steady_clock::now);
  void begin(std::string_view verb, std::uint64_t total_bytes) override;
  void update(std::uint64_t done_bytes) override;
  void end() override;

 private:
  std::FILE* out_;
  ProgressClock clock_;
  ProgressState state_;
  ProgressTime written_;
  unsigned written_percent_ = 0;
};

/// The display that suits `out`; nullptr (which RunContext takes as "none") if `quiet`.
/// Does not own `out`.
std::unique_ptr<Progress> make_progress(std::FILE* out, bool quiet);

}  // namespace kilter
