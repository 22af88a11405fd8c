// SPDX-License-Identifier: Apache-2.0
// The same bits on however many cores; a clear error where the machine gives fewer threads or less memory than needed.
#include <gtest/gtest.h>
#include <malloc.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <map>

#include "../data/files.h"
#include "data_limit.h"
#include "job.h"
#include "process.h"
#include "sanitized.h"
#include "soak.h"
#include "thalweg/lib/base/memory.h"

namespace thalweg {
namespace {

using testing::content_of;
using testing::count_of;
using testing::Folder;
using testing::report;
using testing::sanitized;
using testing::Worker;

/// Trains in processes of 1, 2, 3, 4 and 7 threads, on one core, and more; returns how often the bits were the same.
std::uint64_t expect_same_bits(const std::vector<std::string>& nets, const std::string& epochs) {
  std::uint64_t runs = 0;
  for (const std::string& net : nets) {
    const Folder folder;
    Worker first({net, "-", "0", folder.file("expected"), epochs});
    EXPECT_EQ(first.wait(), 0) << first.text();
    EXPECT_GT(content_of(folder.file("expected")).size(), 100u) << net;
    const auto expect_same = [&](const std::string& what, std::vector<std::string> environment,
                                 std::vector<std::string> wrapper) {
      Worker worker({net, "-", "0", folder.file("out"), epochs}, std::move(environment), std::move(wrapper));
      EXPECT_EQ(worker.wait(), 0) << what << ": " << worker.text();
      // The texts are long: whether they are the same is all that there is to say.
      EXPECT_TRUE(content_of(folder.file("out")) == content_of(folder.file("expected"))) << net << " with " << what;
      ++runs;
    };
    for (const char* threads : {"1", "2", "3", "4", "7"})
      expect_same(std::string("OMP_NUM_THREADS=") + threads, {std::string("OMP_NUM_THREADS=") + threads}, {});
    expect_same("one core", {}, {"taskset", "-c", "0"});
    expect_same("OMP_DYNAMIC", {"OMP_DYNAMIC=true"}, {});
    expect_same("OMP_PROC_BIND", {"OMP_PROC_BIND=true", "OMP_NUM_THREADS=2"}, {});
    expect_same("memory that is filled", {"MALLOC_PERTURB_=165"}, {});
  }
  return runs;
}

TEST(Threads, OneTrainingHasTheSameBitsOnAnyNumberOfCores) {
  const std::string epochs = std::to_string(count_of("THALWEG_SOAK_EPOCHS", 2));
  report("trainings with the same bits on other threads", expect_same_bits({"mlp", "job", "cnn"}, epochs));
}

TEST(Threads, AnEpochOfHandwrittenDigitsHasTheSameBitsOnAnyNumberOfCores) {
  const char* data = std::getenv("THALWEG_DATA");
  if (data == nullptr || !std::filesystem::exists(std::string(data) + "/mnist"))
    GTEST_SKIP() << "THALWEG_DATA names no folder with mnist";
  report("epochs of MNIST with the same bits on other threads",
         expect_same_bits({"mnist_mlp", "mnist_cnn", "mnist_norm"}, "1"));
}

TEST(Threads, WhereTheSystemStartsNoMoreThereIsAnError) {
  // Root may start any number: another user is asked to.
  if (std::system("setpriv --reuid=65534 --clear-groups true 2>/dev/null") != 0) GTEST_SKIP() << "needs root and setpriv";
  const Folder folder;
  const std::string out = folder.file("out");
  std::filesystem::permissions(std::filesystem::path(out).parent_path(), std::filesystem::perms::all);
  Worker worker({"job", "-", "0", out, "1"}, {},
                {"prlimit", "--nproc=2", "setpriv", "--reuid=65534", "--clear-groups"});
  const int status = worker.wait();
  if (status == 126 || status == 127) GTEST_SKIP() << "the worker cannot be read by another user";
  EXPECT_EQ(status, 3) << worker.text();
  EXPECT_CONTAINS(worker.text(), "this program needs 4 threads, and the system starts no more than");
}

TEST(Threads, TooFewAreAnErrorAndNoHang) {
  const Folder folder;
  Worker worker({"job", "-", "0", folder.file("out")}, {"OMP_THREAD_LIMIT=2"});
  EXPECT_EQ(worker.wait(), 3);
  EXPECT_CONTAINS(worker.text(), "this program needs 4 threads, and OMP_THREAD_LIMIT allows 2");
  EXPECT_FALSE(std::filesystem::exists(folder.file("out")));
}

TEST(Valgrind, FindsNothingInATraining) {
  if (sanitized) GTEST_SKIP() << "the sanitizer looks at memory in its own way";
  if (std::system("valgrind --version >/dev/null 2>&1") != 0) GTEST_SKIP() << "valgrind is not installed";
  const Folder folder;
  for (const std::string net : {"job", "cnn"}) {
    // Kernels that are written when a program is compiled take the place of others: their code is looked at anew.
    Worker worker({net, folder.file(net + " runs"), "2", folder.file(net), "1"}, {},
                  {"valgrind", "--quiet", "--error-exitcode=9", "--smc-check=all-non-file"});
    EXPECT_EQ(worker.wait(), 0) << worker.text();
    EXPECT_TRUE(std::filesystem::exists(folder.file(net))) << net;
  }
}

TEST(Memory, ALimitIsAnErrorAndNoCrash) {
  if (sanitized) GTEST_SKIP() << "the sanitizer takes more addresses than any limit leaves";
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
      // The heading, and ten lines `    bytes  node`.
      const std::string list = worker.text().substr(worker.text().find("Its largest tensors:"));
      EXPECT_EQ(std::count(list.begin(), list.end(), '\n'), 11) << list;
    }
  }
  EXPECT_GT(trained, 0);
  EXPECT_GT(refused, 0);
}

