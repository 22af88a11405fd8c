// SPDX-License-Identifier: Apache-2.0
// Every option of the README's table of techniques, as it stands there, in a training that is compiled and run for a
// few steps. The test of the README looks each of them up in this file.
#include <gtest/gtest.h>

#include <thalweg/thalweg.h>

#include <cmath>
#include <functional>
#include <map>
#include <string>
#include <vector>

#include "../temporary.h"
#include "models.h"

namespace thalweg {
namespace {

using tests::Folder;
using testing::mlp;
using testing::spiral;

const Dataset points = spiral(48);

FitOptions quick() { return {.epochs = 2, .verbose = 0}; }

void expect_trained(const std::string& what, const Graph& g, const Dataset& data, const FitOptions& options = quick()) {
  SCOPED_TRACE(what);
  EXPECT_NO_THROW(EXPECT_TRUE(std::isfinite(fit(g, data, options).last("loss"))));
}

TEST(Techniques, UpdateRules) {
  const std::vector<Optimizer> rules = {
      Sgd{.rate = 0.1}, Sgd{.momentum = 0.9}, Sgd{.momentum = 0.9, .nesterov = true}, Adagrad{}, RmsProp{},
      RmsProp{.centered = true}, Adadelta{}, Adam{}, Adam{.amsgrad = true}, AdamW{}, Adamax{}, Nadam{}, RAdam{}, Lamb{},
      Lars{}, Lion{}, Rprop{}, Adafactor{}, Muon{}, Ftrl{}, ScheduleFreeAdamW{}, ScheduleFreeSgd{.rate = 0.1},
      Adam{.convention = Convention::torch}};
  for (const Optimizer& rule : rules) expect_trained(rule.name(), mlp(16, rule), points);
}

TEST(Techniques, Schedules) {
  const std::vector<Schedule> schedules = {
      piecewise_constant({700, 900}, {0.1, 0.05, 0.01}), step_decay(0.1, 0.5, Epochs(2)),
      multi_step(0.1, 0.5, {20, 40}), exponential_decay(0.1, 0.96, 100), inverse_time_decay(0.1, 0.5, 100),
      polynomial_decay(0.1, 100, {.end = 0.01, .power = 2}), cosine_decay(0.1, 100), cosine_decay_restarts(0.1, 20),
      one_cycle(0.1, 100), cyclic(0.01, 0.1, 20), warm_up(10, cosine_decay(0.1, 90)),
      join(0.1, 50, linear(0.1, 0.01, 50))};
  for (std::size_t i = 0; i < schedules.size(); ++i)
    expect_trained("schedule " + std::to_string(i), mlp(16, Sgd{.rate = schedules[i]}), points);
}

/// The mlp with other options of minimize.
Graph minimized(const MinimizeOptions& options) {
  Graph g("mlp");
  const Value x = input(g, "x", f32(16, 2)), t = input(g, "t", i32(16));
  testing::finish(g, dense(dense(x, 16, {.activation = relu}), 3), t, Sgd{.rate = 0.1}, options);
  return g;
}

TEST(Techniques, OptionsOfMinimize) {
  const std::vector<MinimizeOptions> all = {
      {.penalty = l1(1e-4)}, {.penalty = l2(1e-4)}, {.penalty = l1_l2(1e-5, 1e-4)}, {.penalty = orthogonal(1e-3)},
      {.clip = by_global_norm(1.0)}, {.clip = by_norm(1.0)}, {.clip = by_value(0.5)}, {.weight_decay = 0.01},
      {.non_finite = NonFinite::skip}, {.loss_scale = LossScale{}}, {.average = ema(0.999)},
      {.average = equal_average()}, {.constraint = max_norm(2)}, {.constraint = unit_norm()}, {.constraint = non_neg()},
      {.constraint = min_max_norm(0.5, 2)}, {.groups = {{.of = named("bias"), .rate = 2, .decay = false}}},
      {.groups = {{.of = named("dense/"), .frozen = true}}},
      {.groups = {{.of = named("dense_1/"), .optimizer = Adam{}}}}};
  for (std::size_t i = 0; i < all.size(); ++i)
    expect_trained("options " + std::to_string(i), minimized(all[i]), points);
}

TEST(Techniques, OptionsOfFit) {
  const Folder folder;
  const auto path = [&](const char* name) { return folder.file(name); };
  const std::vector<FitOptions> all = {
      {.batch = full_batch, .verbose = 0}, {.batch = 1, .verbose = 0}, {.batch = 32, .verbose = 0},
      {.batch = full_batch, .micro_batch = 8, .verbose = 0}, {.validation = 0.2, .verbose = 0},
      {.epochs = 3, .validation = 0.2, .verbose = 0, .patience = 5},
      {.verbose = 0, .when_diverged = WhenDiverged::restore}};
  for (std::size_t i = 0; i < all.size(); ++i)
    expect_trained("options " + std::to_string(i), mlp(16, Sgd{.rate = 0.1}), points, all[i]);
  const std::vector<AnyCallback> callbacks = {
      EarlyStopping({.patience = 5, .restore_best_weights = true}), ReduceLROnPlateau({.patience = 2}),
      LearningRateScheduler([](int epoch, double rate) { return epoch < 3 ? rate : rate * 0.9; }), GradientStatistics(),
      TerminateOnNaN(), ModelCheckpoint(path("best.safetensors"), {.save_best_only = true}),
      CSVLogger(path("history.csv")), TensorBoard(path("board"), {.histogram_freq = 1})};
  for (const AnyCallback& callback : callbacks) {
    FitOptions options = quick();
    options.callbacks = {callback};
    expect_trained(callback->name(), mlp(16, Sgd{.rate = 0.1}), points, options);
  }
  const History history = fit(mlp(16), points, quick());
  write_svg(history, path("curves.svg"));
}

/// Classes of small images by what a layer or a prologue makes of them.
using Layer = std::function<Value(Value)>;
const Dataset images = rows(digits(), 0, 32);

Graph with_layer(const Layer& layer) {
  Graph g("image");
  const Value x = input(g, "x", f32(16, 8, 8, 1)), t = input(g, "t", i32(16));
  testing::finish(g, dense(flatten(layer(x)), 10), t, Sgd{.rate = 0.01});
  return g;
}

TEST(Techniques, Activations) {
  const std::vector<Activation> all = {
      relu, [](Operand x) { return leaky_relu(x); }, [](Operand x) { return prelu(x); },
      [](Operand x) { return elu(x); }, selu, [](Operand x) { return gelu(x); }, silu, mish, softplus, sigmoid,
      tanh, hard_sigmoid, hard_swish};
  for (const Activation& activation : all)
    expect_trained("activation", with_layer([&](Value x) { return conv(x, 4, 3, {.activation = activation}); }),
                   images);
}

TEST(Techniques, Initializers) {
  for (const Init& init : {glorot_uniform(), glorot_normal(), he_uniform(), he_normal(), lecun_normal(),
                           orthogonal_init(), variance_scaling({.scale = 2}), random_normal_init({.stddev = 0.01})})
    expect_trained("init", with_layer([&](Value x) { return conv(x, 4, 3, {.init = init}); }), images);
}

TEST(Techniques, Layers) {
  const std::map<std::string, Layer> layers = {
      {"conv", [](Value x) { return conv(x, 8, 3, {.strides = 2, .padding = "same"}); }},
      {"dilated", [](Value x) { return conv(x, 8, 3, {.dilation = 2}); }},
      {"grouped", [](Value x) { return conv(conv(x, 8, 3), 8, 3, {.groups = 2}); }},
      {"depthwise", [](Value x) { return depthwise_conv(x, 3, {.multiplier = 4}); }},
      {"separable", [](Value x) { return separable_conv(x, 8, 3); }},
      {"transposed", [](Value x) { return conv_transpose(x, 4, 3, {.strides = 2}); }},
      {"one-dimensional", [](Value x) { return conv1d(reshape(x, {16, 64, 1}), 4, 3); }},
      {"pooled", [](Value x) { return avg_pool(max_pool(x, 2), 2); }},
      {"batch norm", [](Value x) { return batch_norm(x); }},
      {"layer norm", [](Value x) { return layer_norm(flatten(x)); }},
      {"group norm", [](Value x) { return group_norm(conv(x, 8, 3), {.groups = 4}); }},
      {"rms norm", [](Value x) { return rms_norm(flatten(x)); }},
      {"skip", [](Value h) { return residual(h, [](Value x) { return conv(x, 1, 3, {.padding = "same"}); }); }},
      {"dropout", [](Value h) { return dropout(h, 0.2); }},
      {"spatial dropout", [](Value h) { return spatial_dropout(conv(h, 8, 3), 0.2); }},
      {"alpha dropout", [](Value h) { return alpha_dropout(h, 0.1); }},
      {"gaussian dropout", [](Value h) { return gaussian_dropout(h, 0.2); }},
      {"gaussian noise", [](Value h) { return gaussian_noise(h, 0.1); }},
      {"flip", [](Value x) { return random_flip(x); }},
      {"crop", [](Value x) { return random_crop(x, 2); }},
      {"translation", [](Value x) { return random_translation(x, 0.1, 0.1); }},
      {"rotation", [](Value x) { return random_rotation(x, 0.05); }},
      {"zoom", [](Value x) { return random_zoom(x, 0.1); }},
      {"brightness", [](Value x) { return random_brightness(x, 0.1); }},
      {"contrast", [](Value x) { return random_contrast(x, 0.2); }},
      {"noise", [](Value x) { return random_noise(x, 0.05); }},
      {"cutout", [](Value x) { return cutout(x, 3); }},
  };
  for (const auto& [what, layer] : layers) expect_trained(what, with_layer(layer), images);
}

TEST(Techniques, MixedSamples) {
  for (const bool cut : {false, true}) {
    Graph g("mixed");
    const Value x = input(g, "x", f32(16, 8, 8, 1)), t = input(g, "t", i32(16));
    const Mixed mixed = cut ? cutmix(x, one_hot(t, 10)) : mixup(x, one_hot(t, 10));
    const Value loss = mean(cross_entropy(dense(flatten(mixed.image), 10), mixed.labels));
    g.output("loss", loss);
    minimize(loss, Adam{});
    expect_trained(cut ? "cutmix" : "mixup", g, images);
  }
}

/// A loss on scores of classes, and a metric of the same.
TEST(Techniques, LossesOfClasses) {
  using Loss = std::function<Value(Value, Value)>;
  const std::map<std::string, Loss> losses = {
      {"sparse", [](Value y, Value t) { return mean(sparse_cross_entropy(y, t)); }},
      {"smoothed", [](Value y, Value t) { return mean(sparse_cross_entropy(y, t, {.label_smoothing = 0.1})); }},
      {"weighted classes",
       [](Value y, Value t) { return mean_sparse_cross_entropy(y, t, {.class_weights = {1, 2, 0.5}}); }},
      {"ignored", [](Value y, Value t) { return mean_sparse_cross_entropy(y, t, {.ignore_label = 2}); }},
      {"weighted samples",
       [](Value y, Value t) {
         const Graph g = y.graph();
         return mean(sparse_cross_entropy(y, t) * sample_weights(g, 16));
       }},
      {"dense", [](Value y, Value t) { return mean(cross_entropy(y, one_hot(t, 3))); }},
      {"binary", [](Value y, Value t) { return mean(binary_cross_entropy(y, one_hot(t, 3))); }},
      {"focal", [](Value y, Value t) { return mean(sparse_focal_cross_entropy(y, t)); }},
      {"binary focal", [](Value y, Value t) { return mean(binary_focal_cross_entropy(y, one_hot(t, 3))); }},
      {"divergence", [](Value y, Value t) { return mean(kl_divergence(y, one_hot(t, 3))); }},
      {"hinge", [](Value y, Value t) { return mean(hinge(y, one_hot(t, 3))); }},
      {"squared hinge", [](Value y, Value t) { return mean(squared_hinge(y, one_hot(t, 3))); }},
      {"categorical hinge", [](Value y, Value t) { return mean(categorical_hinge(y, one_hot(t, 3))); }},
      {"activity",
       [](Value y, Value t) {
         const Value h = y, loss = mean(sparse_cross_entropy(y, t));
         return loss + activity(h, l1(1e-4));
       }},
  };
  for (const auto& [what, loss_of] : losses) {
    Graph g("classes");
    const Value x = input(g, "x", f32(16, 2)), t = input(g, "t", i32(16)), y = dense(x, 3);
    const Value loss = loss_of(y, t);
    g.output("loss", loss);
    g.output("accuracy", accuracy(y, t));
    g.output("top", top_k_accuracy(y, t, 2));
    g.output("f1", macro_scores(y, t).f1);
    g.output("shares", confusion_shares(y, t));
    const Value p = softmax(y), truth = one_hot(t, 3);
    g.output("precision", precision(p, truth));
    g.output("recall", recall(p, truth));
    g.output("f", f_score(p, truth));
    g.output("auc", auc(p, truth));
    minimize(loss, Sgd{.rate = 0.01});
    expect_trained(what, g, points);
  }
}

TEST(Techniques, LossesOfNumbers) {
  using Loss = std::function<Value(Value, Value)>;
  const std::map<std::string, Loss> losses = {
      {"mse", mse},
      {"mae", mae},
      {"mape", mape},
      {"msle", msle},
      {"huber", [](Value y, Value t) { return huber(y, t); }},
      {"smooth_l1", [](Value y, Value t) { return smooth_l1(y, t); }},
      {"log_cosh", log_cosh},
      {"poisson", [](Value y, Value t) { return poisson(y, t, {.log_input = true}); }},
      {"cosine_loss", cosine_loss}};
  Dataset numbers = points;
  numbers.labels = Tensor(f32(48, 1), std::vector<double>(48, 0.5));
  for (const auto& [what, loss_of] : losses) {
    Graph g("numbers");
    const Value x = input(g, "x", f32(16, 2)), t = input(g, "t", f32(16, 1)), y = dense(x, 1);
    const Value loss = mean(loss_of(y, t));
    g.output("loss", loss);
    g.output("rmse", rmse(y, t));
    g.output("r2", r2(y, t));
    minimize(loss, Sgd{.rate = 0.01});
    expect_trained(what, g, numbers);
  }
}

TEST(Techniques, Sequences) {
  Graph g("sequence");
  const Value x = input(g, "x", f32(4, 8, 3)), t = input(g, "t", i32(4, 2));
  const Value loss = mean(ctc(dense(x, 4), t));
  g.output("loss", loss);
  minimize(loss, Adam{});
  Dataset data;
  data.inputs = Tensor(f32(8, 8, 3), std::vector<double>(192, 0.25));
  data.labels = Tensor(i32(8, 2), std::vector<double>{1, 2, 3, 1, 2, 2, 1, 3, 1, 1, 2, 3, 3, 3, 1, 2});
  expect_trained("ctc", g, data);
}

TEST(Techniques, Pretraining) {
  const Dataset data = images;
  const DeepBelief belief = pretrain(data, {.hidden = {32, 16}, .epochs = 1});
  Graph net("net");
  const Value x = input(net, "x", f32(16, 8, 8, 1)), t = input(net, "t", i32(16));
  Value h = dense(flatten(x), 32, {.activation = sigmoid, .name = "h1"});
  h = dense(h, 16, {.activation = sigmoid, .name = "h2"});
  testing::finish(net, dense(h, 10), t, Sgd{.rate = 0.1});
  expect_trained("deep belief", net, data, {.verbose = 0, .variables = belief.unrolled(net, {"h1", "h2"})});
}

}  // namespace
}  // namespace thalweg
