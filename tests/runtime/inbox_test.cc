#include "gyre/runtime/internal/inbox.h"

#include <vector>

#include "gtest/gtest.h"

namespace gyre::internal {
namespace {

using Nodes = std::vector<InboxNode*>;

Nodes AsVector(InboxNode* oldest) {
  Nodes nodes;
  for (InboxNode* node = oldest; node != nullptr; node = node->next) nodes.push_back(node);
  return nodes;
}

TEST(Inbox, HandsNodesOutOldestFirst) {
  Inbox inbox;
  InboxNode a, b, c;
  for (InboxNode* node : {&a, &b, &c}) EXPECT_EQ(inbox.Push(*node), PushResult::kQueued);
  EXPECT_EQ(AsVector(inbox.Take()), (Nodes{&a, &b, &c}));
  EXPECT_EQ(inbox.Take(), nullptr);
}

TEST(Inbox, ANodeCanBePushedAgainOnceTaken) {
  Inbox inbox;
  InboxNode a, b;
  for (int round = 0; round < 3; ++round) {
    EXPECT_EQ(inbox.Push(a), PushResult::kQueued);
    EXPECT_EQ(inbox.Push(b), PushResult::kQueued);
    EXPECT_EQ(AsVector(inbox.Take()), (Nodes{&a, &b}));
  }
}

TEST(Inbox, OnlyTheFirstPushToASleeperMustWake) {
  Inbox inbox;
  InboxNode a, b;
  ASSERT_TRUE(inbox.TrySleep());
  EXPECT_EQ(inbox.Push(a), PushResult::kMustWake);
  EXPECT_EQ(inbox.Push(b), PushResult::kQueued);
  EXPECT_EQ(AsVector(inbox.Take()), (Nodes{&a, &b}));
}

TEST(Inbox, WhoHasMailCantFallAsleep) {
  Inbox inbox;
  InboxNode a;
  EXPECT_EQ(inbox.Push(a), PushResult::kQueued);
  EXPECT_FALSE(inbox.TrySleep());
  EXPECT_EQ(AsVector(inbox.Take()), (Nodes{&a}));
  EXPECT_TRUE(inbox.TrySleep());
}

// A loop that wakes for a timer or a socket takes as usual, and needs no wake-up any more.
TEST(Inbox, TakeWakesASleeperWithoutMail) {
  Inbox inbox;
  InboxNode a;
  ASSERT_TRUE(inbox.TrySleep());
  EXPECT_FALSE(inbox.TrySleep()) << "asleep already";
  EXPECT_EQ(inbox.Take(), nullptr);
  EXPECT_EQ(inbox.Push(a), PushResult::kQueued);
  EXPECT_EQ(AsVector(inbox.Take()), (Nodes{&a}));
}

TEST(Inbox, AChainKeepsItsOrderAndWakesOnce) {
  Inbox inbox;
  InboxNode a, b, c, d;
  ASSERT_TRUE(inbox.TrySleep());
  EXPECT_EQ(inbox.Push(a), PushResult::kMustWake);
  d.next = &c;
  c.next = &b;
  EXPECT_EQ(inbox.PushChain(/*newest=*/d, /*oldest=*/b), PushResult::kQueued);
  EXPECT_EQ(AsVector(inbox.Take()), (Nodes{&a, &b, &c, &d}));
}

TEST(Inbox, CloseHandsOutTheRestAndRefusesLaterNodes) {
  Inbox inbox;
  InboxNode a, b, late;
  EXPECT_EQ(inbox.Push(a), PushResult::kQueued);
  EXPECT_EQ(inbox.Push(b), PushResult::kQueued);
  EXPECT_EQ(AsVector(inbox.Close()), (Nodes{&a, &b}));
  EXPECT_EQ(inbox.Push(late), PushResult::kClosed);
  EXPECT_EQ(inbox.Close(), nullptr);
}

TEST(Inbox, ClosedStaysClosed) {
  Inbox inbox;
  InboxNode late;
  ASSERT_TRUE(inbox.TrySleep());
  EXPECT_EQ(inbox.Close(), nullptr);
  EXPECT_EQ(inbox.Take(), nullptr);
  EXPECT_FALSE(inbox.TrySleep());
  EXPECT_EQ(inbox.Push(late), PushResult::kClosed);
}

#ifdef GYRE_DEBUG_CHECKS
TEST(InboxDeathTest, MustNotDieWithNodesInIt) {
  InboxNode a;
  EXPECT_DEATH(
      {
        Inbox inbox;
        (void)inbox.Push(a);
      },
      "died with nodes");
}
#endif

}  // namespace
}  // namespace gyre::internal
