// SPDX-License-Identifier: Apache-2.0
// Kernels that only move elements.
#include <algorithm>
#include <array>
#include <cstring>
#include <vector>

#include "thalweg/lib/base/tensor.h"
#include "thalweg/lib/kernels/makers.h"
#include "thalweg/lib/kernels/strided_copy.h"

namespace thalweg {
namespace {

std::unique_ptr<Kernel> reshape_kernel(const KernelRequest& request) {
  const std::size_t bytes = request.out[0].bytes();
  const int threads = request.threads;
  return kernel_of("reshape", 0, [=](const void* const* in, void* const* out, void*) {
    const auto* from = input<std::byte>(in, 0);
    auto* to = output<std::byte>(out);
    if (from == to) return;
    parallel_for(threads, bytes, std::size_t{1} << 18, [&](std::size_t begin, std::size_t end, std::size_t) {
      std::memcpy(to + begin, from + begin, end - begin);
    });
  });
}

std::vector<std::ptrdiff_t> signed_strides(const Shape& shape) {
  std::vector<std::ptrdiff_t> strides;
  for (const Dim stride : strides_of(shape)) strides.push_back(static_cast<std::ptrdiff_t>(stride));
  return strides;
}

std::unique_ptr<Kernel> transpose_kernel(const KernelRequest& request) {
  const std::vector<std::ptrdiff_t> from = signed_strides(request.in[0].shape), to = signed_strides(request.out[0].shape);
  const std::vector<Dim>& order = request.node.attrs.integers("perm");
  std::vector<StridedCopy::Axis> axes;
  for (std::size_t axis = 0; axis < to.size(); ++axis) {
    const std::size_t source = normal_axis(order.empty() ? static_cast<Dim>(to.size() - 1 - axis) : order[axis], to.size());
    axes.push_back({count(request.out[0].shape[axis]), from[source], to[axis]});
  }
  const StridedCopy copy(axes, size_of(request.out[0].dtype), request.threads);
  return kernel_of("transpose", 0, [copy](const void* const* in, void* const* out, void*) { copy.run(in[0], out[0]); });
}

std::unique_ptr<Kernel> slice_kernel(const KernelRequest& request) {
  const std::vector<std::ptrdiff_t> from = signed_strides(request.in[0].shape), to = signed_strides(request.out[0].shape);
  const std::vector<Dim>&starts = request.node.attrs.integers("starts"), &steps = request.node.attrs.integers("strides");
  std::vector<StridedCopy::Axis> axes;
  std::ptrdiff_t first = 0;
  for (std::size_t axis = 0; axis < to.size(); ++axis) {
    const std::ptrdiff_t step = steps.empty() ? 1 : static_cast<std::ptrdiff_t>(steps[axis]);
    axes.push_back({count(request.out[0].shape[axis]), from[axis] * step, to[axis]});
    first += starts[axis] * from[axis];
  }
  const std::size_t bytes = size_of(request.out[0].dtype);
  const StridedCopy copy(axes, bytes, request.threads);
  const std::size_t offset = static_cast<std::size_t>(first) * bytes;
  return kernel_of("slice", 0, [copy, offset](const void* const* in, void* const* out, void*) {
    copy.run(input<std::byte>(in, 0) + offset, out[0]);
  });
}

/// Fills n elements of `bytes` with the one at `element`.
void fill(std::byte* to, std::size_t n, const std::byte* element, std::size_t bytes, int threads) {
  parallel_for(threads, n, grain_of(1), [&](std::size_t begin, std::size_t end, std::size_t) {
    std::memcpy(to + begin * bytes, element, bytes);
    // What is filled doubles, so that every element size is copied fast.
    for (std::size_t done = 1; done < end - begin; done *= 2)
      std::memcpy(to + (begin + done) * bytes, to + begin * bytes, std::min(done, end - begin - done) * bytes);
  });
}

std::unique_ptr<Kernel> pad_kernel(const KernelRequest& request) {
  const std::vector<std::ptrdiff_t> from = signed_strides(request.in[0].shape), to = signed_strides(request.out[0].shape);
  const std::vector<Dim>&low = request.node.attrs.integers("low"), &interior = request.node.attrs.integers("interior");
  std::vector<StridedCopy::Axis> axes;
  std::ptrdiff_t first = 0;
  for (std::size_t axis = 0; axis < to.size(); ++axis) {
    const std::ptrdiff_t step = interior.empty() ? 1 : static_cast<std::ptrdiff_t>(interior[axis] + 1);
    axes.push_back({count(request.in[0].shape[axis]), from[axis], to[axis] * step});
    if (!low.empty()) first += static_cast<std::ptrdiff_t>(low[axis]) * to[axis];
  }
  const std::size_t bytes = size_of(request.out[0].dtype), elements = count(request.out[0].elements());
  const StridedCopy copy(axes, bytes, request.threads);
  const std::size_t offset = static_cast<std::size_t>(first) * bytes;
  std::array<std::byte, 8> value{};
  const double number = request.node.attrs.real("value");
  store_numbers(request.out[0].dtype, {&number, 1}, value.data());
  const int threads = request.threads;
  return kernel_of("pad", 0, [=](const void* const* in, void* const* out, void*) {
    fill(output<std::byte>(out), elements, value.data(), bytes, threads);
    copy.run(in[0], output<std::byte>(out) + offset);
  });
}

std::unique_ptr<Kernel> concat_kernel(const KernelRequest& request) {
  const Shape& shape = request.out[0].shape;
  const std::size_t axis = normal_axis(request.node.attrs.integer("axis"), shape.rank());
  std::size_t outer = 1;
  for (std::size_t i = 0; i < axis; ++i) outer *= count(shape[i]);
  const std::size_t row = request.out[0].bytes() / outer;
  struct Part {
    std::size_t bytes, offset;
  };
  std::vector<Part> parts;
  std::size_t offset = 0;
  for (const TensorType& type : request.in) {
    parts.push_back({type.bytes() / outer, offset});
    offset += parts.back().bytes;
  }
  const int threads = request.threads;
  return kernel_of("concat", 0, [=](const void* const* in, void* const* out, void*) {
    parallel_for(threads, outer, grain_of(row / 4), [&](std::size_t begin, std::size_t end, std::size_t) {
      for (std::size_t r = begin; r < end; ++r)
        for (std::size_t i = 0; i < parts.size(); ++i)
          std::memcpy(output<std::byte>(out) + r * row + parts[i].offset, input<std::byte>(in, i) + r * parts[i].bytes,
                      parts[i].bytes);
    });
  });
}

constexpr NamedMaker makers[] = {{"reshape", reshape_kernel},
                                 {"transpose", transpose_kernel},
                                 {"slice", slice_kernel},
                                 {"pad", pad_kernel},
                                 {"concat", concat_kernel}};

}  // namespace

std::span<const NamedMaker> movement_makers() { return makers; }

}  // namespace thalweg