TEST(Memory, WhatALimitOfDataLeavesIsToldBeforeTheFirstStep) {
  if (sanitized) GTEST_SKIP() << "the sanitizer takes more memory than the limit leaves";
  const Folder folder;
  int refused = 0, trained = 0;
  for (int kilobytes = 5'000; kilobytes <= 80'000; kilobytes += 15'000) {
    const std::string runs = folder.file("runs" + std::to_string(kilobytes));
    Worker worker({"cnn", runs, "1", folder.file("out"), "1"}, {},
                  {"/bin/sh", "-c", "ulimit -d " + std::to_string(kilobytes) + "; exec \"$0\" \"$@\""});
    const int status = worker.wait();
    EXPECT_TRUE(status == 0 || status == 3) << kilobytes << " kB: status " << status << "\n" << worker.text();
    if (status == 0) ++trained;
    if (status != 3) continue;
    ++refused;
    EXPECT_CONTAINS(worker.text(), "RLIMIT_DATA");
    // No step was made: none was saved.
    EXPECT_FALSE(std::filesystem::exists(runs + "/checkpoint-000001.safetensors"));
  }
  EXPECT_GT(trained, 0);
  EXPECT_GT(refused, 0);
}

/// A system with so much memory, whose control groups say what `files` holds.
std::string machine(const Folder& folder, const std::string& groups, const std::map<std::string, std::string>& files) {
  const std::string root = folder.file("root");
  std::filesystem::remove_all(root);
  const auto write = [&](const std::string& path, const std::string& text) {
    std::filesystem::create_directories(std::filesystem::path(root + path).parent_path());
    std::ofstream(root + path) << text;
  };
  write("/proc/meminfo", "MemTotal: 2000 kB\nMemFree: 10 kB\nMemAvailable:    1000 kB\n");
  write("/proc/self/cgroup", groups);
  for (const auto& [path, text] : files) write("/sys/fs/cgroup/" + path, text);
  return root;
}

