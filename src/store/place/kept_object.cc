#include "store/place/kept_object.h"

#include <time.h>
#include <unistd.h>

#include "base/json.h"
#include "base/try.h"
#include "store/format/objects.h"
#include "store/place/place.h"

namespace kilter::store {
namespace {

/// Goes on while the machine sleeps: others see the object grow old then.
std::chrono::nanoseconds time_since_boot() {
  timespec now{};
  ::clock_gettime(CLOCK_BOOTTIME, &now);
  return std::chrono::seconds(now.tv_sec) + std::chrono::nanoseconds(now.tv_nsec);
}

}  // namespace

std::string owner_text() {
  char host[256] = {};
  if (::gethostname(host, sizeof host - 1) != 0) host[0] = '\0';
  SortedJson out;
  out["host"] = host;
  out["id"] = random_hex(32);
  out["process"] = ::getpid();
  out["time"] = time_text(std::chrono::duration_cast<std::chrono::nanoseconds>(
                              std::chrono::system_clock::now().time_since_epoch())
                              .count());
  // A host's name may be no UTF-8.
  return out.dump(-1, ' ', true, SortedJson::error_handler_t::replace) + "\n";
}

Result<std::unique_ptr<KeptObject>> KeptObject::begin(std::shared_ptr<SmallObjects> small,
                                                      std::string name, std::string text,
                                                      const std::optional<std::string>& instead_of,
                                                      const KeepTimes& times) {
  const auto begun = time_since_boot();
  KILTER_ASSIGN(const bool put, small->replace(name, text, instead_of));
  if (!put) return std::unique_ptr<KeptObject>();
  std::unique_ptr<KeptObject> kept(
      new KeptObject(std::move(small), std::move(name), std::move(text), times));
  kept->renewed_ = begun;
  kept->thread_ = std::thread([object = kept.get()] { object->run(); });
  return kept;
}

KeptObject::KeptObject(std::shared_ptr<SmallObjects> small, std::string name, std::string text,
                       const KeepTimes& times)
    : small_(std::move(small)), name_(std::move(name)), text_(std::move(text)), times_(times) {}

KeptObject::~KeptObject() {
  {
    const std::lock_guard guard(stopping_);
    stop_ = true;
  }
  stopped_.notify_all();
  if (thread_.joinable()) thread_.join();
  // Once it may be another's, it stays.
  if (!lost_ && !run_out()) static_cast<void>(small_->objects().remove(name_));
}

void KeptObject::run() {
  std::unique_lock guard(stopping_);
  while (!stopped_.wait_for(guard, times_.renew, [this] { return stop_; })) {
    guard.unlock();
    {
      const std::lock_guard renewing(renewing_);
      static_cast<void>(renew());  // what fails is tried again; still_held() says if it is too late
    }
    guard.lock();
  }
}

/// A tenth earlier than others see it: what is done next still takes its time.
bool KeptObject::run_out() const { return time_since_boot() - renewed_ > times_.alive * 9 / 10; }

Error KeptObject::lost_error() const {
  return Error(ErrorCode::kIo, "was not renewed in time: others take this process for dead")
      .at_path(io::join_path(small_->objects().address(), name_))
      .advise("what was written is kept for now: run it again");
}

/// Never puts it where it has been removed or replaced.
Status KeptObject::renew() {
  const auto begun = time_since_boot();
  lost_ = lost_ || run_out();
  if (lost_) return fail(lost_error());
  KILTER_ASSIGN(const bool done, small_->replace(name_, text_, text_));
  lost_ = !done;
  if (lost_) return fail(lost_error());
  renewed_ = begun;
  return ok();
}

Status KeptObject::still_held() {
  const std::lock_guard guard(renewing_);
  return renew();
}

}  // namespace kilter::store
