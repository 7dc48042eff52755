// What S3 says in XML, as values. Source: the Amazon S3 API reference, actions ListObjectsV2,
// ListMultipartUploads, CreateMultipartUpload, CompleteMultipartUpload and "Error responses".
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "kilter/error.h"

#include "io/object_store.h"

namespace kilter::io::s3 {

/// Empty fields were not said. Anything that is no error in XML gives an empty code.
struct ErrorReply {
  std::string code = {};
  std::string message = {};
  std::string region = {};
  std::string endpoint = {};
};
ErrorReply parse_error_reply(std::string_view text);

struct ListPage {
  std::vector<ObjectInfo> objects;  ///< whole keys, decoded
  std::string next_token;           ///< empty: the last page
};
/// Errors: kMalformed, kLimitExceeded.
Result<ListPage> parse_list_page(std::string_view text);

struct UploadEntry {
  std::string key;
  std::string upload_id;
  std::int64_t begun_unix_seconds = 0;
};
struct UploadPage {
  std::vector<UploadEntry> uploads;
  std::string next_key, next_upload_id;  ///< empty: the last page
};
Result<UploadPage> parse_upload_page(std::string_view text);

/// The UploadId. Errors: kMalformed.
Result<std::string> parse_upload_id(std::string_view text);
/// The ETag of a completed upload. Errors: kMalformed.
Result<std::string> parse_completed_etag(std::string_view text);

struct PartDone {
  std::string etag;
  std::string sha256_base64;  ///< empty where the server stated none
};
/// The body of CompleteMultipartUpload; parts count from 1.
std::string complete_upload_xml(const std::vector<PartDone>& parts);

/// Bytes a number in a header or an element may count. Errors: kMalformed.
Result<std::uint64_t> parse_count(std::string_view digits);

}  // namespace kilter::io::s3
