// SPDX-License-Identifier: Apache-2.0
// The handles that public classes hold their objects by.
#include <gtest/gtest.h>

#include <memory>
#include <thread>
#include <type_traits>
#include <vector>

#include "thalweg/graph/shared.h"

namespace thalweg::detail {
namespace {

/// Counts its ends.
struct Counted {
  explicit Counted(int* ends) : ends_(ends) {}
  Counted(const Counted&) = delete;
  Counted& operator=(const Counted&) = delete;
  ~Counted() { ++*ends_; }
  int* ends_;
};
struct Derived : Counted {
  explicit Derived(int* ends, std::shared_ptr<int> more) : Counted(ends), more_(std::move(more)) {}
  std::shared_ptr<int> more_;
};

TEST(Shared, AnObjectEndsOnceWithItsLastHandle) {
  int ends = 0;
  {
    Shared<Counted> a = share<Counted>(&ends);
    Shared<Counted> b = a, c;
    c = b;
    EXPECT_EQ(a, b);
    EXPECT_EQ(c->ends_, &ends);
    a = {};
    b = std::move(c);
    EXPECT_FALSE(a);
    EXPECT_FALSE(c);  // NOLINT: what a moved handle holds is what is looked at
    EXPECT_EQ(ends, 0);
    Shared<Counted>& same = b;
    b = same;
    EXPECT_TRUE(b);
    b = share<Counted>(&ends);
    EXPECT_EQ(ends, 1);
  }
  EXPECT_EQ(ends, 2);
}

TEST(Shared, AHandleOfItsBaseEndsTheWholeObject) {
  int ends = 0;
  const auto more = std::make_shared<int>(1);
  Shared<const Counted> base = share<Derived>(&ends, more);
  EXPECT_EQ(more.use_count(), 2);
  base = {};
  EXPECT_EQ(ends, 1);
  EXPECT_EQ(more.use_count(), 1);
  static_assert(!std::is_constructible_v<Shared<Derived>, Shared<Counted>>);
  static_assert(!std::is_constructible_v<Shared<Counted>, Shared<const Counted>>);
}

TEST(Shared, ThreadsCopyAndDropHandlesOfOneObject) {
  int ends = 0;
  {
    const Shared<Counted> first = share<Counted>(&ends);
    std::vector<std::thread> threads;
    for (int t = 0; t < 4; ++t)
      threads.emplace_back([handle = first] {
        for (int i = 0; i < 10'000; ++i) {
          const Shared<Counted> again = handle;
          if (!again) return;
        }
      });
    for (std::thread& thread : threads) thread.join();
    EXPECT_EQ(ends, 0);
  }
  EXPECT_EQ(ends, 1);
}

}  // namespace
}  // namespace thalweg::detail
