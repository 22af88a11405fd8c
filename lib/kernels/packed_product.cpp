// SPDX-License-Identifier: Apache-2.0
#include "thalweg/lib/kernels/packed_product.h"

#include <algorithm>
#include <array>
#include <optional>
#include <vector>

#include "thalweg/graph/opdef.h"
#include "thalweg/lib/kernels/makers.h"
#include "thalweg/lib/kernels/product_tiles.h"
#include "thalweg/ops/conv.h"

#if defined(__SSE2__)
#include <xmmintrin.h>
#endif

namespace thalweg {
namespace {

/// A panel of this depth and a tile's rows of a fit the first-level cache; a block of a the second-level one.
constexpr std::size_t most_depth = 200, block_bytes = 160 << 10;
/// Panels that are packed at once.
constexpr std::size_t most_panels = 4;
/// A left operand that is turned is taken so much of the depth at a time.
constexpr std::size_t slab_depth = 1024;

/// to[j, i] = from[i, j] for i < rows, j < columns.
void transpose(const float* from, std::size_t from_row, std::size_t rows, std::size_t columns, float* to,
               std::size_t to_row) {
  std::size_t whole = 0;
#if defined(__SSE2__)
  whole = rows / 4 * 4;
  const std::size_t across = columns / 4 * 4;
  for (std::size_t j = 0; j < across; j += 4)
    for (std::size_t i = 0; i < whole; i += 4) {
      const float* x = from + i * from_row + j;
      float* y = to + j * to_row + i;
      __m128 a = _mm_loadu_ps(x), b = _mm_loadu_ps(x + from_row), c = _mm_loadu_ps(x + 2 * from_row),
             d = _mm_loadu_ps(x + 3 * from_row);
      _MM_TRANSPOSE4_PS(a, b, c, d);
      _mm_storeu_ps(y, a);
      _mm_storeu_ps(y + to_row, b);
      _mm_storeu_ps(y + 2 * to_row, c);
      _mm_storeu_ps(y + 3 * to_row, d);
    }
  for (std::size_t j = across; j < columns; ++j)
    for (std::size_t i = 0; i < whole; ++i) to[j * to_row + i] = from[i * from_row + j];
#endif
  for (std::size_t j = 0; j < columns; ++j)
    for (std::size_t i = whole; i < rows; ++i) to[j * to_row + i] = from[i * from_row + j];
}

/// c = a · b. A large transposed b is the left operand of the transposed product, whose result is turned back tile by
/// tile: a and c are then less to turn.
class PackedProduct final : public Kernel {
 public:
  struct Sizes {
    std::size_t m, n, k;
    bool a_transposed, b_transposed;
  };
  PackedProduct(const Sizes& s, const Epilogue& epilogue, int threads)
      : tiles_(product_tiles()), epilogue_(epilogue), turned_(is_turned(s) && !epilogue.any()), rows_(s.m),
        columns_(s.n), depth_(s.k), slab_(s.a_transposed ? std::min(s.k, slab_depth) : s.k), left_transposed_(s.a_transposed), right_transposed_(s.b_transposed),
        slope_(static_cast<float>(epilogue.slope.value_or(1))) {
    if (turned_) std::swap(rows_, columns_);
    const std::size_t panels = (columns_ + tiles_.width - 1) / tiles_.width, cuts = (slab_ + most_depth - 1) / most_depth;
    piece_ = (slab_ + cuts - 1) / cuts;
    block_ = std::clamp(block_bytes / (sizeof(float) * slab_) / product_rows, std::size_t{4}, std::size_t{64});
    block_ = std::min(block_ * product_rows, rows_);
    // At least two groups a thread, so that none waits long for the other.
    const auto parts = static_cast<std::size_t>(threads);
    group_ = std::clamp<std::size_t>(threads == 1 ? most_panels : panels / (2 * parts), 1, most_panels);
    groups_ = (panels + group_ - 1) / group_;
    const std::size_t each = rows_ * slab_ * group_ * tiles_.width / 8;
    grain_ = grain_of(each);
    threads_ = threads;
    workers_ = static_cast<std::size_t>(parts_of(threads, groups_, grain_));
  }

  std::string name() const override {
    return "own:packed_product" + epilogue_name(epilogue_);
  }
  std::size_t scratch_bytes() const override { return left_bytes() + workers_ * worker_bytes(); }

