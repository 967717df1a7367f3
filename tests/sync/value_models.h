// What oneshot, broadcast, watch and priority queue promise, in plain words: lists, numbers, and how each task ends.
//
// A model is told what happens, in the order in which it happens; nothing runs. value_walk_test.cc holds it beside the
// thing itself.
//
// Thread-safety: none.
#ifndef GYRE_TESTS_SYNC_VALUE_MODELS_H_
#define GYRE_TESTS_SYNC_VALUE_MODELS_H_

#include <cstddef>
#include <cstdint>
#include <deque>
#include <iterator>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <utility>

#include "gyre/runtime/internal/rng.h"

namespace gyre::testing {

using gyre::internal::Rng;

// How tasks have ended since the last burst, by number.
using Ends = std::map<int, std::string>;

// Plain words for what the primitive promises.
class Model {
 public:
  virtual ~Model() = default;
  // A stop that meets the task while it waits, or when it was woken and has not gone on yet.
  virtual void Stop(int task) = 0;
  virtual bool IsWoken(int task) const { return ends.contains(task); }
  // All that were woken go on.
  virtual void Settle() {}
  virtual void BeginBurst() {}

  Ends ends;

 protected:
  // Of one that was woken with nothing in its hands, a stop makes a stopped one.
  void StopWoken(int task, const std::set<std::string>& empty_handed) {
    const auto end = ends.find(task);
    if (end != ends.end() && empty_handed.contains(end->second)) end->second = "stopped";
  }
};

class OneshotModel final : public Model {
 public:
  void Receive(int task) {
    if (value.has_value()) return GiveTo(task);
    if (is_closed) {
      ends[task] = "closed";
    } else {
      waiting = task;
    }
  }
  // False: refused.
  bool Send(int sent) {
    if (is_closed) return false;
    is_sent = true;
    value = sent;
    if (waiting != 0) GiveTo(std::exchange(waiting, 0));
    return true;
  }
  std::optional<int> TryReceive() {
    is_received = is_received || value.has_value();
    return std::exchange(value, std::nullopt);
  }
  void CloseReceiver() {
    value.reset();
    Close();
  }
  void Close() {
    is_closed = true;
    if (waiting != 0) ends[std::exchange(waiting, 0)] = "closed";
  }
  void Stop(int task) override {
    if (waiting != task) return StopWoken(task, {"closed"});
    waiting = 0;
    ends[task] = "stopped";
  }
  bool is_over() const { return waiting == 0 && ends.empty() && (is_received || is_closed); }

  std::optional<int> value;
  int waiting = 0;  // the task
  bool is_sent = false;
  bool is_received = false;
  bool is_closed = false;

 private:
  void GiveTo(int task) { ends[task] = std::to_string(*TryReceive()); }
};

// Broadcast: each subscription has a list of its own, of which the front is dropped where it gets too long.
class BroadcastModel final : public Model {
 public:
  struct Member {
    std::deque<int> unheard;
    uint64_t missed = 0;
    int task = 0;          // that waits, or was woken
    bool is_used = false;  // in this burst
    bool is_woken = false;
  };

  explicit BroadcastModel(size_t items_kept) : kept(items_kept) {}
  void Receive(int task, Member& member) {
    member.is_used = true;
    member.task = task;
    if (!member.unheard.empty() || is_closed) Resume(member);
  }
  std::string Take(Member& member) {
    if (member.unheard.empty()) return "end";
    const std::string heard = std::to_string(member.unheard.front()) + " after " + std::to_string(member.missed);
    member.unheard.pop_front();
    member.missed = 0;
    return heard;
  }
  void Send(int item) {
    for (auto& [id, member] : members) {
      member.unheard.push_back(item);
      if (member.unheard.size() > kept) {
        member.unheard.pop_front();
        ++member.missed;
      }
    }
    WakeAll();
  }
  void Close() {
    is_closed = true;
    WakeAll();
  }
  void Stop(int task) override {
    for (auto& [id, member] : members) {
      if (member.task != task) continue;
      ends[task] = "stopped";
      member.task = 0;
      member.is_woken = false;
      member.is_used = true;
    }
  }
  bool IsWoken(int task) const override {
    for (const auto& [id, member] : members) {
      if (member.task == task) return member.is_woken;
    }
    return false;
  }
  void Settle() override {
    for (auto& [id, member] : members) {
      if (member.is_woken) Resume(member);
    }
  }
  void BeginBurst() override {
    for (auto& [id, member] : members) member.is_used = false;
  }
  // One at random that is nobody's; null if that one is somebody's.
  Member* Choose(Rng& rng, int& id) {
    if (members.empty()) return nullptr;
    const auto chosen = std::next(members.begin(), static_cast<long>(rng.Below(members.size())));
    id = chosen->first;
    return chosen->second.task == 0 && !chosen->second.is_used ? &chosen->second : nullptr;
  }
  bool is_over() const {
    for (const auto& [id, member] : members) {
      if (member.task != 0) return false;
    }
    return is_closed && ends.empty();
  }

  const size_t kept;
  bool is_closed = false;
  std::map<int, Member> members;

