// libcurl, loaded when the first address needs it: linking it would make every start of the program
// load dozens of shared libraries.
#pragma once

#include <curl/curl.h>

#include "kilter/error.h"

namespace kilter::io::s3 {

/// The functions used, with the types of curl's own header.
struct CurlLibrary {
  decltype(&::curl_global_init) global_init = nullptr;
  decltype(&::curl_easy_init) easy_init = nullptr;
  decltype(&::curl_easy_cleanup) easy_cleanup = nullptr;
  decltype(&::curl_easy_reset) easy_reset = nullptr;
  decltype(&::curl_easy_setopt) easy_setopt = nullptr;
  decltype(&::curl_easy_perform) easy_perform = nullptr;
  decltype(&::curl_easy_strerror) easy_strerror = nullptr;
  decltype(&::curl_slist_append) slist_append = nullptr;
  decltype(&::curl_slist_free_all) slist_free_all = nullptr;
};

/// Loads it once for the process; it stays loaded. Errors: kUnsupported, naming the package.
Result<const CurlLibrary*> load_curl();

}  // namespace kilter::io::s3