  void run(const void* const* in, void* const* out, void* scratch) const override {
    const float *left = input<float>(in, turned_ ? 1 : 0), *right = input<float>(in, turned_ ? 0 : 1);
    Call call{.left = left, .right = right, .bias = epilogue_.bias ? input<float>(in, 2) : nullptr,
              .out = output<float>(out)};
    auto* rooms = static_cast<std::byte*>(scratch) + left_bytes();
    for (call.first = 0; call.first < depth_; call.first += slab_) {
      call.depth = std::min(slab_, depth_ - call.first);
      if (left_transposed_) call.left = turn_left(left + call.first * rows_, call.depth, static_cast<float*>(scratch));
      parallel_for(threads_, groups_, grain_, [&](std::size_t begin, std::size_t end, std::size_t worker) {
        auto* room = reinterpret_cast<float*>(rooms + worker * worker_bytes());
        for (std::size_t group = begin; group < end; ++group) run_group(group, call, room);
      });
    }
  }
  /// Whether it is less to turn a and c than b.
  static bool is_turned(const Sizes& s) {
    return s.b_transposed && !s.a_transposed && s.m * (s.k + s.n) < s.n * s.k;
  }

 private:
  /// A slab of the depth.
  struct Call {
    const float *left, *right, *bias;
    float* out;
    std::size_t first = 0, depth = 0;
  };

  std::size_t left_bytes() const { return left_transposed_ ? rounded_up(rows_ * slab_ * sizeof(float)) : 0; }
  std::size_t left_row() const { return left_transposed_ ? slab_ : depth_; }
  std::size_t panel_size() const { return slab_ * tiles_.width; }
  /// A group's panels, the columns' bias, and a block of results that is not whole or to be turned.
  std::size_t worker_bytes() const {
    return rounded_up((group_ * panel_size() + tiles_.width + block_ * tiles_.width) * sizeof(float));
  }

  /// a[k, m] with its rows as columns: tiles read along the depth.
  const float* turn_left(const float* a, std::size_t depth, float* to) const {
    const std::size_t parts = (rows_ + 63) / 64;
    parallel_for(threads_, parts, grain_of(64 * depth), [&](std::size_t begin, std::size_t end, std::size_t) {
      const std::size_t first = begin * 64, last = std::min(rows_, end * 64);
      transpose(a + first, rows_, depth, last - first, to + first * slab_, slab_);
    });
    return to;
  }

  /// Columns [first, first + count) of the right operand as a panel; what is beyond them is 0.
  void pack(const Call& call, std::size_t first, std::size_t count, float* panel) const {
    const std::size_t width = tiles_.width;
    if (count < width) std::fill_n(panel, panel_size(), 0.0f);
    // In the turned product it is the left matrix of the request, whose rows are the columns here.
    if (turned_ || right_transposed_)
      return transpose(call.right + first * depth_ + call.first, depth_, count, call.depth, panel, width);
    const float* from = call.right + call.first * columns_ + first;
    for (std::size_t k = 0; k < call.depth; ++k) std::copy_n(from + k * columns_, count, panel + k * width);
  }

  void run_group(std::size_t group, const Call& call, float* room) const {
    const std::size_t width = tiles_.width, first = group * group_ * width;
    const std::size_t last = std::min(columns_, first + group_ * width);
    const bool as_it_lies = !turned_ && !right_transposed_;
    const std::size_t whole = as_it_lies ? (last - first) / width : 0;
    tiles_.pack(call.right + call.first * columns_ + first, static_cast<std::ptrdiff_t>(columns_), call.depth, whole,
                panel_size(), room);
    for (std::size_t p = whole, at = first + p * width; at < last; at += width, ++p)
      pack(call, at, std::min(width, last - at), room + p * panel_size());
    float* own_bias = room + group_ * panel_size();
    for (std::size_t row = 0; row < rows_; row += block_)
      for (std::size_t at = first, p = 0; at < last; at += width, ++p) {
        const std::size_t count = std::min(width, last - at), rows = std::min(block_, rows_ - row);
        ProductTile tile{};
        tile.slope = epilogue_.slope ? &slope_ : nullptr;
        if (call.bias != nullptr && count == width) tile.bias = call.bias + at;
        if (call.bias != nullptr && count < width) {
          std::copy_n(call.bias + at, count, own_bias);
          tile.bias = own_bias;
        }
        const bool apart = turned_ || count < width;
        float* own_c = own_bias + width;
        float* const c = call.out + row * columns_ + at;
        tile.c = apart ? own_c : c;
        tile.c_row = static_cast<std::ptrdiff_t>(apart ? width : columns_);
        if (apart && call.first > 0)
          for (std::size_t r = 0; r < rows; ++r) std::copy_n(c + r * columns_, count, own_c + r * width);
        multiply(tile, call, call.left + row * left_row() + (left_transposed_ ? 0 : call.first),
                 room + p * panel_size(), rows);
        if (turned_) transpose(own_c, width, rows, count, call.out + at * rows_ + row, rows_);
        else if (apart)
          for (std::size_t r = 0; r < rows; ++r) std::copy_n(own_c + r * width, count, c + r * columns_);
      }
  }

