// SPDX-License-Identifier: Apache-2.0
#include "thalweg/ops/loss.h"

#include <cmath>

#include "thalweg/ops/index.h"
#include "thalweg/ops/make.h"
#include "thalweg/ops/movement.h"
#include "thalweg/ops/pointwise.h"
#include "thalweg/ops/reduce.h"
#include "thalweg/ops/softmax.h"

namespace thalweg {

namespace {

/// `[2,3]`, or the one number; `sample` in the place of the first.
std::string place_of(const Shape& labels, Dim element, const std::string& sample) {
  std::vector<std::string> index;
  for (const Dim stride : strides_of(labels)) {
    index.push_back(std::to_string(element / stride));
    element %= stride;
  }
  if (index.empty()) return "0";
  if (!sample.empty()) index[0] = sample;
  return index.size() == 1 ? index[0] : fmt::format("[{}]", fmt::join(index, ","));
}

}  // namespace

LabelError::LabelError(std::string op, Shape labels, Dim element, Dim label, Dim classes, SourceLoc loc,
                       std::string sample)
    : RunError(fmt::format("{}: the label of sample {} is {}, must be in [0,{})", op, place_of(labels, element, sample),
                           label, classes), loc),
      op_(std::move(op)), labels_(std::move(labels)), element_(element), label_(label), classes_(classes) {}

namespace {

/// keras.config.epsilon().
constexpr double probability_margin = 1e-7;

Shape samples_of(const Shape& logits) { return Shape(std::span(logits.begin(), logits.rank() - 1)); }

/// [..] as [..,1], to meet [..,C].
Value with_last_axis(const Value& x) {
  std::vector<Dim> dims = x.shape().vector();
  dims.push_back(1);
  return reshape_to(x, Shape(dims));
}

Value sum_last(const Value& x, bool keep = false) { return sum(x, {.axes = {-1}, .keep_dims = keep}); }

void need_logits(const TensorType& logits) {
  need_float(logits, "logits");
  if (logits.shape.rank() == 0) rule_error("logits must have a last axis of classes, are {}", to_string(logits));
}

void need_labels(const TensorType& logits, const TensorType& labels) {
  need_logits(logits);
  need_integer(labels, "labels");
  const Shape samples = samples_of(logits.shape);
  if (labels.shape != samples)
    rule_error("labels must be {} (the logits' {} without the classes), are {}; a loss never broadcasts",
               to_string(samples), to_string(logits.shape), to_string(labels.shape));
}

std::vector<TensorType> per_sample(const Infer& i) {
  need_labels(i.in[0], i.in[1]);
  return {{i.in[0].dtype, samples_of(i.in[0].shape)}};
}

template <class E>
std::size_t label_of(const E& e, std::size_t sample, std::size_t classes) {
  const double label = value_of(e.in(1)[sample]);
  if (!(label >= 0 && label < static_cast<double>(classes)))
    throw LabelError("sparse_cross_entropy", e.in(1).shape, static_cast<Dim>(sample), static_cast<Dim>(label),
                     static_cast<Dim>(classes));
  return static_cast<std::size_t>(label);
}

std::size_t largest_of(const auto& x, std::size_t first, std::size_t count) {
  std::size_t best = first;
  for (std::size_t k = first; k < first + count; ++k)
    if (x[k] > x[best]) best = k;
  return best;
}

/// Sum of exp(x - x[largest]) over all but the largest, whose own term is exactly 1.
auto others_of(const auto& x, std::size_t first, std::size_t count, std::size_t largest) {
  using std::exp;
  auto sum = x[largest] - x[largest];
  for (std::size_t k = first; k < first + count; ++k)
    if (k != largest) sum += exp(x[k] - x[largest]);
  return sum;
}

extern const OpDef sparse_cross_entropy_backward_op;

// log1p of the other terms: near certainty the loss is tiny and still exact, and it is never below zero.
constexpr OpDef sparse_cross_entropy_op{
    .name = "sparse_cross_entropy", .arity = 2, .fusion = Fusion::heavy,
    .infer = per_sample,
    .gradient = gradient_of(
        [](const Vjp& v) { return make(sparse_cross_entropy_backward_op, {v.x(0), v.x(1), v.dy()}); }, nullptr),
    .eval = [](auto& e) {
      using std::log1p;
      const auto& x = e.in(0);
      const auto classes = static_cast<std::size_t>(x.shape.back());
      for (std::size_t sample = 0; sample < e.in(1).size(); ++sample) {
        const std::size_t first = sample * classes, largest = largest_of(x, first, classes);
        e.out()[sample] = log1p(others_of(x, first, classes, largest)) +
                          (x[largest] - x[first + label_of(e, sample, classes)]);
      }
    },
    .expand = [](const Rebuild& r) {
      const Value hot = one_hot(r.x[1], r.x[0].shape().back(), DType::boolean);
      return std::vector{neg(sum_last(select(hot, log_softmax(r.x[0]), 0)))};
    },
};

constexpr OpDef sparse_cross_entropy_backward_op{
    .name = "sparse_cross_entropy_backward", .arity = 3, .fusion = Fusion::heavy,
    .infer = [](const Infer& i) {
      const TensorType loss = per_sample(i).front();
      if (i.in[2] != loss)
        rule_error("the gradient must be of the loss's type {}, is {}", to_string(loss), to_string(i.in[2]));
      return std::vector{i.in[0]};
    },
    .gradient = expanded_gradient,
    .eval = [](auto& e) {
      using std::exp;
      const auto& x = e.in(0);
      const auto classes = static_cast<std::size_t>(x.shape.back());
      for (std::size_t sample = 0; sample < e.in(1).size(); ++sample) {
        const std::size_t first = sample * classes, largest = largest_of(x, first, classes);
        const auto total = others_of(x, first, classes, largest) + 1.0;
        const std::size_t hot = first + label_of(e, sample, classes);
        for (std::size_t k = first; k < first + classes; ++k)
          e.out()[k] = e.in(2)[sample] * (exp(x[k] - x[largest]) / total - (k == hot ? 1.0 : 0.0));
      }
    },
    .expand = [](const Rebuild& r) {
      const Value hot = one_hot(r.x[1], r.x[0].shape().back(), r.x[0].dtype());
      return std::vector{(softmax(r.x[0]) - hot) * with_last_axis(r.x[2])};
    },
};

void need_same_shape(const TensorType& prediction, const TensorType& target) {
  if (prediction.shape != target.shape)
    rule_error("shapes differ: {} and {} (a loss never broadcasts)", to_string(prediction.shape),
               to_string(target.shape));
  need_float(prediction, "the prediction");
  need_same_dtype(prediction, target);
}

constexpr OpDef cross_entropy_op{
    .name = "cross_entropy", .arity = 2, .fusion = Fusion::heavy,
    .infer = [](const Infer& i) {
      need_logits(i.in[0]);
      need_same_shape(i.in[0], i.in[1]);
      return std::vector{TensorType{i.in[0].dtype, samples_of(i.in[0].shape)}};
    },
    .gradient = gradient_of(
        [](const Vjp& v) {
          return with_last_axis(v.dy()) * (softmax(v.x(0)) * sum_last(v.x(1), true) - v.x(1));
        },
        [](const Vjp& v) { return with_last_axis(v.dy()) * neg(log_softmax(v.x(0))); }),
    .eval = [](auto& e) {
      using std::log1p;
      const auto& x = e.in(0);
      const auto classes = static_cast<std::size_t>(x.shape.back());
      for (std::size_t sample = 0; sample < e.out().size(); ++sample) {
        const std::size_t first = sample * classes, largest = largest_of(x, first, classes);
        const auto rest = log1p(others_of(x, first, classes, largest));
        for (std::size_t k = first; k < first + classes; ++k)
          e.out()[sample] += e.in(1)[k] * (rest + (x[largest] - x[k]));
      }
    },
    .expand = [](const Rebuild& r) {
      return std::vector{neg(sum_last(r.x[1] * log_softmax(r.x[0])))};
    },
};

void check_smoothing(double smoothing, std::string_view what, SourceLoc loc) {
  if (!(smoothing >= 0 && smoothing < 1))
    graph_error(loc, "{}: label_smoothing is {}, must be in [0, 1)", what, smoothing);
}

/// The logits of a prediction made by softmax over the last axis; else an empty Value.
Value logits_behind(const Value& prediction) {
  const Node& node = prediction.node();
  if (node.op->name != "softmax") return {};
  if (normal_axis(node.attrs.integer("axis"), prediction.rank()) + 1 != prediction.rank()) return {};
  const Graph graph = prediction.graph();
  return graph.value(graph.operands(prediction.id().node)[0]);
}

void need_value(const Operand& operand, std::string_view what) {
  if (operand.is_number()) graph_error(operand.loc, "{}: both sides must be values of a graph, one is a number", what);
}

void check(std::string_view what, const Operand& prediction, const Operand& target) {
  need_value(prediction, what);
  need_value(target, what);
  try {
    need_same_shape(prediction.value.type(), target.value.type());
  } catch (const RuleError& error) {
    graph_error(prediction.loc, "{}: {}\n    a  {}\n    b  {}", what, error.what(), describe(prediction.value),
                describe(target.value));
  }
}

Value mean_last(const Value& x) { return x.rank() == 0 ? x : mean(x, {.axes = {-1}}); }

}  // namespace

Value sparse_cross_entropy(Operand logits, Operand labels, const CrossEntropyOptions& options) {
  need_value(logits, "sparse_cross_entropy");
  check_smoothing(options.label_smoothing, "sparse_cross_entropy", logits.loc);
  const Frame frame(logits.value.graph(), {.loc = logits.loc});
  if (!options.from_logits) {
    // As tf.keras: clip, take the log, and let the softmax of the loss normalize again.
    const Value before = logits_behind(logits.value);
    logits.value = before ? before : log(clip(logits.value, {.low = probability_margin, .high = 1 - probability_margin}));
  }
  const Value loss = make(sparse_cross_entropy_op, {logits, labels});
  const double s = options.label_smoothing;
  if (s == 0) return loss;
  return (1 - s) * loss - s * mean_last(log_softmax(logits.value));
}

Value cross_entropy(Operand logits, Operand target, const CrossEntropyOptions& options) {
  check("cross_entropy", logits, target);
  check_smoothing(options.label_smoothing, "cross_entropy", logits.loc);
  if (logits.value.rank() == 0) return make(cross_entropy_op, {logits, target});
  const Frame frame(logits.value.graph(), {.loc = logits.loc});
  const double s = options.label_smoothing;
  if (s != 0) target.value = (1 - s) * target.value + s / static_cast<double>(target.value.shape().back());
  if (options.from_logits) return make(cross_entropy_op, {logits, target});
  if (const Value before = logits_behind(logits.value)) return make(cross_entropy_op, {before, target});
  // As Keras: normalize, clip, and sum the logs.
  const Value p = clip(logits.value / sum_last(logits.value, true),
                       {.low = probability_margin, .high = 1 - probability_margin});
  return neg(sum_last(target.value * log(p)));
}

Value mse(Operand prediction, Operand target) {
  check("mse", prediction, target);
  const Frame frame(prediction.value.graph(), {.loc = prediction.loc});
  return mean_last(square(prediction.value - target.value));
}

Value mae(Operand prediction, Operand target) {
  check("mae", prediction, target);
  const Frame frame(prediction.value.graph(), {.loc = prediction.loc});
  return mean_last(abs(prediction.value - target.value));
}

OpList loss_ops() { return {&sparse_cross_entropy_op, &sparse_cross_entropy_backward_op, &cross_entropy_op}; }

}  // namespace thalweg
