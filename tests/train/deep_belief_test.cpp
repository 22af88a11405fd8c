// SPDX-License-Identifier: Apache-2.0
// Restricted Boltzmann machines against the reference numbers, and pre-training on the digits.
#include "thalweg/lib/train/deep_belief.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <chrono>
#include <cmath>
#include <csignal>
#include <thread>

#include "../ops/run.h"
#include "../vectors.h"
#include "models.h"
#include "thalweg/graph/autodiff.h"
#include "thalweg/lib/data/readers.h"
#include "thalweg/ops/matmul.h"

namespace thalweg {
namespace {

using testing::evaluated;
using testing::expect_close;
using testing::numbers;
using testing::thrown;

/// The machine of the reference, in f64.
struct Reference {
  nlohmann::json numbers = testing::vectors("rbm_cd1");
  Graph g{"rbm"};
  Value v = input(g, "v", f64(2, 2));
  Rbm machine = rbm(v, 3, {.init = values(testing::numbers(numbers.at("W[v][h]"))),
                           .visible_bias_init = values(testing::numbers(numbers.at("bv")))});
  testing::Feeds feeds{{"v", testing::numbers(numbers.at("v0"))}};

  Interpreter run(const testing::Feeds& more = {}) {
    testing::Feeds all = feeds;
    all.insert(more.begin(), more.end());
    Interpreter interpreter(g);
    for (const auto& [name, list] : all) interpreter.set(name, Array<double>(g.find(name).shape(), list));
    interpreter.set("rbm/bias", Array<double>(Shape{3}, testing::numbers(numbers.at("bh"))));
    interpreter.step();
    return interpreter;
  }
};

TEST(Rbm, FollowsTheReferenceThroughAStepOfCd1) {
  Reference r;
  const nlohmann::json& step = r.numbers.at("step");
  const Value h = sample_of(hidden_probability(r.machine, r.v), input(r.g, "uniform_h", f64(2, 3)));
  const Value back = visible_probability(r.machine, h);
  const Value fantasy = sample_of(back, input(r.g, "uniform_v", f64(2, 2)));
  const Value energy = free_energy(r.machine, r.v);
  const Value loss = mean(energy) - mean(free_energy(r.machine, stop_gradient(fantasy)));
  const Minimized m = minimize(loss, Sgd{.rate = r.numbers.at("lr").get<double>()});
  Interpreter run = r.run({{"uniform_h", numbers(r.numbers.at("uniform_h"))},
                           {"uniform_v", numbers(r.numbers.at("uniform_v"))}});
  expect_close(run.at(energy).data, numbers(r.numbers.at("free_energy")));
  expect_close(run.at(h).data, numbers(step.at("h_sample")));
  expect_close(run.at(back).data, numbers(step.at("p_v_given_h")));
  expect_close(run.at(fantasy).data, numbers(step.at("v_sample")));
  const auto negated = [](std::vector<double> list) {
    for (double& x : list) x = -x;
    return list;
  };
  ASSERT_EQ(m.gradients.size(), 3u);
  expect_close(run.at(m.gradients[0]).data, negated(numbers(step.at("dW"))));
  expect_close(run.at(m.gradients[1]).data, negated(numbers(step.at("dbh"))));
  expect_close(run.at(m.gradients[2]).data, negated(numbers(step.at("dbv"))));
  expect_close(run.variable("rbm/kernel").data, numbers(step.at("W_new")));
  expect_close(run.variable("rbm/bias").data, numbers(step.at("bh_new")));
  expect_close(run.variable("rbm/visible_bias").data, numbers(step.at("bv_new")));
}

/// The fantasies that a loss was built on: what its stop_gradient holds.
Value fantasies(const Graph& g) {
  for (NodeId id = 0; id < g.size(); ++id)
    if (g.node(id).op->name == "stop_gradient") return g.value({id, 0});
  return {};
}

TEST(Rbm, TheGradientIsTheDifferenceOfStatistics) {
  for (const bool persistent : {false, true})
    for (const bool sample_visible : {true, false}) {
      SCOPED_TRACE(::testing::Message() << "persistent " << persistent << ", sampled " << sample_visible);
      Graph g("rbm");
      const Value v = input(g, "v", f64(6, 5));
      const Rbm machine = rbm(v, 4, {.init = random_normal_init({.stddev = 1})});
      const Value loss = contrastive_divergence(
          machine, v, {.steps = 3, .persistent_chains = persistent ? 8 : 0, .sample_visible = sample_visible});
      const std::vector<Value> got = gradients(loss, std::vector{machine.kernel, machine.hidden_bias,
                                                                 machine.visible_bias});
      const auto statistics = [&](const Value& at) {
        const double count = static_cast<double>(at.shape()[0]);
        const Value p = hidden_probability(machine, at);
        return std::vector<Value>{matmul(at, p, {.ta = true}) / count, mean(p, {.axes = {0}}),
                                  mean(at, {.axes = {0}})};
      };
      const Value fantasy = fantasies(g);
      const std::vector<Value> positive = statistics(v), negative = statistics(fantasy);
      std::vector<Value> want;
      for (std::size_t i = 0; i < 3; ++i) want.push_back(negative[i] - positive[i]);
      std::vector<double> samples;
      for (int i = 0; i < 30; ++i) samples.push_back(i % 7 < 3 ? 1 : 0);
      const Interpreter run = evaluated(g, {{"v", samples}}, true);
      for (std::size_t i = 0; i < 3; ++i) {
        double size = 0;
        for (const double x : run.at(want[i]).data) size += std::abs(x);
        EXPECT_GT(size, 0.1);
        expect_close(run.at(got[i]).data, run.at(want[i]).data);
      }
      for (const double x : run.at(fantasy).data)
        EXPECT_EQ(x == 0 || x == 1, sample_visible) << "a draw, or a probability";
      if (!persistent) continue;
      double on = 0;
      for (const double x : run.variable("rbm/chain").data) {
        EXPECT_TRUE(x == 0 || x == 1);
        on += x;
      }
      EXPECT_GT(on, 0) << "the chains go on from step to step";
    }
}

TEST(Rbm, PseudoLikelihoodIsThatOfAllUnitsInTheMean) {
  // With one visible unit the unit turned is known: log p(v) itself.
  Graph g("rbm");
  const Value v = input(g, "v", f64(2, 1));
  const Rbm machine = rbm(v, 2, {.init = values({0.7, -1.2}), .visible_bias_init = values({0.3})});
  const Value score = pseudo_log_likelihood(machine, v);
  const Interpreter run = evaluated(g, {{"v", {0, 1}}});
  const double off = 2 * std::log(2.0), on = 0.3 + std::log1p(std::exp(0.7)) + std::log1p(std::exp(-1.2));
  const double z = std::log(std::exp(off) + std::exp(on));
  expect_close(run.at(score).data, {(off + on) / 2 - z});
}

TEST(Rbm, Errors) {
  Graph g;
  const Value v = input(g, "v", f32(8, 4)), image = input(g, "image", f32(2, 2, 2)), other = input(g, "o", f32(8, 3));
  const Rbm machine = rbm(v, 2);
  const auto fact = [](auto build) {
    const std::string text = thrown<GraphError>(build);
    return text.substr(0, text.find('\n'));
  };
  EXPECT_EQ(fact([&] { rbm(image, 2); }), "HERE: rbm: the samples must be [N,V]");
  EXPECT_EQ(fact([&] { rbm(v, 0); }), "HERE: rbm: hidden is 0, must be at least 1");
  EXPECT_EQ(fact([&] { contrastive_divergence(machine, other); }),
            "HERE: contrastive_divergence: the visible units must be [N,4], are f32[8,3]");
  EXPECT_EQ(fact([&] { contrastive_divergence(machine, v, {.steps = 0}); }),
            "HERE: contrastive_divergence: steps is 0, must be at least 1");
  EXPECT_EQ(fact([&] { contrastive_divergence(machine, v, {.persistent_chains = -1}); }),
            "HERE: contrastive_divergence: persistent_chains is -1, must be 0 (none) or more");
  EXPECT_EQ(fact([&] { visible_probability(machine, other); }),
            "HERE: visible_probability: the hidden units must be [N,2], are f32[8,3]");
}

Graph sigmoid_net(const std::vector<Dim>& hidden, double rate) {
  Graph g("deep");
  const Value x = input(g, "x", f32(32, 64));
  Value h = x;
  int k = 0;
  for (const Dim units : hidden)
    h = dense(h, units, {.init = glorot_normal(), .activation = sigmoid, .name = "layer" + std::to_string(++k)});
  testing::finish(g, dense(h, 10, {.name = "scores"}), input(g, "t", i32(32)), Sgd{.rate = rate, .momentum = 0.9});
  return g;
}

Dataset flat_digits() {
  const Dataset all = digits();
  Dataset flat = all;
  flat.inputs = Tensor(f32(all.size(), 64), all.inputs.numbers());
  return flat;
}

TEST(Pretraining, TakesADeepSigmoidNetOffItsPlateau) {
  const TrainTest data = split(flat_digits(), 0.2, 1);
  const std::vector<Dim> hidden{64, 48, 48, 48, 48};
  const DeepBelief belief = pretrain(data.train, {.hidden = hidden, .epochs = 20, .optimizer = Sgd{.rate = 0.3}});
  ASSERT_EQ(belief.layers.size(), hidden.size());
  const History& first = belief.layers[0].history;
  EXPECT_LT(first.last("reconstruction_error"), 0.6 * first["reconstruction_error"][0]);
  EXPECT_EQ(belief.represent(data.test.inputs).type(), f32(data.test.size(), 48));

  const Graph net = sigmoid_net(hidden, 0.1);
  const std::vector<std::string> names{"layer1", "layer2", "layer3", "layer4", "layer5"};
  const FitOptions options{.epochs = 15, .verbose = verbose_silent};
  FitOptions from_belief = options;
  from_belief.variables = belief.unrolled(net, names);
  const History plain = fit(net, data.train, options), tuned = fit(net, data.train, from_belief);
  const double cold = evaluate(net, plain.variables, data.test)["accuracy"];
  const double warm = evaluate(net, tuned.variables, data.test)["accuracy"];
  EXPECT_LT(cold, 0.3) << "sigmoids five deep do not train from Glorot's weights";
  EXPECT_GT(warm, cold + 0.5);
}

TEST(Pretraining, IsTheSameEachTime) {
  const Dataset data = rows(flat_digits(), 0, 200);
  const PretrainOptions options{.hidden = {8, 4}, .epochs = 1, .compile = {.logical_threads = 1}};
  const DeepBelief a = pretrain(data, options), b = pretrain(data, options);
  EXPECT_EQ(a.layers[1].kernel.numbers(), b.layers[1].kernel.numbers());
}

TEST(Pretraining, SaysThatASignalEndedIt) {
  const Dataset data = rows(flat_digits(), 0, 200);
  // Sent as soon as fit listens for it: before, it would end the process.
  std::thread sender([] {
    struct sigaction listening = {};
    do {
      std::this_thread::sleep_for(std::chrono::milliseconds(1));
      sigaction(SIGINT, nullptr, &listening);
    } while (listening.sa_handler == SIG_DFL);
    kill(getpid(), SIGINT);
  });
  const DeepBelief belief = pretrain(data, {.hidden = {8, 4}, .epochs = 1'000'000});
  sender.join();
  EXPECT_TRUE(belief.interrupted);
  EXPECT_EQ(belief.layers.size(), 1U);
  EXPECT_FALSE(pretrain(data, {.hidden = {8, 4}, .epochs = 1}).interrupted);
}

TEST(Pretraining, Errors) {
  const Dataset data = rows(flat_digits(), 0, 20);
  const auto fact = [](auto act) { return thrown<RunError>(act); };
  EXPECT_EQ(fact([&] { pretrain(data, {}); }), "HERE: pretrain: hidden is empty: it names the units of each machine");
  EXPECT_EQ(fact([&] { pretrain(data, {.hidden = {4, 0}}); }),
            "HERE: pretrain: hidden has a machine of 0 units, must be at least 1");
  EXPECT_EQ(fact([&] { pretrain(data, {.hidden = {4}, .epochs = 0}); }),
            "HERE: pretrain: epochs is 0, must be at least 1");
  Dataset wild;
  wild.inputs = Tensor(f32(2, 2), std::vector<double>{0, 0.5, 1, 1.5});
  EXPECT_EQ(fact([&] { pretrain(wild, {.hidden = {4}}); }),
            "HERE: pretrain: the units of a machine must lie in [0, 1], sample 1 has 1.5 at place 1; scale the inputs first "
            "(scaled, unit_range)");
  const DeepBelief belief = pretrain(data, {.hidden = {4}, .epochs = 1});
  const Graph net = sigmoid_net({5}, 0.1);
  EXPECT_EQ(fact([&] { belief.unrolled(net, {"layer1"}); }),
            "unrolled: 'layer1/kernel' is f32[64,5] in graph 'deep', the machine's is f32[64,4]");
  EXPECT_EQ(fact([&] { belief.unrolled(net, {"layer1", "scores"}); }),
            "unrolled: 2 layers are named, and 1 machines were trained");
  EXPECT_EQ(fact([&] { belief.unrolled(net, {"layer"}); }).substr(0, 35), "there is no variable 'layer/kernel'");
}

}  // namespace
}  // namespace thalweg
