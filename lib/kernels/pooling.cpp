// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <array>
#include <cstdint>
#include <limits>
#include <type_traits>

#include "thalweg/graph/opdef.h"
#include "thalweg/lib/kernels/makers.h"
#include "thalweg/lib/kernels/own.h"
#include "thalweg/lib/kernels/pool_rows.h"
#include "thalweg/lib/kernels/simd.h"
#include "thalweg/lib/kernels/sums.h"
#include "thalweg/ops/pool.h"

namespace thalweg {
namespace {

/// Channels that are looked at together.
constexpr std::size_t lot = 64;

struct Sizes {
  PoolGeometry g;
  std::size_t samples, channels;
  bool whole_window;  ///< averages divide by the whole window, padding included

  Sizes(const Attrs& attrs, const Shape& x, bool include_pad)
      : g(pool_geometry(attrs, x)), samples(count(x[0])), channels(count(x[3])), whole_window(include_pad) {}
  std::size_t x(std::size_t sample, Dim row, Dim column) const {
    return ((sample * count(g.in[0]) + count(row)) * count(g.in[1]) + count(column)) * channels;
  }
  std::size_t y(std::size_t sample, Dim row, Dim column) const {
    return ((sample * count(g.out[0]) + count(row)) * count(g.out[1]) + count(column)) * channels;
  }
  std::size_t lots() const { return (channels + lot - 1) / lot; }
};

/// The part of a window that lies in the input.
struct Window {
  Dim top, bottom, left, right;  ///< [top, bottom) x [left, right)
  Window(const PoolGeometry& g, Dim row, Dim column)
      : top(std::max<Dim>(0, g.position(0, row, 0))), bottom(std::min(g.in[0], g.position(0, row, g.size[0]))),
        left(std::max<Dim>(0, g.position(1, column, 0))), right(std::min(g.in[1], g.position(1, column, g.size[1]))) {}
  template <class F>
  void each(F f) const {
    for (Dim row = top; row < bottom; ++row)
      for (Dim column = left; column < right; ++column) f(row, column);
  }
};

/// Calls f(sample, row, column, first channel, channels) for the windows that one thread owns: lots of channels of a
/// sample, so that windows which overlap stay with one thread.
template <class F>
void each_window(const Sizes& s, int threads, F f) {
  const std::size_t work = count(s.g.out[0] * s.g.out[1] * s.g.size[0] * s.g.size[1]) * std::min(lot, s.channels);
  parallel_for(threads, s.samples * s.lots(), grain_of(work), [&](std::size_t begin, std::size_t end, std::size_t) {
    for (std::size_t task = begin; task < end; ++task) {
      const std::size_t first = task % s.lots() * lot;
      for (Dim row = 0; row < s.g.out[0]; ++row)
        for (Dim column = 0; column < s.g.out[1]; ++column)
          f(task / s.lots(), row, column, first, std::min(lot, s.channels - first));
    }
  });
}

/// Where the largest of a window lies for each channel of a lot: the first of equals, the first NaN. What is kept of a
/// place is as wide as a number, for vectors of both.
template <class T>
struct Largest {
  using Place = std::conditional_t<sizeof(T) == 4, std::uint32_t, std::uint64_t>;
  std::array<T, lot> value;
  std::array<Place, lot> pixel;  ///< of the sample
  std::size_t base, step;

