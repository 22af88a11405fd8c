// SPDX-License-Identifier: Apache-2.0
#include "thalweg/ops/pool.h"

#include <cmath>

#include "thalweg/ops/make.h"
#include "thalweg/ops/movement.h"

namespace thalweg {

PoolGeometry pool_geometry(const Attrs& attrs, const Shape& x) {
  if (attrs.integers("window").empty()) rule_error("attribute window is [], must be two numbers [height,width]");
  const auto window = pair_of(attrs, "window", {1, 1});
  const PoolGeometry g = window_geometry(
      attrs, {.in = {x[1], x[2]}, .size = window, .stride = pair_of(attrs, "strides", window), .dilation = {1, 1}});
  for (std::size_t axis = 0; axis < 2; ++axis)
    for (const Dim pad : {g.pad_low[axis], g.pad_high[axis]})
      if (pad >= g.size[axis])
        rule_error("a padding of {} hides the window of {}: pads must be smaller than the window", pad, g.size[axis]);
  return g;
}

namespace {

constexpr AttrSpec window_spec{.name = "window", .kind = AttrKind::integers, .required = true, .min = 1};
constexpr AttrSpec strides_spec{.name = "strides", .kind = AttrKind::integers, .min = 1};
constexpr AttrSpec padding_spec{
    .name = "padding", .kind = AttrKind::text, .fallback_text = "valid", .choices = "valid|same|explicit"};
constexpr AttrSpec pads_spec{.name = "pads", .kind = AttrKind::integers, .min = 0};
constexpr AttrSpecs max_attrs = {window_spec, strides_spec, padding_spec, pads_spec};
constexpr AttrSpecs avg_attrs = {window_spec, strides_spec, padding_spec, pads_spec,
                                 {.name = "count_include_pad", .kind = AttrKind::flag}};

TensorType pooled(const Attrs& attrs, const TensorType& x) {
  need_rank(x, 4, "the input");
  need_float(x, "the input");
  const PoolGeometry g = pool_geometry(attrs, x.shape);
  return {x.dtype, Shape{x.shape[0], g.out[0], g.out[1], x.shape[3]}};
}

void need_pooled(const TensorType& dy, const TensorType& y) {
  if (dy != y) rule_error("the gradient must be of the pooling's type {}, is {}", to_string(y), to_string(dy));
}

/// One window of one channel: which element of the result it makes, and the elements of the input it reads.
struct Window {
  std::size_t y = 0;
  std::vector<std::size_t> x;  ///< in the input only, row by row
};

/// Calls f(Window) for every element of the result.
template <class F>
void each_window(const Attrs& attrs, const Shape& x, F f) {
  const PoolGeometry g = pool_geometry(attrs, x);
  Index out(Shape{x[0], g.out[0], g.out[1], x[3]});
  Window window;
  do {
    window.x.clear();
    for (Dim h = 0; h < g.size[0]; ++h)
      for (Dim w = 0; w < g.size[1]; ++w) {
        const Dim row = g.position(0, out[1], h), column = g.position(1, out[2], w);
        if (g.inside(0, row) && g.inside(1, column))
          window.x.push_back(static_cast<std::size_t>(((out[0] * x[1] + row) * x[2] + column) * x[3] + out[3]));
      }
    f(window);
    ++window.y;
  } while (out.next());
}

/// The first of the largest elements, or the first NaN.
template <class A>
std::size_t largest(const A& x, const Window& window) {
  std::size_t best = window.x.front();
  for (const std::size_t i : window.x) {
    if (std::isnan(value_of(x[best]))) break;
    if (x[i] > x[best] || std::isnan(value_of(x[i]))) best = i;
  }
  return best;
}

double share(const Attrs& attrs, const Window& window) {
  const auto size = pair_of(attrs, "window", {1, 1});
  return 1.0 / static_cast<double>(attrs.flag("count_include_pad") ? static_cast<std::size_t>(size[0] * size[1])
                                                                   : window.x.size());
}

extern const OpDef max_pool_backward_op;
extern const OpDef max_pool_pick_op;
extern const OpDef avg_pool_backward_op;
extern const OpDef avg_pool_op;

// Which element wins is locally constant, so nothing flows back to x through the choice.
Value nothing(const Vjp&) { return {}; }

constexpr OpDef max_pool_op{
    .name = "max_pool", .arity = 1, .attrs = max_attrs, .fusion = Fusion::heavy,
    .infer = [](const Infer& i) { return std::vector{pooled(i.attrs, i.in[0])}; },
    .gradient = gradient_of([](const Vjp& v) { return make(max_pool_backward_op, {v.x(0), v.dy()}, v.attrs().all()); }),
    .eval = [](auto& e) {
      each_window(e.attrs, e.in(0).shape, [&](const Window& w) { e.out()[w.y] = e.in(0)[largest(e.in(0), w)]; });
    },
};

constexpr OpDef max_pool_backward_op{
    .name = "max_pool_backward", .arity = 2, .attrs = max_attrs, .fusion = Fusion::heavy,
    .infer = [](const Infer& i) {
      need_pooled(i.in[1], pooled(i.attrs, i.in[0]));
      return std::vector{i.in[0]};
    },
    .gradient = gradient_of(nothing, [](const Vjp& v) {
      return make(max_pool_pick_op, {v.x(0), v.dy()}, v.attrs().all());
    }),
    .eval = [](auto& e) {
      each_window(e.attrs, e.in(0).shape, [&](const Window& w) { e.out()[largest(e.in(0), w)] += e.in(1)[w.y]; });
    },
};

constexpr OpDef max_pool_pick_op{
    .name = "max_pool_pick", .arity = 2, .attrs = max_attrs, .fusion = Fusion::heavy,
    .infer = [](const Infer& i) {
      if (i.in[0] != i.in[1])
        rule_error("both operands must be of one type, are {} and {}", to_string(i.in[0]), to_string(i.in[1]));
      return std::vector{pooled(i.attrs, i.in[0])};
    },
    .gradient = gradient_of(nothing, [](const Vjp& v) {
      return make(max_pool_backward_op, {v.x(0), v.dy()}, v.attrs().all());
    }),
    .eval = [](auto& e) {
      each_window(e.attrs, e.in(0).shape, [&](const Window& w) { e.out()[w.y] = e.in(1)[largest(e.in(0), w)]; });
    },
};

constexpr OpDef avg_pool_op{
    .name = "avg_pool", .arity = 1, .attrs = avg_attrs, .fusion = Fusion::heavy,
    .infer = [](const Infer& i) { return std::vector{pooled(i.attrs, i.in[0])}; },
    .gradient = gradient_of([](const Vjp& v) {
      return make(avg_pool_backward_op, {v.dy()}, v.attrs().all(), v.x(0).type());
    }),
    .eval = [](auto& e) {
      each_window(e.attrs, e.in(0).shape, [&](const Window& w) {
        for (const std::size_t x : w.x) e.out()[w.y] += e.in(0)[x];
        e.out()[w.y] *= share(e.attrs, w);
      });
    },
};

constexpr OpDef avg_pool_backward_op{
    .name = "avg_pool_backward", .arity = 1, .attrs = avg_attrs, .fusion = Fusion::heavy, .declares = true,
    .infer = [](const Infer& i) {
      need_pooled(i.in[0], pooled(i.attrs, *i.declared));
      return std::vector{*i.declared};
    },
    .gradient = gradient_of([](const Vjp& v) { return make(avg_pool_op, {v.dy()}, v.attrs().all()); }),
    .eval = [](auto& e) {
      each_window(e.attrs, e.out().shape, [&](const Window& w) {
        for (const std::size_t x : w.x) e.out()[x] += e.in(0)[w.y] * share(e.attrs, w);
      });
    },
};

std::vector<Attr> attributes(const Extent& window, const PoolOptions& options) {
  std::vector<Attr> attrs = window_attrs(options.padding, options.pads);
  const auto pair = [&](std::string_view name, const Extent& e) {
    attrs.emplace_back(name, std::vector<Dim>{e.height, e.width});
  };
  pair("window", window);
  if (options.strides != PoolOptions::as_window && options.strides != window) pair("strides", options.strides);
  return attrs;
}

std::vector<Attr> avg_attributes(const Extent& window, const PoolOptions& options) {
  std::vector<Attr> attrs = attributes(window, options);
  attrs.emplace_back("count_include_pad", options.count_include_pad);
  return attrs;
}

std::vector<Attr> max_attributes(const Extent& window, const PoolOptions& options, SourceLoc loc) {
  if (options.count_include_pad)
    graph_error(loc, "max_pool: count_include_pad is an option of avg_pool; padding never wins a maximum");
  return attributes(window, options);
}

}  // namespace

Value max_pool(Operand x, Extent window, const PoolOptions& options) {
  return make(max_pool_op, {x}, max_attributes(window, options, x.loc));
}
Value avg_pool(Operand x, Extent window, const PoolOptions& options) {
  return make(avg_pool_op, {x}, avg_attributes(window, options));
}
Value max_pool_backward(Operand x, Operand dy, Extent window, const PoolOptions& options) {
  return make(max_pool_backward_op, {x, dy}, max_attributes(window, options, x.loc));
}
Value max_pool_pick(Operand x, Operand g, Extent window, const PoolOptions& options) {
  return make(max_pool_pick_op, {x, g}, max_attributes(window, options, x.loc));
}
Value avg_pool_backward(Operand dy, const TensorType& x, Extent window, const PoolOptions& options) {
  return make(avg_pool_backward_op, {dy}, avg_attributes(window, options), x);
}

namespace {

/// [N,H,W,C] as [N,C] by an op over one window of the whole image.
template <class Pool>
Value pooled_whole(const Operand& x, std::string_view what, Pool pool) {
  if (x.is_number() || x.value.rank() != 4)
    graph_error(x.loc, "{}: the input must have 4 axes [N,H,W,C]{}", what,
                x.is_number() ? ", is a number" : "\n    a  " + describe(x.value));
  const Frame frame(x.value.graph(), {.loc = x.loc});
  const Shape shape = x.value.shape();
  return reshape_to(pool(x, Extent(shape[1], shape[2])), Shape{shape[0], shape[3]});
}

}  // namespace

Value global_avg_pool(Operand x) {
  return pooled_whole(x, "global_avg_pool", [](const Operand& image, Extent all) { return avg_pool(image, all); });
}
Value global_max_pool(Operand x) {
  return pooled_whole(x, "global_max_pool", [](const Operand& image, Extent all) { return max_pool(image, all); });
}

OpList pool_ops() {
  return {&max_pool_op, &max_pool_backward_op, &max_pool_pick_op, &avg_pool_op, &avg_pool_backward_op};
}

}  // namespace thalweg
