// SPDX-License-Identifier: Apache-2.0
#include "thalweg/ops/pixels.h"

#include <optional>
#include <utility>

#include "thalweg/ops/make.h"

namespace thalweg {
namespace {

constexpr std::string_view mode_words[] = {"constant", "nearest", "reflect", "wrap"};

void need_image_and_map(const Infer& i) {
  need_float(i.in[0], "the image");
  need_rank(i.in[0], 4, "the image");
  if (i.in[1].dtype != DType::f64 || i.in[1].shape != Shape{i.in[0].shape[0], 6})
    rule_error("the map must be f64[{},6], is {}", i.in[0].shape[0], to_string(i.in[1]));
}

/// Calls f(element of the result, element of the image or nothing for the fill value, weight).
template <class E, class F>
void each_tap(const E& e, const Shape& shape, F f) {
  const FillMode mode = fill_mode_of(e.attrs.text("mode"));
  const auto channels = static_cast<std::size_t>(shape[3]);
  std::size_t to = 0;
  for (Dim b = 0; b < shape[0]; ++b) {
    const auto m = [&](std::size_t k) { return value_of(e.in(1)[static_cast<std::size_t>(b) * 6 + k]); };
    for (Dim row = 0; row < shape[1]; ++row)
      for (Dim col = 0; col < shape[2]; ++col, to += channels) {
        const auto r = static_cast<double>(row), c = static_cast<double>(col);
        const double y = m(0) * r + m(1) * c + m(2), x = m(3) * r + m(4) * c + m(5);
        if (!std::isfinite(y) || !std::isfinite(x)) {
          for (std::size_t k = 0; k < channels; ++k) f(to + k, std::optional<std::size_t>(), std::nan(""));
          continue;
        }
        const Neighbours v = neighbours(y, shape[1], mode), h = neighbours(x, shape[2], mode);
        for (const auto& [at_row, row_weight] : {std::pair{v.first, 1 - v.share}, std::pair{v.second, v.share}})
          for (const auto& [at_col, col_weight] : {std::pair{h.first, 1 - h.share}, std::pair{h.second, h.share}}) {
            const double weight = row_weight * col_weight;
            if (weight == 0) continue;
            for (std::size_t k = 0; k < channels; ++k) {
              std::optional<std::size_t> from;
              if (at_row >= 0 && at_col >= 0)
                from = static_cast<std::size_t>(((b * shape[1] + at_row) * shape[2] + at_col) * shape[3]) + k;
              f(to + k, from, weight);
            }
          }
      }
  }
}

/// Rather an error than a map that does not learn.
Value no_gradient_of_map(const Vjp&) {
  throw GraphError("affine_transform: there is no gradient in the map; stop_gradient(map) says that none is wanted");
}

constexpr AttrSpec mode_attr{.name = "mode", .kind = AttrKind::text, .fallback_text = "constant",
                             .choices = "constant|nearest|reflect|wrap"};

Value affine_transform_backward(const Operand& dy, const Operand& map, const std::string& mode);

constexpr OpDef affine_transform_op{
    .name = "affine_transform", .arity = 2,
    .attrs = {mode_attr, {.name = "fill", .kind = AttrKind::real}},
    .fusion = Fusion::opaque,
    .infer = [](const Infer& i) -> std::vector<TensorType> {
      need_image_and_map(i);
      return {i.in[0]};
    },
    .gradient = gradient_of([](const Vjp& v) {
      return affine_transform_backward(v.dy(), v.x(1), v.attrs().text("mode"));
    }, no_gradient_of_map),
    .eval = [](auto& e) {
      const double fill = e.attrs.real("fill");
      each_tap(e, e.out_type().shape, [&](std::size_t to, std::optional<std::size_t> from, double weight) {
        if (from) e.out()[to] += e.in(0)[*from] * weight;
        else e.out()[to] += weight * fill;
      });
    },
};

/// The adjoint of affine_transform in its image: what each pixel gives to dy, brought back to it.
constexpr OpDef affine_transform_backward_op{
    .name = "affine_transform_backward", .arity = 2, .attrs = {mode_attr}, .fusion = Fusion::opaque,
    .infer = [](const Infer& i) -> std::vector<TensorType> {
      need_image_and_map(i);
      return {i.in[0]};
    },
    .gradient = gradient_of([](const Vjp& v) {
      return affine_transform(v.dy(), v.x(1), {.mode = fill_mode_of(v.attrs().text("mode"))});
    }, no_gradient_of_map),
    .eval = [](auto& e) {
      each_tap(e, e.out_type().shape, [&](std::size_t to, std::optional<std::size_t> from, double weight) {
        if (from) e.out()[*from] += e.in(0)[to] * weight;
      });
    },
};

Value affine_transform_backward(const Operand& dy, const Operand& map, const std::string& mode) {
  return make(affine_transform_backward_op, {dy, map}, {{"mode", mode}});
}

constexpr OpDef unit_vector_op{
    .name = "unit_vector", .arity = 1, .fusion = Fusion::opaque,
    .infer = [](const Infer& i) -> std::vector<TensorType> {
      need_float(i.in[0], "the turns");
      std::vector<Dim> dims = i.in[0].shape.vector();
      dims.push_back(2);
      return {{i.in[0].dtype, Shape(dims)}};
    },
    .gradient = no_gradient,
    .eval = [](auto& e) {
      for (std::size_t k = 0; k < e.in(0).size(); ++k) {
        const auto [c, s] = turned(value_of(e.in(0)[k]));
        e.out()[2 * k] = c;
        e.out()[2 * k + 1] = s;
      }
    },
};

constexpr OpDef swap_pairs_op{
    .name = "swap_pairs", .arity = 1, .fusion = Fusion::opaque,
    .infer = [](const Infer& i) -> std::vector<TensorType> {
      if (i.in[0].shape.rank() == 0) rule_error("there is no first axis in {}", to_string(i.in[0]));
      return {i.in[0]};
    },
    .gradient = gradient_of([](const Vjp& v) { return swap_pairs(v.dy()); }),
    .eval = [](auto& e) {
      const auto rows = static_cast<std::size_t>(e.out_type().shape[0]);
      const std::size_t each = e.out().size() / rows;
      for (std::size_t k = 0; k < e.out().size(); ++k) {
        const std::size_t row = k / each, other = row ^ 1;
        e.out()[k] = e.in(0)[(other < rows ? other : row) * each + k % each];
      }
    },
};

}  // namespace

FillMode fill_mode_of(const std::string& word) {
  for (std::size_t i = 0; i < std::size(mode_words); ++i)
    if (mode_words[i] == word) return static_cast<FillMode>(i);
  throw InternalError(fmt::format("no fill mode is called '{}'", word));
}

Value affine_transform(Operand image, Operand map, AffineOptions options) {
  return make(affine_transform_op, {std::move(image), std::move(map)},
              {{"mode", mode_words[static_cast<std::size_t>(options.mode)]}, {"fill", options.fill}});
}
Value unit_vector(Operand turns) { return make(unit_vector_op, {std::move(turns)}); }
Value swap_pairs(Operand x) { return make(swap_pairs_op, {std::move(x)}); }

OpList image_ops() { return {&affine_transform_op, &affine_transform_backward_op, &swap_pairs_op, &unit_vector_op}; }

}  // namespace thalweg
