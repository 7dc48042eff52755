// One operation on an object store, for tests/s3: s3_driver ADDRESS OPERATION ARGUMENT...
//
//   put NAME BYTES SEED [absent | ETAG]   get NAME BYTES SEED     range NAME BYTES SEED OFFSET
//   COUNT text NAME BYTES SEED                  list PREFIX             remove NAME          stale
//   SECONDS
//
// The content is a pattern of SEED; what is read is compared with it. Prints one line: "ok …",
// "wrong data", or "error CODE text". KILTER_S3_TEST_CANCEL_MS cancels after that time.
#include <fmt/format.h>

#include <charconv>
#include <cstdlib>
#include <cstring>
#include <ctime>
#include <string>
#include <thread>
#include <vector>

#include "base/try.h"
#include "io/s3/s3.h"

namespace {

using kilter::Result;
using kilter::io::ObjectStore;

std::uint64_t number(std::string_view text) {
  std::uint64_t value = 0;
  std::from_chars(text.data(), text.data() + text.size(), value);
  return value;
}

std::vector<std::byte> pattern(std::uint64_t bytes, std::uint64_t seed) {
  std::vector<std::byte> out(bytes);
  auto state = static_cast<std::uint32_t>(seed);
  for (std::byte& b : out) {
    state = state * 1664525U + 1013904223U;
    b = static_cast<std::byte>(state >> 24U);
  }
  return out;
}

Result<std::string> put(ObjectStore& store, const std::vector<std::string>& arguments) {
  kilter::io::PutCondition condition;
  const std::string wanted = arguments.size() > 4 ? arguments[4] : "";
  if (wanted == "absent") condition.if_absent = true;
  if (wanted != "absent") condition.if_etag = wanted;
  const auto content = pattern(number(arguments.at(2)), number(arguments.at(3)));
  KILTER_ASSIGN(const auto info, store.put(arguments.at(1), content, condition));
  return "ok " + info.etag;
}

Result<std::string> range(ObjectStore& store, const std::vector<std::string>& arguments) {
  const auto content = pattern(number(arguments.at(2)), number(arguments.at(3)));
  const std::uint64_t offset = arguments.size() > 4 ? number(arguments[4]) : 0;
  const std::uint64_t count = arguments.size() > 5 ? number(arguments[5]) : content.size();
  std::vector<std::byte> out(count);
  KILTER_TRY(store.read_at(arguments.at(1), offset, out));
  return std::memcmp(out.data(), content.data() + offset, count) == 0 ? "ok" : "wrong data";
}

Result<std::string> text(ObjectStore& store, const std::vector<std::string>& arguments) {
  const auto content = pattern(number(arguments.at(2)), number(arguments.at(3)));
  KILTER_ASSIGN(const auto read, store.read_text(arguments.at(1), 64U << 20U));
  return read.text == kilter::as_text(content) ? "ok " + read.etag : "wrong data";
}

Result<std::string> run(ObjectStore& store, const std::vector<std::string>& arguments) {
  const std::string& operation = arguments.at(0);
  if (operation == "put") return put(store, arguments);
  if (operation == "get" || operation == "range") return range(store, arguments);
  if (operation == "text") return text(store, arguments);
  if (operation == "remove") {
    KILTER_TRY(store.remove(arguments.at(1)));
    return "ok";
  }
  if (operation == "stale") {
    const auto before = std::time(nullptr) + static_cast<std::int64_t>(number(arguments.at(1)));
    KILTER_ASSIGN(const std::uint64_t removed, store.remove_stale_uploads(before));
    return fmt::format("ok {}", removed);
  }
  KILTER_ASSIGN(const auto objects, store.list(arguments.size() > 1 ? arguments[1] : ""));
  std::string out = "ok";
  for (const auto& info : objects) out += fmt::format(" {}:{}", info.name, info.bytes);
  return out;
}

}  // namespace

int main(int argc, char** argv) {
  const std::vector<std::string> arguments(argv + 1, argv + argc);
  kilter::CancelToken cancel;
  kilter::io::S3Options options{.part_bytes = 5U << 20U, .stall_seconds = 2, .cancel = &cancel};
  auto store = kilter::io::open_s3(arguments.at(0), options);
  std::thread canceller;
  if (const char* after_ms = std::getenv("KILTER_S3_TEST_CANCEL_MS"))
    canceller = std::thread([&cancel, after_ms] {
      std::this_thread::sleep_for(std::chrono::milliseconds(number(after_ms)));
      cancel.cancel();
    });
  const auto answer = store ? run(**store, {arguments.begin() + 1, arguments.end()})
                            : Result<std::string>(tl::unexpected(store.error()));
  if (canceller.joinable()) canceller.join();
  const std::string line =
      answer ? *answer
             : fmt::format("error {} {}", kilter::error_row(answer.error().code).name,
                           answer.error().text());
  fmt::print("{}\n", line);
  return 0;
}
