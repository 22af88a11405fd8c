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

/// Panels that are packed at once.
constexpr std::size_t most_panels = 4;
/// A left operand that is turned is taken so much of the depth at a time.
constexpr std::size_t slab_depth = 1024;
/// Less if it is read as it lies, each row on a page of its own.
constexpr std::size_t turned_slab_depth = 256;

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

struct Sizes {
  std::size_t m, n, k;
  bool a_transposed, b_transposed;
};
/// Whether it is less to turn a and c than b. Tiles that turn fast win by cutting b, not a, among threads.
bool is_turned(const Sizes& s, const ProductTiles& tiles, int threads) {
  return s.b_transposed && !s.a_transposed && s.m * (s.k + s.n) < s.n * s.k && (tiles.turn == nullptr || threads == 1);
}

/// c = a · b. A large transposed b is the left operand of the transposed product, whose result is turned back tile by
/// tile: a and c are then less to turn.
class PackedProduct final : public Kernel {
 public:
  PackedProduct(const Sizes& s, const Epilogue& epilogue, const KernelRequest& request)
      : tiles_(product_tiles(request.generate)), epilogue_(epilogue),
        turned_(is_turned(s, tiles_, request.threads) && !epilogue.any()), rows_(s.m), columns_(s.n), depth_(s.k),
        left_(!s.a_transposed ? Left::plain : tiles_.turned_rows[0] != nullptr ? Left::turned : Left::to_turn),
        right_transposed_(s.b_transposed), slab_(slab_of(left_, s.k)),
        slope_(static_cast<float>(epilogue.slope.value_or(1))), threads_(request.threads) {
    if (turned_) std::swap(rows_, columns_);
    const std::size_t cuts = (slab_ + tiles_.most_depth - 1) / tiles_.most_depth;
    piece_ = (slab_ + cuts - 1) / cuts;
    const std::size_t fitting = tiles_.block_bytes / (sizeof(float) * slab_) / tiles_.most_rows;
    const std::size_t most = std::clamp(fitting, std::size_t{4}, std::size_t{64}) * tiles_.most_rows;
    const std::size_t blocks = (rows_ + most - 1) / most;
    block_ = (rows_ + blocks - 1) / blocks;
    cut_columns(blocks);
  }

  std::string name() const override { return "own:packed_product" + epilogue_name(epilogue_); }
  std::size_t scratch_bytes() const override { return left_bytes() + workers_ * worker_bytes(); }

  void run(const void* const* in, void* const* out, void* scratch) const override {
    const float *left = input<float>(in, turned_ ? 1 : 0), *right = input<float>(in, turned_ ? 0 : 1);
    Call call{.left = left, .right = right, .bias = epilogue_.bias ? input<float>(in, 2) : nullptr,
              .out = output<float>(out)};
    auto* rooms = static_cast<std::byte*>(scratch) + left_bytes();
    for (call.first = 0; call.first < depth_; call.first += slab_) {
      call.depth = std::min(slab_, depth_ - call.first);
      if (left_ == Left::to_turn)
        call.left = turn_left(left + call.first * rows_, call.depth, static_cast<float*>(scratch));
      parallel_for(threads_, groups_, grain_, [&](std::size_t begin, std::size_t end, std::size_t worker) {
        auto* room = reinterpret_cast<float*>(rooms + worker * worker_bytes());
        for (std::size_t group = begin; group < end; ++group) run_group(group, call, room);
      });
    }
  }

 private:
  /// A slab of the depth.
  struct Call {
    const float *left, *right, *bias;
    float* out;
    std::size_t first = 0, depth = 0;
  };

  /// The left operand: as it is read, with its rows as columns and so read, or to be turned first.
  enum class Left { plain, turned, to_turn };

  void cut_columns(std::size_t blocks) {
    const auto parts = static_cast<std::size_t>(threads_);
    const std::size_t panels = (columns_ + tiles_.width - 1) / tiles_.width;
    // At least two groups a thread, so that none waits long for the other; but a panel that one block alone reads makes
    // room for the next, and blocks of a large left operand are to be read once.
    const std::size_t groups = tiles_.packs ? parts : 2 * parts;
    group_ = std::clamp<std::size_t>(threads_ == 1 ? most_panels : panels / groups, 1, most_panels);
    if (tiles_.packs && blocks == 1) group_ = 1;
    groups_ = (panels + group_ - 1) / group_;
    grain_ = grain_of(rows_ * slab_ * group_ * tiles_.width / 8);
    workers_ = static_cast<std::size_t>(parts_of(threads_, groups_, grain_));
  }

