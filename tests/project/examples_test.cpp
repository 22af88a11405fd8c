// SPDX-License-Identifier: Apache-2.0
// The example programs do what they promise.
#include <gtest/gtest.h>

#include "samples.h"
#include "shell.h"

namespace thalweg::project {
namespace {

std::string example(const std::string& name) { return word_of(build_root() / "tools/examples" / name); }

TEST(Examples, IrisLearnsItsFlowers) {
  if (std::getenv("THALWEG_DATA") == nullptr) GTEST_SKIP() << "THALWEG_DATA is not set";
  const Ran ran = run(example("iris"));
  ASSERT_EQ(ran.status, 0) << ran.err;
  const std::string label = "validation accuracy ";
  const std::size_t at = ran.out.find(label);
  ASSERT_NE(at, std::string::npos) << ran.out;
  EXPECT_GE(std::stod(ran.out.substr(at + label.size())), 0.95) << ran.out;
}

TEST(Examples, IrisIsAtMostFortyLines) {
  EXPECT_LE(lines_of(read_text(source_root() / "tools/examples/iris.cpp")).size(), 40U);
}

TEST(Examples, IrisWithoutItsFileSaysSo) {
  const Ran ran = run(example("iris") + " /nowhere/iris.csv");
  EXPECT_EQ(ran.status, 1);
  EXPECT_NE(ran.err.find("/nowhere/iris.csv"), std::string::npos) << ran.err;
}

TEST(Examples, MlpPrintsItsStepAndTrains) {
  const Folder folder;
  write_small_mnist(folder.path() / "data");
  const Ran ran = run("cd " + word_of(folder.path()) + " && " + example("mlp"));
  ASSERT_EQ(ran.status, 0) << ran.err;
  EXPECT_TRUE(ran.out.starts_with("graph mlp {\n")) << ran.out;
  EXPECT_NE(ran.out.find("update @dense/kernel <- "), std::string::npos) << ran.out;
  EXPECT_NE(ran.err.find("val_accuracy"), std::string::npos) << ran.err;
}

TEST(Examples, FlowersReadsTrainsSavesLoadsAndPredicts) {
  const Folder folder;
  write_flowers(folder.path() / "flowers.csv");
  const Ran ran = run("cd " + word_of(folder.path()) + " && " + example("flowers"));
  ASSERT_EQ(ran.status, 0) << ran.err;
  const std::vector<std::string> lines = lines_of(ran.out);
  ASSERT_EQ(lines.size(), 4U) << ran.out;
  ASSERT_TRUE(lines[0].starts_with("test accuracy ")) << ran.out;
  EXPECT_GE(std::stod(lines[0].substr(14)), 0.95);
  double sum = 0;
  for (std::size_t k = 1; k < 4; ++k) sum += std::stod(lines[k].substr(lines[k].find(' ')));
  EXPECT_NEAR(sum, 1, 1e-4) << "probabilities";
  EXPECT_TRUE(std::filesystem::exists(folder.path() / "flowers.safetensors"));
}

TEST(Examples, FlowersWithoutItsFileSaysSo) {
  const Folder folder;
  const Ran ran = run("cd " + word_of(folder.path()) + " && " + example("flowers"));
  EXPECT_EQ(ran.status, 1);
  EXPECT_NE(ran.err.find("flowers.csv"), std::string::npos) << ran.err;
}

TEST(Examples, OtherFrameworksWordsLearnTheDigits) {
  for (const char* name : {"from_keras", "from_pytorch"}) {
    const Folder folder;
    const Ran ran = run("cd " + word_of(folder.path()) + " && " + example(name));
    ASSERT_EQ(ran.status, 0) << name << "\n" << ran.err;
    ASSERT_TRUE(ran.out.starts_with("test accuracy ")) << name << "\n" << ran.out;
    EXPECT_GE(std::stod(ran.out.substr(14)), 0.95) << name;
    EXPECT_TRUE(std::filesystem::exists(folder.path() / "digits.safetensors")) << name;
  }
}

}  // namespace
}  // namespace thalweg::project
