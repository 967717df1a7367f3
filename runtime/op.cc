#include "gyre/runtime/op.h"

#include <cerrno>
#include <string>
#include <utility>

#include "gyre/runtime/backend.h"
#include "gyre/runtime/check.h"
#include "gyre/runtime/loop.h"

namespace gyre {

bool Op::SubmitNow() {
  Backend* backend = descriptor_->backend();
  GYRE_CHECK(backend == &loop().backend(),
             "a socket was used on another loop than its own, or after its loop had ended: send Release()'s descriptor "
             "over and Adopt it there" + (backend != nullptr ? backend->DescribeThreads() : ""));
  GYRE_CHECK((is_reader() ? descriptor_->reader : descriptor_->writer) == nullptr,
             "two operations in the same direction waited on one socket at the same time");
  if (!backend->Submit(*this)) return false;
  if (result < 0) OnFailed();
  return true;
}

std::string Op::WaitsFor() const {
  const std::string fd = std::to_string(descriptor_->fd());
  switch (opcode_) {
    case Opcode::kAccept:
      return "a connection at listener " + fd;
    case Opcode::kReceive:
    case Opcode::kReceiveBuffer:
      return "bytes from socket " + fd;
    case Opcode::kConnect:
      return "the connection of socket " + fd;
    case Opcode::kSend:
      return "room to send at socket " + fd;
  }
  return std::string();
}

void Op::CompleteCancelled() {
  result = -ECANCELED;
  if (queued_ != Queued::kNo) {
    queued_ = Queued::kStopped;
    return;
  }
  CompleteStopped();
}

void Op::OnStop() noexcept {
  if (queued_ > Queued::kToPerform) return;  // its result is on the way
  descriptor_->backend()->Cancel(*this);
}

void Op::Run() {
  const Queued queued = std::exchange(queued_, Queued::kNo);
  if (queued == Queued::kNo) return Leaf::Run();
  if (queued == Queued::kToPerform) {
    if (!descriptor_->backend()->Perform(*this)) return;
    if (result < 0) OnFailed();
  }
  RunCompleted(queued == Queued::kStopped);
}

void DescriptorHandle::Close(bool reset) noexcept {
  Descriptor* descriptor = Take();
  if (descriptor == nullptr) return;
  Backend* backend = descriptor->backend();
  if (backend == nullptr) {  // its loop has ended and closed it
    delete descriptor;
    return;
  }
  Loop* loop = Loop::TryCurrent();
  GYRE_CHECK(loop != nullptr && &loop->backend() == backend,
             "a socket was closed or destroyed on another loop than its own: Release() gives the bare descriptor" +
                 backend->DescribeThreads());
  backend->Retire(*descriptor, reset);
  if (DescriptorWaiter* waiter = backend->descriptor_waiters().front()) waiter->OnDescriptorFreed();
}

}  // namespace gyre
