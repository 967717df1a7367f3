// Oneshot<T>, SharedOneshot<T>: a value that is sent once and received once.
//
//   gyre::Oneshot<int> answer;
//   scope.Spawn(Compute, answer.NewSender());                  // Task<> Compute(gyre::Oneshot<int>::Sender to)
//   absl::StatusOr<int> value = co_await answer.Receive();     // kUnavailable: that ended without sending
//
// What sends may hold a Sender, what receives a Receiver: their end tells the other side.
//
// Thread-safety: Oneshot: one loop. SharedOneshot: any thread; who waits resumes on its own loop. A handle belongs to one thread
//                at a time.
// Lifetime:      outlives its waiter and its handles; to destroy it before is a check failure. A value that nobody received is
//                destroyed with it.
//                A Shared form outlives the waits that it has ended, too, until they resume (checked with GYRE_DEBUG_CHECKS).
// Cancellation:  a stopped Receive has taken nothing, and may be tried again; one that had the value handed over delivers it.
// Errors:        Receive: kUnavailable once the sender has gone unsent, or the Receiver has gone, also where the Receive was
//                made by it before; where T is a status or an absl::StatusOr, it is that status. Send gives the value back
//                once the receiver has gone. To send twice, to receive twice, or two handles of a kind: check failures.
// Cost:          no allocation. T moves without throwing.
#ifndef GYRE_SYNC_ONESHOT_H_
#define GYRE_SYNC_ONESHOT_H_

#include <coroutine>
#include <optional>
#include <string>
#include <type_traits>
#include <utility>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "gyre/runtime/check.h"
#include "gyre/sync/internal/form.h"
#include "gyre/sync/send_result.h"

namespace gyre {
namespace internal {

// What Receive gives: a status only once.
template <class T>
struct OneshotResult {
  using Type = absl::StatusOr<T>;
};
template <class T>
struct OneshotResult<absl::StatusOr<T>> {
  using Type = absl::StatusOr<T>;
};
template <>
struct OneshotResult<absl::Status> {
  using Type = absl::Status;
};

}  // namespace internal

template <class T, class Form>
class BasicOneshot;

// Closes its side when it dies; moved from or used, it is empty.
template <class T, class Form>
class BasicOneshotSender {
 public:
  BasicOneshotSender(BasicOneshotSender&& other) noexcept : oneshot_(std::exchange(other.oneshot_, nullptr)) {}
  BasicOneshotSender& operator=(BasicOneshotSender&&) = delete;
  ~BasicOneshotSender() { Close(); }

  // As Oneshot::Send. Empties the handle.
  SendResult<T> Send(T value) {
    GYRE_CHECK(oneshot_ != nullptr, "Oneshot::Sender::Send: it has been used, or moved from");
    return std::exchange(oneshot_, nullptr)->SendThrough(std::move(value));
  }
  // Nothing will be sent.
  void Close() {
    if (oneshot_ != nullptr) std::exchange(oneshot_, nullptr)->CloseSender();
  }

 private:
  friend BasicOneshot<T, Form>;
  explicit BasicOneshotSender(BasicOneshot<T, Form>& oneshot) : oneshot_(&oneshot) {}
  BasicOneshot<T, Form>* oneshot_;
};

template <class T, class Form>
class BasicOneshotReceiver {
 public:
  BasicOneshotReceiver(BasicOneshotReceiver&& other) noexcept : oneshot_(std::exchange(other.oneshot_, nullptr)) {}
  BasicOneshotReceiver& operator=(BasicOneshotReceiver&&) = delete;
  ~BasicOneshotReceiver() { Close(); }

  // As Oneshot's.
  auto Receive() { return Open().Receive(); }
  std::optional<T> TryReceive() { return Open().TryReceive(); }
  // Nothing will be received: a value that is there is destroyed.
  void Close() {
    if (oneshot_ != nullptr) std::exchange(oneshot_, nullptr)->CloseReceiver();
  }

 private:
  friend BasicOneshot<T, Form>;
  explicit BasicOneshotReceiver(BasicOneshot<T, Form>& oneshot) : oneshot_(&oneshot) {}
  BasicOneshot<T, Form>& Open() {
    GYRE_CHECK(oneshot_ != nullptr, "Oneshot::Receiver::Receive: it has been closed, or moved from");
    return *oneshot_;
  }
  BasicOneshot<T, Form>* oneshot_;
};

template <class T, class Form>
class BasicOneshot {
  static_assert(std::is_object_v<T> && std::is_nothrow_move_constructible_v<T>,
                "gyre: what a Oneshot carries must move without throwing: use std::unique_ptr");

 public:
  using Sender = BasicOneshotSender<T, Form>;
  using Receiver = BasicOneshotReceiver<T, Form>;

  BasicOneshot() = default;
  BasicOneshot(const BasicOneshot&) = delete;
  BasicOneshot& operator=(const BasicOneshot&) = delete;
  ~BasicOneshot() {
    GYRE_CHECK(waiters_.empty(), "a Oneshot was destroyed while a task waits for it");
    GYRE_CHECK(!has_sender_ && !has_receiver_, "a Oneshot was destroyed while its Sender or Receiver is open");
  }

