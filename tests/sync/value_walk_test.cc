// A random walk of 100 000 operations (20 000 with debug checks) over each of oneshot, broadcast, watch and priority queue,
// beside a plain model: value_models.h.
//
// Up to eight tasks wait at it, while others act: things are sent, taken, closed, begun anew. Tasks are stopped before
// they have begun, while they wait, and right after they have been woken or handed something. After each such burst
// every task must have ended as its model says, or wait.
#include <cstddef>
#include <cstdint>
#include <functional>
#include <iterator>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <utility>

#include "absl/status/statusor.h"
#include "gtest/gtest.h"
#include "gyre/runtime/internal/rng.h"
#include "gyre/runtime/is_unwinding.h"
#include "gyre/runtime/sleep.h"
#include "gyre/runtime/task.h"
#include "gyre/runtime/with_scope.h"
#include "gyre/sync/broadcast.h"
#include "gyre/sync/oneshot.h"
#include "gyre/sync/priority_queue.h"
#include "gyre/sync/watch.h"
#include "gyre/tests/support/worlds.h"
#include "gyre/tests/sync/value_models.h"
#include "gyre/tests/sync/waits.h"

namespace gyre::testing {
namespace {

constexpr size_t kTasks = 8;
constexpr uint64_t kSeeds = 20;
#ifdef GYRE_DEBUG_CHECKS  // the sanitizers' builds: some twenty times slower
constexpr size_t kOperations = 1'000;  // for each seed
#else
constexpr size_t kOperations = 5'000;
#endif

// What a task does that may wait; the text says how it has ended. And the same in the model. Empty: nothing can wait.
class Visit {
 public:
  Visit() = default;
  Visit(std::function<Task<std::string>()> in_earnest, std::function<void()> in_the_model)
      : real(std::move(in_earnest)), model(std::move(in_the_model)) {}

  std::function<Task<std::string>()> real;
  std::function<void()> model;
};

// The thing itself beside its model.
class Walked {
 public:
  virtual ~Walked() = default;
  virtual Visit Choose(int task, Rng& rng) = 0;
  // Something that does not wait, on both. False: there was nothing that it could do.
  virtual bool Act(Rng& rng) = 0;
  virtual void Compare() = 0;
  virtual Model& model() = 0;
};

template <class Form>
class WalkedOneshot final : public Walked {
 public:
  Visit Choose(int task, Rng& rng) override {
    if (model_.is_received || model_.waiting != 0) return Visit();
    const bool is_by_handle = receiver_.has_value() && rng.Below(2) == 0;
    return Visit([this, is_by_handle] { return Receive(is_by_handle); }, [this, task] { model_.Receive(task); });
  }
  bool Act(Rng& rng) override {
    if (model_.is_over() && rng.Below(2) == 0) return Renew(rng);
    switch (rng.Below(10)) {
      case 0:
        if (!sender_.has_value()) return false;
        sender_.reset();
        model_.Close();
        return true;
      case 1:
        if (!receiver_.has_value()) return false;
        receiver_.reset();
        model_.CloseReceiver();
        return true;
      case 2:
        oneshot_->Close();
        model_.Close();
        return true;
      case 3:
      case 4:
        EXPECT_EQ(oneshot_->TryReceive(), model_.TryReceive());
        return true;
      default:
        return !model_.is_sent && Send();
    }
  }
  void Compare() override { EXPECT_EQ(oneshot_->is_sent(), model_.is_sent); }
  Model& model() override { return model_; }

 private:
  using Oneshot = BasicOneshot<int, Form>;

  Task<std::string> Receive(bool is_by_handle) {
    auto receive = is_by_handle ? receiver_->Receive() : oneshot_->Receive();
    const absl::StatusOr<int> value = co_await std::move(receive);
    co_return value.ok() ? std::to_string(*value) : "closed";
  }
  bool Send() {
    const int item = ++last_;
    SendResult<int> sent = sender_.has_value() ? sender_->Send(item) : oneshot_->Send(item);
    sender_.reset();
    EXPECT_EQ(sent.ok(), model_.Send(item));
    if (!sent.ok()) {
      EXPECT_EQ(sent.item(), item);
    }
    return true;
  }
  bool Renew(Rng& rng) {
    sender_.reset();
    receiver_.reset();
    oneshot_ = std::make_unique<Oneshot>();
    model_ = OneshotModel();
    if (rng.Below(2) == 0) sender_.emplace(oneshot_->NewSender());
    if (rng.Below(2) == 0) receiver_.emplace(oneshot_->NewReceiver());
    return true;
  }

