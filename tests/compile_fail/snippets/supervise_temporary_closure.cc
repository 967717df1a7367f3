// must fail on gcc 12: name the lambda and pass it as an lvalue, or capture by reference
#include <string>

#include "gyre/runtime/with_scope.h"

gyre::Task<> Caller(std::string text) {
  co_await gyre::Supervise([](const gyre::TaskInfo&, const gyre::Outcome<>&) {},
                           [text](gyre::Scope&) -> gyre::Task<> { co_return; });
}
