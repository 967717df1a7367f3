// Op: one request to a backend. It is the leaf await itself: it lives in the awaiting frame, and nothing is allocated.
//
// Thread-safety: the loop's thread only.
// Lifetime:      until its completion; so are the bytes it points to.
// Units:         results in bytes; a receive takes at most 2^30 bytes at once, a send as many as it is given.
#ifndef GYRE_RUNTIME_OP_H_
#define GYRE_RUNTIME_OP_H_

#include <sys/uio.h>

#include <cstdint>

#include "gyre/runtime/internal/buffer_pool.h"
#include "gyre/runtime/leaf.h"

namespace gyre {

namespace internal {
class Rng;
}
class Backend;
class Descriptor;

enum class Opcode : uint8_t {
  kAccept,         // in: descriptor. Out: result 0 and `accepted`, or -errno. Repeats.
  kConnect,        // in: address. Out: 0 or -errno.
  kReceive,        // in: vectors[0]. Out: bytes, 0 at the end of the stream, or -errno.
  kReceiveBuffer,  // out: bytes and `block`, 0 at the end (no block), or -errno. Repeats.
  kSend,           // in: vectors, advanced as bytes leave. Out: 0 when all are sent, or -errno.
};

class Op : public Leaf {
 public:
  Opcode opcode() const { return opcode_; }
  Descriptor* descriptor() const { return descriptor_; }
  bool is_reader() const { return opcode_ == Opcode::kAccept || opcode_ == Opcode::kReceive || opcode_ == Opcode::kReceiveBuffer; }

  // --- for backends
  union {
    iovec* vectors;                // kReceive, kSend; the array is the awaiter's, and the backend may change it
    internal::BufferBlock* block;  // kReceiveBuffer
    Descriptor* accepted;          // kAccept
    const void* address;           // kConnect: a sockaddr of `vector_count` bytes
  };
  int32_t result = 0;
  uint16_t vector_count = 0;

  // Completes a waiting op from the ready queue.
  void CompleteWith(int32_t op_result) {
    result = op_result;
    if (op_result < 0) OnFailed();
    if (is_queued_) {  // it was about to be performed; it finds its result instead
      is_performable_ = false;
      return;
    }
    Complete();
  }
  // Completes it as stopped: nothing was handed over.
  void CompleteCancelled();
  // A completion-less wake-up: the ready queue will call Backend::Perform. Idempotent until then.
  void QueueForPerform() {
    if (is_queued_) return;
    is_queued_ = true;
    is_performable_ = true;
    loop_core().PushReady(*this);
  }

 protected:
  Op(Opcode opcode, Descriptor& descriptor) : block(nullptr), opcode_(opcode), descriptor_(&descriptor) {}
  ~Op() = default;

  // Submits to the descriptor's backend; a second op in the same direction is a check failure.
  template <class P>
  bool SubmitFrom(std::coroutine_handle<P> awaiting) {
    return Suspend(awaiting, [this] { return SubmitNow(); });
  }
  bool SubmitNow();

  void OnStop() noexcept override;
  // Received bytes and results are delivered, descriptors that were opened are undone: see D5. The derived class of an
  // op that opens something overrides this.
  bool Undo() noexcept override { return false; }
  void Run() override;

  // The result is an error, and unless it is -EBADF (the descriptor was closed) the descriptor is still open: the last
  // chance to ask it who the peer was. Not called for a stop.
  virtual void OnFailed() noexcept {}

 private:
  Opcode opcode_;
  bool is_queued_ : 1 = false;       // in the ready queue though still waiting
  bool is_performable_ : 1 = false;  // ... and to be tried when it gets there
  bool is_cancelled_ : 1 = false;    // ... or to end stopped
  Descriptor* descriptor_;
};

}  // namespace gyre

#endif  // GYRE_RUNTIME_OP_H_
