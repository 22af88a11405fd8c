// SPDX-License-Identifier: Apache-2.0
// Convolutions as direct loops that add up in double: for the dtypes and shapes that oneDNN does not take.
#include <algorithm>
#include <array>

#include "thalweg/lib/kernels/makers.h"
#include "thalweg/ops/conv.h"

namespace thalweg {
namespace {

/// Channels that are added up together.
constexpr std::size_t lot = 64;

/// Sizes of a convolution, and where its elements lie (channels last).
struct Sizes {
  ConvGeometry g;
  std::size_t samples, channels, outputs;  ///< of x and y
  std::size_t group_channels, group_outputs, groups;

  Sizes(const Attrs& attrs, const Shape& x, const Shape& w)
      : g(conv_geometry(attrs, x, w)), samples(count(x[0])), channels(count(x[3])), outputs(count(w[3])),
        group_channels(count(w[2])), group_outputs(count(w[3] / attrs.integer("groups"))),
        groups(count(attrs.integer("groups"))) {}
  std::size_t x(std::size_t sample, Dim row, Dim column) const {
    return ((sample * count(g.in[0]) + count(row)) * count(g.in[1]) + count(column)) * channels;
  }
  std::size_t y(std::size_t sample, Dim row, Dim column) const {
    return ((sample * count(g.out[0]) + count(row)) * count(g.out[1]) + count(column)) * outputs;
  }
  std::size_t w(Dim tap_row, Dim tap_column, std::size_t channel) const {
    return ((count(tap_row) * count(g.size[1]) + count(tap_column)) * group_channels + channel) * outputs;
  }
  std::size_t taps() const { return count(g.size[0] * g.size[1]); }
};

template <class T>
void store(const std::array<double, lot>& total, std::size_t n, T* to) {
  for (std::size_t i = 0; i < n; ++i) to[i] = static_cast<T>(total[i]);
}

/// Outputs [first, first + n) of one pixel; they are of one group.
template <class T>
void forward_pixel(const Sizes& s, const T* x, const T* w, std::size_t sample, Dim row, Dim column, std::size_t first,
                   std::size_t n, T* y) {
  std::array<double, lot> total{};
  const std::size_t group = first / s.group_outputs * s.group_channels;
  for (Dim h = 0; h < s.g.size[0]; ++h) {
    const Dim from_row = s.g.position(0, row, h);
    if (!s.g.inside(0, from_row)) continue;
    for (Dim v = 0; v < s.g.size[1]; ++v) {
      const Dim from_column = s.g.position(1, column, v);
      if (!s.g.inside(1, from_column)) continue;
      const T* from = x + s.x(sample, from_row, from_column) + group;
      for (std::size_t c = 0; c < s.group_channels; ++c) {
        const auto a = static_cast<double>(from[c]);
        const T* weights = w + s.w(h, v, c) + first;
        for (std::size_t o = 0; o < n; ++o) total[o] += a * static_cast<double>(weights[o]);
      }
    }
  }
  store(total, n, y + s.y(sample, row, column) + first);
}

/// Calls f(first, n) for lots of outputs that do not cross a group.
template <class F>
void each_lot(const Sizes& s, F f) {
  for (std::size_t group = 0; group < s.groups; ++group)
    for (std::size_t o = 0; o < s.group_outputs; o += lot)
      f(group * s.group_outputs + o, std::min(lot, s.group_outputs - o));
}

template <class T>
std::unique_ptr<Kernel> forward(const KernelRequest& request) {
  const Sizes s(request.node.attrs, request.in[0].shape, request.in[1].shape);
  const int threads = request.threads;
  return kernel_of("conv2d", 0, [s, threads](const void* const* in, void* const* out, void*) {
    const std::size_t rows = s.samples * count(s.g.out[0]);
    const std::size_t work = count(s.g.out[1]) * s.outputs * s.taps() * s.group_channels;
    parallel_for(threads, rows, grain_of(work), [&](std::size_t begin, std::size_t end, std::size_t) {
      for (std::size_t r = begin; r < end; ++r) {
        const auto row = static_cast<Dim>(r % count(s.g.out[0]));
        for (Dim column = 0; column < s.g.out[1]; ++column)
          each_lot(s, [&](std::size_t first, std::size_t n) {
            forward_pixel(s, input<T>(in, 0), input<T>(in, 1), r / count(s.g.out[0]), row, column, first, n,
                          output<T>(out));
          });
      }
    });
  });
}

/// The sum of a[i] * b[i], in eight lanes of double.
template <class T>
double dot(const T* a, const T* b, std::size_t n) {
  std::array<double, 8> lane{};
  const std::size_t body = n - n % lane.size();
  for (std::size_t i = 0; i < body; i += lane.size())
    for (std::size_t k = 0; k < lane.size(); ++k)
      lane[k] += static_cast<double>(a[i + k]) * static_cast<double>(b[i + k]);
  for (std::size_t i = body; i < n; ++i) lane[i - body] += static_cast<double>(a[i]) * static_cast<double>(b[i]);
  return ((lane[0] + lane[4]) + (lane[1] + lane[5])) + ((lane[2] + lane[6]) + (lane[3] + lane[7]));
}

/// The output position whose tap reads input position `at`; -1 where there is none.
Dim reader(const ConvGeometry& g, std::size_t axis, Dim at, Dim tap) {
  const Dim shifted = at + g.pad_low[axis] - tap * g.dilation[axis];
  if (shifted < 0 || shifted % g.stride[axis] != 0) return -1;
  const Dim o = shifted / g.stride[axis];
  return o < g.out[axis] ? o : -1;
}

/// Channels [first, first + n) of one input pixel's gradient; they are of one group.
template <class T>
void back_pixel(const Sizes& s, const T* dy, const T* w, std::size_t sample, Dim row, Dim column, std::size_t first,
                std::size_t n, T* dx) {
  std::array<double, lot> total{};
  const std::size_t group = first / s.group_channels, in_group = first % s.group_channels;
  for (Dim h = 0; h < s.g.size[0]; ++h) {
    const Dim at_row = reader(s.g, 0, row, h);
    if (at_row < 0) continue;
    for (Dim v = 0; v < s.g.size[1]; ++v) {
      const Dim at_column = reader(s.g, 1, column, v);
      if (at_column < 0) continue;
      const T* from = dy + s.y(sample, at_row, at_column) + group * s.group_outputs;
      for (std::size_t c = 0; c < n; ++c)
        total[c] += dot(from, w + s.w(h, v, in_group + c) + group * s.group_outputs, s.group_outputs);
    }
  }
  store(total, n, dx + s.x(sample, row, column) + first);
}

template <class T>
std::unique_ptr<Kernel> backward_data(const KernelRequest& request) {
  const Sizes s(request.node.attrs, request.out[0].shape, request.in[1].shape);
  const int threads = request.threads;
  return kernel_of("conv2d_backward_data", 0, [s, threads](const void* const* in, void* const* out, void*) {
    const std::size_t rows = s.samples * count(s.g.in[0]);
    const std::size_t work = count(s.g.in[1]) * s.outputs * s.taps() * s.group_channels;
    parallel_for(threads, rows, grain_of(work), [&](std::size_t begin, std::size_t end, std::size_t) {
      for (std::size_t r = begin; r < end; ++r)
        for (Dim column = 0; column < s.g.in[1]; ++column)
          for (std::size_t group = 0; group < s.groups; ++group)
            for (std::size_t c = 0; c < s.group_channels; c += lot)
              back_pixel(s, input<T>(in, 0), input<T>(in, 1), r / count(s.g.in[0]),
                         static_cast<Dim>(r % count(s.g.in[0])), column, group * s.group_channels + c,
                         std::min(lot, s.group_channels - c), output<T>(out));
    });
  });
}

/// Outputs [first, first + n) of the weights of one tap and channel.
template <class T>
void weight_gradient(const Sizes& s, const T* x, const T* dy, Dim h, Dim v, std::size_t channel, std::size_t first,
                     std::size_t n, T* dw) {
  std::array<double, lot> total{};
  const std::size_t from_channel = first / s.group_outputs * s.group_channels + channel;
  for (std::size_t sample = 0; sample < s.samples; ++sample)
    for (Dim row = 0; row < s.g.out[0]; ++row) {
      const Dim from_row = s.g.position(0, row, h);
      if (!s.g.inside(0, from_row)) continue;
      for (Dim column = 0; column < s.g.out[1]; ++column) {
        const Dim from_column = s.g.position(1, column, v);
        if (!s.g.inside(1, from_column)) continue;
        const auto a = static_cast<double>(x[s.x(sample, from_row, from_column) + from_channel]);
        const T* gradient = dy + s.y(sample, row, column) + first;
        for (std::size_t o = 0; o < n; ++o) total[o] += a * static_cast<double>(gradient[o]);
      }
    }
  store(total, n, dw + s.w(h, v, channel) + first);
}

template <class T>
std::unique_ptr<Kernel> backward_weights(const KernelRequest& request) {
  const Sizes s(request.node.attrs, request.in[0].shape, request.out[0].shape);
  const int threads = request.threads;
  return kernel_of("conv2d_backward_weights", 0, [s, threads](const void* const* in, void* const* out, void*) {
    const std::size_t tasks = s.taps() * s.group_channels;
    const std::size_t work = s.samples * count(s.g.out[0] * s.g.out[1]) * s.outputs;
    parallel_for(threads, tasks, grain_of(work), [&](std::size_t begin, std::size_t end, std::size_t) {
      for (std::size_t task = begin; task < end; ++task) {
        const auto tap = static_cast<Dim>(task / s.group_channels);
        each_lot(s, [&](std::size_t first, std::size_t n) {
          weight_gradient(s, input<T>(in, 0), input<T>(in, 1), tap / s.g.size[1], tap % s.g.size[1],
                          task % s.group_channels, first, n, output<T>(out));
        });
      }
    });
  });
}

constexpr NamedMaker makers[] = {
    {"conv2d",
     [](const KernelRequest& r) { return for_float(r.out[0].dtype, [&](auto t) { return forward<decltype(t)>(r); }); }},
    {"conv2d_backward_data",
     [](const KernelRequest& r) {
       return for_float(r.out[0].dtype, [&](auto t) { return backward_data<decltype(t)>(r); });
     }},
    {"conv2d_backward_weights",
     [](const KernelRequest& r) {
       return for_float(r.out[0].dtype, [&](auto t) { return backward_weights<decltype(t)>(r); });
     }},
};

}  // namespace

std::span<const NamedMaker> convolution_makers() { return makers; }

}  // namespace thalweg
