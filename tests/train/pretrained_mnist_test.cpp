// SPDX-License-Identifier: Apache-2.0
// What pre-training does for a deep net of sigmoids on MNIST: minutes of work, and only done when it is asked for.
#include <gtest/gtest.h>

#include <cstdio>
#include <cstdlib>
#include <memory>
#include <optional>
#include <string_view>

#include "thalweg/thalweg.h"

namespace thalweg {
namespace {

const std::vector<Dim> hidden = {256, 128, 96, 96, 96};
const std::vector<std::string> names = {"layer1", "layer2", "layer3", "layer4", "layer5"};
constexpr int epochs = 5;

Graph sigmoid_net() {
  Graph g("deep");
  Value h = flatten(input(g, "x", f32(64, 28, 28, 1)));
  for (std::size_t k = 0; k < hidden.size(); ++k)
    h = dense(h, hidden[k], {.init = glorot_normal(), .activation = sigmoid, .name = names[k]});
  const Value y = dense(h, 10, {.name = "scores"}), t = input(g, "label", i32(64));
  const Value loss = mean(sparse_cross_entropy(y, t));
  minimize(loss, Sgd{.rate = 0.1});
  g.output("loss", loss);
  g.output("accuracy", accuracy(y, t));
  return g;
}

struct Result {
  double accuracy;
  std::vector<std::string> vanishing;  ///< layers, in the first epoch
};

Result trained(const Graph& net, const TrainTest& data, const std::optional<Variables>& begun) {
  const auto statistics = std::make_shared<GradientStatistics>(GradientStatisticsOptions{.warn = false});
  Result result{};
  const auto note = [&](TrainingRun& run) {
    if (run.epoch() != 1) return;
    for (const LayerStatistics& layer : statistics->layers())
      if (layer.vanishing) result.vanishing.push_back(layer.layer);
  };
  const History history = fit(net, data.train, {.epochs = epochs, .verbose = verbose_silent, .callbacks = {statistics,
      note},
                                                .variables = begun});
  result.accuracy = evaluate(net, history.variables, data.test)["accuracy"];
  return result;
}

TEST(PretrainedMnist, ADeepNetThatGlorotLeavesAtChanceLearns) {
  const char* slow = std::getenv("THALWEG_SLOW");
  if (slow == nullptr || std::string_view(slow) != "1") GTEST_SKIP() << "takes minutes; set THALWEG_SLOW=1 to run it";
  const char* folder = std::getenv("THALWEG_DATA");
  if (folder == nullptr) GTEST_SKIP() << "THALWEG_DATA is not set";
  const TrainTest data = mnist(std::string(folder) + "/mnist");
  const Graph net = sigmoid_net();

  const Result cold = trained(net, data, {});
  RecordProperty("cold", std::to_string(cold.accuracy));
  EXPECT_LT(cold.accuracy, 0.15) << "five layers of sigmoids do not leave chance in five epochs";
  // The flags name a run of layers from the input up, and not the last ones.
  ASSERT_FALSE(cold.vanishing.empty());
  ASSERT_LE(cold.vanishing.size(), names.size());
  for (std::size_t k = 0; k < cold.vanishing.size(); ++k) EXPECT_EQ(cold.vanishing[k], names[k]);

  const DeepBelief belief = pretrain(data.train,
                                      {.hidden = hidden, .epochs = 2, .batch = 64, .optimizer = Sgd{.rate = 0.1}});
  const Result warm = trained(net, data, belief.unrolled(net, names));
  RecordProperty("warm", std::to_string(warm.accuracy));
  std::printf("held-out accuracy after %d epochs: %.1f %% from Glorot's weights, %.1f %% pre-trained; "
              "gradients vanish in %zu layers, then in %zu\n",
              epochs, 100 * cold.accuracy, 100 * warm.accuracy, cold.vanishing.size(),
                  warm.vanishing.size());
  EXPECT_GE(warm.accuracy, cold.accuracy + 0.2);
  EXPECT_LT(warm.vanishing.size(), cold.vanishing.size());
}

}  // namespace
}  // namespace thalweg
