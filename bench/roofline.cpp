// SPDX-License-Identifier: Apache-2.0
#include "roofline.h"

#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstdint>
#include <map>
#include <numeric>

#include "thalweg/lib/base/tensor.h"
#include "thalweg/lib/base/threads.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "bench/roofline.cpp"
#include "hwy/foreach_target.h"
//
#include "hwy/highway.h"
#include "thalweg/lib/kernels/target.h"

HWY_BEFORE_NAMESPACE();
namespace thalweg::bench {
namespace HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

const char* instructions() { return hwy::TargetName(HWY_TARGET); }

/// Multiply-adds on ten independent registers: enough to hide their latency, few enough for sixteen registers. They
/// start from ten different numbers, or a compiler would make one of them all. Returns the operations done; `sum` is
/// their sum.
double multiply_adds(std::size_t rounds, const float* starts, float* sum) {
  const hn::ScalableTag<float> d;
  const auto a = hn::Set(d, 0.999F), b = hn::Set(d, 0.001F);
  auto x0 = hn::Set(d, starts[0]), x1 = hn::Set(d, starts[1]), x2 = hn::Set(d, starts[2]), x3 = hn::Set(d, starts[3]),
       x4 = hn::Set(d, starts[4]), x5 = hn::Set(d, starts[5]), x6 = hn::Set(d, starts[6]), x7 = hn::Set(d, starts[7]),
       x8 = hn::Set(d, starts[8]), x9 = hn::Set(d, starts[9]);
  for (std::size_t i = 0; i < rounds; ++i) {
    x0 = hn::MulAdd(x0, a, b);
    x1 = hn::MulAdd(x1, a, b);
    x2 = hn::MulAdd(x2, a, b);
    x3 = hn::MulAdd(x3, a, b);
    x4 = hn::MulAdd(x4, a, b);
    x5 = hn::MulAdd(x5, a, b);
    x6 = hn::MulAdd(x6, a, b);
    x7 = hn::MulAdd(x7, a, b);
    x8 = hn::MulAdd(x8, a, b);
    x9 = hn::MulAdd(x9, a, b);
  }
  const auto all = hn::Add(hn::Add(hn::Add(x0, x1), hn::Add(x2, x3)), hn::Add(hn::Add(x4, x5), hn::Add(x6, x7)));
  *sum = hn::GetLane(hn::Add(all, hn::Add(x8, x9)));
  return 2.0 * 10.0 * static_cast<double>(hn::Lanes(d)) * static_cast<double>(rounds);
}

/// x = a * x + b; n is a multiple of four vectors.
void scale_in_place(float* x, std::size_t n) {
  const hn::ScalableTag<float> d;
  const std::size_t lanes = hn::Lanes(d);
  const auto a = hn::Set(d, 0.999F), b = hn::Set(d, 0.001F);
  for (std::size_t i = 0; i < n; i += 4 * lanes)
    for (std::size_t k = 0; k < 4; ++k) {
      float* const p = x + i + k * lanes;
      hn::Store(hn::MulAdd(hn::Load(d, p), a, b), d, p);
    }
}

}  // namespace HWY_NAMESPACE
}  // namespace thalweg::bench
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace thalweg::bench {
namespace {

THALWEG_VARIANTS(instructions);
THALWEG_VARIANTS(multiply_adds);
THALWEG_VARIANTS(scale_in_place);

/// The shortest of many runs of `work` within `budget` seconds.
template <class F>
double shortest(double budget, F&& work) {
  using Clock = std::chrono::steady_clock;
  const auto seconds = [](Clock::duration d) { return std::chrono::duration<double>(d).count(); };
  const auto begin = Clock::now();
  double best = 1e30;
  for (auto now = begin; seconds(now - begin) < budget;) {
    work();
    const auto after = Clock::now();
    best = std::min(best, seconds(after - now));
    now = after;
  }
  return best;
}

double measured_flops(int threads) {
  constexpr std::size_t rounds = 200'000;
  std::vector<double> operations(static_cast<std::size_t>(threads) * 8);  // a cache line each
  std::vector<float> starts(10);
  std::iota(starts.begin(), starts.end(), 1.0F);
  const double time = shortest(0.2, [&] {
    parallel_for(threads, static_cast<std::size_t>(threads), [&](std::size_t, std::size_t, std::size_t worker) {
      float sum = 0;
      const double done = THALWEG_CHOSEN(multiply_adds)(rounds, starts.data(), &sum);
      operations[worker * 8] = done + 0 * static_cast<double>(sum);
    });
  });
  return static_cast<double>(threads) * operations[0] / time;
}

double measured_bandwidth(int threads, std::size_t footprint) {
  constexpr std::size_t unit = 1024;  // floats: a multiple of four of the widest vectors
  const std::size_t units = footprint / sizeof(float) / unit;
  Tensor tensor(TensorType{DType::f32, Shape{static_cast<Dim>(units * unit)}});
  float* const x = tensor.as<float>().data();
  // A small footprint is run over many times in one timing, so that the clock and the fork cost nothing.
  const std::size_t times = std::max<std::size_t>(1, (std::size_t{8} << 20) / footprint);
  const double time = shortest(footprint > (std::size_t{8} << 20) ? 0.25 : 0.06, [&] {
    parallel_for(threads, units, [&](std::size_t begin, std::size_t end, std::size_t) {
      for (std::size_t k = 0; k < times; ++k)
        THALWEG_CHOSEN(scale_in_place)(x + begin * unit, (end - begin) * unit);
    });
  });
  return 2.0 * static_cast<double>(units * unit * sizeof(float) * times) / time;
}

Roofline measured(int threads) {
  Roofline r;
  r.threads = threads;
  r.instructions = THALWEG_CHOSEN(instructions)();
  r.flops = measured_flops(threads);
  for (std::size_t kib = 16; kib <= 131072; kib *= 4) {
    const std::size_t footprint = kib * 1024 * static_cast<std::size_t>(kib < 1024 ? threads : 1);
    r.in_place.emplace_back(footprint, measured_bandwidth(threads, footprint));
  }
  return r;
}

}  // namespace

double Roofline::bandwidth(std::size_t footprint) const {
  const auto above =
      std::find_if(in_place.begin(), in_place.end(), [&](const auto& p) { return p.first >= footprint; });
  if (above == in_place.begin()) return above->second;
  if (above == in_place.end()) return in_place.back().second;
  const auto below = above - 1;
  const double low = std::log(static_cast<double>(below->first)), high = std::log(static_cast<double>(above->first));
  const double share = (std::log(static_cast<double>(footprint)) - low) / (high - low);
  return below->second + share * (above->second - below->second);
}

double Roofline::bound(double operations, std::size_t bytes) const {
  const double compute = operations / flops;
  return bytes == 0 ? compute : std::max(compute, static_cast<double>(bytes) / bandwidth(bytes));
}

const Roofline& roofline(int threads) {
  static std::map<int, Roofline> known;
  const auto found = known.find(threads);
  return found != known.end() ? found->second : known.emplace(threads, measured(threads)).first->second;
}

}  // namespace thalweg::bench
#endif
