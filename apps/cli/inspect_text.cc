#include "cli/inspect_text.h"

#include <algorithm>
#include <cstdio>

#include "base/text.h"
#include "cli/findings.h"
#include "cli/style.h"
#include "cli/wrap.h"

namespace kilter::cli {

namespace {

constexpr std::size_t kLabelColumns = 14;
constexpr std::size_t kStatedRowsMax = 12;

class Printer {
 public:
  Printer(const InspectReport& report, const InspectView& view, const Terminal& terminal)
      : report_(report), view_(view), terminal_(terminal), style_(terminal.colour_out) {}

  void run() {
    if (!report_.checkpoint) {
      print_other();
      return;
    }
    print_headline();
    print_format();
    print_answers();
    print_counts("dtypes", report_.identity.by_dtype);
    print_counts("parts", report_.identity.by_part);
    print_shared();
    print_stated();
    print_metadata();
    print_commit();
    print_files();
    print_hashes();
    for (const Finding& finding : data().findings)
      print_finding(finding, report_.path, style_, terminal_.width_columns);
    if (!view_.tensor_glob.empty()) print_tensors();
    if (view_.tree) print_state(data().state, data().index, terminal_);
  }

 private:
  const CheckpointData& data() const { return report_.checkpoint->data(); }

  void row(const std::string& label, const std::string& text) const {
    std::printf("  %s%s\n", style_.dim(padded(label, kLabelColumns)).c_str(), text.c_str());
  }

  void print_other() const {
    const auto& other = *report_.not_a_checkpoint;
    std::printf("%s: %s\n", escape_text(report_.path).c_str(),
                style_.warn("no checkpoint: " + other.kind).c_str());
    row("what", escape_text(other.message));
    if (other.missing_bytes) row("missing", format_count(*other.missing_bytes) + " bytes");
    row("what to do", escape_text(other.hint));
  }

  /// "Stable Diffusion XL base, weights only, 2.6 B parameters, 6.5 GiB".
  void print_headline() const {
    const Identity& identity = report_.identity;
    std::string what = identity.adapter.value == "unknown" ? "" : title_of(identity.adapter);
    const Answer& model =
        identity.variant.value != "unknown" ? identity.variant : identity.architecture;
    if (model.value != "unknown") what += (what.empty() ? "" : " ") + title_of(model);
    if (what.empty()) what = "unknown architecture";
    std::printf("%s\n", style_.bold(escape_text(report_.path)).c_str());
    std::string line = what;
    if (identity.instance.value != "adapter") line += ", " + title_of(identity.instance);
    line += ", " + format_quantity(identity.parameter_count) + " parameters";
    line += " in " + format_count(data().index.tensors.size()) + " tensors, " +
            format_bytes(report_.file_bytes);
    std::printf("  %s\n\n", style_.bold(escape_text(line)).c_str());
  }

  static std::string title_of(const Answer& answer) {
    return answer.title.empty() ? answer.value : answer.title;
  }

  void print_format() const {
    row("format",
        data().format + (data().format_detail.empty()
                             ? ""
                             : style_.dim(" (" + escape_text(data().format_detail) + ")")));
  }

  void print_answer(const std::string& label, const Answer& answer) const {
    const bool known = answer.value != "unknown";
    std::string text = known ? style_.name(escape_text(answer.value)) : style_.dim("unknown");
    if (known && !answer.title.empty()) text += "  " + escape_text(answer.title);
    if (known && answer.confidence < 0.995) {
      char confidence[16];
      std::snprintf(confidence, sizeof confidence, "  %.0f %%", answer.confidence * 100);
      text += style_.dim(confidence);
    }
    row(label, text);
    print_evidence(answer);
  }

