// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <cmath>
#include <optional>
#include <string>

#include "thalweg/graph/opdef.h"
#include "thalweg/lib/kernels/makers.h"
#include "thalweg/lib/kernels/norm_rows.h"
#include "thalweg/lib/kernels/own.h"
#include "thalweg/lib/kernels/sums.h"

namespace thalweg {
namespace {

/// Rows and channels of a batch norm (channels last).
struct Batch {
  std::size_t rows, channels;
  RowChunks chunks;
  double eps, share;
  explicit Batch(const KernelRequest& r)
      : rows(count(r.in[0].elements()) / count(r.in[0].shape.back())), channels(count(r.in[0].shape.back())),
        chunks(rows, channels), eps(r.node.attrs.real("eps")), share(1.0 / static_cast<double>(rows)) {}
};

/// Calls f(row) for every row, cut among the threads.
template <class F>
void each_row(int threads, std::size_t rows, std::size_t length, F f) {
  parallel_for(threads, rows, grain_of(length * 2), [&](std::size_t begin, std::size_t end, std::size_t) {
    for (std::size_t row = begin; row < end; ++row) f(row);
  });
}

/// Calls f(rows, offset of their first element) for blocks that a first-level cache holds, since a block is walked once
/// for every few vectors of channels. The last come first: a pass before has left them in the caches.
template <class F>
void each_block(int threads, const Batch& b, F f) {
  const std::size_t most = std::max<std::size_t>(1, 4096 / b.channels);
  parallel_for(threads, b.rows, grain_of(b.channels * 2), [&](std::size_t begin, std::size_t end, std::size_t) {
    for (std::size_t left = end; left > begin;) {
      const std::size_t rows = std::min(most, left - begin);
      left -= rows;
      f(rows, left * b.channels);
    }
  });
}

/// Mean and sum of squared distances from it, from those of the chunks: Chan, Golub & LeVeque 1983. `parts` has both of
/// each chunk; `mean` and `squares` are apart from it.
void join_moments(const Batch& b, const double* parts, double* mean, double* squares) {
  const std::size_t c = b.channels;
  const auto weight = [&](std::size_t chunk) {
    return static_cast<double>(b.chunks.first(chunk + 1) - b.chunks.first(chunk));
  };
  std::fill_n(mean, 2 * c, 0.0);
  for (std::size_t chunk = 0; chunk < b.chunks.chunks; ++chunk)
    for (std::size_t k = 0; k < c; ++k) mean[k] += weight(chunk) * parts[2 * c * chunk + k];
  for (std::size_t k = 0; k < c; ++k) mean[k] *= b.share;
  for (std::size_t chunk = 0; chunk < b.chunks.chunks; ++chunk) {
    const double* part = parts + 2 * c * chunk;
    for (std::size_t k = 0; k < c; ++k) {
      const double distance = part[k] - mean[k];
      squares[k] += part[c + k] + weight(chunk) * distance * distance;
    }
  }
}

/// What follows the norm at an element on; what is added is the operand of that number.
template <class T>
NormEnd<T> norm_end(const NormEpilogue& epilogue, const void* const* in, std::size_t operand, std::size_t at) {
  return {.added = epilogue.add ? input<T>(in, operand) + at : nullptr, .relu = epilogue.relu};
}
std::string norm_name(std::string_view op, const NormEpilogue& epilogue) {
  return std::string(op) + (epilogue.add ? "+add" : "") + (epilogue.relu ? "+relu" : "");
}

template <class T>
std::unique_ptr<Kernel> batch_training(const KernelRequest& request, const NormEpilogue& epilogue = {}) {
  const Batch b(request);
  const int threads = request.threads;
  const std::size_t c = b.channels;
  // Mean, scale and shift in front, the chunks' moments behind them.
  const std::size_t room_bytes = 3 * c * sizeof(double) + b.chunks.room_bytes(2 * c);
  const auto run = [=](const void* const* in, void* const* out, void* scratch) {
    const T *x = input<T>(in, 0), *gamma = input<T>(in, 1), *beta = input<T>(in, 2);
    auto* mean = static_cast<double*>(scratch);
    double *scale = mean + c, *shift = scale + c, *parts = shift + c;
    b.chunks.each(threads, 2 * c, parts, [&](std::size_t begin, std::size_t end, double* moments) {
      norm_rows<T>().moments({x + begin * c, end - begin, c}, moments, moments + c);
    });
    join_moments(b, parts, mean, scale);
    for (std::size_t k = 0; k < c; ++k) {
      const double variance = scale[k] * b.share;
      output<T>(out, 1)[k] = static_cast<T>(mean[k]);
      output<T>(out, 2)[k] = static_cast<T>(variance);
      scale[k] = static_cast<double>(gamma[k]) / std::sqrt(variance + b.eps);
      shift[k] = static_cast<double>(beta[k]);
    }
    each_block(threads, b, [&](std::size_t rows, std::size_t at) {
      norm_rows<T>().normalize({x + at, rows, c}, mean, scale, shift, norm_end<T>(epilogue, in, 3, at),
                               output<T>(out) + at);
    });
  };
  return kernel_of(norm_name("batch_norm_training", epilogue), room_bytes, run, {{0, 0}, {3, 0}});
}

template <class T>
std::unique_ptr<Kernel> batch_inference(const KernelRequest& request, const NormEpilogue& epilogue = {}) {
  const Batch b(request);
  const int threads = request.threads;
  const std::size_t c = b.channels;
  const auto run = [=](const void* const* in, void* const* out, void* scratch) {
    auto* mean = static_cast<double*>(scratch);
    double *scale = mean + c, *shift = scale + c;
    for (std::size_t k = 0; k < c; ++k) {
      const auto number = [&](std::size_t argument) { return static_cast<double>(input<T>(in, argument)[k]); };
      mean[k] = number(3);
      scale[k] = number(1) / std::sqrt(number(4) + b.eps);
      shift[k] = number(2);
    }
    each_block(threads, b, [&](std::size_t rows, std::size_t at) {
      norm_rows<T>().normalize({input<T>(in, 0) + at, rows, c}, mean, scale, shift,
                               norm_end<T>(epilogue, in, 5, at), output<T>(out) + at);
    });
  };
  return kernel_of(norm_name("batch_norm_inference", epilogue), 3 * c * sizeof(double), run, {{0, 0}, {5, 0}});
}

/// Numbers of the operands and the result of a gradient that passes a gate.
struct GatePlaces {
  std::size_t more = 0;    ///< what is added to dy, or 0 for nothing
  std::size_t gate = 0;    ///< or 0
  std::size_t stored = 0;  ///< the result that what passes becomes, or 0
  explicit GatePlaces(const std::optional<NormGate>& gated) {
    if (!gated) return;
    more = gated->add ? 5 : 0;
    gate = gated->add ? 6 : 5;
    stored = gated->stored ? 3 : 0;
  }
  template <class T>
  NormSlope<T> slope(const void* const* in, std::size_t at) const {
    return {.dy = input<T>(in, 4) + at, .gate = gate == 0 ? nullptr : input<T>(in, gate) + at,
            .more = more == 0 ? nullptr : input<T>(in, more) + at};
  }
  /// dx comes last. What is stored comes before it, where the gate and what it lets through are read once.
  std::vector<Replaced> replaced() const {
    std::vector<Replaced> all{{0, 0}, {4, 0}};
    for (const std::size_t operand : {more, gate})
      if (operand != 0) all.push_back({operand, 0});
    for (const std::size_t operand : {std::size_t{4}, more, gate})
      if (stored != 0 && operand != 0) all.push_back({operand, stored});
    return all;
  }
};

template <class T>
std::unique_ptr<Kernel> batch_backward(const KernelRequest& request, const std::optional<NormGate>& gated = {}) {
  const Batch b(request);
  const int threads = request.threads;
  const std::size_t c = b.channels;
  // Mean, scale, slope and shift in front, sums behind them.
  const std::size_t room_bytes = 4 * c * sizeof(double) + b.chunks.room_bytes(2 * c);
  const GatePlaces places(gated);
  const auto run = [=](const void* const* in, void* const* out, void* scratch) {
    const T* x = input<T>(in, 0);
    T* const stored = places.stored == 0 ? nullptr : output<T>(out, places.stored);
    auto* mean = static_cast<double*>(scratch);
    double *scale = mean + c, *slope = scale + c, *shift = slope + c, *sums = shift + c;
    for (std::size_t k = 0; k < c; ++k) mean[k] = static_cast<double>(input<T>(in, 2)[k]);
    b.chunks.add_up(threads, 2 * c, sums, [&](std::size_t begin, std::size_t end, double* total) {
      const std::size_t at = begin * c;
      norm_rows<T>().sums({x + at, end - begin, c}, places.slope<T>(in, at), mean,
                          stored == nullptr ? nullptr : stored + at, total, total + c);
    });
    // dx = gamma * r * (dy - mean(dy) - u * mean(dy * u)), where u = (x - mean) * r.
    for (std::size_t k = 0; k < c; ++k) {
      const double r = 1 / std::sqrt(static_cast<double>(input<T>(in, 3)[k]) + b.eps), dgamma = sums[k] * r;
      output<T>(out, 1)[k] = static_cast<T>(dgamma);
      output<T>(out, 2)[k] = static_cast<T>(sums[c + k]);
      scale[k] = static_cast<double>(input<T>(in, 1)[k]) * r;
      slope[k] = -scale[k] * r * dgamma * b.share;
      shift[k] = -scale[k] * sums[c + k] * b.share;
    }
    each_block(threads, b, [&](std::size_t rows, std::size_t at) {
      const NormSlope<T> from = stored == nullptr ? places.slope<T>(in, at) : NormSlope<T>{.dy = stored + at};
      norm_rows<T>().backward({x + at, rows, c}, from, mean, scale, slope, shift, output<T>(out) + at);
    });
  };
  const std::string_view end = !gated ? "" : gated->add ? "+add+gate" : "+gate";
  return kernel_of("batch_norm_backward" + std::string(end), room_bytes, run, places.replaced());
}

struct Moments {
  double mean, r;
};
template <class T>
Moments moments(const T* x, std::size_t n, double eps) {
  const double share = 1.0 / static_cast<double>(n);
  const double mean = share * sum_of(n, [&](std::size_t i) { return static_cast<double>(x[i]); });
  const double variance = share * sum_of(n, [&](std::size_t i) {
    const double distance = static_cast<double>(x[i]) - mean;
    return distance * distance;
  });
  return {mean, 1 / std::sqrt(variance + eps)};
}

template <class T>
std::unique_ptr<Kernel> layer_forward(const KernelRequest& request) {
  const std::size_t n = count(request.in[1].elements()), rows = count(request.in[0].elements()) / n;
  const double eps = request.node.attrs.real("eps");
  const int threads = request.threads;
  return kernel_of("layer_norm", 0, [=](const void* const* in, void* const* out, void*) {
    const T *gamma = input<T>(in, 1), *beta = input<T>(in, 2);
    each_row(threads, rows, n, [&](std::size_t row) {
      const T* x = input<T>(in, 0) + row * n;
      T* y = output<T>(out) + row * n;
      const Moments m = moments(x, n, eps);
      for (std::size_t k = 0; k < n; ++k)
        y[k] = static_cast<T>((static_cast<double>(x[k]) - m.mean) * m.r * static_cast<double>(gamma[k]) +
                              static_cast<double>(beta[k]));
    });
  });
}

/// dx of one row; adds the row's part of dgamma and dbeta.
template <class T>
void layer_back_row(const T* x, const T* gamma, const T* dy, std::size_t n, double eps, T* dx, double* dgamma,
                    double* dbeta) {
  const Moments m = moments(x, n, eps);
  const double share = 1.0 / static_cast<double>(n);
  const auto u = [&](std::size_t k) { return (static_cast<double>(x[k]) - m.mean) * m.r; };
  const auto g = [&](std::size_t k) { return static_cast<double>(dy[k]) * static_cast<double>(gamma[k]); };
  const double g_mean = share * sum_of(n, g);
  const double gu_mean = share * sum_of(n, [&](std::size_t k) { return g(k) * u(k); });
  for (std::size_t k = 0; k < n; ++k) {
    dgamma[k] += static_cast<double>(dy[k]) * u(k);
    dbeta[k] += static_cast<double>(dy[k]);
    dx[k] = static_cast<T>(m.r * (g(k) - g_mean - u(k) * gu_mean));
  }
}

template <class T>
std::unique_ptr<Kernel> layer_backward(const KernelRequest& request) {
  const std::size_t n = count(request.in[1].elements()), rows = count(request.in[0].elements()) / n;
  const double eps = request.node.attrs.real("eps");
  const int threads = request.threads;
  const RowChunks chunks(rows, n);
  return kernel_of("layer_norm_backward", chunks.room_bytes(2 * n),
                   [=](const void* const* in, void* const* out, void* scratch) {
    auto* sums = static_cast<double*>(scratch);
    chunks.add_up(threads, 2 * n, sums, [&](std::size_t begin, std::size_t end, double* total) {
      for (std::size_t row = begin; row < end; ++row)
        layer_back_row(input<T>(in, 0) + row * n, input<T>(in, 1), input<T>(in, 2) + row * n, n, eps,
                       output<T>(out) + row * n, total, total + n);
    });
    for (std::size_t k = 0; k < n; ++k) {
      output<T>(out, 1)[k] = static_cast<T>(sums[k]);
      output<T>(out, 2)[k] = static_cast<T>(sums[n + k]);
    }
  });
}

constexpr NamedMaker makers[] = {
    THALWEG_MAKER("batch_norm_training", batch_training), THALWEG_MAKER("batch_norm_inference", batch_inference),
    THALWEG_MAKER("batch_norm_backward", batch_backward), THALWEG_MAKER("layer_norm", layer_forward),
    THALWEG_MAKER("layer_norm_backward", layer_backward)};

}  // namespace

std::span<const NamedMaker> norm_makers() { return makers; }

std::unique_ptr<Kernel> batch_norm_with(const KernelRequest& request, const NormEpilogue& epilogue) {
  return for_float(request.out[0].dtype, [&](auto t) {
    using T = decltype(t);
    return request.node.op->name == "batch_norm_training" ? batch_training<T>(request, epilogue)
                                                          : batch_inference<T>(request, epilogue);
  });
}

std::unique_ptr<Kernel> batch_norm_backward_of(const KernelRequest& request, const NormGate& gate) {
  return for_float(request.out[0].dtype, [&](auto t) { return batch_backward<decltype(t)>(request, gate); });
}

}  // namespace thalweg
