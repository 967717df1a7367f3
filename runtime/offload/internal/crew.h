// Crew: the threads of a CpuPool beside its listener: oneTBB's, or plain ones.
//
// Thread-safety: Call from any thread; the rest by the pool.
#ifndef GYRE_RUNTIME_OFFLOAD_INTERNAL_CREW_H_
#define GYRE_RUNTIME_OFFLOAD_INTERNAL_CREW_H_

#include <functional>
#include <memory>

namespace gyre::internal {

class Crew {
 public:
  virtual ~Crew() = default;

  // One of the threads calls `drain` soon. False: there is no memory for that.
  virtual bool Call() noexcept = 0;
  // Once, at the end: returns when every call that was taken, and those that come meanwhile, have run.
  virtual void Finish() noexcept = 0;
  // Runs `listen()` on this thread, as one of the crew.
  virtual void RunAsListener(const std::function<void()>& listen) = 0;
  virtual bool is_tbb() const = 0;
  // Those it may have, with the listener.
  virtual int threads() const = 0;
};

// `threads`, as are wanted, count the listener. Throws std::system_error where a thread can't be had.
std::unique_ptr<Crew> MakeTbbCrew(int threads, bool owns_tbb, std::function<void()> drain);
std::unique_ptr<Crew> MakeThreadCrew(int threads, std::function<void()> drain);

}  // namespace gyre::internal

#endif  // GYRE_RUNTIME_OFFLOAD_INTERNAL_CREW_H_
