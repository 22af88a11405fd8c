// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <array>
#include <limits>
#include <map>
#include <vector>

#include "thalweg/graph/opdef.h"
#include "thalweg/lib/kernels/conv_tiles.h"
#include "thalweg/lib/kernels/makers.h"
#include "thalweg/lib/kernels/tiled.h"
#include "thalweg/ops/conv.h"

namespace thalweg {
namespace {

/// What a pass over a gradient of weights reads should about fit the first-level cache, and a part of a convolution the
/// second-level one.
constexpr std::size_t near_bytes = 40 << 10, far_bytes = 128 << 10;
/// Fewer pixels than this leave too many tiles half full: then several images share them.
constexpr std::size_t enough_pixels = 96;
/// Up to this many channels the taps of one row are read as one run: a run has costs of its own.
constexpr Dim few_channels = 64;
/// Weights whose rows are longer than this would meet in few sets of the caches.
constexpr std::size_t long_row = 64;
constexpr std::size_t largest_table = 16 << 20;

std::int32_t narrow(Dim value) { return static_cast<std::int32_t>(value); }

/// Which tiles cover the channels of a result.
struct Chunk {
  std::size_t first;
  const ConvTiles* tiles;
};
std::vector<Chunk> chunks_of(std::size_t channels) {
  const ConvTileTable table = conv_tiles();
  std::vector<Chunk> chunks;
  for (std::size_t first = 0; first < channels;)
    for (std::size_t i = 0; i < table.count; ++i)
      if (const ConvTiles& tiles = table.widths[i]; tiles.width <= channels - first) {
        chunks.push_back({first, &tiles});
        first += tiles.width;
        break;
      }
  return chunks;
}

/// Everything about a convolution that its kernels need.
struct Sizes {
  WindowGeometry g;
  Dim samples, channels, filters;
  Sizes(const Attrs& attrs, const Shape& x, const Shape& w)
      : g(conv_geometry(attrs, x, w)), samples(x[0]), channels(x[3]), filters(w[3]) {}
  Dim pixels_in() const { return g.in[0] * g.in[1]; }
  Dim pixels_out() const { return g.out[0] * g.out[1]; }
  Dim taps() const { return g.size[0] * g.size[1]; }
  double multiplications() const {
    return static_cast<double>(samples * pixels_out()) * static_cast<double>(taps() * channels * filters);
  }
};

/// Where the tiles of a few images read and write; offsets are from the first of them.
struct TileTable {
  struct Tile {
    std::size_t runs, taps;  ///< how many runs, and the first of them
    std::size_t from, to;    ///< first offsets
    std::size_t rows;
  };
  std::size_t images = 0;
  std::vector<TapRun> taps;
  std::vector<std::int32_t> from, to;
  std::vector<Tile> tiles;
};

/// Pixels of a result that read the same taps.
struct PixelClass {
  std::vector<TapRun> taps;
  std::vector<std::int32_t> to;                 ///< of each pixel
  std::vector<std::vector<std::int32_t>> from;  ///< of each run, of each pixel
};
using PixelClasses = std::map<std::array<Dim, 3>, PixelClass>;

TileTable tabled(const PixelClasses& classes, std::size_t images) {
  const std::size_t most = conv_tiles().pixels;
  TileTable table;
  table.images = images;
  for (const auto& [key, pixels] : classes) {
    const std::size_t first_tap = table.taps.size();
    table.taps.insert(table.taps.end(), pixels.taps.begin(), pixels.taps.end());
    for (std::size_t p = 0; p < pixels.to.size(); p += most) {
      const std::size_t rows = std::min(most, pixels.to.size() - p);
      table.tiles.push_back({pixels.taps.size(), first_tap, table.from.size(), table.to.size(), rows});
      for (const auto& run : pixels.from)
        for (std::size_t r = 0; r < rows; ++r) table.from.push_back(run[p + r]);
      for (std::size_t r = 0; r < rows; ++r) table.to.push_back(pixels.to[p + r]);
    }
  }
  return table;
}

/// y reads x: one run for each tap, or for each row of taps where there are few channels.
PixelClasses forward_pixels(const Sizes& s, Dim images) {
  const WindowGeometry& g = s.g;
  const bool merged = s.channels <= few_channels && g.dilation[1] == 1;
  PixelClasses classes;
  for (Dim n = 0; n < images; ++n)
    for (Dim h = 0; h < g.out[0]; ++h)
      for (Dim w = 0; w < g.out[1]; ++w) {
        Dim first = 0, last = g.size[1];
        while (merged && first < last && !g.inside(1, g.position(1, w, first))) ++first;
        while (merged && first < last && !g.inside(1, g.position(1, w, last - 1))) --last;
        PixelClass& pixels = classes[{0, first, last}];
        const Dim step = merged ? std::max<Dim>(last - first, 1) : 1;
        std::size_t run = 0;
        for (Dim i = 0; i < g.size[0]; ++i)
          for (Dim j = first; j < last; j += step, ++run) {
            if (run == pixels.taps.size()) {
              pixels.taps.push_back({narrow((i * g.size[1] + j) * s.channels), narrow(step * s.channels)});
              pixels.from.emplace_back();
            }
            const Dim from_h = g.position(0, h, i), from_w = g.position(1, w, j);
            const bool inside = g.inside(0, from_h) && g.inside(1, from_w);
            pixels.from[run].push_back(
                inside ? narrow(((n * g.in[0] + from_h) * g.in[1] + from_w) * s.channels) : -1);
          }
        pixels.to.push_back(narrow(((n * g.out[0] + h) * g.out[1] + w) * s.filters));
      }
  return classes;
}

/// dx reads dy: the taps whose distance from the pixel is a whole number of strides. The packed weights have the taps of
/// a row from right to left, as they meet the pixels of dy.
PixelClasses backward_pixels(const Sizes& s, Dim images) {
  const WindowGeometry& g = s.g;
  const bool merged = s.filters <= few_channels && g.dilation[1] == 1 && g.stride[1] == 1;
  PixelClasses classes;
  for (Dim n = 0; n < images; ++n)
    for (Dim h = 0; h < g.in[0]; ++h)
      for (Dim w = 0; w < g.in[1]; ++w) {
        const auto column = [&](Dim reversed) {  // times the stride
          return w + g.pad_low[1] - (g.size[1] - 1 - reversed) * g.dilation[1];
        };
        Dim first = 0, last = g.size[1];
        while (merged && first < last && column(first) < 0) ++first;
        while (merged && first < last && column(last - 1) >= g.out[1]) --last;
        const Dim step = merged ? std::max<Dim>(last - first, 1) : 1;
        PixelClass& pixels = classes[merged ? std::array{h % g.stride[0], first, last}
                                            : std::array{h % g.stride[0], w % g.stride[1], Dim{0}}];
        std::size_t run = 0;
        for (Dim i = 0; i < g.size[0]; ++i)
          for (Dim j = first; j < last; j += step) {
            const Dim at_h = h + g.pad_low[0] - i * g.dilation[0], at_w = column(j);
            if (at_h % g.stride[0] != 0 || at_w % g.stride[1] != 0) continue;
            if (run == pixels.taps.size()) {
              pixels.taps.push_back({narrow((i * g.size[1] + j) * s.filters), narrow(step * s.filters)});
              pixels.from.emplace_back();
            }
            const Dim from_h = at_h / g.stride[0], from_w = at_w / g.stride[1];
            const bool inside = at_h >= 0 && at_w >= 0 && from_h < g.out[0] && from_w < g.out[1];
            pixels.from[run++].push_back(inside ? narrow(((n * g.out[0] + from_h) * g.out[1] + from_w) * s.filters)
                                                : -1);
          }
        pixels.to.push_back(narrow(((n * g.in[0] + h) * g.in[1] + w) * s.channels));
      }
  return classes;
}

/// Tiles of pixels over all images: conv2d, and conv2d_backward_data, which is one of dy with turned weights.
class PixelKernel : public Kernel {
 public:
  PixelKernel(const Sizes& s, bool backward, const Epilogue& epilogue, int threads)
      : backward_(backward), epilogue_(epilogue), threads_(threads), samples_(count(s.samples)),
        taps_(count(s.taps())), row_taps_(count(s.g.size[1])), depth_(count(backward ? s.filters : s.channels)),
        width_(count(backward ? s.channels : s.filters)),
        source_image_(depth_ * count(backward ? s.pixels_out() : s.pixels_in())),
        result_image_(width_ * count(backward ? s.pixels_in() : s.pixels_out())), chunks_(chunks_of(width_)),
        packs_(backward || width_ > long_row), slope_(static_cast<float>(epilogue.slope.value_or(1))),
        zeros_(depth_ * count(s.g.size[1])) {
    const std::size_t pixels = result_image_ / width_;
    const std::size_t images = std::min(samples_, (enough_pixels + pixels - 1) / pixels);
    add_table(s, images);
    if (samples_ % images != 0) add_table(s, samples_ % images);
    const std::size_t pixel_bytes = sizeof(float) * (source_image_ / pixels + width_);
    tiles_ = std::max<std::size_t>(1, far_bytes / std::max<std::size_t>(1, pixel_bytes) / conv_tiles().pixels);
    for (std::size_t n = 0; n < samples_; n += images) {
      const std::size_t table = samples_ - n >= images ? 0 : 1;
      for (std::size_t t = 0; t < tables_[table].tiles.size(); t += tiles_) units_.push_back({n, table, t});
    }
    grain_ = grain_of(static_cast<std::size_t>(s.multiplications() / 8 / static_cast<double>(units_.size())));
  }

