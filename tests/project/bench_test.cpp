// SPDX-License-Identifier: Apache-2.0
// The benchmark's own promises: the protocol by which it is interleaved with peers, and that wrong results are void.
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "shell.h"

namespace thalweg::project {
namespace {

using Json = nlohmann::json;

Ran steps(const std::string& arguments, const std::string& input = "") {
  return run("printf '" + input + "' | " + word_of(setting("THALWEG_STEPS")) + " " + arguments);
}

/// The lines of a run that ended well.
std::vector<Json> answers(const Ran& ran) {
  EXPECT_EQ(ran.status, 0) << ran.err;
  std::vector<Json> list;
  for (const std::string& line : lines_of(ran.out)) list.push_back(Json::parse(line));
  return list;
}

TEST(Bench, ServesAsManyStepsAsEachLineSays) {
  const std::vector<Json> said = answers(steps("--serve tiny --threads 1", "3\\n1\\n40\\n"));
  ASSERT_EQ(said.size(), 4U);
  const Json& ready = said[0].at("ready");
  EXPECT_EQ(ready.at("workload"), "tiny");
  EXPECT_EQ(ready.at("threads"), 1);
  EXPECT_EQ(ready.at("precision"), "f32");
  EXPECT_GT(ready.at("kernels"), 0);
  EXPECT_GT(ready.at("planned_bytes"), 0);
  for (const auto& [line, count] : {std::pair{1U, 3U}, {2U, 1U}, {3U, 40U}}) {
    ASSERT_EQ(said[line].at("us").size(), count);
    for (const Json& us : said[line].at("us")) EXPECT_GT(us.get<double>(), 0);
  }
}

TEST(Bench, EveryWorkloadThatIsSmallRunsOnce) {
  for (const char* name : {"tiny", "tiny1", "adam1k", "digits"}) {
    const std::vector<Json> said = answers(steps(std::string("--once ") + name));
    ASSERT_EQ(said.size(), 1U) << name;
    EXPECT_TRUE(said[0].at("first").is_number()) << name;
  }
}

TEST(Bench, LossesOfTheFirstStepsFallAndAreTheSameEachTime) {
  const std::vector<Json> first = answers(steps("--losses tiny")), second = answers(steps("--losses tiny"));
  ASSERT_EQ(first.size(), 1U);
  EXPECT_EQ(first, second);
  const Json& losses = first[0].at("losses");
  ASSERT_EQ(losses.size(), 20U);
  EXPECT_LT(losses.back(), losses.front());
}

TEST(Bench, ARightResultAgreesAndAWrongOneIsVoid) {
  const Folder folder;
  const std::string of = " --folder " + word_of(folder.path());
  ASSERT_EQ(steps("--export digits" + of).status, 0);
  const Json reference = Json::parse(read_text(folder.path() / "reference.json"));
  EXPECT_EQ(reference.at("variables").front(), "conv/kernel");
  EXPECT_TRUE(std::filesystem::exists(folder.path() / "start.safetensors"));

  const Json right = answers(steps("--losses digits"))[0];
  const Ran agreed = steps("--judge" + of, right.dump());
  EXPECT_EQ(agreed.status, 0) << agreed.err;
  EXPECT_TRUE(Json::parse(agreed.out).at("agrees"));

  Json wrong = right;
  wrong["losses"][6] = right["losses"][6].get<double>() + 2 * reference["allowed"][6].get<double>();
  const Ran refused = steps("--judge" + of, wrong.dump());
  EXPECT_EQ(refused.status, 1);
  EXPECT_FALSE(Json::parse(refused.out).at("agrees"));
  EXPECT_EQ(Json::parse(refused.out).at("step"), 7);

  wrong["losses"][6] = nullptr;  // how JSON writes a NaN
  EXPECT_EQ(steps("--judge" + of, wrong.dump()).status, 1);
}

TEST(Bench, AnotherRateOfLearningIsOutsideWhatIsAllowed) {
  const Folder folder;
  const std::string of = " --folder " + word_of(folder.path());
  ASSERT_EQ(steps("--export tiny" + of).status, 0);
  const Json reference = Json::parse(read_text(folder.path() / "reference.json"));
  // A net that learned 1 % faster: its second loss falls 1 % further.
  Json faster = reference["losses"];
  faster[1] = faster[0].get<double>() + 1.01 * (faster[1].get<double>() - faster[0].get<double>());
  EXPECT_EQ(steps("--judge" + of, Json{{"losses", faster}}.dump()).status, 1);
}

TEST(Bench, SaysWhatIsWrong) {
  const Ran unknown = steps("--serve lenet5");
  EXPECT_EQ(unknown.status, 3);
  EXPECT_EQ(unknown.err, "steps: there is no workload 'lenet5'; there are tiny, tiny1, adam1k, digits, mlp, deep, "
                         "lenet, adam10m, resnet20, resnet50\n");
  const Ran line = steps("--serve tiny", "12x\\n");
  EXPECT_EQ(line.status, 3);
  EXPECT_EQ(line.err, "steps: a line must be a number of steps from 1 to 100000000, not '12x'\n");
  EXPECT_EQ(steps("--once tiny --precision f16").err, "steps: there is no precision 'f16'; there are f32 and bf16\n");
  EXPECT_EQ(steps("--serve tiny --threads 0").status, 2);
  EXPECT_EQ(steps("--serve tiny --once tiny").status, 2);
  EXPECT_EQ(steps("--export tiny").status, 2);
  EXPECT_EQ(steps("--nonsense").status, 2);
  const Folder folder;
  const std::string of = " --folder " + word_of(folder.path());
  EXPECT_EQ(steps("--judge" + of, "{}").status, 3);
  ASSERT_EQ(steps("--export tiny" + of).status, 0);
  EXPECT_EQ(steps("--judge" + of, "{}").err, "steps: standard input has no list 'losses' of 20 numbers\n");
}

}  // namespace
}  // namespace thalweg::project
