// SPDX-License-Identifier: Apache-2.0
#include "thalweg/lib/kernels/wide_convolution.h"

#if defined(__x86_64__)
#include <algorithm>
#include <array>
#include <cstring>
#include <limits>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "thalweg/graph/opdef.h"
#include "thalweg/lib/kernels/makers.h"
#include "thalweg/lib/kernels/target.h"
#include "thalweg/lib/kernels/vector_code.h"
#include "thalweg/lib/kernels/wide_conv_writer.h"
#include "thalweg/lib/kernels/window.h"
#include "thalweg/ops/conv.h"

namespace thalweg {
namespace {

/// What a band reads again and again should fit the first-level cache.
constexpr std::size_t near_bytes = 28 << 10;
/// More weights than this would need a loop over parts of them, which oneDNN has.
constexpr std::size_t most_weights = 160 << 10;

int number(std::size_t x) { return static_cast<int>(x); }
constexpr std::size_t lanes = wide_lanes;

/// Rows of a sample with zeros left and right, in room of a thread's own; or the sample itself where it needs none.
class Bordered {
 public:
  explicit Bordered(const Window& w)
      : w_(w), none_(w.above == 0 && w.left == 0 && (w.out_rows - 1) * w.row_stride + w.rows <= w.in_rows &&
                     w.all_columns() <= w.in_columns) {}
  std::size_t row() const { return none_ ? w_.in_columns * w_.channels : w_.row(); }
  /// How many rows of the source so many rows of the result read.
  std::size_t rows(std::size_t out_rows) const { return (out_rows - 1) * w_.row_stride + w_.rows; }
  std::size_t bytes(std::size_t out_rows) const {
    return none_ ? 0 : rounded_up(rows(out_rows) * row() * sizeof(float));
  }
  /// What rows [first, first + out_rows) of the result read of a sample.
  const float* around(const float* x, std::size_t sample, std::size_t first, std::size_t out_rows, float* room) const {
    const float* from = x + sample * w_.sample_in();
    if (none_) return from + first * w_.row_stride * row();
    for (std::size_t r = 0; r < rows(out_rows); ++r)
      lay(from, static_cast<Dim>(first * w_.row_stride + r) - w_.above, room + r * row());
    return room;
  }

 private:
  void lay(const float* sample, Dim from, float* to) const {
    if (from < 0 || from >= static_cast<Dim>(w_.in_rows)) return;  // no tile reads it
    const std::size_t left = count(w_.left) * w_.channels, line = w_.in_columns * w_.channels;
    const std::size_t used = std::min(line, row() - left);
    std::memset(to, 0, left * sizeof(float));
    std::memcpy(to + left, sample + count(from) * line, used * sizeof(float));
    std::memset(to + left + used, 0, (row() - left - used) * sizeof(float));
  }

  Window w_;
  bool none_;
};

/// Cycles of a step of a tile: two multiplications each, and a sum waits four cycles for itself.
double step_cycles(std::size_t rows, std::size_t vectors) {
  return std::max(4.0, static_cast<double>(rows * vectors) / 2);
}
/// The pieces of pieces_of, which have two sizes at most.
struct Equal {
  std::size_t size, count;
};
std::array<Equal, 2> equal_pieces(std::size_t total, std::size_t most) {
  const std::size_t n = (total + most - 1) / most, longer = total % n;
  return {Equal{total / n, n - longer}, Equal{total / n + 1, longer}};
}
/// Four vectors a row were measured to be slower: 166 of 178 GFLOP/s.
constexpr std::size_t most_vectors = 3;

/// conv2d; and conv2d_backward_data of windows that move by one pixel, which is one of dy with turned weights.
class WidePixelsKernel final : public Kernel {
 public:
  WidePixelsKernel(std::string name, const Window& w, bool backward, const Epilogue& epilogue, int threads)
      : name_(std::move(name)), w_(w), backward_(backward), bias_(epilogue.bias), threads_(threads), source_(w) {
    choose_tile();
    lay_bands();
    write(epilogue);
  }
  std::string name() const override { return name_; }
  std::size_t scratch_bytes() const override {
    return weights_bytes() + room_bytes() * static_cast<std::size_t>(parts_of(threads_, items_, grain_));
  }

