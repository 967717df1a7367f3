// IntrusiveList, IntrusiveRing and IntrusiveQueue: lists of objects that carry their own links, so that nothing is ever allocated.
//
// An object in an IntrusiveList derives from ListHook<T>; one that sits in several lists at once derives from one
// ListHook<T, Tag> for each. An object in an IntrusiveQueue has a public member `T* next`.
//
// Thread-safety: none; one thread, or one lock.
// Lifetime:      a linked object stays where it is: it can't be copied or moved, and must be removed before it dies. A
//                list must be empty when it dies. Both are debug checks.
// Cost:          every operation is O(1), Splice and Append too.
#ifndef GYRE_RUNTIME_INTERNAL_INTRUSIVE_LIST_H_
#define GYRE_RUNTIME_INTERNAL_INTRUSIVE_LIST_H_

#include <cstddef>
#include <iterator>

#include "gyre/runtime/check.h"

namespace gyre::internal {

struct ListLinks {
  ListLinks* list_prev = nullptr;
  ListLinks* list_next = nullptr;
};

template <class T, class Tag>
class IntrusiveList;

// The two links of an object in an IntrusiveList<T, Tag>; null while it is in none. A class with several hooks says
// `using ListHook<...>::is_linked` for the one it means.
template <class T, class Tag = void>
class ListHook : private ListLinks {
 public:
  ListHook() = default;
  ListHook(const ListHook&) = delete;
  ListHook& operator=(const ListHook&) = delete;
  ~ListHook() { GYRE_DCHECK(!is_linked(), "an object must leave its list before it is destroyed"); }

  bool is_linked() const { return list_next != nullptr; }

 private:
  friend class IntrusiveList<T, Tag>;
};

// Doubly linked: an object leaves in O(1) without knowing which list it is in.
template <class T, class Tag = void>
class IntrusiveList {
 public:
  class iterator;

  IntrusiveList() { Reset(); }
  IntrusiveList(const IntrusiveList&) = delete;
  IntrusiveList& operator=(const IntrusiveList&) = delete;
  ~IntrusiveList() { GYRE_DCHECK(empty(), "a list must be empty before it is destroyed"); }

  bool empty() const { return ends_.list_next == &ends_; }

  void PushBack(T& object) { LinkBefore(ends_, LinksOf(object)); }
  void PushFront(T& object) { LinkBefore(*ends_.list_next, LinksOf(object)); }

  // The first or last object, or null.
  T* front() { return empty() ? nullptr : &ObjectOf(*ends_.list_next); }
  const T* front() const { return empty() ? nullptr : &ObjectOf(*ends_.list_next); }
  T* back() { return empty() ? nullptr : &ObjectOf(*ends_.list_prev); }

  bool has_one() const { return !empty() && ends_.list_next == ends_.list_prev; }

  // The object after `object`, which is in this list; null behind the last.
  T* Next(T& object) {
    ListLinks* const next = LinksOf(object).list_next;
    return next == &ends_ ? nullptr : &ObjectOf(*next);
  }

  // Removes the first object; null when there is none.
  T* PopFront() {
    T* const first = front();
    if (first != nullptr) Remove(*first);
    return first;
  }

  // Removes `object` from whichever list of this type it is in.
  static void Remove(T& object) {
    ListLinks& links = LinksOf(object);
    GYRE_DCHECK(links.list_next != nullptr, "the object must be in a list");
    links.list_prev->list_next = links.list_next;
    links.list_next->list_prev = links.list_prev;
    links.list_prev = links.list_next = nullptr;
  }

  // Takes `object` out of whichever list of this type it is in and puts it behind what is here. True if it was the only
  // one in the list it left.
  bool MoveToBack(T& object) {
    ListLinks& links = LinksOf(object);
    GYRE_DCHECK(links.list_next != nullptr, "the object must be in a list");
    ListLinks* const before = links.list_prev;
    ListLinks* const after = links.list_next;
    before->list_next = after;
    after->list_prev = before;
    links.list_prev = ends_.list_prev;
    links.list_next = &ends_;
    ends_.list_prev->list_next = &links;
    ends_.list_prev = &links;
    return before == after;
  }

  // `object` is in a list, and alone there: no look at the list is needed to tell.
  static bool IsAlone(T& object) { return LinksOf(object).list_prev == LinksOf(object).list_next; }

  // Moves all of `other`, in order, behind what is here.
  void Splice(IntrusiveList& other) {
    GYRE_DCHECK(this != &other, "a list can't be spliced into itself");
    if (other.empty()) return;
    other.ends_.list_next->list_prev = ends_.list_prev;
    ends_.list_prev->list_next = other.ends_.list_next;
    other.ends_.list_prev->list_next = &ends_;
    ends_.list_prev = other.ends_.list_prev;
    other.Reset();
  }

