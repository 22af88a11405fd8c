// SPDX-License-Identifier: Apache-2.0
#include "thalweg/lib/onednn/lower.h"

#include <algorithm>

#include "thalweg/graph/opdef.h"
#include "thalweg/lib/onednn/families.h"
#include "thalweg/lib/onednn/primitive.h"

namespace thalweg::onednn {
namespace {

bool dtypes_fit(const KernelRequest& request) {
  const DType dtype = request.out[0].dtype;
  if (dtype != DType::f32 && !(dtype == DType::bf16 && multiplies_bf16())) return false;
  const auto fits = [&](const TensorType& type) { return type.dtype == dtype; };
  return std::all_of(request.in.begin(), request.in.end(), fits) &&
         std::all_of(request.out.begin(), request.out.end(), fits);
}

}  // namespace

bool multiplies_bf16() {
  // An instruction set has the bits of all those that it contains.
  constexpr auto needed = static_cast<unsigned>(dnnl_cpu_isa_avx512_core_bf16);
  return (static_cast<unsigned>(dnnl_get_effective_cpu_isa()) & needed) == needed;
}

bool takes_epilogue(const Node& node, const TensorType& result) {
  return result.dtype == DType::f32 && (node.op->name == "matmul" || node.op->name == "conv2d");
}

std::unique_ptr<Kernel> kernel(const KernelRequest& request, const Epilogue& epilogue) {
  if (!dtypes_fit(request) || !sizes_are_safe(request) || epilogue.slope == 0.0) return nullptr;
  const std::string_view op = request.node.op->name;
  try {
    if (op == "matmul") return matmul_kernel(request, epilogue);
    if (op == "conv2d") return conv2d_kernel(request, epilogue);
    if (op == "conv2d_backward_data") return conv2d_backward_data_kernel(request);
    if (op == "conv2d_backward_weights") return conv2d_backward_weights_kernel(request);
  } catch (const dnnl::error& error) {
    // "unimplemented" means that another kernel must do it; anything else is a fault.
    if (error.status == dnnl_unimplemented || error.status == dnnl_invalid_arguments) return nullptr;
    rethrow(error, request.node);
  }
  return nullptr;
}

}  // namespace thalweg::onednn