  void run(const void* const* in, void* const* out, void* scratch) const override {
    auto* const bytes = static_cast<std::byte*>(scratch);
    const float* weights = input<float>(in, 1);
    if (packs()) weights = packed(weights, reinterpret_cast<float*>(bytes));
    const float* bias = bias_ ? input<float>(in, 2) : nullptr;
    parallel_for(threads_, items_, grain_, [&](std::size_t begin, std::size_t end, std::size_t worker) {
      auto* const room = reinterpret_cast<float*>(bytes + weights_bytes() + worker * room_bytes());
      for (std::size_t i = begin; i < end; ++i)
        run_item(i, input<float>(in, 0), weights, bias, output<float>(out), room);
    });
  }

 private:
  /// A tile of a band: where it reads and writes, from the band's first row, and the weights of its first tap.
  struct Tile {
    std::size_t from, weights, to;
    WidePixelsFunction run;
    std::size_t lines;
    bool operator==(const Tile&) const = default;
  };
  using Tiles = std::vector<Tile>;

  bool packs() const { return backward_ || chunks_.size() > 1; }
  std::size_t weights_bytes() const { return packs() ? rounded_up(w_.taps() * w_.outputs * sizeof(float)) : 0; }
  std::size_t room_bytes() const { return source_.bytes(bands_.back().size); }  // no band is larger than the last

  /// The tile that needs the fewest cycles for a sample.
  void choose_tile() {
    const std::size_t vectors = w_.outputs / lanes;
    double best = std::numeric_limits<double>::infinity();
    for (std::size_t wide = 1; wide <= std::min(vectors, most_vectors); ++wide)
      for (std::size_t r = 1; r <= std::min<std::size_t>(w_.out_rows, 6); ++r)
        for (std::size_t c = 1; c <= w_.out_columns && fits_wide_tile(r * c, wide); ++c)
          if (const double cycles = cycles_of(wide, r, c); cycles < best) {
            best = cycles;
            chunks_ = pieces_of(vectors, wide);
            rows_ = r;
            columns_ = c;
          }
  }
  double cycles_of(std::size_t wide, std::size_t r, std::size_t c) const {
    double cycles = 0;
    for (const Equal& v : equal_pieces(w_.outputs / lanes, wide))
      for (const Equal& y : equal_pieces(w_.out_rows, r))
        for (const Equal& x : equal_pieces(w_.out_columns, c))
          cycles += static_cast<double>(v.count * y.count * x.count) * tile_cycles(y.size * x.size, v.size);
    return cycles;
  }
  double tile_cycles(std::size_t pixels, std::size_t vectors) const {
    // Weights beyond the first level arrive at about 20 bytes a cycle.
    const std::size_t row_bytes = vectors * lanes * sizeof(float);
    const double load = w_.taps() * row_bytes > near_bytes ? static_cast<double>(row_bytes) / 20 : 0;
    constexpr double begins_and_ends = 30;
    return static_cast<double>(w_.taps()) * std::max(step_cycles(pixels, vectors), load) +
           2 * static_cast<double>(pixels * vectors) + begins_and_ends;
  }

  /// A band of rows of a sample is computed with all its outputs.
  void lay_bands() {
    const std::size_t row_bytes = source_.row() * sizeof(float) * w_.row_stride;
    bands_ = pieces_of(w_.out_rows, std::max<std::size_t>(1, near_bytes / row_bytes / rows_) * rows_);
    items_ = w_.samples * bands_.size();
    grain_ = grain_of(w_.samples * w_.out_rows * w_.out_columns * w_.taps() * w_.outputs / 8 / items_);
  }

