// Counted and Noting: values that tell how many of them live, and when one dies.
//
// Thread-safety: none; one thread.
#ifndef GYRE_TESTS_SUPPORT_COUNTED_H_
#define GYRE_TESTS_SUPPORT_COUNTED_H_

#include <string>
#include <utility>

namespace gyre::testing {

// How many live, and how often one was copied, since the last Reset.
class Counted {
 public:
  Counted() { ++live_; }
  Counted(const Counted&) {
    ++live_;
    ++copies_;
  }
  Counted(Counted&&) noexcept { ++live_; }
  Counted& operator=(const Counted&) {
    ++copies_;
    return *this;
  }
  Counted& operator=(Counted&&) noexcept { return *this; }
  ~Counted() { --live_; }

  static int live() { return live_; }
  static int copies() { return copies_; }
  static void Reset() { live_ = copies_ = 0; }

 private:
  static inline int live_ = 0;
  static inline int copies_ = 0;
};

// Appends `text` to `log` when it dies; one that was moved from says nothing.
class Noting {
 public:
  Noting(std::string& log, std::string text) : log_(&log), text_(std::move(text)) {}
  Noting(Noting&& other) noexcept : log_(std::exchange(other.log_, nullptr)), text_(std::move(other.text_)) {}
  Noting& operator=(Noting&&) = delete;
  ~Noting() {
    if (log_ != nullptr) *log_ += text_;
  }

 private:
  std::string* log_;
  std::string text_;
};

}  // namespace gyre::testing

#endif  // GYRE_TESTS_SUPPORT_COUNTED_H_
