// Loads every tensor of a checkpoint into memory and lists them: load_all FILE
#include <kilter/checkpoint.h>

#include <cstdio>

int main(int argc, char** argv) {
  if (argc != 2) return 2;
  const auto checkpoint = kilter::open_checkpoint(argv[1]);
  if (!checkpoint) return std::puts(checkpoint.error().text().c_str()), 1;
  const auto loaded = checkpoint->load();
  if (!loaded) return std::puts(loaded.error().text().c_str()), 1;
  for (std::size_t i = 0; i < checkpoint->tensors().size(); ++i) {
    const std::span<const std::byte> bytes = (*loaded)->bytes(i);
    std::printf("%s: %zu bytes, the first is %d\n", checkpoint->tensors()[i].name.c_str(),
                bytes.size(), bytes.empty() ? 0 : static_cast<int>(bytes[0]));
  }
}
