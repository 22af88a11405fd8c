// SPDX-License-Identifier: Apache-2.0
#include "thalweg/lib/kernels/product_code.h"

#include "thalweg/lib/kernels/makers.h"
#include "thalweg/lib/kernels/vector_code.h"

#if defined(__x86_64__)
#include "thalweg/lib/kernels/product_writer.h"
#endif

namespace thalweg {

bool is_small_product(std::size_t m, std::size_t n, std::size_t k) {
  // Up to this it wins against every other kernel, by the table in lib/compile/candidates.cpp.
  constexpr std::size_t most_work = 64 * 64 * 64, widest = 512;
  return m > 0 && n > 0 && k > 0 && n <= widest && k <= 4096 && m <= 4096 && m * n * k <= most_work;
}

#if defined(__x86_64__)
namespace {

class ProductKernel final : public Kernel {
 public:
  explicit ProductKernel(const ProductShape& shape) : shape_(shape), writer_(shape), function_(writer_.entry()) {}
  void run(const void* const* in, void* const* out, void* scratch) const override {
    function_(input<float>(in, 0), input<float>(in, 1),
              shape_.end.bias || shape_.end.gate ? input<float>(in, 2) : nullptr, output<float>(out),
              shape_.end.column_sums ? output<float>(out, 1) : static_cast<float*>(scratch));
  }
  std::size_t scratch_bytes() const override {
    if (!shape_.packs()) return 0;
    return static_cast<std::size_t>(shape_.k * shape_.vectors() * VectorWriter::vector_bytes);
  }
  std::string name() const override {
    return std::string("own:product") + (shape_.end.bias ? "+bias" : "") + (shape_.end.relu ? "+relu" : "") +
           (shape_.end.leaky_slope ? "+leaky_relu" : "") + (shape_.end.gate ? "+gate" : "") +
           (shape_.end.column_sums ? "+column_sums" : "");
  }

 private:
  ProductShape shape_;
  ProductWriter writer_;
  ProductFunction function_;
};

}  // namespace

std::unique_ptr<Kernel> small_product(const KernelRequest& request, const ProductEnd& end) {
  if (!request.generate || !has_generated_loops()) return nullptr;
  const Shape &a = request.in[0].shape, &b = request.in[1].shape;
  const bool ta = request.node.attrs.flag("ta"), tb = request.node.attrs.flag("tb");
  if (request.in[0].dtype != DType::f32 || b.rank() != 2 || (a.rank() > 2 && ta)) return nullptr;
  const std::size_t k = count(tb ? b.back() : b[0]), n = count(tb ? b[0] : b.back());
  const std::size_t m = k == 0 ? 0 : count(a.elements()) / k;
  if (!is_small_product(m, n, k) || (end.column_sums && tb)) return nullptr;
  const auto number = [](std::size_t x) { return static_cast<int>(x); };
  const ProductShape shape{.m = number(m), .n = number(n), .k = number(k),
                           .a_row = ta ? 1 : number(k), .a_column = ta ? number(m) : 1,
                           .b_row = tb ? 1 : number(n), .b_column = tb ? number(k) : 1, .end = end};
  try {
    return std::make_unique<ProductKernel>(shape);
  } catch (const Xbyak::Error&) {
    return nullptr;
  }
}

#else

std::unique_ptr<Kernel> small_product(const KernelRequest&, const ProductEnd&) { return nullptr; }

#endif

}  // namespace thalweg
