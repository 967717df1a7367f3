#include "gyre/runtime/internal/buffer_pool.h"

#include <cstring>
#include <new>
#include <thread>
#include <vector>

#include "gtest/gtest.h"
#include "gyre/runtime/internal/allocation.h"
#include "gyre/runtime/loop.h"
#include "gyre/runtime/task.h"
#include "gyre/tests/support/worlds.h"

namespace gyre::internal {
namespace {

using testing::OnEpoll;

BufferPool& Pool() { return Loop::Current().buffer_pool(); }

TEST(BufferPool, LeasesBothSizesWritableToTheirLastByte) {
  OnEpoll([]() -> Task<> {
    BufferBlock* const small = Pool().Lease(/*is_large=*/false);
    BufferBlock* const large = Pool().Lease(/*is_large=*/true);
    EXPECT_EQ(small->capacity, BufferPool::kSmallBytes);
    EXPECT_EQ(large->capacity, BufferPool::kLargeBytes);
    std::memset(small->data(), 1, small->capacity);
    std::memset(large->data(), 2, large->capacity);
    EXPECT_EQ(Pool().leased(), 2u);
    BufferPool::Free(small);
    BufferPool::Free(large);
    EXPECT_EQ(Pool().leased(), 0u);
    co_return;
  });
}

TEST(BufferPool, GivesBackTheBlockFreedLast) {
  OnEpoll([]() -> Task<> {
    BufferBlock* const first = Pool().Lease(false);
    BufferBlock* const second = Pool().Lease(false);
    BufferPool::Free(first);
    BufferPool::Free(second);
    EXPECT_EQ(Pool().Lease(false), second);
    EXPECT_EQ(Pool().Lease(false), first);
    BufferPool::Free(first);
    BufferPool::Free(second);
    co_return;
  });
}

TEST(BufferPool, BlocksMayBeFreedInAnyOrder) {
  OnEpoll([]() -> Task<> {
    std::vector<BufferBlock*> blocks;
    for (int i = 0; i < 9; ++i) blocks.push_back(Pool().Lease(i % 3 == 0));
    for (int i : {4, 0, 8, 3, 1, 7, 2, 6, 5}) BufferPool::Free(blocks[i]);
    EXPECT_EQ(Pool().leased(), 0u);
    co_return;
  });
}

int g_allocations = 0;
bool g_may_allocate = true;
bool CountAllocation(size_t) {
  ++g_allocations;
  return g_may_allocate;
}

// The hook must be set while no loop runs.
class BufferPoolMemory : public ::testing::Test {
 protected:
  void SetUp() override {
    g_allocations = 0;
    g_may_allocate = true;
    SetAllocationHook(&CountAllocation);
  }
  void TearDown() override { SetAllocationHook(nullptr); }
};

TEST_F(BufferPoolMemory, KeepsALimitedNumberOfFreeBlocks) {
  OnEpoll([]() -> Task<> {
    constexpr size_t kMany = BufferPool::kKeepMax + 10;
    for (int round = 0; round < 2; ++round) {
      g_allocations = 0;
      std::vector<BufferBlock*> blocks;
      for (size_t i = 0; i < kMany; ++i) blocks.push_back(Pool().Lease(false));
      EXPECT_EQ(g_allocations, round == 0 ? static_cast<int>(kMany) : 10);
      for (BufferBlock* block : blocks) BufferPool::Free(block);
    }
    co_return;
  });
}

TEST_F(BufferPoolMemory, LeaseFailsWithBadAllocAndRecovers) {
  OnEpoll([]() -> Task<> {
    g_may_allocate = false;
    EXPECT_THROW(Pool().Lease(false), std::bad_alloc);
    EXPECT_EQ(Pool().leased(), 0u);
    g_may_allocate = true;
    BufferPool::Free(Pool().Lease(false));
    co_return;
  });
}

TEST(BufferPool, ABlockMayOutliveItsLoop) {
  BufferBlock* block = nullptr;
  OnEpoll([&block]() -> Task<> {
    block = Pool().Lease(false);
    BufferPool::Free(Pool().Lease(true));
    co_return;
  });
  std::memset(block->data(), 3, block->capacity);
  BufferPool::Free(block);
}

TEST(BufferPoolDeathTest, ABlockMustNotBeFreedOnAnotherThreadWhileItsLoopRuns) {
  EXPECT_DEATH(OnEpoll([]() -> Task<> {
                 BufferBlock* const block = Pool().Lease(false);
                 std::thread([block] { BufferPool::Free(block); }).join();
                 co_return;
               }),
               "a Buffer was destroyed on another loop");
}

}  // namespace
}  // namespace gyre::internal
