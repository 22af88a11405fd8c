// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <array>
#include <cstring>

#include "thalweg/graph/fail.h"
#include "thalweg/lib/base/tensor.h"
#include "thalweg/lib/kernels/makers.h"

namespace thalweg {
namespace {

template <class I>
std::size_t checked_index(const I* indices, std::size_t k, std::size_t bound, std::string_view op) {
  const I index = indices[k];
  if (index < 0 || static_cast<std::uint64_t>(index) >= bound)
    run_error("{}: index {} is {}, must be in [0, {})", op, k, static_cast<std::int64_t>(index), bound);
  return static_cast<std::size_t>(index);
}

template <class F>
std::unique_ptr<Kernel> for_index(DType dtype, F f) {
  switch (dtype) {
    case DType::i32: return f(std::int32_t{});
    case DType::i64: return f(std::int64_t{});
    case DType::u8: return f(std::uint8_t{});
    default: return nullptr;
  }
}

/// A table seen from one axis: `outer` tables of `size` rows of `inner` elements.
struct Table {
  std::size_t outer, size, inner;
  Table(const KernelRequest& r) : outer(1), size(0), inner(1) {
    const Shape& shape = r.in[0].shape;
    const std::size_t axis = normal_axis(r.node.attrs.integer("axis"), shape.rank());
    for (std::size_t i = 0; i < axis; ++i) outer *= count(shape[i]);
    size = count(shape[axis]);
    for (std::size_t i = axis + 1; i < shape.rank(); ++i) inner *= count(shape[i]);
  }
};

template <class I>
std::unique_ptr<Kernel> gather_of(const KernelRequest& request) {
  const Table table(request);
  const std::size_t taken = count(request.in[1].elements()), row = table.inner * size_of(request.in[0].dtype);
  const int threads = request.threads;
  return kernel_of("gather", 0, [=](const void* const* in, void* const* out, void*) {
    parallel_for(threads, table.outer * taken, grain_of(row / 4 + 1),
                 [&](std::size_t begin, std::size_t end, std::size_t) {
      for (std::size_t i = begin; i < end; ++i) {
        const std::size_t at = checked_index(input<I>(in, 1), i % taken, table.size, "gather");
        std::memcpy(output<std::byte>(out) + i * row, input<std::byte>(in, 0) + (i / taken * table.size + at) * row,
                    row);
      }
    });
  });
}

template <class T>
T sum_of_two(T a, T b) {
  if constexpr (std::is_integral_v<T>)
    return static_cast<T>(static_cast<std::uint64_t>(a) + static_cast<std::uint64_t>(b));
  else return a + b;
}

/// Each thread owns columns of the table, and adds all updates to them in the order of the indices.
template <class T, class I>
std::unique_ptr<Kernel> scatter_of(const KernelRequest& request) {
  constexpr std::size_t lot = 64;
  const Table table(request);
  const std::size_t taken = count(request.in[1].elements()), bytes = request.in[0].bytes();
  const std::size_t lots = (table.inner + lot - 1) / lot;
  const int threads = request.threads;
  return kernel_of("scatter_add", 0, [=](const void* const* in, void* const* out, void*) {
    if (in[0] != out[0]) std::memcpy(out[0], in[0], bytes);
    const T* updates = input<T>(in, 2);
    T* base = output<T>(out);
    parallel_for(threads, table.outer * lots, grain_of(taken * std::min(lot, table.inner)),
                 [&](std::size_t begin, std::size_t end, std::size_t) {
      for (std::size_t task = begin; task < end; ++task) {
        const std::size_t o = task / lots, first = task % lots * lot, n = std::min(lot, table.inner - first);
        for (std::size_t k = 0; k < taken; ++k) {
          const std::size_t at = checked_index(input<I>(in, 1), k, table.size, "scatter_add");
          T* to = base + (o * table.size + at) * table.inner + first;
          const T* from = updates + (o * taken + k) * table.inner + first;
          for (std::size_t i = 0; i < n; ++i) to[i] = sum_of_two(to[i], from[i]);
        }
      }
    });
  });
}

std::unique_ptr<Kernel> scatter_kernel(const KernelRequest& r) {
  return for_index(r.in[1].dtype, [&](auto index) -> std::unique_ptr<Kernel> {
    using I = decltype(index);
    switch (r.in[0].dtype) {
      case DType::f32: return scatter_of<float, I>(r);
      case DType::f64: return scatter_of<double, I>(r);
      case DType::i32: return scatter_of<std::int32_t, I>(r);
      case DType::i64: return scatter_of<std::int64_t, I>(r);
      case DType::u8: return scatter_of<std::uint8_t, I>(r);
      default: return nullptr;
    }
  });
}

template <class I>
std::unique_ptr<Kernel> one_hot_of(const KernelRequest& request) {
  const std::size_t labels = count(request.in[0].elements()), classes = count(request.out[0].shape.back());
  const std::size_t bytes = size_of(request.out[0].dtype);
  std::array<std::byte, 8> one{};
  const double number = 1;
  store_numbers(request.out[0].dtype, {&number, 1}, one.data());
  const int threads = request.threads;
  return kernel_of("one_hot", 0, [=](const void* const* in, void* const* out, void*) {
    parallel_for(threads, labels, grain_of(classes), [&](std::size_t begin, std::size_t end, std::size_t) {
      auto* to = output<std::byte>(out);
      std::memset(to + begin * classes * bytes, 0, (end - begin) * classes * bytes);
      for (std::size_t k = begin; k < end; ++k)
        std::memcpy(to + (k * classes + checked_index(input<I>(in, 0), k, classes, "one_hot")) * bytes, one.data(),
                    bytes);
    });
  });
}

std::unique_ptr<Kernel> check_kernel(const KernelRequest& request) {
  const std::size_t bytes = request.in[0].bytes();
  const std::string message = request.node.attrs.text("message");
  return kernel_of("check", 0, [=](const void* const* in, void* const* out, void*) {
    if (*input<std::uint8_t>(in, 1) == 0) run_error("{}", message);
    std::memcpy(out[0], in[0], bytes);
  });
}

constexpr NamedMaker makers[] = {
    {"check", check_kernel},
    {"gather",
     [](const KernelRequest& r) {
       return for_index(r.in[1].dtype, [&](auto index) { return gather_of<decltype(index)>(r); });
     }},
    {"scatter_add", scatter_kernel},
    {"one_hot",
     [](const KernelRequest& r) {
       return for_index(r.in[0].dtype, [&](auto index) { return one_hot_of<decltype(index)>(r); });
     }},
};

}  // namespace

std::span<const NamedMaker> index_makers() { return makers; }

}  // namespace thalweg
