// Channel<T>, SharedChannel<T>: a queue of bounded length between tasks. Any number of them send, any number receive, and
// each item goes to one.
//
//   gyre::Channel<Job> jobs(64);
//   co_await gyre::Try(co_await jobs.Send(std::move(job)));              // waits while 64 are there
//   ...
//   const std::optional<Job> job = co_await jobs.Receive();             // std::nullopt: closed, and all is received
//   ...
//   jobs.Close();
//
// A channel of capacity 0 keeps nothing: a Send waits until a receiver takes the item.
//
// Fair: items come out in the order in which they got in, senders get in in the order in which they came, receivers get
// items in the order in which they came; nobody overtakes, also not TrySend or TryReceive. An item for which a receiver waits
// is that receiver's at once.
//
// Either side may be held by handles: Sender and Receiver. When the last Sender goes, the channel is closed; when the last
// Receiver goes, what is there is destroyed, and senders get their items back. A channel whose handles nobody asked for is closed
// only by Close. What a handle began ends with it: also a Send that was made before and is awaited after it.
//
// Thread-safety: Channel: one loop. SharedChannel: any thread; who waits resumes on its own loop. A handle or a slot belongs
//                to one thread at a time.
// Lifetime:      outlives its waiters, open handles and slots; to destroy it before is a check failure. Items that are left
//                are destroyed with it.
//                A Shared form outlives the waits that it has ended, too, until they resume (checked with GYRE_DEBUG_CHECKS).
// Cancellation:  a stopped Receive has taken nothing; one that had an item handed over delivers it. A stopped Send has sent
//                nothing, and its item dies with the await: where it must not, Reserve first and send through the slot, which
//                never waits. A Send that had its item taken, or refused, delivers that. A stopped Reserve keeps no place.
// Errors:        closed: Send gives kUnavailable and the item, Reserve kUnavailable. Reserve in a channel of capacity 0, which
//                has no places, is a check failure.
// Cost:          its memory is allocated by the constructor, later only 8 bytes for each handle; some 150 instructions an item on
//                one loop. A SharedChannel moves items while it holds its lock: their move must not use the same channel. T moves
//                without throwing, so that nothing gets lost half-way: hold others by std::unique_ptr.
#ifndef GYRE_SYNC_CHANNEL_H_
#define GYRE_SYNC_CHANNEL_H_

#include <coroutine>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <type_traits>
#include <utility>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "gyre/runtime/check.h"
#include "gyre/sync/internal/form.h"
#include "gyre/sync/internal/handle_table.h"
#include "gyre/sync/internal/ring.h"
#include "gyre/sync/send_result.h"

namespace gyre {

template <class T, class Form>
class BasicChannel;

// A place in a channel, kept for one item. Gives it up when it dies; moved from or used, it is empty.
template <class T, class Form>
class [[nodiscard]] BasicSlot {
 public:
  BasicSlot() = default;
  BasicSlot(BasicSlot&& other) noexcept : channel_(std::exchange(other.channel_, nullptr)) {}
  BasicSlot& operator=(BasicSlot&& other) noexcept {
    if (this == &other) return *this;
    Release();
    channel_ = std::exchange(other.channel_, nullptr);
    return *this;
  }
  ~BasicSlot() { Release(); }

  bool empty() const { return channel_ == nullptr; }
  // Uses the place up; never waits. Fails only where nobody can receive any more: also after Close there is a place for it.
  SendResult<T> Send(T item) {
    GYRE_CHECK(!empty(), "Slot::Send: it has been used, or moved from");
    return std::exchange(channel_, nullptr)->SendIntoSlot(std::move(item));
  }
  // Gives the place up now.
  void Release() {
    if (!empty()) std::exchange(channel_, nullptr)->DropSlot();
  }

 private:
  friend BasicChannel<T, Form>;
  explicit BasicSlot(BasicChannel<T, Form>& channel) : channel_(&channel) {}

  BasicChannel<T, Form>* channel_ = nullptr;
};

// What Sender and Receiver have in common: a number for the channel to know its waiters by.
template <class T, class Form>
class BasicChannelHandle {
 public:
  // Not closed, and not moved from.
  bool is_open() const { return id_ != kClosed; }

