// SPDX-License-Identifier: Apache-2.0
// Sums, means and maxima over axes. What is added to what depends on the shapes alone: rows of at most `piece`
// elements, runs of them cut into chunks whose number the sizes decide, and the chunks in order.
#include <algorithm>
#include <array>
#include <cmath>
#include <limits>
#include <type_traits>

#include "thalweg/graph/opdef.h"
#include "thalweg/lib/kernels/makers.h"
#include "thalweg/lib/kernels/simd.h"
#include "thalweg/lib/kernels/sums.h"
#include "thalweg/ops/reduce.h"

namespace thalweg {
namespace {

/// The longest run of the innermost axis that is taken at once.
constexpr std::size_t piece = 4096;
constexpr std::size_t most_chunks = 16;

/// One axis or several neighbours that are all reduced, or all kept.
struct Loop {
  std::size_t size, stride;
};

/// The walk over the operand: results, and for each one the rows that go into it.
struct Walk {
  std::array<Loop, Shape::max_rank + 1> kept{}, reduced{};
  std::size_t kept_rank = 0, reduced_rank = 0;
  bool inner_kept = false;
  std::size_t length = 1;   ///< elements of the innermost loop
  std::size_t tiles = 1;    ///< pieces of the innermost loop
  std::size_t outer = 1;    ///< results, or rows of results, outside the innermost loop
  std::size_t rows = 1;     ///< reduced positions outside the innermost loop
  std::size_t chunks = 1;   ///< cuts of the rows (and pieces) of one task

  Walk(const Shape& shape, const std::vector<bool>& is_reduced) {
    std::vector<Loop> loops;
    std::vector<bool> marks;
    std::size_t stride = static_cast<std::size_t>(shape.elements());
    for (std::size_t axis = 0; axis < shape.rank(); ++axis) {
      const std::size_t size = count(shape[axis]);
      stride /= size;
      if (size == 1) continue;
      if (!loops.empty() && marks.back() == is_reduced[axis]) {
        loops.back() = {loops.back().size * size, stride};
      } else {
        loops.push_back({size, stride});
        marks.push_back(is_reduced[axis]);
      }
    }
    if (!loops.empty()) {
      inner_kept = !marks.back();
      length = loops.back().size;
      loops.pop_back();
      marks.pop_back();
    }
    for (std::size_t i = 0; i < loops.size(); ++i) {
      (marks[i] ? reduced[reduced_rank++] : kept[kept_rank++]) = loops[i];
      (marks[i] ? rows : outer) *= loops[i].size;
    }
    tiles = (length + piece - 1) / piece;
    const std::size_t work = tasks(), each = work_of_task();
    if (work < most_chunks && runs() > 1)
      chunks = std::clamp<std::size_t>(each / 16384, 1, std::min(most_chunks, runs()));
  }
  /// Results (inner reduced) or pieces of rows of results (inner kept).
  std::size_t tasks() const { return inner_kept ? outer * tiles : outer; }
  /// Pieces that go into one task's result.
  std::size_t runs() const { return inner_kept ? rows : rows * tiles; }
  /// Whether all is one task in one chunk: one row, or rows that are one behind the other.
  bool is_single() const {
    return tasks() == 1 && chunks == 1 && tiles == 1 && (inner_kept ? reduced_rank <= 1 : rows == 1);
  }
  /// Results of a task.
  std::size_t width() const { return inner_kept ? std::min(length, piece) : 1; }
  std::size_t work_of_task() const { return runs() * std::min(length, piece); }

