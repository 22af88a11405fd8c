// SPDX-License-Identifier: Apache-2.0
#include "thalweg/ops/norm.h"

#include <algorithm>
#include <cmath>
#include <numeric>

#include "thalweg/ops/make.h"
#include "thalweg/ops/movement.h"
#include "thalweg/ops/pointwise.h"
#include "thalweg/ops/reduce.h"

namespace thalweg {
namespace {

constexpr AttrSpecs eps_attrs = {{.name = "eps", .kind = AttrKind::real, .fallback = 1e-3, .min = 0, .min_open = true}};

std::vector<Dim> axes_between(std::size_t first, std::size_t last) {
  std::vector<Dim> axes(last - first);
  std::iota(axes.begin(), axes.end(), static_cast<Dim>(first));
  return axes;
}

// ---- formulas, written in simple ops once and read by expansions and gradients

/// Sum over the given axes; x itself where there are none.
Value sum_over(const Value& x, const std::vector<Dim>& axes, bool keep) {
  return axes.empty() ? x : sum(x, {.axes = axes, .keep_dims = keep});
}
double count_of(const Value& x, const std::vector<Dim>& axes) {
  double count = 1;
  for (const Dim axis : axes) count *= static_cast<double>(x.shape()[static_cast<std::size_t>(axis)]);
  return count;
}
/// Not a sum times 1/n: a graph for another batch size derives n of a mean anew, and keeps other numbers.
Value mean_over(const Value& x, const std::vector<Dim>& axes, bool keep) {
  return axes.empty() ? x : mean(x, {.axes = axes, .keep_dims = keep});
}

struct Statistics {
  Value mean, variance;
};
/// Mean, and the mean of squared distances from it: exact also where the mean is large against the deviation.
Statistics statistics_of(const Value& x, const std::vector<Dim>& axes, bool keep) {
  const Value mean = mean_over(x, axes, keep);
  return {mean, mean_over(square(x - mean), axes, keep)};
}

/// Cotangents of x, gamma and beta. `over` are the axes that the statistics are taken over, `shared` those along
/// which gamma repeats. From y = gamma*u + beta, u = (x-mean)*r, and the two ways that x moves mean and r:
/// dx = r * (g - mean(g) - u * mean(g*u)) with g = dy * gamma.
NormGradients gradients_of(const Value& x, const Value& gamma, const Statistics& s, const Value& dy, double eps,
                           const std::vector<Dim>& over, const std::vector<Dim>& shared) {
  const Value r = rsqrt(s.variance + eps);
  const Value u = (x - s.mean) * r;
  const Value g = dy * gamma;
  const Value dx = r * (g - mean_over(g, over, true) - u * mean_over(g * u, over, true));
  return {dx, sum_over(dy * u, shared, false), sum_over(dy, shared, false)};
}

// ---- meanings

/// What is normalized together: elements `first + k * stride` for k below `count`.
template <class A>
auto moments(const A& x, std::size_t first, std::size_t stride, std::size_t count) {
  const double share = 1.0 / static_cast<double>(count);
  auto mean = x[first] - x[first], variance = mean;
  for (std::size_t k = 0; k < count; ++k) mean += x[first + k * stride];
  mean *= share;
  for (std::size_t k = 0; k < count; ++k) {
    const auto distance = x[first + k * stride] - mean;
    variance += distance * distance;
  }
  return std::pair(mean, variance * share);
}

// ---- batch norm

std::vector<Dim> batch_axes(const Shape& x) { return axes_between(0, x.rank() - 1); }

void need_channels(const Infer& i, std::initializer_list<std::string_view> names) {
  const TensorType& x = i.in[0];
  need_float(x, "the input");
  if (x.shape.rank() < 2) rule_error("the input must have at least 2 axes [..,C], is {}", to_string(x));
  std::size_t k = 1;
  for (const std::string_view name : names) {
    need_same_dtype(x, i.in[k]);
    if (i.in[k].shape != Shape{x.shape.back()})
      rule_error("{} must be [{}], one number a channel, is {}", name, x.shape.back(), to_string(i.in[k].shape));
    ++k;
  }
}

extern const OpDef batch_norm_backward_op;

Value batch_norm_gradient(const Vjp& v, std::size_t which) {
  const Value first = make(batch_norm_backward_op, {v.x(0), v.x(1), v.y(1), v.y(2), v.dy()}, v.attrs().all());
  return results_of(first)[which];
}

/// The cotangent of x: through y, and through the statistics where a loss reads them.
Value batch_norm_dx(const Vjp& v) {
  const std::vector<Dim> axes = batch_axes(v.x(0).shape());
  const double n = count_of(v.x(0), axes);
  // Divided by n and spread, as the gradient of a mean is, so that n is known as a count of samples.
  const auto spread = [&](const Value& dy) { return broadcast(dy / n, v.x(0).shape()); };
  Value dx;
  const auto add_to = [&](const Value& part) { dx = dx ? dx + part : part; };
  if (v.has_dy(0)) add_to(batch_norm_gradient(v, 0));
  if (v.has_dy(2)) add_to((v.x(0) - v.y(1)) * spread(v.dy(2) * 2));
  if (v.has_dy(1)) add_to(spread(v.dy(1)));
  return dx;
}

constexpr OpDef batch_norm_training_op{
    .name = "batch_norm_training", .arity = 3, .attrs = eps_attrs, .fusion = Fusion::heavy,
    .infer = [](const Infer& i) {
      need_channels(i, {"gamma", "beta"});
      return std::vector{i.in[0], i.in[1], i.in[1]};
    },
    .gradient = gradient_of(
        batch_norm_dx, [](const Vjp& v) { return v.has_dy(0) ? batch_norm_gradient(v, 1) : Value(); },
        [](const Vjp& v) { return v.has_dy(0) ? batch_norm_gradient(v, 2) : Value(); }),
    .eval = [](auto& e) {
      using std::sqrt;
      const auto& x = e.in(0);
      const std::size_t channels = e.in(1).size();
      for (std::size_t c = 0; c < channels; ++c) {
        const auto [mean, variance] = moments(x, c, channels, x.size() / channels);
        const auto scale = e.in(1)[c] / sqrt(variance + e.attrs.real("eps"));
        for (std::size_t k = c; k < x.size(); k += channels) e.out()[k] = (x[k] - mean) * scale + e.in(2)[c];
        e.out(1)[c] = mean;
        e.out(2)[c] = variance;
      }
    },
    .expand = [](const Rebuild& r) {
      const Statistics s = statistics_of(r.x[0], batch_axes(r.x[0].shape()), false);
      const Value y = (r.x[0] - s.mean) * rsqrt(s.variance + r.attrs.real("eps")) * r.x[1] + r.x[2];
      return std::vector{y, s.mean, s.variance};
    },
};

constexpr OpDef batch_norm_backward_op{
    .name = "batch_norm_backward", .arity = 5, .attrs = eps_attrs, .fusion = Fusion::heavy,
    .infer = [](const Infer& i) {
      need_channels(i, {"gamma", "mean", "variance"});
      if (i.in[4] != i.in[0])
        rule_error("the gradient must be of the input's type {}, is {}", to_string(i.in[0]), to_string(i.in[4]));
      return std::vector{i.in[0], i.in[1], i.in[1]};
    },
    .gradient = expanded_gradient,
    .eval = [](auto& e) {
      using std::sqrt;
      const auto& x = e.in(0);
      const auto& dy = e.in(4);
      const std::size_t channels = e.in(1).size();
      const double share = static_cast<double>(channels) / static_cast<double>(x.size());
      for (std::size_t c = 0; c < channels; ++c) {
        const auto mean = e.in(2)[c], r = 1.0 / sqrt(e.in(3)[c] + e.attrs.real("eps"));
        for (std::size_t k = c; k < x.size(); k += channels) {
          e.out(1)[c] += dy[k] * ((x[k] - mean) * r);
          e.out(2)[c] += dy[k];
        }
        for (std::size_t k = c; k < x.size(); k += channels)
          e.out()[k] = e.in(1)[c] * r *
                       (dy[k] - e.out(2)[c] * share - (x[k] - mean) * r * (e.out(1)[c] * share));
      }
    },
    .expand = [](const Rebuild& r) {
      const std::vector<Dim> axes = batch_axes(r.x[0].shape());
      const NormGradients g = gradients_of(r.x[0], r.x[1], {r.x[2], r.x[3]}, r.x[4], r.attrs.real("eps"), axes, axes);
      return std::vector{g.dx, g.dgamma, g.dbeta};
    },
};

constexpr OpDef batch_norm_inference_op{
    .name = "batch_norm_inference", .arity = 5, .attrs = eps_attrs, .fusion = Fusion::heavy,
    .infer = [](const Infer& i) {
      need_channels(i, {"gamma", "beta", "mean", "variance"});
      return std::vector{i.in[0]};
    },
    .gradient = expanded_gradient,
    .eval = [](auto& e) {
      using std::sqrt;
      const std::size_t channels = e.in(1).size();
      for (std::size_t k = 0; k < e.in(0).size(); ++k) {
        const std::size_t c = k % channels;
        const auto scale = e.in(1)[c] / sqrt(e.in(4)[c] + e.attrs.real("eps"));
        e.out()[k] = (e.in(0)[k] - e.in(3)[c]) * scale + e.in(2)[c];
      }
    },
    .expand = [](const Rebuild& r) {
      const Value scale = r.x[1] * rsqrt(r.x[4] + r.attrs.real("eps"));
      return std::vector{(r.x[0] - r.x[3]) * scale + r.x[2]};
    },
};

// ---- layer norm

/// The last axes of x that gamma (operand 1) spans.
std::vector<Dim> layer_axes(const Shape& x, const Shape& gamma) { return axes_between(x.rank() - gamma.rank(), x.rank()); }
std::vector<Dim> sample_axes(const Shape& x, const Shape& gamma) { return axes_between(0, x.rank() - gamma.rank()); }

void need_layer(const TensorType& x, const TensorType& p, std::string_view name) {
  need_float(x, "the input");
  need_same_dtype(x, p);
  const std::size_t rank = p.shape.rank();
  if (rank == 0 || rank > x.shape.rank() || !std::equal(p.shape.begin(), p.shape.end(), x.shape.end() - rank))
    rule_error("{} must have the last axes of the input {}, is {}", name, to_string(x.shape), to_string(p.shape));
}

constexpr OpDef layer_norm_op{
    .name = "layer_norm", .arity = 3, .attrs = eps_attrs, .fusion = Fusion::heavy,
    .infer = [](const Infer& i) {
      need_layer(i.in[0], i.in[1], "gamma");
      need_layer(i.in[0], i.in[2], "beta");
      if (i.in[1].shape != i.in[2].shape)
        rule_error("gamma and beta differ: {} and {}", to_string(i.in[1].shape), to_string(i.in[2].shape));
      return std::vector{i.in[0]};
    },
    .gradient = gradient_of(
        [](const Vjp& v) { return layer_norm_backward(v.x(0), v.x(1), v.dy(), v.attrs().real("eps")).dx; },
        [](const Vjp& v) { return layer_norm_backward(v.x(0), v.x(1), v.dy(), v.attrs().real("eps")).dgamma; },
        [](const Vjp& v) { return layer_norm_backward(v.x(0), v.x(1), v.dy(), v.attrs().real("eps")).dbeta; }),
    .eval = [](auto& e) {
      using std::sqrt;
      const auto& x = e.in(0);
      const std::size_t count = e.in(1).size();
      for (std::size_t first = 0; first < x.size(); first += count) {
        const auto [mean, variance] = moments(x, first, 1, count);
        const auto r = 1.0 / sqrt(variance + e.attrs.real("eps"));
        for (std::size_t k = 0; k < count; ++k)
          e.out()[first + k] = (x[first + k] - mean) * r * e.in(1)[k] + e.in(2)[k];
      }
    },
    .expand = [](const Rebuild& r) {
      const Statistics s = statistics_of(r.x[0], layer_axes(r.x[0].shape(), r.x[1].shape()), true);
      return std::vector{(r.x[0] - s.mean) * rsqrt(s.variance + r.attrs.real("eps")) * r.x[1] + r.x[2]};
    },
};

constexpr OpDef layer_norm_backward_op{
    .name = "layer_norm_backward", .arity = 3, .attrs = eps_attrs, .fusion = Fusion::heavy,
    .infer = [](const Infer& i) {
      need_layer(i.in[0], i.in[1], "gamma");
      if (i.in[2] != i.in[0])
        rule_error("the gradient must be of the input's type {}, is {}", to_string(i.in[0]), to_string(i.in[2]));
      return std::vector{i.in[0], i.in[1], i.in[1]};
    },
    .gradient = expanded_gradient,
    .eval = [](auto& e) {
      using std::sqrt;
      const auto &x = e.in(0), &gamma = e.in(1), &dy = e.in(2);
      const std::size_t count = gamma.size();
      const double share = 1.0 / static_cast<double>(count);
      for (std::size_t first = 0; first < x.size(); first += count) {
        const auto [mean, variance] = moments(x, first, 1, count);
        const auto r = 1.0 / sqrt(variance + e.attrs.real("eps"));
        auto g_sum = r - r, gu_sum = g_sum;
        for (std::size_t k = 0; k < count; ++k) {
          const auto u = (x[first + k] - mean) * r, g = dy[first + k] * gamma[k];
          g_sum += g;
          gu_sum += g * u;
          e.out(1)[k] += dy[first + k] * u;
          e.out(2)[k] += dy[first + k];
        }
        for (std::size_t k = 0; k < count; ++k) {
          const auto u = (x[first + k] - mean) * r;
          e.out()[first + k] = r * (dy[first + k] * gamma[k] - g_sum * share - u * (gu_sum * share));
        }
      }
    },
    .expand = [](const Rebuild& r) {
      const Shape x = r.x[0].shape(), gamma = r.x[1].shape();
      const std::vector<Dim> over = layer_axes(x, gamma), shared = sample_axes(x, gamma);
      const NormGradients g = gradients_of(r.x[0], r.x[1], statistics_of(r.x[0], over, true), r.x[2],
                                           r.attrs.real("eps"), over, shared);
      return std::vector{g.dx, g.dgamma, g.dbeta};
    },
};

NormGradients gradients_from(const Value& first) {
  const std::vector<Value> all = results_of(first);
  return {all[0], all[1], all[2]};
}

}  // namespace

BatchNormed batch_norm_training(Operand x, Operand gamma, Operand beta, double eps) {
  const std::vector<Value> all = results_of(make(batch_norm_training_op, {x, gamma, beta}, {Attr("eps", eps)}));
  return {all[0], all[1], all[2]};
}
Value batch_norm_inference(Operand x, Operand gamma, Operand beta, Operand mean, Operand variance, double eps) {
  return make(batch_norm_inference_op, {x, gamma, beta, mean, variance}, {Attr("eps", eps)});
}
NormGradients batch_norm_backward(Operand x, Operand gamma, Operand mean, Operand variance, Operand dy, double eps) {
  return gradients_from(make(batch_norm_backward_op, {x, gamma, mean, variance, dy}, {Attr("eps", eps)}));
}
Value layer_norm(Operand x, Operand gamma, Operand beta, double eps) {
  return make(layer_norm_op, {x, gamma, beta}, {Attr("eps", eps)});
}
NormGradients layer_norm_backward(Operand x, Operand gamma, Operand dy, double eps) {
  return gradients_from(make(layer_norm_backward_op, {x, gamma, dy}, {Attr("eps", eps)}));
}

namespace {

void need_positive_eps(double eps, std::string_view what, SourceLoc loc) {
  if (!(eps > 0) || std::isinf(eps)) graph_error(loc, "{}: eps is {}, must be finite and above 0", what, eps);
}
void need_norm_value(const Operand& x, std::string_view what) {
  if (x.is_number()) graph_error(x.loc, "{}: the input must be a value of a graph, is a number", what);
}
/// Runs a type rule of a composite; what it finds wrong is said at the user's line, with the operands.
template <class F>
void check_at(const Operand& x, const Operand& parameter, std::string_view what, F rule) {
  need_norm_value(x, what);
  need_norm_value(parameter, what);
  try {
    rule();
  } catch (const RuleError& error) {
    graph_error(x.loc, "{}: {}\n    a  {}\n    b  {}", what, error.what(),
        describe(x.value), describe(parameter.value));
  }
}

}  // namespace

Value group_norm(Operand x, Operand gamma, Operand beta, Dim groups, double eps) {
  for (const Operand* parameter : {&gamma, &beta})
    check_at(x, *parameter, "group_norm", [&] {
      const TensorType& type = x.value.type();
      need_float(type, "the input");
      if (type.shape.rank() < 2) rule_error("the input must have at least 2 axes [N,..,C], is {}", to_string(type));
      need_same_dtype(type, parameter->value.type());
      if (parameter->value.shape() != Shape{type.shape.back()})
        rule_error("{} must be [{}], one number a channel, is {}", parameter == &gamma ? "gamma" : "beta",
                   type.shape.back(), to_string(parameter->value.shape()));
      if (groups < 1 || type.shape.back() % groups != 0)
        rule_error("groups={} does not divide the {} channels of the input", groups, type.shape.back());
    });
  need_positive_eps(eps, "group_norm", x.loc);
  const Frame frame(x.value.graph(), {.loc = x.loc});
  const Shape shape = x.value.shape();
  const Dim channels = shape.back(), positions = shape.elements() / shape[0] / channels;
  const Value parts = reshape_to(x, Shape{shape[0], positions, groups, channels / groups});
  const Statistics s = statistics_of(parts, {1, 3}, true);
  return reshape_to((parts - s.mean) * rsqrt(s.variance + eps), shape) * gamma + beta;
}

Value rms_norm(Operand x, Operand gamma, double eps) {
  check_at(x, gamma, "rms_norm", [&] { need_layer(x.value.type(), gamma.value.type(), "gamma"); });
  need_positive_eps(eps, "rms_norm", x.loc);
  const Frame frame(x.value.graph(), {.loc = x.loc});
  const std::vector<Dim> over = layer_axes(x.value.shape(), gamma.value.shape());
  return x.value * rsqrt(mean_over(square(x.value), over, true) + eps) * gamma;
}

OpList norm_ops() {
  return {&batch_norm_training_op, &batch_norm_inference_op, &batch_norm_backward_op, &layer_norm_op,
          &layer_norm_backward_op};
}

}  // namespace thalweg
