// SPDX-License-Identifier: Apache-2.0
#include "tests/compile/random_graph.h"

#include <fmt/format.h>

#include <random>

#include "thalweg/graph/autodiff.h"
#include "thalweg/graph/opdef.h"
#include "thalweg/graph/walk.h"
#include "thalweg/ops/conv.h"
#include "thalweg/ops/index.h"
#include "thalweg/ops/layers.h"
#include "thalweg/ops/loss.h"
#include "thalweg/ops/matmul.h"
#include "thalweg/ops/movement.h"
#include "thalweg/ops/norm.h"
#include "thalweg/ops/pointwise.h"
#include "thalweg/ops/pool.h"
#include "thalweg/ops/random.h"
#include "thalweg/ops/reduce.h"
#include "thalweg/ops/softmax.h"
#include "thalweg/ops/source.h"
#include "thalweg/optim/adam.h"
#include "thalweg/optim/adaptive.h"
#include "thalweg/optim/clip.h"
#include "thalweg/optim/minimize.h"
#include "thalweg/optim/sgd.h"

namespace thalweg::testing {
namespace {

class Generator {
 public:
  explicit Generator(std::uint64_t seed) : random_(seed), graph_(fmt::format("random{}", seed)) {}

  Graph run() {
    const int inputs = pick(1, 3);
    for (int i = 0; i < inputs; ++i) keep(input(graph_, fmt::format("x{}", i), {DType::f32, shape()}));
    for (int i = pick(1, 3); i > 0; --i) keep(variable_of(shape()));
    const int ops = pick(4, 40);
    for (int i = 0; i < ops; ++i) grow();
    finish();
    return graph_;
  }

 private:
  int pick(int low, int high) { return std::uniform_int_distribution(low, high)(random_); }
  bool chance(int percent) { return pick(1, 100) <= percent; }

  Shape shape() {
    constexpr std::array<Dim, 8> sizes = {1, 2, 3, 4, 5, 7, 8, 17};
    std::vector<Dim> dims;
    for (int i = pick(0, 3); i >= 0; --i) dims.push_back(sizes[static_cast<std::size_t>(pick(0, 7))]);
    // Now and then enough elements for several blocks and both threads.
    if (chance(6)) dims.back() = 1031;
    return Shape(dims);
  }

  Value variable_of(const Shape& s) {
    return variable(graph_, fmt::format("w{}", variables_++), {DType::f32, s}, random_uniform_init({.low = -0.5, .high = 0.5}));
  }

  void keep(const Value& v) {
    if (v.type().elements() <= 40000) pool_.push_back(v);
  }
  /// Late values more often, so that graphs are deep.
  Value any() {
    const int last = static_cast<int>(pool_.size()) - 1;
    return pool_[static_cast<std::size_t>(chance(50) ? pick(std::max(0, last - 3), last) : pick(0, last))];
  }

  void grow() {
    switch (pick(0, 17)) {
      case 0: case 1: case 2: return keep(unary(any()));
      case 3: case 4: case 5: case 6: return binary();
      case 7: return reduce();
      case 8: case 9: return product();
      case 10: return keep(chance(50) ? softmax(ranked()) : log_softmax(ranked()));
      case 11: return move();
      case 12: return choose();
      case 13: return convolve();
      case 14: return keep(with_bias());
      case 15: return normalize();
      case 16: return lookup();
      default: return keep(dropout(any(), 0.25));
    }
  }

  /// A value that has axes.
  Value ranked() {
    const Value x = any();
    return x.rank() > 0 ? x : reshape(x, {1});
  }

  Value unary(const Value& x) {
    switch (pick(0, 19)) {
      case 0: return relu(x);
      case 1: return leaky_relu(x, 0.1);
      case 2: return elu(x);
      case 3: return gelu(x);
      case 4: return gelu(x, {.approximate = "tanh"});
      case 5: return sigmoid(x);
      case 6: return tanh(x);
      case 7: return softplus(x);
      case 8: return silu(x);
      case 9: return neg(x);
      case 10: return abs(x);
      case 11: return square(tanh(x));
      case 12: return sqrt(square(x) + 0.5);
      case 13: return rsqrt(square(x) + 0.5);
      case 14: return exp(tanh(x));
      case 15: return log(square(x) + 0.5);
      case 16: return log1p(square(x));
      case 17: return expm1(tanh(x));
      case 18: return erf(x);
      default: return clip(x, {.low = -0.8, .high = 0.9});
    }
  }

