// Places: what a folder and a bucket do alike, and what only a bucket does.
#include "store/place/object_place.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <atomic>
#include <thread>

#include "base/try.h"
#include "io/io_test_support.h"
#include "io/memory_object_store.h"
#include "store/address.h"
#include "store/store.h"

namespace kilter::store {
namespace {

using io::succeeded;
using std::chrono::milliseconds;
using testing::ElementsAre;
using testing::IsEmpty;

/// Where places of one store are opened again and again.
class Site {
 public:
  virtual ~Site() = default;
  virtual std::unique_ptr<Place> open() = 0;
};

class FolderSite : public Site {
 public:
  std::unique_ptr<Place> open() override {
    return make_folder_place(io::real_file_system(), folder_ / "store");
  }

 private:
  io::TempFolder folder_;
};

class ObjectSite : public Site {
 public:
  explicit ObjectSite(io::Conditions conditions) { objects_->set_conditions(conditions); }
  std::unique_ptr<Place> open() override {
    auto place = make_object_place(objects_, options_);
    if (lease_) place->use_feature("reference-lease");
    return place;
  }
  /// As Store::create() finds out.
  void settle() { lease_ = !open()->needed_features()->empty(); }
  io::MemoryObjectStore& objects() { return *objects_; }
  ObjectPlaceOptions& options() { return options_; }

