// InjectionQueue: jobs on their way from any thread to any of a pool's: a bounded ring without locks, and a line behind
// it for what does not fit.
//
// The ring is Dmitry Vyukov's bounded queue, with one addition: who takes a cell's job, by popping or by revoking,
// takes it by an exchange, so that exactly one of them has it. A revoked job leaves an empty cell, which is skipped.
//
// Thread-safety: any thread.
// Lifetime:      must be empty when it dies; a job belongs to the queue until Pop or Revoke gives it back.
// Cost:          Push and Pop are each a compare-exchange and one or two exchanges; a lock only while the ring is full.
#ifndef GYRE_RUNTIME_OFFLOAD_INTERNAL_INJECTION_QUEUE_H_
#define GYRE_RUNTIME_OFFLOAD_INTERNAL_INJECTION_QUEUE_H_

#include <atomic>
#include <cstddef>
#include <memory>
#include <mutex>

#include "gyre/runtime/internal/intrusive_list.h"
#include "gyre/runtime/offload/executor.h"

namespace gyre::internal {

class InjectionQueue {
 public:
  // The ring's size is `capacity` rounded up to a power of two, at least 2.
  explicit InjectionQueue(size_t capacity);
  InjectionQueue(const InjectionQueue&) = delete;
  InjectionQueue& operator=(const InjectionQueue&) = delete;
  ~InjectionQueue();

  void Push(Job& job) noexcept;
  // Null if there is none, or if the oldest is still being entered: its Push has not returned then.
  Job* Pop() noexcept;
  // False: it was popped, or is not here.
  bool Revoke(Job& job) noexcept;

  // A Push that has returned before this is seen, unless its job was taken, or an older Push is under way: who does
  // that one sees to both when it has returned. A revoked job may be seen still.
  bool LooksEmpty() const noexcept;
  bool IsFull() const noexcept { return in_line_.load(std::memory_order_relaxed) > 0; }

 private:
  struct Cell {
    std::atomic<size_t> sequence;
    std::atomic<Job*> job{nullptr};
  };

  bool TryPush(Job& job) noexcept;
  bool TakeFromCell(Job& job) noexcept;
  // Moves what fits from the line into the ring. Under the lock.
  void Refill() noexcept;
  void RefillFromLine() noexcept;

  // Example: a ring of 4. Cell i starts with sequence i: free for the push with number i. That push makes it i + 1:
  // ready for the pop with number i, which makes it i + 4.
  //
  // sequence  TryPush:acquire  the pop that freed the cell is over.     Pop:seq_cst stores it.
  //           Pop:acquire      sees the job.                            TryPush:seq_cst stores it.
  //           seq_cst, because both are one side of "first I say, then I look": a push says "here is a job", then its
  //           caller looks for a thread that is awake; a thread says "I go", then looks here (LooksEmpty). And a pop
  //           says "here is room", then looks at in_line_; a push says "one is in line", then looks for room.
  // job       TryPush:release       what was written to the job before, its place in the line above all, for who revokes
  //                                 it ahead of the sequence.
  //           Pop, Revoke:acq_rel   who gets the job has it alone.
  // head_, tail_  relaxed: the sequences carry the order. LooksEmpty loads the front cell's number; a stale one only
  //           makes it look at a cell that was popped, which is caught by comparing.
  // place     relaxed: written before the job can be popped, by the thread that may revoke it or under the lock (see
  //           Revoke).
  static constexpr size_t kCacheLine = 64;

  const size_t mask_;
  const std::unique_ptr<Cell[]> cells_;
  alignas(kCacheLine) std::atomic<size_t> tail_{0};
  alignas(kCacheLine) std::atomic<size_t> head_{0};
  alignas(kCacheLine) std::atomic<size_t> in_line_{0};
  std::mutex mutex_;  // of the line
  IntrusiveList<Job> line_;
};

}  // namespace gyre::internal

#endif  // GYRE_RUNTIME_OFFLOAD_INTERNAL_INJECTION_QUEUE_H_
