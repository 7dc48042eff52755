// What went wrong, in words that say what to do next.
#pragma once

#include <string>

#include "io/s3/client.h"

namespace kilter::io::s3 {

/// Of an answer that is no success. `where` is s3://bucket/key.
Failure answer_failure(const Call& call, const HttpReply& reply, const Settings& settings,
                       const std::string& where);
/// Of an exchange without an answer.
Failure fault_failure(const Call& call, const HttpFault& fault, const Settings& settings,
                      const std::string& bucket, const std::string& where);
/// Of a 2xx answer that Call::check refused.
Failure check_failure(const Call& call, const HttpReply& reply, Error error,
                      const std::string& where);

}  // namespace kilter::io::s3
