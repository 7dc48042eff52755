#include "io/open_file_limit.h"

#include <sys/resource.h>

namespace kilter::io {

void raise_open_file_limit() {
  rlimit limit{};
  if (getrlimit(RLIMIT_NOFILE, &limit) != 0 || limit.rlim_cur >= limit.rlim_max) return;
  limit.rlim_cur = limit.rlim_max;
  (void)setrlimit(RLIMIT_NOFILE, &limit);  // where it is refused, the old limit still serves
}

}  // namespace kilter::io