  WidePixelsFunction code_of(const WidePixels& tile) {
    std::unique_ptr<WidePixelsWriter>& code = code_[{tile.rows, tile.columns, tile.vectors}];
    if (!code) code = std::make_unique<WidePixelsWriter>(tile);
    return code->entry();
  }
  void write(const Epilogue& epilogue) {
    WidePixels tile{.run = number(w_.columns * w_.channels), .line = number(source_.row()),
                    .row = number(source_.row() * w_.row_stride), .pixel = number(w_.column_stride * w_.channels),
                    .result_row = number(w_.out_columns * w_.outputs), .result_pixel = number(w_.outputs),
                    .bias = epilogue.bias, .slope = epilogue.slope};
    for (const Piece& band : bands_)
      for (const Piece& chunk : chunks_) lists_.push_back(list_of(tiles_of(tile, band, chunk.size)));
  }
  Tiles tiles_of(WidePixels tile, const Piece& band, std::size_t vectors) {
    Tiles tiles;
    tile.vectors = number(vectors);
    for (const Piece& y : rows_of(band))
      for (const Piece& x : pieces_of(w_.out_columns, columns_)) {
        tile.rows = number(y.size);
        tile.columns = number(x.size);
        const auto [first, last] = w_.tap_rows(y.first);
        const std::size_t row = y.first - band.first;
        tiles.push_back({(row * w_.row_stride + first) * source_.row() + x.first * w_.column_stride * w_.channels,
                         first * w_.columns * w_.channels * vectors * lanes,
                         (row * w_.out_columns + x.first) * w_.outputs, code_of(tile), last - first});
      }
    return tiles;
  }
  /// Bands that the border does not cut have the same tiles.
  std::size_t list_of(Tiles tiles) {
    const auto at = std::find(tiles_.begin(), tiles_.end(), tiles);
    if (at != tiles_.end()) return static_cast<std::size_t>(at - tiles_.begin());
    tiles_.push_back(std::move(tiles));
    return tiles_.size() - 1;
  }
  /// Rows of tiles: those at the top and the bottom, whose windows are cut off by the border, by themselves.
  std::vector<Piece> rows_of(const Piece& band) const {
    std::vector<Piece> rows;
    for (std::size_t h = band.first, end; h < band.first + band.size; h = end) {
      end = h + 1;
      while (end < band.first + band.size && w_.tap_rows(end) == w_.tap_rows(h)) ++end;
      for (const Piece& p : pieces_of(end - h, rows_)) rows.push_back({h + p.first, p.size});
    }
    return rows;
  }

  /// The weights of each chunk together, one row of them after the other.
  const float* packed(const float* from, float* to) const {
    const std::size_t taps = w_.rows * w_.columns;
    parallel_for(threads_, taps, grain_of(w_.channels * w_.outputs), [&](std::size_t begin, std::size_t end, std::size_t) {
      for (std::size_t tap = begin; tap < end; ++tap)
        for (const Piece& chunk : chunks_) pack_tap(from, to, tap, chunk);
    });
    return to;
  }
  void pack_tap(const float* from, float* to, std::size_t tap, const Piece& chunk) const {
    const std::size_t taps = w_.rows * w_.columns, wide = chunk.size * lanes, first = chunk.first * lanes;
    float* row = to + first * w_.taps() + tap * w_.channels * wide;
    for (std::size_t c = 0; c < w_.channels; ++c, row += wide) {
      if (!backward_) {
        std::copy_n(from + (tap * w_.channels + c) * w_.outputs + first, wide, row);
        continue;
      }
      const float* turned = from + ((taps - 1 - tap) * w_.outputs + first) * w_.channels + c;
      for (std::size_t o = 0; o < wide; ++o) row[o] = turned[o * w_.channels];
    }
  }

