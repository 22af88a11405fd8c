// SPDX-License-Identifier: Apache-2.0
// What `thalweg train mnist` reaches on the real set: minutes of work, and only done when it is asked for.
#include <gtest/gtest.h>

#include <string_view>

#include "training.h"

namespace thalweg::project {
namespace {

void expect_accuracy(const std::string& model, double percent) {
  const char* slow = std::getenv("THALWEG_SLOW");
  if (slow == nullptr || std::string_view(slow) != "1") GTEST_SKIP() << "takes minutes; set THALWEG_SLOW=1 to run it";
  const char* data = std::getenv("THALWEG_DATA");
  if (data == nullptr) GTEST_SKIP() << "THALWEG_DATA is not set";
  const Folder folder;
  const std::filesystem::path images = std::filesystem::absolute(std::filesystem::path(data) / "mnist");
  const Ran ran = train(folder.path(), "mnist --model " + model + " --data " + word_of(images));
  ASSERT_EQ(ran.status, 0) << ran.err;
  EXPECT_GE(accuracy_of(ran), percent) << ran.out;
}

TEST(Mnist, TheConvolutionalNetReachesNinetyNinePercent) { expect_accuracy("cnn", 99.0); }
TEST(Mnist, TheDenseNetReachesNinetyEightPercent) { expect_accuracy("mlp", 98.0); }

}  // namespace
}  // namespace thalweg::project