  std::size_t left_bytes() const { return left_ == Left::to_turn ? rounded_up(rows_ * slab_ * sizeof(float)) : 0; }
  static std::size_t slab_of(Left left, std::size_t depth) {
    if (left == Left::plain) return depth;
    return std::min(depth, left == Left::turned ? turned_slab_depth : slab_depth);
  }
  /// As ProductTile::a_step.
  std::size_t left_step() const { return left_ == Left::plain ? depth_ : left_ == Left::turned ? rows_ : slab_; }
  const float* left_at(const Call& call, std::size_t row, std::size_t k) const {
    switch (left_) {
      case Left::plain: return call.left + row * depth_ + call.first + k;
      case Left::turned: return call.left + (call.first + k) * rows_ + row;
      case Left::to_turn: break;
    }
    return call.left + row * slab_ + k;
  }
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
      return turn(call.right + first * depth_ + call.first, depth_, count, call.depth, panel, width);
    const float* from = call.right + call.first * columns_ + first;
    for (std::size_t k = 0; k < call.depth; ++k) std::copy_n(from + k * columns_, count, panel + k * width);
  }
  /// transpose(), by blocks of the instruction set where it has them.
  void turn(const float* from, std::size_t from_row, std::size_t rows, std::size_t columns, float* to,
            std::size_t to_row) const {
    const std::size_t lanes = tiles_.lanes, blocks = tiles_.turn != nullptr ? columns / lanes : 0;
    std::size_t row = 0;
    if (blocks > 0)
      for (; row + lanes <= rows; row += lanes) {
        tiles_.turn(from + row * from_row, from_row, blocks, to + row, to_row);
        const std::size_t done = blocks * lanes;
        transpose(from + row * from_row + done, from_row, lanes, columns - done, to + done * to_row + row, to_row);
      }
    transpose(from + row * from_row, from_row, rows - row, columns, to + row, to_row);
  }

  /// A group's panels are packed when they are first met: whole ones by their first tile, if it does.
  void run_group(std::size_t group, const Call& call, float* room) const {
    const std::size_t width = tiles_.width, first = group * group_ * width;
    const std::size_t last = std::min(columns_, first + group_ * width);
    const std::size_t whole = turned_ || right_transposed_ ? 0 : (last - first) / width;
    if (!tiles_.packs)
      tiles_.pack(call.right + call.first * columns_ + first, static_cast<std::ptrdiff_t>(columns_), call.depth, whole,
                  panel_size(), room);
    for (std::size_t row = 0; row < rows_; row += block_)
      for (std::size_t p = 0, at = first; at < last; at += width, ++p) {
        float* const panel = room + p * panel_size();
        const Block block{.row = row, .column = at, .columns = std::min(width, last - at),
                          .packs = tiles_.packs && row == 0 && p < whole};
        if (row == 0 && p >= whole) pack(call, at, block.columns, panel);
        run_block(call, block, panel, room + group_ * panel_size());
      }
  }

  /// Rows and columns of results that are computed together.
  struct Block {
    std::size_t row, column, columns;
    bool packs;
  };
  void run_block(const Call& call, const Block& block, float* panel, float* own_bias) const {
    const std::size_t width = tiles_.width, rows = std::min(block_, rows_ - block.row);
    ProductTile tile{};
    tile.slope = epilogue_.slope ? &slope_ : nullptr;
    if (call.bias != nullptr && block.columns == width) tile.bias = call.bias + block.column;
    if (call.bias != nullptr && block.columns < width) {
      std::copy_n(call.bias + block.column, block.columns, own_bias);
      tile.bias = own_bias;
    }
    const bool apart = turned_ || block.columns < width;
    float* const own_c = own_bias + width;
    float* const c = call.out + block.row * columns_ + block.column;
    tile.c = apart ? own_c : c;
    tile.c_row = static_cast<std::ptrdiff_t>(apart ? width : columns_);
    if (apart && call.first > 0)
      for (std::size_t r = 0; r < rows; ++r) std::copy_n(c + r * columns_, block.columns, own_c + r * width);
    multiply(tile, call, block, rows, panel);
    if (turned_)
      turn(own_c, width, rows, block.columns, call.out + block.column * rows_ + block.row, rows_);
    else if (apart)
      for (std::size_t r = 0; r < rows; ++r) std::copy_n(own_c + r * width, block.columns, c + r * columns_);
  }

  /// Rows of a block times a panel, piece by piece of the depth.
  void multiply(ProductTile tile, const Call& call, const Block& block, std::size_t rows, float* panel) const {
    float* const c = tile.c;
    const float *const bias = tile.bias, *const slope = tile.slope;
    tile.a_step = static_cast<std::ptrdiff_t>(left_step());
    tile.source_row = static_cast<std::ptrdiff_t>(columns_);
    const auto& of_rows = left_ == Left::turned ? tiles_.turned_rows : tiles_.rows;
    const std::size_t count = (rows + tiles_.most_rows - 1) / tiles_.most_rows;
    for (std::size_t k = 0; k < call.depth; k += piece_) {
      const bool is_last = call.first + k + piece_ >= depth_;
      tile.depth = std::min(piece_, call.depth - k);
      tile.b = panel + k * tiles_.width;
      tile.adds = call.first + k > 0;
      tile.bias = is_last ? bias : nullptr;
      tile.slope = is_last ? slope : nullptr;
      for (std::size_t t = 0; t < count; ++t) {
        const std::size_t r = rows * t / count, end = rows * (t + 1) / count;
        tile.a = left_at(call, block.row + r, k);
        tile.c = c + static_cast<std::ptrdiff_t>(r) * tile.c_row;
        tile.source = block.packs && t == 0 ? call.right + (call.first + k) * columns_ + block.column : nullptr;
        of_rows[end - r - 1](tile);
      }
    }
  }

  const ProductTiles& tiles_;
  Epilogue epilogue_;
  bool turned_;
  std::size_t rows_, columns_, depth_;
  Left left_;
  bool right_transposed_;
  std::size_t slab_;  ///< of the depth, for which the right operand is packed at once
  float slope_;
  int threads_;
  std::size_t piece_ = 1;   ///< of the depth at once
  std::size_t block_ = 1;   ///< rows at once
  std::size_t group_ = 1, groups_ = 1, grain_ = 1, workers_ = 1;
};

