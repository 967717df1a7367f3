// Op: one request to a backend. It is the leaf await itself: it lives in the awaiting frame, and nothing is allocated.
//
// Thread-safety: the loop's thread only.
// Lifetime:      until its completion; so are the bytes it points to.
// Units:         results in bytes; a receive takes at most 2^30 bytes at once, a send as many as it is given.
#ifndef GYRE_RUNTIME_OP_H_
#define GYRE_RUNTIME_OP_H_

#include <sys/uio.h>

#include <cstdint>
#include <string>

#include "gyre/runtime/internal/buffer_pool.h"
#include "gyre/runtime/leaf.h"

namespace gyre {

namespace internal {
class Rng;
}
class Backend;
class Descriptor;

enum class Opcode : uint8_t {
  // Readers first, and kReceiveBuffer is the last of them: see is_reader.
  kAccept,         // in: descriptor. Out: result 0 and `accepted`, or -errno. Repeats.
  kReceive,        // in: vectors[0]. Out: bytes, 0 at the end of the stream, or -errno.
  kReceiveBuffer,  // out: bytes and `block`, 0 at the end (no block), or -errno. Repeats.
  // Writers.
  kConnect,  // in: address. Out: 0 or -errno.
  kSend,     // in: vectors, advanced as bytes leave. Out: 0 when all are sent, or -errno.
};

class Op : public Leaf {
 public:
  Opcode opcode() const { return opcode_; }
  Descriptor* descriptor() const { return descriptor_; }
  bool is_reader() const { return opcode_ <= Opcode::kReceiveBuffer; }

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
    if (queued_ != Queued::kNo) {  // it was about to be performed; it finds its result instead
      queued_ = Queued::kCompleted;
      return;
    }
    Complete();
  }
  // Completes it as stopped: nothing was handed over.
  void CompleteCancelled();
  // A completion-less wake-up: the ready queue will call Backend::Perform. Idempotent until then.
  void QueueForPerform() {
    if (queued_ != Queued::kNo) return;
    queued_ = Queued::kToPerform;
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

  std::string WaitsFor() const override;

  // The result is an error, and unless it is -EBADF (the descriptor was closed) the descriptor is still open: the last
  // chance to ask it who the peer was. Not called for a stop.
  virtual void OnFailed() noexcept {}

 private:
  // Whether the op is in the ready queue though it still waits, and what happens when it gets there.
  enum class Queued : uint8_t {
    kNo,         // left by QueueForPerform
    kToPerform,  // it is tried. Left by Run, CompleteWith, CompleteCancelled
    kCompleted,  // it has its result. Left by Run
    kStopped,    // it ends stopped. Left by Run
  };

  Opcode opcode_;
  Queued queued_ = Queued::kNo;
  Descriptor* descriptor_;
};

}  // namespace gyre

#endif  // GYRE_RUNTIME_OP_H_
