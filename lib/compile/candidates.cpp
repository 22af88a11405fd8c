// SPDX-License-Identifier: Apache-2.0
// Which kernel computes a heavy op: every candidate reads and writes plain, channels-last tensors, so each node can
// choose for itself.
#include <algorithm>
#include <chrono>
#include <cstring>
#include <limits>
#include <map>
#include <mutex>
#include <new>

#include "thalweg/graph/fail.h"
#include "thalweg/graph/opdef.h"
#include "thalweg/graph/print.h"
#include "thalweg/lib/base/block.h"
#include "thalweg/lib/base/threads.h"
#include "thalweg/lib/compile/planning.h"
#include "thalweg/lib/kernels/conv_code.h"
#include "thalweg/lib/kernels/lane_convolution.h"
#include "thalweg/lib/kernels/own.h"
#include "thalweg/lib/kernels/packed_product.h"
#include "thalweg/lib/kernels/product_code.h"
#include "thalweg/lib/kernels/tiled.h"
#include "thalweg/lib/kernels/wide_convolution.h"
#include "thalweg/lib/onednn/lower.h"

namespace thalweg {
namespace {

std::unique_ptr<Kernel> written(const KernelRequest& request, const Epilogue& epilogue) {
  ProductEnd end{.bias = epilogue.bias};
  end.relu = epilogue.slope == 0.0;
  if (!end.relu) end.leaky_slope = epilogue.slope;
  return is(request.node, "matmul") ? small_product(request, end) : small_convolution(request, end);
}

bool is_timed(const Node& node) {
  return is(node, "matmul") || node.op->name.starts_with("conv2d");
}

/// Whether oneDNN's convolution wins against the tiles though it lays the weights out anew in each step: its kernels for
/// AVX-512, with many channels.
bool suits_onednn(const KernelRequest& request) {
  constexpr Dim many = 128;
  const auto has_many = [](const TensorType& type) { return type.shape.rank() == 4 && type.shape.back() >= many; };
  return onednn::has_wide_kernels() && (std::any_of(request.in.begin(), request.in.end(), has_many) ||
                                        has_many(request.out[0]));
}

/// Whether packed products win even where code is written for small sizes, which is for AVX2.
bool packs_before_all(const KernelRequest& request) {
  return onednn::has_wide_kernels() && request.layout && !request.tune && is(request.node, "matmul") &&
         prefers_packed_product(request);
}

using Maker = std::unique_ptr<Kernel> (*)(const KernelRequest&, const Epilogue&);

/// In the order of preference: samples in lanes where channels are few, packed products where their tiles are written
/// for AVX-512 and filled, code for small sizes, written tiles where weights stay in the caches, packed products where
/// oneDNN has no kernel of its own for the processor or falls behind, tiles that lay nothing out anew, oneDNN, loops that
/// take every shape.
///
/// Measured on Zen 3 (AVX2) with `bench/ops --benchmark_filter=^candidate`: the best GFLOP/s of one thread beside other
/// work. forward / gradient of the data / of the weights.
///
///     product (m n k)        written        packed        oneDNN 2.6.3
///     15 16 4                67 53 69       -             2  2  2
///     16 16 16               84 59 82       53 46 43      8  8  9
///     32 32 32               85 70 87       71 64 63      40 38 43
///     64 64 64               92 81 91       82 81 77      79 76 81
///     96 96 96               -              88 85 81      88 86 90
///     128 128 128            -              87 85 78      90 91 79
///     256 256 256            -              85 84 79      87 87 71
///     128 512 784            -              82 87 78      60 85 59
///
///     convolution, batch 8   tiled          packed        oneDNN 2.6.3
///     32x32 16-16 3x3        84 83 76       -             68 57 62
///     8x8 64-64 3x3          76 82 85       -             78 74 67
///     14x14 256-256 3x3      74 74 61       -             58 71 48
///     7x7 512-512 3x3        53 52 43       -             56 55 33
///     56x56 64-256 1x1       64 50 46       57 55 58      70 55 58
///     14x14 256-1024 1x1     68 76 39       70 75 73      78 78 47
///
/// And on a Xeon with AVX-512 (peak about 178, measured at the same time but for the last block):
///
///     product (m n k)        written        packed        oneDNN 2.6.3
///     32 32 32               70 63 85       137 132 152   79 70 67
///     64 64 64               88 71 87       164 154 163   148 136 128
///     96 96 96               -              167 158 168   164 147 149
///     128 128 128            -              166 156 170   166 157 150
///     256 256 256            -              167 166 173   170 167 156
///     128 512 784            -              163 159 164   150 150 146
///
///     batch: convolution     wide           tiled          oneDNN 2.6.3
///     64: 32x32 16-16 3x3    155 155 -      124 124 144    153 152 153
///     64: 16x16 32-32 3x3    171 171 -      165 164 162    177 177 170
///     64: 8x8 64-64 3x3      179 180 -      174 172 172    188 169 174
///     8: 56x56 64-256 1x1    157 160 -      116 138 84     154 144 82
///     8: 56x56 256-64 1x1    161 157 -      136 113 91     150 143 145
///     8: 28x28 128-128 3x3   135 130 -      156 153 141    174 168 161
///     8: 14x14 256-1024 1x1  142 78  -      154 152 116    161 165 157
///     8: 7x7 512-512 3x3     -              95 97 116      152 144 135
///
///     batch 128              lanes          written
///     28x28 1-6 5x5          77  -   66     51 -  47
///     14x14 6-16 5x5         132 111 -      77 46 79
constexpr Maker makers[] = {
    [](const KernelRequest& r, const Epilogue& e) { return r.layout ? lane_convolution(r, e) : nullptr; },
    [](const KernelRequest& r, const Epilogue& e) { return packs_before_all(r) ? packed_product(r, e) : nullptr; },
    written,
    [](const KernelRequest& r, const Epilogue& e) { return r.layout ? wide_convolution(r, e) : nullptr; },
    [](const KernelRequest& r, const Epilogue& e) -> std::unique_ptr<Kernel> {
      return is_timed(r.node) && r.layout && (r.tune || prefers_packed_product(r)) ? packed_product(r, e) : nullptr;
    },
    [](const KernelRequest& r, const Epilogue& e) -> std::unique_ptr<Kernel> {
      return r.layout && (r.tune || !suits_onednn(r)) ? tiled_convolution(r, e) : nullptr;
    },
    [](const KernelRequest& r, const Epilogue& e) { return onednn::kernel(r, e); },
    [](const KernelRequest& r, const Epilogue& e) { return e.any() ? nullptr : own_kernel(r); },
};

/// What decides how long the candidates take on one machine.
std::string key_of(const KernelRequest& request, const Epilogue& epilogue) {
  std::string key(request.node.op->name);
  for (const Attr& attr : request.node.attrs) key += fmt::format(" {}={}", attr.name, to_string(attr.value));
  for (const TensorType& type : request.in) key += " " + to_string(type);
  return key + fmt::format(" {} {} {} {} {}", request.threads, request.generate, request.layout, epilogue.bias,
                           epilogue.slope ? *epilogue.slope == 0 ? 2 : 1 : 0);
}

/// Memory for a kernel's arguments.
class Room {
 public:
  void* take(std::size_t bytes) {
    blocks_.push_back(block_of(std::max<std::size_t>(bytes, 1)));
    if (!blocks_.back()) throw std::bad_alloc();
    // Written, not only zero: pages that nobody has written are all the same one, which stays in the caches.
    return std::memset(blocks_.back().get(), 0, bytes);
  }

