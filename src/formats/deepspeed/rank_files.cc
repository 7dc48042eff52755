#include "formats/deepspeed/rank_files.h"

#include <algorithm>
#include <iterator>
#include <optional>

#include "base/thread_pool.h"
#include "base/try.h"
#include "io/safe_path.h"

namespace kilter::deepspeed {
namespace {

constexpr unsigned kOpenThreadsMax = 8;

}  // namespace

Result<CheckpointData> RankFiles::open_one(const std::string& name) const {
  const std::string path = path_of(name);
  if (auto beneath = io::open_beneath(files_, root_, name); !beneath)
    return fail(std::move(beneath).error().at_path(path));
  auto probe = formats::make_probe(files_, path);
  if (!probe) return fail(std::move(probe).error().at_path(path));
  const formats::Recognized recognized = formats::recognize(*probe);
  const bool torch =
      recognized.format != nullptr && recognized.format->name().starts_with("torch-");
  if (!torch) {
    const auto diagnosis = formats::diagnose(files_, *probe);
    return fail(Error(ErrorCode::kUnsupported, diagnosis ? diagnosis->message
                                                         : "a file of the checkpoint is not "
                                                           "what torch.save writes")
                    .at_path(path)
                    .advise(diagnosis ? diagnosis->hint : "copy it again from where it came"));
  }
  // Strict also where the whole is opened leniently: a rank's part that is only half there would
  // shift everything behind it.
  OpenOptions strict = options_;
  strict.lenient = false;
  auto data = recognized.format->open({&files_, path, &*probe, strict});
  if (!data) return fail(std::move(data).error().at_path(path));
  return data;
}

Result<std::vector<const RankFile*>> RankFiles::open(const std::vector<std::string>& names) {
  std::vector<std::optional<Result<CheckpointData>>> results(names.size());
  {
    ThreadPool pool(std::min({usable_cpu_count(), kOpenThreadsMax,
                              static_cast<unsigned>(std::max<std::size_t>(names.size(), 1))}));
    for (std::size_t i = 0; i < names.size(); ++i)
      pool.submit([this, i, &names, &results] { results[i] = open_one(names[i]); });
    pool.wait_idle();
  }
  std::vector<const RankFile*> out;
  TensorIndex& index = data_->index;
  for (std::size_t i = 0; i < names.size(); ++i) {
    if (!*results[i]) return fail(std::move(*results[i]).error());
    auto file = std::make_unique<RankFile>();
    file->name = names[i];
    file->data = std::move(**results[i]);
    file->storage_base = static_cast<std::uint32_t>(index.storages.size());
    const auto number = static_cast<std::uint32_t>(index.files.size());
    index.files.push_back(
        {names[i], file->data.index.files.empty() ? 0 : file->data.index.files[0].bytes});
    for (StorageInfo& storage : file->data.index.storages) {
      storage.file = number;
      index.storages.push_back(std::move(storage));
    }
    std::move(file->data.findings.begin(), file->data.findings.end(),
              std::back_inserter(data_->findings));
    opened_.push_back(std::move(file));
    out.push_back(opened_.back().get());
  }
  return out;
}

}  // namespace kilter::deepspeed