  /// All of it with --evidence; else what fits on one line.
  void print_evidence(const Answer& answer) const {
    if (view_.evidence) {
      for (const std::string& one : answer.evidence) row("", style_.dim(escape_text(one)));
      return;
    }
    if (answer.value == "unknown" || answer.evidence.empty()) return;
    const auto width = static_cast<std::size_t>(std::clamp(terminal_.width_columns, 60, 140));
    std::string line = escape_text(answer.evidence.front());
    for (std::size_t i = 1; i < answer.evidence.size(); ++i) {
      const std::string next = "; " + escape_text(answer.evidence[i]);
      if (line.size() + next.size() + kLabelColumns + 2 > width) break;
      line += next;
    }
    const std::size_t columns = width - kLabelColumns - 2;
    row("", style_.dim(display_columns(line) > columns ? padded(line, columns, true) : line));
  }

  void print_answers() const {
    const Identity& identity = report_.identity;
    print_answer("instance", identity.instance);
    print_answer("type", identity.type);
    print_answer("architecture", identity.architecture);
    if (identity.variant.value != "unknown") print_answer("variant", identity.variant);
    if (identity.adapter.value != "unknown") print_answer("adapter", identity.adapter);
    std::string sizes;
    for (const auto& [key, value] : identity.sizes)
      sizes += (sizes.empty() ? "" : ", ") + key + " " + value;
    if (!sizes.empty()) row("sizes", escape_text(sizes));
    if (identity.licence.value != "unknown") print_answer("licence", identity.licence);
  }

  void print_counts(const std::string& label, const std::vector<Count>& counts) const {
    std::size_t widest = 4;
    for (const Count& count : counts) widest = std::max(widest, count.name.size());
    std::string shown = label;
    for (std::size_t i = 0; i < std::min(counts.size(), kStatedRowsMax); ++i) {
      const Count& count = counts[i];
      row(shown, padded(escape_text(count.name), widest) +
                     padded_left(format_quantity(count.parameter_count), 10) + " in " +
                     padded_left(format_count(count.tensor_count), 6) + " tensors" +
                     padded_left(format_bytes(count.bytes), 12));
      shown.clear();
    }
    if (counts.size() > kStatedRowsMax)
      row("", style_.dim("… " + format_count(counts.size() - kStatedRowsMax) + " more in --json"));
  }

  void print_shared() const {
    std::string label = "shared";
    const auto& groups = report_.identity.shared;
    for (std::size_t i = 0; i < std::min<std::size_t>(groups.size(), 6); ++i) {
      std::string names;
      for (std::size_t t = 0; t < std::min<std::size_t>(groups[i].tensors.size(), 4); ++t)
        names += (t == 0 ? "" : ", ") + groups[i].tensors[t];
      if (groups[i].tensors.size() > 4) names += ", …";
      row(label, groups[i].kind + ": " + escape_text(names) + "  " + format_bytes(groups[i].bytes));
      label.clear();
    }
    if (groups.size() > 6)
      row("", style_.dim("… " + format_count(groups.size() - 6) + " groups more in --json"));
  }

  /// Metadata has rows of its own below.
  void print_stated() const {
    std::string label = "stated";
    std::size_t shown = 0, left = 0;
    for (const auto& stated : report_.identity.stated) {
      if (stated.source == "metadata") continue;
      if (++shown > kStatedRowsMax) {
        ++left;
        continue;
      }
      row(label, escape_text(stated.key) + " = " + escape_text(stated.value, 80) + "  " +
                     style_.dim(escape_text(stated.source)));
      label.clear();
    }
    if (left > 0) row("", style_.dim("… " + format_count(left) + " more in --json"));
  }

  void print_metadata() const {
    std::string label = "metadata";
    const auto& metadata = data().metadata;
    for (std::size_t i = 0; i < std::min(metadata.size(), kStatedRowsMax); ++i) {
      row(label, escape_text(metadata[i].first) + " = " + escape_text(metadata[i].second, 80));
      label.clear();
    }
    if (metadata.size() > kStatedRowsMax)
      row("",
          style_.dim("… " + format_count(metadata.size() - kStatedRowsMax) + " more in --json"));
  }

