// SPDX-License-Identifier: Apache-2.0
// Random numbers: element k of step s is a function of (k, s, seed, key), so threads and blocks cannot matter.
#include <algorithm>
#include <array>
#include <span>
#include <tuple>

#include "thalweg/graph/philox.h"
#include "thalweg/lib/base/tensor.h"
#include "thalweg/lib/kernels/makers.h"
#include "thalweg/lib/kernels/simd.h"
#include "thalweg/ops/random.h"

namespace thalweg {
namespace {

PhiloxKey key_of(const KernelRequest& request) {
  return philox_key(static_cast<std::uint64_t>(request.node.attrs.integer("seed")),
                    static_cast<std::uint64_t>(request.node.attrs.integer("key")));
}

/// block(in) is asked for a few elements of the result at a time, which are rounded to the dtype once.
template <class F>
std::unique_ptr<Kernel> filled_by_block(const KernelRequest& request, std::string_view name, F block) {
  const DType dtype = request.out[0].dtype;
  const std::size_t elements = count(request.out[0].elements());
  const int threads = request.threads;
  return kernel_of(name, 0, [=](const void* const* in, void* const* out, void*) {
    const auto fill = block(in);
    parallel_for(threads, elements, grain_of(16), [&](std::size_t begin, std::size_t end, std::size_t) {
      std::array<double, std::tuple_size_v<PhiloxBlock::value_type>> numbers;
      for (std::size_t first = begin; first < end; first += numbers.size()) {
        const std::span some(numbers.data(), std::min(numbers.size(), end - first));
        fill(first, some);
        store_numbers(dtype, some, output<std::byte>(out) + first * size_of(dtype));
      }
    });
  });
}

/// Element k of the result is number(in)(k).
template <class F>
std::unique_ptr<Kernel> filled(const KernelRequest& request, std::string_view name, F number) {
  return filled_by_block(request, name, [=](const void* const* in) {
    return [number_at = number(in)](std::size_t first, std::span<double> out) {
      for (std::size_t i = 0; i < out.size(); ++i) out[i] = number_at(first + i);
    };
  });
}

/// Fills the result with draw(first word of the element).
template <class F>
std::unique_ptr<Kernel> drawn_from_one(const KernelRequest& request, std::string_view name, F draw) {
  constexpr std::size_t block = 256;
  const PhiloxKey key = key_of(request);
  const DType dtype = request.out[0].dtype;
  const std::size_t elements = count(request.out[0].elements());
  const int threads = request.threads;
  return kernel_of(name, 0, [=](const void* const* in, void* const* out, void*) {
    const auto step = static_cast<std::uint64_t>(*input<std::int64_t>(in, 0));
    parallel_for(threads, elements, grain_of(4), [&](std::size_t begin, std::size_t end, std::size_t) {
      std::array<std::uint32_t, block> words;
      std::array<double, block> numbers;
      for (std::size_t first = begin; first < end; first += block) {
        const std::size_t n = std::min(block, end - first);
        simd().philox_first(first, step, key.data(), words.data(), n);
        if (dtype == DType::f32) {
          float* to = output<float>(out) + first;
          for (std::size_t i = 0; i < n; ++i) to[i] = static_cast<float>(draw(words[i]));
          continue;
        }
        for (std::size_t i = 0; i < n; ++i) numbers[i] = draw(words[i]);
        store_numbers(dtype, std::span(numbers.data(), n), output<std::byte>(out) + first * size_of(dtype));
      }
    });
  });
}

std::unique_ptr<Kernel> uniform_kernel(const KernelRequest& r) {
  const double low = r.node.attrs.real("low"), high = r.node.attrs.real("high");
  return drawn_from_one(r, "random_uniform", [=](std::uint32_t w) { return low + (high - low) * uniform24(w); });
}
std::unique_ptr<Kernel> normal_kernel(const KernelRequest& r) {
  const double mean = r.node.attrs.real("mean"), stddev = r.node.attrs.real("stddev");
  return filled_by_block(r, "random_normal", [=, key = key_of(r)](const void* const* in) {
    const auto step = static_cast<std::uint64_t>(*input<std::int64_t>(in, 0));
    return [=](std::size_t first, std::span<double> out) {
      const PhiloxBlock words = philox_block(first, step, key);
      normals_of(words[0].data(), words[1].data(), out.data(), out.size());
      for (double& x : out) x = mean + stddev * x;
    };
  });
}
std::unique_ptr<Kernel> bernoulli_kernel(const KernelRequest& r) {
  const double p = r.node.attrs.real("p");
  return drawn_from_one(r, "bernoulli", [=](std::uint32_t w) { return uniform24(w) < p ? 1.0 : 0.0; });
}

/// Fills the result with draw(words of the element), sample by sample.
template <class F>
std::unique_ptr<Kernel> drawn_for_samples(const KernelRequest& request, std::string_view name, F draw) {
  const std::size_t each = count(request.out[0].elements()) / count(request.in[0].elements());
  return filled(request, name, [=, key = key_of(request)](const void* const* in) {
    const auto* ids = input<std::int64_t>(in, 0);
    const auto epoch = static_cast<std::uint64_t>(*input<std::int64_t>(in, 1));
    return [=](std::size_t k) {
      return draw(SampleWords{key, static_cast<std::uint64_t>(ids[k / each]), epoch, k % each});
    };
  });
}

std::unique_ptr<Kernel> sample_uniform_kernel(const KernelRequest& r) {
  const double low = r.node.attrs.real("low"), high = r.node.attrs.real("high");
  return drawn_for_samples(r, "sample_uniform",
                           [=](const SampleWords& w) { return low + (high - low) * uniform24(w(0)[0]); });
}
std::unique_ptr<Kernel> sample_normal_kernel(const KernelRequest& r) {
  const double mean = r.node.attrs.real("mean"), stddev = r.node.attrs.real("stddev");
  return drawn_for_samples(r, "sample_normal", [=](const SampleWords& words) {
    const PhiloxCounter w = words(0);
    return mean + stddev * normal_of(w[0], w[1]);
  });
}
std::unique_ptr<Kernel> sample_beta_kernel(const KernelRequest& r) {
  const double alpha = r.node.attrs.real("alpha");
  return drawn_for_samples(r, "sample_beta", [=](const SampleWords& w) { return beta_of(w, alpha); });
}

constexpr NamedMaker makers[] = {{"random_uniform", uniform_kernel},
                                 {"random_normal", normal_kernel},
                                 {"bernoulli", bernoulli_kernel},
                                 {"sample_uniform", sample_uniform_kernel},
                                 {"sample_normal", sample_normal_kernel},
                                 {"sample_beta", sample_beta_kernel}};

}  // namespace

std::span<const NamedMaker> random_makers() { return makers; }

}  // namespace thalweg
