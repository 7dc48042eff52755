// Saves a folder into a store, names it, and gets the best checkpoint back:
//   keep_runs FOLDER STORE LOSS TARGET
#include <kilter/store.h>

#include <cstdio>
#include <cstdlib>

namespace {

int give_up(const kilter::Error& error) {
  std::puts(error.text().c_str());
  return 1;
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 5) return 2;
  auto store = kilter::Store::open_or_create(argv[2]);
  if (!store) return give_up(store.error());
  const auto saved = store->save({.source = argv[1], .metadata = {{"loss", std::atof(argv[3])}}});
  if (!saved) return give_up(saved.error());
  for (const kilter::Error& warning : saved->warnings) std::puts(warning.text().c_str());

  const auto log = store->log({.where = "loss<100"});
  if (!log) return give_up(log.error());
  for (const kilter::CommitInfo& commit : *log)
    std::printf("loss %g%s\n", kilter::meta_number(commit.metadata, "loss").value_or(0),
                commit.digest == saved->commit ? "  just saved" : "");

  const auto tagged = store->set_tag("best", "best:loss", true);
  if (!tagged) return give_up(tagged.error());
  const auto restored = store->restore("best", {.target = argv[4], .force = true});
  if (!restored) return give_up(restored.error());
  std::printf("%s: %llu files\n", argv[4], static_cast<unsigned long long>(restored->file_count));
}