  void run_item(std::size_t item, const float* x, const float* weights, const float* bias, float* y, float* room) const {
    const std::size_t sample = item / bands_.size(), band = item % bands_.size();
    const float* source = source_.around(x, sample, bands_[band].first, bands_[band].size, room);
    float* result = y + sample * w_.sample_out() + bands_[band].first * w_.out_columns * w_.outputs;
    for (std::size_t c = 0; c < chunks_.size(); ++c) {
      const std::size_t output = chunks_[c].first * lanes;
      for (const Tile& tile : tiles_[lists_[band * chunks_.size() + c]])
        tile.run(source + tile.from, weights + output * w_.taps() + tile.weights,
                 bias != nullptr ? bias + output : nullptr, result + tile.to + output, tile.lines);
    }
  }

  std::string name_;
  Window w_;
  bool backward_, bias_;
  int threads_;
  Bordered source_;
  std::vector<Piece> chunks_;                    ///< of vectors of outputs
  std::size_t rows_ = 1, columns_ = 1;           ///< of a tile
  std::size_t items_ = 1, grain_ = 1;
  std::vector<Piece> bands_;
  std::vector<Tiles> tiles_;
  std::vector<std::size_t> lists_;               ///< which of them each band and chunk has
  std::map<std::array<int, 3>, std::unique_ptr<WidePixelsWriter>> code_;
};

/// Single pixels need no rows of samples' own: all of them are rows of one.
Window joined(Window w) {
  const bool single = w.rows == 1 && w.columns == 1 && w.row_stride == 1 && w.column_stride == 1 && w.above == 0 &&
                      w.left == 0 && w.in_rows == w.out_rows && w.in_columns == w.out_columns;
  if (!single) return w;
  w.in_rows = w.out_rows = w.in_rows * w.samples;
  w.samples = 1;
  return w;
}

/// Whether outputs fill vectors, weights stay in the caches, and every row of the result reads some line of the source.
bool is_wide(const Window& w) {
  constexpr std::size_t few = 8, longest = 1 << 24;  // distances of a tile are 32 bits of bytes in its code
  if (w.outputs % lanes != 0 || w.channels < few || w.sample_in() == 0 || w.sample_out() == 0 || w.samples == 0)
    return false;
  for (const std::size_t h : {std::size_t{0}, w.out_rows - 1})
    if (const auto [first, last] = w.tap_rows(h); first == last) return false;
  return w.taps() * w.outputs * sizeof(float) <= most_weights &&
         std::max(w.row() * w.row_stride, w.out_columns * w.outputs) <= longest;
}

std::unique_ptr<Kernel> written(const KernelRequest& request, const Epilogue& epilogue) {
  const std::string_view op = request.node.op->name;
  const bool to_data = op == "conv2d_backward_data";
  if (!to_data && op != "conv2d") return nullptr;
  const std::optional<Window> dense = dense_window(request);
  if (!dense) return nullptr;
  const Window window = joined(*dense);
  if (!is_wide(window)) return nullptr;
  std::string name = "own:wide_" + std::string(op) + epilogue_name(epilogue);
  return std::make_unique<WidePixelsKernel>(std::move(name), window, to_data, epilogue, request.threads);
}

}  // namespace

std::unique_ptr<Kernel> wide_convolution(const KernelRequest& request, const Epilogue& epilogue) {
  const auto is_f32 = [](const TensorType& type) { return type.dtype == DType::f32; };
  if (!request.generate || !has_generated_loops() || !may_write_avx512() ||
      !std::all_of(request.in.begin(), request.in.end(), is_f32) ||
      !is_f32(request.out[0]))
    return nullptr;
  try {
    return written(request, epilogue);
  } catch (const Xbyak::Error&) {
    return nullptr;
  }
}

}  // namespace thalweg

#else

namespace thalweg {
std::unique_ptr<Kernel> wide_convolution(const KernelRequest&, const Epilogue&) { return nullptr; }
}  // namespace thalweg

#endif
