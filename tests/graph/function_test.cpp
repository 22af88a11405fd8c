// SPDX-License-Identifier: Apache-2.0
// Function holds what the user can call, as std::function does, without <functional> behind the public header.
#include "thalweg/graph/function.h"

#include <gtest/gtest.h>

#include <functional>
#include <memory>
#include <string>
#include <type_traits>

#include "message.h"
#include "thalweg/graph/error.h"

namespace thalweg {
namespace {

using testing::message_of;

int twice(int x) { return 2 * x; }

TEST(Function, CallsWhatItHolds) {
  int step = 3;
  const Function<int(int)> lambda = [step](int x) { return x + step; };
  EXPECT_EQ(lambda(4), 7);
  const Function<int(int)> pointer = twice;
  EXPECT_EQ(pointer(4), 8);
  const Function<std::string(const std::string&)> standard =
      std::function<std::string(const std::string&)>([](const std::string& text) { return text + "!"; });
  EXPECT_EQ(standard("so"), "so!");
  const std::function<int(int)> back = lambda;
  EXPECT_EQ(back(1), 4);
}

TEST(Function, DropsTheResultThatNobodyAskedFor) {
  int calls = 0;
  const Function<void()> f = [&calls] { return ++calls; };
  f();
  f();
  EXPECT_EQ(calls, 2);
}

TEST(Function, PassesReferencesAndMovesValues) {
  const Function<void(std::string&)> grow = [](std::string& text) { text += "x"; };
  std::string text = "a";
  grow(text);
  EXPECT_EQ(text, "ax");
  const Function<std::unique_ptr<int>(std::unique_ptr<int>)> pass = [](std::unique_ptr<int> p) { return p; };
  EXPECT_EQ(*pass(std::make_unique<int>(5)), 5);
}

TEST(Function, IsCopiedWithWhatItHolds) {
  Function<int()> count = [n = 0]() mutable { return ++n; };
  EXPECT_EQ(count(), 1);
  Function<int()> copy = count;
  EXPECT_EQ(copy(), 2);
  EXPECT_EQ(copy(), 3);
  EXPECT_EQ(count(), 2);
  count = copy;
  EXPECT_EQ(count(), 4);
  EXPECT_EQ(copy(), 4);
}

TEST(Function, EndsWhatItHoldsOnce) {
  const auto counted = std::make_shared<int>(0);
  {
    Function<int()> f = [counted] { return *counted; };
    Function<int()> g = std::move(f);
    EXPECT_FALSE(f);  // NOLINT: what a move leaves is empty
    EXPECT_EQ(counted.use_count(), 2);
    f = g;
    EXPECT_EQ(counted.use_count(), 3);
    g = nullptr;
    EXPECT_EQ(counted.use_count(), 2);
    f = *&f;
    EXPECT_EQ(f(), 0);
  }
  EXPECT_EQ(counted.use_count(), 1);
}

TEST(Function, OfNothingIsEmptyAndSaysSoWhenCalled) {
  int (*const null)(int) = nullptr;
  EXPECT_FALSE(Function<int(int)>());
  EXPECT_FALSE(Function<int(int)>(nullptr));
  EXPECT_FALSE(Function<int(int)>(null));
  EXPECT_FALSE(Function<int(int)>(std::function<int(int)>()));
  EXPECT_FALSE(Function<long(int)>(Function<int(int)>()));
  EXPECT_TRUE(Function<int(int)>(twice));
  EXPECT_EQ(message_of([] { static_cast<void>(Function<int(int)>()(1)); }), "a function that holds nothing was called");
}

/// Overloads that take functions of different kinds are told apart by what can be called.
static_assert(std::is_convertible_v<int (*)(int), Function<int(int)>>);
static_assert(!std::is_convertible_v<int (*)(std::string), Function<int(int)>>);
static_assert(!std::is_convertible_v<int, Function<int(int)>>);
static_assert(!std::is_convertible_v<std::string (*)(int), Function<int(int)>>);
static_assert(std::is_convertible_v<std::string (*)(int), Function<void(int)>>);

}  // namespace
}  // namespace thalweg