  void run(const void* const* in, void* const* out, void* scratch) const override {
    const auto *source = input<float>(in, 0), *weights = input<float>(in, 1);
    const float* bias = epilogue_.bias ? input<float>(in, 2) : nullptr;
    if (packs_) pack(weights, static_cast<float*>(scratch));
    parallel_for(threads_, units_.size(), grain_, [&](std::size_t begin, std::size_t end, std::size_t) {
      for (std::size_t u = begin; u < end; ++u)
        run_unit(units_[u], source, packs_ ? static_cast<const float*>(scratch) : weights, bias, output<float>(out));
    });
  }
  std::size_t scratch_bytes() const override {
    return packs_ ? rounded_up(taps_ * depth_ * width_ * sizeof(float)) : 0;
  }
  std::string name() const override {
    return std::string("own:tiled_conv2d") + (backward_ ? "_backward_data" : "") + epilogue_name(epilogue_);
  }

 private:
  struct Unit {
    std::size_t image, table, tile;
  };

  void add_table(const Sizes& s, std::size_t images) {
    const auto n = static_cast<Dim>(images);
    tables_.push_back(tabled(backward_ ? backward_pixels(s, n) : forward_pixels(s, n), images));
  }

  /// The weights of each chunk together, one row of them after the other.
  void pack(const float* weights, float* packed) const {
    const std::size_t each = depth_ * width_;
    parallel_for(threads_, taps_, grain_of(each), [&](std::size_t begin, std::size_t end, std::size_t) {
      for (std::size_t tap = begin; tap < end; ++tap)
        for (const Chunk& chunk : chunks_) {
          const std::size_t wide = chunk.tiles->width;
          float* to = packed + chunk.first * taps_ * depth_ + tap * depth_ * wide;
          const std::size_t from_tap = backward_ ? (tap / row_taps_ + 1) * row_taps_ - 1 - tap % row_taps_ : tap;
          const float* from = weights + from_tap * each;
          for (std::size_t c = 0; c < depth_; ++c, to += wide)
            for (std::size_t o = 0; o < wide; ++o)
              to[o] = backward_ ? from[(chunk.first + o) * depth_ + c] : from[c * width_ + chunk.first + o];
        }
    });
  }

