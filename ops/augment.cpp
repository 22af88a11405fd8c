// SPDX-License-Identifier: Apache-2.0
#include "thalweg/ops/augment.h"

#include <cmath>
#include <numeric>

#include "thalweg/ops/make.h"
#include "thalweg/ops/movement.h"
#include "thalweg/ops/pointwise.h"
#include "thalweg/ops/reduce.h"
#include "thalweg/ops/source.h"

namespace thalweg {
namespace {

/// A batch that is being augmented: its size, and numbers for its samples.
class Batch {
 public:
  /// Throws GraphError at the operand's line, naming the function `what`, for anything but float [B,…].
  Batch(std::string_view what, const Operand& x) : what_(what), loc_(x.loc) {
    if (x.is_number() || !is_float(x.value.dtype()) || x.value.rank() == 0)
      graph_error(loc_, "{}: needs float [B,…], got {}", what,
                  x.is_number() ? "a number" : to_string(x.value.type()));
    x_ = x.value;
  }

  const Value& x() const { return x_; }
  Dim size() const { return x_.shape()[0]; }
  Dim height() const { return x_.shape()[1]; }
  Dim width() const { return x_.shape()[2]; }
  SourceLoc loc() const { return loc_; }
  Graph graph() const { return x_.graph(); }
  /// A number, as a value of the dtype.
  Value number(double x, DType dtype) const { return constant(graph(), x, {dtype, {}}, loc_); }

  Value ids() const { return sample_ids(graph(), size(), loc_); }
  Value when() const { return epoch(graph(), loc_); }
  /// [B,count] in f64, uniform in [0, 1).
  Value uniform(Dim count, const Draw& draw) const {
    return sample_uniform({ids(), loc_}, {when(), loc_}, f64(size(), count), {.low = 0, .high = 1, .draw = draw});
  }
  /// Column i of [B,count], as [B,1].
  Value column(const Value& x, Dim i) const { return slice({x, loc_}, {0, i}, {size(), i + 1}); }
  /// [B,1] in f64 as [B,1,…,1] of x's rank and dtype.
  Value per_sample(const Value& x, const Value& like) const {
    std::vector<Dim> dims(like.rank(), 1);
    dims[0] = size();
    return reshape_to({cast({x, loc_}, like.dtype()), loc_}, Shape(dims));
  }

  [[noreturn]] void wrong(std::string_view fact) const { graph_error(loc_, "{}: {}", what_, fact); }
  void need(bool right, std::string_view name, double value, std::string_view range) const {
    if (!right) wrong(fmt::format("{} is {}, must be {}", name, value, range));
  }
  void need_range(std::string_view name, const FactorRange& range, double least) const {
    // -nan is what nan becomes as the low end of [-x, x].
    const auto shown = [](double x) { return std::isnan(x) ? std::fabs(x) : x; };
    if (!std::isfinite(range.low) || !std::isfinite(range.high) || range.low > range.high)
      wrong(fmt::format("{} is drawn from [{}, {}], which is no range", name, shown(range.low), shown(range.high)));
    if (range.low < least) wrong(fmt::format("{} is drawn from [{}, {}], must be {} or more", name, range.low,
                                             range.high, least));
  }
  void need_probability(std::string_view name, double p) const { need(p >= 0 && p <= 1, name, p, "in [0, 1]"); }
  void need_finite(std::string_view name, double x) const { need(std::isfinite(x), name, x, "finite"); }

