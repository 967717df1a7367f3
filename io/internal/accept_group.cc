#include "gyre/io/internal/accept_group.h"

#include <new>

namespace gyre::internal {
namespace {

// A member keeps what it accepts while it has at most 1.25 times the mean and 8 more: the kernel's hash is even enough
// as a rule, and a connection that is moved costs two messages.
constexpr int64_t kSlack = 8;
constexpr int kAcceptsBetweenLooks = 64;

// The child of the receiver's scope.
class TakeOver {
 public:
  TakeOver(ConnectionTaker& taker, GroupMember& member) : taker_(&taker), member_(&member) {}

  Task<absl::Status> operator()(std::shared_ptr<Shipment> shipment) {
    shipment->Arrive();
    count_ = LiveCount(*member_);
    return taker_->TakeOver(std::move(shipment->connection));
  }

 private:
  ConnectionTaker* taker_;
  GroupMember* member_;
  LiveCount count_;
};

}  // namespace

Shipment::Shipment(GroupMember& to) : to_(to) { to_.received_.fetch_add(1, std::memory_order_relaxed); }

Shipment::~Shipment() {
  if (!has_arrived_) to_.received_.fetch_sub(1, std::memory_order_relaxed);
}

LiveCount::~LiveCount() {
  if (member_ != nullptr) member_->AddLive(-1);
}

void GroupMember::Open(Scope& scope, ConnectionTaker& taker) {
  RemoteScope remote(scope);
  const std::lock_guard lock(mutex_);
  scope_ = std::move(remote);
  taker_ = &taker;
  is_open_.store(true, std::memory_order_relaxed);
}

void GroupMember::Close() {
  const std::lock_guard lock(mutex_);
  is_open_.store(false, std::memory_order_relaxed);
  taker_ = nullptr;
  scope_.reset();
}

bool GroupMember::Send(const std::shared_ptr<Shipment>& shipment) noexcept try {
  const std::lock_guard lock(mutex_);
  return taker_ != nullptr && scope_->Spawn(TakeOver(*taker_, *this), shipment);
} catch (const std::bad_alloc&) {
  return false;
}

GroupMember* GroupMember::Choose() {
  switch (group_.balance()) {
    case AcceptBalance::kCorrected:
      return group_.size() > 1 ? Lighter() : nullptr;
    case AcceptBalance::kExact:
      return Lightest();
    case AcceptBalance::kKernel:
    case AcceptBalance::kCpu:
      break;
  }
  return nullptr;
}

// The lighter of two others, if this one has too many.
GroupMember* GroupMember::Lighter() {
  const int64_t own = connections() + 1;
  if (own <= limit_ && --until_look_ > 0) return nullptr;
  until_look_ = kAcceptsBetweenLooks;
  limit_ = Limit();
  if (own <= limit_) return nullptr;
  GroupMember* lighter = nullptr;
  for (int tries = 0; tries < 2; ++tries) {
    const size_t ahead = 1 + rng_.Below(group_.size() - 1);
    GroupMember& other = group_.member((index_ + ahead) % group_.size());
    if (!other.is_open()) continue;
    if (lighter == nullptr || other.connections() < lighter->connections()) lighter = &other;
  }
  return lighter != nullptr && lighter->connections() + 1 < own ? lighter : nullptr;
}

// 1.25 times the mean of those that serve, with one connection more, and the slack.
int64_t GroupMember::Limit() const {
  int64_t sum = 1;
  int64_t count = 0;
  for (size_t i = 0; i < group_.size(); ++i) {
    const GroupMember& member = group_.member(i);
    if (!member.is_open()) continue;
    sum += member.connections();
    ++count;
  }
  return count == 0 ? kSlack : 5 * sum / (4 * count) + kSlack;
}

GroupMember* GroupMember::Lightest() {
  GroupMember* lightest = this;
  for (size_t i = 0; i < group_.size(); ++i) {
    GroupMember& member = group_.member(i);
    if (member.is_open() && member.connections() < lightest->connections()) lightest = &member;
  }
  return lightest == this ? nullptr : lightest;
}

AcceptGroup::AcceptGroup(size_t members, AcceptBalance balance) : balance_(balance) {
  for (size_t i = 0; i < members; ++i) members_.push_back(std::make_unique<GroupMember>(*this, i));
}

}  // namespace gyre::internal