  void run_unit(const Unit& unit, const float* source, const float* weights, const float* bias, float* result) const {
    const TileTable& table = tables_[unit.table];
    PixelTile call{};
    call.source = source + unit.image * source_image_;
    call.zeros = zeros_.data();
    call.slope = epilogue_.slope ? &slope_ : nullptr;
    const std::size_t end = std::min(unit.tile + tiles_, table.tiles.size());
    for (const Chunk& chunk : chunks_) {
      call.weights = weights + (packs_ ? chunk.first * taps_ * depth_ : chunk.first);
      call.weight_row = static_cast<std::ptrdiff_t>(packs_ ? chunk.tiles->width : width_);
      call.result = result + unit.image * result_image_ + chunk.first;
      call.bias = bias != nullptr ? bias + chunk.first : nullptr;
      for (std::size_t t = unit.tile; t < end; ++t) {
        const TileTable::Tile& tile = table.tiles[t];
        call.taps = table.taps.data() + tile.taps;
        call.runs = tile.runs;
        call.from = table.from.data() + tile.from;
        call.to = table.to.data() + tile.to;
        chunk.tiles->pixels[tile.rows - 1](call);
      }
    }
  }

  bool backward_;
  Epilogue epilogue_;
  int threads_;
  std::size_t samples_, taps_, row_taps_, depth_, width_, source_image_, result_image_;
  std::vector<Chunk> chunks_;
  bool packs_;
  float slope_;
  std::vector<float> zeros_;
  std::vector<TileTable> tables_;
  std::size_t tiles_ = 1, grain_ = 1;  ///< tiles in a unit of work; units that make a thread worth its while
  std::vector<Unit> units_;
};

/// conv2d_backward_weights: tiles of input channels and filters, each tap by itself.
class WeightKernel : public Kernel {
 public:
  WeightKernel(const Sizes& s, int threads) : s_(s), threads_(threads), chunks_(chunks_of(count(s.filters))) {
    const std::size_t most = chunks_.front().tiles->channels;
    const std::size_t channels = count(s.channels), parts = (channels + most - 1) / most;
    for (std::size_t i = 0, first = 0; i < parts; ++i) {
      const std::size_t rows = channels / parts + (i < channels % parts ? 1 : 0);
      channel_parts_.push_back({first, rows});
      first += rows;
    }
    const Dim line = s.g.in[1] * s.channels * s.g.stride[0] + s.g.out[1] * s.filters;
    const auto line_bytes = sizeof(float) * count(line);
    // Where a line alone is too much for the first level: sums of few pixels would be stored and loaded more than made.
    const std::size_t enough = (enough_pixels + count(s.g.out[1]) - 1) / count(s.g.out[1]);
    lines_ = std::clamp<std::size_t>(std::max(near_bytes / line_bytes, enough), 1, count(s.g.out[0]));
    const std::size_t image = count(s.pixels_out());
    images_ = lines_ < count(s.g.out[0]) ? 1
              : std::max({std::size_t{1}, near_bytes / (line_bytes * lines_), (enough_pixels + image - 1) / image});
    items_ = count(s.taps()) * parts * chunks_.size();
    grain_ = grain_of(static_cast<std::size_t>(s.multiplications() / 8 / static_cast<double>(items_)));
  }