 protected:
  static constexpr uint64_t kNone = 0;            // of the channel's own calls
  static constexpr uint64_t kClosed = ~uint64_t{0};
  friend BasicChannel<T, Form>;

  BasicChannelHandle(BasicChannel<T, Form>& channel, uint64_t id) : channel_(&channel), id_(id) {}
  BasicChannelHandle(BasicChannelHandle&& other) noexcept
      : channel_(other.channel_), id_(std::exchange(other.id_, kClosed)) {}
  ~BasicChannelHandle() = default;

  BasicChannel<T, Form>* channel_;
  uint64_t id_;
};

// One of those who send. Closed by its end; who waits through it then is refused, the other senders go on.
template <class T, class Form>
class BasicSender : public BasicChannelHandle<T, Form> {
 public:
  BasicSender(BasicSender&&) noexcept = default;
  BasicSender& operator=(BasicSender&& other) noexcept {
    if (this == &other) return *this;
    Close();
    this->channel_ = other.channel_;
    this->id_ = std::exchange(other.id_, this->kClosed);
    return *this;
  }
  ~BasicSender() { Close(); }

  // As the channel's; once closed, they are refused.
  auto Send(T item) { return this->channel_->SendThrough(this->id_, std::move(item)); }
  SendResult<T> TrySend(T item) { return this->channel_->TrySendThrough(this->id_, std::move(item)); }
  auto Reserve() { return this->channel_->ReserveThrough(this->id_); }
  std::optional<BasicSlot<T, Form>> TryReserve() { return this->channel_->TryReserveThrough(this->id_); }

  // Idempotent. The last one closes the channel.
  void Close() {
    if (this->is_open()) this->channel_->CloseSender(std::exchange(this->id_, this->kClosed));
  }

 private:
  friend BasicChannel<T, Form>;
  using BasicChannelHandle<T, Form>::BasicChannelHandle;
};

// One of those who receive. Closed by its end; who waits through it then gets std::nullopt, the other receivers go on.
template <class T, class Form>
class BasicReceiver : public BasicChannelHandle<T, Form> {
 public:
  BasicReceiver(BasicReceiver&&) noexcept = default;
  BasicReceiver& operator=(BasicReceiver&& other) noexcept {
    if (this == &other) return *this;
    Close();
    this->channel_ = other.channel_;
    this->id_ = std::exchange(other.id_, this->kClosed);
    return *this;
  }
  ~BasicReceiver() { Close(); }

  // As the channel's; once closed, they give std::nullopt.
  auto Receive() { return this->channel_->ReceiveThrough(this->id_); }
  std::optional<T> TryReceive() { return this->channel_->TryReceiveThrough(this->id_); }

  // Idempotent. The last one closes the channel, and what is left in it is destroyed: to receive that first, call the channel's
  // Close and Receive until the end.
  void Close() {
    if (this->is_open()) this->channel_->CloseReceiver(std::exchange(this->id_, this->kClosed));
  }

 private:
  friend BasicChannel<T, Form>;
  using BasicChannelHandle<T, Form>::BasicChannelHandle;
};

template <class T, class Form>
class BasicChannel {
  static_assert(std::is_object_v<T> && std::is_nothrow_move_constructible_v<T>,
                "gyre: what a Channel carries must move without throwing, or it could get lost half-way: use std::unique_ptr");

 public:
  using Slot = BasicSlot<T, Form>;
  using Sender = BasicSender<T, Form>;
  using Receiver = BasicReceiver<T, Form>;

  // How many items and slots it has places for.
  explicit BasicChannel(size_t capacity) : capacity_(capacity), items_(capacity) {}
  BasicChannel(const BasicChannel&) = delete;
  BasicChannel& operator=(const BasicChannel&) = delete;
  ~BasicChannel() {
    GYRE_CHECK(entrants_.empty() && receivers_.empty(), "a Channel was destroyed while a task waits for it");
    GYRE_CHECK(reserved_ == 0, "a Channel was destroyed while a Slot of it is held");
    GYRE_CHECK(open_senders_ == 0 && open_receivers_ == 0, "a Channel was destroyed while a Sender or Receiver of it is open");
  }

