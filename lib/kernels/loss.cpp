// SPDX-License-Identifier: Apache-2.0
// Checks of targets, and CTC: sample by sample, in double.
#include <algorithm>
#include <cstring>

#include "thalweg/graph/opdef.h"
#include "thalweg/lib/kernels/makers.h"
#include "thalweg/ops/checker.h"
#include "thalweg/ops/ctc_lattice.h"

namespace thalweg {
namespace {

template <class T>
std::unique_ptr<Kernel> check_of(const KernelRequest& request) {
  const Checker checker(request.node.attrs, request.in[0].shape);
  const std::size_t bytes = request.in[0].bytes();
  return kernel_of("check_target", 0, [=](const void* const* in, void* const* out, void*) {
    const T* x = input<T>(in, 0);
    check_all(checker, [&](std::size_t i) { return static_cast<double>(x[i]); });
    std::memcpy(out[0], in[0], bytes);
  });
}

/// Calls f(lattice, sample, log probability) for samples that have alignments, g(sample) for the others.
template <class T, class F, class G>
void each_sample(const CtcSizes& sizes, std::size_t samples, int threads, const void* const* in, void* scratch, F f,
                 G g) {
  // A state of a frame costs a few exponentials.
  const std::size_t work = sizes.frames * (sizes.classes + 2 * sizes.labels + 1) * 16;
  parallel_for(threads, samples, grain_of(work), [&](std::size_t begin, std::size_t end, std::size_t worker) {
    double* memory = static_cast<double*>(scratch) + worker *
        rounded_up(sizes.memory() * sizeof(double)) / sizeof(double);
    for (std::size_t n = begin; n < end; ++n) {
      const std::int32_t* labels = input<std::int32_t>(in, 1) + n * sizes.labels;
      const std::int32_t input_length = input<std::int32_t>(in, 2)[n], label_length = input<std::int32_t>(in, 3)[n];
      if (!sizes.check(n, labels, input_length, label_length)) {
        g(n);
        continue;
      }
      CtcLattice<double> lattice(sizes, memory, labels, input_length, label_length);
      const T* x = input<T>(in, 0) + n * sizes.frames * sizes.classes;
      const double log_probability = lattice.forward(
          [&](std::size_t t, std::size_t k) { return static_cast<double>(x[t * sizes.classes + k]); });
      f(lattice, n, log_probability);
    }
  });
}

std::size_t ctc_scratch(const CtcSizes& sizes, std::size_t samples, int threads) {
  const std::size_t work = sizes.frames * (sizes.classes + 2 * sizes.labels + 1) * 16;
  return rounded_up(sizes.memory() * sizeof(double)) *
         static_cast<std::size_t>(parts_of(threads, samples, grain_of(work)));
}

template <class T>
std::unique_ptr<Kernel> ctc_forward(const KernelRequest& request) {
  const CtcSizes sizes(request.node.attrs, request.in[0].shape, request.in[1].shape);
  const std::size_t samples = count(request.in[0].shape[0]);
  const int threads = request.threads;
  return kernel_of("ctc", ctc_scratch(sizes, samples, threads),
      [=](const void* const* in, void* const* out, void* scratch) {
    T* loss = output<T>(out);
    each_sample<T>(sizes, samples, threads, in, scratch,
                   [&](auto&, std::size_t n, double log_p) { loss[n] = static_cast<T>(-log_p); },
                   [&](std::size_t n) { loss[n] = 0; });
  });
}

template <class T>
std::unique_ptr<Kernel> ctc_backward(const KernelRequest& request) {
  const CtcSizes sizes(request.node.attrs, request.in[0].shape, request.in[1].shape);
  const std::size_t samples = count(request.in[0].shape[0]), each = sizes.frames * sizes.classes;
  const int threads = request.threads;
  return kernel_of("ctc_backward", ctc_scratch(sizes, samples, threads),
                   [=](const void* const* in, void* const* out, void* scratch) {
    T* dx = output<T>(out);
    each_sample<T>(sizes, samples, threads, in, scratch,
                   [&](auto& lattice, std::size_t n, double log_p) {
                     std::fill_n(dx + n * each, each, T(0));  // frames beyond the length
                     const auto dy = static_cast<double>(input<T>(in, 4)[n]);
                     lattice.backward(log_p, [&](std::size_t t, std::size_t k, double slope) {
                       dx[n * each + t * sizes.classes + k] = static_cast<T>(dy * slope);
                     });
                   },
                   [&](std::size_t n) { std::fill_n(dx + n * each, each, T(0)); });
  });
}

constexpr NamedMaker makers[] = {THALWEG_MAKER("check_target", check_of), THALWEG_MAKER("ctc", ctc_forward),
                                 THALWEG_MAKER("ctc_backward", ctc_backward)};

}  // namespace

std::span<const NamedMaker> loss_makers() { return makers; }

}  // namespace thalweg