  int last_ = 0;
  std::unique_ptr<Oneshot> oneshot_ = std::make_unique<Oneshot>();
  std::optional<typename Oneshot::Sender> sender_;
  std::optional<typename Oneshot::Receiver> receiver_;
  OneshotModel model_;
};

template <class Form>
class WalkedBroadcast final : public Walked {
 public:
  WalkedBroadcast() { Renew(/*kept=*/1); }

  Visit Choose(int task, Rng& rng) override {
    int id = 0;
    if (model_->Choose(rng, id) == nullptr) return Visit();
    return Visit([this, id] { return Hear(*subscriptions_[id]); },
                 [this, id, task] { model_->Receive(task, model_->members[id]); });
  }
  bool Act(Rng& rng) override {
    if (model_->is_over()) return Renew(rng.Below(3) + 1);
    int id = 0;
    BroadcastModel::Member* const member = model_->Choose(rng, id);
    switch (rng.Below(16)) {
      case 0:
        return rng.Below(4) == 0 ? Close() : Subscribe();
      case 1:
        return Subscribe();
      case 2:
        if (member == nullptr || rng.Below(2) == 0) return false;
        subscriptions_.erase(id);
        model_->members.erase(id);
        return true;
      case 3:
      case 4:
      case 5:
      case 6:
        if (member == nullptr) return false;
        EXPECT_EQ(Text(subscriptions_[id]->TryReceive()), model_->Take(*member));
        return true;
      default:
        EXPECT_EQ(broadcast_->Send(++last_).ok(), !model_->is_closed);
        if (!model_->is_closed) model_->Send(last_);
        return true;
    }
  }
  void Compare() override { EXPECT_EQ(broadcast_->subscriptions(), model_->members.size()); }
  Model& model() override { return *model_; }

 private:
  using Broadcast = BasicBroadcast<int, Form>;
  using Subscription = typename Broadcast::Subscription;

  static std::string Text(const std::optional<Heard<int>>& heard) {
    return heard.has_value() ? std::to_string(heard->item) + " after " + std::to_string(heard->missed) : "end";
  }
  static Task<std::string> Hear(Subscription& mine) {
    const std::optional<Heard<int>> heard = co_await mine.Receive();
    co_return Text(heard);
  }
  bool Subscribe() {
    if (model_->members.size() == 5) return false;
    subscriptions_[++last_id_] = std::make_unique<Subscription>(broadcast_->Subscribe());
    model_->members[last_id_];
    return true;
  }
  bool Close() {
    broadcast_->Close();
    model_->Close();
    return true;
  }
  bool Renew(size_t kept) {
    subscriptions_.clear();
    broadcast_ = std::make_unique<Broadcast>(kept);
    model_ = std::make_unique<BroadcastModel>(kept);
    for (int i = 0; i < 3; ++i) Subscribe();
    return true;
  }

  int last_ = 0;
  int last_id_ = 0;
  std::unique_ptr<Broadcast> broadcast_;
  std::map<int, std::unique_ptr<Subscription>> subscriptions_;
  std::unique_ptr<BroadcastModel> model_;
};

template <class Form>
class WalkedWatch final : public Walked {
 public:
  WalkedWatch() { Renew(); }

  Visit Choose(int task, Rng& rng) override {
    if (rng.Below(3) == 0) {
      const int least = model_.version + static_cast<int>(rng.Below(5));
      return Visit([this, least] { return Until(least); }, [this, task, least] { model_.Until(task, least); });
    }
    int id = 0;
    if (model_.Choose(rng, id) == nullptr) return Visit();
    return Visit([this, id] { return Changed(*observers_[id]); },
                 [this, id, task] { model_.Changed(task, model_.members[id]); });
  }
  bool Act(Rng& rng) override {
    if (model_.is_over()) return Renew();
    int id = 0;
    WatchModel::Member* const member = model_.Choose(rng, id);
    switch (rng.Below(10)) {
      case 0:
        return Observe();
      case 1:
        if (member == nullptr || rng.Below(2) == 0) return false;
        observers_.erase(id);
        model_.members.erase(id);
        return true;
      case 2:
        if (rng.Below(4) != 0) return false;
        watch_->Close();
        model_.is_closed = true;
        return true;
      case 3:
      case 4:
        if (member == nullptr) return false;
        EXPECT_EQ(observers_[id]->HasChanged(), model_.HasChanged(*member));
        return true;
      default:
        EXPECT_EQ(Set(rng.Below(2) == 0), !model_.is_closed);
        if (!model_.is_closed) ++model_.version;
        return true;
    }
  }
  void Compare() override {
    EXPECT_EQ(watch_->Get(), model_.version);
    EXPECT_EQ(watch_->observers(), model_.members.size() + model_.untils.size());
  }
  Model& model() override { return model_; }