  // co_await: a SendResult<T>.
  auto Send(T item) { return SendThrough(Handle::kNone, std::move(item)); }
  // Not sent where Send would wait.
  SendResult<T> TrySend(T item) { return TrySendThrough(Handle::kNone, std::move(item)); }
  // co_await: an absl::StatusOr<Slot>, as soon as there is a place for one more.
  auto Reserve() { return ReserveThrough(Handle::kNone); }
  // Empty where Reserve would wait or fail.
  std::optional<Slot> TryReserve() { return TryReserveThrough(Handle::kNone); }

  // co_await: an item as std::optional<T>; std::nullopt when nothing will come any more.
  auto Receive() { return ReceiveThrough(Handle::kNone); }
  // std::nullopt where Receive would wait, and at the end: see is_at_end.
  std::optional<T> TryReceive() { return TryReceiveThrough(Handle::kNone); }

  // For either side: who waits to send is refused, now and later. What is there, and what slots still bring, is received.
  // Idempotent.
  void Close() {
    Section section(form_);
    CheckHome();
    CloseSending(section);
  }

  // A handle. In a closed channel it is there, and of no use.
  Sender NewSender() {
    Section section(form_);
    CheckHome();
    const uint64_t handle = handles_.Open();  // throws, if anything does, before it counts
    ++open_senders_;
    return Sender(*this, handle);
  }
  Receiver NewReceiver() {
    Section section(form_);
    CheckHome();
    const uint64_t handle = handles_.Open();
    ++open_receivers_;
    return Receiver(*this, handle);
  }

  size_t capacity() const { return capacity_; }
  // Of now: in a SharedChannel a moment later it may be otherwise.
  size_t size() const { return Read([this] { return items_.size(); }); }
  size_t reserved() const { return Read([this] { return reserved_; }); }
  size_t waiting_senders() const { return Read([this] { return entrants_.size(); }); }
  size_t waiting_receivers() const { return Read([this] { return receivers_.size(); }); }
  bool is_closed() const { return Read([this] { return is_closed_; }); }
  // Closed and empty, and no slot can bring any more.
  bool is_at_end() const { return Read([this] { return IsAtEnd(); }); }

 private:
  using Section = internal::Section<Form>;
  using Waiter = internal::Waiter<Form>;
  using Handle = BasicChannelHandle<T, Form>;
  friend Slot;
  friend Sender;
  friend Receiver;

  // Who waits to get in: with an item, or for a slot.
  class Entrant : public Waiter {
   protected:
    Entrant(BasicChannel& channel, uint64_t handle) : channel_(channel), handle_(handle) {}
    ~Entrant() = default;

    BasicChannel& channel_;  // gone, maybe, when the wait is over
    const uint64_t handle_;
    T* item_ = nullptr;  // null: it wants a slot
    bool is_refused_ = false;

   private:
    friend BasicChannel;
    void OnStop() noexcept final {
      if (channel_.Withdraw(*this)) this->CompleteStopped();
    }
    std::string WaitsFor() const final { return "room in a Channel"; }
  };

  class [[nodiscard]] SendWaiter final : public Entrant {
   public:
    SendWaiter(BasicChannel& channel, uint64_t handle, T&& item) : Entrant(channel, handle), kept_(std::move(item)) {
      this->item_ = &kept_;
    }

    template <class P>
    [[gnu::always_inline]] bool await_suspend(std::coroutine_handle<P> awaiting) {
      return this->Suspend(awaiting, [this] { return this->channel_.EnterOrQueue(*this); });
    }
    SendResult<T> await_resume() {
      if (this->is_refused_) [[unlikely]] return RefusedBecauseClosed(std::move(kept_));
      return SendResult<T>();
    }

   private:
    bool Undo() noexcept override { return false; }  // it is sent, or has to be given back

    T kept_;
  };

  class [[nodiscard]] ReserveWaiter final : public Entrant {
   public:
    ReserveWaiter(BasicChannel& channel, uint64_t handle) : Entrant(channel, handle) {}

    template <class P>
    [[gnu::always_inline]] bool await_suspend(std::coroutine_handle<P> awaiting) {
      return this->Suspend(awaiting, [this] { return this->channel_.EnterOrQueue(*this); });
    }
    absl::StatusOr<Slot> await_resume() {
      if (this->is_refused_) return absl::UnavailableError(kClosedText);
      return Slot(this->channel_);
    }

