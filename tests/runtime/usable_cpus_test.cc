#include "gyre/runtime/internal/usable_cpus.h"

#include <filesystem>
#include <fstream>
#include <string>

#include "gtest/gtest.h"

namespace gyre::internal {
namespace {

// A file system of its own, with control groups as the test writes them.
class FakeRoot {
 public:
  FakeRoot() : path_(::testing::TempDir() + "/" + ::testing::UnitTest::GetInstance()->current_test_info()->name()) {
    std::filesystem::remove_all(path_);
  }
  FakeRoot& Write(const std::string& file, const std::string& text) {
    const std::filesystem::path whole(path_ + file);
    std::filesystem::create_directories(whole.parent_path());
    std::ofstream(whole) << text;
    return *this;
  }
  const std::string& path() const { return path_; }

 private:
  std::string path_;
};

TEST(CgroupCpuQuota, IsNoneWhereThereIsNothing) { EXPECT_EQ(CgroupCpuQuota(FakeRoot().path()), std::nullopt); }

TEST(CgroupCpuQuota, OfVersion2IsTheLeastOfTheGroupAndThoseAbove) {
  FakeRoot root;
  root.Write("/proc/self/cgroup", "0::/outer/inner\n");
  root.Write("/sys/fs/cgroup/outer/inner/cpu.max", "max 100000\n");
  EXPECT_EQ(CgroupCpuQuota(root.path()), std::nullopt);
  root.Write("/sys/fs/cgroup/outer/cpu.max", "150000 100000\n");
  EXPECT_EQ(CgroupCpuQuota(root.path()), 1.5);
  root.Write("/sys/fs/cgroup/outer/inner/cpu.max", "300000 100000\n");
  EXPECT_EQ(CgroupCpuQuota(root.path()), 1.5);
}

TEST(CgroupCpuQuota, OfVersion1IsThatOfTheCpuController) {
  FakeRoot root;
  root.Write("/proc/self/cgroup", "5:memory:/here\n4:cpuacct,cpu:/here\n0::/\n");
  root.Write("/sys/fs/cgroup/cpu/here/cpu.cfs_quota_us", "-1\n");
  root.Write("/sys/fs/cgroup/cpu/here/cpu.cfs_period_us", "100000\n");
  EXPECT_EQ(CgroupCpuQuota(root.path()), std::nullopt);
  root.Write("/sys/fs/cgroup/cpu/here/cpu.cfs_quota_us", "250000\n");
  EXPECT_EQ(CgroupCpuQuota(root.path()), 2.5);
}

// As a container sees it: the path is the host's, the mount shows the group at its top.
TEST(CgroupCpuQuota, IsFoundAtTheTopOfTheMount) {
  FakeRoot root;
  root.Write("/proc/self/cgroup", "0::/docker/0123\n");
  root.Write("/sys/fs/cgroup/cpu.max", "200000 100000\n");
  EXPECT_EQ(CgroupCpuQuota(root.path()), 2.0);
}

TEST(CgroupCpuQuota, IgnoresWhatIsNoNumber) {
  FakeRoot root;
  root.Write("/proc/self/cgroup", "nonsense\n0::/\n");
  root.Write("/sys/fs/cgroup/cpu.max", "many 0\n");
  EXPECT_EQ(CgroupCpuQuota(root.path()), std::nullopt);
  root.Write("/sys/fs/cgroup/cpu.max", "100000 0\n");
  EXPECT_EQ(CgroupCpuQuota(root.path()), std::nullopt);
}

TEST(UsableCpus, IsAtLeastOneAndNoMoreThanTheMaskHas) {
  EXPECT_GE(UsableCpus(), 1);
  EXPECT_LE(static_cast<size_t>(UsableCpus()), AffinityCpus().size());
}

}  // namespace
}  // namespace gyre::internal
