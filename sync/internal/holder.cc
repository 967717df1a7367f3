#include "gyre/sync/internal/holder.h"

namespace gyre::internal {

std::string HolderTask<true>::ToString() const {
  if (loop_ == kNoLoop) return "by a thread without a loop, ";
  const std::string text = id_ != 0 ? "by task " + std::to_string(id_) : std::string("by what is in no task");
  return text + " of loop " + std::to_string(loop_) + ", ";
}

std::string Holder::ToString() const {
  return task_.ToString() + "since " + where_.file_name() + ":" + std::to_string(where_.line()) + " (" +
         where_.function_name() + ")";
}

void Holdings<true>::Add(Holding<true>& holding, const Holder& holder) {
  holding.holder_ = holder;
  holding.previous_ = nullptr;
  holding.next_ = first_;
  if (first_ != nullptr) first_->previous_ = &holding;
  first_ = &holding;
}

void Holdings<true>::Remove(Holding<true>& holding) {
  (holding.previous_ != nullptr ? holding.previous_->next_ : first_) = holding.next_;
  if (holding.next_ != nullptr) holding.next_->previous_ = holding.previous_;
}

void Holdings<true>::Move(Holding<true>& from, Holding<true>& to) {
  Remove(from);
  Add(to, from.holder_);
}

std::string Holdings<true>::ToString() const {
  constexpr size_t kNamedMax = 4;
  std::string text;
  size_t count = 0;
  for (const Holding<true>* holding = first_; holding != nullptr; holding = holding->next_) {
    if (count++ < kNamedMax) text += (text.empty() ? "held " : " and ") + holding->holder_.ToString();
  }
  if (count > kNamedMax) text += " and " + std::to_string(count - kNamedMax) + " more";
  return text;
}

}  // namespace gyre::internal
