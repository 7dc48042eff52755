#include "io/s3/xml.h"

#include <gtest/gtest.h>

#include "io/s3/replies.h"
#include "io/s3/xml_text.h"

namespace kilter::io::s3 {
namespace {

ErrorCode xml_code(std::string_view text, const XmlLimits& limits = {}) {
  const auto result = parse_xml(text, limits);
  EXPECT_FALSE(result.has_value()) << text;
  return result ? ErrorCode::kInternal : result.error().code;
}

TEST(Xml, ReadsElementsTextAndReferences) {
  const auto root = parse_xml(
      "\n<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n"
      "<A xmlns='urn:x' b=\"&lt;\">\n <B> a &amp;&#34;&#xe9;&apos; </B><C/><B>2</B ></A>\n");
  ASSERT_TRUE(root.has_value()) << root.error().text();
  EXPECT_EQ(root->name, "A");
  EXPECT_EQ(root->text, "");
  ASSERT_EQ(root->children.size(), 3U);
  EXPECT_EQ(root->text_of("B"), " a &\"é' ");
  EXPECT_EQ(root->find("C")->text, "");
  EXPECT_EQ(root->find("D"), nullptr);
}

TEST(Xml, RefusesWhatIsNotWellFormed) {
  for (const char* bad : {"",
                          "x",
                          "<",
                          "<a",
                          "<a>",
                          "<a></b>",
                          "<a/><b/>",
                          "<a/>x",
                          "<a b></a>",
                          "<a b=c></a>",
                          "<a b='></a>",
                          "<a b='<'></a>",
                          "<a b='1'c='2'/>",
                          "</a>",
                          "<a>x<b/></a>",
                          "<a><b/>x</a>",
                          "<a>&</a>",
                          "<a>&amp</a>",
                          "<a>&#0;</a>",
                          "<a>&#xD800;</a>",
                          "<a>&#x110000;</a>",
                          "<a>&#;</a>",
                          "<a>&#-1;</a>",
                          "<a>\x01</a>",
                          "<a>\xff</a>",
                          "<?xml <a/>"})
    EXPECT_EQ(xml_code(bad), ErrorCode::kMalformed) << bad;
}

TEST(Xml, RefusesWhatCouldExpandOrRun) {
  for (const char* bad :
       {"<!DOCTYPE a [<!ENTITY b 'c'>]><a>&b;</a>", "<a>&b;</a>", "<a><!-- --></a>",
        "<a><![CDATA[x]]></a>", "<a><?php ?></a>", "<?php ?><a/>", "<a b='&c;'/>"})
    EXPECT_EQ(xml_code(bad), ErrorCode::kMalformed) << bad;
}

TEST(Xml, HoldsItsLimits) {
  EXPECT_EQ(xml_code("<a><b><c/></b></a>", {.depth_max = 2}), ErrorCode::kLimitExceeded);
  EXPECT_EQ(xml_code("<a><b/><b/></a>", {.elements_max = 2}), ErrorCode::kLimitExceeded);
  EXPECT_EQ(xml_code("<a></a>", {.bytes_max = 6}), ErrorCode::kLimitExceeded);
  std::string deep;
  for (int i = 0; i < 1000; ++i) deep += "<a>";
  EXPECT_EQ(xml_code(deep), ErrorCode::kLimitExceeded);
}

TEST(Xml, EscapesWhatItWrites) {
  const std::string text = "a<b>&\"c'";
  EXPECT_EQ(parse_xml("<x>" + xml_escape(text) + "</x>")->text, text);
}

TEST(Replies, ReadAnError) {
  const ErrorReply error = parse_error_reply(
      "<Error><Code>PermanentRedirect</Code><Message>elsewhere</Message><Region>eu-west-1</Region>"
      "</Error>");
  EXPECT_EQ(error.code, "PermanentRedirect");
  EXPECT_EQ(error.region, "eu-west-1");
  EXPECT_EQ(parse_error_reply("<html>no</html>").code, "");
  EXPECT_EQ(parse_error_reply("").code, "");
}

TEST(Replies, ReadAPageOfAListing) {
  const auto page = parse_list_page(
      "<ListBucketResult><EncodingType>url</EncodingType><IsTruncated>true</IsTruncated>"
      "<NextContinuationToken>t/1</NextContinuationToken><Contents><Key>a+b%2Bc</Key><Size>7</Size>"
      "<ETag>&quot;e&quot;</ETag><LastModified>2013-05-24T00:00:00.000Z</LastModified></Contents>"
      "</ListBucketResult>");
  ASSERT_TRUE(page.has_value()) << page.error().text();
  ASSERT_EQ(page->objects.size(), 1U);
  EXPECT_EQ(page->objects[0].name, "a b+c");
  EXPECT_EQ(page->objects[0].bytes, 7U);
  EXPECT_EQ(page->objects[0].etag, "\"e\"");
  EXPECT_EQ(page->objects[0].modified_unix_seconds, 1369353600);
  EXPECT_EQ(page->next_token, "t/1");
}

TEST(Replies, RefuseAListingThatCannotBe) {
  for (const char* bad :
       {"<Other/>", "<ListBucketResult><Contents><Size>7</Size></Contents></ListBucketResult>",
        "<ListBucketResult><Contents><Key>a</Key><Size>-1</Size></Contents></ListBucketResult>",
        "<ListBucketResult><Contents><Key>a</Key></Contents></ListBucketResult>",
        "<ListBucketResult><IsTruncated>true</IsTruncated></ListBucketResult>",
        "<ListBucketResult><Contents><Key>a</Key><Size>99999999999999999999</Size></Contents>"
        "</ListBucketResult>"})
    EXPECT_FALSE(parse_list_page(bad).has_value()) << bad;
}

TEST(Replies, NamePartsOfAnUpload) {
  EXPECT_EQ(parse_upload_id("<InitiateMultipartUploadResult><UploadId>u</UploadId>"
                            "</InitiateMultipartUploadResult>")
                .value(),
            "u");
  const std::string xml = complete_upload_xml({{"\"e1\"", "c="}, {"\"e2\"", ""}});
  const auto root = parse_xml(xml);
  ASSERT_TRUE(root.has_value());
  ASSERT_EQ(root->children.size(), 2U);
  EXPECT_EQ(root->children[0].text_of("ETag"), "\"e1\"");
  EXPECT_EQ(root->children[0].text_of("ChecksumSHA256"), "c=");
  EXPECT_EQ(root->children[1].text_of("PartNumber"), "2");
  EXPECT_EQ(root->children[1].find("ChecksumSHA256"), nullptr);
}

}  // namespace
}  // namespace kilter::io::s3