TEST(Memory, ControlGroupsLimitIt) {
  const Folder folder;
  const auto left = [&](const std::string& groups, const std::map<std::string, std::string>& files) {
    const MemoryLimit limit = memory_limit(machine(folder, groups, files));
    return std::to_string(limit.left) + " " + limit.name.substr(limit.name.rfind("cgroup") + 1);
  };
  EXPECT_EQ(left("0::/\n", {}), "1024000 MemAvailable");
  EXPECT_EQ(left("0::/a/b\n", {{"a/b/memory.max", "max\n"}}), "1024000 MemAvailable");
  EXPECT_EQ(left("0::/a/b\n", {{"a/b/memory.max", "9000\n"}, {"a/b/memory.current", "2000\n"}}),
            "7000 group/a/b/memory.max");
  // A group around it may be narrower; and where nothing is left, nothing is.
  EXPECT_EQ(left("0::/a/b\n", {{"a/b/memory.max", "9000\n"}, {"a/memory.max", "5000\n"}, {"a/memory.current", "6000\n"}}),
            "0 group/a/memory.max");
  // The page cache of files that were read is given up before anything else.
  EXPECT_EQ(left("0::/a\n", {{"a/memory.max", "9000\n"}, {"a/memory.current", "8000\n"},
                             {"a/memory.stat", "anon 10\nfile 7000\ninactive_anon 5\ninactive_file 6000\nactive_file 1000\n"}}),
            "7000 group/a/memory.max");
  // A container sees its group as the root.
  EXPECT_EQ(left("0::/\n", {{"memory.max", "3000\n"}}), "3000 group/memory.max");
  EXPECT_EQ(left("5:cpu:/x\n4:memory,hugetlb:/y\n0::/\n",
                 {{"memory/y/memory.limit_in_bytes", "4000\n"}, {"memory/y/memory.usage_in_bytes", "3000\n"},
                  {"memory/y/memory.stat", "cache 5\ntotal_inactive_file 500\n"}}),
            "1500 group/memory/y/memory.limit_in_bytes");
  for (const char* garbage : {"", "\n", "0\n", "::", "0::", ":memory:", "x:y", "1:memory:"})
    EXPECT_EQ(left(garbage, {}), "1024000 MemAvailable") << garbage;
}

TEST(Memory, OfVariablesThatProgramsShareCountsOnce) {
  if (sanitized) GTEST_SKIP() << "the sanitizer takes memory of its own";
  Graph g("shared");
  const Value w = variable(g, "w", f32(25'000'000), random_uniform_init({.low = -1, .high = 1}));
  g.output("sum", sum(w));
  const Program first = compile(g, {.logical_threads = 1});
  const testing::DataLimit limit(50'000'000);  // half of the variable
  ASSERT_TRUE(limit.is_set());
  EXPECT_NO_THROW(compile(g, {.logical_threads = 1, .variables = first.variables()}));
  EXPECT_THROW(compile(g, {.logical_threads = 1}), RunError);
}

TEST(Environment, WhateverIsMissingTheBitsAreTheSame) {
  const Folder folder;
  const std::string out = folder.file("out"), expected = folder.file("expected");
  Worker first({"job", "-", "0", expected, "2"});
  ASSERT_EQ(first.wait(), 0) << first.text();
  const auto shell = [](const std::string& commands) {
    return std::vector<std::string>{"/bin/sh", "-c", commands + "exec \"$0\" \"$@\""};
  };
  struct Case {
    const char* what;
    std::vector<std::string> environment, wrapper;
  };
  std::vector<std::string> empty_environment{"env", "-i"};
  if (const char* isa = std::getenv("ONEDNN_MAX_CPU_ISA"))  // another instruction set has other bits
    empty_environment.push_back(std::string("ONEDNN_MAX_CPU_ISA=") + isa);
  std::vector<Case> cases{
      {"no environment", {}, empty_environment},
      {"no HOME", {}, {"env", "-u", "HOME"}},
      {"a locale that is not there", {"LC_ALL=xx_YY.UTF-8", "LANG=xx_YY"}, {}},
      {"a HOME and a TMPDIR that are not there", {"HOME=/nowhere", "TMPDIR=/nowhere"}, {}},
      {"a folder that nothing can be written to", {}, shell("cd /sys; ")},
      {"a folder that is gone", {}, shell("mkdir " + folder.file("gone") + "; cd " + folder.file("gone") + "; rmdir " +
                                          folder.file("gone") + "; ")},
      {"no standard input", {}, shell("exec <&-; ")},
      {"no standard input and output", {}, shell("exec <&- >&-; ")},
      {"clocks that jump", {"THALWEG_TRUST_CLOCK=1"}, {}}};
  if (std::system("unshare -rm true 2>/dev/null") == 0) {
    if (!sanitized)  // which looks for leaks in /proc
      cases.push_back({"no /proc", {}, {"unshare", "-rm", "/bin/sh", "-c",
                                        "mount -t tmpfs none /proc && test ! -e /proc/self && exec \"$0\" \"$@\""}});
    cases.push_back({"no /sys", {}, {"unshare", "-rm", "/bin/sh", "-c", "mount -t tmpfs none /sys && exec \"$0\" \"$@\""}});
  }
  for (const Case& c : cases) {
    std::filesystem::remove(out);
    Worker worker({"job", "-", "0", out, "2"}, c.environment, c.wrapper);
    EXPECT_EQ(worker.wait(), 0) << c.what << ": " << worker.text();
    EXPECT_TRUE(content_of(out) == content_of(expected)) << c.what;
  }
}