  // For range-based for. Removing the object an iterator stands on invalidates that iterator alone.
  iterator begin() { return iterator(ends_.list_next); }
  iterator end() { return iterator(&ends_); }

 private:
  static ListLinks& LinksOf(T& object) { return static_cast<ListHook<T, Tag>&>(object); }
  static T& ObjectOf(ListLinks& links) { return static_cast<T&>(static_cast<ListHook<T, Tag>&>(links)); }

  static void LinkBefore(ListLinks& where, ListLinks& links) {
    GYRE_DCHECK(links.list_next == nullptr, "the object is already in a list");
    links.list_prev = where.list_prev;
    links.list_next = &where;
    where.list_prev->list_next = &links;
    where.list_prev = &links;
  }

  void Reset() { ends_.list_prev = ends_.list_next = &ends_; }

  ListLinks ends_;  // closes the circle, so that no operation asks whether a neighbour exists
};

template <class T, class Tag>
class IntrusiveList<T, Tag>::iterator {
 public:
  using iterator_category = std::forward_iterator_tag;
  using value_type = T;
  using difference_type = std::ptrdiff_t;
  using pointer = T*;
  using reference = T&;

  iterator() = default;
  reference operator*() const { return ObjectOf(*at_); }
  pointer operator->() const { return &ObjectOf(*at_); }
  iterator& operator++() {
    at_ = at_->list_next;
    return *this;
  }
  iterator operator++(int) {
    iterator before = *this;
    ++*this;
    return before;
  }
  bool operator==(const iterator&) const = default;

 private:
  friend class IntrusiveList;
  explicit iterator(ListLinks* at) : at_(at) {}

  ListLinks* at_ = nullptr;
};

// The two links of an object in an IntrusiveRing<T>.
template <class T>
class RingHook {
 private:
  template <class U>
  friend class IntrusiveRing;
  T* ring_next_ = nullptr;
  T* ring_previous_ = nullptr;
};

// Doubly linked with a head of one word, where IntrusiveList takes two; an object leaves only through its own ring.
template <class T>
class IntrusiveRing {
 public:
  bool empty() const { return head_ == nullptr; }
  T* front() const { return head_; }

  void PushBack(T& object) {
    Hook& links = object;
    if (head_ == nullptr) {
      head_ = links.ring_next_ = links.ring_previous_ = &object;
      return;
    }
    Hook& head = *head_;
    links.ring_next_ = head_;
    links.ring_previous_ = head.ring_previous_;
    static_cast<Hook&>(*head.ring_previous_).ring_next_ = &object;
    head.ring_previous_ = &object;
  }

  void Remove(T& object) {
    Hook& links = object;
    GYRE_DCHECK(links.ring_next_ != nullptr, "the object must be in this ring");
    if (head_ == &object) head_ = links.ring_next_ == &object ? nullptr : links.ring_next_;
    static_cast<Hook&>(*links.ring_next_).ring_previous_ = links.ring_previous_;
    static_cast<Hook&>(*links.ring_previous_).ring_next_ = links.ring_next_;
    links.ring_next_ = links.ring_previous_ = nullptr;
  }

 private:
  using Hook = RingHook<T>;
  T* head_ = nullptr;
};

// Singly linked, first in first out: one word in each object (`Node* next`), two in the queue.
template <class Node>
class IntrusiveQueue {
 public:
  IntrusiveQueue() = default;
  IntrusiveQueue(const IntrusiveQueue&) = delete;
  IntrusiveQueue& operator=(const IntrusiveQueue&) = delete;
  ~IntrusiveQueue() { GYRE_DCHECK(empty(), "a queue must be empty before it is destroyed"); }

  bool empty() const { return head_ == nullptr; }
  Node* front() const { return head_; }

  void Push(Node& node) {
    GYRE_DCHECK(tail_ != &node, "the node is already in this queue");
    node.next = nullptr;
    PushChain(node, node);
  }

  // Removes the oldest node; null when there is none.
  Node* Pop() {
    Node* const node = head_;
    if (node == nullptr) return nullptr;
    head_ = node->next;
    if (head_ == nullptr) tail_ = nullptr;
    node->next = nullptr;
    return node;
  }

  // Moves all of `other`, in order, behind what is here.
  void Append(IntrusiveQueue& other) {
    GYRE_DCHECK(this != &other, "a queue can't be appended to itself");
    if (other.empty()) return;
    PushChain(*other.head_, *other.tail_);
    other.head_ = other.tail_ = nullptr;
  }

 private:
  void PushChain(Node& first, Node& last) {
    if (tail_ == nullptr) {
      head_ = &first;
    } else {
      tail_->next = &first;
    }
    tail_ = &last;
  }

  Node* head_ = nullptr;
  Node* tail_ = nullptr;  // null when empty
};

}  // namespace gyre::internal

#endif  // GYRE_RUNTIME_INTERNAL_INTRUSIVE_LIST_H_
