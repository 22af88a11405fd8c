// SPDX-License-Identifier: Apache-2.0
#include "thalweg/lib/kernels/lane_convolution.h"

#include <algorithm>
#include <array>
#include <cstring>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "thalweg/graph/opdef.h"
#include "thalweg/lib/base/threads.h"
#include "thalweg/lib/kernels/lane_tiles.h"
#include "thalweg/lib/kernels/makers.h"
#include "thalweg/lib/kernels/window.h"
#include "thalweg/ops/conv.h"

namespace thalweg {
namespace {

std::size_t lots_of(const Window& w) { return (w.samples + lane_tiles().lanes - 1) / lane_tiles().lanes; }
std::size_t grain(const Window& w) { return grain_of(w.out_rows * w.out_columns * w.outputs * w.taps()); }

std::size_t bytes_of(std::size_t lots) { return lots * lane_tiles().lanes * sizeof(float); }

/// The samples of one vector.
struct Lot {
  std::size_t first, samples;
  Lot(const Window& w, std::size_t index)
      : first(index * lane_tiles().lanes), samples(std::min(lane_tiles().lanes, w.samples - first)) {}
};

/// The source of a lot, one number of all samples after the other, with a border of zeros left and right.
void lay_source(const Window& w, const Lot& lot, const float* from, float* to) {
  const std::size_t lanes = lane_tiles().lanes;
  const auto left = count(w.left) * w.channels, inside = w.in_columns * w.channels;
  const std::size_t used = std::min(inside, w.row() - std::min(left, w.row()));
  for (std::size_t r = 0; r < w.in_rows; ++r) {
    float* row = to + r * w.row() * lanes;
    std::memset(row, 0, bytes_of(left));
    lane_tiles().to_lanes(from + lot.first * w.sample_in() + r * inside, static_cast<std::ptrdiff_t>(w.sample_in()),
                          lot.samples, used, row + left * lanes);
    std::memset(row + (left + used) * lanes, 0, bytes_of(w.row() - left - used));
  }
}

class SlideLanes final : public Kernel {
 public:
  SlideLanes(std::string name, const Window& w, bool backward, const Epilogue& epilogue, int threads)
      : name_(std::move(name)), w_(w), backward_(backward), bias_(epilogue.bias), slopes_(epilogue.slope.has_value()),
        slope_(static_cast<float>(epilogue.slope.value_or(1))), threads_(threads) {
    for (const Piece& o : pieces_of(w.outputs, lane_tiles().outputs))
      for (const Piece& p : pieces_of(w.out_columns, lane_tiles().rows(o.size))) {
        // Columns of taps that read nothing but the border for each of these pixels are left out.
        std::size_t first = w.columns, last = 0;
        for (std::size_t j = 0; j < w.columns; ++j)
          for (std::size_t c = p.first; c < p.first + p.size; ++c) {
            const Dim at = static_cast<Dim>(c * w.column_stride + j) - w.left;
            if (at < 0 || at >= static_cast<Dim>(w.in_columns)) continue;
            first = std::min(first, j);
            last = j + 1;
          }
        tiles_.push_back({o, p, std::min(first, last), last - std::min(first, last)});
      }
  }
  std::string name() const override { return name_; }
  std::size_t scratch_bytes() const override {
    return weights_bytes() + worker_bytes() * static_cast<std::size_t>(parts_of(threads_, lots_of(w_), grain(w_)));
  }

  void run(const void* const* in, void* const* out, void* scratch) const override {
    auto* const bytes = static_cast<std::byte*>(scratch);
    const float* weights = input<float>(in, 1);
    if (backward_) weights = turned(weights, reinterpret_cast<float*>(bytes));
    const float* bias = bias_ ? input<float>(in, 2) : nullptr;
    parallel_for(threads_, lots_of(w_), grain(w_), [&](std::size_t begin, std::size_t end, std::size_t worker) {
      auto* const source = reinterpret_cast<float*>(bytes + weights_bytes() + worker * worker_bytes());
      for (std::size_t i = begin; i < end; ++i)
        run_lot(Lot(w_, i), input<float>(in, 0), weights, bias, output<float>(out), source);
    });
  }

 private:
  struct Tile {
    Piece outputs, pixels;
    std::size_t tap, taps;  ///< columns of taps
  };
  std::size_t weights_bytes() const { return backward_ ? rounded_up(w_.taps() * w_.outputs * sizeof(float)) : 0; }
  std::size_t source_lots() const { return w_.in_rows * w_.row(); }
  std::size_t worker_bytes() const { return bytes_of(source_lots() + w_.out_columns * w_.outputs); }

  /// The weights of dx: weights[rows - 1 - i, columns - 1 - j, c, f] at [i, j, f, c].
  const float* turned(const float* from, float* to) const {
    const std::size_t taps = w_.rows * w_.columns;
    for (std::size_t t = 0; t < taps; ++t)
      for (std::size_t f = 0; f < w_.channels; ++f)
        for (std::size_t c = 0; c < w_.outputs; ++c)
          to[(t * w_.channels + f) * w_.outputs + c] = from[((taps - 1 - t) * w_.outputs + c) * w_.channels + f];
    return to;
  }

