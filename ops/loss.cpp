// SPDX-License-Identifier: Apache-2.0
#include "thalweg/ops/loss.h"

#include <cmath>

#include "thalweg/ops/check.h"
#include "thalweg/ops/index.h"
#include "thalweg/ops/loss_rules.h"
#include "thalweg/ops/make.h"
#include "thalweg/ops/movement.h"
#include "thalweg/ops/pointwise.h"
#include "thalweg/ops/reduce.h"
#include "thalweg/ops/softmax.h"
#include "thalweg/ops/source.h"

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

Shape samples_of(const Shape& logits) { return Shape(std::span(logits.begin(), logits.rank() - 1)); }

/// [..] as [..,1], to meet [..,C].
Value with_last_axis(const Value& x) {
  std::vector<Dim> dims = x.shape().vector();
  dims.push_back(1);
  return reshape_to(x, Shape(dims));
}

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

/// Weights of the classes, checked, as a tensor [C]; empty where there are none.
Value class_weights_of(const CrossEntropyOptions& options, const Value& logits, std::string_view loss, SourceLoc loc) {
  const std::vector<double>& list = options.class_weights;
  if (list.empty()) return {};
  const Dim classes = logits.shape().back();
  if (static_cast<Dim>(list.size()) != classes)
    graph_error(loc, "{}: class_weights has {} numbers, the logits have {} classes\n    a  {}", loss,
        list.size(), classes,
                describe(logits));
  for (std::size_t k = 0; k < list.size(); ++k)
    if (!(list[k] >= 0) || std::isinf(list[k]))
      graph_error(loc, "{}: class_weights[{}] is {}, must be finite and at least 0", loss, k, list[k]);
  return constant(logits.graph(), list, {logits.dtype(), Shape{classes}});
}

/// Labels and which of them count: where there is a label to ignore, it is replaced by 0.
struct Labels {
  Value labels, counted;  ///< counted: bool; empty where all count
};
Labels labels_of(const Operand& labels, const CrossEntropyOptions& options) {
  if (!options.ignore_label) return {labels.value, {}};
  const auto ignored = static_cast<double>(*options.ignore_label);
  const Value counted = not_equal(labels.value, ignored);
  return {select(counted, labels.value, 0.0), counted};
}

void need_labels_at(std::string_view loss, const Operand& logits, const Operand& labels) {
  for (const Operand& operand : {logits, labels})
    if (operand.is_number()) graph_error(logits.loc, "{}: both sides must be values of a graph, one is a number", loss);
  try {
    need_labels(logits.value.type(), labels.value.type());
  } catch (const RuleError& error) {
    graph_error(logits.loc, "{}: {}\n    a  {}\n    b  {}", loss, error.what(), describe(logits.value),
                describe(labels.value));
  }
}

}  // namespace

void need_match(std::string_view loss, const Operand& prediction, const Operand& target) {
  for (const Operand& operand : {prediction, target})
    if (operand.is_number())
      graph_error(prediction.loc, "{}: both sides must be values of a graph, one is a number", loss);
  try {
    need_same_shape(prediction.value.type(), target.value.type());
  } catch (const RuleError& error) {
    graph_error(prediction.loc, "{}: {}\n    a  {}\n    b  {}", loss, error.what(), describe(prediction.value),
                describe(target.value));
  }
}

void need_lines(std::string_view loss, const Operand& prediction, const Operand& target) {
  need_match(loss, prediction, target);
  if (prediction.value.rank() == 0)
    graph_error(prediction.loc, "{}: the prediction must have a last axis\n    a  {}", loss,
        describe(prediction.value));
}

void need_smoothing(double smoothing, std::string_view loss, SourceLoc loc) {
  if (!(smoothing >= 0 && smoothing < 1))
    graph_error(loc, "{}: label_smoothing is {}, must be in [0, 1)", loss, smoothing);
}

void need_above_zero(double x, std::string_view loss, std::string_view option, SourceLoc loc) {
  if (!(x > 0) || std::isinf(x)) graph_error(loc, "{}: {} is {}, must be finite and above 0", loss, option, x);
}

Value mean_last(const Value& x) { return x.rank() == 0 ? x : mean(x, {.axes = {-1}}); }
Value sum_last(const Value& x, bool keep) { return sum(x, {.axes = {-1}, .keep_dims = keep}); }

