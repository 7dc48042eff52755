// kilter log STORE[@ref]: the history of a store.
#include <fmt/format.h>

#include <cstdio>

#include "base/text.h"
#include "base/try.h"
#include "cli/command.h"
#include "cli/graph.h"
#include "cli/plot.h"
#include "cli/store_support.h"
#include "store/history/filter.h"

namespace kilter::cli {

namespace {
namespace log_command {

constexpr PositionalSpec kPositionals[] = {
    {"STORE", "A store, or STORE@REF for what leads to one commit"}};
constexpr OptionSpec kOptions[] = {
    {"--where", ValueKind::kText, "CONDITION",
     "Only commits that satisfy it: 'loss<2 and step>1000'"},
    {"--plot", ValueKind::kText, "KEY",
     "Draw this number over the steps (instead of the list, unless --graph or --keys)"},
    {"--graph", ValueKind::kFlag, "", "Show which commit continues which"},
    {"-c,--count", ValueKind::kCount, "N", "At most N commits, the newest"},
    {"--keys", ValueKind::kText, "KEYS",
     "Show these keys, separated by commas (default: what there is)"},
};

/// Keys worth a column, in this order.
constexpr std::string_view kColumnKeys[] = {"loss", "eval_loss", "learning_rate", "epoch"};

std::vector<std::string> split_keys(const std::string& text) {
  std::vector<std::string> keys;
  for (std::size_t begin = 0; begin < text.size();) {
    const std::size_t end = std::min(text.find(',', begin), text.size());
    if (end > begin) keys.push_back(text.substr(begin, end - begin));
    begin = end + 1;
  }
  return keys;
}

std::string number_text(const store::CommitSummary& commit, std::string_view key) {
  const store::MetaValue* value = commit.find(key);
  if (value == nullptr) return "";
  if (const auto* real = std::get_if<double>(value)) return fmt::format("{:.6g}", *real);
  return escape_text(store::meta_text(*value), 30);
}

class Log {
 public:
  explicit Log(const Invocation& invocation)
      : invocation_(invocation), style_(invocation.terminal.colour_out) {}

  Status run() {
    const Arguments& arguments = invocation_.arguments;
    KILTER_ASSIGN(opened_, open_with_history(arguments.positionals[0]));
    std::optional<std::size_t> tip;
    if (opened_.address.stated) {
      KILTER_ASSIGN(tip, named_commit(opened_));
    }
    std::optional<store::Filter> filter;
    if (arguments.has("where")) {
      KILTER_ASSIGN(filter, store::Filter::parse(arguments.text("where")));
    }
    const std::size_t most = arguments.count("count", 1U << 31);
    for (const std::size_t commit : opened_.history.ancestry(tip))
      if (shown_.size() < most && (!filter || filter->matches(summary(commit))))
        shown_.push_back(commit);
    const bool drawn = arguments.has("plot");
    const bool listed = !drawn || arguments.has("graph") || arguments.has("keys");
    if (invocation_.terminal.json) return drawn ? plot(arguments.text("plot")) : print_as_json();
    keys_ = arguments.has("keys") ? split_keys(arguments.text("keys")) : common_keys();
    if (listed) print_text();
    return drawn ? plot(arguments.text("plot")) : ok();
  }

 private:
  const store::CommitSummary& summary(std::size_t commit) const {
    return opened_.history.commits()[commit];
  }

  std::vector<std::string> common_keys() const {
    std::vector<std::string> keys;
    for (const std::string_view key : kColumnKeys)
      for (const std::size_t commit : shown_)
        if (summary(commit).find(key) != nullptr) {
          keys.emplace_back(key);
          break;
        }
    return keys;
  }

