// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <vector>

#include "thalweg/graph/eval.h"
#include "thalweg/lib/kernels/makers.h"
#include "thalweg/lib/kernels/simd.h"

namespace thalweg {
namespace {

constexpr std::size_t block_rows = 32;
constexpr std::size_t block_columns = 256;

std::size_t blocks_of(std::size_t n, std::size_t block) { return (n + block - 1) / block; }

/// Where each matrix of the broadcast batch starts in an operand, in elements.
std::vector<std::size_t> starts(const Shape& operand, const Shape& result) {
  const auto batch = [](const Shape& s) { return Shape(std::span(s.begin(), s.rank() - 2)); };
  std::vector<std::size_t> at = Eval<double>::spread(batch(operand), batch(result));
  const std::size_t each = count(operand[operand.rank() - 2]) * count(operand.back());
  for (std::size_t& start : at) start *= each;
  return at;
}

template <class T>
std::unique_ptr<Kernel> matmul_of(const KernelRequest& request, MatmulFunction<T> product) {
  const bool ta = request.node.attrs.flag("ta"), tb = request.node.attrs.flag("tb");
  const Shape &a = request.in[0].shape, &y = request.out[0].shape;
  const std::size_t m = count(y[y.rank() - 2]), n = count(y.back());
  const std::size_t k = count(ta ? a[a.rank() - 2] : a.back());
  const std::vector<std::size_t> at_a = starts(a, y), at_b = starts(request.in[1].shape, y);
  const std::size_t down = blocks_of(m, block_rows), across = blocks_of(n, block_columns);
  const std::size_t tasks = at_a.size() * down * across;
  const std::size_t each = std::min(m, block_rows) * std::min(n, block_columns) * k / 8 + 1;
  const std::size_t grain = grain_of(each);
  const int threads = request.threads;
  const std::size_t room = matmul_room * sizeof(T);
  const auto workers = static_cast<std::size_t>(parts_of(threads, tasks, grain));
  return kernel_of("matmul", workers * room, [=](const void* const* in, void* const* out, void* scratch) {
    const T *pa = input<T>(in, 0), *pb = input<T>(in, 1);
    T* py = output<T>(out);
    const auto signed_of = [](std::size_t i) { return static_cast<std::ptrdiff_t>(i); };
    const auto row_a = signed_of(ta ? 1 : k), column_a = signed_of(ta ? m : 1);
    const auto row_b = signed_of(tb ? 1 : n), column_b = signed_of(tb ? k : 1);
    parallel_for(threads, tasks, grain, [&](std::size_t begin, std::size_t end, std::size_t worker) {
      T* own_room = reinterpret_cast<T*>(static_cast<std::byte*>(scratch) + worker * room);
      for (std::size_t task = begin; task < end; ++task) {
        const std::size_t j = task % across * block_columns, i = task / across % down * block_rows;
        const std::size_t item = task / across / down;
        const Panel<const T> left{pa + at_a[item] + signed_of(i) * row_a, row_a, column_a};
        const Panel<const T> right{pb + at_b[item] + signed_of(j) * column_b, row_b, column_b};
        product(std::min(block_rows, m - i), std::min(block_columns, n - j), k, left, right,
                py + (item * m + i) * n + j, signed_of(n), own_room);
      }
    });
  });
}

std::unique_ptr<Kernel> matmul_kernel(const KernelRequest& request) {
  if (request.in[0].dtype == DType::f32) return matmul_of<float>(request, simd().matmul_f32);
  if (request.in[0].dtype == DType::f64) return matmul_of<double>(request, simd().matmul_f64);
  return nullptr;
}

constexpr NamedMaker makers[] = {{"matmul", matmul_kernel}};

}  // namespace

std::span<const NamedMaker> matmul_makers() { return makers; }

}  // namespace thalweg
