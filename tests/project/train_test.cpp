// SPDX-License-Identifier: Apache-2.0
// `thalweg train`: what it learns, prints and writes, and how it fails.
#include <gtest/gtest.h>

#include "samples.h"
#include "shell.h"

namespace thalweg::project {
namespace {

Ran train(const std::filesystem::path& folder, const std::string& arguments) {
  return run("cd " + word_of(folder) + " && " + word_of(setting("THALWEG_TOOL")) + " train " + arguments);
}

double accuracy_of(const Ran& ran) {
  const std::vector<std::string> lines = lines_of(ran.out);
  if (lines.empty() || !lines.back().starts_with("test accuracy ") || !lines.back().ends_with(" %")) return -1;
  return std::stod(lines.back().substr(14));
}

TEST(Train, DigitsReachNinetyEightPercentAndEverythingIsWritten) {
  const Folder folder;
  const Ran ran = train(folder.path(), "digits");
  ASSERT_EQ(ran.status, 0) << ran.err;
  EXPECT_GE(accuracy_of(ran), 98.0) << ran.out;
  for (const char* part : {"1,437 training and 360 test samples", "parameters", "FLOPs", "planned memory of a step",
                           "confusion matrix", "written: thalweg-out/weights.safetensors"})
    EXPECT_NE(ran.out.find(part), std::string::npos) << part << "\n" << ran.out;
  EXPECT_NE(ran.err.find("Epoch 1/"), std::string::npos) << ran.err;
  const std::filesystem::path out = folder.path() / "thalweg-out";
  EXPECT_GT(std::filesystem::file_size(out / "weights.safetensors"), 100000U);
  EXPECT_NE(read_text(out / "history.csv").find("val_accuracy"), std::string::npos);
  EXPECT_NE(read_text(out / "curve.svg").find("<svg"), std::string::npos);
  const Ran check = run(word_of(setting("THALWEG_TOOL")) + " check " + word_of(out / "step.txt"));
  EXPECT_EQ(check.status, 0) << check.err;
}

TEST(Train, TheSameSeedGivesTheSameWeights) {
  const Folder folder;
  ASSERT_EQ(train(folder.path(), "digits --epochs 1 --out a").status, 0);
  ASSERT_EQ(train(folder.path(), "digits --epochs 1 --out b").status, 0);
  EXPECT_TRUE(read_text(folder.path() / "a/weights.safetensors") == read_text(folder.path() / "b/weights.safetensors"));
}

TEST(Train, MnistInIdxFormByBothModels) {
  const Folder folder;
  write_small_mnist(folder.path() / "m");
  for (const char* model : {"cnn", "mlp"}) {
    const Ran ran = train(folder.path(), std::string("mnist --data m --epochs 2 --model ") + model);
    ASSERT_EQ(ran.status, 0) << ran.err;
    EXPECT_GE(accuracy_of(ran), 95.0) << ran.out;
  }
}

TEST(Train, ATableOfTheUsersByNameAndByPosition) {
  const Folder folder;
  write_flowers(folder.path() / "flowers.csv");
  for (const char* label : {"species", "4"}) {
    const Ran ran = train(folder.path(), std::string("csv --data flowers.csv --epochs 30 --label ") + label);
    ASSERT_EQ(ran.status, 0) << ran.err;
    EXPECT_GE(accuracy_of(ran), 90.0) << ran.out;
    EXPECT_NE(ran.out.find("tulip"), std::string::npos) << ran.out;
  }
}

TEST(Train, BadInputIsOneClearLineAndStatusThree) {
  const Folder folder;
  write_flowers(folder.path() / "flowers.csv");
  write_text(folder.path() / "words.csv", "a,b\n1,x\nbad,y\n");
  write_text(folder.path() / "one.csv", "a,b\n1,x\n2,x\n3,x\n4,x\n5,x\n6,x\n");
  write_text(folder.path() / "file", "");
  for (const char* arguments : {"mnist --data nowhere", "csv --data nowhere.csv --label x", "csv --data words.csv --label b",
                                "csv --data flowers.csv --label colour", "csv --data one.csv --label b",
                                "digits --epochs 1 --out file", "digits --epochs 1 --out /proc/none"}) {
    const Ran ran = train(folder.path(), arguments);
    EXPECT_EQ(ran.status, 3) << arguments << "\n" << ran.err;
    EXPECT_TRUE(ran.err.starts_with("thalweg: ")) << ran.err;
  }
}

TEST(Train, ADivergingRunIsANumericFailure) {
  const Folder folder;
  write_flowers(folder.path() / "flowers.csv");
  const Ran ran = train(folder.path(), "csv --data flowers.csv --label species --rate 1000000 --epochs 500");
  // So large a rate may also end in huge but finite numbers; it must never end in anything else.
  EXPECT_TRUE(ran.status == 4 || ran.status == 0) << ran.status << ran.err;
}

TEST(Train, AnInterruptedRunSaysSo) {
  const Folder folder;
  const Ran ran = run("cd " + word_of(folder.path()) + " && timeout -s INT 2 " + word_of(setting("THALWEG_TOOL")) +
                      " train digits --epochs 100000; echo $? >&2");
  EXPECT_NE(ran.err.find("interrupted"), std::string::npos) << ran.err;
}

}  // namespace
}  // namespace thalweg::project
