// Uploads in parts. Source: Amazon S3 user guide, "Uploading and copying objects using multipart
// upload"; nothing is seen of the object until the upload is completed.
#pragma once

#include <string>

#include "io/s3/parts.h"
#include "io/s3/put.h"

namespace kilter::io::s3 {

/// As put_object(). An upload that fails is aborted; one whose abort fails too is named in the
/// error's hint.
Result<ObjectInfo> put_in_parts(Client& client, const std::string& key, const PutSource& source,
                                const PartPlan& plan, const PutCondition& condition,
                                ThreadPool& pool);

}  // namespace kilter::io::s3