 private:
  using Watch = BasicWatch<int, Form>;
  using Observer = typename Watch::Observer;

  static Task<std::string> Changed(Observer& mine) {
    const absl::StatusOr<int> value = co_await mine.Changed();
    co_return value.ok() ? "value " + std::to_string(*value) : "closed";
  }
  Task<std::string> Until(int least) {
    auto holds = [least](int value) { return value >= least; };
    const absl::StatusOr<int> value = co_await watch_->Until(holds);
    co_return value.ok() ? "until " + std::to_string(*value) : "closed";
  }
  bool Set(bool is_in_place) {
    if (is_in_place) return watch_->Modify([](int& value) { ++value; }).ok();
    return watch_->Set(model_.version + 1).ok();
  }
  bool Observe() {
    if (model_.members.size() == 5) return false;
    observers_[++last_id_] = std::make_unique<Observer>(watch_->Observe());
    model_.members[last_id_].seen = model_.version;
    return true;
  }
  bool Renew() {
    observers_.clear();
    watch_ = std::make_unique<Watch>(0);
    model_ = WatchModel();
    for (int i = 0; i < 3; ++i) Observe();
    return true;
  }

  int last_id_ = 0;
  std::unique_ptr<Watch> watch_;
  std::map<int, std::unique_ptr<Observer>> observers_;
  WatchModel model_;
};

template <class Form>
class WalkedQueue final : public Walked {
 public:
  Visit Choose(int task, Rng& rng) override {
    switch (rng.Below(8)) {
      case 0:
        return Visit([this] { return Join(); }, [this, task] { model_.Join(task); });
      case 1:
      case 2:
      case 3:
        return Visit([this] { return Get(); }, [this, task] { model_.Get(task); });
      default: {
        const Item item = MakeItem(rng);
        return Visit([this, item] { return Put(item); }, [this, task, item] { model_.Put(task, item); });
      }
    }
  }
  bool Act(Rng& rng) override {
    if (model_.is_over()) return Renew(rng);
    switch (rng.Below(12)) {
      case 0:
        return rng.Below(4) == 0 && ShutDown(/*is_now=*/rng.Below(2) == 0);
      case 1:
      case 2:
      case 3:
      case 4: {
        const Item item = MakeItem(rng);
        EXPECT_EQ(queue_->TryPut(item).ok(), model_.TryPut(item));
        return true;
      }
      case 5:
      case 6:
      case 7:
      case 8:
        EXPECT_EQ(queue_->TryGet(), model_.TryGet());
        return true;
      default:
        if (model_.given == 0) return false;
        queue_->TaskDone();
        model_.TaskDone();
        return true;
    }
  }
  void Compare() override {
    EXPECT_EQ(queue_->size(), model_.items.size());
    EXPECT_EQ(queue_->unfinished(), model_.unfinished());
    EXPECT_EQ(queue_->is_shut_down(), model_.is_shut_down);
  }
  Model& model() override { return model_; }

 private:
  using Queue = BasicPriorityQueue<Item, Form, ByUrgency>;

  Item MakeItem(Rng& rng) { return Item(static_cast<int>(rng.Below(5)), ++last_); }
  Task<std::string> Put(Item item) {
    SendResult<Item> sent = co_await queue_->Put(item);
    if (!sent.ok()) {
      EXPECT_EQ(sent.item(), item);
    }
    co_return sent.ok() ? "put" : "refused";
  }
  Task<std::string> Get() {
    const std::optional<Item> item = co_await queue_->Get();
    co_return Text(item);
  }
  Task<std::string> Join() {
    co_await queue_->Join();
    co_return "joined";
  }
  bool ShutDown(bool is_now) {
    is_now ? queue_->ShutDownNow() : queue_->ShutDown();
    model_.ShutDown(is_now);
    return true;
  }
  bool Renew(Rng& rng) {
    const size_t capacity = rng.Below(2) == 0 ? 1 + rng.Below(2) : 1 + rng.Below(20);
    queue_ = std::make_unique<Queue>(capacity);
    model_ = QueueModel(capacity);
    return true;
  }

  int last_ = 0;
  std::unique_ptr<Queue> queue_ = std::make_unique<Queue>(2);
  QueueModel model_{2};
};

// The walk

struct Counts {
  size_t ended = 0;
  size_t stopped_waiting = 0;
  size_t stopped_woken = 0;
};

class Walk {
 public:
  Walk(Walked& walked, uint64_t seed, Counts& counts) : walked_(walked), rng_(seed), counts_(counts) {}