  static std::size_t offset(const std::array<Loop, Shape::max_rank + 1>& loops, std::size_t rank, std::size_t at) {
    std::size_t sum = 0;
    for (std::size_t i = rank; i-- > 0;) {
      sum += at % loops[i].size * loops[i].stride;
      at /= loops[i].size;
    }
    return sum;
  }
};

/// How numbers are added up: floats in double, whole numbers in 64 bits that wrap.
template <class T>
struct Adding {
  using Total = std::conditional_t<std::is_floating_point_v<T>, double, std::uint64_t>;
  static constexpr Total start = 0;
  static Total of_row(const T* x, std::size_t n) {
    if constexpr (std::is_same_v<T, float>) return simd().sum_f32(x, n);
    else if constexpr (std::is_same_v<T, double>) return sum_of(n, [&](std::size_t i) { return x[i]; });
    Total total = 0;
    for (std::size_t i = 0; i < n; ++i) total += static_cast<Total>(x[i]);
    return total;
  }
  static void to_columns(const T* x, Total* total, std::size_t n) {
    if constexpr (std::is_same_v<T, float>) return simd().add_f32(x, total, n);
    else
      for (std::size_t i = 0; i < n; ++i) total[i] += static_cast<Total>(x[i]);
  }
  /// total = the sums of columns over rows that are `step` apart
  static void of_rows(const T* x, std::size_t rows, std::size_t step, Total* total, std::size_t n) {
    if constexpr (std::is_same_v<T, float>) return simd().add_rows_f32(x, rows, step, total, n);
    std::fill_n(total, n, start);
    for (std::size_t r = 0; r < rows; ++r) to_columns(x + r * step, total, n);
  }
  static Total join(Total a, Total b) { return a + b; }
  static T result(Total total, double scale) {
    if constexpr (std::is_floating_point_v<T>) return static_cast<T>(scale == 1 ? total : total / scale);
    else return static_cast<T>(total);
  }
};

/// The largest; NaN where there is one.
template <class T>
struct Largest {
  using Total = T;
  static constexpr Total start = std::is_floating_point_v<T> ? -std::numeric_limits<T>::infinity()
                                                             : std::numeric_limits<T>::min();
  static Total join(Total a, Total b) { return b > a || b != b ? b : a; }
  static Total of_row(const T* x, std::size_t n) {
    if constexpr (std::is_same_v<T, float>) return simd().max_f32(x, n);
    Total best = x[0];
    for (std::size_t i = 1; i < n; ++i) best = join(best, x[i]);
    return best;
  }
  static void to_columns(const T* x, Total* total, std::size_t n) {
    for (std::size_t i = 0; i < n; ++i) total[i] = join(total[i], x[i]);
  }
  static void of_rows(const T* x, std::size_t rows, std::size_t step, Total* total, std::size_t n) {
    std::fill_n(total, n, start);
    for (std::size_t r = 0; r < rows; ++r) to_columns(x + r * step, total, n);
  }
  static T result(Total total, double) { return total; }
};

/// One chunk of one task into `total`.
template <class How, class T>
void reduce_chunk(const Walk& w, const T* x, std::size_t task, std::size_t chunk, typename How::Total* total) {
  const std::size_t begin = w.runs() * chunk / w.chunks, end = w.runs() * (chunk + 1) / w.chunks;
  const std::size_t tile = w.inner_kept ? task % w.tiles : 0;
  const T* base = x + Walk::offset(w.kept, w.kept_rank, w.inner_kept ? task / w.tiles : task);
  if (w.inner_kept && w.reduced_rank == 1) {
    const std::size_t step = w.reduced[0].stride;
    return How::of_rows(base + begin * step + tile * piece, end - begin, step, total,
                        std::min(piece, w.length - tile * piece));
  }
  std::fill_n(total, w.width(), How::start);
  for (std::size_t run = begin; run < end; ++run) {
    const std::size_t part = w.inner_kept ? tile : run % w.tiles;
    const std::size_t n = std::min(piece, w.length - part * piece);
    const T* row = base + Walk::offset(w.reduced, w.reduced_rank, w.inner_kept ? run : run / w.tiles) + part * piece;
    if (w.inner_kept) How::to_columns(row, total, n);
    else *total = How::join(*total, How::of_row(row, n));
  }
}

template <class How, class T>
void store_task(const Walk& w, std::size_t task, const typename How::Total* total, double scale, T* y) {
  if (!w.inner_kept) {
    y[task] = How::result(*total, scale);
    return;
  }
  const std::size_t tile = task % w.tiles, n = std::min(piece, w.length - tile * piece);
  T* to = y + task / w.tiles * w.length + tile * piece;
  for (std::size_t i = 0; i < n; ++i) to[i] = How::result(total[i], scale);
}

/// A small reduction in one go, without any of the bookkeeping; the sums are the same.
template <class How, class T>
std::unique_ptr<Kernel> reduce_single(std::string_view name, const Walk& w, double scale) {
  const std::size_t width = w.width(), rows = w.rows, length = w.length;
  const std::size_t step = w.reduced_rank == 0 ? 0 : w.reduced[0].stride;
  if (!w.inner_kept)
    return kernel_of(name, 0, [=](const void* const* in, void* const* out, void*) {
      *output<T>(out) = How::result(How::join(How::start, How::of_row(input<T>(in, 0), length)), scale);
    });
  const std::size_t bytes = width * sizeof(typename How::Total);
  return kernel_of(name, bytes, [=](const void* const* in, void* const* out, void* scratch) {
    auto* total = static_cast<typename How::Total*>(scratch);
    How::of_rows(input<T>(in, 0), rows, step, total, width);
    for (std::size_t i = 0; i < width; ++i) output<T>(out)[i] = How::result(total[i], scale);
  });
}

template <class How, class T>
std::unique_ptr<Kernel> reduce(const KernelRequest& request, const std::vector<bool>& is_reduced, double scale) {
  using Total = typename How::Total;
  const Walk w(request.in[0].shape, is_reduced);
  const int threads = request.threads;
  if (w.is_single()) return reduce_single<How, T>(request.node.op->name, w, scale);
  const std::size_t items = w.tasks() * w.chunks, grain = grain_of(w.work_of_task() / w.chunks);
  // Uncut tasks need one room a worker, cut ones one a chunk.
  const std::size_t rooms = w.chunks == 1 ? static_cast<std::size_t>(parts_of(threads, items, grain)) : items;
  return kernel_of(request.node.op->name, rooms * w.width() * sizeof(Total),
                   [=](const void* const* in, void* const* out, void* scratch) {
    auto* room = static_cast<Total*>(scratch);
    parallel_for(threads, items, grain, [&](std::size_t begin, std::size_t end, std::size_t worker) {
      for (std::size_t item = begin; item < end; ++item) {
        Total* total = room + (w.chunks == 1 ? worker : item) * w.width();
        reduce_chunk<How>(w, input<T>(in, 0), item / w.chunks, item % w.chunks, total);
        if (w.chunks == 1) store_task<How>(w, item, total, scale, output<T>(out));
      }
    });
    for (std::size_t task = 0; w.chunks > 1 && task < w.tasks(); ++task) {
      Total* total = room + task * w.chunks * w.width();
      for (std::size_t chunk = 1; chunk < w.chunks; ++chunk)
        for (std::size_t i = 0; i < w.width(); ++i) total[i] = How::join(total[i], total[chunk * w.width() + i]);
      store_task<How>(w, task, total, scale, output<T>(out));
    }
  });
}

std::vector<bool> reduced_marks(const KernelRequest& request) {
  const Shape& shape = request.in[0].shape;
  std::vector<bool> marks(shape.rank());
  if (request.node.op->name == "sum_to") {
    const Shape& to = request.out[0].shape;
    const std::size_t lead = shape.rank() - to.rank();
    for (std::size_t axis = 0; axis < shape.rank(); ++axis) marks[axis] = axis < lead || to[axis - lead] == 1;
  } else {
    for (const std::size_t axis : reduced_axes(request.node.attrs, shape.rank())) marks[axis] = true;
  }
  return marks;
}

template <class F>
std::unique_ptr<Kernel> for_numeric(DType dtype, F f) {
  switch (dtype) {
    case DType::f32: return f(float{});
    case DType::f64: return f(double{});
    case DType::i32: return f(std::int32_t{});
    case DType::i64: return f(std::int64_t{});
    case DType::u8: return f(std::uint8_t{});
    default: return nullptr;
  }
}

std::unique_ptr<Kernel> sum_kernel(const KernelRequest& r) {
  return for_numeric(r.in[0].dtype, [&](auto t) {
    using T = decltype(t);
    return reduce<Adding<T>, T>(r, reduced_marks(r), 1);
  });
}
std::unique_ptr<Kernel> mean_kernel(const KernelRequest& r) {
  const auto share = static_cast<double>(r.in[0].elements() / r.out[0].elements());
  return for_float(r.in[0].dtype, [&](auto t) {
    using T = decltype(t);
    return reduce<Adding<T>, T>(r, reduced_marks(r), share);
  });
}
std::unique_ptr<Kernel> max_kernel(const KernelRequest& r) {
  return for_numeric(r.in[0].dtype, [&](auto t) {
    using T = decltype(t);
    return reduce<Largest<T>, T>(r, reduced_marks(r), 1);
  });
}

/// The first of the largest, or the first NaN, along one axis.
template <class T>
std::unique_ptr<Kernel> argmax_of(const KernelRequest& request) {
  const Shape& shape = request.in[0].shape;
  const std::size_t axis = normal_axis(request.node.attrs.integer("axis"), shape.rank());
  const std::size_t size = count(shape[axis]), stride = count(strides_of(shape)[axis]);
  const std::size_t results = count(request.out[0].elements());
  const int threads = request.threads;
  return kernel_of("argmax", 0, [=](const void* const* in, void* const* out, void*) {
    parallel_for(threads, results, grain_of(size), [&](std::size_t begin, std::size_t end, std::size_t) {
      for (std::size_t k = begin; k < end; ++k) {
        const T* x = input<T>(in, 0) + k / stride * stride * size + k % stride;
        std::size_t best = 0;
        for (std::size_t i = 1; i < size; ++i) {
          const T now = x[i * stride], before = x[best * stride];
          if (now > before || (now != now && before == before)) best = i;
        }
        output<std::int64_t>(out)[k] = static_cast<std::int64_t>(best);
      }
    });
  });
}

constexpr NamedMaker makers[] = {
    {"sum", sum_kernel},
    {"sum_to", sum_kernel},
    {"mean", mean_kernel},
    {"reduce_max", max_kernel},
    {"argmax",
     [](const KernelRequest& r) {
       return for_numeric(r.in[0].dtype, [&](auto t) { return argmax_of<decltype(t)>(r); });
     }},
};

}  // namespace

std::span<const NamedMaker> reduction_makers() { return makers; }

}  // namespace thalweg
