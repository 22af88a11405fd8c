// SPDX-License-Identifier: Apache-2.0
// s14 to s19, s24 and s25: what happens to gradients on their way through many layers, and what keeps them alive.
#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <optional>

#include "gallery.h"

namespace thalweg::gallery {
namespace {

using Layer = std::function<Value(Value h, std::string name)>;
constexpr const char* layer_names[] = {"layer1", "layer2", "layer3", "layer4", "layer5", "scores"};

// [s14
Graph deep_net(const Lab& lab, const Layer& layer, double rate) {
  Graph g("deep");
  const Value x = input(g, "x", lab.images(32)), t = input(g, "label", i32(32));
  Value h = flatten(x);
  for (int k = 1; k <= 5; ++k) h = layer(h, "layer" + std::to_string(k));
  const Value y = dense(h, 10, {.name = "scores"});
  const Value loss = mean(sparse_cross_entropy(y, t));
  minimize(loss, Sgd{.rate = rate, .momentum = 0.9});
  g.output("loss", loss);
  g.output("accuracy", accuracy(y, t));
  return g;
}
Value sigmoid_layer(Value h, std::string name) { return dense(h, 48, {.activation = sigmoid, .name = name}); }
// s14]

constexpr double sigmoid_rate = 0.1, relu_rate = 0.02;
constexpr int deep_epochs = 15;

/// Norms of the layers' gradients in the first epoch, from the input up.
Curve gradients_of(const std::string& name, const Watched& run) {
  Curve curve{.name = name, .x = {}, .y = {}};
  for (std::size_t k = 0; k < std::size(layer_names); ++k)
    for (const LayerStatistics& layer : run.layers)
      if (layer.layer == layer_names[k]) {
        curve.x.push_back(static_cast<double>(k + 1));
        curve.y.push_back(layer.gradient);
      }
  return curve;
}

/// How much of the last layer's gradient reaches the first.
double share_that_arrives(const Watched& run) {
  const Curve curve = gradients_of("", run);
  return curve.y.empty() ? 0 : curve.y.front() / curve.y.back();
}

std::string vanishing_layers(const Watched& run) {
  std::string text;
  for (const LayerStatistics& layer : run.layers)
    if (layer.vanishing) text += (text.empty() ? "" : ", ") + layer.layer;
  return text.empty() ? "none" : text;
}

/// The deep net of sigmoids that all cures are compared with; trained once.
const Watched& disease(const Lab& lab) {
  static std::optional<std::pair<const Lab*, Watched>> kept;
  if (!kept || kept->first != &lab)
    kept.emplace(&lab, lab.watch(deep_net(lab, sigmoid_layer, sigmoid_rate), {.epochs = deep_epochs}));
  return kept->second;
}

double learned(const Watched& run) { return last_of(run.history, "val_accuracy"); }

std::vector<Chart> charts_of(const std::vector<std::pair<std::string, const Watched*>>& runs) {
  Chart gradient{.title = "Gradient of each layer in the first epoch", .x_label = "layer, from the input (6: scores)",
                 .y_label = "norm", .log_y = true, .curves = {}, .x_range = std::array{0.7, 6.3}, .width = 500,
                     .height = 300};
  Chart accuracy = epochs_chart("Held-out accuracy", "share recognized", {});
  accuracy.y_range = std::array{0.0, 1.02};
  int colour = 0;
  for (const auto& [name, run] : runs) {
    Curve norms = gradients_of(name, *run), right = curve_of(name, run->history, "val_accuracy");
    norms.faint = right.faint = name == "sigmoid" && runs.size() > 1;
    norms.ends = !norms.faint;
    norms.colour = right.colour = colour;
    if (!norms.faint) ++colour;
    gradient.curves.push_back(std::move(norms));
    accuracy.curves.push_back(std::move(right));
  }
  return {gradient, accuracy};
}

/// A cure, or several, beside the disease.
Shown compared(const Lab& lab, const std::vector<std::pair<std::string, Watched>>& cures, const std::string& lesson) {
  const Watched& ill = disease(lab);
  std::vector<std::pair<std::string, const Watched*>> runs = {{"sigmoid", &ill}};
  std::vector<std::string> facts;
  Shown shown;
  for (const auto& [name, run] : cures) {
    runs.emplace_back(name, &run);
    facts.push_back(fmt::format("{}: {} of the last layer's gradient reaches the first, {} recognized", name,
                                number(share_that_arrives(run)), percent(learned(run))));
    shown.holds = shown.holds && learned(run) > learned(ill) + 0.4;
  }
  shown.charts = charts_of(runs);
  shown.sentence = fmt::format("{}{}. The net of sigmoids alone: {} and {}.", lesson, fmt::join(facts, "; "),
                               number(share_that_arrives(ill)), percent(learned(ill)));
  return shown;
}

Shown vanishing(const Lab& lab) {
  const Watched& ill = disease(lab);
  return {.charts = charts_of({{"sigmoid", &ill}}),
          .sentence = fmt::format("Five layers of sigmoids pass {} of the last layer's gradient on to the first (vanishing, by "
                                  "GradientStatistics: {}); after {} epochs the net recognizes {}, which is chance.",
                                  number(share_that_arrives(ill)), vanishing_layers(ill), ill.history.epochs(),
                                  percent(learned(ill))),
          .holds = share_that_arrives(ill) < 0.01 && learned(ill) < 0.25};
}

// [s15
Value relu_layer(Value h, std::string name) { return dense(h, 48, {.activation = relu, .name = name}); }
Value leaky_layer(Value h, std::string name) { return leaky_relu(dense(h, 48, {.name = name}), 0.1); }
Value gelu_layer(Value h, std::string name) { return gelu(dense(h, 48, {.name = name})); }
// s15]

Shown living_slopes(const Lab& lab) {
  const auto run = [&](const Layer& layer) { return lab.watch(deep_net(lab, layer, relu_rate),
      {.epochs = deep_epochs}); };
  return compared(lab, {{"ReLU", run(relu_layer)}, {"LeakyReLU", run(leaky_layer)}, {"GELU", run(gelu_layer)}}, "");
}

// [s16
Value skip_layer(Value h, std::string name) {
  if (h.shape()[1] != 48) return sigmoid_layer(h, name);
  return residual(h, [&](Value below) { return sigmoid_layer(below, name); });  // h + F(h)
}
// s16]

Shown skips(const Lab& lab) {
  return compared(lab, {{"with skips", lab.watch(deep_net(lab, skip_layer, relu_rate), {.epochs = deep_epochs})}}, "");
}

// [s17
Value small_layer(Value h, std::string name) {
  return dense(h, 48, {.init = random_normal_init({.stddev = 0.05}), .activation = relu, .name = name});
}
Value he_layer(Value h, std::string name) {
  return dense(h, 48, {.init = he_normal(), .activation = relu, .name = name});
}
// s17]

Shown initialization(const Lab& lab) {
  const Watched small = lab.watch(deep_net(lab, small_layer, relu_rate), {.epochs = deep_epochs});
  const Watched he = lab.watch(deep_net(lab, he_layer, relu_rate), {.epochs = deep_epochs});
  Shown shown = compared(lab, {{"ReLU, He", he}}, "");
  shown.charts = charts_of({{"sigmoid", &disease(lab)}, {"ReLU, N(0, 0.05)", &small}, {"ReLU, He", &he}});
  // What reaches the first layer is compared in size: small weights shrink what goes up, too.
  const double of_small = gradients_of("", small).y.front(), of_he = gradients_of("", he).y.front();
  const double early = he.history["val_accuracy"].front() - small.history["val_accuracy"].front();
  shown.sentence = fmt::format("ReLU alone is not enough: from weights of N(0, 0.05) the first layer's gradient is {}, and {} are "
                               "recognized after the first epoch; from He's weights, whose variance fits the number of inputs, it is "
                               "{}, and {} are. ", number(of_small), percent(small.history["val_accuracy"].front()),
                                   number(of_he),
                               percent(he.history["val_accuracy"].front())) + shown.sentence;
  shown.holds = shown.holds && of_he > 10 * of_small && early > 0.2;
  return shown;
}

// [s18
Value normed_layer(Value h, std::string name) {
  const Value sums = dense(h, 48, {.name = name});
  return sigmoid(batch_norm(sums, {.running_update_rate = 0.1, .name = name + "_norm"}));
}
// s18]

Shown normalization(const Lab& lab) {
  return compared(lab, {{"batch norm", lab.watch(deep_net(lab, normed_layer, relu_rate), {.epochs = deep_epochs})}},
      "");
}

// [s19
Graph exploding_net(const Lab& lab, const Clip& clip) {
  Graph g("exploding");
  const Value x = input(g, "x", lab.images(32)), t = input(g, "label", i32(32));
  Value h = flatten(x);  // each layer's weights are twice as large as He's
  for (int k = 0; k < 8; ++k) h = dense(h, 48, {.init = he_normal({.gain = 2}), .activation = relu});
  const Value y = dense(h, 10);
  const Value loss = mean(sparse_cross_entropy(y, t));
  const Minimized made = minimize(loss, Sgd{.rate = 0.01, .momentum = 0.9}, {.clip = clip});
  g.output("loss", loss);
  g.output("accuracy", accuracy(y, t));
  g.output("gradient_norm", cast(global_norm(made.raw_gradients), DType::f32));
  return g;
}
// s19]

Shown clipping(const Lab& lab) {
  const Recorded wild = lab.record(exploding_net(lab, {}), "gradient_norm", {.epochs = 20});
  const Recorded tame = lab.record(exploding_net(lab, by_global_norm(1.0)), "gradient_norm", {.epochs = 20});
  const std::string unclipped = wild.history.diverged ? "no clipping (diverges)" : "no clipping";
  Chart norms{.title = "Norm of all gradients, before clipping, in the first updates", .x_label = "update",
      .y_label = "norm", .log_y = true,
              .curves = {{.name = unclipped, .x = {}, .y = wild.steps, .colour = 1, .ends = true},
                         {.name = "clipped to 1", .x = {}, .y = tame.steps, .colour = 0}},
              .x_range = std::array{0.0, 100.0}, .width = 540, .height = 300};
  Chart right = epochs_chart("Held-out accuracy", "share recognized", {}, false);
  right.y_range = std::array{0.0, 1.02};
  Curve bad = curve_of(unclipped, wild.history, "val_accuracy"), good = curve_of("clipped to 1", tame.history,
      "val_accuracy");
  bad.colour = 1;
  good.colour = 0;
  right.curves = {bad, good};
  const double without = last_of(wild.history, "val_accuracy"), with = last_of(tame.history, "val_accuracy");
  const double most = wild.steps.empty() ? 0 : *std::max_element(wild.steps.begin(), wild.steps.end());
  return {.charts = {norms, right},
          .sentence = fmt::format("Eight layers of weights twice too large: gradients reach {} and the net {}. Clipped together to "
                                  "a norm of 1, the same steps keep their direction, and {} are recognized.",
                                  number(most), wild.history.diverged ? fmt::format("diverges in epoch {}",
                                      wild.history.epochs() + 1)
                                                                      : fmt::format("ends with {} recognized",
                                                                          percent(without)),
                                  percent(with)),
          .holds = most > 100 && with > without + 0.4};
}

// [s24
Watched pretrain_and_tune(const Lab& lab) {
  const PretrainOptions options{.hidden = {48, 48, 48, 48, 48}, .epochs = lab.epochs(20), .optimizer = Sgd{.rate = 0.3},
                                .compile = {.logical_threads = 1}};
  const DeepBelief belief = pretrain(lab.train, options);  // without labels, a layer after the other
  const Graph net = deep_net(lab, sigmoid_layer, sigmoid_rate);
  const Variables begun = belief.unrolled(net, {"layer1", "layer2", "layer3", "layer4", "layer5"});
  return lab.watch(net, {.epochs = deep_epochs, .variables = begun});
}
// s24]

Shown pretraining(const Lab& lab) { return compared(lab, {{"pre-trained", pretrain_and_tune(lab)}}, ""); }

// [s25
std::vector<double> size_by_layer(const Lab& lab, const Init& init, const Activation& activation) {
  Graph g("signal");
  Value h = flatten(input(g, "x", lab.images(256)));
  for (int k = 0; k < 10; ++k) {
    h = dense(h, 64, {.init = init, .activation = activation});
    g.output("layer" + std::to_string(k), sqrt(mean(square(h))));
  }
  Program program = compile(g);
  program.feed("x", rows(lab.train, 0, 256).inputs);
  program.run();
  std::vector<double> sizes;
  for (int k = 0; k < 10; ++k) sizes.push_back(program.scalar("layer" + std::to_string(k)));
  return sizes;
}
// s25]

Shown initializers(const Lab& lab) {
  const std::vector<std::pair<std::string, Init>> inits = {
      {"he_normal", he_normal()}, {"he_uniform", he_uniform()}, {"glorot_normal", glorot_normal()},
      {"glorot_uniform", glorot_uniform()}, {"N(0, 0.05)", random_normal_init({.stddev = 0.05})}};
  Shown shown;
  std::vector<std::string> facts;
  const std::vector<std::pair<std::string, Activation>> activations = {
      {"ReLU", [](Operand x) { return relu(x); }}, {"tanh", [](Operand x) { return tanh(x); }}};
  for (const auto& [title, activation] : activations) {
    Chart chart{.title = fmt::format("Size of what ten layers of {} pass on", title), .x_label = "layer",
                .y_label = "root mean square", .log_y = true, .curves = {}, .width = 500, .height = 300};
    for (const auto& [name, init] : inits) {
      chart.curves.push_back({.name = name, .x = {}, .y = size_by_layer(lab, init, activation)});
      const double kept = chart.curves.back().y.back() / chart.curves.back().y.front();
      if (title == "ReLU") facts.push_back(fmt::format("{} {}", name, number(kept)));
      if (title == "ReLU" && name.starts_with("he") && kept < 0.2) shown.holds = false;
      if (title == "ReLU" && name.starts_with("N") && kept > 1e-3) shown.holds = false;
    }
    shown.charts.push_back(std::move(chart));
  }
  shown.sentence = fmt::format("How much of the first layer's size is left after the tenth layer of ReLU: {}. He's variance makes up "
                               "for the half that ReLU cuts off; Glorot's is meant for tanh.", fmt::join(facts, ", "));
  return shown;
}

}  // namespace

std::vector<Experiment> depth_experiments() {
  return {
      {"s14", "Vanishing gradients", "In a deep net of sigmoids, gradients shrink layer by layer on their way back.",
          vanishing},
      {"s15", "ReLU, LeakyReLU, GELU", "Activations whose slope is 1 where they are on.", living_slopes},
      {"s16", "Skip connections", "y = x + F(x): gradients have a way around each layer.", skips},
      {"s17", "Weight initialization", "Weights as large as the number of inputs asks for.", initialization},
      {"s18", "Batch normalization", "Each unit's sums are brought to mean 0 and variance 1 over the batch.",
          normalization},
      {"s19", "Exploding gradients and clipping", "Too large weights multiply gradients; clipping bounds the step.",
          clipping},
      {"s24", "Pre-training: deep belief nets",
          "Layers first learn, one by one and without labels, to draw their input again.",
       pretraining},
      {"s25", "Glorot and He", "Initializers that keep the size of what goes through.", initializers},
  };
}

}  // namespace thalweg::gallery