  void run(const void* const* in, void* const* out, void*) const override {
    parallel_for(threads_, items_, grain_, [&](std::size_t begin, std::size_t end, std::size_t) {
      const std::size_t samples = count(s_.samples), height = count(s_.g.out[0]);
      for (std::size_t n = 0; n < samples; n += images_)
        for (std::size_t h = 0; h < height; h += lines_)
          for (std::size_t item = begin; item < end; ++item)
            run_item(item, n, std::min(images_, samples - n), h, std::min(lines_, height - h), input<float>(in, 0),
                     input<float>(in, 1), output<float>(out));
    });
  }
  std::string name() const override { return "own:tiled_conv2d_backward_weights"; }

 private:
  struct Part {
    std::size_t first, rows;
  };

  /// The outputs of an axis whose tap k is inside the input.
  std::pair<Dim, Dim> range(std::size_t axis, Dim k, Dim begin, Dim end) const {
    while (begin < end && !s_.g.inside(axis, s_.g.position(axis, begin, k))) ++begin;
    while (begin < end && !s_.g.inside(axis, s_.g.position(axis, end - 1, k))) --end;
    return {begin, end};
  }

  void run_item(std::size_t item, std::size_t image, std::size_t images, std::size_t line, std::size_t lines,
                const float* x, const float* dy, float* dw) const {
    const Chunk& chunk = chunks_[item % chunks_.size()];
    const Part& part = channel_parts_[item / chunks_.size() % channel_parts_.size()];
    const auto tap = static_cast<Dim>(item / chunks_.size() / channel_parts_.size());
    const Dim i = tap / s_.g.size[1], j = tap % s_.g.size[1];
    const auto [top, bottom] = range(0, i, static_cast<Dim>(line), static_cast<Dim>(line + lines));
    const auto [left, right] = range(1, j, 0, s_.g.out[1]);
    const bool first = image == 0 && line == 0, empty = top == bottom || left == right;
    if (empty && !first) return;
    WeightTile call{};
    call.dw_row = s_.filters;
    call.dw = dw + (count(tap * s_.channels) + part.first) * count(s_.filters) + chunk.first;
    call.add = !first;
    if (!empty) {
      const Dim n = static_cast<Dim>(image);
      const Dim from_h = s_.g.position(0, top, i), from_w = s_.g.position(1, left, j);
      call.x = x + ((n * s_.g.in[0] + from_h) * s_.g.in[1] + from_w) * s_.channels + part.first;
      call.dy = dy + ((n * s_.g.out[0] + top) * s_.g.out[1] + left) * s_.filters + chunk.first;
      call.x_image = s_.pixels_in() * s_.channels;
      call.x_line = s_.g.stride[0] * s_.g.in[1] * s_.channels;
      call.x_pixel = s_.g.stride[1] * s_.channels;
      call.dy_image = s_.pixels_out() * s_.filters;
      call.dy_line = s_.g.out[1] * s_.filters;
      call.dy_pixel = s_.filters;
      call.images = images;
      call.lines = count(bottom - top);
      call.pixels = count(right - left);
    }
    chunk.tiles->weights[part.rows - 1](call);
  }

