// SPDX-License-Identifier: Apache-2.0
#include "thalweg/ops/conv.h"

#include <algorithm>
#include <array>

#include "thalweg/ops/make.h"
#include "thalweg/ops/movement.h"

namespace thalweg {

ConvGeometry conv_geometry(const Attrs& attrs, const Shape& x, const Shape& w) {
  const Dim groups = attrs.integer("groups");
  if (x[3] % groups != 0) rule_error("groups={} does not divide the {} channels of the input", groups, x[3]);
  if (w[3] % groups != 0) rule_error("groups={} does not divide the {} output channels of the weights", groups, w[3]);
  if (w[2] != x[3] / groups)
    rule_error("channels differ: the weights read {}, the input has {}{}", w[2], x[3],
               groups == 1 ? "" : fmt::format(" in {} groups", groups));
  return window_geometry(attrs, {.in = {x[1], x[2]}, .size = {w[0], w[1]}, .stride = pair_of(attrs, "strides", {1, 1}),
                                 .dilation = pair_of(attrs, "dilation", {1, 1})});
}

namespace {

constexpr AttrSpecs conv_attrs = {
    {.name = "strides", .kind = AttrKind::integers, .min = 1},
    {.name = "dilation", .kind = AttrKind::integers, .min = 1},
    {.name = "padding", .kind = AttrKind::text, .fallback_text = "valid", .choices = "valid|same|explicit"},
    {.name = "pads", .kind = AttrKind::integers, .min = 0},
    {.name = "groups", .kind = AttrKind::integer, .fallback = 1, .min = 1},
};

/// Type of y for x and w, checked.
TensorType result_type(const Attrs& attrs, const TensorType& x, const TensorType& w) {
  need_rank(x, 4, "the input");
  need_rank(w, 4, "the weights");
  need_float(x, "the input");
  need_same_dtype(x, w);
  const ConvGeometry g = conv_geometry(attrs, x.shape, w.shape);
  return {x.dtype, Shape{x.shape[0], g.out[0], g.out[1], w.shape[3]}};
}

void need_result(const TensorType& dy, const TensorType& y) {
  if (dy != y) rule_error("the gradient must be of the convolution's type {}, is {}", to_string(y), to_string(dy));
}

/// What one tap of a window does at one place: the products of a row of x's channels, a matrix of w and a row of y.
struct TapSizes {
  std::size_t channels = 0, outputs = 0;  ///< of a group
  std::size_t step = 0;                   ///< from one row of w to the next
};

/// Calls f(x index, w index, y index, sizes) for the first product of every tap, place and group.
template <class F>
void each_tap(const Attrs& attrs, const Shape& x, const Shape& w, F f) {
  const ConvGeometry g = conv_geometry(attrs, x, w);
  const Dim groups = attrs.integer("groups"), channels = w[2], outputs = w[3] / groups;
  const auto at = [](Dim i) { return static_cast<std::size_t>(i); };
  const TapSizes sizes{at(channels), at(outputs), at(w[3])};
  Index spot(Shape{x[0], g.out[0], g.out[1], w[0], w[1]});
  do {
    const Dim row = g.position(0, spot[1], spot[3]), column = g.position(1, spot[2], spot[4]);
    if (!g.inside(0, row) || !g.inside(1, column)) continue;
    const Dim px = ((spot[0] * x[1] + row) * x[2] + column) * x[3];
    const Dim py = ((spot[0] * g.out[0] + spot[1]) * g.out[1] + spot[2]) * w[3];
    const Dim pw = (spot[3] * w[1] + spot[4]) * w[2] * w[3];
    for (Dim group = 0; group < groups; ++group)
      f(at(px + group * channels), at(pw + group * outputs), at(py + group * outputs), sizes);
  } while (spot.next());
}

extern const OpDef conv2d_op;
extern const OpDef conv2d_backward_data_op;
extern const OpDef conv2d_backward_weights_op;

// The three are one trilinear form <dy, conv2d(x, w)> read in three directions, so their gradients are each other.
Value convolve(const Vjp& v, const Value& x, const Value& w) { return make(conv2d_op, {x, w}, v.attrs().all()); }
Value back_to_x(const Vjp& v, const Value& dy, const Value& w, const Value& like) {
  return make(conv2d_backward_data_op, {dy, w}, v.attrs().all(), like.type());
}
Value back_to_w(const Vjp& v, const Value& x, const Value& dy, const Value& like) {
  return make(conv2d_backward_weights_op, {x, dy}, v.attrs().all(), like.type());
}

constexpr OpDef conv2d_op{
    .name = "conv2d", .arity = 2, .attrs = conv_attrs, .fusion = Fusion::heavy,
    .infer = [](const Infer& i) { return std::vector{result_type(i.attrs, i.in[0], i.in[1])}; },
    .gradient = gradient_of([](const Vjp& v) { return back_to_x(v, v.dy(), v.x(1), v.x(0)); },
                            [](const Vjp& v) { return back_to_w(v, v.x(0), v.dy(), v.x(1)); }),
    .eval = [](auto& e) {
      const auto *from_x = e.in(0).data.data(), *from_w = e.in(1).data.data();
      auto* to_y = e.out().data.data();
      each_tap(e.attrs, e.in(0).shape, e.in(1).shape, [=](std::size_t x, std::size_t w, std::size_t y, TapSizes n) {
        for (std::size_t c = 0; c < n.channels; ++c) {
          const auto left = from_x[x + c];
          for (std::size_t o = 0; o < n.outputs; ++o) to_y[y + o] += left * from_w[w + c * n.step + o];
        }
      });
    },
};

constexpr OpDef conv2d_backward_data_op{
    .name = "conv2d_backward_data", .arity = 2, .attrs = conv_attrs, .fusion = Fusion::heavy, .declares = true,
    .infer = [](const Infer& i) {
      need_result(i.in[0], result_type(i.attrs, *i.declared, i.in[1]));
      return std::vector{*i.declared};
    },
    .gradient = gradient_of([](const Vjp& v) { return convolve(v, v.dy(), v.x(1)); },
                            [](const Vjp& v) { return back_to_w(v, v.dy(), v.x(0), v.x(1)); }),
    .eval = [](auto& e) {
      const auto *from_y = e.in(0).data.data(), *from_w = e.in(1).data.data();
      auto* to_x = e.out().data.data();
      each_tap(e.attrs, e.out().shape, e.in(1).shape, [=](std::size_t x, std::size_t w, std::size_t y, TapSizes n) {
        for (std::size_t c = 0; c < n.channels; ++c) {
          auto sum = to_x[x + c];
          for (std::size_t o = 0; o < n.outputs; ++o) sum += from_y[y + o] * from_w[w + c * n.step + o];
          to_x[x + c] = sum;
        }
      });
    },
};

constexpr OpDef conv2d_backward_weights_op{
    .name = "conv2d_backward_weights", .arity = 2, .attrs = conv_attrs, .fusion = Fusion::heavy, .declares = true,
    .infer = [](const Infer& i) {
      need_result(i.in[1], result_type(i.attrs, i.in[0], *i.declared));
      return std::vector{*i.declared};
    },
    .gradient = gradient_of([](const Vjp& v) { return back_to_x(v, v.x(1), v.dy(), v.x(0)); },
                            [](const Vjp& v) { return convolve(v, v.x(0), v.dy()); }),
    .eval = [](auto& e) {
      const auto *from_x = e.in(0).data.data(), *from_y = e.in(1).data.data();
      auto* to_w = e.out().data.data();
      each_tap(e.attrs, e.in(0).shape, e.out().shape, [=](std::size_t x, std::size_t w, std::size_t y, TapSizes n) {
        for (std::size_t c = 0; c < n.channels; ++c) {
          const auto left = from_x[x + c];
          for (std::size_t o = 0; o < n.outputs; ++o) to_w[w + c * n.step + o] += left * from_y[y + o];
        }
      });
    },
};

std::vector<Attr> attributes(const Conv2dOptions& options) {
  std::vector<Attr> attrs = window_attrs(options.padding, options.pads);
  const auto pair = [&](std::string_view name, const Extent& extent) {
    if (extent != Extent(1)) attrs.emplace_back(name, std::vector<Dim>{extent.height, extent.width});
  };
  pair("strides", options.strides);
  pair("dilation", options.dilation);
  attrs.emplace_back("groups", options.groups);
  return attrs;
}

}  // namespace

Value conv2d(Operand x, Operand w, const Conv2dOptions& options) {
  return make(conv2d_op, {x, w}, attributes(options));
}
Value conv2d_backward_data(Operand dy, Operand w, const TensorType& x, const Conv2dOptions& options) {
  return make(conv2d_backward_data_op, {dy, w}, attributes(options), x);
}
Value conv2d_backward_weights(Operand x, Operand dy, const TensorType& w, const Conv2dOptions& options) {
  return make(conv2d_backward_weights_op, {x, dy}, attributes(options), w);
}

namespace {

void need_rank_at(const Operand& x, std::size_t rank, std::string_view what, std::string_view axes) {
  if (x.is_number()) graph_error(x.loc, "{} must be a value of a graph, is a number", what);
  if (x.value.rank() != rank)
    graph_error(x.loc, "{} must have {} axes {}\n    a  {}", what, rank, axes, describe(x.value));
}

/// [N,L,C] as [N,1,L,C], and a kernel [k,I,O] as [1,k,I,O].
Value with_height(const Value& x, bool kernel) {
  const Shape& s = x.shape();
  return reshape_to(x, kernel ? Shape{1, s[0], s[1], s[2]} : Shape{s[0], 1, s[1], s[2]});
}

/// Height or width of the result of a transposed convolution.
Dim transposed_size(const ConvTranspose2dOptions& o, std::size_t axis, Dim n, Dim taps) {
  const auto along = [&](const Extent& e) { return axis == 0 ? e.height : e.width; };
  const Dim s = along(o.strides), extent = along(o.dilation) * (taps - 1) + 1;
  const bool explicit_pads = !o.pads.empty();
  if (o.padding == "same") {
    if (o.output_padding) rule_error("output_padding does not go with padding=same");
    return n * s;
  }
  if (!explicit_pads && !o.output_padding) return (n - 1) * s + std::max(extent, s);
  const Dim more = o.output_padding ? along(*o.output_padding) : 0;
  if (more < 0 || more >= s) rule_error("output_padding is {}, must be at least 0 and below the stride {}", more, s);
  return (n - 1) * s + extent + more - (explicit_pads ? o.pads[2 * axis] + o.pads[2 * axis + 1] : 0);
}

TensorType transposed_type(const ConvTranspose2dOptions& o, const TensorType& x, const TensorType& w) {
  need_rank(x, 4, "the input");
  need_rank(w, 4, "the weights");
  if (!o.pads.empty() && o.pads.size() != 4)
    rule_error("pads must be [top,bottom,left,right], are {}", to_string(AttrValue(o.pads)));
  if (o.groups < 1) rule_error("groups is {}, must be at least 1", o.groups);
  for (const auto& [name, extent] : {std::pair{"strides", o.strides}, {"dilation", o.dilation}})
    if (std::min(extent.height, extent.width) < 1)
      rule_error("{} is [{},{}], must be at least 1", name, extent.height, extent.width);
  for (const Dim pad : o.pads)
    if (pad < 0) rule_error("pads is {}, must be at least 0", to_string(AttrValue(o.pads)));
  if (!o.padding.empty() && o.padding != "same" && o.padding != "valid" && o.padding != "explicit")
    rule_error("padding is '{}', must be one of valid|same|explicit", shown(o.padding));
  if (w.shape[3] != x.shape[3])
    rule_error("channels differ: the weights read {}, the input has {}", w.shape[3], x.shape[3]);
  std::array<Dim, 2> out{};
  for (std::size_t axis = 0; axis < 2; ++axis) {
    for (const Dim size : {x.shape[axis + 1], w.shape[axis], axis == 0 ? o.strides.height : o.strides.width})
      if (size > Dim{1} << 30) rule_error("a size of {} is too large", size);
    out[axis] = transposed_size(o, axis, x.shape[axis + 1], w.shape[axis]);
    if (out[axis] < 1) rule_error("the pads leave nothing of the result's {}", axis == 0 ? "height" : "width");
  }
  return {x.dtype, Shape{x.shape[0], out[0], out[1], w.shape[2] * o.groups}};
}

}  // namespace

Value conv1d(Operand x, Operand w, const Conv2dOptions& options) {
  need_rank_at(x, 3, "conv1d: the input", "[N,L,C]");
  w.loc = x.loc;
  need_rank_at(w, 3, "conv1d: the weights", "[k,C/groups,O]");
  Conv2dOptions wide = options;
  wide.strides.height = wide.dilation.height = 1;
  if (options.pads.size() == 2) wide.pads = {0, 0, options.pads[0], options.pads[1]};
  else if (!options.pads.empty())
    graph_error(x.loc, "conv1d: pads must be [left,right], are {}", to_string(AttrValue(options.pads)));
  const Frame frame(x.value.graph(), {.loc = x.loc});
  const Value y = conv2d(with_height(x.value, false), with_height(w.value, true), wide);
  return reshape_to(y, Shape{y.shape()[0], y.shape()[2], y.shape()[3]});
}

Value conv2d_transpose(Operand x, Operand w, const ConvTranspose2dOptions& options) {
  for (const Operand& operand : {x, w})
    if (operand.is_number()) graph_error(x.loc, "conv2d_transpose: both operands must be values of a graph");
  TensorType y;
  try {
    y = transposed_type(options, x.value.type(), w.value.type());
  } catch (const RuleError& error) {
    graph_error(x.loc, "conv2d_transpose: {}\n    a  {}\n    b  {}", error.what(),
        describe(x.value), describe(w.value));
  }
  const Frame frame(x.value.graph(), {.loc = x.loc});
  return conv2d_backward_data(x, w, y, {.strides = options.strides, .dilation = options.dilation,
                                        .padding = options.padding, .pads = options.pads, .groups = options.groups});
}

OpList conv_ops() { return {&conv2d_op, &conv2d_backward_data_op, &conv2d_backward_weights_op}; }

}  // namespace thalweg
