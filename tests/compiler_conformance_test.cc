// Does this compiler build coroutines correctly? Each idiom runs to its end, and is destroyed at each of its suspension
// points; every object in it must be destroyed exactly once, where it was built.
//
// gcc before 13 fails for the idioms of TrapOnGcc12, which are the reason for the five rules in CONTRIBUTING.md. They
// are asserted to fail there, so that a distribution's backport of the fix does not go unnoticed: then the rules and
// the guards can go.
#include <coroutine>
#include <functional>
#include <initializer_list>
#include <memory>
#include <optional>
#include <ostream>
#include <stdexcept>
#include <string>
#include <tuple>
#include <utility>
#include <vector>

#include "gtest/gtest.h"
#include "gyre/runtime/internal/promise.h"
#include "gyre/tests/compiler_probe.h"

namespace gyre {
namespace {

// What the idioms give things to. Each is a coroutine, or makes one.
Coroutine Take(Counted object) {
  co_await Pause();
  co_return object.value();
}
Coroutine TakeThree(int a, Counted object, int b) {
  co_await Pause();
  co_return a + object.value() + b;
}
template <class F>
Coroutine CallByValue(F f) {
  co_await Pause();
  co_return f();
}
template <class F>
Coroutine CallByReference(F&& f) {
  co_await Pause();
  co_return f();
}
template <class F>
Coroutine CallByConstReference(const F& f) {
  co_await Pause();
  co_return f();
}
Coroutine CallFunction(std::function<int()> f) {
  co_await Pause();
  co_return f();
}
template <class F, class... Args>
Coroutine CallWith(F f, Args... args) {
  co_await Pause();
  co_return f(args...);
}
template <class T>
Coroutine TakeAny(T object) {
  co_await Pause();
  co_return sizeof(object) > 0;
}
Coroutine Throw(Counted object) {
  co_await Pause();
  if (object.value() == 1) throw std::runtime_error("wanted");
  co_return 0;
}
int Sum(int a, const Counted& object, int b) { return a + object.value() + b; }
bool Yes() {
  static volatile bool yes = true;
  return yes;
}

struct Aggregate {
  Counted host = Counted('h');
  int port = 0;

  Coroutine Connect() const {
    co_await Pause();
    co_return host.value() + port;
  }
};
Coroutine TakeAggregate(Aggregate options) {
  co_await Pause();
  co_return options.host.value() + options.port;
}
class Options {
 public:
  Options() {}
  Options& set_host(Counted host) {
    host_ = host;
    return *this;
  }
  const Counted& host() const { return host_; }