 private:
  std::vector<Block> blocks_;
};

double seconds_of(const Kernel& kernel, const KernelRequest& request, const Epilogue& epilogue) {
  Room room;
  std::vector<const void*> in;
  std::vector<void*> out;
  for (const TensorType& type : request.in) in.push_back(room.take(type.bytes()));
  for (const TensorType& type : request.out) out.push_back(room.take(type.bytes()));
  if (epilogue.bias) in.push_back(room.take(static_cast<std::size_t>(request.out[0].shape.back()) * sizeof(float)));
  void* scratch = room.take(kernel.scratch_bytes());
  const TeamScope team(request.threads);  // as in a step
  double best = std::numeric_limits<double>::infinity();
  for (int k = 0; k < 4; ++k) {
    const auto start = std::chrono::steady_clock::now();
    kernel.run(in.data(), out.data(), scratch);
    const std::chrono::duration<double> taken = std::chrono::steady_clock::now() - start;
    if (k > 0) best = std::min(best, taken.count());  // the first run fills caches and code
  }
  return best;
}

std::size_t fastest(const KernelRequest& request, const Epilogue& epilogue) {
  static std::mutex mutex;
  static std::map<std::string, std::size_t> known;
  const std::scoped_lock lock(mutex);
  const auto [it, fresh] = known.try_emplace(key_of(request, epilogue), 0);
  if (!fresh) return it->second;
  double best = std::numeric_limits<double>::infinity();
  for (std::size_t m = 0; m < std::size(makers); ++m) {
    const std::unique_ptr<Kernel> kernel = makers[m](request, epilogue);
    const double seconds = kernel ? seconds_of(*kernel, request, epilogue) : best;
    if (seconds < best) {
      best = seconds;
      it->second = m;
    }
  }
  return it->second;
}

}  // namespace

std::unique_ptr<Kernel> heavy_kernel(const KernelRequest& request, const Epilogue& epilogue) {
  if (request.winograd) {
    // It wins even where a relu must then be a kernel of its own.
    const bool apart = epilogue.slope == 0.0;
    if (auto kernel = onednn::winograd_kernel(request, apart ? Epilogue{.bias = epilogue.bias} : epilogue))
      return apart ? nullptr : std::move(kernel);
  }
  if (request.tune && is_timed(request.node)) return makers[fastest(request, epilogue)](request, epilogue);
  for (const Maker make : makers)
    if (auto kernel = make(request, epilogue)) return kernel;
  return nullptr;
}

std::unique_ptr<Kernel> any_kernel(const KernelRequest& request) { return heavy_kernel(request, {}); }

}  // namespace thalweg
