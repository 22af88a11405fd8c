// SPDX-License-Identifier: Apache-2.0
#include "thalweg/lib/kernels/own.h"

#include "thalweg/graph/opdef.h"
#include "thalweg/lib/kernels/makers.h"

namespace thalweg {
namespace {

/// One op as a group of one step.
std::unique_ptr<Kernel> pointwise_of(const KernelRequest& request) {
  if (!is_groupable(request.node, request.in)) return nullptr;
  PointwiseGroup group;
  group.space = request.out[0].shape;
  group.inputs.assign(request.in.begin(), request.in.end());
  group.steps.push_back({.node = &request.node, .operands = {}, .dtype = request.out[0].dtype});
  for (std::size_t i = 0; i < request.in.size(); ++i)
    group.steps[0].operands.push_back(-1 - static_cast<int>(i));
  group.outputs = {0};
  return pointwise_kernel(group, request.threads, request.generate);
}

}  // namespace

std::unique_ptr<Kernel> own_kernel(const KernelRequest& request) {
  for (const auto& makers : {matmul_makers(), convolution_makers(), pooling_makers(), row_makers(), loss_makers(),
                             norm_makers(), reduction_makers(), movement_makers(), index_makers(), random_makers(),
                             image_makers()})
    for (const NamedMaker& maker : makers)
      if (maker.op == request.node.op->name) return maker.make(request);
  return pointwise_of(request);
}

}  // namespace thalweg