   private:
    bool Undo() noexcept override {
      if (!this->is_refused_) this->channel_.DropSlot();
      return true;
    }
  };

  class [[nodiscard]] ReceiveWaiter final : public Waiter {
   public:
    ReceiveWaiter(BasicChannel& channel, uint64_t handle) : channel_(channel), handle_(handle) {}

    template <class P>
    [[gnu::always_inline]] bool await_suspend(std::coroutine_handle<P> awaiting) {
      return this->Suspend(awaiting, [this] { return channel_.TakeOrQueue(*this); });
    }
    std::optional<T> await_resume() { return std::move(item_); }

   private:
    friend BasicChannel;
    void OnStop() noexcept override {
      if (channel_.Withdraw(*this)) this->CompleteStopped();
    }
    std::string WaitsFor() const override { return "an item of a Channel"; }
    bool Undo() noexcept override { return !item_.has_value(); }  // an item is delivered

    BasicChannel& channel_;  // gone, maybe, when the wait is over
    const uint64_t handle_;
    std::optional<T> item_;
  };

  class [[nodiscard]] SendOperation {
   public:
    SendOperation(BasicChannel& channel, uint64_t handle, T&& item)
        : channel_(channel), handle_(handle), item_(std::move(item)) {}
    SendWaiter operator co_await() && { return SendWaiter(channel_, handle_, std::move(item_)); }

   private:
    BasicChannel& channel_;
    const uint64_t handle_;
    T item_;
  };

  template <class LeafType>
  class [[nodiscard]] Operation {
   public:
    Operation(BasicChannel& channel, uint64_t handle) : channel_(channel), handle_(handle) {}
    LeafType operator co_await() && { return LeafType(channel_, handle_); }

   private:
    BasicChannel& channel_;
    const uint64_t handle_;
  };

  static constexpr char kClosedText[] = "the channel is closed";
  static SendResult<T> RefusedBecauseClosed(T&& item) { return SendResult<T>::Closed(std::move(item), kClosedText); }

  template <class F>
  auto Read(F read) const {
    Section section(form_);
    return read();
  }
  void CheckHome() { form_.CheckHome("a Channel", !entrants_.empty() || !receivers_.empty(), reserved_ != 0); }

  // What the channel and its handles offer.
  SendOperation SendThrough(uint64_t handle, T&& item) { return SendOperation(*this, handle, std::move(item)); }
  SendResult<T> TrySendThrough(uint64_t handle, T&& item);
  Operation<ReserveWaiter> ReserveThrough(uint64_t handle) {
    CheckHasPlaces();
    return Operation<ReserveWaiter>(*this, handle);
  }
  std::optional<Slot> TryReserveThrough(uint64_t handle);
  Operation<ReceiveWaiter> ReceiveThrough(uint64_t handle) { return Operation<ReceiveWaiter>(*this, handle); }
  std::optional<T> TryReceiveThrough(uint64_t handle);
  void CheckHasPlaces() const { GYRE_CHECK(capacity_ != 0, "Channel::Reserve: a channel of capacity 0 has no places"); }

  SendResult<T> SendIntoSlot(T&& item);
  void DropSlot();
  void CloseSender(uint64_t handle);
  void CloseReceiver(uint64_t handle);

  // True if the wait is over.
  bool EnterOrQueue(SendWaiter& sender);
  bool EnterOrQueue(ReserveWaiter& entrant);
  bool TakeOrQueue(ReceiveWaiter& receiver);
  // For a stop: false if the end of the wait is under way already.
  bool Withdraw(Entrant& entrant);
  bool Withdraw(ReceiveWaiter& receiver);

  // The rest is inside a Section.
  bool HasPlace() const { return items_.size() + reserved_ < capacity_; }
  bool IsAtEnd() const { return is_closed_ && items_.empty() && (reserved_ == 0 || is_abandoned_); }
  // Of an operation: its handle may have been closed since it was made.
  bool IsOfClosedHandle(uint64_t handle) const {
    return handle != Handle::kNone && (handle == Handle::kClosed || !handles_.IsOpen(handle));
  }
  bool IsRefused(uint64_t handle) const { return is_closed_ || IsOfClosedHandle(handle); }
  Entrant* FirstEntrant() const { return static_cast<Entrant*>(entrants_.front()); }
  // False if there is no room: `item` is as it was.
  bool PutIn(Section& section, T& item);
  // False if there is nothing.
  bool TakeOut(Section& section, std::optional<T>& item);
  // To the receiver that has waited longest. There is one.
  [[gnu::noinline]] void HandOver(Section& section, T& item);
  // Whoever of those that wait has room now, in order of arrival.
  [[gnu::noinline]] void LetIn(Section& section);
  void CloseSending(Section& section);
  void Refuse(Section& section, Entrant& entrant);
  [[gnu::noinline]] void EndReceivers(Section& section);