  // Never waits. Fails only once the receiver has gone.
  SendResult<T> Send(T value) {
    Section section(form_);
    CheckHome();
    return SendInside(section, std::move(value));
  }
  // co_await: absl::StatusOr<T>; T, where that is a status or absl::StatusOr itself.
  auto Receive() { return ReceiveOperation(*this); }
  // std::nullopt where Receive would wait or fail.
  std::optional<T> TryReceive() {
    Section section(form_);
    CheckHome();
    std::optional<T> value;
    if (value_.has_value()) Give(value);
    return value;
  }
  // For either side: nothing will be sent any more; what was sent is received. Idempotent.
  void Close() {
    Section section(form_);
    CheckHome();
    CloseInside(section);
  }

  Sender NewSender() {
    Section section(form_);
    CheckHome();
    GYRE_CHECK(!std::exchange(has_sender_, true), "Oneshot::NewSender: it has one");
    return Sender(*this);
  }
  Receiver NewReceiver() {
    Section section(form_);
    CheckHome();
    GYRE_CHECK(!std::exchange(has_receiver_, true), "Oneshot::NewReceiver: it has one");
    return Receiver(*this);
  }

  bool is_sent() const {
    Section section(form_);
    return is_sent_;
  }

 private:
  using Section = internal::Section<Form>;
  friend Sender;
  friend Receiver;

  using Received = typename internal::OneshotResult<T>::Type;

  class [[nodiscard]] ReceiveWaiter final : public internal::Waiter<Form> {
   public:
    explicit ReceiveWaiter(BasicOneshot& oneshot) : oneshot_(oneshot) {}

    template <class P>
    bool await_suspend(std::coroutine_handle<P> awaiting) {
      return this->Suspend(awaiting, [this] { return oneshot_.TakeOrQueue(*this); });
    }
    Received await_resume() {
      return value_.has_value() ? Received(*std::move(value_)) : Received(absl::UnavailableError(kClosedText));
    }

   private:
    friend BasicOneshot;
    void OnStop() noexcept override {
      if (oneshot_.Withdraw(*this)) this->CompleteStopped();
    }
    std::string WaitsFor() const override { return "the value of a Oneshot"; }
    bool Undo() noexcept override { return !value_.has_value(); }  // a value is delivered

    BasicOneshot& oneshot_;  // gone, maybe, when the wait is over
    std::optional<T> value_;
  };

  class [[nodiscard]] ReceiveOperation {
   public:
    explicit ReceiveOperation(BasicOneshot& oneshot) : oneshot_(oneshot) {}
    ReceiveWaiter operator co_await() && { return ReceiveWaiter(oneshot_); }

   private:
    BasicOneshot& oneshot_;
  };

  static constexpr char kClosedText[] = "the oneshot was closed before its value was received";

  void CheckHome() { form_.CheckHome("a Oneshot", !waiters_.empty(), /*is_in_use=*/false); }

  SendResult<T> SendInside(Section& section, T&& value) {
    GYRE_CHECK(!is_sent_, "Oneshot::Send: a value was sent before");
    if (is_closed_) return SendResult<T>::Closed(std::move(value), "the oneshot is closed");
    is_sent_ = true;
    value_.emplace(std::move(value));
    WakeWaiter(section);
    return SendResult<T>();
  }
  // There is a value.
  void MoveOut(std::optional<T>& to) {
    to.emplace(std::move(*value_));
    value_.reset();
  }
  void Give(std::optional<T>& receiver) {
    is_received_ = true;
    MoveOut(receiver);
  }
  void CloseInside(Section& section) {
    is_closed_ = true;
    WakeWaiter(section);
  }
  void WakeWaiter(Section& section) {
    internal::Waiter<Form>* const waiter = waiters_.PopFront();
    if (waiter == nullptr) return;
    if (value_.has_value()) Give(static_cast<ReceiveWaiter*>(waiter)->value_);
    section.Wake(*waiter);
  }

  SendResult<T> SendThrough(T&& value) {
    Section section(form_);
    CheckHome();
    has_sender_ = false;
    return SendInside(section, std::move(value));
  }
  void CloseSender() {
    Section section(form_);
    CheckHome();
    has_sender_ = false;
    CloseInside(section);
  }
  void CloseReceiver() {
    std::optional<T> left;  // destroyed outside of the section
    Section section(form_);
    CheckHome();
    has_receiver_ = false;
    if (value_.has_value()) MoveOut(left);
    CloseInside(section);
  }

  // True if the wait is over.
  bool TakeOrQueue(ReceiveWaiter& waiter) {
    Section section(form_);
    CheckHome();
    GYRE_CHECK(!is_received_, "Oneshot::Receive: its value was received before");
    GYRE_CHECK(waiters_.empty(), "Oneshot::Receive: another task waits for the value");
    if (value_.has_value()) Give(waiter.value_);
    if (waiter.value_.has_value() || is_closed_) return true;
    waiters_.PushBack(waiter);
    return false;
  }
  bool Withdraw(ReceiveWaiter& waiter) {
    Section section(form_);
    return waiters_.Withdraw(waiter);
  }

  [[no_unique_address]] mutable Form form_;
  std::optional<T> value_;  // sent, and not received
  bool is_sent_ = false;
  bool is_received_ = false;
  bool is_closed_ = false;
  bool has_sender_ = false;  // handles
  bool has_receiver_ = false;
  internal::WaitQueue<Form> waiters_;  // one at most
};

template <class T>
using Oneshot = BasicOneshot<T, internal::OneLoop>;
template <class T>
using SharedOneshot = BasicOneshot<T, internal::ManyLoops>;

}  // namespace gyre

#endif  // GYRE_SYNC_ONESHOT_H_
