// SPDX-License-Identifier: Apache-2.0
#include "thalweg/lib/kernels/conv_code.h"

#include <algorithm>
#include <cstring>

#include "thalweg/graph/opdef.h"
#include "thalweg/lib/base/threads.h"
#include "thalweg/lib/kernels/makers.h"
#include "thalweg/lib/kernels/vector_code.h"
#include "thalweg/ops/conv.h"

#if defined(__x86_64__)
#include "thalweg/lib/kernels/product_writer.h"

namespace thalweg {
namespace {

int number(std::size_t x) { return static_cast<int>(x); }

/// Samples of one tensor with a border of zeros, one at a time.
struct Border {
  std::size_t rows = 0, columns = 0, channels = 0;  ///< of a sample as it lies
  std::size_t above = 0, left = 0;
  std::size_t all_rows = 0, all_columns = 0;        ///< with the border
  bool is_none() const { return rows == all_rows && columns == all_columns; }
  std::size_t row() const { return all_columns * channels; }
  std::size_t sample() const { return rows * columns * channels; }
  std::size_t bytes() const { return is_none() ? 0 : rounded_up(all_rows * row() * sizeof(float)); }
  /// The sample with its border: itself where there is none, else in `room`.
  const float* around(const float* x, float* room) const {
    if (is_none()) return x;
    std::memset(room, 0, bytes());
    for (std::size_t r = 0; r < rows; ++r)
      std::memcpy(room + ((r + above) * all_columns + left) * channels, x + r * columns * channels,
                  columns * channels * sizeof(float));
    return room;
  }
};

/// A window of size rows x columns over `from`, as a product for each row of results: pixels by taps times taps by
/// outputs.
struct Window {
  Border from;
  std::size_t rows = 0, columns = 0;            ///< taps
  std::size_t row_stride = 1, column_stride = 1;
  std::size_t out_rows = 0, out_columns = 0, outputs = 0;
  std::size_t samples = 0;
  std::size_t taps() const { return rows * columns * from.channels; }
  std::size_t result() const { return out_rows * out_columns * outputs; }
  std::size_t weight_row() const { return (outputs + vector_elements - 1) / vector_elements * vector_elements; }
};

ProductShape forward_shape(const Window& w, const ProductEnd& end) {
  const std::size_t run = w.columns * w.from.channels;
  return {.m = number(w.out_columns), .n = number(w.outputs), .k = number(run),
          .a_row = number(w.column_stride * w.from.channels), .a_column = 1, .b_row = number(w.weight_row()),
          .end = end, .blocks = number(w.rows), .a_block = number(w.from.row()),
          .b_block = number(run * w.weight_row()), .whole_rows = true};
}

/// Slides weights over samples. `lay(w, tap, room)` writes the outputs of one tap.
template <class Lay>
class SlideKernel final : public Kernel {
 public:
  SlideKernel(std::string name, const Window& window, const ProductEnd& end, int threads, Lay lay)
      : name_(std::move(name)), w_(window), end_(end), threads_(threads), lay_(lay),
        writer_(forward_shape(window, end)), function_(writer_.entry()) {}
  std::string name() const override { return name_; }
  std::size_t scratch_bytes() const override {
    return weights_bytes() + w_.from.bytes() * static_cast<std::size_t>(parts_of(threads_, w_.samples, grain()));
  }
  void run(const void* const* in, void* const* out, void* scratch) const override {
    auto* weights = static_cast<float*>(scratch);
    std::memset(weights, 0, weights_bytes());
    for (std::size_t tap = 0; tap < w_.taps(); ++tap) lay_(input<float>(in, 1), tap, weights + tap * w_.weight_row());
    const float* bias = end_.bias ? input<float>(in, 2) : nullptr;
    parallel_for(threads_, w_.samples, grain(), [&](std::size_t begin, std::size_t end, std::size_t worker) {
      auto* room =
          reinterpret_cast<float*>(static_cast<std::byte*>(scratch) + weights_bytes() + worker * w_.from.bytes());
      for (std::size_t sample = begin; sample < end; ++sample) {
        const float* x = w_.from.around(input<float>(in, 0) + sample * w_.from.sample(), room);
        float* y = output<float>(out) + sample * w_.result();
        for (std::size_t row = 0; row < w_.out_rows; ++row)
          function_(x + row * w_.row_stride * w_.from.row(), weights, bias, y + row * w_.out_columns * w_.outputs,
                    nullptr);
      }
    });
  }

