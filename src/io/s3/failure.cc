#include "io/s3/failure.h"

#include <fmt/format.h>

#include <array>

#include "io/s3/replies.h"

namespace kilter::io::s3 {
namespace {

constexpr std::size_t kServerTextCharsMax = 300;

struct CodeRow {
  std::string_view s3_code;
  ErrorCode code;
  std::string_view hint;
};

/// What the status alone does not say. Source: Amazon S3 API reference, "Error responses".
constexpr auto kCodeRows = std::to_array<CodeRow>({
    {"NoSuchBucket", ErrorCode::kNotFound, "check the bucket's name and the endpoint"},
    {"InvalidAccessKeyId", ErrorCode::kPermission,
     "this endpoint does not know the access key: check AWS_ACCESS_KEY_ID and AWS_PROFILE"},
    {"SignatureDoesNotMatch", ErrorCode::kPermission,
     "check AWS_SECRET_ACCESS_KEY, and that no proxy rewrites requests"},
    {"ExpiredToken", ErrorCode::kPermission, "the session has ended: get new credentials"},
    {"InvalidToken", ErrorCode::kPermission, "check AWS_SESSION_TOKEN"},
    {"AccessDenied", ErrorCode::kPermission,
     "the credentials in use (or anonymous access) do not allow this"},
    {"RequestTimeTooSkewed", ErrorCode::kPermission, "set this computer's clock"},
    {"InvalidRange", ErrorCode::kOutOfRange, ""},
    {"EntityTooLarge", ErrorCode::kLimitExceeded, "choose larger parts"},
    {"QuotaExceeded", ErrorCode::kNoSpace, "free space in the bucket or raise its quota"},
    {"XMinioStorageFull", ErrorCode::kNoSpace, "free space on the server"},
    {"InsufficientStorage", ErrorCode::kNoSpace, "free space on the server"},
    {"NotImplemented", ErrorCode::kUnsupported, "this endpoint lacks a part of S3"},
    {"InvalidBucketName", ErrorCode::kInvalidArgument, "check the bucket's name"},
    {"KeyTooLongError", ErrorCode::kInvalidArgument, ""},
    {"InvalidObjectState", ErrorCode::kUnsupported,
     "the object is archived: restore it to a storage class that can be read"},
});

ErrorCode code_of_status(int status) {
  switch (status) {
    case 401:
    case 403:
      return ErrorCode::kPermission;
    case 404:
      return ErrorCode::kNotFound;
    case 412:
      return ErrorCode::kAlreadyExists;
    case 416:
      return ErrorCode::kOutOfRange;
    case 501:
      return ErrorCode::kUnsupported;
    case 507:
      return ErrorCode::kNoSpace;
    default:
      return ErrorCode::kIo;
  }
}

bool names_region(int status, std::string_view code) {
  return code == "AuthorizationHeaderMalformed" || code == "PermanentRedirect" ||
         code == "TemporaryRedirect" || code == "IllegalLocationConstraintException" ||
         status == 301 || status == 307;
}

/// The bucket is elsewhere. A signature holds for one region and host, so the user decides.
Error region_error(Error error, const HttpReply& reply, const ErrorReply& said,
                   const Settings& settings) {
  std::string region(reply.header("x-amz-bucket-region"));
  if (region.empty()) region = said.region;
  error.code = ErrorCode::kInvalidArgument;
  error.found = "region " + settings.region;
  if (!region.empty()) {
    error.expected = "region " + region;
    error.hint = "set AWS_REGION=" + region;
  } else if (!said.endpoint.empty()) {
    error.hint = "set KILTER_S3_ENDPOINT to " + said.endpoint;
  } else {
    error.hint = "set AWS_REGION to the bucket's region";
  }
  return error;
}

}  // namespace

Failure answer_failure(const Call& call, const HttpReply& reply, const Settings& settings,
                       const std::string& where) {
  const ErrorReply said = parse_error_reply(reply.text);
  std::string message = fmt::format("{} was answered with {}", call.method, reply.status);
  if (!said.code.empty()) message += " " + said.code;
  if (!said.message.empty()) message += ": " + said.message.substr(0, kServerTextCharsMax);
  Error error(code_of_status(reply.status), std::move(message));
  error.path = where;
  for (const CodeRow& row : kCodeRows) {
    if (row.s3_code != said.code) continue;
    error.code = row.code;
    error.hint = row.hint;
  }
  // HEAD has no body to say more.
  if (said.code.empty() && reply.status == 403)
    error.hint = "the credentials in use (or anonymous access) do not allow this";
  const bool wrong_region = names_region(reply.status, said.code) ||
                            (reply.status == 400 && !reply.header("x-amz-bucket-region").empty() &&
                             reply.header("x-amz-bucket-region") != settings.region);
  if (wrong_region) error = region_error(std::move(error), reply, said, settings);
  return {.error = std::move(error),
          .status = reply.status,
          .code = said.code,
          .may_have_happened = reply.status >= 500};
}

Failure fault_failure(const Call& call, const HttpFault& fault, const Settings& settings,
                      const std::string& bucket, const std::string& where) {
  Failure failure;
  failure.may_have_happened = fault.kind == HttpFaultKind::kTransfer;
  if (fault.kind == HttpFaultKind::kCancelled) {
    failure.error = Error(ErrorCode::kCancelled, "cancelled");
    failure.may_have_happened = true;
  } else {
    failure.error = Error(
        fault.kind == HttpFaultKind::kTooLong ? ErrorCode::kLimitExceeded : ErrorCode::kIo,
        fmt::format("{} to {}: {}", call.method, settings.endpoint.origin_of(bucket), fault.text));
    if (fault.kind == HttpFaultKind::kNotSent || fault.kind == HttpFaultKind::kUnresolved)
      failure.error.hint = "check the network and the endpoint";
    if (fault.kind == HttpFaultKind::kPermanent)
      failure.error.hint = "check the endpoint's address and certificate (AWS_CA_BUNDLE)";
  }
  failure.error.path = where;
  return failure;
}

Failure check_failure(const Call& call, const HttpReply& reply, Error error,
                      const std::string& where) {
  error.message =
      fmt::format("{} was answered with {}, but {}", call.method, reply.status, error.message);
  error.path = where;
  return {.error = std::move(error), .status = reply.status, .code = {}, .may_have_happened = true};
}

}  // namespace kilter::io::s3
