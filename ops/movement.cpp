// SPDX-License-Identifier: Apache-2.0
#include "thalweg/ops/movement.h"

#include <algorithm>
#include <numeric>

#include "thalweg/ops/make.h"
#include "thalweg/ops/reduce.h"
#include "thalweg/ops/source.h"

namespace thalweg {
namespace {

/// Operand 0 of the node that made `value`.
Value operand_of(const Value& value) {
  const Graph graph = value.graph();
  return graph.value(graph.operands(value.id().node)[0]);
}
bool made_by(const Value& value, std::string_view op) { return value.node().op->name == op; }

constexpr OpDef broadcast_op{
    .name = "broadcast", .arity = 1, .fusion = Fusion::pointwise, .declares = true,
    .infer = [](const Infer& i) -> std::vector<TensorType> {
      need_same_dtype(i.in[0], *i.declared);
      if (!broadcasts_to(i.in[0].shape, i.declared->shape))
        rule_error("{} does not broadcast to {}", to_string(i.in[0].shape), to_string(i.declared->shape));
      return {*i.declared};
    },
    .gradient = gradient_of([](const Vjp& v) { return sum_to(v.dy(), v.x(0).shape()); }),
    .eval = [](auto& e) {
      const auto from = e.spread(0);
      for (std::size_t k = 0; k < from.size(); ++k) e.out()[k] = e.in(0)[from[k]];
    },
    .simplify = [](const Rebuild& r) -> Value {
      if (r.x[0].type() == r.types[0]) return r.x[0];
      return made_by(r.x[0], "broadcast") ? broadcast(operand_of(r.x[0]), r.types[0].shape) : Value();
    },
};

constexpr OpDef reshape_op{
    .name = "reshape", .arity = 1, .fusion = Fusion::movement, .declares = true,
    .infer = [](const Infer& i) -> std::vector<TensorType> {
      need_same_dtype(i.in[0], *i.declared);
      if (i.in[0].elements() != i.declared->elements())
        rule_error("{} has {} elements, {} has {}", to_string(i.in[0].shape), i.in[0].elements(),
                   to_string(i.declared->shape), i.declared->elements());
      return {*i.declared};
    },
    .gradient = gradient_of([](const Vjp& v) { return reshape_to(v.dy(), v.x(0).shape()); }),
    .eval = [](auto& e) { e.out().data = e.in(0).data; },
    .simplify = [](const Rebuild& r) -> Value {
      if (r.x[0].type() == r.types[0]) return r.x[0];
      return made_by(r.x[0], "reshape") ? reshape_to(operand_of(r.x[0]), r.types[0].shape) : Value();
    },
};

// ---- transpose

/// The permutation that the attribute names; reversal where it is empty.
std::vector<Dim> order_of(const Attrs& attrs, std::size_t rank) {
  std::vector<Dim> perm = attrs.integers("perm");
  if (perm.empty()) {
    perm.resize(rank);
    std::iota(perm.rbegin(), perm.rend(), Dim{0});
  }
  std::vector<Dim> sorted = perm, all(rank);
  std::sort(sorted.begin(), sorted.end());
  std::iota(all.begin(), all.end(), Dim{0});
  if (sorted != all) rule_error("attribute perm is [{}], must name each of the {} axes once", fmt::join(perm, ","), rank);
  return perm;
}

std::vector<Dim> inverse_of(const std::vector<Dim>& perm) {
  std::vector<Dim> inverse(perm.size());
  for (std::size_t i = 0; i < perm.size(); ++i) inverse[static_cast<std::size_t>(perm[i])] = static_cast<Dim>(i);
  return inverse;
}

constexpr OpDef transpose_op{
    .name = "transpose", .arity = 1, .attrs = {{.name = "perm", .kind = AttrKind::integers, .min = 0}},
    .fusion = Fusion::movement,
    .infer = [](const Infer& i) -> std::vector<TensorType> {
      const Shape& shape = i.in[0].shape;
      std::vector<Dim> dims;
      for (const Dim axis : order_of(i.attrs, shape.rank())) dims.push_back(shape[static_cast<std::size_t>(axis)]);
      return {{i.in[0].dtype, Shape(dims)}};
    },
    .gradient = gradient_of([](const Vjp& v) {
      return transpose(v.dy(), inverse_of(order_of(v.attrs(), v.x(0).rank())));
    }),
    .eval = [](auto& e) {
      const Shape& from = e.in(0).shape;
      const std::vector<Dim> perm = order_of(e.attrs, from.rank()), strides = strides_of(from);
      Index index(e.out_type().shape);
      for (auto& y : e.out().data) {
        Dim at = 0;
        for (std::size_t axis = 0; axis < perm.size(); ++axis)
          at += index[axis] * strides[static_cast<std::size_t>(perm[axis])];
        y = e.in(0)[static_cast<std::size_t>(at)];
        index.next();
      }
    },
    .simplify = [](const Rebuild& r) -> Value {
      const std::vector<Dim> perm = order_of(r.attrs, r.x[0].rank());
      if (std::is_sorted(perm.begin(), perm.end())) return r.x[0];
      if (!made_by(r.x[0], "transpose")) return {};
      const std::vector<Dim> inner = order_of(r.x[0].node().attrs, perm.size());
      std::vector<Dim> both;
      for (const Dim axis : perm) both.push_back(inner[static_cast<std::size_t>(axis)]);
      const Value before = operand_of(r.x[0]);
      return std::is_sorted(both.begin(), both.end()) ? before : transpose(before, both);
    },
};

// ---- concat

Dim concat_offset(const Vjp& v, std::size_t part, std::size_t axis) {
  Dim offset = 0;
  for (std::size_t i = 0; i < part; ++i) offset += v.x(i).shape()[axis];
  return offset;
}

constexpr OpDef concat_op{
    .name = "concat", .arity = {1, Arity::any},
    .attrs = {{.name = "axis", .kind = AttrKind::integer, .required = true}},
    .fusion = Fusion::movement,
    .infer = [](const Infer& i) -> std::vector<TensorType> {
      std::vector<Dim> dims = i.in[0].shape.vector();
      const std::size_t axis = normal_axis(i.attrs.integer("axis"), dims.size());
      for (std::size_t part = 1; part < i.in.size(); ++part) {
        need_same_dtype(i.in[0], i.in[part]);
        std::vector<Dim> other = i.in[part].shape.vector();
        if (other.size() == dims.size()) {
          dims[axis] += other[axis];
          other[axis] = dims[axis];
        }
        if (other != dims)
          rule_error("parts 0 and {} differ in more than axis {}: {} and {}", part, axis, to_string(i.in[0].shape),
                     to_string(i.in[part].shape));
      }
      return {{i.in[0].dtype, Shape(dims)}};
    },
    .gradient = gradient_of_each([](const Vjp& v, std::size_t part) {
      const Shape& shape = v.x(part).shape();
      const std::size_t axis = normal_axis(v.attrs().integer("axis"), shape.rank());
      std::vector<Dim> starts(shape.rank(), 0), ends = shape.vector();
      starts[axis] = concat_offset(v, part, axis);
      ends[axis] += starts[axis];
      return slice(v.dy(), starts, ends);
    }),
    .eval = [](auto& e) {
      const Shape& shape = e.out_type().shape;
      const std::size_t axis = normal_axis(e.attrs.integer("axis"), shape.rank());
      const auto inner = static_cast<std::size_t>(strides_of(shape)[axis]);
      const auto row = inner * static_cast<std::size_t>(shape[axis]);
      std::size_t offset = 0;
      for (std::size_t part = 0; part < e.operands(); ++part) {
        const std::size_t length = inner * static_cast<std::size_t>(e.in(part).shape[axis]);
        for (std::size_t k = 0; k < e.in(part).size(); ++k)
          e.out()[k / length * row + offset + k % length] = e.in(part)[k];
        offset += length;
      }
    },
    .simplify = [](const Rebuild& r) { return r.x.size() == 1 ? r.x[0] : Value(); },
};

// ---- slice and pad

/// One axis of a slice: its first element, how many, and how far apart.
struct Run {
  Dim start;
  Dim count;
  Dim stride;
};

std::vector<Run> runs_of(const Attrs& attrs, const Shape& shape) {
  const std::vector<Dim>&starts = attrs.integers("starts"), &ends = attrs.integers("ends"),
        &strides = attrs.integers("strides");
  if (starts.size() != shape.rank() || ends.size() != shape.rank() ||
      (!strides.empty() && strides.size() != shape.rank()))
    rule_error("starts, ends and strides must have an entry for each of the {} axes, have {}, {} and {}", shape.rank(),
               starts.size(), ends.size(), strides.size());
  std::vector<Run> runs;
  for (std::size_t axis = 0; axis < shape.rank(); ++axis) {
    if (starts[axis] >= ends[axis] || ends[axis] > shape[axis])
      rule_error("axis {} has elements 0 to {}, so [{}, {}) is not a part of it", axis, shape[axis] - 1, starts[axis],
                 ends[axis]);
    const Dim stride = strides.empty() ? 1 : strides[axis];
    runs.push_back({starts[axis], (ends[axis] - starts[axis] - 1) / stride + 1, stride});
  }
  return runs;
}

/// What a pad puts around an axis.
struct Border {
  Dim low;
  Dim high;
  Dim interior;
};

std::vector<Border> borders_of(const Attrs& attrs, std::size_t rank) {
  std::vector<Border> borders(rank);
  const auto fill = [&](const char* name, Dim Border::*field) {
    const std::vector<Dim>& list = attrs.integers(name);
    if (!list.empty() && list.size() != rank)
      rule_error("attribute {} has {} entries, must have one for each of the {} axes", name, list.size(), rank);
    for (std::size_t axis = 0; axis < list.size(); ++axis) borders[axis].*field = list[axis];
  };
  fill("low", &Border::low);
  fill("high", &Border::high);
  fill("interior", &Border::interior);
  return borders;
}

/// For each element of the smaller tensor, its place in the larger one: start + k * stride on every axis.
std::vector<std::size_t> places(const Shape& small, const Shape& large, const std::vector<Run>& runs) {
  std::vector<std::size_t> at(static_cast<std::size_t>(small.elements()));
  const std::vector<Dim> strides = strides_of(large);
  Index index(small);
  for (std::size_t& place : at) {
    Dim offset = 0;
    for (std::size_t axis = 0; axis < runs.size(); ++axis)
      offset += strides[axis] * (runs[axis].start + index[axis] * runs[axis].stride);
    place = static_cast<std::size_t>(offset);
    index.next();
  }
  return at;
}

constexpr OpDef slice_op{
    .name = "slice", .arity = 1,
    .attrs = {{.name = "starts", .kind = AttrKind::integers, .required = true, .min = 0},
              {.name = "ends", .kind = AttrKind::integers, .required = true, .min = 1},
              {.name = "strides", .kind = AttrKind::integers, .min = 1}},
    .fusion = Fusion::movement,
    .infer = [](const Infer& i) -> std::vector<TensorType> {
      std::vector<Dim> dims;
      for (const Run& run : runs_of(i.attrs, i.in[0].shape)) dims.push_back(run.count);
      return {{i.in[0].dtype, Shape(dims)}};
    },
    .gradient = gradient_of([](const Vjp& v) {
      const Shape& shape = v.x(0).shape();
      std::vector<Dim> low, high, interior;
      const std::vector<Run> runs = runs_of(v.attrs(), shape);
      for (std::size_t axis = 0; axis < runs.size(); ++axis) {
        low.push_back(runs[axis].start);
        interior.push_back(runs[axis].stride - 1);
        high.push_back(shape[axis] - 1 - runs[axis].start - (runs[axis].count - 1) * runs[axis].stride);
      }
      return pad(v.dy(), low, high, 0, interior);
    }),
    .eval = [](auto& e) {
      const Shape& from = e.in(0).shape;
      const std::vector<std::size_t> at = places(e.out_type().shape, from, runs_of(e.attrs, from));
      for (std::size_t k = 0; k < at.size(); ++k) e.out()[k] = e.in(0)[at[k]];
    },
    .simplify = [](const Rebuild& r) { return r.x[0].type() == r.types[0] ? r.x[0] : Value(); },
};

constexpr double most_padding = 0x1p44;  // what a Shape allows: sums of these do not overflow

constexpr OpDef pad_op{
    .name = "pad", .arity = 1,
    .attrs = {{.name = "low", .kind = AttrKind::integers, .min = 0, .max = most_padding},
              {.name = "high", .kind = AttrKind::integers, .min = 0, .max = most_padding},
              {.name = "interior", .kind = AttrKind::integers, .min = 0, .max = most_padding},
              {.name = "value", .kind = AttrKind::real, .allow_nonfinite = true}},
    .fusion = Fusion::movement,
    .infer = [](const Infer& i) -> std::vector<TensorType> {
      need_representable({i.attrs.real("value")}, i.in[0].dtype);
      const Shape& shape = i.in[0].shape;
      const std::vector<Border> borders = borders_of(i.attrs, shape.rank());
      std::vector<Dim> dims;
      for (std::size_t axis = 0; axis < borders.size(); ++axis) {
        const Border& b = borders[axis];
        if (b.interior != 0 && shape[axis] - 1 > Shape::max_elements / b.interior)
          rule_error("axis {} of size {} with {} elements between each two is too large", axis, shape[axis], b.interior);
        dims.push_back(b.low + shape[axis] + (shape[axis] - 1) * b.interior + b.high);
      }
      return {{i.in[0].dtype, Shape(dims)}};
    },
    .gradient = gradient_of([](const Vjp& v) {
      const Shape& shape = v.x(0).shape();
      std::vector<Dim> starts, ends, strides;
      const std::vector<Border> borders = borders_of(v.attrs(), shape.rank());
      for (std::size_t axis = 0; axis < borders.size(); ++axis) {
        starts.push_back(borders[axis].low);
        strides.push_back(borders[axis].interior + 1);
        ends.push_back(borders[axis].low + (shape[axis] - 1) * strides.back() + 1);
      }
      return slice(v.dy(), starts, ends, strides);
    }),
    .eval = [](auto& e) {
      const Shape& from = e.in(0).shape;
      std::vector<Run> runs;
      for (const Border& b : borders_of(e.attrs, from.rank())) runs.push_back({b.low, 0, b.interior + 1});
      std::fill(e.out().data.begin(), e.out().data.end(), e.attrs.real("value"));
      const std::vector<std::size_t> at = places(from, e.out_type().shape, runs);
      for (std::size_t k = 0; k < at.size(); ++k) e.out()[at[k]] = e.in(0)[k];
    },
    .simplify = [](const Rebuild& r) { return r.x[0].type() == r.types[0] ? r.x[0] : Value(); },
};

TensorType typed_as(const Operand& x, const Shape& shape, std::string_view op) {
  if (x.is_number()) graph_error(x.loc, "{}: a number has no shape", op);
  return {x.value.dtype(), shape};
}

/// The sizes with -1 filled in.
Shape completed(const Operand& x, std::vector<Dim> sizes) {
  const auto open = std::find(sizes.begin(), sizes.end(), -1);
  try {
    if (open == sizes.end()) return Shape(sizes);
    *open = 1;
    const Dim known = Shape(sizes).elements();
    *open = x.value.type().elements() / known;
    if (*open * known == x.value.type().elements()) return Shape(sizes);
    *open = -1;
  } catch (const GraphError& error) {
    graph_error(x.loc, "reshape: {}\n    a  {}", error.fact(), describe(x.value));
  }
  graph_error(x.loc, "reshape: {} elements do not divide into [{}]\n    a  {}", x.value.type().elements(),
              fmt::join(sizes, ","), describe(x.value));
}

}  // namespace

Value broadcast(Operand x, const Shape& shape) {
  const TensorType type = typed_as(x, shape, "broadcast");
  return make(broadcast_op, {std::move(x)}, {}, type);
}
Value reshape_to(Operand x, const Shape& shape) {
  const TensorType type = typed_as(x, shape, "reshape");
  return make(reshape_op, {std::move(x)}, {}, type);
}
Value reshape(Operand x, const std::vector<Dim>& sizes) {
  if (x.is_number()) graph_error(x.loc, "reshape: a number has no shape");
  const Shape shape = completed(x, sizes);
  return reshape_to(std::move(x), shape);
}

Value transpose(Operand x, std::vector<Dim> perm) {
  return make(transpose_op, {std::move(x)}, {{"perm", std::move(perm)}});
}
Value concat(std::vector<Operand> parts, Dim axis) { return make(concat_op, parts, {{"axis", axis}}); }
Value concat(std::span<const Value> parts, Dim axis, SourceLoc loc) {
  std::vector<Operand> operands;
  for (const Value& part : parts) operands.emplace_back(part, loc);
  return concat(std::move(operands), axis);
}
Value slice(Operand x, std::vector<Dim> starts, std::vector<Dim> ends, std::vector<Dim> strides) {
  if (x.is_number()) graph_error(x.loc, "slice: a number has no shape");
  const Shape& shape = x.value.shape();
  for (std::size_t axis = 0; axis < shape.rank(); ++axis) {
    if (axis < starts.size() && starts[axis] < 0) starts[axis] += shape[axis];
    if (axis < ends.size() && ends[axis] < 0) ends[axis] += shape[axis];
  }
  return make(slice_op, {std::move(x)},
              {{"starts", std::move(starts)}, {"ends", std::move(ends)}, {"strides", std::move(strides)}});
}
Value pad(Operand x, std::vector<Dim> low, std::vector<Dim> high, double value, std::vector<Dim> interior) {
  return make(pad_op, {std::move(x)},
              {{"low", std::move(low)}, {"high", std::move(high)}, {"interior", std::move(interior)}, {"value", value}});
}

OpList movement_ops() { return {&broadcast_op, &concat_op, &pad_op, &reshape_op, &slice_op, &transpose_op}; }

}  // namespace thalweg