 private:
  std::size_t weights_bytes() const { return rounded_up(w_.taps() * w_.weight_row() * sizeof(float)); }
  std::size_t grain() const { return grain_of(w_.result() * w_.taps() / 8 + 1); }
  std::string name_;
  Window w_;
  ProductEnd end_;
  int threads_;
  Lay lay_;
  ProductWriter writer_;
  ProductFunction function_;
};

template <class Lay>
std::unique_ptr<Kernel> slide(std::string name, const Window& window, const ProductEnd& end, int threads, Lay lay) {
  return std::make_unique<SlideKernel<Lay>>(std::move(name), window, end, threads, lay);
}

/// The gradient of the weights: taps by pixels times pixels by outputs, added up over the samples of a chunk. The
/// number of chunks depends on the sizes alone, and they are added in order.
class WeightsKernel final : public Kernel {
 public:
  WeightsKernel(const Window& window, int threads)
      : w_(window), threads_(threads), chunks_(std::min<std::size_t>(window.samples, 16)), writer_(shape(window)),
        function_(writer_.entry()) {}
  std::string name() const override { return "own:conv2d_backward_weights"; }
  std::size_t scratch_bytes() const override {
    return chunks_ * chunk_bytes() + w_.from.bytes() * static_cast<std::size_t>(parts_of(threads_, chunks_, 1));
  }
  void run(const void* const* in, void* const* out, void* scratch) const override {
    auto* bytes = static_cast<std::byte*>(scratch);
    parallel_for(threads_, chunks_, 1, [&](std::size_t begin, std::size_t end, std::size_t worker) {
      auto* room = reinterpret_cast<float*>(bytes + chunks_ * chunk_bytes() + worker * w_.from.bytes());
      for (std::size_t chunk = begin; chunk < end; ++chunk) {
        auto* total = reinterpret_cast<float*>(bytes + chunk * chunk_bytes());
        std::memset(total, 0, chunk_bytes());
        for (std::size_t s = w_.samples * chunk / chunks_; s < w_.samples * (chunk + 1) / chunks_; ++s)
          function_(w_.from.around(input<float>(in, 0) + s * w_.from.sample(), room),
                    input<float>(in, 1) + s * w_.result(), nullptr, total, nullptr);
      }
    });
    float* dw = output<float>(out);
    for (std::size_t i = 0; i < w_.taps() * w_.outputs; ++i) {
      double sum = 0;
      for (std::size_t chunk = 0; chunk < chunks_; ++chunk)
        sum += static_cast<double>(reinterpret_cast<const float*>(bytes + chunk * chunk_bytes())[i]);
      dw[i] = static_cast<float>(sum);
    }
  }

 private:
  static ProductShape shape(const Window& w) {
    ProductShape s{.m = number(w.taps()), .n = number(w.outputs), .k = number(w.out_columns),
                   .a_column = number(w.column_stride * w.from.channels), .b_row = number(w.outputs),
                   .blocks = number(w.out_rows), .a_block = number(w.row_stride * w.from.row()),
                   .b_block = number(w.out_columns * w.outputs), .adds = true};
    const std::size_t run = w.columns * w.from.channels;
    for (std::size_t tap = 0; tap < w.taps(); ++tap) s.a_rows.push_back(number(tap / run * w.from.row() + tap % run));
    return s;
  }
  std::size_t chunk_bytes() const { return rounded_up(w_.taps() * w_.outputs * sizeof(float)); }
  Window w_;
  int threads_;
  std::size_t chunks_;
  ProductWriter writer_;
  ProductFunction function_;
};

/// The gradient of the data of a window that moves by one pixel. For each row of dy and each row of taps one product,
/// pixels by filters times filters by all that a pixel gives to a row of dx; a row of dx adds up what is its own. No
/// border is computed.
class SpreadKernel final : public Kernel {
 public:
  static constexpr std::size_t most_rows = 16;  ///< of taps
  struct Sizes {
    std::size_t rows, columns;          ///< taps
    std::size_t above, left;            ///< pads
    std::size_t in_rows, in_columns, channels;
    std::size_t out_rows, out_columns, filters;
    std::size_t samples;
  };
  SpreadKernel(const Sizes& s, int threads)
      : s_(s), threads_(threads), writer_(shape(s)), function_(writer_.entry()) {}
  std::string name() const override { return "own:conv2d_backward_data"; }
  std::size_t scratch_bytes() const override {
    return weights_bytes() + given_bytes() * static_cast<std::size_t>(parts_of(threads_, s_.samples, grain()));
  }
  void run(const void* const* in, void* const* out, void* scratch) const override {
    auto* weights = static_cast<float*>(scratch);
    lay(input<float>(in, 1), weights);
    parallel_for(threads_, s_.samples, grain(), [&](std::size_t begin, std::size_t end, std::size_t worker) {
      auto* given =
          reinterpret_cast<float*>(static_cast<std::byte*>(scratch) + weights_bytes() + worker * given_bytes());
      for (std::size_t sample = begin; sample < end; ++sample)
        spread(input<float>(in, 0) + sample * s_.out_rows * row(), weights,
               output<float>(out) + sample * s_.in_rows * s_.in_columns * s_.channels, given);
    });
  }

