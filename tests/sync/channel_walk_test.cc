// Random operations on a channel against a plain model of it: 100 000 on each form, with stops before and after hand-overs.
#include <cstdint>
#include <deque>
#include <functional>
#include <iterator>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"
#include "gtest/gtest.h"
#include "gyre/runtime/internal/rng.h"
#include "gyre/runtime/is_unwinding.h"
#include "gyre/runtime/sleep.h"
#include "gyre/runtime/task.h"
#include "gyre/runtime/with_scope.h"
#include "gyre/sync/channel.h"
#include "gyre/tests/support/worlds.h"

namespace gyre {
namespace {

// How tasks have ended, by number.
using Ends = std::map<int, std::string>;

// What the header says, with lists. A task's end is decided when it is handed something; `Undo` is what a stop after that does.
class Model {
 public:
  explicit Model(size_t capacity) : capacity_(capacity) {}

  void Send(int task, int item) { Enter(task, item); }
  void Reserve(int task) { Enter(task, std::nullopt); }
  void Receive(int task) {
    if (std::optional<int> item = Take()) return End(task, "item " + std::to_string(*item));
    if (IsAtEnd()) return End(task, "end");
    receivers_.push_back(task);
  }
  bool TrySend(int item) { return !is_closed_ && entrants_.empty() && PutIn(item); }
  bool TryReserve() {
    if (is_closed_ || !entrants_.empty() || !HasPlace()) return false;
    ++reserved_;
    return true;
  }
  std::optional<int> TryReceive() { return Take(); }
  void UseSlot(int item) {
    --reserved_;
    PutIn(item);
    Settle();
  }
  void DropSlot() {
    --reserved_;
    Settle();
  }
  void Close() {
    is_closed_ = true;
    for (const Entrant& entrant : entrants_) End(entrant.task, entrant.item.has_value() ? "refused" : "no slot");
    entrants_.clear();
    Settle();
  }
  // A stop that meets the task while it waits, or before it has gone on with what it was handed.
  void Stop(int task) {
    if (std::erase(receivers_, task) + std::erase_if(entrants_, [&](const Entrant& e) { return e.task == task; }) > 0) {
      End(task, "stopped");
      return Settle();
    }
    const std::string end = ends_[task];
    if (end == "slot") {
      End(task, "stopped");
      DropSlot();
    } else if (end == "end" || end == "no slot") {
      End(task, "stopped");
    }
  }

  const Ends& ends() const { return ends_; }
  void ForgetEnds() { ends_.clear(); }
  size_t size() const { return items_.size(); }
  size_t reserved() const { return reserved_; }
  size_t waiting_senders() const { return entrants_.size(); }
  size_t waiting_receivers() const { return receivers_.size(); }
  bool is_closed() const { return is_closed_; }

 private:
  struct Entrant {
    int task;
    std::optional<int> item;
  };

  void End(int task, const std::string& how) { ends_[task] = how; }
  bool HasPlace() const { return items_.size() + reserved_ < capacity_; }
  bool IsAtEnd() const { return is_closed_ && items_.empty() && reserved_ == 0; }
  void Enter(int task, std::optional<int> item) {
    if (is_closed_) return End(task, item.has_value() ? "refused" : "no slot");
    entrants_.push_back({task, item});
    Settle();
  }
  bool PutIn(int item) {
    if (!receivers_.empty()) {
      End(receivers_.front(), "item " + std::to_string(item));
      receivers_.pop_front();
      return true;
    }
    if (!HasPlace()) return false;
    items_.push_back(item);
    return true;
  }
  std::optional<int> Take() {
    std::optional<int> item;
    if (!items_.empty()) {
      item = items_.front();
      items_.pop_front();
    } else if (!entrants_.empty() && entrants_.front().item.has_value()) {
      item = entrants_.front().item;
      End(entrants_.front().task, "sent");
      entrants_.pop_front();
    }
    Settle();
    return item;
  }
  // Who can go on, in order.
  void Settle() {
    while (!entrants_.empty()) {
      const Entrant first = entrants_.front();
      if (first.item.has_value()) {
        if (!PutIn(*first.item)) break;
        End(first.task, "sent");
      } else {
        if (!HasPlace()) break;
        ++reserved_;
        End(first.task, "slot");
      }
      entrants_.pop_front();
    }
    if (!IsAtEnd()) return;
    for (const int task : receivers_) End(task, "end");
    receivers_.clear();
  }

  const size_t capacity_;
  std::deque<int> items_;
  std::deque<Entrant> entrants_;
  std::deque<int> receivers_;
  size_t reserved_ = 0;
  bool is_closed_ = false;
  Ends ends_;
};

template <class Form>
class Walk {
 public:
  Walk(uint64_t seed, size_t capacity) : rng_(seed), channel_(capacity), model_(capacity), has_places_(capacity > 0) {}

  Task<> Go(int operations) {
    auto body = [&](Scope& scope) -> Task<> {
      for (int i = 0; i < operations && !::testing::Test::HasFailure(); ++i) {
        if (i == operations * 9 / 10) {
          channel_.Close();
          model_.Close();
        } else {
          DoOne(scope);
        }
        if (rng_.Below(4) == 0) StopOne();
        for (int turn = 0; turn < 8; ++turn) co_await Yield();
        Compare(i);
        Tidy();
      }
      while (!slots_.empty()) UseSlot();
      scope.RequestStop();
    };
    co_await WithScope(body);
  }

 private:
  using Slot = typename BasicChannel<int, Form>::Slot;