Value before_activation(const Value& x, std::string_view op) {
  const Node& node = x.node();
  if (node.op->name != op) return {};
  if (op == "softmax" && normal_axis(node.attrs.integer("axis"), x.rank()) + 1 != x.rank()) return {};
  const Graph graph = x.graph();
  return graph.value(graph.operands(x.id().node)[0]);
}

Value sparse_cross_entropy(Operand logits, Operand labels, const CrossEntropyOptions& options) {
  need_labels_at("sparse_cross_entropy", logits, labels);
  need_smoothing(options.label_smoothing, "sparse_cross_entropy", logits.loc);
  const Frame frame(logits.value.graph(), {.loc = logits.loc});
  const Value weights = class_weights_of(options, logits.value, "sparse_cross_entropy", logits.loc);
  if (!options.from_logits) {
    // As tf.keras: clip, take the log, and let the softmax of the loss normalize again.
    const Value before = before_activation(logits.value, "softmax");
    logits.value = before ? before :
        log(clip(logits.value, {.low = probability_margin, .high = 1 - probability_margin}));
  }
  const Labels known = labels_of(labels, options);
  Value loss = make(sparse_cross_entropy_op, {logits, known.labels});
  if (weights) loss = gather(weights, known.labels) * loss;
  if (const double s = options.label_smoothing; s != 0) {
    const Value logs = log_softmax(logits.value);
    loss = (1 - s) * loss - s * mean_last(weights ? weights * logs : logs);
  }
  return known.counted ? select(known.counted, loss, 0.0) : loss;
}

Value label_weights(Operand labels, Dim classes, const CrossEntropyOptions& options, DType dtype) {
  if (labels.is_number()) graph_error(labels.loc, "label_weights: labels must be a value of a graph, are a number");
  const Frame frame(labels.value.graph(), {.loc = labels.loc});
  const Labels known = labels_of(labels, options);
  const TensorType type{dtype, Shape{classes}};
  const Value weights = options.class_weights.empty() ? constant(labels.value.graph(), 1, type)
                                                      : constant(labels.value.graph(), options.class_weights, type);
  const Value each = gather(weights, known.labels);
  return known.counted ? select(known.counted, each, 0.0) : each;
}

Value mean_sparse_cross_entropy(Operand logits, Operand labels, const CrossEntropyOptions& options) {
  const Value each = sparse_cross_entropy(logits, labels, options);
  const Frame frame(logits.value.graph(), {.loc = logits.loc});
  const auto total = [](const Value& x) { return x.rank() == 0 ? x : sum(x); };
  if (options.class_weights.empty() && !options.ignore_label) return each.rank() == 0 ? each : mean(each);
  const Value weight = total(label_weights(labels, logits.value.shape().back(), options, each.dtype()));
  return total(each) / select(equal(weight, 0.0), 1.0, weight);
}

Value cross_entropy(Operand logits, Operand target, const CrossEntropyOptions& options) {
  need_lines("cross_entropy", logits, target);
  need_smoothing(options.label_smoothing, "cross_entropy", logits.loc);
  if (options.ignore_label)
    graph_error(logits.loc,
        "cross_entropy: ignore_label is an option of sparse_cross_entropy: a distribution has no label");
  const Frame frame(logits.value.graph(), {.loc = logits.loc});
  const Value weights = class_weights_of(options, logits.value, "cross_entropy", logits.loc);
  // What these two make is a distribution by its making.
  const std::string_view made_by = target.value.node().op->name;
  if (made_by != "one_hot" && made_by != "softmax")
    target.value = check_target(target, CheckRule::distribution, "cross_entropy");
  const double s = options.label_smoothing;
  if (s != 0) target.value = (1 - s) * target.value + s / static_cast<double>(target.value.shape().back());
  if (weights) target.value = weights * target.value;
  if (options.from_logits) return make(cross_entropy_op, {logits, target});
  if (const Value before = before_activation(logits.value, "softmax")) return make(cross_entropy_op, {before, target});
  // As Keras: normalize, clip, and sum the logs.
  const Value p = clip(logits.value / sum_last(logits.value, true),
                       {.low = probability_margin, .high = 1 - probability_margin});
  return neg(sum_last(target.value * log(p)));
}

OpList loss_ops() { return {&sparse_cross_entropy_op, &sparse_cross_entropy_backward_op, &cross_entropy_op}; }

}  // namespace thalweg
