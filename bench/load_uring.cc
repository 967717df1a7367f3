// One io_uring_enter for a whole turn: receives that repeat into buffers the kernel chooses, sends batched behind them.
//
// Needs what kernel 6.1 has (DEFER_TASKRUN, repeating receives, buffer rings); UringWorks() asks by trying. A repeating
// receive ends when the buffers run out and is armed anew. Each connection has one send in flight at most, so its bytes
// stay in order. Sends and receives are carried out by this thread within io_uring_enter, so the completion of a send
// always stands before that of the echo it caused.
#include <liburing.h>
#include <sys/socket.h>

#include <algorithm>
#include <bit>
#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <vector>

#include "gyre/bench/load_engine.h"
#include "gyre/runtime/check.h"

namespace gyre::bench {
namespace {

constexpr unsigned kEntries = 2048;
constexpr std::size_t kPoolBytes = std::size_t{4} << 20;
constexpr int kBufferGroup = 0;

// A ring that closes itself; `status` is what its creation gave.
struct Ring {
  Ring() {
    io_uring_params params{};
    params.flags = IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_DEFER_TASKRUN | IORING_SETUP_SUBMIT_ALL |
                   IORING_SETUP_CQSIZE | IORING_SETUP_CLAMP;
    params.cq_entries = 8 * kEntries;
    status = io_uring_queue_init_params(kEntries, &ring, &params);
  }
  Ring(const Ring&) = delete;
  Ring& operator=(const Ring&) = delete;
  ~Ring() {
    if (status == 0) io_uring_queue_exit(&ring);
  }

  io_uring ring{};
  int status;
};

// The buffers that the kernel receives into.
class BufferPool {
 public:
  // `bytes_each`: a power of two.
  explicit BufferPool(std::size_t bytes_each)
      : bytes_each_(bytes_each), count_(std::clamp<std::size_t>(kPoolBytes / bytes_each, 64, 2048)) {}
  BufferPool(const BufferPool&) = delete;
  BufferPool& operator=(const BufferPool&) = delete;

  absl::Status Register(io_uring& ring) {
    io_uring_buf_reg registration{};
    registration.ring_addr = reinterpret_cast<std::uintptr_t>(slots_.get());
    registration.ring_entries = static_cast<std::uint32_t>(count_);
    registration.bgid = kBufferGroup;
    const int error = io_uring_register_buf_ring(&ring, &registration, 0);
    if (error < 0) return absl::ErrnoToStatus(-error, "io_uring_register_buf_ring");
    for (std::size_t id = 0; id < count_; ++id) GiveBack(static_cast<unsigned short>(id));
    return absl::OkStatus();
  }

  const char* At(unsigned short id) const { return bytes_.get() + id * bytes_each_; }

  void GiveBack(unsigned short id) {
    const auto bytes = static_cast<unsigned>(bytes_each_);
    io_uring_buf_ring_add(slots(), bytes_.get() + id * bytes_each_, bytes, id, static_cast<int>(count_ - 1), 0);
    io_uring_buf_ring_advance(slots(), 1);
  }

 private:
  struct Free {
    void operator()(void* memory) const { std::free(memory); }
  };

  static constexpr std::size_t kPageBytes = 4096;  // the kernel wants the ring of buffers to begin a page

  io_uring_buf_ring* slots() { return static_cast<io_uring_buf_ring*>(slots_.get()); }

  static void* ZeroedPages(std::size_t bytes) {
    const std::size_t rounded = (bytes + kPageBytes - 1) / kPageBytes * kPageBytes;
    void* memory = std::aligned_alloc(kPageBytes, rounded);
    GYRE_CHECK(memory != nullptr, "there is memory for the ring of buffers");
    return std::memset(memory, 0, rounded);
  }

  const std::size_t bytes_each_;
  const std::size_t count_;
  const std::unique_ptr<void, Free> slots_{ZeroedPages(count_ * sizeof(io_uring_buf))};
  const std::unique_ptr<char[]> bytes_ = std::make_unique<char[]>(count_ * bytes_each_);
};

class UringDriver {
 public:
  UringDriver(LoadSession& session, std::span<const int> sockets)
      : session_(session),
        sockets_(sockets),
        pool_(std::clamp(std::bit_ceil(session.round_bytes()), std::size_t{2048}, std::size_t{64} * 1024)),
        is_sending_(sockets.size()) {}
  UringDriver(const UringDriver&) = delete;
  UringDriver& operator=(const UringDriver&) = delete;

  absl::Status Drive() {
    absl::Status status = Begin();
    while (status.ok() && !session_.IsDone()) status = Turn();
    if (ring_.status == 0) CancelReceives();
    return status;
  }

 private:
  // What a completion belongs to: the connection's number, and which of its two directions.
  static std::uint64_t Tag(int number, bool is_send) { return static_cast<std::uint64_t>(number) << 1 | is_send; }

