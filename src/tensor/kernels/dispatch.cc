// The functions of Highway's library that its run-time dispatch and its assertions call.
//
// Highway is used through its headers alone. Linking libhwy.so would run its timer calibration at
// the start of every process: 6 ms of the 10 that `kilter --version` may take, for a timer nothing
// here uses. What a target needs is in hwy/detect_targets.h.
#include <hwy/targets.h>

#include "base/try.h"

namespace hwy {
namespace {

#if HWY_ARCH_X86
bool has_avx2() {
  // Processors with BMI2 and FMA have LZCNT and F16C too.
  return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") &&
         __builtin_cpu_supports("bmi") && __builtin_cpu_supports("bmi2");
}

bool has_avx512() {
  return __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512vl") &&
         __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512bw") &&
         __builtin_cpu_supports("avx512cd");
}

std::int64_t detected() {
  __builtin_cpu_init();
  std::int64_t targets = 0;
  if (__builtin_cpu_supports("ssse3")) targets |= HWY_SSSE3;
  if (__builtin_cpu_supports("sse4.2") && __builtin_cpu_supports("pclmul") &&
      __builtin_cpu_supports("aes"))
    targets |= HWY_SSE4;
  if (has_avx2()) targets |= HWY_AVX2;
  if (has_avx2() && has_avx512()) targets |= HWY_AVX3;
  return targets;
}
#else
std::int64_t detected() { return 0; }
#endif

}  // namespace

// Called by assertions that only unoptimized and sanitized builds have.
void Abort(const char* file, int line, const char* format, ...) {
  kilter::check_failed(format, file, line);
}

std::int64_t SupportedTargets() {
  static const std::int64_t targets = detected() | HWY_STATIC_TARGET;
  return targets;
}

ChosenTarget& GetChosenTarget() {
  static ChosenTarget chosen;
  return chosen;
}

}  // namespace hwy
