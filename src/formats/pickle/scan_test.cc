#include "formats/pickle/scan.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <string>

#include "formats/pickle/rules.h"

namespace kilter::pickle {
namespace {

using namespace std::string_literals;

const std::string kSystem = "cos\nsystem\n(S'id'\ntR";

std::vector<Finding> scan(const std::string& bytes, ScanContext context = {}, int streams = 0) {
  context.path = "x.pkl";
  std::vector<Finding> findings;
  scan_pickles(as_bytes(bytes), 0, context, &findings, streams);
  return findings;
}

Severity worst(const std::vector<Finding>& findings) {
  Severity out = Severity::kNote;
  for (const Finding& finding : findings) out = std::max(out, finding.severity);
  return out;
}

Severity verdict(const std::string& bytes) { return worst(scan(bytes)); }

const Finding* find(const std::vector<Finding>& findings, const std::string& rule) {
  for (const Finding& finding : findings) {
    if (finding.rule == rule) return &finding;
  }
  return nullptr;
}

TEST(Scan, SaysWhatIsCalledWhereAndByWhom) {
  const auto findings = scan(kSystem + ".");
  ASSERT_EQ(findings.size(), 1U);
  const Finding& finding = findings[0];
  EXPECT_EQ(finding.rule, "pickle.dangerous-call");
  EXPECT_EQ(finding.severity, Severity::kDangerous);
  EXPECT_EQ(finding.path, "x.pkl");
  EXPECT_EQ(finding.offset_bytes, 19U);
  EXPECT_EQ(finding.evidence, "os.system('id')");
  EXPECT_EQ(finding.reachable, "REDUCE at offset 19 calls it while unpickling");
  EXPECT_NE(std::find(finding.loaders.begin(), finding.loaders.end(), "pickle.load"),
            finding.loaders.end());
}

TEST(Scan, JudgesTheClassOfAModuleInOldTorchFiles) {
  const auto module_of = [](const std::string& global) {
    return "\x80\x02(U\x06module"s + "c" + global + "U\x01" + "fU\x01stQ)\x81}b.";
  };
  ScanContext legacy;
  legacy.wrapping = Wrapping::kTorchLegacy;
  EXPECT_LE(worst(scan(module_of("torch.nn.modules.linear\nLinear\n"), legacy)), Severity::kNote);
  const auto unknown = scan(module_of("mine\nNet\n"), legacy);
  EXPECT_EQ(worst(unknown), Severity::kSuspicious);
  EXPECT_NE(find(unknown, "pickle.unknown-call"), nullptr);
  EXPECT_EQ(worst(scan(module_of("os\nsystem\n"), legacy)), Severity::kDangerous);
  // Nothing else reads such an id as a class.
  EXPECT_EQ(worst(scan(module_of("torch.nn.modules.linear\nLinear\n"))), Severity::kDangerous);
}

TEST(Scan, SaysWhetherWeightsOnlyRefuses) {
  ScanContext context;
  context.wrapping = Wrapping::kTorchZip;
  const auto findings = scan(kSystem + ".", context);
  EXPECT_NE(findings.at(0).reachable.find("weights_only=True) refuses"), std::string::npos);
  EXPECT_EQ(findings.at(0).loaders.at(0), "torch.load(weights_only=False)");
}

TEST(Scan, CallsPlainDataSafe) {
  EXPECT_TRUE(scan("N.").empty());
  EXPECT_TRUE(scan("\x80\x04\x95\x02\x00\x00\x00\x00\x00\x00\x00]."s).empty());
  EXPECT_TRUE(scan("\x80\x02](X\x09\x00\x00\x00os.systemK\x01"
                   "e."s)
                  .empty());
  EXPECT_TRUE(scan("ccollections\nOrderedDict\n)R(S'a'\nI1\nu.").empty());
  EXPECT_TRUE(scan("c_codecs\nencode\n(Vx\nVlatin1\ntR.").empty());
}

TEST(Scan, DecidesByWhatIsKnownNotByWhatIsBad) {
  EXPECT_EQ(verdict("cnobody.knows\nthis\n."), Severity::kSuspicious);
  EXPECT_EQ(verdict("cnobody.knows\nthis\n)R."), Severity::kSuspicious);
  EXPECT_EQ(verdict("ctorch.nn.modules.linear\nLinear\n)\x81}b."), Severity::kNote);
  EXPECT_EQ(verdict("ctorch.nn.modules.linear\nlinear\n)\x81}b."), Severity::kSuspicious);
  EXPECT_EQ(verdict("ctorch.nn.modules.linear\nLinear.forward\n."), Severity::kSuspicious);
  EXPECT_EQ(verdict("cbuiltins\nprint\n(S'x'\ntR."), Severity::kDangerous);
}

TEST(Scan, ChecksHowHarmlessNamesAreCalled) {
  EXPECT_EQ(verdict("c_codecs\nencode\n(Vx\nVrot13\ntR."), Severity::kSuspicious);
  EXPECT_EQ(verdict("cbuiltins\ntype\n(Vx\n)}tR."), Severity::kSuspicious);
  EXPECT_EQ(verdict("cbuiltins\ngetattr\n(ccollections\nOrderedDict\nV__init__\ntR."),
            Severity::kDangerous);
  EXPECT_EQ(verdict("cbuiltins\nbytearray\n(I99999999999\ntR."), Severity::kSuspicious);
  EXPECT_EQ(
      verdict("ctorch._tensor\n_rebuild_from_type_v2\n(c_codecs\nencode\nctorch\nTensor\n)NtR."),
      Severity::kSuspicious);
}

TEST(Scan, SeesNamesInDisguise) {
  for (const std::string& name :
       {"builtins\neval.__call__\n"s, "pathlib\nos.system\n"s, "pathlib os\nsystem\n"s,
        "torch\nos.system\n"s, "logging\nsys\n"s, "collections\nOrderedDict.__init__\n"s,
        "cPickle\nloads\n"s, "__builtin__\neval\n"s, "commands\ngetoutput\n"s}) {
    EXPECT_EQ(verdict("c" + name + "."), Severity::kDangerous) << name;
  }
}

TEST(Scan, RefusesWhatOnlyTheLoaderKnows) {
  EXPECT_EQ(verdict("\x82\x01."s), Severity::kDangerous);
  EXPECT_EQ(verdict("cbuiltins\nstr\n)RS'x'\n\x93."), Severity::kDangerous);
  EXPECT_EQ(verdict("S'x'\nQ)R."), Severity::kDangerous);
  EXPECT_EQ(verdict("\x97."s), Severity::kUnknown);
}

TEST(Scan, SeesChangesToWhatThePickleDidNotMake) {
  EXPECT_NE(find(scan("cnumpy\nprod\n}b."), "pickle.build-on-global"), nullptr);
  const std::string tensor = "ctorch._utils\n_rebuild_tensor_v2\n)R";
  EXPECT_NE(find(scan(tensor + "I0\nI1\ns."), "pickle.set-on-object"), nullptr);
  EXPECT_NE(find(scan(tensor + "I0\na."), "pickle.set-on-object"), nullptr);
  EXPECT_EQ(find(scan("ccollections\nOrderedDict\n)RI0\nI1\ns."), "pickle.set-on-object"), nullptr);
}

TEST(Scan, SeesAttributesThatUnpicklersCall) {
  const std::string object = "cargparse\nNamespace\n)\x81";
  EXPECT_EQ(verdict(object + "}S'x'\nI1\nsb."), Severity::kNote);
  EXPECT_NE(find(scan(object + "}b}b."), "pickle.rebuilt-object"), nullptr);
  EXPECT_NE(find(scan(object + "}S'__setstate__'\nNsb."), "pickle.rebuilt-object"), nullptr);
  EXPECT_NE(find(scan("ccollections\ndeque\n)R}bI1\na."), "pickle.rebuilt-object"), nullptr);
  EXPECT_EQ(find(scan("ccollections\ndeque\n)RI1\naI2\na}b."), "pickle.rebuilt-object"), nullptr);
  EXPECT_EQ(verdict("ctorch.storage\n_load_from_bytes\n."), Severity::kDangerous);
  EXPECT_EQ(verdict("ccopy_reg\n_reconstructor\n(cargparse\nNamespace\ncmodels.yolo\nModel\nNtR."),
            Severity::kSuspicious);
}

TEST(Scan, KeepsFindingsWhenTheStreamBreaks) {
  for (const std::string& tail : {""s, "\xff"s, "X\xff\xff\xff\x7f"s, "0000"s, "h\x09"s}) {
    const auto findings = scan(kSystem + tail);
    EXPECT_EQ(worst(findings), Severity::kDangerous);
    EXPECT_NE(find(findings, "pickle.malformed"), nullptr);
  }
  EXPECT_EQ(verdict("\x80\x02](K\x01"s), Severity::kMalformed);
}

TEST(Scan, ReadsToTheEndOfTheFile) {
  EXPECT_EQ(verdict("N.N.N." + kSystem + "."), Severity::kDangerous);
  EXPECT_EQ(verdict("N.\x00\x00junk\x80\x02"s + kSystem + "."), Severity::kDangerous);
  EXPECT_EQ(verdict("\xff\xff\n" + kSystem + "."), Severity::kDangerous);
  EXPECT_EQ(verdict("N.\x01\x02\x03"s), Severity::kSuspicious);
  EXPECT_EQ(verdict("N.\x00\x00\x00"s), Severity::kNote);
}

TEST(Scan, LeavesBytesBehindTheExpectedStreamsAlone) {
  std::vector<Finding> findings;
  const std::string bytes = "N.N.\x01\x02";
  EXPECT_EQ(scan_pickles(as_bytes(bytes), 100, {}, &findings, 2), 104U);
  EXPECT_TRUE(findings.empty());
}

TEST(Scan, NeverCallsAnUnfinishedJudgementSafe) {
  ScanContext context;
  context.limits.opcode_count_max = 3;
  const auto findings = scan("N0N0N0N.", context);
  ASSERT_NE(find(findings, "pickle.limit"), nullptr);
  EXPECT_EQ(worst(findings), Severity::kSuspicious);
}

TEST(Scan, SeesExpansionBombs) {
  std::string laughs = "]q\x00"s;
  for (int i = 0; i < 40; ++i) laughs += "\x32\x86";
  EXPECT_NE(find(scan(laughs + "."), "pickle.expansion"), nullptr);
  EXPECT_NE(find(scan("Nr\xff\xff\xff\xff."), "pickle.expansion"), nullptr);
  EXPECT_EQ(verdict("]q\x00h\x00\x61."s), Severity::kNote);
}

TEST(Scan, LooksIntoTorchFilesInsidePickles) {
  const std::string inner = "\x80\x02" + kSystem + ".";
  const std::string bytes = "ctorch.storage\n_load_from_bytes\n(C" +
                            std::string(1, static_cast<char>(inner.size())) + inner + "tR.";
  const auto findings = scan(bytes);
  ASSERT_NE(find(findings, "pickle.dangerous-call"), nullptr);
  EXPECT_NE(find(findings, "pickle.dangerous-call")->path.find("x.pkl!bytes@"), std::string::npos);
}

TEST(Scan, CountsAlikeFindings) {
  std::string bytes = "(";
  for (int i = 0; i < 1000; ++i) bytes += kSystem;
  const auto findings = scan(bytes + "t.");
  EXPECT_EQ(findings.size(), 20U);
  EXPECT_NE(findings[0].message.find("1000 times"), std::string::npos);
}

TEST(Scan, KeepsTheWorstOfManyDifferentFindings) {
  std::string bytes = "(";
  for (int i = 0; i < 12000; ++i) bytes += "cm" + std::to_string(i) + "\nx\n";
  const auto findings = scan(bytes + kSystem + "t.");
  EXPECT_LT(findings.size(), 11000U);
  EXPECT_EQ(worst(findings), Severity::kDangerous);
}

TEST(Rules, NeverCallADangerousNameHarmless) {
  EXPECT_FALSE(find_safe("os", "system"));
  EXPECT_FALSE(find_safe("builtins", "eval"));
  EXPECT_FALSE(find_safe("collections", "OrderedDict.fromkeys"));
  EXPECT_FALSE(find_safe("collections", ""));
  EXPECT_FALSE(find_safe("torch.nn.modulesx", "Linear"));
  EXPECT_TRUE(find_safe("torch", "FloatStorage"));
  EXPECT_TRUE(find_safe("torch", "float8_e4m3fn"));
  EXPECT_FALSE(find_safe("torch", "load"));
}

TEST(Rules, KnowWhatWeightsOnlyAccepts) {
  EXPECT_TRUE(weights_only_accepts("torch._utils", "_rebuild_tensor_v2"));
  EXPECT_TRUE(weights_only_accepts("collections", "OrderedDict"));
  EXPECT_FALSE(weights_only_accepts("collections", "deque"));
  EXPECT_FALSE(weights_only_accepts("torch.storage", "_load_from_bytes"));
}

}  // namespace
}  // namespace kilter::pickle