  Sizes s_;
  int threads_;
  std::vector<Chunk> chunks_;
  std::vector<Part> channel_parts_;
  std::size_t lines_ = 1, images_ = 1;  ///< of one pass
  std::size_t items_ = 0, grain_ = 1;
};

/// Whether offsets fit 32 bits and the table stays small.
bool tabulates(const Sizes& s, bool backward) {
  const Dim pixels = backward ? s.pixels_in() : s.pixels_out();
  const Dim images = std::min<Dim>(s.samples, (static_cast<Dim>(enough_pixels) + pixels - 1) / pixels);
  const Dim most = images * std::max(s.pixels_in() * s.channels, s.pixels_out() * s.filters);
  const Dim offsets = images * pixels * (s.taps() + 1);
  return most < std::numeric_limits<std::int32_t>::max() &&
         s.taps() * std::max(s.channels, s.filters) < std::numeric_limits<std::int32_t>::max() &&
         static_cast<std::size_t>(offsets) * sizeof(std::int32_t) <= largest_table;
}

}  // namespace

std::unique_ptr<Kernel> tiled_convolution(const KernelRequest& request, const Epilogue& epilogue) {
  const std::string_view op = request.node.op->name;
  const auto is_f32 = [](const TensorType& type) { return type.dtype == DType::f32 && type.elements() > 0; };
  if (!std::all_of(request.in.begin(), request.in.end(), is_f32) || !is_f32(request.out[0])) return nullptr;
  const bool backward = op == "conv2d_backward_data", weights = op == "conv2d_backward_weights";
  if (!backward && !weights && op != "conv2d") return nullptr;
  if (request.node.attrs.integer("groups") != 1 || request.out[0].shape.back() % 8 != 0) return nullptr;
  const Shape& x = backward ? request.out[0].shape : request.in[0].shape;
  const Sizes s(request.node.attrs, x, weights ? request.out[0].shape : request.in[1].shape);
  if (weights) return std::make_unique<WeightKernel>(s, request.threads);
  if (!tabulates(s, backward)) return nullptr;
  return std::make_unique<PixelKernel>(s, backward, epilogue, request.threads);
}

}  // namespace thalweg
