#include "gyre/runtime/internal/frame_pool.h"

#include <cstdint>
#include <cstring>
#include <vector>

#include "gtest/gtest.h"

namespace gyre::internal {
namespace {

TEST(FramePool, GivesBackTheBlockFreedLast) {
  FramePool pool;
  void* const first = pool.Allocate(100);
  void* const second = pool.Allocate(100);
  FramePool::Free(&pool, first, 100);
  FramePool::Free(&pool, second, 100);
  EXPECT_EQ(pool.Allocate(100), second);
  EXPECT_EQ(pool.Allocate(100), first);
  FramePool::Free(&pool, first, 100);
  FramePool::Free(&pool, second, 100);
}

TEST(FramePool, BlocksAreAlignedToACacheLineAndWritableToTheirLastByte) {
  FramePool pool;
  for (size_t size : {1u, 56u, 57u, 64u, 1000u, 4088u, 4089u, 100000u}) {
    void* const block = pool.Allocate(size);
    EXPECT_EQ(reinterpret_cast<uintptr_t>(block) % FramePool::kGranuleBytes, 0u) << size;
    std::memset(block, 0x5A, size);
    FramePool::Free(&pool, block, size);
  }
  EXPECT_EQ(pool.CountBlocksOut(), 0u);
}

TEST(FramePool, BlocksDoNotOverlap) {
  FramePool pool;
  std::vector<unsigned char*> blocks;
  for (int i = 0; i < 2000; ++i) {
    auto* const block = static_cast<unsigned char*>(pool.Allocate(static_cast<size_t>(i) % 300 + 1));
    std::memset(block, i % 251, static_cast<size_t>(i) % 300 + 1);
    blocks.push_back(block);
  }
  for (int i = 0; i < 2000; ++i) {
    for (int byte = 0; byte < i % 300 + 1; ++byte) ASSERT_EQ(blocks[i][byte], i % 251);
    FramePool::Free(&pool, blocks[i], static_cast<size_t>(i) % 300 + 1);
  }
}

TEST(FramePool, SlabsStayTheSameHoweverOftenBlocksPass) {
  FramePool pool;
  void* const warm = pool.Allocate(500);
  FramePool::Free(&pool, warm, 500);
  const size_t slabs = pool.slabs();
  for (int i = 0; i < 100000; ++i) FramePool::Free(&pool, pool.Allocate(500), 500);
  EXPECT_EQ(pool.slabs(), slabs);
}

TEST(FramePool, CountsWhatIsOut) {
  FramePool pool;
  void* const small = pool.Allocate(64);
  void* const large = pool.Allocate(FramePool::kPooledBytesMax * 2);
  EXPECT_EQ(pool.CountBlocksOut(), 2u);
  FramePool::Free(&pool, small, 64);
  EXPECT_EQ(pool.CountBlocksOut(), 1u);
  FramePool::Free(&pool, large, FramePool::kPooledBytesMax * 2);
  EXPECT_EQ(pool.CountBlocksOut(), 0u);
}

TEST(FramePool, ABlockMadeOutsideIsFreedAnywhere) {
  FramePool pool;
  FramePool::Free(&pool, FramePool::Outside()->Allocate(80), 80);
  FramePool::Free(FramePool::Outside(), FramePool::Outside()->Allocate(80), 80);
  EXPECT_EQ(pool.CountBlocksOut(), 0u);
}

TEST(FramePoolDeathTest, RefusesABlockOfAnotherPool) {
  EXPECT_DEATH(
      {
        FramePool mine;
        FramePool other;
        FramePool::Free(&mine, other.Allocate(80), 80);
      },
      "destroyed on another loop");
}

TEST(FramePoolDeathTest, RefusesALargeBlockOutsideAnyLoop) {
  EXPECT_DEATH(
      {
        FramePool pool;
        FramePool::Free(FramePool::Outside(), pool.Allocate(10000), 10000);
      },
      "destroyed on another loop, or outside any loop");
}

TEST(FramePoolDeathTest, MustNotDieBeforeItsBlocks) {
  EXPECT_DEATH(
      {
        FramePool pool;
        (void)pool.Allocate(80);
      },
      "still alive");
}

}  // namespace
}  // namespace gyre::internal
