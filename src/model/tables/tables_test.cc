// The tables are data: these tests keep them readable, connected and documented.
#include <gtest/gtest.h>

#include <cstdlib>
#include <fstream>
#include <map>
#include <set>
#include <sstream>

#include "model/signature.h"
#include "model/variant.h"

namespace kilter::model {
namespace {

std::set<std::string_view> signature_ids() {
  std::set<std::string_view> ids;
  for (const auto table : signature_tables())
    for (const Signature& row : table) ids.insert(row.id);
  return ids;
}

TEST(Tables, EverySignatureCanBeRead) {
  std::size_t count = 0;
  for (const auto table : signature_tables()) {
    for (const Signature& row : table) {
      ParsedSignature parsed;
      std::string problem;
      EXPECT_TRUE(parse_signature(row, &parsed, &problem)) << problem;
      EXPECT_FALSE(row.source.empty()) << row.id;
      EXPECT_FALSE(row.covers.empty()) << row.id;
      ++count;
    }
  }
  EXPECT_EQ(signatures().size(), count);
  EXPECT_EQ(signature_ids().size(), count) << "an id stands twice";
}

TEST(Tables, RefuseLinesThatSayNothing) {
  for (const std::string_view keys : {"", "? only.optional", "! a [1,", "! a [x*y*]", "* a", "!",
                                      "! ^parent.first", "! a b c d", "! open.{n", "! a []x"}) {
    Signature row{};
    row.id = "test";
    row.keys = keys;
    ParsedSignature parsed;
    std::string problem;
    EXPECT_FALSE(parse_signature(row, &parsed, &problem)) << keys;
    EXPECT_FALSE(problem.empty()) << keys;
  }
}

TEST(Tables, EveryVariantBelongsToSignatures) {
  const auto ids = signature_ids();
  for (const auto table : variant_tables()) {
    for (const VariantRow& row : table) {
      for (const std::string_view layout : split(row.layout, ' '))
        EXPECT_TRUE(ids.contains(layout)) << row.value << ": " << layout;
      EXPECT_FALSE(row.source.empty()) << row.value;
      EXPECT_GT(row.confidence, 0);
      EXPECT_LT(row.confidence, 1);
      EXPECT_FALSE(row.when.empty()) << row.value;
      for (const std::string_view condition : split(row.when, ' '))
        EXPECT_TRUE(condition_is_known(condition)) << row.value << ": " << condition;
    }
  }
}

// A size that no signature of the row's layouts binds could never hold.
TEST(Tables, EveryVariantAsksForSizesItsSignaturesTell) {
  for (const auto table : variant_tables()) {
    for (const VariantRow& row : table) {
      for (const std::string_view condition : split(row.when, ' ')) {
        const std::string_view name = condition.substr(0, condition.find_first_of("=<>~:"));
        if (name == "has" || name == "lacks" || name.find('.') != name.npos) continue;
        bool told = false;
        for (const ParsedSignature& one : signatures()) {
          if (!lists_word(row.layout, one.row->id)) continue;
          for (const KeyRule& key : one.keys) {
            for (const std::string_view count : key.counts) told = told || count == name;
            for (const DimRule& dim : key.shape) told = told || dim.name == name;
          }
        }
        EXPECT_TRUE(told) << row.value << ": " << name;
      }
    }
  }
}

TEST(Tables, EveryConfigurationRowNamesSignatures) {
  const auto ids = signature_ids();
  for (const ConfigRow& row : config_table()) {
    EXPECT_FALSE(row.source.empty());
    for (const std::string_view layout : split(row.layouts, ' '))
      EXPECT_TRUE(ids.contains(layout)) << row.value << ": " << layout;
  }
}

TEST(Tables, EveryAdapterRowStatesItsSource) {
  for (const AdapterRow& row : adapter_table()) EXPECT_FALSE(row.source.empty()) << row.title;
  for (const AdapterBaseRow& row : adapter_base_table()) {
    EXPECT_FALSE(row.source.empty()) << row.title;
    EXPECT_FALSE(row.holds.empty()) << row.title;
  }
}

// ---- docs/recognition.md is written from the tables --------------------------------------------

void write_families(std::ostream& out) {
  struct Family {
    std::set<std::string_view> titles;
    std::vector<std::string_view> ids;
  };
  std::map<std::string_view, Family> families;
  for (const auto table : signature_tables()) {
    for (const Signature& row : table) {
      families[row.family].titles.insert(row.title);
      families[row.family].ids.push_back(row.id);
    }
  }
  out << "| family | signatures |\n|---|---|\n";
  for (const auto& [family, entry] : families) {
    out << "| `" << family << "` " << *entry.titles.begin() << " |";
    for (std::size_t i = 0; i < entry.ids.size(); ++i)
      out << (i > 0 ? ", " : " ") << "`" << entry.ids[i] << "`";
    out << " |\n";
  }
}

void write_signatures(std::ostream& out) {
  for (const ParsedSignature& one : signatures()) {
    out << "### " << one.row->id << "\n\n"
        << one.row->title << ". Source: " << one.row->source << ".\n\n```\n";
    for (std::string_view line : split(one.row->keys, '\n')) out << line << "\n";
    out << "```\n\n";
  }
}

void write_variants(std::ostream& out) {
  out << "| variant | title | when | of | source |\n|---|---|---|---|---|\n";
  for (const auto table : variant_tables()) {
    for (const VariantRow& row : table) {
      std::string when(row.when);
      for (std::size_t at = 0; (at = when.find('|', at)) != std::string::npos; at += 2)
        when.insert(at, 1, '\\');
      out << "| `" << row.value << "` | " << row.title << " | " << when << " | " << row.layout
          << " | " << row.source << " |\n";
    }
  }
}

void write_adapters(std::ostream& out) {
  out << "| adapter | naming | source |\n|---|---|---|\n";
  for (const AdapterRow& row : adapter_table())
    if (!row.value.empty())
      out << "| `" << row.value << "` | " << row.title << " | " << row.source << " |\n";
}

std::string recognition_page(const std::string& introduction) {
  std::ostringstream out;
  out << introduction << "## Families\n\n";
  write_families(out);
  out << "\n## Adapters\n\n";
  write_adapters(out);
  out << "\n## Variants\n\n";
  write_variants(out);
  out << "\n## Signatures\n\n";
  write_signatures(out);
  std::string text = out.str();
  while (text.ends_with("\n\n")) text.pop_back();
  return text;
}

// To renew the page: KILTER_UPDATE_DOCS=1 model_test --gtest_filter='Tables.*'
TEST(Tables, AreWhatTheDocumentationShows) {
  const std::string path = std::string(KILTER_SOURCE_DIR) + "/docs/recognition.md";
  std::ifstream in(path);
  std::stringstream read;
  read << in.rdbuf();
  const std::string text = read.str();
  const std::string introduction = text.substr(0, text.find("## Families"));
  const std::string wanted = recognition_page(introduction);
  if (std::getenv("KILTER_UPDATE_DOCS") != nullptr) std::ofstream(path) << wanted;
  EXPECT_EQ(text, wanted) << "docs/recognition.md is older than the tables";
}

}  // namespace
}  // namespace kilter::model