  /// Rows of a block times a panel, piece by piece of the depth.
  void multiply(ProductTile tile, const Call& call, const float* left, const float* panel, std::size_t rows) const {
    float* const c = tile.c;
    const float *const bias = tile.bias, *const slope = tile.slope;
    tile.a_row = static_cast<std::ptrdiff_t>(left_row());
    for (std::size_t k = 0; k < call.depth; k += piece_) {
      const bool is_last = call.first + k + piece_ >= depth_;
      tile.depth = std::min(piece_, call.depth - k);
      tile.b = panel + k * tiles_.width;
      tile.adds = call.first + k > 0;
      tile.bias = is_last ? bias : nullptr;
      tile.slope = is_last ? slope : nullptr;
      for (std::size_t r = 0; r < rows; r += product_rows) {
        tile.a = left + r * left_row() + k;
        tile.c = c + static_cast<std::ptrdiff_t>(r) * tile.c_row;
        tiles_.rows[std::min(product_rows, rows - r) - 1](tile);
      }
    }
  }

  const ProductTiles& tiles_;
  Epilogue epilogue_;
  bool turned_;
  std::size_t rows_, columns_, depth_, slab_;
  bool left_transposed_, right_transposed_;
  float slope_;
  int threads_ = 1;
  std::size_t piece_ = 1;   ///< of the depth at once
  std::size_t block_ = 1;   ///< rows at once
  std::size_t group_ = 1, groups_ = 1, grain_ = 1, workers_ = 1;
};

std::optional<PackedProduct::Sizes> sizes_of_matmul(const KernelRequest& request) {
  const Shape &a = request.in[0].shape, &b = request.in[1].shape;
  const bool ta = request.node.attrs.flag("ta"), tb = request.node.attrs.flag("tb");
  if (b.rank() != 2 || (a.rank() > 2 && ta)) return {};
  const std::size_t k = count(tb ? b.back() : b[0]), n = count(tb ? b[0] : b.back());
  return PackedProduct::Sizes{k == 0 ? 0 : count(a.elements()) / k, n, k, ta, tb};
}

/// A convolution of single pixels is a product of all pixels by the channels.
std::optional<PackedProduct::Sizes> sizes_of_convolution(const KernelRequest& request) {
  const std::string_view op = request.node.op->name;
  const bool to_data = op == "conv2d_backward_data", to_weights = op == "conv2d_backward_weights";
  if (op != "conv2d" && !to_data && !to_weights) return {};
  const Shape& x = to_data ? request.out[0].shape : request.in[0].shape;
  const Shape& w = to_weights ? request.out[0].shape : request.in[1].shape;
  const Shape& y = to_data ? request.in[0].shape : to_weights ? request.in[1].shape : request.out[0].shape;
  const bool same_pixels = x[1] == y[1] && x[2] == y[2];
  if (w[0] != 1 || w[1] != 1 || !same_pixels || request.node.attrs.integer("groups") != 1) return {};
  const ConvGeometry g = conv_geometry(request.node.attrs, x, w);
  const std::array<Dim, 2> none{0, 0}, one{1, 1};
  if (g.stride != one || g.pad_low != none || g.pad_high != none) return {};
  const std::size_t pixels = count(x[0] * x[1] * x[2]), channels = count(w[2]), filters = count(w[3]);
  if (to_weights) return PackedProduct::Sizes{channels, filters, pixels, true, false};
  if (to_data) return PackedProduct::Sizes{pixels, channels, filters, false, true};
  return PackedProduct::Sizes{pixels, filters, channels, false, false};
}

}  // namespace

bool prefers_packed_product() { return product_tiles().lanes == 8; }

std::unique_ptr<Kernel> packed_product(const KernelRequest& request, const Epilogue& epilogue) {
  const auto is_f32 = [](const TensorType& type) { return type.dtype == DType::f32; };
  if (!std::all_of(request.in.begin(), request.in.end(), is_f32) || !is_f32(request.out[0])) return nullptr;
  const std::optional<PackedProduct::Sizes> s =
      request.node.op->name == "matmul" ? sizes_of_matmul(request) : sizes_of_convolution(request);
  // Packing is paid back by as many uses of what is packed.
  constexpr std::size_t least = 16;
  if (!s || s->m < least || s->n < least || s->k < least / 2) return nullptr;
  return std::make_unique<PackedProduct>(*s, epilogue, request.threads);
}

}  // namespace thalweg
