// Runs one fuzz target over saved inputs, so that every compiler and sanitizer replays them.
//
// Usage: NAME_replay FOLDER_OR_FILE...
// Prints each input's name before running it: after a crash, the last one is the culprit.
// Fails where there is no input: a corpus that vanished must not pass as a corpus that held.

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <string>
#include <vector>

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size);

namespace {

namespace fs = std::filesystem;

std::vector<fs::path> inputs_under(const fs::path& root) {
  if (fs::is_regular_file(root)) return {root};
  std::vector<fs::path> inputs;
  if (!fs::is_directory(root)) return inputs;
  for (const auto& entry : fs::recursive_directory_iterator(root)) {
    if (entry.is_regular_file()) inputs.push_back(entry.path());
  }
  std::sort(inputs.begin(), inputs.end());
  return inputs;
}

bool run(const fs::path& input) {
  std::ifstream stream(input, std::ios::binary);
  const std::vector<char> bytes{std::istreambuf_iterator<char>(stream),
                                std::istreambuf_iterator<char>()};
  if (!stream.is_open() || stream.bad()) {
    std::fprintf(stderr, "cannot read %s\n", input.c_str());
    return false;
  }
  std::fprintf(stderr, "%s (%zu bytes)\n", input.c_str(), bytes.size());
  // An exact-size heap copy, so that AddressSanitizer sees a read one byte past the end.
  const std::vector<std::uint8_t> copy(bytes.begin(), bytes.end());
  LLVMFuzzerTestOneInput(copy.data(), copy.size());
  return true;
}

}  // namespace

int main(int argc, char** argv) {
  std::size_t input_count = 0;
  bool all_read = true;
  for (int i = 1; i < argc; ++i) {
    for (const fs::path& input : inputs_under(argv[i])) {
      all_read = run(input) && all_read;
      ++input_count;
    }
  }
  std::printf("replayed %zu input(s)\n", input_count);
  return all_read && input_count > 0 ? 0 : 1;
}
