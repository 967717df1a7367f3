#include "gyre/runtime/sim/forked_runs.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <iostream>
#include <memory>
#include <new>
#include <type_traits>
#include <utility>

#include "gyre/runtime/check.h"
#include "gyre/runtime/internal/place_text.h"

// testing::Test::HasFatalFailure() and HasNonfatalFailure(), null where GoogleTest is not linked: this library does not
// need it, but an expectation that failed in a child must not be lost.
extern "C" {
[[gnu::weak]] bool GyreGtestHasFatalFailure() __asm__("_ZN7testing4Test15HasFatalFailureEv");
[[gnu::weak]] bool GyreGtestHasNonfatalFailure() __asm__("_ZN7testing4Test18HasNonfatalFailureEv");
}

namespace gyre::internal {
namespace {

constexpr off_t kOutputBytesMax = 8 * 1024;

bool HasExpectationFailed() {
  return (GyreGtestHasFatalFailure != nullptr && GyreGtestHasFatalFailure()) ||
         (GyreGtestHasNonfatalFailure != nullptr && GyreGtestHasNonfatalFailure());
}

void FlushOutput() {
  std::fflush(nullptr);
  std::cout.flush();
  std::cerr.flush();
}

// What a pipe carries: the numbers as they are, because both ends are the same program.
struct Header {
  size_t points;
  size_t failure_bytes;
  testing::AwaitStack target;
  bool was_disturbed;
  bool has_shields;
};
static_assert(std::is_trivially_copyable_v<Header>);

void WriteAll(int fd, const void* bytes, size_t size) {
  const char* next = static_cast<const char*>(bytes);
  while (size > 0) {
    const ssize_t written = write(fd, next, size);
    if (written < 0 && errno == EINTR) continue;
    if (written <= 0) _exit(1);  // the parent is gone
    next += written;
    size -= static_cast<size_t>(written);
  }
}

void SendResult(int fd, const RunResult& result) {
  Header header{result.points.size(), result.failure.size(), result.target, result.was_disturbed, result.has_shields};
  WriteAll(fd, &header, sizeof(header));
  WriteAll(fd, result.points.data(), result.points.size() * sizeof(testing::AwaitPoint));
  WriteAll(fd, result.failure.data(), result.failure.size());
}

// False at the end of the stream, or after `limit_ms` without a byte, which `trouble` tells.
bool ReadAll(int fd, void* into, size_t size, int limit_ms, std::string& trouble) {
  char* next = static_cast<char*>(into);
  while (size > 0) {
    pollfd readable{fd, POLLIN, 0};
    const int ready = poll(&readable, 1, limit_ms);
    if (ready < 0 && errno == EINTR) continue;
    if (ready == 0) trouble = "the run hangs: nothing came of it in " + std::to_string(limit_ms) + " ms of real time";
    if (ready <= 0) return false;
    const ssize_t count = read(fd, next, size);
    if (count < 0 && errno == EINTR) continue;
    if (count <= 0) return false;
    next += count;
    size -= static_cast<size_t>(count);
  }
  return true;
}

}  // namespace

ForkedRuns::ForkedRuns(MakeRun make_run, Duration hang_limit)
    : make_run_(std::move(make_run)),
      hang_limit_ms_(static_cast<int>(
          std::clamp<int64_t>(std::chrono::ceil<std::chrono::milliseconds>(hang_limit).count(), 1, 1 << 30))) {
  void* shared = mmap(nullptr, sizeof(RunProgress), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  GYRE_CHECK(shared != MAP_FAILED, "the explorer got no memory to share with its runs");
  progress_ = ::new (shared) RunProgress;
  output_fd_ = memfd_create("explorer output", MFD_CLOEXEC);
  GYRE_CHECK(output_fd_ >= 0, "the explorer got no file for the output of its runs");
}

ForkedRuns::~ForkedRuns() {
  munmap(progress_, sizeof(RunProgress));
  close(output_fd_);
}

std::vector<RunResult> ForkedRuns::RunUntilFailure(size_t first, size_t count) {
  int ends[2];
  GYRE_CHECK(pipe2(ends, O_CLOEXEC) == 0, "the explorer got no pipe");
  FlushOutput();  // or the child would write it again
  const pid_t child = fork();
  GYRE_CHECK(child >= 0, "the explorer can't fork");
  if (child == 0) {
    close(ends[0]);
    BeChild(first, count, ends[1]);
  }
  close(ends[1]);
  std::vector<RunResult> results;
  std::string trouble;
  while (first + results.size() < count && (results.empty() || results.back().failure.empty())) {
    RunResult result;
    if (!ReceiveResult(ends[0], result, trouble)) break;
    results.push_back(std::move(result));
  }
  const bool is_complete = first + results.size() == count || (!results.empty() && !results.back().failure.empty());
  close(ends[0]);
  if (!trouble.empty()) kill(child, SIGKILL);
  if (!is_complete) {
    results.push_back(ResultOfDead(child, trouble));
  } else {
    while (waitpid(child, nullptr, 0) < 0 && errno == EINTR) continue;
  }
  if (!results.back().failure.empty()) results.back().output = ReadOutput();
  return results;
}

void ForkedRuns::BeChild(size_t first, size_t count, int to_parent) {
  prctl(PR_SET_PDEATHSIG, SIGKILL);
  prctl(PR_SET_DUMPABLE, 0);  // a crash is a result, and no core file
  signal(SIGABRT, SIG_DFL);
  dup2(output_fd_, STDOUT_FILENO);
  dup2(output_fd_, STDERR_FILENO);
  auto give_up = [to_parent](const RunResult& result) {
    FlushOutput();
    SendResult(to_parent, result);
    _exit(0);
  };
  const bool had_failed = HasExpectationFailed();
  for (size_t index = first; index < count; ++index) {
    // Both ends share one offset.
    if (ftruncate(output_fd_, 0) != 0 || lseek(output_fd_, 0, SEEK_SET) != 0) _exit(1);
    RunResult result = make_run_(index, *progress_, give_up);
    if (!had_failed && HasExpectationFailed()) {
      result.failure +=
          std::string(result.failure.empty() ? "" : "\n") + "an expectation of the test failed, see below";
    }
    if (!result.failure.empty()) give_up(result);
    FlushOutput();
    SendResult(to_parent, result);
  }
  _exit(0);  // nothing that the parent will do once more: no destructors, no exit handlers
}

bool ForkedRuns::ReceiveResult(int from_child, RunResult& result, std::string& trouble) {
  Header header;
  if (!ReadAll(from_child, &header, sizeof(header), hang_limit_ms_, trouble)) return false;
  result.target = header.target;
  result.was_disturbed = header.was_disturbed;
  result.has_shields = header.has_shields;
  result.points.resize(header.points);
  result.failure.resize(header.failure_bytes);
  return ReadAll(from_child, result.points.data(), header.points * sizeof(testing::AwaitPoint), hang_limit_ms_,
                 trouble) &&
         ReadAll(from_child, result.failure.data(), header.failure_bytes, hang_limit_ms_, trouble);
}

RunResult ForkedRuns::ResultOfDead(pid_t child, const std::string& trouble) {
  int status = 0;
  while (waitpid(child, &status, 0) < 0 && errno == EINTR) continue;
  RunResult result;
  result.target = progress_->target;
  result.was_disturbed = progress_->was_disturbed;
  if (!trouble.empty()) {
    result.failure = trouble;
  } else if (WIFSIGNALED(status)) {
    result.failure = std::string("the run crashed: ") + strsignal(WTERMSIG(status));
  } else {
    result.failure = "the run ended its process, with status " + std::to_string(WEXITSTATUS(status));
  }
  const testing::AwaitPoint& last = progress_->last;
  if (last.where.line() != 0) {
    result.failure += "; its last await was at " + PlaceText(last.where);
  }
  return result;
}

std::string ForkedRuns::ReadOutput() const {
  const off_t end = lseek(output_fd_, 0, SEEK_END);
  const off_t begin = std::max<off_t>(0, end - kOutputBytesMax);
  std::string text(static_cast<size_t>(end - begin), '\0');
  const ssize_t count = pread(output_fd_, text.data(), text.size(), begin);
  text.resize(static_cast<size_t>(std::max<ssize_t>(count, 0)));
  return text;
}

}  // namespace gyre::internal