  Task<> Run() {
    auto body = [this](Scope& scope) -> Task<> {
      while (operations_ < kOperations && !::testing::Test::HasFailure()) {
        Burst(scope);
        ++bursts_;
        for (int turn = 0; turn < 8; ++turn) co_await Yield();
        walked_.model().Settle();
        Compare();
      }
      scope.RequestStop();
    };
    co_await WithScope(body);
  }

 private:
  class Ending {
   public:
    Ending(Ends& ends, int task) : ends_(ends), task_(task) {}
    ~Ending() {
      if (IsUnwinding()) ends_[task_] = "stopped";
    }

   private:
    Ends& ends_;
    const int task_;
  };
  Task<> Go(int task, std::function<Task<std::string>()> visit) {
    const Ending ending(ends_, task);
    const std::string how = co_await visit();
    ends_[task] = how;
  }

  void Burst(Scope& scope) {
    walked_.model().BeginBurst();
    if (rng_.Below(2) == 0) {
      for (uint64_t i = rng_.Below(3) + 1; i != 0; --i) Arrive(scope);
      return;
    }
    for (uint64_t i = rng_.Below(4); i != 0; --i) operations_ += walked_.Act(rng_);
    for (uint64_t i = rng_.Below(3); i != 0; --i) StopOne();
  }
  void Arrive(Scope& scope) {
    if (tasks_.size() >= kTasks) return;
    const int task = ++last_;
    Visit visit = walked_.Choose(task, rng_);
    if (!visit.real) return;
    ++operations_;
    TaskHandle<> handle = scope.Spawn(&Walk::Go, this, task, std::move(visit.real));
    if (rng_.Below(8) == 0) {
      handle.RequestStop();  // before it has begun: nothing is tried
      walked_.model().ends[task] = "stopped";
    } else {
      visit.model();
    }
    tasks_.emplace(task, std::move(handle));
  }
  void StopOne() {
    if (tasks_.empty()) return;
    ++operations_;
    auto& [task, handle] = *std::next(tasks_.begin(), static_cast<long>(rng_.Below(tasks_.size())));
    ++(walked_.model().IsWoken(task) ? counts_.stopped_woken : counts_.stopped_waiting);
    handle.RequestStop();
    walked_.model().Stop(task);
  }
  void Compare() {
    const Ends& expected = walked_.model().ends;
    EXPECT_EQ(ends_, expected) << "burst " << bursts_;
    for (const auto& [task, handle] : tasks_) {
      EXPECT_EQ(handle.Done(), expected.contains(task)) << "task " << task << ", burst " << bursts_;
    }
    walked_.Compare();
    std::erase_if(tasks_, [](const auto& entry) { return entry.second.Done(); });
    counts_.ended += ends_.size();
    ends_.clear();
    walked_.model().ends.clear();
  }

  Walked& walked_;
  Rng rng_;
  Counts& counts_;
  std::map<int, TaskHandle<>> tasks_;
  Ends ends_;
  int last_ = 0;
  size_t operations_ = 0;
  int bursts_ = 0;
};

template <class WalkedOne>
void WalkAlong() {
  Counts counts;
  for (uint64_t seed = 1; seed <= kSeeds && !::testing::Test::HasFailure(); ++seed) {
    SCOPED_TRACE(::testing::Message() << "seed " << seed);
    InCalmSimulation([&]() -> Task<> {
      WalkedOne walked;
      Walk walk(walked, seed, counts);
      co_await walk.Run();
    });
  }
  EXPECT_GT(counts.ended, kSeeds * kOperations / 10);
  EXPECT_GT(counts.stopped_waiting, kSeeds * kOperations / 100);
  EXPECT_GT(counts.stopped_woken, kSeeds * kOperations / 200);
}

template <class Form>
class ValueWalk : public ::testing::Test {};
TYPED_TEST_SUITE(ValueWalk, Forms);

TYPED_TEST(ValueWalk, Oneshot) { WalkAlong<WalkedOneshot<TypeParam>>(); }
TYPED_TEST(ValueWalk, Broadcast) { WalkAlong<WalkedBroadcast<TypeParam>>(); }
TYPED_TEST(ValueWalk, Watch) { WalkAlong<WalkedWatch<TypeParam>>(); }
TYPED_TEST(ValueWalk, PriorityQueue) { WalkAlong<WalkedQueue<TypeParam>>(); }

}  // namespace
}  // namespace gyre::testing