 private:
  void Resume(Member& member) {
    ends[std::exchange(member.task, 0)] = Take(member);
    member.is_woken = false;
  }
  void WakeAll() {
    for (auto& [id, member] : members) member.is_woken = member.task != 0;
  }
};

// Watch: the value is its version.
class WatchModel final : public Model {
 public:
  struct Member {
    int seen = 0;
    int task = 0;
    bool is_used = false;
  };

  void Changed(int task, Member& member) {
    member.is_used = true;
    member.task = task;
    See(member);
  }
  void Until(int task, int least) {
    untils[task] = least;
    SettleUntils();
  }
  void Stop(int task) override {
    if (untils.erase(task) != 0) ends[task] = "stopped";
    for (auto& [id, member] : members) {
      if (member.task != task) continue;
      ends[task] = "stopped";
      member.task = 0;
      member.is_used = true;
    }
  }
  bool IsWoken(int task) const override {
    for (const auto& [id, member] : members) {
      if (member.task == task) return HasChanged(member);
    }
    return false;
  }
  void Settle() override {
    SettleUntils();
    for (auto& [id, member] : members) {
      if (member.task != 0) See(member);
    }
  }
  void BeginBurst() override {
    for (auto& [id, member] : members) member.is_used = false;
  }
  Member* Choose(Rng& rng, int& id) {
    if (members.empty()) return nullptr;
    const auto chosen = std::next(members.begin(), static_cast<long>(rng.Below(members.size())));
    id = chosen->first;
    return chosen->second.task == 0 && !chosen->second.is_used ? &chosen->second : nullptr;
  }
  bool HasChanged(const Member& member) const { return member.seen != version || is_closed; }
  bool is_over() const {
    for (const auto& [id, member] : members) {
      if (member.task != 0) return false;
    }
    return is_closed && untils.empty() && ends.empty();
  }

  int version = 0;
  bool is_closed = false;
  std::map<int, Member> members;
  std::map<int, int> untils;  // task and value

 private:
  void See(Member& member) {
    if (!HasChanged(member)) return;
    ends[std::exchange(member.task, 0)] = member.seen != version ? "value " + std::to_string(version) : "closed";
    member.seen = version;
  }
  void SettleUntils() {
    std::erase_if(untils, [this](const auto& until) {
      if (version < until.second && !is_closed) return false;
      ends[until.first] = version >= until.second ? "until " + std::to_string(version) : "closed";
      return true;
    });
  }
};

// PriorityQueue: a sorted set. Items count up in their second part, so equal ones are in order of arrival.

using Item = std::pair<int, int>;
struct ByUrgency {
  bool operator()(const Item& a, const Item& b) const { return a.first < b.first; }
};
inline std::string Text(const std::optional<Item>& item) {
  return item.has_value() ? std::to_string(item->first) + "/" + std::to_string(item->second) : "end";
}

class QueueModel final : public Model {
 public:
  explicit QueueModel(size_t its_capacity) : capacity(its_capacity) {}

  void Put(int task, Item item) {
    if (is_shut_down) {
      ends[task] = "refused";
    } else if (putters.empty() && PutIn(item)) {
      ends[task] = "put";
    } else {
      putters.emplace_back(task, item);
    }
  }
  bool TryPut(Item item) { return !is_shut_down && putters.empty() && PutIn(item); }
  void Get(int task) {
    const std::optional<Item> item = TryGet();
    if (item.has_value() || is_shut_down) {
      ends[task] = Text(item);
    } else {
      getters.push_back(task);
    }
  }
  std::optional<Item> TryGet() {
    if (items.empty()) return std::nullopt;
    const Item item = *items.begin();
    items.erase(items.begin());
    ++given;
    while (!putters.empty() && PutIn(putters.front().second)) {
      ends[putters.front().first] = "put";
      putters.pop_front();
    }
    return item;
  }
  void Join(int task) {
    joiners.insert(task);
    SettleJoins();
  }
  void TaskDone() {
    --given;
    SettleJoins();
  }
  void ShutDown(bool is_now) {
    is_shut_down = true;
    for (const auto& [task, item] : putters) ends[task] = "refused";
    for (const int task : getters) ends[task] = "end";
    putters.clear();
    getters.clear();
    if (is_now) items.clear();
    SettleJoins();
  }
  void Stop(int task) override {
    const size_t left = std::erase(getters, task) + joiners.erase(task) +
                        std::erase_if(putters, [task](const auto& putter) { return putter.first == task; });
    if (left == 0) return StopWoken(task, {"end", "joined"});
    ends[task] = "stopped";
  }
  size_t unfinished() const { return items.size() + given; }
  bool is_over() const { return is_shut_down && unfinished() == 0 && ends.empty(); }

  size_t capacity;
  size_t given = 0;  // and not done
  bool is_shut_down = false;
  std::set<Item> items;
  std::deque<std::pair<int, Item>> putters;
  std::deque<int> getters;
  std::set<int> joiners;

 private:
  bool PutIn(Item item) {
    if (!getters.empty()) {
      ends[getters.front()] = Text(item);
      getters.pop_front();
      ++given;
    } else if (items.size() < capacity) {
      items.insert(item);
    } else {
      return false;
    }
    return true;
  }
  void SettleJoins() {
    if (unfinished() > 0) return;
    for (const int task : joiners) ends[task] = "joined";
    joiners.clear();
  }
};

}  // namespace gyre::testing

#endif  // GYRE_TESTS_SYNC_VALUE_MODELS_H_
