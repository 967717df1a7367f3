#include "gyre/runtime/internal/waiting.h"

#include <cstddef>
#include <source_location>

#include "gyre/runtime/internal/place_text.h"
#include "gyre/runtime/internal/scope_core.h"
#include "gyre/runtime/internal/task_core.h"
#include "gyre/runtime/leaf.h"

namespace gyre::internal {
namespace {

constexpr size_t kFramesMax = 12;
constexpr size_t kLinesMax = 20;

}  // namespace

std::string DescribeTask(const TaskCore& task) {
  std::string text = "task " + std::to_string(task.id());
  if (task.has_name()) text += " \"" + std::string(task.name()) + "\"";
  return text;
}

std::string DescribeStack(const PromiseBase& innermost) {
  std::string text;
  size_t depth = 0;
  for (const PromiseBase* frame = &innermost; frame != nullptr; frame = frame->awaiter()) {
    const std::source_location where = frame->place().where();
    if (where.line() == 0) continue;
    if (depth++ == kFramesMax) return text + ", ...";
    text += (text.empty() ? " at " : ", awaited at ") + PlaceText(where);
  }
  return text;
}

std::string DescribeLeaf(const Leaf& leaf) {
  const TaskCore* const task = leaf.scope_core().NearestTask();
  std::string text = task != nullptr ? DescribeTask(*task) : "what is in no task";
  text += " waits" + DescribeStack(*leaf.waiter_);
  const std::string what = leaf.WaitsFor();
  return what.empty() ? text : text + ", for " + what;
}

std::string DescribeWaiting(LoopCore& loop) {
  std::string text;
  size_t lines = 0;
  auto visit = [&](const Leaf& leaf) {
    if (lines++ < kLinesMax) text += "\n  " + DescribeLeaf(leaf);
  };
  for (LoopRoot* root = loop.roots.front(); root != nullptr; root = loop.roots.Next(*root)) root->top().VisitWaiting(visit);
  if (lines > kLinesMax) text += "\n  and " + std::to_string(lines - kLinesMax) + " more";
  return text;
}

}  // namespace gyre::internal