  void run_lot(const Lot& lot, const float* x, const float* weights, const float* bias, float* y, float* source) const {
    const LaneTiles& code = lane_tiles();
    const auto lanes = static_cast<std::ptrdiff_t>(code.lanes);
    float* const row = source + source_lots() * code.lanes;
    lay_source(w_, lot, x, source);
    LanePixels call{};
    call.line = static_cast<std::ptrdiff_t>(w_.row()) * lanes;
    call.pixel = static_cast<std::ptrdiff_t>(w_.column_stride * w_.channels) * lanes;
    call.weight_row = static_cast<std::ptrdiff_t>(w_.outputs);
    call.weight_line = static_cast<std::ptrdiff_t>(w_.columns * w_.channels * w_.outputs);
    call.result_pixel = call.weight_row * lanes;
    call.slope = slopes_ ? &slope_ : nullptr;
    for (std::size_t h = 0; h < w_.out_rows; ++h) {
      const auto [first, last] = w_.tap_rows(h);
      call.lines = last - first;
      const std::size_t top = call.lines > 0 ? w_.source_row(h, first) : 0;
      for (const Tile& t : tiles_) {
        const std::size_t column = t.pixels.first * w_.column_stride + t.tap;
        call.source = source + (top * w_.row() + column * w_.channels) * code.lanes;
        call.run = t.taps * w_.channels;
        call.weights = weights + ((first * w_.columns + t.tap) * w_.channels) * w_.outputs + t.outputs.first;
        call.bias = bias != nullptr ? bias + t.outputs.first : nullptr;
        call.result = row + (t.pixels.first * w_.outputs + t.outputs.first) * code.lanes;
        code.pixels[t.pixels.size - 1][t.outputs.size - 1](call);
      }
      const std::size_t n = w_.out_columns * w_.outputs;
      code.from_lanes(row, n, y + lot.first * w_.sample_out() + h * n, static_cast<std::ptrdiff_t>(w_.sample_out()),
                      lot.samples);
    }
  }

  std::string name_;
  Window w_;
  bool backward_, bias_, slopes_;
  float slope_;
  int threads_;
  std::vector<Tile> tiles_;
};

/// The gradient of the weights: each lot has sums of its own, which are added in order, whatever threads there are.
class WeightLanes final : public Kernel {
 public:
  WeightLanes(const Window& w, int threads)
      : w_(w), threads_(threads),
        outputs_(pieces_of(w.outputs, lane_tiles().outputs)),
        lines_(std::clamp<std::size_t>(near_bytes / bytes_of(w.out_columns * outputs_.back().size), 1, w.out_rows)) {
    for (const Piece& o : outputs_)
      for (const Piece& k : pieces_of(w.columns * w.channels, lane_tiles().rows(o.size))) tiles_.push_back({o, k});
  }
  std::string name() const override { return "own:lane_conv2d_backward_weights"; }
  std::size_t scratch_bytes() const override {
    return sums_bytes() + worker_bytes() * static_cast<std::size_t>(parts_of(threads_, lots_of(w_), grain(w_)));
  }

  void run(const void* const* in, void* const* out, void* scratch) const override {
    auto* const bytes = static_cast<std::byte*>(scratch);
    auto* const sums = reinterpret_cast<float*>(bytes);
    const std::size_t each = w_.taps() * w_.outputs;
    parallel_for(threads_, lots_of(w_), grain(w_), [&](std::size_t begin, std::size_t end, std::size_t worker) {
      auto* const room = reinterpret_cast<float*>(bytes + sums_bytes() + worker * worker_bytes());
      for (std::size_t i = begin; i < end; ++i)
        run_lot(Lot(w_, i), input<float>(in, 0), input<float>(in, 1), room, sums + i * each);
    });
    float* const dw = output<float>(out);
    for (std::size_t k = 0; k < each; ++k) {
      double sum = 0;
      for (std::size_t i = 0; i < lots_of(w_); ++i) sum += static_cast<double>(sums[i * each + k]);
      dw[k] = static_cast<float>(sum);
    }
  }

 private:
  /// Of dy, for one pass: with as much of x it should lie in the first-level cache.
  static constexpr std::size_t near_bytes = 16 << 10;
  std::size_t sums_bytes() const { return rounded_up(lots_of(w_) * w_.taps() * w_.outputs * sizeof(float)); }
  std::size_t line() const { return w_.out_columns * w_.outputs; }
  std::size_t worker_bytes() const {
    return bytes_of(w_.in_rows * w_.row() + lines_ * line() + w_.taps() * w_.outputs);
  }