  Status plot(const std::string& key) {
    std::vector<std::pair<double, double>> points;
    Json list = Json::array();
    bool steps = true;
    for (const std::size_t commit : shown_)
      steps = steps && summary(commit).number("step").has_value();
    for (std::size_t i = shown_.size(); i-- > 0;) {
      const auto y = summary(shown_[i]).number(key);
      if (!y) continue;
      const double x =
          steps ? *summary(shown_[i]).number("step") : static_cast<double>(points.size());
      points.emplace_back(x, *y);
      list.push_back({x, *y});
    }
    if (invocation_.terminal.json) {
      print_json({{"key", key}, {"over", steps ? "step" : "number"}, {"points", list}});
      return ok();
    }
    PlotOptions options;
    options.width_columns = invocation_.terminal.width_columns;
    options.x_name = steps ? "step" : "checkpoint";
    options.y_name = key;
    const std::string curve = plot_curve(points, options);
    if (curve.empty())
      return fail(
          Error(ErrorCode::kNotFound,
                fmt::format("fewer than two commits state a number \"{}\"", escape_text(key, 60)))
              .at_path(opened_.address.store));
    std::fputs(curve.c_str(), stdout);
    return ok();
  }

  Status print_as_json() {
    Json list = Json::array();
    for (const std::size_t commit : shown_) list.push_back(commit_json(opened_.history, commit));
    print_json({{"store", opened_.address.store}, {"commits", list}});
    return ok();
  }

  void print_text() {
    const std::vector<GraphRow> graph = invocation_.arguments.has("graph")
                                            ? draw_graph(opened_.history, shown_)
                                            : std::vector<GraphRow>(shown_.size());
    std::size_t step_width = 4;
    for (const std::size_t commit : shown_)
      step_width = std::max(step_width, step_text(summary(commit)).size());
    std::string out;
    std::string head = fmt::format("{:12}  {:17}  {:>{}}", "commit", "time", "step", step_width);
    for (const std::string& key : keys_) head += fmt::format("  {:>12}", key);
    const std::string margin = graph.empty() ? "" : std::string(graph.front().prefix.size(), ' ');
    if (!shown_.empty()) out += style_.dim(margin + head) + "\n";
    for (std::size_t i = 0; i < shown_.size(); ++i) {
      out += graph[i].prefix + line(shown_[i], step_width) + "\n";
      for (const std::string& below : graph[i].after) out += below + "\n";
    }
    std::fputs(out.c_str(), stdout);
    if (shown_.empty() && !invocation_.terminal.quiet) std::puts("no commits");
  }

  std::string line(std::size_t commit, std::size_t step_width) const {
    const store::CommitSummary& entry = summary(commit);
    std::string text = style_.name(short_digest(entry.digest)) + "  " +
                       minute_text(entry.time_unix_ns) +
                       fmt::format("  {:>{}}", step_text(entry), step_width);
    for (const std::string& key : keys_) text += fmt::format("  {:>12}", number_text(entry, key));
    for (const std::string& name : opened_.history.names_at(commit))
      text += "  " + style_.good("(" + name + ")");
    if (entry.retired) text += "  " + style_.dim("(data given up)");
    if (!entry.message.empty()) text += "  " + escape_text(entry.message, 60);
    return text;
  }

  const Invocation& invocation_;
  Style style_;
  OpenedStore opened_;
  std::vector<std::size_t> shown_;
  std::vector<std::string> keys_;
};

int run(const Invocation& invocation) {
  const Status done = Log(invocation).run();
  return done ? 0 : report_error(done.error(), invocation.terminal);
}

}  // namespace log_command
}  // namespace

const CommandSpec kLogCommand = {
    .name = "log",
    .summary = "Show the checkpoints of a store, with their numbers",
    .description =
        "Lists commits, the newest first, with time (UTC), step and the usual numbers; --plot "
        "draws "
        "one of them over the steps. Conditions compare metadata keys, author, message, time and "
        "digest with "
        "< <= > >= = != and ~ (a glob), joined by and, or, not and parentheses.",
    .positionals = log_command::kPositionals,
    .options = log_command::kOptions,
    .examples =
        "kilter log runs.kilter\n"
        "kilter log runs.kilter --plot loss\n"
        "kilter log runs.kilter@main --where 'loss<2 and step>1000'\n"
        "kilter log runs.kilter --graph --keys loss,tokens_seen --json",
    .exit_statuses =
        "0    done\n"
        "2    wrong usage\n"
        "3    the store is malformed\n"
        "4    no such store or reference\n"
        "5    I/O error",
    .run = log_command::run,
};

}  // namespace kilter::cli