 private:
  static ProductShape shape(const Sizes& s) {
    return {.m = number(s.out_columns), .n = number(s.columns * s.channels), .k = number(s.filters),
            .a_row = number(s.filters), .a_column = 1, .b_row = number(wide(s)), .whole_rows = true};
  }
  static std::size_t wide(const Sizes& s) {
    return (s.columns * s.channels + vector_elements - 1) / vector_elements * vector_elements;
  }
  std::size_t row() const { return s_.out_columns * s_.filters; }
  std::size_t gift() const { return s_.columns * s_.channels; }
  std::size_t weights_bytes() const { return rounded_up(s_.rows * s_.filters * wide(s_) * sizeof(float)); }
  /// What the rows of taps give to one row of dx, and room to read a vector beyond.
  std::size_t given_bytes() const {
    return rounded_up((s_.rows * s_.out_columns * gift() + vector_elements) * sizeof(float));
  }
  std::size_t grain() const {
    return grain_of(s_.out_rows * s_.rows * s_.out_columns * s_.filters * wide(s_) / 8 + 1);
  }

  /// weights[i, j, c, f] as [i, f, j, c], rows filled up to whole vectors.
  void lay(const float* from, float* to) const {
    std::memset(to, 0, weights_bytes());
    for (std::size_t i = 0; i < s_.rows; ++i)
      for (std::size_t jc = 0; jc < gift(); ++jc)
        for (std::size_t f = 0; f < s_.filters; ++f)
          to[(i * s_.filters + f) * wide(s_) + jc] = from[(i * gift() + jc) * s_.filters + f];
  }

  void spread(const float* dy, const float* weights, float* dx, float* given) const {
    for (std::size_t h = 0; h < s_.in_rows; ++h) {
      const float* lists[most_rows];
      std::size_t count = 0;
      for (std::size_t i = 0; i < s_.rows; ++i) {
        const std::size_t from = h + s_.above - i;  // wraps around where it is negative
        if (from >= s_.out_rows) continue;
        float* list = given + count * s_.out_columns * gift();
        function_(dy + from * row(), weights + i * s_.filters * wide(s_), nullptr, list, nullptr);
        lists[count++] = list;
      }
      add_up(lists, count, dx + h * s_.in_columns * s_.channels);
    }
  }

  /// A pixel of dx gets from each list what the pixels of dy give it at their taps.
  void add_up(const float* const* lists, std::size_t count, float* dx) const {
    for (std::size_t w = 0; w < s_.in_columns; ++w) {
      float sum[vector_elements] = {};
      const std::size_t first = w + s_.left + 1 > s_.out_columns ? w + s_.left + 1 - s_.out_columns : 0;
      const std::size_t last = std::min(s_.columns, w + s_.left + 1);
      for (std::size_t l = 0; l < count; ++l)
        for (std::size_t j = first; j < last; ++j) {
          // Always a whole vector: what is beyond the channels is not used.
          const float* from = lists[l] + (w + s_.left - j) * gift() + j * s_.channels;
          for (std::size_t c = 0; c < vector_elements; ++c) sum[c] += from[c];
        }
      std::memcpy(dx + w * s_.channels, sum, s_.channels * sizeof(float));
    }
  }