  void run_lot(const Lot& lot, const float* x, const float* dy, float* source, float* sums) const {
    const LaneTiles& code = lane_tiles();
    const auto lanes = static_cast<std::ptrdiff_t>(code.lanes);
    float* const gradient = source + w_.in_rows * w_.row() * code.lanes;
    float* const total = gradient + lines_ * line() * code.lanes;
    lay_source(w_, lot, x, source);
    std::memset(total, 0, bytes_of(w_.taps() * w_.outputs));
    LaneWeights call{};
    call.x_line = static_cast<std::ptrdiff_t>(w_.row_stride * w_.row()) * lanes;
    call.x_pixel = static_cast<std::ptrdiff_t>(w_.column_stride * w_.channels) * lanes;
    call.dy_line = static_cast<std::ptrdiff_t>(line()) * lanes;
    call.dy_pixel = call.total_row = static_cast<std::ptrdiff_t>(w_.outputs) * lanes;
    call.pixels = w_.out_columns;
    for (std::size_t h = 0; h < w_.out_rows; h += lines_) {
      const std::size_t lines = std::min(lines_, w_.out_rows - h);
      code.to_lanes(dy + lot.first * w_.sample_out() + h * line(), static_cast<std::ptrdiff_t>(w_.sample_out()),
                    lot.samples, lines * line(), gradient);
      for (std::size_t o = 0; o < outputs_.size(); ++o)
        for (std::size_t i = 0; i < w_.rows; ++i) add_tap_row(call, o, i, h, lines, source, gradient, total);
    }
    code.add_lanes(total, w_.taps() * w_.outputs, sums);
  }

  /// Of those lines whose tap row i reads a row of the source.
  void add_tap_row(LaneWeights call, std::size_t outputs, std::size_t i, std::size_t h, std::size_t lines,
                   const float* source, const float* gradient, float* total) const {
    const LaneTiles& code = lane_tiles();
    const auto reads = [&](std::size_t line) {
      const auto [first, last] = w_.tap_rows(line);
      return i >= first && i < last;
    };
    std::size_t begin = h, end = h + lines;
    while (begin < end && !reads(begin)) ++begin;
    while (begin < end && !reads(end - 1)) --end;
    if (begin == end) return;
    call.lines = end - begin;
    const std::size_t run = w_.columns * w_.channels;
    const float* const x = source + w_.source_row(begin, i) * w_.row() * code.lanes;
    const float* const dy = gradient + (begin - h) * line() * code.lanes;
    const std::size_t each = tiles_.size() / outputs_.size();
    for (const auto& [o, k] : std::span(tiles_).subspan(outputs * each, each)) {
      call.x = x + k.first * code.lanes;
      call.dy = dy + o.first * code.lanes;
      call.total = total + ((i * run + k.first) * w_.outputs + o.first) * code.lanes;
      code.weights[k.size - 1][o.size - 1](call);
    }
  }

  struct Tile {
    Piece outputs, row;  ///< of the taps and channels of a row of taps
  };
  Window w_;
  int threads_;
  std::vector<Piece> outputs_;
  std::size_t lines_;
  std::vector<Tile> tiles_;  ///< by outputs
};

/// Whether lanes of samples are better filled than lanes of channels, and a lot lies in the second-level cache.
bool is_narrow(const Window& w) {
  constexpr std::size_t few = 8, many = 32, far_bytes = 1 << 20;
  const std::size_t lanes = lane_tiles().lanes;
  if (w.sample_in() == 0 || w.sample_out() == 0 || w.samples < lanes) return false;
  if (3 * lots_of(w) * lanes > 4 * w.samples) return false;  // the last lot would be too empty
  const auto [low, high] = std::minmax(w.channels, w.outputs);
  return low <= few && high <= many && w.rows * w.columns > 1 &&
         bytes_of(w.in_rows * w.row() + w.taps() * w.outputs) <= far_bytes;
}

}  // namespace

std::unique_ptr<Kernel> lane_convolution(const KernelRequest& request, const Epilogue& epilogue) {
  const std::string_view op = request.node.op->name;
  const bool to_data = op == "conv2d_backward_data", to_weights = op == "conv2d_backward_weights";
  const auto is_f32 = [](const TensorType& type) { return type.dtype == DType::f32; };
  if (lane_tiles().lanes == 0 || (!to_data && !to_weights && op != "conv2d") ||
      !std::all_of(request.in.begin(), request.in.end(), is_f32) || !is_f32(request.out[0]))
    return nullptr;
  const std::optional<Window> dense = dense_window(request);
  if (!dense || !is_narrow(*dense)) return nullptr;
  const Window& window = *dense;
  // Where channels fill vectors too, samples in lanes must be worth laying them.
  const bool fills = window.outputs % 8 == 0;
  constexpr std::size_t many_taps = 64;
  if (fills && (to_weights || window.taps() < many_taps)) return nullptr;
  if (to_weights) return std::make_unique<WeightLanes>(window, request.threads);
  std::string name = "own:lane_" + std::string(op) + epilogue_name(epilogue);
  return std::make_unique<SlideLanes>(std::move(name), window, to_data, epilogue, request.threads);
}

}  // namespace thalweg
