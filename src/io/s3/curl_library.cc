#include "io/s3/curl_library.h"

#include <dlfcn.h>

#include <string>

namespace kilter::io::s3 {
namespace {

template <typename Function>
bool find_symbol(void* library, const char* name, Function* function) {
  *function = reinterpret_cast<Function>(::dlsym(library, name));
  return *function != nullptr;
}

bool fill_table(void* library, CurlLibrary* table) {
  return find_symbol(library, "curl_global_init", &table->global_init) &&
         find_symbol(library, "curl_easy_init", &table->easy_init) &&
         find_symbol(library, "curl_easy_cleanup", &table->easy_cleanup) &&
         find_symbol(library, "curl_easy_reset", &table->easy_reset) &&
         find_symbol(library, "curl_easy_setopt", &table->easy_setopt) &&
         find_symbol(library, "curl_easy_perform", &table->easy_perform) &&
         find_symbol(library, "curl_easy_strerror", &table->easy_strerror) &&
         find_symbol(library, "curl_slist_append", &table->slist_append) &&
         find_symbol(library, "curl_slist_free_all", &table->slist_free_all);
}

Result<CurlLibrary> load_curl_once() {
  std::string reason;
  // Debian has one interface over two TLS libraries; the second often comes with git.
  for (const char* name : {"libcurl.so.4", "libcurl-gnutls.so.4"}) {
    void* library = ::dlopen(name, RTLD_NOW | RTLD_LOCAL);
    CurlLibrary table;
    if (library != nullptr && fill_table(library, &table) &&
        table.global_init(CURL_GLOBAL_DEFAULT) == CURLE_OK)
      return table;
    if (library == nullptr && reason.empty()) {
      const char* text = ::dlerror();
      reason = text == nullptr ? "" : text;
    }
  }
  return fail(Error(ErrorCode::kUnsupported, "addresses that begin with s3:// need libcurl")
                  .wanted("libcurl.so.4", reason)
                  .advise("install the Debian package libcurl4"));
}

}  // namespace

Result<const CurlLibrary*> load_curl() {
  static const Result<CurlLibrary> kLoaded = load_curl_once();
  if (!kLoaded) return fail(kLoaded.error());
  return &*kLoaded;
}

}  // namespace kilter::io::s3