  Sizes s_;
  int threads_;
  ProductWriter writer_;
  ProductFunction function_;
};

/// x [samples, rows, columns, channels] under the window of a convolution.
Window window_of(const ConvGeometry& g, const Shape& x, const Shape& w) {
  const Border from{.rows = count(x[1]), .columns = count(x[2]), .channels = count(x[3]), .above = count(g.pad_low[0]),
                    .left = count(g.pad_low[1]), .all_rows = count(x[1] + g.pad_low[0] + g.pad_high[0]),
                    .all_columns = count(x[2] + g.pad_low[1] + g.pad_high[1])};
  return {.from = from, .rows = count(g.size[0]), .columns = count(g.size[1]), .row_stride = count(g.stride[0]),
          .column_stride = count(g.stride[1]), .out_rows = count(g.out[0]), .out_columns = count(g.out[1]),
          .outputs = count(w[3]), .samples = count(x[0])};
}

/// Rows of the gradient of the weights: each has code of its own.
constexpr std::size_t most_taps = 256;

bool is_small(const Window& w) {
  constexpr std::size_t most_channels = 8, most_outputs = 32, most_pixels = 1 << 14;
  const auto [few, many] = std::minmax(w.from.channels, w.outputs);
  return few <= most_channels && many <= most_outputs && w.rows * w.columns * few <= most_taps &&
         w.rows * w.columns > 1 &&
         w.from.all_rows * w.from.all_columns <= most_pixels && w.result() > 0 && w.samples > 0;
}

/// The window that turns dy into dx: the taps the other way round over dy with a border, one pixel a step.
Window turned(const ConvGeometry& g, const Shape& x, const Shape& w) {
  const std::size_t above = count(g.size[0] - 1 - g.pad_low[0]), left = count(g.size[1] - 1 - g.pad_low[1]);
  return {.from = {.rows = count(g.out[0]), .columns = count(g.out[1]), .channels = count(w[3]), .above = above,
                   .left = left, .all_rows = count(x[1] + g.size[0] - 1), .all_columns = count(x[2] + g.size[1] - 1)},
          .rows = count(g.size[0]), .columns = count(g.size[1]), .out_rows = count(x[1]), .out_columns = count(x[2]),
          .outputs = count(x[3]), .samples = count(x[0])};
}

std::unique_ptr<Kernel> written(const KernelRequest& request, const ProductEnd& end) {
  const std::string_view op = request.node.op->name;
  const bool to_data = op == "conv2d_backward_data", to_weights = op == "conv2d_backward_weights";
  const Shape& x = to_data ? request.out[0].shape : request.in[0].shape;
  const Shape& w = to_weights ? request.out[0].shape : request.in[1].shape;
  const ConvGeometry g = conv_geometry(request.node.attrs, x, w);
  if (request.node.attrs.integer("groups") != 1 || g.dilation != std::array<Dim, 2>{1, 1}) return nullptr;
  if (!is_small(window_of(g, x, w))) return nullptr;
  const std::size_t outputs = count(w[3]), channels = count(w[2]);
  if (to_weights && window_of(g, x, w).taps() > most_taps) return nullptr;
  if (to_weights) return std::make_unique<WeightsKernel>(window_of(g, x, w), request.threads);
  if (!to_data) {
    std::string name = std::string("own:conv2d") + (end.bias ? "+bias" : "") + (end.relu ? "+relu" : "") +
                       (end.leaky_slope ? "+leaky_relu" : "");
    return slide(std::move(name), window_of(g, x, w), end, request.threads,
                 [outputs](const float* weights, std::size_t tap, float* to) {
                   std::copy_n(weights + tap * outputs, outputs, to);
                 });
  }
  const auto reaches = [&](std::size_t axis) {
    return g.pad_low[axis] < g.size[axis] && g.pad_high[axis] < g.size[axis];
  };
  if (g.stride != std::array<Dim, 2>{1, 1} || !reaches(0) || !reaches(1)) return nullptr;
  if (count(g.size[0]) <= SpreadKernel::most_rows && channels <= vector_elements)
    return std::make_unique<SpreadKernel>(
        SpreadKernel::Sizes{.rows = count(g.size[0]), .columns = count(g.size[1]), .above = count(g.pad_low[0]),
                            .left = count(g.pad_low[1]), .in_rows = count(x[1]), .in_columns = count(x[2]),
                            .channels = channels, .out_rows = count(g.out[0]), .out_columns = count(g.out[1]),
                            .filters = outputs, .samples = count(x[0])},
        request.threads);
  const std::size_t taps = count(g.size[0] * g.size[1]);
  return slide("own:conv2d_backward_data", turned(g, x, w), {}, request.threads,
               [=](const float* weights, std::size_t tap, float* to) {
                 const std::size_t from = taps - 1 - tap / outputs, output = tap % outputs;
                 for (std::size_t c = 0; c < channels; ++c) to[c] = weights[(from * channels + c) * outputs + output];
               });
}

}  // namespace

std::unique_ptr<Kernel> small_convolution(const KernelRequest& request, const ProductEnd& end) {
  const auto is_f32 = [](const TensorType& type) { return type.dtype == DType::f32; };
  const std::string_view op = request.node.op->name;
  if (!request.generate || !has_generated_loops() || !op.starts_with("conv2d") ||
      !std::all_of(request.in.begin(), request.in.end(), is_f32))
    return nullptr;
  try {
    return written(request, end);
  } catch (const Xbyak::Error&) {
    return nullptr;
  }
}

}  // namespace thalweg

#else

namespace thalweg {
std::unique_ptr<Kernel> small_convolution(const KernelRequest&, const ProductEnd&) { return nullptr; }
}  // namespace thalweg

#endif