 private:
  Counted host_;
};
Coroutine TakeOptions(Options options) {
  co_await Pause();
  co_return options.host().value();
}
struct AggregateAwaiter {
  Counted object = Counted();
  bool await_ready() { return false; }
  void await_suspend(std::coroutine_handle<> awaiting) { paused = awaiting; }
  int await_resume() { return object.value(); }
};

struct Idiom {
  const char* name;
  Coroutine (*run)();
};
void PrintTo(const Idiom& idiom, std::ostream* out) { *out << idiom.name; }
std::string NameOf(const testing::TestParamInfo<Idiom>& info) { return info.param.name; }

// ---- Idioms that every supported compiler gets right. ----

const Idiom kCorrect[] = {
    {"LambdaThatCapturesByReference",
     []() -> Coroutine {
       Counted object;
       co_return co_await CallByReference([&] { return object.value(); });
     }},
    {"LambdaWithTrivialCapture",
     []() -> Coroutine {
       int one = 1;
       co_return co_await CallByValue([one] { return one; });
     }},
    {"NamedLambda",
     []() -> Coroutine {
       auto f = [object = Counted()] { return object.value(); };
       co_return co_await CallByReference(f) + co_await CallByValue(f) + co_await CallFunction(f);
     }},
    {"CallableWithArguments",
     []() -> Coroutine {
       co_return co_await CallWith([](const Counted& object, int n) { return object.value() + n; }, Counted(), 2);
     }},
    {"LambdaCoroutineInPlaceThatCapturesByReference",
     []() -> Coroutine {
       Counted object;
       co_return co_await [&]() -> Coroutine {
         co_await Pause();
         co_return object.value();
       }();
     }},
    {"NamedCapturingLambdaCoroutine",
     []() -> Coroutine {
       auto f = [object = Counted()]() -> Coroutine {
         co_await Pause();
         co_return object.value();
       };
       co_return co_await f();
     }},
    {"ClassWithConstructor", []() -> Coroutine { co_return co_await Take(Counted()); }},
    {"OptionsInBuilderStyle", []() -> Coroutine { co_return co_await TakeOptions(Options().set_host(Counted())); }},
    {"NamedAggregate",
     []() -> Coroutine {
       Aggregate options{.host = Counted(), .port = 2};
       co_return co_await TakeAggregate(options) + co_await options.Connect();
     }},
    {"AggregateOfNamedResults",
     []() -> Coroutine {
       Counted host = co_await PauseAndGive(Counted());
       int port = co_await Pause();
       Aggregate options{host, port};
       co_return co_await TakeAggregate(options);
     }},
    {"AwaitsAmongArguments", []() -> Coroutine { co_return Sum(co_await Pause(), Counted(), co_await Pause()); }},
    {"AwaitsAmongTheArgumentsOfAnAwait",
     []() -> Coroutine {
       co_return co_await TakeThree(co_await Pause(), Counted(), co_await Take(co_await PauseAndGive(Counted())));
     }},
    {"CompoundAssignment",
     []() -> Coroutine {
       int sum = 1;
       sum += co_await Take(Counted());
       co_return sum;
     }},
    {"ReferenceBoundToResult",
     []() -> Coroutine {
       const Counted& object = co_await PauseAndGive(Counted());
       co_await Pause();
       Counted&& other = co_await PauseAndGive(Counted());
       co_await Pause();
       co_return object.value() + other.value();
     }},
    {"BindingsToANamedPair",
     []() -> Coroutine {
       auto pair = co_await PauseAndGive(std::pair(Counted(), Counted()));
       auto& [first, second] = pair;
       co_await Pause();
       co_return first.value() + second.value();
     }},
    {"RangeForOverAResult",
     []() -> Coroutine {
       int sum = 0;
       for (const Counted& object : co_await PauseAndGive(std::vector<Counted>(3))) {
         Counted inner;
         sum += object.value() + co_await Take(inner);
       }
       co_return sum;
     }},
    {"IfWithInitializer",
     []() -> Coroutine {
       if (Counted object = co_await PauseAndGive(Counted()); object.value() == 1) co_await Take(object);
       co_return 1;
     }},
    {"ConditionOnANamedResult",
     []() -> Coroutine {
       const int result = co_await Take(Counted());
       if (result == 1) co_await Take(Counted());
       co_return result;
     }},
    {"ScalarTernary",
     []() -> Coroutine {
       int result = Yes() ? co_await Pause() : 2;
       co_return result;
     }},
    {"StandardTypesAsArguments",
     []() -> Coroutine {
       int sum = co_await TakeAny(std::pair<Counted, int>(Counted(), 1));
       sum += co_await TakeAny(std::tuple<Counted, Counted>(Counted(), Counted()));
       sum += co_await TakeAny(std::optional<Counted>(Counted()));
       sum += co_await TakeAny(std::make_unique<Counted>());
       sum += co_await TakeAny(std::string("long enough to be on the heap, and freed once"));
       sum += co_await TakeAny(std::vector<Counted>(2));
       co_return sum;
     }},
    {"LocalsOfLoopsAndBlocks",
     []() -> Coroutine {
       Counted outer;
       for (int i = 0; i < 2; ++i) {
         Counted local;
         if (i == 1) co_return co_await Take(local);
         co_await Pause();
       }
       co_return 0;
     }},
    {"ExceptionOutOfAnAwait",
     []() -> Coroutine {
       Counted outer;
       int caught = 0;
       try {
         Counted inner;
         co_await Throw(Counted());
       } catch (const std::runtime_error&) {
         caught = 1;
       }
       co_await Pause();
       co_return caught;
     }},
    {"ExceptionBesideTemporaries",
     []() -> Coroutine {
       try {
         co_await TakeThree(1, Counted(), co_await Throw(Counted()));
       } catch (const std::runtime_error&) {
       }
       co_return 1;
     }},
};

class CorrectIdiom : public testing::TestWithParam<Idiom> {};

TEST_P(CorrectIdiom, DestroysEachObjectOnce) { EXPECT_EQ(CountFaults(GetParam().run), 0); }

INSTANTIATE_TEST_SUITE_P(Everywhere, CorrectIdiom, testing::ValuesIn(kCorrect), NameOf);

// ---- Idioms that gcc 12 miscompiles. ----

const Idiom kTraps[] = {
    {"LambdaByValue",
     []() -> Coroutine { co_return co_await CallByValue([object = Counted()] { return object.value(); }); }},
    {"LambdaByForwardingReference",
     []() -> Coroutine { co_return co_await CallByReference([object = Counted()] { return object.value(); }); }},
    {"LambdaByConstReference",
     []() -> Coroutine { co_return co_await CallByConstReference([object = Counted()] { return object.value(); }); }},
    {"LambdaIntoFunction",
     []() -> Coroutine { co_return co_await CallFunction([object = Counted()] { return object.value(); }); }},
    {"LambdaCoroutineInPlace",
     []() -> Coroutine {
       co_return co_await [object = Counted()]() -> Coroutine {
         co_await Pause();
         co_return object.value();
       }();
     }},
    {"AggregateArgument",
     []() -> Coroutine {
       co_return co_await TakeAggregate(Aggregate{Counted(), 2});
     }},
    {"AggregateInBraces", []() -> Coroutine { co_return co_await TakeAggregate({.host = Counted(), .port = 2}); }},
    {"EmptyAggregate", []() -> Coroutine { co_return co_await TakeAggregate(Aggregate{}); }},
    {"AggregateAsAwaiter", []() -> Coroutine { co_return co_await AggregateAwaiter{}; }},
    {"MemberOfAnAggregate", []() -> Coroutine { co_return co_await Take(Aggregate{}.host); }},
    {"CoroutineOfAnAggregate", []() -> Coroutine { co_return co_await Aggregate{}.Connect(); }},
    {"AggregateVariableWithAwaitsInside",
     []() -> Coroutine {
       Aggregate options{co_await PauseAndGive(Counted()), co_await Pause()};
       co_return options.host.value();
     }},
    {"TernaryOfClassType",
     []() -> Coroutine {
       Counted object = Yes() ? co_await PauseAndGive(Counted()) : Counted();
       co_return object.value();
     }},
    {"TernaryArgument", []() -> Coroutine { co_return co_await Take(Yes() ? Counted('a') : Counted('b')); }},
};

class TrapOnGcc12 : public testing::TestWithParam<Idiom> {};

#ifdef GYRE_INTERNAL_GCC12
TEST_P(TrapOnGcc12, DestroysAnObjectTwice) {
  EXPECT_GT(CountFaults(GetParam().run), 0) << "this gcc 12 has the fix: the rules and guards for it can be relaxed";
}
#else
TEST_P(TrapOnGcc12, DestroysEachObjectOnceElsewhere) { EXPECT_EQ(CountFaults(GetParam().run), 0); }
#endif

INSTANTIATE_TEST_SUITE_P(TheFiveRules, TrapOnGcc12, testing::ValuesIn(kTraps), NameOf);

#ifndef GYRE_INTERNAL_GCC12  // there: "array used as initializer", or an internal error of the compiler (PR 109227)
Coroutine TakeList(std::initializer_list<int> list) {
  const int first = *list.begin();
  co_await Pause();
  co_return first;
}
Coroutine TakeVector(std::vector<Counted> objects) {
  co_await Pause();
  co_return static_cast<int>(objects.size());
}

TEST(InitializerList, IsCorrectWhereItCompiles) {
  EXPECT_EQ(CountFaults([]() -> Coroutine { co_return co_await TakeList({1, 2, 3}); }), 0);
  EXPECT_EQ(CountFaults([]() -> Coroutine { co_return co_await TakeVector({Counted(), Counted()}); }), 0);
}
#endif

// gcc 15 does not destroy these when the frame is destroyed while suspended (PR 124584), so gyre names the pair first.
#if defined(__clang__) || __GNUC__ < 15
TEST(BindingsToAResult, AreCorrectBeforeGcc15) {
  EXPECT_EQ(CountFaults([]() -> Coroutine {
              auto [first, second] = co_await PauseAndGive(std::pair(Counted(), Counted()));
              co_await Pause();
              co_return first.value() + second.value();
            }),
            0);
}
#endif

// ---- The order of destruction. ----

Coroutine Ordered(Counted, Counted) {
  Counted c('c');
  Counted d('d');
  co_await Pause();
  co_return 0;
}

// By the standard the parameters go in reverse, too; gcc 12 takes them from the front.
TEST(DestructionOrder, SuspendedFrameDestroysLocalsInReverseThenParameters) {
  {
    Coroutine run = Ordered(Counted('a'), Counted('b'));
    run.frame().resume();
    Ledger::Get().Reset();
  }
  const std::string order = Ledger::Get().order();
  EXPECT_TRUE(order == "dcba" || order == "dcab") << order;
}

class NamedAwaiter {
 public:
  explicit NamedAwaiter(const Counted&) : object_('w') {}
  bool await_ready() { return false; }
  void await_suspend(std::coroutine_handle<> awaiting) { paused = awaiting; }
  void await_resume() {}

 private:
  Counted object_;
};

TEST(DestructionOrder, AwaiterIsDestroyedBeforeTheTemporariesItWasMadeOf) {
  auto idiom = []() -> Coroutine {
    Counted local('l');
    co_await NamedAwaiter(Counted('t'));
    co_return 0;
  };
  Ledger::Get().Reset();
  {
    Coroutine run = idiom();
    run.frame().resume();
    paused.resume();
    EXPECT_TRUE(run.frame().done());
  }
  EXPECT_EQ(Ledger::Get().order(), "wtl") << "run to the end";
  Ledger::Get().Reset();
  {
    Coroutine run = idiom();
    run.frame().resume();
  }
  EXPECT_EQ(Ledger::Get().order(), "wtl") << "destroyed while suspended";
}

}  // namespace
}  // namespace gyre