  class Ending {
   public:
    Ending(Walk& walk, int task) : walk_(walk), task_(task) {}
    ~Ending() {
      if (IsUnwinding()) walk_.ends_[task_] = "stopped";
    }

   private:
    Walk& walk_;
    const int task_;
  };

  Task<> Send(int task, int item) {
    const Ending ending(*this, task);
    const SendResult<int> sent = co_await channel_.Send(item);
    ends_[task] = sent.ok() ? "sent" : "refused";
  }
  Task<> Receive(int task) {
    const Ending ending(*this, task);
    const std::optional<int> item = co_await channel_.Receive();
    ends_[task] = item.has_value() ? "item " + std::to_string(*item) : "end";
  }
  Task<> Reserve(int task) {
    const Ending ending(*this, task);
    absl::StatusOr<Slot> slot = co_await channel_.Reserve();
    ends_[task] = slot.ok() ? "slot" : "no slot";
    if (slot.ok()) slots_.push_back(*std::move(slot));
  }

  // One operation on both. What a task would do is done when it has run: so the order is the same.
  void DoOne(Scope& scope) {
    const int number = ++last_;
    switch (rng_.Below(has_places_ ? 8 : 5)) {
      case 0:
      case 1:
        tasks_.emplace(number, scope.Spawn(&Walk::Send, this, number, number));
        pending_ = [this, number] { model_.Send(number, number); };
        return;
      case 2:
        tasks_.emplace(number, scope.Spawn(&Walk::Receive, this, number));
        pending_ = [this, number] { model_.Receive(number); };
        return;
      case 3:
        EXPECT_EQ(channel_.TrySend(number).ok(), model_.TrySend(number));
        return;
      case 4:
        EXPECT_EQ(channel_.TryReceive(), model_.TryReceive());
        return;
      case 5:
        tasks_.emplace(number, scope.Spawn(&Walk::Reserve, this, number));
        pending_ = [this, number] { model_.Reserve(number); };
        return;
      case 6:
        if (std::optional<Slot> slot = channel_.TryReserve()) {
          EXPECT_TRUE(model_.TryReserve());
          slots_.push_back(*std::move(slot));
        } else {
          EXPECT_FALSE(model_.TryReserve());
        }
        return;
      case 7:
        if (!slots_.empty()) UseSlot();
        return;
    }
  }
  void UseSlot() {
    std::swap(slots_[rng_.Below(slots_.size())], slots_.back());
    Slot slot = std::move(slots_.back());
    slots_.pop_back();
    if (rng_.Below(3) == 0) return model_.DropSlot();
    EXPECT_TRUE(slot.Send(++last_).ok());
    model_.UseSlot(last_);
  }
  // Any that has not ended: it waits, or was handed something by what was just done, or has not begun.
  void StopOne() {
    if (tasks_.empty()) return;
    auto chosen = tasks_.begin();
    std::advance(chosen, static_cast<long>(rng_.Below(tasks_.size())));
    if (rng_.Below(2) == 0) chosen = std::prev(tasks_.end());
    const int task = chosen->first;
    chosen->second.RequestStop();
    if (pending_ && task == last_) {
      pending_ = nullptr;  // it finds its scope stopped
      not_begun_ = task;
    } else {
      model_.Stop(task);
    }
  }
  void Compare(int operation) {
    if (pending_) pending_();
    pending_ = nullptr;
    Ends expected = model_.ends();
    if (not_begun_ != 0) expected[not_begun_] = "stopped";
    for (const auto& [task, end] : expected) {
      if (tasks_.contains(task)) {
        EXPECT_EQ(ends_[task], end) << "task " << task << " after operation " << operation;
      }
    }
    for (const auto& [task, handle] : tasks_) {
      EXPECT_EQ(handle.Done(), expected.contains(task)) << "task " << task << " after operation " << operation;
    }
    EXPECT_EQ(channel_.size(), model_.size());
    EXPECT_EQ(channel_.reserved(), model_.reserved());
    EXPECT_EQ(channel_.waiting_senders(), model_.waiting_senders());
    EXPECT_EQ(channel_.waiting_receivers(), model_.waiting_receivers());
  }
  // Forgets who has ended.
  void Tidy() {
    std::erase_if(tasks_, [](const auto& entry) { return entry.second.Done(); });
    ends_.clear();
    not_begun_ = 0;
    model_.ForgetEnds();
  }

  internal::Rng rng_;
  std::vector<Slot> slots_;
  BasicChannel<int, Form> channel_;
  Model model_;
  const bool has_places_;
  int last_ = 0;
  int not_begun_ = 0;               // stopped before it ran
  std::function<void()> pending_;   // what the spawned task will have done
  std::map<int, TaskHandle<>> tasks_;
  Ends ends_;
};

template <class Form>
void WalkEverywhere() {
  for (uint64_t seed = 1; seed <= 100; ++seed) {
    SCOPED_TRACE(::testing::Message() << "seed " << seed);
    testing::InCalmSimulation([seed]() -> Task<> {
      Walk<Form> walk(seed, /*capacity=*/seed % 5);
      co_await walk.Go(/*operations=*/1000);
    });
  }
}

TEST(ChannelWalk, AHundredThousandRandomOperationsDoWhatTheModelSays) { WalkEverywhere<internal::OneLoop>(); }
TEST(SharedChannelWalk, AHundredThousandRandomOperationsDoWhatTheModelSays) { WalkEverywhere<internal::ManyLoops>(); }

}  // namespace
}  // namespace gyre
