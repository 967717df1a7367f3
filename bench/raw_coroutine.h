// The least a coroutine can cost: recycled frames, symmetric transfer, and nothing else. What task_bench and scope_bench
// compare with.
#ifndef GYRE_BENCH_RAW_COROUTINE_H_
#define GYRE_BENCH_RAW_COROUTINE_H_

#include <array>
#include <coroutine>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <exception>
#include <utility>

namespace gyre::bench {

// One free list for all frames: enough where they are all of one size.
class RawFrames {
 public:
  static void* Allocate(size_t size) {
    if (free_ != nullptr) return std::exchange(free_, free_->next);
    return std::malloc(size < kBytes ? kBytes : size);
  }
  static void Free(void* block) { free_ = new (block) Block{free_}; }

 private:
  struct Block {
    Block* next;
  };
  static constexpr size_t kBytes = 256;
  static inline Block* free_ = nullptr;
};

// A ready queue at its barest, for a power of two of handles: push at the tail, resume the head.
class RawRing {
 public:
  void Push(std::coroutine_handle<> handle) { slots_[tail_++ % slots_.size()] = handle; }
  void RunAll() {
    while (head_ != tail_) slots_[head_++ % slots_.size()].resume();
  }

 private:
  std::array<std::coroutine_handle<>, 1024> slots_;
  uint32_t head_ = 0;
  uint32_t tail_ = 0;
};

class RawTask {
 public:
  struct promise_type {
    struct Final {
      Final() noexcept {}
      bool await_ready() noexcept { return false; }
      std::coroutine_handle<> await_suspend(std::coroutine_handle<promise_type> frame) noexcept {
        return frame.promise().continuation;
      }
      void await_resume() noexcept {}
    };

    static void* operator new(size_t size) { return RawFrames::Allocate(size); }
    static void operator delete(void* block) { RawFrames::Free(block); }

    RawTask get_return_object() { return RawTask(std::coroutine_handle<promise_type>::from_promise(*this)); }
    std::suspend_always initial_suspend() noexcept { return {}; }
    Final final_suspend() noexcept { return Final(); }
    void return_value(long result) { value = result; }
    void unhandled_exception() { std::terminate(); }

    std::coroutine_handle<> continuation = std::noop_coroutine();
    long value = 0;
  };

  explicit RawTask(std::coroutine_handle<promise_type> frame) : frame_(frame) {}
  RawTask(RawTask&& other) noexcept : frame_(std::exchange(other.frame_, nullptr)) {}
  RawTask& operator=(RawTask&&) = delete;
  ~RawTask() {
    if (frame_) frame_.destroy();
  }

  bool await_ready() noexcept { return false; }
  std::coroutine_handle<> await_suspend(std::coroutine_handle<> awaiting) noexcept {
    frame_.promise().continuation = awaiting;
    return frame_;
  }
  long await_resume() noexcept { return frame_.promise().value; }

  std::coroutine_handle<promise_type> frame() const { return frame_; }

 private:
  std::coroutine_handle<promise_type> frame_;
};

}  // namespace gyre::bench

#endif  // GYRE_BENCH_RAW_COROUTINE_H_
