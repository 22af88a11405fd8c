// SPDX-License-Identifier: Apache-2.0
// `thalweg landscape` as a user runs it: pictures that are whole, numbers that are known, and errors in one line.
#include <gtest/gtest.h>

#include <set>

#include "shell.h"

namespace thalweg::project {
namespace {

Ran landscape(const std::filesystem::path& folder, const std::string& arguments) {
  return run("cd " + word_of(folder) + " && " + word_of(setting("THALWEG_TOOL")) + " landscape " + arguments);
}

void expect_picture(const std::filesystem::path& file) {
  ASSERT_TRUE(std::filesystem::exists(file)) << file;
  const std::string text = read_text(file);
  EXPECT_EQ(text.find("nan"), std::string::npos) << file;
  EXPECT_NE(text.find("</svg>"), std::string::npos) << file;
  for (const char* outside : {"href", "url(", "<script", "@import"}) EXPECT_EQ(text.find(outside), std::string::npos)
      << file;
}

TEST(Landscape, DrawsEveryFunctionWithEveryOptimizer) {
  const Folder folder;
  const Ran ran = landscape(folder.path(), "--function all --out pictures");
  ASSERT_EQ(ran.status, 0) << ran.err;
  EXPECT_EQ(ran.err, "");
  for (const char* name : {"bowl", "saddle", "rosenbrock", "beale", "himmelblau"}) {
    expect_picture(folder.path() / "pictures" / (std::string(name) + ".svg"));
    EXPECT_NE(ran.out.find(std::string(name) + ": f = "), std::string::npos);
  }
  for (const char* fact : {"at (0, 0) a minimum: curvatures 1 and 10", "at (0, 0) a saddle: curvatures -1 and 1",
                           "at (-0.2708, -0.923) a maximum", "rmsprop", "nag"})
    EXPECT_NE(ran.out.find(fact), std::string::npos) << fact << "\n" << ran.out;
}

TEST(Landscape, TellsNumbersAsJsonAndHeedsItsOptions) {
  const Folder folder;
  const Ran ran = landscape(folder.path(),
      "--function bowl --optimizers gd,adam --steps 3 --rate 0.1 --start -1 1 --json -o p");
  ASSERT_EQ(ran.status, 0) << ran.err;
  for (const char* fact : {"\"optimizer\": \"gd\"", "\"optimizer\": \"adam\"", "\"steps\": 3",
      "\"file\": \"p/bowl.svg\""})
    EXPECT_NE(ran.out.find(fact), std::string::npos) << fact << "\n" << ran.out;
  EXPECT_EQ(ran.out.find("momentum"), std::string::npos);
}

TEST(Landscape, SlicesANetAndMeasuresItsCurvature) {
  const Folder folder;
  const Ran ran = landscape(folder.path(),
      "--net digits --epochs 1 --samples 32 --points 5 --top 2 --products 6 --out n");
  ASSERT_EQ(ran.status, 0) << ran.err;
  expect_picture(folder.path() / "n/net-line.svg");
  expect_picture(folder.path() / "n/net-plane.svg");
  EXPECT_NE(ran.out.find("loss "), std::string::npos) << ran.out;
  EXPECT_NE(ran.out.find("largest "), std::string::npos) << ran.out;
  EXPECT_NE(ran.out.find("(not converged to 0.001 of the largest: give more --products than 6)"), std::string::npos)
      << ran.out;
  // A net as text, with weights from a file.
  const std::string tool = word_of(setting("THALWEG_TOOL"));
  ASSERT_EQ(run("cd " + word_of(folder.path()) + " && " + tool
      + " train digits --model mlp --epochs 1 --out t").status, 0);
  const Ran text = landscape(folder.path(), "--net t/step.txt --weights t/weights.safetensors --samples 32 --points 5 "
                                            "--top 1 --products 4 --json --out m");
  ASSERT_EQ(text.status, 0) << text.err;
  EXPECT_EQ(text.err, "") << "nothing is trained";
  EXPECT_NE(text.out.find("\"hessian\""), std::string::npos) << text.out;
}

TEST(Landscape, EigenvaluesConvergeByDefault) {
  const Folder folder;
  const Ran ran = landscape(folder.path(), "--net digits --epochs 1 --samples 32 --points 3 --out n");
  ASSERT_EQ(ran.status, 0) << ran.err;
  EXPECT_NE(ran.out.find(" (to within "), std::string::npos) << ran.out;
  EXPECT_EQ(ran.out.find("not converged"), std::string::npos) << ran.out;
}

TEST(Landscape, GarbageGetsOneLineAndItsStatus) {
  const Folder folder;
  const auto expect = [&](const std::string& arguments, int status, const std::string& message) {
    const Ran ran = landscape(folder.path(), arguments);
    EXPECT_EQ(ran.status, status) << arguments << "\n" << ran.err;
    EXPECT_NE(ran.err.find(message), std::string::npos) << arguments << "\n" << ran.err;
    EXPECT_EQ(lines_of(ran.err).size(), 1U) << ran.err;
  };
  expect("--function parabola", 2, "parabola");
  expect("--function bowl --optimizers sgd", 2, "sgd");
  expect("--function bowl --steps 0", 2, "--steps");
  expect("--function bowl --rate nan", 2, "--rate");
  expect("--function bowl --start 1 inf", 2, "--start");
  expect("--function bowl --weights w.safetensors", 2, "--weights needs --net");
  expect("--net digits --points 2", 2, "--points");
  expect("--net digits --radius 0", 2, "--radius");
  expect("--net no-such-net", 3, "no-such-net");
  expect("--net mlp", 3, "the net has no input for samples of 64 numbers");
  expect("--net digits --data no-such-file", 3, "no-such-file");
  expect("--net digits --weights no-such-file", 3, "no-such-file");
  write_text(folder.path() / "file", "");
  expect("--function bowl --out file", 3, "--out file: cannot make this folder");
}

}  // namespace
}  // namespace thalweg::project
