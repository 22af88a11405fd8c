// SPDX-License-Identifier: Apache-2.0
#include "thalweg/graph/opdef.h"
#include "thalweg/lib/onednn/epilogue.h"
#include "thalweg/lib/onednn/families.h"

namespace thalweg::onednn {
namespace {

using Dims = dnnl::memory::dims;

/// A matrix operand as oneDNN sees it: leading axes padded with ones to `rank`, the last two swapped by `transposed`.
dnnl::memory::desc matrix(const TensorType& type, std::size_t rank, bool transposed) {
  const std::vector<Dim> own = strides_of(type.shape);
  const std::size_t lead = rank - type.shape.rank();
  Dims dims(rank, 1), strides(rank, type.shape.elements());
  for (std::size_t i = 0; i < type.shape.rank(); ++i) {
    dims[i + lead] = type.shape[i];
    strides[i + lead] = own[i];
  }
  if (transposed) {
    std::swap(dims[rank - 2], dims[rank - 1]);
    std::swap(strides[rank - 2], strides[rank - 1]);
  }
  return {dims, data_type(type.dtype), strides};
}

/// Rows of a batched left operand times one matrix are one tall matrix.
TensorType flat_rows(const TensorType& type) {
  return {type.dtype, Shape{type.elements() / type.shape.back(), type.shape.back()}};
}

}  // namespace

std::unique_ptr<Kernel> matmul_kernel(const KernelRequest& request, const Epilogue& epilogue) {
  const bool ta = request.node.attrs.flag("ta"), tb = request.node.attrs.flag("tb");
  TensorType a = request.in[0], b = request.in[1], result = request.out[0];
  if (b.shape.rank() == 2 && a.shape.rank() > 2 && !ta) {
    a = flat_rows(a);
    result = flat_rows(result);
  }
  const std::size_t rank = result.shape.rank();
  const auto src = matrix(a, rank, ta), weights = matrix(b, rank, tb), dst = matrix(result, rank, false);
  Dims bias_dims(rank, 1), bias_strides(rank, result.shape.back());
  bias_dims.back() = result.shape.back();
  bias_strides.back() = 1;
  const dnnl::memory::desc bias(bias_dims, data_type(result.dtype), bias_strides);

  const auto attr = attributes(epilogue);
  const auto desc =
      epilogue.bias ? dnnl::matmul::desc(src, weights, bias, dst) : dnnl::matmul::desc(src, weights, dst);
  const dnnl::matmul::primitive_desc pd(desc, attr, engine());
  if (is_reference(pd.impl_info_str())) return nullptr;
  ReorderedCall call(dnnl::matmul(pd), pd.impl_info_str(), pd.scratchpad_desc().get_size());
  call.input(DNNL_ARG_SRC, src, pd.src_desc());
  call.input(DNNL_ARG_WEIGHTS, weights, pd.weights_desc());
  if (epilogue.bias) call.input(DNNL_ARG_BIAS, bias, pd.bias_desc());
  call.output(DNNL_ARG_DST, dst, pd.dst_desc());
  call.finish(pd.scratchpad_desc());
  return std::make_unique<CallKernel>(std::move(call), "matmul" + epilogue_name(epilogue));
}

}  // namespace thalweg::onednn