  absl::Status Begin() {
    if (ring_.status < 0) return absl::ErrnoToStatus(-ring_.status, "io_uring_setup");
    if (absl::Status status = pool_.Register(ring_.ring); !status.ok()) return status;
    session_.Start(std::chrono::steady_clock::now());
    for (int number = 0; number < session_.connections(); ++number) {
      ArmReceive(number);
      SendMore(number);
    }
    return absl::OkStatus();
  }

  absl::Status Turn() {
    __kernel_timespec silence{kSilenceMsMax / 1000, 0};
    io_uring_cqe* first = nullptr;
    const int submitted = io_uring_submit_and_wait_timeout(&ring_.ring, &first, 1, &silence, nullptr);
    if (submitted == -ETIME) return SilenceError();
    if (submitted < 0 && submitted != -EINTR) return absl::ErrnoToStatus(-submitted, "io_uring_enter");
    absl::Status status;
    unsigned head = 0;
    unsigned seen = 0;
    io_uring_cqe* completion = nullptr;
    io_uring_for_each_cqe(&ring_.ring, head, completion) {
      ++seen;
      status = OnCompletion(*completion);
      if (!status.ok()) break;
    }
    io_uring_cq_advance(&ring_.ring, seen);
    return status;
  }

  absl::Status OnCompletion(const io_uring_cqe& completion) {
    const int number = static_cast<int>(completion.user_data >> 1);
    const bool is_send = (completion.user_data & 1) != 0;
    return is_send ? OnSent(number, completion.res) : OnReceived(number, completion);
  }

  absl::Status OnSent(int number, int sent) {
    if (sent < 0) return absl::ErrnoToStatus(-sent, "send");
    is_sending_[number] = false;
    session_.Sent(session_.stream(number), sent);
    SendMore(number);
    return absl::OkStatus();
  }

  absl::Status OnReceived(int number, const io_uring_cqe& completion) {
    const int got = completion.res;
    if (got < 0 && got != -ENOBUFS) return absl::ErrnoToStatus(-got, "recv");
    if (got == 0) return absl::AbortedError("the server closed a connection");
    if ((completion.flags & IORING_CQE_F_MORE) == 0) ArmReceive(number);
    if (got == -ENOBUFS) return absl::OkStatus();
    const auto buffer = static_cast<unsigned short>(completion.flags >> IORING_CQE_BUFFER_SHIFT);
    const std::span<const char> bytes(pool_.At(buffer), got);
    const TimePoint now = std::chrono::steady_clock::now();
    absl::Status status = session_.Received(session_.stream(number), bytes, now);
    pool_.GiveBack(buffer);
    SendMore(number);
    return status;
  }

  void ArmReceive(int number) {
    io_uring_sqe* sqe = NextSqe();
    io_uring_prep_recv_multishot(sqe, sockets_[number], nullptr, 0, 0);
    sqe->flags |= IOSQE_BUFFER_SELECT;
    sqe->buf_group = kBufferGroup;
    io_uring_sqe_set_data64(sqe, Tag(number, /*is_send=*/false));
  }

  void SendMore(int number) {
    const std::span<const char> bytes = session_.Unsent(session_.stream(number));
    if (is_sending_[number] || bytes.empty()) return;
    is_sending_[number] = true;
    io_uring_sqe* sqe = NextSqe();
    io_uring_prep_send(sqe, sockets_[number], bytes.data(), bytes.size(), MSG_NOSIGNAL);
    io_uring_sqe_set_data64(sqe, Tag(number, /*is_send=*/true));
  }

  io_uring_sqe* NextSqe() {
    io_uring_sqe* sqe = io_uring_get_sqe(&ring_.ring);
    if (sqe != nullptr) return sqe;
    io_uring_submit(&ring_.ring);
    sqe = io_uring_get_sqe(&ring_.ring);
    GYRE_CHECK(sqe != nullptr, "io_uring_submit makes room in the submission queue");
    return sqe;
  }

  // Else the kernel would keep the sockets open until it has taken the ring down, some time later.
  void CancelReceives() {
    io_uring_sync_cancel_reg everything{};
    everything.fd = -1;
    everything.flags = IORING_ASYNC_CANCEL_ANY | IORING_ASYNC_CANCEL_ALL;
    everything.timeout = {1, 0};
    io_uring_register_sync_cancel(&ring_.ring, &everything);
  }

  LoadSession& session_;
  const std::span<const int> sockets_;
  BufferPool pool_;  // outlives ring_, which may write to it
  Ring ring_;
  std::vector<char> is_sending_;  // by connection
};

}  // namespace

bool UringWorks() { return Ring().status == 0; }

absl::Status DriveWithUring(LoadSession& session, std::span<const int> sockets) {
  return UringDriver(session, sockets).Drive();
}

}  // namespace gyre::bench
