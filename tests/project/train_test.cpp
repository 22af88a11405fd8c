// SPDX-License-Identifier: Apache-2.0
// `thalweg train`: what it learns, prints and writes, and how it fails.
#include <gtest/gtest.h>

#include "samples.h"
#include "thalweg/thalweg.h"
#include "training.h"

namespace thalweg::project {
namespace {

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
  for (const char* arguments :
       {"mnist --data nowhere", "csv --data nowhere.csv --label x", "csv --data words.csv --label b",
        "csv --data flowers.csv --label colour", "csv --data one.csv --label b", "digits --epochs 1 --out file",
        "digits --epochs 1 --out /proc/none"}) {
    const Ran ran = train(folder.path(), arguments);
    EXPECT_EQ(ran.status, 3) << arguments << "\n" << ran.err;
    EXPECT_TRUE(ran.err.starts_with("thalweg: ")) << ran.err;
  }
}

TEST(Train, ADivergingRunIsANumericFailure) {
  const Folder folder;
  const Ran ran = train(folder.path(), "digits --epochs 1 --rate 1e6");
  EXPECT_EQ(ran.status, 4) << ran.err;
  EXPECT_NE(ran.err.find("thalweg: "), std::string::npos) << ran.err;
}

TEST(Train, AnInterruptedRunSaysSo) {
  const Folder folder;
  // Job control: without it a shell lets its background processes ignore the signal. It is sent when an epoch is done.
  write_text(folder.path() / "interrupt", R"(set -m
"$1" train digits --epochs 100000 2>progress & run=$!
until grep -q 'Epoch 1/' progress || ! kill -0 $run; do sleep 0.1; done
kill -INT $run
wait $run
)");
  const Ran ran = run("cd " + word_of(folder.path()) + " && bash interrupt " + word_of(setting("THALWEG_TOOL")));
  const std::string progress = read_text(folder.path() / "progress");
  EXPECT_EQ(ran.status, 130) << ran.err << progress;
  EXPECT_NE(progress.find("thalweg: interrupted"), std::string::npos) << progress;
  const std::filesystem::path out = folder.path() / "thalweg-out";
  const Graph graph = thalweg::read_text((out / "step.txt").string());
  const Variables variables = load_weights(graph, (out / "weights.safetensors").string());
  EXPECT_EQ(variables.names().size(), graph.variables().size());
  EXPECT_GE(variables.at("step").as<std::int64_t>()[0], 40);  // an epoch of 1,294 samples by 32 had been done
}

TEST(Train, ASignalWhileDataAreReadIsToldAndNothingIsWritten) {
  if (!setting("THALWEG_SANITIZE").empty()) GTEST_SKIP() << "a sanitizer's process is large before it reads anything";
  const Folder folder;
  std::string table = "a,b,label\n";
  for (int i = 0; i < 4'000'000; ++i) table.append("1.25,").append(std::to_string(i % 97)).append(i % 2 == 0 ? ",x\n" : ",y\n");
  write_text(folder.path() / "table.csv", table);
  // The file is in memory once the process is as large as that: its lines are then being read.
  write_text(folder.path() / "interrupt", R"bash(set -m
"$2" train csv --data table.csv --label label 2>said & run=$!
while size=$(sed -n 's/^VmHWM:[[:space:]]*\([0-9]*\) kB/\1/p' /proc/$run/status) && [ -n "$size" ] && [ "$size" -lt "$3" ]
do :; done
kill "-$1" $run
wait $run
)bash");
  const std::string kilobytes = std::to_string(3 * table.size() / 1024);  // with the columns it has so far
  for (const char* signal : {"INT", "TERM"}) {
    const Ran ran = run("cd " + word_of(folder.path()) + " && bash interrupt " + signal + " " +
                        word_of(setting("THALWEG_TOOL")) + " " + kilobytes);
    EXPECT_EQ(ran.status, 130) << signal << ran.err;
    EXPECT_EQ(read_text(folder.path() / "said"), "thalweg: interrupted by a signal while reading table.csv\n") << signal;
    EXPECT_FALSE(std::filesystem::exists(folder.path() / "thalweg-out"));
  }
}

TEST(Train, ManyClassesGetNoConfusionMatrixAndNamesAreEscaped) {
  const Folder folder;
  std::string many = "a,b,label\n", control = "a,b,label\n";
  for (int i = 0; i < 600; ++i) {
    const std::string numbers = std::to_string(i) + "," + std::to_string(i % 7) + ",";
    many.append(numbers).append("class").append(std::to_string(i % 60)).append("\n");
    control.append(numbers).append(i % 2 == 0 ? "red\x1b[31m" : "blue").append("\n");
  }
  write_text(folder.path() / "many.csv", many);
  const Ran ran = train(folder.path(), "csv --data many.csv --label label --epochs 1");
  ASSERT_EQ(ran.status, 0) << ran.err;
  EXPECT_NE(ran.out.find("no confusion matrix: 60 classes"), std::string::npos) << ran.out;
  EXPECT_EQ(ran.out.find("class59"), std::string::npos) << ran.out;
  EXPECT_GE(accuracy_of(ran), 0.0) << ran.out;
  write_text(folder.path() / "control.csv", control);
  const Ran escaped = train(folder.path(), "csv --data control.csv --label label --epochs 1");
  ASSERT_EQ(escaped.status, 0) << escaped.err;
  EXPECT_NE(escaped.out.find("red\\x1b[31m"), std::string::npos) << escaped.out;
  EXPECT_EQ(escaped.out.find('\x1b'), std::string::npos) << escaped.out;
}

}  // namespace
}  // namespace thalweg::project
