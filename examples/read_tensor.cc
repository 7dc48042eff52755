// Opens a checkpoint of any format and reads one tensor: read_tensor FILE TENSOR
#include <kilter/checkpoint.h>

#include <cstdio>

int main(int argc, char** argv) {
  if (argc != 3) return 2;
  const auto checkpoint = kilter::open_checkpoint(argv[1]);
  if (!checkpoint) return std::puts(checkpoint.error().text().c_str()), 1;
  const auto bytes = checkpoint->read_tensor(argv[2]);
  if (!bytes) return std::puts(bytes.error().text().c_str()), 1;
  std::printf("%s: %zu bytes\n", argv[2], bytes->size());
}