  [[no_unique_address]] mutable Form form_;
  const size_t capacity_;
  internal::Ring<T> items_;
  size_t reserved_ = 0;  // slots held, or handed over to one that has not resumed yet
  bool is_closed_ = false;
  bool is_abandoned_ = false;  // the last receiver has gone: closed, and items_ has no memory any more
  size_t open_senders_ = 0;    // handles
  size_t open_receivers_ = 0;
  internal::HandleTable handles_;
  internal::WaitQueue<Form> entrants_;
  internal::WaitQueue<Form> receivers_;  // while one waits, there is no item, and the first entrant, if any, wants a slot
};

template <class T>
using Channel = BasicChannel<T, internal::OneLoop>;
template <class T>
using SharedChannel = BasicChannel<T, internal::ManyLoops>;

// Implementation

template <class T, class Form>
bool BasicChannel<T, Form>::PutIn(Section& section, T& item) {
  if (!receivers_.empty()) {
    HandOver(section, item);
    return true;
  }
  if (!HasPlace()) return false;
  items_.PushBack(std::move(item));
  return true;
}

template <class T, class Form>
bool BasicChannel<T, Form>::TakeOut(Section& section, std::optional<T>& item) {
  if (!items_.empty()) [[likely]] {
    item.emplace(std::move(items_.front()));
    items_.DropFront();
    if (!entrants_.empty()) LetIn(section);
    return true;
  }
  Entrant* const first = FirstEntrant();
  if (first == nullptr || first->item_ == nullptr) return false;
  item.emplace(std::move(*first->item_));
  entrants_.PopFront();
  section.Wake(*first);
  return true;
}

template <class T, class Form>
void BasicChannel<T, Form>::HandOver(Section& section, T& item) {
  ReceiveWaiter& receiver = static_cast<ReceiveWaiter&>(*receivers_.PopFront());
  receiver.item_.emplace(std::move(item));
  section.Wake(receiver);
}

template <class T, class Form>
void BasicChannel<T, Form>::LetIn(Section& section) {
  while (Entrant* const first = FirstEntrant()) {
    if (first->item_ != nullptr) {
      if (!PutIn(section, *first->item_)) return;
    } else {
      if (!HasPlace()) return;
      ++reserved_;
    }
    entrants_.PopFront();
    section.Wake(*first);
  }
}

template <class T, class Form>
void BasicChannel<T, Form>::Refuse(Section& section, Entrant& entrant) {
  entrants_.Withdraw(entrant);
  entrant.is_refused_ = true;
  section.Wake(entrant);
}

template <class T, class Form>
void BasicChannel<T, Form>::CloseSending(Section& section) {
  is_closed_ = true;
  while (Entrant* const first = FirstEntrant()) Refuse(section, *first);
  if (IsAtEnd()) EndReceivers(section);
}

template <class T, class Form>
void BasicChannel<T, Form>::EndReceivers(Section& section) {
  while (Waiter* const receiver = receivers_.PopFront()) section.Wake(*receiver);
}

template <class T, class Form>
bool BasicChannel<T, Form>::EnterOrQueue(SendWaiter& sender) {
  Section section(form_);
  CheckHome();
  if (IsRefused(sender.handle_)) [[unlikely]] return sender.is_refused_ = true;
  if (entrants_.empty() && PutIn(section, *sender.item_)) return true;
  entrants_.PushBack(sender);
  return false;
}

template <class T, class Form>
bool BasicChannel<T, Form>::EnterOrQueue(ReserveWaiter& entrant) {
  Section section(form_);
  CheckHome();
  if (IsRefused(entrant.handle_)) [[unlikely]] return entrant.is_refused_ = true;
  if (entrants_.empty() && HasPlace()) {
    ++reserved_;
    return true;
  }
  entrants_.PushBack(entrant);
  return false;
}

template <class T, class Form>
bool BasicChannel<T, Form>::TakeOrQueue(ReceiveWaiter& receiver) {
  Section section(form_);
  CheckHome();
  if (IsOfClosedHandle(receiver.handle_)) [[unlikely]] return true;
  if (TakeOut(section, receiver.item_) || IsAtEnd()) return true;
  receivers_.PushBack(receiver);
  return false;
}

template <class T, class Form>
SendResult<T> BasicChannel<T, Form>::TrySendThrough(uint64_t handle, T&& item) {
  Section section(form_);
  CheckHome();
  if (IsRefused(handle)) [[unlikely]] return RefusedBecauseClosed(std::move(item));
  if (entrants_.empty() && PutIn(section, item)) return SendResult<T>();
  return SendResult<T>::Full(std::move(item), "the channel is full");
}

template <class T, class Form>
auto BasicChannel<T, Form>::TryReserveThrough(uint64_t handle) -> std::optional<Slot> {
  CheckHasPlaces();
  Section section(form_);
  CheckHome();
  if (IsRefused(handle) || !entrants_.empty() || !HasPlace()) return std::nullopt;
  ++reserved_;
  return Slot(*this);
}

template <class T, class Form>
std::optional<T> BasicChannel<T, Form>::TryReceiveThrough(uint64_t handle) {
  Section section(form_);
  CheckHome();
  std::optional<T> item;
  if (!IsOfClosedHandle(handle)) TakeOut(section, item);
  return item;
}

template <class T, class Form>
SendResult<T> BasicChannel<T, Form>::SendIntoSlot(T&& item) {
  Section section(form_);
  CheckHome();
  --reserved_;
  if (is_abandoned_) [[unlikely]] return RefusedBecauseClosed(std::move(item));
  PutIn(section, item);
  if (!entrants_.empty()) LetIn(section);  // it may have needed no place
  if (IsAtEnd()) EndReceivers(section);
  return SendResult<T>();
}

template <class T, class Form>
void BasicChannel<T, Form>::DropSlot() {
  Section section(form_);
  CheckHome();
  --reserved_;
  LetIn(section);
  if (IsAtEnd()) EndReceivers(section);
}

template <class T, class Form>
void BasicChannel<T, Form>::CloseSender(uint64_t handle) {
  Section section(form_);
  CheckHome();
  handles_.Close(handle);
  if (--open_senders_ == 0) return CloseSending(section);
  Waiter* next;
  for (Waiter* waiter = entrants_.front(); waiter != nullptr; waiter = next) {
    next = entrants_.After(*waiter);
    if (static_cast<Entrant*>(waiter)->handle_ == handle) Refuse(section, static_cast<Entrant&>(*waiter));
  }
  LetIn(section);  // those behind them may want less
}

template <class T, class Form>
void BasicChannel<T, Form>::CloseReceiver(uint64_t handle) {
  internal::Ring<T> left;  // destroyed outside of the section: an item's destructor may use the channel
  Section section(form_);
  CheckHome();
  handles_.Close(handle);
  if (--open_receivers_ == 0) {
    is_abandoned_ = true;
    items_.Swap(left);
    CloseSending(section);
    return EndReceivers(section);
  }
  Waiter* next;
  for (Waiter* waiter = receivers_.front(); waiter != nullptr; waiter = next) {
    next = receivers_.After(*waiter);
    if (static_cast<ReceiveWaiter*>(waiter)->handle_ != handle) continue;
    receivers_.Withdraw(*waiter);
    section.Wake(*waiter);
  }
}

template <class T, class Form>
bool BasicChannel<T, Form>::Withdraw(Entrant& entrant) {
  Section section(form_);
  if (!entrants_.Withdraw(entrant)) return false;
  LetIn(section);  // those behind it may want less
  return true;
}

template <class T, class Form>
bool BasicChannel<T, Form>::Withdraw(ReceiveWaiter& receiver) {
  Section section(form_);
  return receivers_.Withdraw(receiver);
}

}  // namespace gyre

#endif  // GYRE_SYNC_CHANNEL_H_