  /// A value of the same shape as x, or one that broadcasts onto it.
  Value partner(const Value& x) {
    for (int tries = 0; tries < 6; ++tries) {
      const Value y = any();
      if (broadcasts_to(y.shape(), x.shape())) return y;
    }
    std::vector<Dim> dims = x.shape().vector();
    for (Dim& d : dims)
      if (chance(30)) d = 1;
    while (dims.size() > 1 && dims.front() == 1 && chance(50)) dims.erase(dims.begin());
    return variable_of(Shape(dims));
  }

  void binary() {
    const Value x = any(), y = partner(x);
    const bool swap = chance(50);
    const Value a = swap ? y : x, b = swap ? x : y;
    switch (pick(0, 5)) {
      case 0: return keep(a + b);
      case 1: return keep(a - b);
      case 2: return keep(tanh(a) * b);
      case 3: return keep(a / (square(b) + 1.0));
      case 4: return keep(max(a, b));
      default: return keep(min(a, b));
    }
  }

  std::vector<Dim> some_axes(const Value& x) {
    std::vector<Dim> axes;
    for (std::size_t i = 0; i < x.rank(); ++i)
      if (chance(50)) axes.push_back(static_cast<Dim>(i));
    return axes;
  }

  void reduce() {
    const Value x = any();
    const Axes over{.axes = some_axes(x), .keep_dims = chance(60)};
    switch (pick(0, 2)) {
      case 0: return keep(mean(x, over));
      case 1: return keep(max(x, over));
      default: return keep(tanh(sum(x, over) * 0.1));
    }
  }

  void product() {
    const Value x = any();
    if (x.rank() < 2) return keep(unary(x));
    const bool ta = chance(25), tb = chance(30);
    const Dim inner = x.shape()[x.rank() - (ta ? 2 : 1)], units = pick(1, 9);
    const Value w = variable_of(tb ? Shape{units, inner} : Shape{inner, units});
    keep(matmul(x, w, {.ta = ta, .tb = tb}) * (1.0 / static_cast<double>(inner)));
  }

  Value with_bias() {
    const Value x = any();
    if (x.rank() < 2) return tanh(x);
    const Value y = dense(x, pick(1, 12));
    return chance(50) ? relu(y) : leaky_relu(y, 0.2);
  }

  void move() {
    const Value x = ranked();
    switch (pick(0, 4)) {
      case 0: return keep(reshape(x, {-1}));
      case 1: return keep(transpose(x));
      case 2: return keep(concat(std::vector<Value>{x, tanh(x)}, pick(0, static_cast<int>(x.rank()) - 1)));
      case 3: {
        std::vector<Dim> starts(x.rank(), 0), ends = x.shape().vector();
        const auto a = static_cast<std::size_t>(pick(0, static_cast<int>(x.rank()) - 1));
        if (ends[a] > 2) starts[a] = 1;
        return keep(slice(x, starts, ends));
      }
      default: {
        std::vector<Dim> low(x.rank(), 0), high(x.rank(), 0);
        high[static_cast<std::size_t>(pick(0, static_cast<int>(x.rank()) - 1))] = pick(0, 3);
        return keep(pad(x, low, high));
      }
    }
  }

  void choose() {
    const Value x = any(), y = partner(x);
    keep(select(greater(x, y), tanh(x), y));
  }

  void convolve() {
    const Dim channels = pick(1, 6), size = pick(3, 9), filters = pick(1, 9);
    const Value x = input(graph_, fmt::format("image{}", images_++), f32(pick(1, 3), size, size, channels));
    const Dim kernel = pick(1, 3);
    const Value y = conv(x, filters, kernel, {.strides = pick(1, 2), .padding = chance(50) ? "same" : "valid"});
    const Value pooled = y.shape()[1] >= 2 ? (chance(50) ? max_pool(y, 2) : avg_pool(y, 2)) : y;
    keep(chance(50) ? relu(pooled) : global_avg_pool(pooled));
  }