  Largest(const Sizes& s, const Window& window, const T* x, std::size_t sample, std::size_t first, std::size_t n)
      : base(s.x(sample, 0, 0) + first), step(s.channels) {
    bool start = true;
    window.each([&](Dim row, Dim column) {
      const T* from = x + s.x(sample, row, column) + first;
      const auto here = static_cast<Place>(row * s.g.in[1] + column);
      if (start) std::copy_n(from, n, value.data());
      if (start) std::fill_n(pixel.data(), n, here);
      else take(from, here, n);
      start = false;
    });
  }
  void take(const T* from, Place here, std::size_t n) {
    if constexpr (std::is_same_v<T, float>) return take_largest()(from, here, n, value.data(), pixel.data());
    for (std::size_t c = 0; c < n; ++c)
      if (from[c] > value[c] || (from[c] != from[c] && value[c] == value[c])) {
        value[c] = from[c];
        pixel[c] = here;
      }
  }
  std::size_t at(std::size_t c) const { return base + pixel[c] * step + c; }
  static bool counts(const Sizes& s) { return count(s.g.in[0] * s.g.in[1]) <= std::numeric_limits<Place>::max(); }
};

/// Windows of 2x2 that neither overlap nor hang over, of f32: the pooling of most nets.
bool is_by_twos(const Sizes& s) {
  const auto two = [&](std::size_t axis) {
    return s.g.size[axis] == 2 && s.g.stride[axis] == 2 && s.g.dilation[axis] == 1 && s.g.pad_low[axis] == 0 &&
           2 * s.g.out[axis] <= s.g.in[axis];
  };
  return two(0) && two(1) && (s.channels <= pooled_channels || s.channels % 8 == 0);
}

/// Calls f(sample, row of windows) for each.
template <class F>
void each_row_of_twos(const Sizes& s, int threads, F f) {
  const std::size_t rows = count(s.g.out[0]), work = 4 * count(s.g.out[1]) * s.channels;
  parallel_for(threads, s.samples * rows, grain_of(work), [&](std::size_t begin, std::size_t end, std::size_t) {
    for (std::size_t task = begin; task < end; ++task) f(task / rows, static_cast<Dim>(task % rows));
  });
}

std::unique_ptr<Kernel> max_forward_by_twos(const Sizes& s, int threads) {
  return kernel_of("max_pool", 0, [s, threads](const void* const* in, void* const* out, void*) {
    each_row_of_twos(s, threads, [&](std::size_t sample, Dim row) {
      const float* x = input<float>(in, 0);
      simd().max_pool_2x2(x + s.x(sample, 2 * row, 0), x + s.x(sample, 2 * row + 1, 0),
                          output<float>(out) + s.y(sample, row, 0), count(s.g.out[1]), s.channels);
    });
  });
}

/// One row of windows, with the pixels behind the last of them, which are in none.
void give_row_of_twos(const Sizes& s, const void* const* in, float* dx, std::size_t sample, Dim row, float* gated) {
  const float* x = input<float>(in, 0);
  const std::size_t top = s.x(sample, 2 * row, 0), bottom = s.x(sample, 2 * row + 1, 0), line = bottom - top;
  const std::size_t used = 2 * count(s.g.out[1]) * s.channels;
  simd().max_pool_2x2_backward(x + top, x + bottom, input<float>(in, 1) + s.y(sample, row, 0), dx + top, dx + bottom,
                               count(s.g.out[1]), s.channels, gated);
  std::fill(dx + top + used, dx + bottom, 0.0f);
  std::fill(dx + bottom + used, dx + bottom + line, 0.0f);
  if (row + 1 == s.g.out[0]) std::fill(dx + bottom + line, dx + s.x(sample + 1, 0, 0), 0.0f);
}

std::unique_ptr<Kernel> max_backward_by_twos(const Sizes& s, int threads) {
  return kernel_of("max_pool_backward", 0, [s, threads](const void* const* in, void* const* out, void*) {
    each_row_of_twos(s, threads, [&](std::size_t sample, Dim row) {
      give_row_of_twos(s, in, output<float>(out), sample, row, nullptr);
    });
  });
}

/// As max_backward_by_twos(), behind the gate of a relu whose result x is: only the largest of a window matters, and if
/// that is not positive nothing passes. What passes is summed from a line of it, where it is dense.
std::unique_ptr<Kernel> gated_by_twos(const Sizes& s, int threads, bool column_sums) {
  const std::size_t rows = count(s.g.out[0]), width = count(s.g.out[1]), c = s.channels;
  // As many rows of windows at once as the first-level cache holds beside the pixels.
  const std::size_t at_once = std::max<std::size_t>(1, 2048 / (width * c));
  const std::size_t line = rounded_up((at_once * width * c + 8) * sizeof(float)) / sizeof(double);
  const std::size_t stride = line + 2 * c;
  const RowChunks chunks(s.samples * rows, 4 * width * c);
  const auto run = [=](const void* const* in, void* const* out, void* scratch) {
    auto* room = static_cast<double*>(scratch);
    chunks.each(threads, stride, room, [&](std::size_t begin, std::size_t end, double* own) {
      auto* gated = reinterpret_cast<float*>(own);
      double *totals = own + line, *part = totals + c;
      std::fill_n(totals, c, 0.0);
      for (std::size_t first = begin; first < end; first += at_once) {
        const std::size_t n = std::min(at_once, end - first);
        for (std::size_t k = 0; k < n; ++k)
          give_row_of_twos(s, in, output<float>(out), (first + k) / rows, static_cast<Dim>((first + k) % rows),
                           gated + k * width * c);
        if (!column_sums) continue;
        simd().add_rows_f32(gated, n * width, c, part, c);
        for (std::size_t k = 0; k < c; ++k) totals[k] += part[k];
      }
    });
    for (std::size_t k = 0; column_sums && k < c; ++k) {
      double total = 0;
      for (std::size_t chunk = 0; chunk < chunks.chunks; ++chunk) total += room[chunk * stride + line + k];
      output<float>(out, 1)[k] = static_cast<float>(total);
    }
  };
  return kernel_of(column_sums ? "max_pool_backward+gate+column_sums" : "max_pool_backward+gate",
                   chunks.room_bytes(stride), run);
}

template <class T>
std::unique_ptr<Kernel> max_forward(const KernelRequest& request) {
  const Sizes s(request.node.attrs, request.in[0].shape, false);
  const int threads = request.threads;
  if constexpr (std::is_same_v<T, float>)
    if (is_by_twos(s)) return max_forward_by_twos(s, threads);
  return kernel_of("max_pool", 0, [s, threads](const void* const* in, void* const* out, void*) {
    each_window(s, threads, [&](std::size_t sample, Dim row, Dim column, std::size_t first, std::size_t n) {
      const T* x = input<T>(in, 0);
      T* y = output<T>(out) + s.y(sample, row, column) + first;
      const Window window(s.g, row, column);
      bool start = true;
      window.each([&](Dim r, Dim c) {
        const T* from = x + s.x(sample, r, c) + first;
        if (start) std::copy_n(from, n, y);
        // Once y is NaN no comparison is true any more, and it stays.
        else
          for (std::size_t k = 0; k < n; ++k) y[k] = from[k] > y[k] || from[k] != from[k] ? from[k] : y[k];
        start = false;
      });
    });
  });
}

template <class T>
void clear(const Sizes& s, int threads, T* dx) {
  const std::size_t all = s.samples * count(s.g.in[0] * s.g.in[1]) * s.channels;
  parallel_for(threads, all, grain_of(1),
               [&](std::size_t begin, std::size_t end, std::size_t) { std::fill(dx + begin, dx + end, T{0}); });
}

template <class T>
std::unique_ptr<Kernel> max_backward(const KernelRequest& request) {
  const Sizes s(request.node.attrs, request.in[0].shape, false);
  const int threads = request.threads;
  if constexpr (std::is_same_v<T, float>)
    if (is_by_twos(s)) return max_backward_by_twos(s, threads);
  if (!Largest<T>::counts(s)) return nullptr;
  return kernel_of("max_pool_backward", 0, [s, threads](const void* const* in, void* const* out, void*) {
    T* dx = output<T>(out);
    clear(s, threads, dx);
    each_window(s, threads, [&](std::size_t sample, Dim row, Dim column, std::size_t first, std::size_t n) {
      const Largest<T> largest(s, Window(s.g, row, column), input<T>(in, 0), sample, first, n);
      const T* dy = input<T>(in, 1) + s.y(sample, row, column) + first;
      for (std::size_t c = 0; c < n; ++c) dx[largest.at(c)] += dy[c];
    });
  });
}

template <class T>
std::unique_ptr<Kernel> max_pick(const KernelRequest& request) {
  const Sizes s(request.node.attrs, request.in[0].shape, false);
  const int threads = request.threads;
  if (!Largest<T>::counts(s)) return nullptr;
  return kernel_of("max_pool_pick", 0, [s, threads](const void* const* in, void* const* out, void*) {
    each_window(s, threads, [&](std::size_t sample, Dim row, Dim column, std::size_t first, std::size_t n) {
      const Largest<T> largest(s, Window(s.g, row, column), input<T>(in, 0), sample, first, n);
      T* y = output<T>(out) + s.y(sample, row, column) + first;
      for (std::size_t c = 0; c < n; ++c) y[c] = input<T>(in, 1)[largest.at(c)];
    });
  });
}

double share(const Sizes& s, const Window& w) {
  const Dim size = s.whole_window ? s.g.size[0] * s.g.size[1] : (w.bottom - w.top) * (w.right - w.left);
  return 1.0 / static_cast<double>(size);
}

template <class T>
std::unique_ptr<Kernel> avg_forward(const KernelRequest& request) {
  const Sizes s(request.node.attrs, request.in[0].shape, request.node.attrs.flag("count_include_pad"));
  const int threads = request.threads;
  return kernel_of("avg_pool", 0, [s, threads](const void* const* in, void* const* out, void*) {
    each_window(s, threads, [&](std::size_t sample, Dim row, Dim column, std::size_t first, std::size_t n) {
      const Window window(s.g, row, column);
      std::array<double, lot> total{};
      window.each([&](Dim r, Dim c) {
        const T* from = input<T>(in, 0) + s.x(sample, r, c) + first;
        for (std::size_t k = 0; k < n; ++k) total[k] += static_cast<double>(from[k]);
      });
      const double part = share(s, window);
      T* y = output<T>(out) + s.y(sample, row, column) + first;
      for (std::size_t k = 0; k < n; ++k) y[k] = static_cast<T>(total[k] * part);
    });
  });
}

template <class T>
std::unique_ptr<Kernel> avg_backward(const KernelRequest& request) {
  const Sizes s(request.node.attrs, request.out[0].shape, request.node.attrs.flag("count_include_pad"));
  const int threads = request.threads;
  return kernel_of("avg_pool_backward", 0, [s, threads](const void* const* in, void* const* out, void*) {
    T* dx = output<T>(out);
    clear(s, threads, dx);
    each_window(s, threads, [&](std::size_t sample, Dim row, Dim column, std::size_t first, std::size_t n) {
      const Window window(s.g, row, column);
      const auto part = static_cast<T>(share(s, window));
      const T* dy = input<T>(in, 0) + s.y(sample, row, column) + first;
      window.each([&](Dim r, Dim c) {
        T* to = dx + s.x(sample, r, c) + first;
        for (std::size_t k = 0; k < n; ++k) to[k] += dy[k] * part;
      });
    });
  });
}

constexpr NamedMaker makers[] = {
    THALWEG_MAKER("max_pool", max_forward), THALWEG_MAKER("max_pool_backward", max_backward),
    THALWEG_MAKER("max_pool_pick", max_pick), THALWEG_MAKER("avg_pool", avg_forward),
    THALWEG_MAKER("avg_pool_backward", avg_backward)};

}  // namespace

std::span<const NamedMaker> pooling_makers() { return makers; }

std::unique_ptr<Kernel> max_pool_backward_gated(const KernelRequest& request, bool column_sums) {
  if (request.out[0].dtype != DType::f32 || request.in[0].dtype != DType::f32) return nullptr;
  const Sizes s(request.node.attrs, request.in[0].shape, false);
  return is_by_twos(s) ? gated_by_twos(s, request.threads, column_sums) : nullptr;
}

}  // namespace thalweg
