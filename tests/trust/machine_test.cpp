// SPDX-License-Identifier: Apache-2.0
// The same bits on however many cores; a clear error where the machine gives fewer threads or less memory than needed.
#include <gtest/gtest.h>

#include "../data/files.h"
#include "process.h"
#include "soak.h"

namespace thalweg {
namespace {

using testing::content_of;
using testing::count_of;
using testing::Folder;
using testing::report;
using testing::Worker;

TEST(Threads, OneTrainingHasTheSameBitsOnAnyNumberOfCores) {
  const std::string epochs = std::to_string(count_of("THALWEG_SOAK_EPOCHS", 2));
  std::uint64_t runs = 0;
  for (const std::string net : {"mlp", "job", "cnn"}) {
    const Folder folder;
    Worker first({net, "-", "0", folder.file("expected"), epochs});
    ASSERT_EQ(first.wait(), 0) << first.text();
    const auto expect_same = [&](const std::string& what, std::vector<std::string> environment,
                                 std::vector<std::string> wrapper) {
      Worker worker({net, "-", "0", folder.file("out"), epochs}, std::move(environment), std::move(wrapper));
      ASSERT_EQ(worker.wait(), 0) << what << ": " << worker.text();
      EXPECT_EQ(content_of(folder.file("out")), content_of(folder.file("expected"))) << net << " with " << what;
      ++runs;
    };
    for (const char* threads : {"1", "2", "3", "4", "7"})
      expect_same(std::string("OMP_NUM_THREADS=") + threads, {std::string("OMP_NUM_THREADS=") + threads}, {});
    expect_same("one core", {}, {"taskset", "-c", "0"});
    expect_same("OMP_DYNAMIC", {"OMP_DYNAMIC=true"}, {});
    expect_same("OMP_PROC_BIND", {"OMP_PROC_BIND=true", "OMP_NUM_THREADS=2"}, {});
    expect_same("memory that is filled", {"MALLOC_PERTURB_=165"}, {});
  }
  report("trainings with the same bits on other threads", runs);
}

TEST(Threads, TooFewAreAnErrorAndNoHang) {
  const Folder folder;
  Worker worker({"job", "-", "0", folder.file("out")}, {"OMP_THREAD_LIMIT=2"});
  EXPECT_EQ(worker.wait(), 3);
  EXPECT_CONTAINS(worker.text(), "this program needs 4 threads, and OMP_THREAD_LIMIT allows 2");
  EXPECT_FALSE(std::filesystem::exists(folder.file("out")));
}

TEST(Memory, ALimitIsAnErrorAndNoCrash) {
#if defined(__SANITIZE_ADDRESS__)
  GTEST_SKIP() << "the sanitizer's shadow is larger than any limit";
#endif
  const Folder folder;
  const std::string out = folder.file("out");
  // From where the process cannot even start to where nothing is missing.
  const std::uint64_t step = count_of("THALWEG_SOAK_MEMORY_STEP", 60'000);
  int refused = 0, trained = 0;
  for (std::uint64_t kilobytes = 80'000; kilobytes < 900'000; kilobytes += step) {
    Worker worker({"cnn", "-", "0", out, "1"}, {},
                  {"/bin/sh", "-c", "ulimit -v " + std::to_string(kilobytes) + "; exec \"$0\" \"$@\""});
    const int status = worker.wait();
    if (status == 127 || status == 126) continue;  // the system's loader gave up
    EXPECT_TRUE(status == 0 || status == 3) << kilobytes << " kB: status " << status << "\n" << worker.text();
    if (status == 0) ++trained;
    if (status == 3) {
      ++refused;
      EXPECT_CONTAINS(worker.text(), "RLIMIT_AS");
    }
  }
  EXPECT_GT(trained, 0);
  EXPECT_GT(refused, 0);
}

}  // namespace
}  // namespace thalweg