  void normalize() {
    const Value x = any();
    if (x.rank() < 2 || x.type().elements() / x.shape().back() < 2) return keep(unary(x));
    keep(chance(50) ? batch_norm(x, {.eps = 0.1}) : layer_norm(x, {.eps = 0.1}));
  }

  void lookup() {
    const Dim rows = pick(2, 6);
    const Value table = variable_of({rows, static_cast<Dim>(pick(1, 5))});
    keep(gather(table, label_input(pick(1, 8), rows)));
  }

  Value label_input(Dim count, Dim classes) {
    return input(graph_, fmt::format("label{}_{}", classes, labels_++), i32(count));
  }

  /// An optimizer's step, of rules that are smooth: where a gradient is nearly 0 its sign is not known.
  void learn(const Value& loss) {
    const std::array<Optimizer, 4> rules{Sgd{.rate = 0.1, .momentum = 0.9}, Sgd{.rate = 0.1, .momentum = 0.9, .nesterov = true},
                                         Adagrad{.rate = 0.1}, Adam{.rate = 0.1, .epsilon = 0.1}};
    const std::array<Clip, 3> clips{Clip{}, by_global_norm(1.0), by_value(0.5)};
    const Optimizer& rule = rules[static_cast<std::size_t>(pick(0, 3))];
    const Clip& clip = clips[static_cast<std::size_t>(pick(0, 2))];
    bool learns = false;
    const auto reached = behind(graph_, std::array<NodeId, 1>{loss.id().node});
    for (const NodeId id : graph_.variables()) learns = learns || (reached[id] && graph_.node(id).attrs.flag("trainable"));
    if (learns) minimize(loss, rule, {.clip = clip});
  }

  void finish() {
    Value loss;
    const Value last = pool_.back();
    if (last.rank() == 2 && last.shape()[1] > 1 && chance(50)) {
      loss = mean(sparse_cross_entropy(last, label_input(last.shape()[0], last.shape()[1])));
    } else {
      loss = mean(square(tanh(last)));
    }
    for (int i = pick(0, 3); i > 0; --i) loss = loss + mean(square(tanh(any())));
    graph_.output("loss", loss);
    for (int i = 0; i < 2; ++i) graph_.output(fmt::format("y{}", i), any());
    if (chance(50)) return learn(loss);
    std::vector<Value> weights;
    for (const NodeId id : graph_.variables())
      if (graph_.node(id).attrs.flag("trainable")) weights.push_back(graph_.value({id, 0}));
    const std::vector<Value> slopes = gradients(loss, weights, {.allow_unconnected = true});
    for (std::size_t i = 0; i < weights.size(); ++i) graph_.update(weights[i], weights[i] - slopes[i] * 0.1);
  }

  std::mt19937_64 random_;
  Graph graph_;
  std::vector<Value> pool_;
  int variables_ = 0, images_ = 0, labels_ = 0;
};

}  // namespace

Graph random_graph(std::uint64_t seed) { return Generator(seed).run(); }

std::map<std::string, Array<double>> random_feeds(const Graph& graph, std::uint64_t seed) {
  std::mt19937_64 random(seed * 7919 + 13);
  std::uniform_real_distribution<double> part(-1, 1);
  std::map<std::string, Array<double>> feeds;
  for (NodeId id = 0; id < graph.size(); ++id) {
    const Node& node = graph.node(id);
    if (node.name.empty()) continue;
    Array<double> a(node.types[0].shape);
    for (double& x : a.data) {
      if (node.name.starts_with("label")) {
        const int classes = std::stoi(node.name.substr(5));
        x = std::uniform_int_distribution(0, classes - 1)(random);
      } else if (is_float(node.types[0].dtype)) {
        x = static_cast<float>(part(random));
        // A variance is positive, and so is what an optimizer has summed up of squares.
        const bool slot = node.op->name == "variable" && !node.attrs.flag("trainable");
        if (slot || node.name.ends_with("variance")) x = static_cast<float>(1 + x * x);
      } else {
        x = 0;
      }
    }
    feeds.emplace(node.name, std::move(a));
  }
  return feeds;
}

}  // namespace thalweg::testing
