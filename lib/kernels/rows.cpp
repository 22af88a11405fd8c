// SPDX-License-Identifier: Apache-2.0
// Softmax and the cross entropies: row by row, exponentials and their sums in double.
#include <algorithm>
#include <cmath>

#include "thalweg/graph/opdef.h"
#include "thalweg/lib/kernels/makers.h"
#include "thalweg/lib/kernels/simd.h"
#include "thalweg/lib/kernels/sums.h"
#include "thalweg/ops/loss.h"

namespace thalweg {
namespace {

float largest_of(const float* x, std::size_t n) { return simd().max_f32(x, n); }
double largest_of(const double* x, std::size_t n) {
  double best = x[0];
  for (std::size_t i = 1; i < n; ++i) best = x[i] > best || x[i] != x[i] ? x[i] : best;
  return best;
}

/// out[i] = exp(x[i] - shift) (if there is an out); their sum.
double exp_sum(const float* x, float shift, float* out, std::size_t n) {
  return n == 0 ? 0 : simd().exp_sum_f32(x, shift, out, n);
}
double exp_sum(const double* x, double shift, double* out, std::size_t n) {
  return sum_of(n, [&](std::size_t i) {
    const double e = std::exp(x[i] - shift);
    if (out != nullptr) out[i] = e;
    return e;
  });
}

template <class T>
void softmax_row(const T* x, T* y, std::size_t n) {
  const double scale = 1 / exp_sum(x, largest_of(x, n), y, n);
  for (std::size_t i = 0; i < n; ++i) y[i] = static_cast<T>(static_cast<double>(y[i]) * scale);
}

template <class T>
void log_softmax_row(const T* x, T* y, std::size_t n) {
  const T largest = largest_of(x, n);
  const double sum = std::log(exp_sum(x, largest, static_cast<T*>(nullptr), n));
  for (std::size_t i = 0; i < n; ++i)
    y[i] = static_cast<T>(static_cast<double>(x[i]) - static_cast<double>(largest) - sum);
}

/// Lines along an axis: rows where it is the last one, else gathered into rows and put back.
struct Lines {
  std::size_t outer, length, inner;
  Lines(const Shape& shape, std::size_t axis) : outer(1), length(count(shape[axis])), inner(1) {
    for (std::size_t i = 0; i < axis; ++i) outer *= count(shape[i]);
    for (std::size_t i = axis + 1; i < shape.rank(); ++i) inner *= count(shape[i]);
  }
};

template <class T, class F>
std::unique_ptr<Kernel> along_lines(const KernelRequest& request, F row) {
  const Shape& shape = request.in[0].shape;
  const Lines lines(shape, normal_axis(request.node.attrs.integer("axis"), shape.rank()));
  const int threads = request.threads;
  const std::size_t grain = grain_of(lines.length * 8), tasks = lines.outer * lines.inner;
  const std::size_t room = lines.inner == 1 ? 0 : rounded_up(lines.length * sizeof(T));
  const std::size_t scratch_bytes = room * static_cast<std::size_t>(parts_of(threads, tasks, grain));
  return kernel_of(request.node.op->name, scratch_bytes, [=](const void* const* in, void* const* out, void* scratch) {
    const T* x = input<T>(in, 0);
    T* y = output<T>(out);
    parallel_for(threads, tasks, grain, [&](std::size_t begin, std::size_t end, std::size_t worker) {
      T* line = reinterpret_cast<T*>(static_cast<std::byte*>(scratch) + worker * room);
      for (std::size_t task = begin; task < end; ++task) {
        if (lines.inner == 1) {
          row(x + task * lines.length, y + task * lines.length, lines.length);
          continue;
        }
        const std::size_t first = task / lines.inner * lines.length * lines.inner + task % lines.inner;
        for (std::size_t i = 0; i < lines.length; ++i) line[i] = x[first + i * lines.inner];
        row(line, line, lines.length);
        for (std::size_t i = 0; i < lines.length; ++i) y[first + i * lines.inner] = line[i];
      }
    });
  });
}

/// The largest logit of a row, and the sum of exp(x - largest) over the others: the largest one's own term is
/// exactly 1, and keeping it apart keeps a loss near zero exact.
template <class T>
struct RowMass {
  T largest;
  std::size_t at;
  double others;
  RowMass(const T* x, std::size_t n) : largest(largest_of(x, n)), at(0) {
    while (at < n && !(x[at] == largest)) ++at;
    if (at == n) {  // no element equals NaN
      others = static_cast<double>(largest);
      at = 0;
      return;
    }
    T* const nowhere = nullptr;
    others = exp_sum(x, largest, nowhere, at) + exp_sum(x + at + 1, largest, nowhere, n - at - 1);
    // Infinity less infinity is not 0: the largest one's own term is not 1 then.
    if (!std::isfinite(largest)) others += static_cast<double>(largest - largest);
  }
};

/// A label, checked.
template <class L>
std::size_t label_at(const L* labels, std::size_t sample, std::size_t classes, const Shape& shape) {
  const auto label = static_cast<Dim>(labels[sample]);
  if (label < 0 || label >= static_cast<Dim>(classes))
    throw LabelError("sparse_cross_entropy", shape, static_cast<Dim>(sample), label, static_cast<Dim>(classes));
  return static_cast<std::size_t>(label);
}

/// Losses, gradients or both of f32 rows [begin, end), with few classes. Throws for the first label out of range.
template <class L>
void cross_entropy_of(CrossEntropyRows all, const L* labels, const Shape& samples, std::size_t begin, std::size_t end) {
  constexpr std::size_t block = 64;
  std::int64_t checked[block];
  for (std::size_t first = begin; first < end; first += block) {
    CrossEntropyRows part = all;
    part.rows = std::min(block, end - first);
    for (std::size_t i = 0; i < part.rows; ++i)
      checked[i] = static_cast<std::int64_t>(label_at(labels, first + i, all.classes, samples));
    part.labels = checked;
    part.x += first * all.classes;
    if (part.dy != nullptr) part.dy += first * all.dy_step;
    if (part.loss != nullptr) part.loss += first;
    if (part.dx != nullptr) part.dx += first * all.classes;
    simd().cross_entropy_f32(part);
  }
}

/// A kernel of x, labels and (for gradients) dy. `dy_step` is 0 where dy is one number for all.
template <class L>
std::unique_ptr<Kernel> few_classes(std::string_view name, const Shape& logits, const Shape& samples, int threads,
                                    std::size_t dy_step, bool loss, bool gradient, bool mean = false) {
  const std::size_t classes = count(logits.back()), rows = count(samples.elements()), grain = grain_of(classes * 8);
  return kernel_of(name, 0, [=](const void* const* in, void* const* out, void*) {
    const CrossEntropyRows all{.x = input<float>(in, 0), .labels = nullptr, .rows = rows, .classes = classes,
                               .dy = gradient ? input<float>(in, 2) : nullptr, .dy_step = dy_step,
                               .loss = loss ? output<float>(out, 0) : nullptr,
                               .dx = gradient ? output<float>(out, loss ? 1 : 0) : nullptr};
    const L* labels = input<L>(in, 1);
    parallel_for(threads, rows, grain, [&](std::size_t begin, std::size_t end, std::size_t) {
      cross_entropy_of(all, labels, samples, begin, end);
    });
    if (mean) *output<float>(out, 2) = static_cast<float>(simd().sum_f32(all.loss, rows) / static_cast<double>(rows));
  });
}
bool has_few_classes(const TensorType& logits) {
  return logits.dtype == DType::f32 && logits.shape.back() > 0 && count(logits.shape.back()) <= cross_entropy_classes;
}

template <class T, class L>
std::unique_ptr<Kernel> sparse_forward(const KernelRequest& request) {
  const std::size_t classes = count(request.in[0].shape.back());
  const Shape samples = request.in[1].shape;
  const int threads = request.threads;
  if (has_few_classes(request.in[0]))
    return few_classes<L>("sparse_cross_entropy", request.in[0].shape, samples, threads, 1, true, false);
  return kernel_of("sparse_cross_entropy", 0, [=](const void* const* in, void* const* out, void*) {
    const T* x = input<T>(in, 0);
    parallel_for(threads, count(samples.elements()), grain_of(classes * 8),
                 [&](std::size_t begin, std::size_t end, std::size_t) {
      for (std::size_t s = begin; s < end; ++s) {
        const T* row = x + s * classes;
        const std::size_t label = label_at(input<L>(in, 1), s, classes, samples);
        const RowMass<T> mass(row, classes);
        output<T>(out)[s] = static_cast<T>(std::log1p(mass.others) +
                                           (static_cast<double>(mass.largest) - static_cast<double>(row[label])));
      }
    });
  });
}

template <class T, class L>
std::unique_ptr<Kernel> sparse_backward(const KernelRequest& request) {
  const std::size_t classes = count(request.in[0].shape.back());
  const Shape samples = request.in[1].shape;
  const int threads = request.threads;
  if (has_few_classes(request.in[0]))
    return few_classes<L>("sparse_cross_entropy_backward", request.in[0].shape, samples, threads, 1, false, true);
  return kernel_of("sparse_cross_entropy_backward", 0, [=](const void* const* in, void* const* out, void*) {
    const T* x = input<T>(in, 0);
    parallel_for(threads, count(samples.elements()), grain_of(classes * 8),
                 [&](std::size_t begin, std::size_t end, std::size_t) {
      for (std::size_t s = begin; s < end; ++s) {
        const T* row = x + s * classes;
        T* dx = output<T>(out) + s * classes;
        const std::size_t label = label_at(input<L>(in, 1), s, classes, samples);
        const RowMass<T> mass(row, classes);
        const double total = mass.others + 1, dy = static_cast<double>(input<T>(in, 2)[s]);
        // Softmax less one at the label; where that is the largest, without the cancellation.
        const double at_label =
            label == mass.at
                ? -mass.others / total
                : std::exp(static_cast<double>(row[label]) - static_cast<double>(mass.largest)) / total - 1;
        exp_sum(row, mass.largest, dx, classes);
        for (std::size_t k = 0; k < classes; ++k) dx[k] = static_cast<T>(static_cast<double>(dx[k]) / total * dy);
        dx[label] = static_cast<T>(at_label * dy);
      }
    });
  });
}

template <class T>
std::unique_ptr<Kernel> dense_forward(const KernelRequest& request) {
  const std::size_t classes = count(request.in[0].shape.back()), samples = count(request.out[0].elements());
  const int threads = request.threads;
  return kernel_of("cross_entropy", 0, [=](const void* const* in, void* const* out, void*) {
    parallel_for(threads, samples, grain_of(classes * 8), [&](std::size_t begin, std::size_t end, std::size_t) {
      for (std::size_t s = begin; s < end; ++s) {
        const T *row = input<T>(in, 0) + s * classes, *target = input<T>(in, 1) + s * classes;
        const RowMass<T> mass(row, classes);
        const double rest = std::log1p(mass.others), largest = static_cast<double>(mass.largest);
        output<T>(out)[s] = static_cast<T>(sum_of(classes, [&](std::size_t k) {
          return static_cast<double>(target[k]) * (rest + (largest - static_cast<double>(row[k])));
        }));
      }
    });
  });
}

template <class F>
std::unique_ptr<Kernel> for_labels(const KernelRequest& request, F f) {
  switch (request.in[1].dtype) {
    case DType::i32: return f(std::int32_t{});
    case DType::i64: return f(std::int64_t{});
    case DType::u8: return f(std::uint8_t{});
    default: return nullptr;
  }
}

constexpr NamedMaker makers[] = {
    {"softmax",
     [](const KernelRequest& r) {
       return for_float(r.out[0].dtype, [&](auto t) { return along_lines<decltype(t)>(r, softmax_row<decltype(t)>); });
     }},
    {"log_softmax",
     [](const KernelRequest& r) {
       return for_float(r.out[0].dtype,
                        [&](auto t) { return along_lines<decltype(t)>(r, log_softmax_row<decltype(t)>); });
     }},
    {"sparse_cross_entropy",
     [](const KernelRequest& r) {
       return for_float(r.out[0].dtype, [&](auto t) {
         return for_labels(r, [&](auto label) { return sparse_forward<decltype(t), decltype(label)>(r); });
       });
     }},
    {"sparse_cross_entropy_backward",
     [](const KernelRequest& r) {
       return for_float(r.out[0].dtype, [&](auto t) {
         return for_labels(r, [&](auto label) { return sparse_backward<decltype(t), decltype(label)>(r); });
       });
     }},
    {"cross_entropy",
     [](const KernelRequest& r) {
       return for_float(r.out[0].dtype, [&](auto t) { return dense_forward<decltype(t)>(r); });
     }},
};

}  // namespace

std::span<const NamedMaker> row_makers() { return makers; }

std::unique_ptr<Kernel> cross_entropy_with_gradient(const TensorType& logits, const TensorType& labels,
                                                    const TensorType& dy, int threads, bool mean) {
  if (!has_few_classes(logits) || dy.dtype != DType::f32) return nullptr;
  // Longer lists are added up in pieces.
  constexpr Dim one_piece = 4096;
  if (mean && (labels.elements() > one_piece || labels.elements() == 0)) return nullptr;
  const std::size_t dy_step = dy.elements() == 1 ? 0 : 1;
  const auto make = [&](auto label) {
    return few_classes<decltype(label)>(mean ? "sparse_cross_entropy+backward+mean" : "sparse_cross_entropy+backward",
                                        logits.shape, labels.shape, threads, dy_step, true, true, mean);
  };
  switch (labels.dtype) {
    case DType::i32: return make(std::int32_t{});
    case DType::i64: return make(std::int64_t{});
    case DType::u8: return make(std::uint8_t{});
    default: return nullptr;
  }
}

}  // namespace thalweg
