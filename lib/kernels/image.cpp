// SPDX-License-Identifier: Apache-2.0
// Images moved by affine maps. Each is done by one thread, so that nothing depends on the batch around it.
#include <array>
#include <cmath>
#include <cstring>

#include "thalweg/lib/kernels/makers.h"
#include "thalweg/ops/pixels.h"

namespace thalweg {
namespace {

struct Geometry {
  explicit Geometry(const KernelRequest& r)
      : shape(r.out[0].shape), mode(fill_mode_of(r.node.attrs.text("mode"))),
        image(count(shape[1] * shape[2] * shape[3])), channels(count(shape[3])) {}

  /// The four pixels that a pixel is read from, and their weights; null is a pixel of the fill value.
  template <class T>
  struct Taps {
    std::array<T*, 4> from;
    std::array<double, 4> weight;
  };
  template <class T>
  Taps<T> taps(T* at, double y, double x) const {
    const Neighbours v = neighbours(y, shape[1], mode), h = neighbours(x, shape[2], mode);
    const auto pixel = [&](Dim row, Dim col) {
      return row < 0 || col < 0 ? nullptr : at + count((row * shape[2] + col) * shape[3]);
    };
    return {{pixel(v.first, h.first), pixel(v.first, h.second), pixel(v.second, h.first), pixel(v.second, h.second)},
            {(1 - v.share) * (1 - h.share), (1 - v.share) * h.share, v.share * (1 - h.share), v.share * h.share}};
  }
  /// Calls f(row, col, y, x) for each pixel of an image.
  template <class F>
  void each(const double* m, F f) const {
    for (Dim row = 0; row < shape[1]; ++row)
      for (Dim col = 0; col < shape[2]; ++col) {
        const auto r = static_cast<double>(row), c = static_cast<double>(col);
        f(count((row * shape[2] + col) * shape[3]), m[0] * r + m[1] * c + m[2], m[3] * r + m[4] * c + m[5]);
      }
  }

  Shape shape;
  FillMode mode;
  std::size_t image;
  std::size_t channels;
};

template <class T>
std::unique_ptr<Kernel> forward(const KernelRequest& request) {
  const Geometry g(request);
  const double fill = request.node.attrs.real("fill");
  const int threads = request.threads;
  return kernel_of("affine_transform", 0, [=](const void* const* in, void* const* out, void*) {
    const std::size_t images = count(g.shape[0]);
    parallel_for(threads, images, grain_of(8 * g.image), [&](std::size_t begin, std::size_t end, std::size_t) {
      for (std::size_t b = begin; b < end; ++b) {
        const T* x = input<T>(in, 0) + b * g.image;
        T* y = output<T>(out) + b * g.image;
        g.each(input<double>(in, 1) + 6 * b, [&](std::size_t to, double row, double col) {
          const bool finite = std::isfinite(row) && std::isfinite(col);
          const auto taps = finite ? g.taps(x, row, col) : Geometry::Taps<const T>{};
          for (std::size_t k = 0; k < g.channels; ++k) {
            double sum = finite ? 0 : std::nan("");
            for (std::size_t i = 0; i < 4; ++i)
              if (taps.weight[i] != 0)
                sum += taps.weight[i] * (taps.from[i] != nullptr ? static_cast<double>(taps.from[i][k]) : fill);
            y[to + k] = static_cast<T>(sum);
          }
        });
      }
    });
  });
}

template <class T>
std::unique_ptr<Kernel> backward(const KernelRequest& request) {
  const Geometry g(request);
  const int threads = request.threads;
  return kernel_of("affine_transform_backward", 0, [=](const void* const* in, void* const* out, void*) {
    const std::size_t images = count(g.shape[0]);
    parallel_for(threads, images, grain_of(8 * g.image), [&](std::size_t begin, std::size_t end, std::size_t) {
      for (std::size_t b = begin; b < end; ++b) {
        const T* dy = input<T>(in, 0) + b * g.image;
        T* dx = output<T>(out) + b * g.image;
        std::memset(dx, 0, g.image * sizeof(T));
        g.each(input<double>(in, 1) + 6 * b, [&](std::size_t to, double row, double col) {
          if (!std::isfinite(row) || !std::isfinite(col)) return;
          const auto taps = g.taps(dx, row, col);
          for (std::size_t i = 0; i < 4; ++i)
            if (taps.weight[i] != 0 && taps.from[i] != nullptr)
              for (std::size_t k = 0; k < g.channels; ++k)
                taps.from[i][k] += static_cast<T>(taps.weight[i] * static_cast<double>(dy[to + k]));
        });
      }
    });
  });
}

template <class T>
std::unique_ptr<Kernel> vectors(const KernelRequest& request) {
  const std::size_t n = count(request.in[0].elements());
  return kernel_of("unit_vector", 0, [=](const void* const* in, void* const* out, void*) {
    for (std::size_t k = 0; k < n; ++k) {
      const auto [c, s] = turned(static_cast<double>(input<T>(in, 0)[k]));
      output<T>(out)[2 * k] = static_cast<T>(c);
      output<T>(out)[2 * k + 1] = static_cast<T>(s);
    }
  });
}

std::unique_ptr<Kernel> swapped(const KernelRequest& request) {
  const std::size_t rows = count(request.out[0].shape[0]), bytes = request.out[0].bytes() / rows;
  const int threads = request.threads;
  return kernel_of("swap_pairs", 0, [=](const void* const* in, void* const* out, void*) {
    parallel_for(threads, rows, grain_of(bytes / 16 + 1), [&](std::size_t begin, std::size_t end, std::size_t) {
      for (std::size_t row = begin; row < end; ++row) {
        const std::size_t other = (row ^ 1) < rows ? row ^ 1 : row;
        std::memcpy(output<std::byte>(out) + row * bytes, input<std::byte>(in, 0) + other * bytes, bytes);
      }
    });
  });
}

constexpr NamedMaker makers[] = {THALWEG_MAKER("affine_transform", forward),
                                 THALWEG_MAKER("affine_transform_backward", backward),
                                 THALWEG_MAKER("unit_vector", vectors),
                                 {"swap_pairs", swapped}};

}  // namespace

std::span<const NamedMaker> image_makers() { return makers; }

}  // namespace thalweg