  /// What was stated when it was saved; it wins over what the files state.
  void print_commit() const {
    if (!view_.commit) return;
    const store::Commit& commit = view_.commit->content;
    row("commit", style_.name(to_hex(view_.commit->digest).substr(0, 12)) + "  " +
                      style_.dim(store::time_text(commit.time_unix_ns).substr(0, 16) + "Z") +
                      (commit.message.empty() ? "" : "  " + escape_text(commit.message, 80)));
    for (const auto& [key, value] : commit.metadata.items()) {
      const std::string text = value.is_string() ? value.get<std::string>() : value.dump();
      row("", escape_text(key, 60) + " = " + escape_text(text, 80));
    }
  }

  void print_files() const {
    if (!data().root_is_folder) return;
    std::string label = "files";
    const auto& files = data().index.files;
    for (std::size_t i = 0; i < std::min(files.size(), kStatedRowsMax); ++i) {
      row(label, padded_left(format_bytes(files[i].bytes), 10) + "  " + escape_text(files[i].path));
      label.clear();
    }
    if (files.size() > kStatedRowsMax)
      row("", style_.dim("… " + format_count(files.size() - kStatedRowsMax) + " more"));
  }

  void print_hashes() const {
    for (const FileHashes& hashes : report_.hashes) {
      row("hashes", data().root_is_folder ? escape_text(hashes.path) : "");
      row("  sha256", hashes.sha256);
      row("  blake3", hashes.blake3);
      row("  web UI, old", hashes.webui_old);
      if (!hashes.data_sha256.empty()) row("  data sha256", hashes.data_sha256);
    }
  }

  void print_tensors() const {
    std::size_t name_columns = 4, shape_columns = 5;
    std::vector<std::size_t> wanted;
    const auto& tensors = data().index.tensors;
    for (std::size_t i = 0; i < tensors.size(); ++i) {
      if (!glob_match(view_.tensor_glob, tensors[i].name)) continue;
      wanted.push_back(i);
      name_columns = std::max(name_columns, display_columns(escape_text(tensors[i].name)));
      shape_columns = std::max(shape_columns, shape_text(tensors[i]).size());
    }
    name_columns = std::min<std::size_t>(name_columns, 90);
    std::printf("\n%s\n", style_
                              .dim(padded("tensor", name_columns) + "  " + padded("dtype", 12) +
                                   "  " + padded("shape", shape_columns) + "       bytes")
                              .c_str());
    for (const std::size_t i : wanted) {
      const TensorInfo& tensor = tensors[i];
      std::string line = style_.name(padded(escape_text(tensor.name), name_columns)) + "  " +
                         padded(std::string(dtype_name(tensor.dtype)), 12) + "  " +
                         padded(shape_text(tensor), shape_columns) + "  " +
                         padded_left(format_bytes(tensor.bytes()), 10);
      if (!tensor.contiguous()) line += style_.dim("  strided");
      if (i < report_.tensor_sha256.size()) line += "  " + style_.dim(report_.tensor_sha256[i]);
      std::printf("%s\n", line.c_str());
    }
    if (wanted.empty())
      std::printf("no tensor matches %s\n", escape_text(view_.tensor_glob).c_str());
  }

  static std::string shape_text(const TensorInfo& tensor) {
    std::string out = "[";
    for (std::size_t i = 0; i < tensor.shape.size(); ++i)
      out += (i == 0 ? "" : ", ") + std::to_string(tensor.shape[i]);
    return out + "]";
  }

  const InspectReport& report_;
  const InspectView& view_;
  const Terminal& terminal_;
  Style style_;
};

}  // namespace

void print_inspect(const InspectReport& report, const InspectView& view, const Terminal& terminal) {
  Printer(report, view, terminal).run();
}

}  // namespace kilter::cli