 private:
  std::string_view what_;
  SourceLoc loc_;
  Value x_;
};

/// The same for images.
Batch images(std::string_view what, const Operand& x) {
  Batch batch(what, x);
  if (batch.x().rank() != 4) batch.wrong(fmt::format("needs images [B,H,W,C], got {}", to_string(batch.x().type())));
  return batch;
}

Value drawn_from(const FactorRange& range, const Value& uniform) {
  return range.low + (range.high - range.low) * uniform;
}

/// Row or column of a map: `row` * r + `col` * c + `shift`, each [B,1] or a number.
struct MapRow {
  Operand row, col, shift;
};

Value moved(const Batch& batch, const MapRow& to_row, const MapRow& to_col, FillMode mode, double fill) {
  std::vector<Value> entries;
  for (const Operand& entry : {to_row.row, to_row.col, to_row.shift, to_col.row, to_col.col, to_col.shift})
    entries.push_back(entry.is_number() ? constant(batch.graph(), entry.number, f64(batch.size(), 1), batch.loc())
                                        : entry.value);
  const Value map = concat(entries, 1, batch.loc());
  const Value after = affine_transform({batch.x(), batch.loc()}, {map, batch.loc()}, {.mode = mode, .fill = fill});
  return by_mode({after, batch.loc()}, {batch.x(), batch.loc()});
}

/// The scope and line of everything that an augmentation adds.
Frame frame_of(const Batch& batch, std::string_view name) {
  return Frame(batch.graph(), {.loc = batch.loc(), .scope = name});
}

double middle(Dim size) { return (static_cast<double>(size) - 1) / 2; }

/// 0, 1, …, n - 1 along `axis` of four.
Value places(const Batch& batch, std::size_t axis, DType dtype) {
  const Dim n = batch.x().shape()[axis];
  std::vector<double> numbers(static_cast<std::size_t>(n));
  std::iota(numbers.begin(), numbers.end(), 0.0);
  std::vector<Dim> dims(4, 1);
  dims[axis] = n;
  return constant(batch.graph(), numbers, {dtype, Shape(dims)}, batch.loc());
}

/// Whether a pixel lies in [low, high) of its axis; bounds [B,1,1,1].
Value within(const Value& place, const Value& low, const Value& high) {
  return logical_and(less_equal(low, place), less(place, high));
}

}  // namespace

Value random_flip(Operand image, FlipOptions options) {
  const Batch batch = images("random_flip", image);
  batch.need_probability("horizontal", options.horizontal);
  batch.need_probability("vertical", options.vertical);
  const Frame frame = frame_of(batch, "random_flip");
  const Value u = batch.uniform(2, options.draw);
  const auto flipped = [&](Dim toss, double p) {
    return cast(less(batch.column(u, options.together ? 0 : toss), p), DType::f64);
  };
  const Value v = flipped(0, options.vertical), h = flipped(1, options.horizontal);
  return moved(batch, {1 - 2 * v, 0, v * (2 * middle(batch.height()))}, {0, 1 - 2 * h, h * (2 * middle(batch.width()))},
               FillMode::constant, 0);
}

Value random_crop(Operand image, int padding, CropOptions options) {
  const Batch batch = images("random_crop", image);
  batch.need(padding >= 0, "padding", padding, "0 or more");
  batch.need_finite("fill", options.fill);
  const Frame frame = frame_of(batch, "random_crop");
  const Value u = batch.uniform(2, options.draw);
  const auto offset = [&](Dim i) { return floor(batch.column(u, i) * (2.0 * padding + 1)) - padding; };
  return moved(batch, {1, 0, offset(0)}, {0, 1, offset(1)}, options.mode, options.fill);
}

Value random_translation(Operand image, FactorRange height, FactorRange width, MoveOptions options) {
  const Batch batch = images("random_translation", image);
  batch.need_range("height", height, -INFINITY);
  batch.need_range("width", width, -INFINITY);
  batch.need_finite("fill", options.fill);
  const Frame frame = frame_of(batch, "random_translation");
  const Value u = batch.uniform(2, options.draw);
  const Value down = drawn_from(height, batch.column(u, 0)) * static_cast<double>(batch.height());
  const Value right = drawn_from(width, batch.column(u, 1)) * static_cast<double>(batch.width());
  return moved(batch, {1, 0, -down}, {0, 1, -right}, options.mode, options.fill);
}

Value random_rotation(Operand image, FactorRange factor, MoveOptions options) {
  const Batch batch = images("random_rotation", image);
  batch.need_range("factor", factor, -INFINITY);
  batch.need_finite("fill", options.fill);
  const Frame frame = frame_of(batch, "random_rotation");
  const Value turn = unit_vector(drawn_from(factor, reshape(batch.uniform(1, options.draw), {batch.size()})));
  const Value c = batch.column(turn, 0), s = batch.column(turn, 1);
  const double y = middle(batch.height()), x = middle(batch.width());
  return moved(batch, {c, s, y - c * y - s * x}, {-s, c, x + s * y - c * x}, options.mode, options.fill);
}

namespace {

Value zoomed(const Batch& batch, const Value& height, const Value& width, const MoveOptions& options) {
  const auto about = [](double centre, const Value& zoom) { return centre - zoom * centre; };
  return moved(batch, {height, 0, about(middle(batch.height()), height)},
               {0, width, about(middle(batch.width()), width)}, options.mode, options.fill);
}

/// Above -1 by more than f64 tells 0 from.
constexpr double least_zoom = -1 + 1e-6;

}  // namespace

Value random_zoom(Operand image, FactorRange factor, MoveOptions options) {
  const Batch batch = images("random_zoom", image);
  batch.need_range("factor", factor, least_zoom);
  batch.need_finite("fill", options.fill);
  const Frame frame = frame_of(batch, "random_zoom");
  const Value zoom = 1 + drawn_from(factor, batch.uniform(1, options.draw));
  return zoomed(batch, zoom, zoom, options);
}

Value random_zoom(Operand image, FactorRange height, FactorRange width, MoveOptions options) {
  const Batch batch = images("random_zoom", image);
  batch.need_range("height", height, least_zoom);
  batch.need_range("width", width, least_zoom);
  batch.need_finite("fill", options.fill);
  const Frame frame = frame_of(batch, "random_zoom");
  const Value u = batch.uniform(2, options.draw);
  return zoomed(batch, 1 + drawn_from(height, batch.column(u, 0)), 1 + drawn_from(width, batch.column(u, 1)), options);
}

namespace {

void need_pixels(const Batch& batch, const ColourOptions& options) {
  if (!(std::isfinite(options.low) && std::isfinite(options.high) && options.low < options.high))
    batch.wrong(fmt::format("pixels are in [{}, {}], which is no range", options.low, options.high));
}

Value held(const Batch& batch, const Value& x, const ColourOptions& options) {
  return by_mode(clip(x, {.low = options.low, .high = options.high}), batch.x());
}

}  // namespace

Value random_brightness(Operand image, FactorRange factor, ColourOptions options) {
  const Batch batch = images("random_brightness", image);
  batch.need_range("factor", factor, -INFINITY);
  need_pixels(batch, options);
  const Frame frame = frame_of(batch, "random_brightness");
  const Value shift = drawn_from(factor, batch.uniform(1, options.draw)) * (options.high - options.low);
  return held(batch, batch.x() + batch.per_sample(shift, batch.x()), options);
}

Value random_contrast(Operand image, FactorRange factor, ColourOptions options) {
  const Batch batch = images("random_contrast", image);
  batch.need_range("factor", factor, -1);
  need_pixels(batch, options);
  const Frame frame = frame_of(batch, "random_contrast");
  const Value by = batch.per_sample(1 + drawn_from(factor, batch.uniform(1, options.draw)), batch.x());
  const Value centre = mean(batch.x(), {.axes = {1, 2}, .keep_dims = true});
  return held(batch, (batch.x() - centre) * by + centre, options);
}

Value random_noise(Operand image, double stddev, Draw draw) {
  const Batch batch("random_noise", image);
  batch.need(std::isfinite(stddev) && stddev >= 0, "stddev", stddev, "0 or more");
  const Frame frame = frame_of(batch, "random_noise");
  const Value noise = sample_normal(batch.ids(), batch.when(), batch.x().type(), {.stddev = stddev, .draw = draw});
  return by_mode(batch.x() + noise, batch.x());
}

Value cutout(Operand image, int size, CutoutOptions options) {
  const Batch batch = images("cutout", image);
  batch.need(size >= 1, "size", size, "1 or more");
  batch.need_probability("probability", options.probability);
  batch.need_finite("fill", options.fill);
  const Frame frame = frame_of(batch, "cutout");
  const Value u = batch.uniform(3, options.draw);
  const auto inside = [&](std::size_t axis) {
    const Value at = floor(batch.column(u, static_cast<Dim>(axis) - 1) *
                           static_cast<double>(batch.x().shape()[axis])) - std::floor(size / 2.0);
    const Value low = batch.per_sample(at, batch.x());
    return within(places(batch, axis, batch.x().dtype()), low, low + size);
  };
  const Value cut = batch.per_sample(batch.column(u, 2), batch.x());
  const Value hole = logical_and(logical_and(inside(1), inside(2)), less(cut, options.probability));
  const Value filled = batch.number(options.fill, batch.x().dtype());
  return by_mode(select(hole, filled, batch.x()), batch.x());
}

namespace {

void need_labels(const Batch& batch, const Operand& labels) {
  if (labels.is_number() || !is_float(labels.value.dtype()) || labels.value.rank() == 0 ||
      labels.value.shape()[0] != batch.size())
    batch.wrong(fmt::format("labels must be float [{},…], as one_hot() makes them, got {}", batch.size(),
                            labels.is_number() ? "a number" : to_string(labels.value.type())));
}

/// share * x + (1 - share) * partner, the share [B,1] in f64.
Value mixed(const Batch& batch, const Value& x, const Value& share) {
  const Value own = batch.per_sample(share, x);
  // Where an odd batch ends, the partner is the sample itself: what is left must be it, to the bit.
  return by_mode(x + (1 - own) * (swap_pairs(x) - x), x);
}

}  // namespace

Mixed mixup(Operand image, Operand labels, double alpha, Draw draw) {
  const Batch batch("mixup", image);
  batch.need(std::isfinite(alpha) && alpha > 0, "alpha", alpha, "above 0");
  need_labels(batch, labels);
  const Frame frame = frame_of(batch, "mixup");
  const Value share = sample_beta(batch.ids(), batch.when(), f64(batch.size(), 1), alpha, draw);
  return {mixed(batch, batch.x(), share), mixed(batch, labels.value, share)};
}

Mixed cutmix(Operand image, Operand labels, double alpha, Draw draw) {
  const Batch batch = images("cutmix", image);
  batch.need(std::isfinite(alpha) && alpha > 0, "alpha", alpha, "above 0");
  need_labels(batch, labels);
  const Frame frame = frame_of(batch, "cutmix");
  const Value share = sample_beta(batch.ids(), batch.when(), f64(batch.size(), 1), alpha, draw);
  const Value side = sqrt(1 - share), u = batch.uniform(2, {.seed = draw.seed, .key = {}});
  Value low[2], high[2], inside[2];
  for (const std::size_t i : {std::size_t{0}, std::size_t{1}}) {
    const auto n = static_cast<double>(batch.x().shape()[i + 1]);
    const Value centre = floor(batch.column(u, static_cast<Dim>(i)) * n), half = floor(side * n) * 0.5;
    low[i] = clip(floor(centre - half), {.low = 0, .high = n});
    high[i] = clip(floor(centre + half), {.low = 0, .high = n});
    inside[i] = within(places(batch, i + 1, batch.x().dtype()), batch.per_sample(low[i], batch.x()),
                       batch.per_sample(high[i], batch.x()));
  }
  const double area = static_cast<double>(batch.height()) * static_cast<double>(batch.width());
  const Value kept = 1 - (high[0] - low[0]) * (high[1] - low[1]) * (1 / area);
  const Value pasted = select(logical_and(inside[0], inside[1]), swap_pairs(batch.x()), batch.x());
  return {by_mode(pasted, batch.x()), mixed(batch, labels.value, kept)};
}

}  // namespace thalweg
