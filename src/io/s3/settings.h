// Who asks, where, and for which region: from the options, the environment and the profile files.
#pragma once

#include <functional>
#include <string>

#include "kilter/error.h"

#include "io/file_system.h"
#include "io/s3/address.h"
#include "io/s3/s3.h"
#include "io/s3/sigv4.h"

namespace kilter::io::s3 {

struct Settings {
  Endpoint endpoint;
  std::string region;
  Credentials credentials;
  std::string ca_file;  ///< AWS_CA_BUNDLE; empty: the system's
};

/// The value of a variable; "" where it is not set.
using Environment = std::function<std::string(const char*)>;
Environment process_environment();

/// Errors: as open_s3().
Result<Settings> resolve_settings(const S3Options& options, const std::string& bucket,
                                  const Environment& environment, FileSystem& files);

}  // namespace kilter::io::s3
