// Tasks beside each other: results of several, a child that is stopped, and what became of it.
#include <cstdio>
#include <string>

#include "gyre/gyre.h"

using namespace std::chrono_literals;

namespace {

gyre::Task<int> Answer(int value, gyre::Duration after) {
  co_await gyre::SleepFor(after);
  co_return value;
}

gyre::Task<> SayForEver(std::string what) {
  for (;;) {
    std::printf("%s\n", what.c_str());
    co_await gyre::SleepFor(10ms);  // a stop ends it here
  }
}

gyre::Task<> Main() {
  auto [a, b] = co_await gyre::WhenAll(Answer(40, 20ms), Answer(2, 10ms));  // 20 ms, not 30
  std::printf("%d\n", a + b);

  auto body = [](gyre::Scope& scope) -> gyre::Task<> {
    gyre::TaskHandle<> talker = scope.Spawn(SayForEver, "still here");
    co_await gyre::SleepFor(25ms);
    talker.RequestStop("enough");
    const gyre::Outcome<>& outcome = co_await talker.Join();
    std::printf("stopped: %s\n", outcome.stopped() ? "yes" : "no");
  };
  co_await gyre::WithScope(body);  // every child has ended when this comes back
}

}  // namespace

int main() { gyre::Run(Main()); }
