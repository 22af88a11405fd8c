// SPDX-License-Identifier: Apache-2.0
#include "thalweg/lib/onednn/lower.h"

#include <algorithm>
#include <array>

#include "thalweg/graph/opdef.h"
#include "thalweg/lib/onednn/families.h"
#include "thalweg/lib/onednn/primitive.h"
#include "thalweg/lib/onednn/version.h"
#include "thalweg/ops/conv.h"

namespace thalweg::onednn {
namespace {

bool dtypes_fit(const KernelRequest& request) {
  const DType dtype = request.out[0].dtype;
  if (dtype != DType::f32 && !(dtype == DType::bf16 && multiplies_bf16())) return false;
  const auto fits = [&](const TensorType& type) { return type.dtype == dtype; };
  return std::all_of(request.in.begin(), request.in.end(), fits) &&
         std::all_of(request.out.begin(), request.out.end(), fits);
}

bool suits_winograd(const KernelRequest& request) {
  constexpr Dim least = 64, lanes = 16;
  const std::string_view op = request.node.op->name;
  if (!has_wide_kernels() || !op.starts_with("conv2d") || request.out[0].dtype != DType::f32 || !dtypes_fit(request))
    return false;
  const bool backward = op == "conv2d_backward_data";
  const Shape& x = backward ? request.out[0].shape : request.in[0].shape;
  const Shape& w = op == "conv2d_backward_weights" ? request.out[0].shape : request.in[1].shape;
  const ConvGeometry g = conv_geometry(request.node.attrs, x, w);
  const std::array<Dim, 2> ones{1, 1};
  const auto wide = [](Dim channels) { return channels >= least && channels % lanes == 0; };
  return w[0] == 3 && w[1] == 3 && g.stride == ones && g.dilation == ones && wide(w[2]) && wide(w[3]) &&
         request.node.attrs.integer("groups") == 1 && sizes_are_safe(request);
}

/// The kernel of one of a convolution's three ops.
std::unique_ptr<Kernel> convolution(const KernelRequest& request, const Epilogue& epilogue, Algorithm algorithm) {
  const std::string_view op = request.node.op->name;
  if (op == "conv2d") return conv2d_kernel(request, epilogue, algorithm);
  if (op == "conv2d_backward_data") return conv2d_backward_data_kernel(request, algorithm);
  if (op == "conv2d_backward_weights") return conv2d_backward_weights_kernel(request, algorithm);
  return nullptr;
}

/// What `make` returns; null where oneDNN has no such primitive.
template <class Make>
std::unique_ptr<Kernel> unless_missing(const Node& node, Make make) {
  try {
    return make();
  } catch (const dnnl::error& error) {
    // "unimplemented" means that another kernel must do it; anything else is a fault.
    if (error.status == dnnl_unimplemented || error.status == dnnl_invalid_arguments) return nullptr;
    rethrow(error, node);
  }
}

}  // namespace

bool multiplies_bf16() { return may_use(Level::avx512_core_bf16); }
bool has_wide_kernels() { return may_use(Level::avx512_core); }

bool takes_epilogue(const Node& node, const TensorType& result) {
  return result.dtype == DType::f32 && (node.op->name == "matmul" || node.op->name == "conv2d");
}

std::unique_ptr<Kernel> kernel(const KernelRequest& request, const Epilogue& epilogue) {
  if (!dtypes_fit(request) || !sizes_are_safe(request) || epilogue.slope == 0.0) return nullptr;
  return unless_missing(request.node, [&] {
    return request.node.op->name == "matmul" ? matmul_kernel(request, epilogue)
                                             : convolution(request, epilogue, Algorithm::direct);
  });
}

std::unique_ptr<Kernel> winograd_kernel(const KernelRequest& request, const Epilogue& epilogue) {
  if (!suits_winograd(request) || epilogue.slope == 0.0) return nullptr;
  return unless_missing(request.node, [&] { return convolution(request, epilogue, Algorithm::winograd); });
}

}  // namespace thalweg::onednn