std::optional<Sizes> sizes_of_matmul(const KernelRequest& request) {
  const Shape &a = request.in[0].shape, &b = request.in[1].shape;
  const bool ta = request.node.attrs.flag("ta"), tb = request.node.attrs.flag("tb");
  if (b.rank() != 2 || (a.rank() > 2 && ta)) return {};
  const std::size_t k = count(tb ? b.back() : b[0]), n = count(tb ? b[0] : b.back());
  return Sizes{k == 0 ? 0 : count(a.elements()) / k, n, k, ta, tb};
}

/// A convolution of single pixels is a product of all pixels by the channels.
std::optional<Sizes> sizes_of_convolution(const KernelRequest& request) {
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
  if (to_weights) return Sizes{channels, filters, pixels, true, false};
  if (to_data) return Sizes{pixels, channels, filters, false, true};
  return Sizes{pixels, filters, channels, false, false};
}

std::optional<Sizes> sizes_of(const KernelRequest& request) {
  return request.node.op->name == "matmul" ? sizes_of_matmul(request) : sizes_of_convolution(request);
}

/// Whether written tiles win against oneDNN: where they are filled, and cut evenly.
bool suits_tiles(const Sizes& s, const ProductTiles& tiles, int threads) {
  const std::size_t columns = is_turned(s, tiles, threads) ? s.m : s.n, rows = columns == s.n ? s.m : s.n;
  const std::size_t panels = (columns + tiles.width - 1) / tiles.width;
  const auto parts = static_cast<std::size_t>(parts_of(threads, panels, grain_of(rows * s.k * tiles.width / 8)));
  // Threads that write to the same lines would wait for each other, and for one with a panel more.
  if (columns % tiles.lanes != 0 || 8 * ((panels + parts - 1) / parts * parts) > 9 * panels) return false;
  const std::size_t empty = panels * tiles.width - columns;
  // Numbers that meet are then in the same lines of a cache, and push each other out.
  constexpr std::size_t cache_step = 1024;
  if (s.a_transposed) return s.m % cache_step != 0 && 6 * empty <= columns;
  return 32 * empty <= columns;
}

/// Where oneDNN's convolutions fall behind: rows of few pixels, gradients of weights that are wider than high.
bool suits_pixels(const KernelRequest& request, const Sizes& s, const ProductTiles& tiles) {
  constexpr Dim narrow = 7;
  constexpr std::size_t many = 256;
  const std::size_t channels = s.a_transposed ? s.m : s.k;
  if (request.in[0].shape[2] <= narrow) return channels >= many && s.n >= many;
  return s.a_transposed && s.n >= s.m && suits_tiles(s, tiles, request.threads);
}

}  // namespace

bool prefers_packed_product(const KernelRequest& request) {
  const ProductTiles& tiles = product_tiles(request.generate);
  if (tiles.lanes == 8) return true;
  const std::optional<Sizes> s = tiles.packs ? sizes_of(request) : std::nullopt;
  if (!s || s->m == 0 || s->n == 0) return false;
  return request.node.op->name == "matmul" ? suits_tiles(*s, tiles, request.threads) : suits_pixels(request, *s, tiles);
}

std::unique_ptr<Kernel> packed_product(const KernelRequest& request, const Epilogue& epilogue) {
  const auto is_f32 = [](const TensorType& type) { return type.dtype == DType::f32; };
  if (!std::all_of(request.in.begin(), request.in.end(), is_f32) || !is_f32(request.out[0])) return nullptr;
  const std::optional<Sizes> s = sizes_of(request);
  // Packing is paid back by as many uses of what is packed.
  constexpr std::size_t least = 16;
  if (!s || s->m < least || s->n < least || s->k < least / 2) return nullptr;
  return std::make_unique<PackedProduct>(*s, epilogue, request);
}

}  // namespace thalweg