TEST(Exit, WhileATrainingRunsAndWithProgramsThatOutliveItIsClean) {
  const Folder folder;
  for (int i = 0; i < 5; ++i) {
    Worker leaves({"leaves", folder.file("runs" + std::to_string(i)), "1", folder.file("out"), "4"});
    EXPECT_EQ(leaves.wait(), 5) << leaves.text();
    EXPECT_EQ(leaves.text(), "");
    Worker statics({"statics", "-", "0", folder.file("out"), "1"});
    EXPECT_EQ(statics.wait(), 0) << statics.text();
    EXPECT_EQ(statics.text(), "");
  }
}

TEST(Programs, MadeAndDestroyedManyTimesTakeNoMoreMemory) {
  if (sanitized) GTEST_SKIP() << "the sanitizer counts what is left over itself";
  const std::uint64_t cycles = count_of("THALWEG_SOAK_PROGRAMS", 60);
  const Dataset data = testing::spiral(16);
  const auto cycle = [&] {
    Program program = compile(testing::job_mlp(16, Adam{}), {.logical_threads = 2});
    program.feed("x", data.inputs);
    program.feed("t", data.labels);
    program.run();
    EXPECT_TRUE(program.finite());
  };
  for (int i = 0; i < 5; ++i) cycle();  // oneDNN keeps the kernels that it has written
  const std::size_t before = mallinfo2().uordblks + mallinfo2().hblkhd;
  for (std::uint64_t i = 0; i < cycles; ++i) cycle();
  const std::size_t after = mallinfo2().uordblks + mallinfo2().hblkhd;
  EXPECT_LT(after, before + 100 * cycles + 20'000) << "from " << before << " bytes";
  report("programs made and destroyed", cycles);
}

/// Bytes of this process that lie in memory.
std::size_t resident_bytes() {
  std::ifstream statm("/proc/self/statm");
  std::size_t size = 0, resident = 0;
  statm >> size >> resident;
  return resident * static_cast<std::size_t>(sysconf(_SC_PAGESIZE));
}

TEST(Programs, OfManyShapesTakeNoMoreThanOneDnnKeeps) {
  if (sanitized) GTEST_SKIP() << "the sanitizer keeps what was freed";
  const std::uint64_t shapes = count_of("THALWEG_SOAK_PROGRAMS", 60);
  const auto compile_all = [&] {
    for (std::uint64_t i = 0; i < shapes; ++i) {
      const Dim batch = 1 + 31 * static_cast<Dim>(i);  // from where our own kernels are faster to where oneDNN's are
      EXPECT_GT(compile(testing::job_cnn(batch), {.logical_threads = 1}).memory().arena, 0u);
    }
  };
  const std::size_t before = resident_bytes();
  compile_all();
  const std::size_t between = resident_bytes();
  compile_all();
  const std::size_t after = resident_bytes();
  // It keeps the last 1,024 kernels, each with its code, and no more; a program has some eight.
  const std::size_t kept = std::min<std::size_t>(1024, 8 * shapes) * 128 * 1024;
  EXPECT_LT(between, before + kept) << "from " << before << " bytes";
  EXPECT_LT(after, between + 16'000'000) << "from " << before << " bytes: the same programs took more the second time";
  report("programs of different shapes", shapes);
  report("bytes that they left", after - std::min(after, before));
}

TEST(Library, IsLoadedAndUnloadedAgainAndAgain) {
  const char* loader = std::getenv("THALWEG_TRUST_LOADER");
  if (loader == nullptr) GTEST_SKIP() << "run this test by meson";
  EXPECT_EQ(std::system((std::string(loader) + " " + std::to_string(count_of("THALWEG_SOAK_LOADS", 20))).c_str()), 0);
}

}  // namespace
}  // namespace thalweg