 private:
  std::shared_ptr<io::MemoryObjectStore> objects_ = io::make_memory_object_store();
  ObjectPlaceOptions options_;
  bool lease_ = false;
};

std::unique_ptr<Site> make_site(const std::string& kind) {
  if (kind == "Folder") return std::make_unique<FolderSite>();
  auto site = std::make_unique<ObjectSite>(kind == "Objects" ? io::Conditions::kKept
                                                             : io::Conditions::kIgnored);
  site->settle();
  return site;
}

std::vector<std::string> names_of(Place& place, const std::string& folder) {
  std::vector<std::string> names;
  const auto entries = place.list(folder);
  EXPECT_OK(entries);
  if (entries)
    for (const PlaceEntry& entry : *entries) names.push_back(entry.name);
  return names;
}

std::string content_of(Place& place, const std::string& name) {
  const auto file = place.open(name);
  if (!file) return "error: " + std::string(error_row(file.error().code).name);
  std::string text(static_cast<std::size_t>((*file)->bytes()), '\0');
  EXPECT_OK((*file)->read_at(0, std::as_writable_bytes(std::span(text))));
  return text;
}

class Places : public testing::TestWithParam<const char*> {
 protected:
  Places() : site_(make_site(GetParam())), place_(site_->open()) { EXPECT_OK(place_->make_root()); }
  std::unique_ptr<Site> site_;
  std::unique_ptr<Place> place_;
};

TEST_P(Places, ListsWhatWasPublished) {
  EXPECT_THAT(names_of(*place_, "packs"), IsEmpty());
  ASSERT_OK(place_->put("packs/cd/b.pack", as_bytes("second")));
  ASSERT_OK(place_->put("packs/ab/a.pack", as_bytes("first")));
  ASSERT_OK(place_->put("packs-of-cards", as_bytes("other")));
  ASSERT_OK(place_->put("packs/.hidden", as_bytes("x")));
  EXPECT_THAT(names_of(*place_, "packs"), ElementsAre("packs/ab/a.pack", "packs/cd/b.pack"));
  EXPECT_EQ(place_->list("packs")->front().bytes, 5U);
  EXPECT_EQ(content_of(*place_, "packs/cd/b.pack"), "second");
  EXPECT_EQ(content_of(*place_, "packs/cd/c.pack"), "error: not_found");
}

TEST_P(Places, KeepsWhatStandsUnderAName) {
  ASSERT_OK(place_->put("index/1.idx", as_bytes("same")));
  ASSERT_OK(place_->put("index/1.idx", as_bytes("same")));
  EXPECT_EQ(content_of(*place_, "index/1.idx"), "same");
  ASSERT_OK(place_->remove("index/1.idx"));
  ASSERT_OK(place_->remove("index/1.idx"));
  EXPECT_THAT(names_of(*place_, "index"), IsEmpty());
}

TEST_P(Places, DropsWhatIsNotPublished) {
  {
    auto staged = place_->stage();
    ASSERT_OK(staged);
    ASSERT_OK((*staged)->file().write_at(0, as_bytes("half")));
  }
  EXPECT_THAT(names_of(*place_, ""), IsEmpty());
}

TEST_P(Places, SetsAside) {
  ASSERT_OK(place_->put("packs/ab/a.pack", as_bytes("damaged")));
  ASSERT_OK(place_->set_aside("packs/ab/a.pack"));
  EXPECT_THAT(names_of(*place_, "packs"), IsEmpty());
  EXPECT_EQ(content_of(*place_, "aside/packs/ab/a.pack"), "damaged");
  EXPECT_FALSE(place_->set_aside("packs/ab/a.pack"));
}

TEST_P(Places, ReplacesWhatIsExpected) {
  const std::string name = "refs/heads/main";
  EXPECT_EQ(*place_->read_small(name), std::nullopt);
  EXPECT_FALSE(*place_->replace_small(name, "b", "a"));
  EXPECT_TRUE(*place_->replace_small(name, "a", std::nullopt));
  EXPECT_FALSE(*place_->replace_small(name, "b", std::nullopt));
  EXPECT_TRUE(*place_->replace_small(name, "b", "a"));
  EXPECT_FALSE(*place_->replace_small(name, "c", "a"));
  EXPECT_EQ(*site_->open()->read_small(name), "b");
  EXPECT_FALSE(*place_->replace_small(name, std::nullopt, "a"));
  EXPECT_TRUE(*place_->replace_small(name, std::nullopt, "b"));
  EXPECT_EQ(*place_->read_small(name), std::nullopt);
}

TEST_P(Places, LoseNoReplacementInARace) {
  const std::string name = "refs/heads/main";
  ASSERT_TRUE(*place_->replace_small(name, "0", std::nullopt));
  const auto count_up = [&] {
    const auto own = site_->open();
    for (int done = 0; done < 4;) {
      const auto seen = own->read_small(name);
      ASSERT_OK(seen);
      const auto moved = own->replace_small(name, std::to_string(std::stoi(**seen) + 1), *seen);
      ASSERT_OK(moved);
      if (*moved) ++done;
    }
  };
  std::vector<std::thread> threads;
  for (int i = 0; i < 3; ++i) threads.emplace_back(count_up);
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(*place_->read_small(name), "12");
}

TEST_P(Places, ShowSessionsWhileTheyLive) {
  const auto other = site_->open();
  EXPECT_THAT(*other->live_sessions(), IsEmpty());
  auto session = place_->begin_session();
  ASSERT_OK(session);
  EXPECT_THAT(*other->live_sessions(), ElementsAre((*session)->id()));
  EXPECT_OK((*session)->still_alive());
  session->reset();
  EXPECT_THAT(*other->live_sessions(), IsEmpty());
}

TEST_P(Places, LockOneHolderAtATime) {
  const auto other = site_->open();
  auto held = place_->lock("keeping", false);
  ASSERT_OK(held);
  ASSERT_NE(*held, nullptr);
  EXPECT_OK((*held)->still_held());
  EXPECT_EQ(*other->lock("keeping", false), nullptr);
  EXPECT_NE(*other->lock("index", false), nullptr);
  std::atomic<bool> released = false;
  std::thread waiting([&] {
    const auto got = other->lock("keeping", true);
    EXPECT_OK(got);
    EXPECT_TRUE(released);
  });
  std::this_thread::sleep_for(milliseconds(20));
  released = true;
  held->reset();
  waiting.join();
}

TEST_P(Places, KnowNoFeatureOfTheFuture) {
  EXPECT_FALSE(place_->use_feature("time-travel"));
  EXPECT_EQ(place_->use_feature("reference-lease"), place_->remote());
}

INSTANTIATE_TEST_SUITE_P(All, Places, testing::Values("Folder", "Objects", "ObjectsWithLease"),
                         [](const auto& chosen) { return std::string(chosen.param); });

class ObjectPlaces : public testing::Test {
 protected:
  ObjectSite site_{io::Conditions::kKept};
  std::int64_t time_ = 1'800'000'000;
};

TEST_F(ObjectPlaces, TakeSilentSessionsForDead) {
  site_.objects().set_time(time_);
  const auto place = site_.open();
  const auto session = place->begin_session();
  ASSERT_OK(session);
  site_.objects().set_time(time_ + 600);
  EXPECT_THAT(*site_.open()->live_sessions(), ElementsAre((*session)->id()));
  site_.objects().set_time(time_ + 601);
  EXPECT_THAT(*site_.open()->live_sessions(), IsEmpty());
  EXPECT_EQ(io::code_of((*session)->still_alive()), ErrorCode::kIo);
  EXPECT_THAT(*site_.open()->live_sessions(), IsEmpty());  // asking has not brought it back
}

TEST_F(ObjectPlaces, RenewSessions) {
  site_.options().times.renew = milliseconds(5);
  site_.objects().set_time(time_);
  const auto session = site_.open()->begin_session();
  ASSERT_OK(session);
  site_.objects().set_time(time_ + 10'000);
  for (int i = 0; i < 1000; ++i) {
    if (site_.objects().list("sessions/")->front().modified_unix_seconds > time_) break;
    std::this_thread::sleep_for(milliseconds(5));
  }
  EXPECT_THAT(*site_.open()->live_sessions(), ElementsAre((*session)->id()));
}

TEST_F(ObjectPlaces, TakeOverAbandonedLocks) {
  site_.objects().set_time(time_);
  const auto place = site_.open();
  auto first = place->lock("keeping", false);
  ASSERT_OK(first);
  site_.objects().set_time(time_ + 601);
  const auto second = site_.open()->lock("keeping", false);
  ASSERT_OK(second);
  ASSERT_NE(*second, nullptr);
  EXPECT_FALSE((*first)->still_held());
  EXPECT_OK((*second)->still_held());
  first->reset();  // does not take the other's with it
  EXPECT_OK((*second)->still_held());
}

TEST_F(ObjectPlaces, RequireTheLeaseWhereConditionsMeanNothing) {
  EXPECT_THAT(*site_.open()->needed_features(), IsEmpty());
  for (const auto conditions : {io::Conditions::kIgnored, io::Conditions::kRefused}) {
    site_.objects().set_conditions(conditions);
    EXPECT_THAT(*site_.open()->needed_features(), ElementsAre("reference-lease"));
  }
  EXPECT_THAT(*site_.objects().list(""), IsEmpty());  // no probe stays
}

TEST_F(ObjectPlaces, HoldStoresThatRequireTheLease) {
  site_.objects().set_conditions(io::Conditions::kRefused);
  ASSERT_OK(Store::create(site_.open()));
  EXPECT_EQ(io::code_of(Store::create(site_.open())), ErrorCode::kAlreadyExists);
  const auto store = Store::open(site_.open());
  ASSERT_OK(store);
  Place& place = (*store)->place();
  EXPECT_TRUE(*place.replace_small("refs/heads/main", "a", std::nullopt));
  EXPECT_OK(place.begin_session());
  // In a folder nobody would keep the lease.
  const io::TempFolder root;
  const auto text = place.read_small("kilter-store.json");
  ASSERT_OK(io::write_text(io::real_file_system(), root / "kilter-store.json", **text));
  EXPECT_EQ(io::code_of(Store::open(make_folder_place(io::real_file_system(), root.path()))),
            ErrorCode::kUnsupported);
}

TEST_F(ObjectPlaces, SweepLeftProbes) {
  site_.objects().set_time(time_);
  ASSERT_OK(site_.objects().put("refs/.probe-1", as_bytes("x")));
  site_.objects().set_time(time_ + 100);
  EXPECT_EQ(*site_.open()->sweep(200'000'000'000, false), 0U);
  EXPECT_EQ(*site_.open()->sweep(50'000'000'000, true), 1U);
  EXPECT_EQ(*site_.open()->sweep(50'000'000'000, false), 1U);
  EXPECT_THAT(*site_.objects().list(""), IsEmpty());
}

TEST_F(ObjectPlaces, ReportFaultsOfTheServer) {
  const auto place = site_.open();
  site_.objects().fail_at(site_.objects().call_count(), io::ObjectFault::kUnavailable, true);
  EXPECT_EQ(io::code_of(place->list("packs")), ErrorCode::kIo);
  EXPECT_EQ(io::code_of(place->open("packs/a")), ErrorCode::kIo);
  EXPECT_EQ(io::code_of(place->put("packs/a", as_bytes("x"))), ErrorCode::kIo);
  EXPECT_EQ(io::code_of(place->begin_session()), ErrorCode::kIo);
  EXPECT_EQ(io::code_of(place->lock("index", true)), ErrorCode::kIo);
}

TEST(RemoteAddress, EndsAtTheLastAt) {
  const auto parsed = parse_store_address("s3://bucket/a@b/runs.kilter@main~1/model.bin");
  ASSERT_TRUE(parsed);
  EXPECT_EQ(parsed->store, "s3://bucket/a@b/runs.kilter");
  EXPECT_EQ(parsed->selector, "main~1/model.bin");
  const auto whole = parse_store_address("s3://bucket");
  ASSERT_TRUE(whole);
  EXPECT_EQ(whole->store, "s3://bucket");
  EXPECT_FALSE(whole->stated);
  EXPECT_EQ(io::code_of(open_place("gs://bucket/runs.kilter")), ErrorCode::kUnsupported);
}

}  // namespace
}  // namespace kilter::store
