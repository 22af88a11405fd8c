// SPDX-License-Identifier: Apache-2.0
#include <array>

#include "thalweg/graph/opdef.h"
#include "thalweg/lib/onednn/epilogue.h"
#include "thalweg/lib/onednn/families.h"
#include "thalweg/ops/conv.h"

namespace thalweg::onednn {
namespace {

using Dims = dnnl::memory::dims;
using dnnl::memory;

/// The types of a convolution and its attributes, in oneDNN's words.
struct Conv {
  memory::desc x, w, y;              ///< as the program keeps them: channels-last and HWIO, dense
  memory::desc any_x, any_w, any_y;  ///< the same sizes in a layout of oneDNN's choice
  Dims strides, dilation, low, high;
  dnnl::algorithm algorithm;
};

memory::desc any_layout(const memory::desc& desc) {
  return {desc.dims(), desc.data_type(), memory::format_tag::any};
}

/// [N,H,W,C] as oneDNN's dims (n,c,h,w).
memory::desc activation(const TensorType& type) {
  constexpr std::array<std::size_t, 4> order = {0, 3, 1, 2};
  return dense(type, order);
}

/// [kh,kw,I/groups,O] as (o,i,h,w), or (g,o,i,h,w) when grouped.
memory::desc weights(const TensorType& type, Dim groups) {
  constexpr std::array<std::size_t, 4> order = {3, 2, 0, 1};
  if (groups == 1) return dense(type, order);
  const Shape& s = type.shape;
  const Dim out = s[3] / groups;
  return {Dims{groups, out, s[2], s[0], s[1]}, data_type(type.dtype),
          Dims{out, 1, s[3], s[1] * s[2] * s[3], s[2] * s[3]}};
}

Conv conv_of(const Node& node, const TensorType& x, const TensorType& w, const TensorType& y, Algorithm algorithm) {
  const ConvGeometry geometry = conv_geometry(node.attrs, x.shape, w.shape);
  Conv c{.x = activation(x), .w = weights(w, node.attrs.integer("groups")), .y = activation(y),
         .any_x = {}, .any_w = {}, .any_y = {}, .strides = {}, .dilation = {}, .low = {}, .high = {},
         .algorithm = algorithm == Algorithm::winograd ? dnnl::algorithm::convolution_winograd
                                                       : dnnl::algorithm::convolution_direct};
  c.any_x = any_layout(c.x);
  c.any_w = any_layout(c.w);
  c.any_y = any_layout(c.y);
  for (std::size_t axis = 0; axis < 2; ++axis) {
    c.strides.push_back(geometry.stride[axis]);
    c.dilation.push_back(geometry.dilation[axis] - 1);  // oneDNN counts the holes
    c.low.push_back(geometry.pad_low[axis]);
    c.high.push_back(geometry.pad_high[axis]);
  }
  return c;
}

using Forward = dnnl::convolution_forward;
using BackwardData = dnnl::convolution_backward_data;
using BackwardWeights = dnnl::convolution_backward_weights;

Forward::primitive_desc forward_pd(const Conv& c, const memory::desc& x, const memory::desc& y,
                                   const memory::desc* bias, const dnnl::primitive_attr& attr) {
  const auto kind = dnnl::prop_kind::forward_training;
  const auto desc = bias ? Forward::desc(kind, c.algorithm, x, c.any_w, *bias, y, c.strides, c.dilation, c.low, c.high)
                         : Forward::desc(kind, c.algorithm, x, c.any_w, y, c.strides, c.dilation, c.low, c.high);
  return {desc, attr, engine()};
}

Forward::primitive_desc hint(const Conv& c, const memory::desc& x, const memory::desc& y) {
  return forward_pd(c, x, y, nullptr, {});
}

/// oneDNN 2.6.3's AVX2 kernel for 1x1 windows gathers strided channels-last input through a buffer whose tail it does
/// not fill, and then multiplies what is left in it (tests/compile/conv_test.cpp finds it).
bool is_wrong(const std::string& implementation, const Conv& c, const memory::desc& x) {
  return implementation == "jit_1x1:avx2" && x == c.x && (c.strides[0] > 1 || c.strides[1] > 1);
}

/// Channels-last first: the program keeps activations so, and no reorder is needed. Where oneDNN has only a slow
/// implementation for that (a few channels), a layout of its own choice.
template <class Make>
auto best(const Conv& c, Make make) -> std::optional<decltype(make(c.x, c.y))> {
  const auto fast = [](const std::string& name) {
    return !is_reference(name) && name.find("gemm") == std::string::npos;
  };
  std::optional<decltype(make(c.x, c.y))> fallback;
  for (const auto& [x, y] : {std::pair{c.x, c.y}, std::pair{c.any_x, c.any_y}}) {
    try {
      auto pd = make(x, y);
      const std::string name = pd.impl_info_str();
      if (is_wrong(name, c, x)) continue;
      if (fast(name)) return pd;
      if (!is_reference(name) && !fallback) fallback = pd;
    } catch (const dnnl::error& error) {
      if (error.status != dnnl_unimplemented) throw;
    }
  }
  return fallback;
}

dnnl::primitive_attr user_scratchpad() {
  dnnl::primitive_attr attr;
  attr.set_scratchpad_mode(dnnl::scratchpad_mode::user);
  return attr;
}

}  // namespace

std::unique_ptr<Kernel> conv2d_kernel(const KernelRequest& request, const Epilogue& epilogue, Algorithm algorithm) {
  const Conv c = conv_of(request.node, request.in[0], request.in[1], request.out[0], algorithm);
  const memory::desc bias({request.out[0].shape.back()}, memory::data_type::f32, memory::format_tag::x);
  const auto pd = best(c, [&](const memory::desc& x, const memory::desc& y) {
    return forward_pd(c, x, y, epilogue.bias ? &bias : nullptr,
                      attributes(epilogue));
  });
  if (!pd) return nullptr;
  ReorderedCall call(Forward(*pd), pd->impl_info_str(), pd->scratchpad_desc().get_size());
  call.input(DNNL_ARG_SRC, c.x, pd->src_desc());
  call.input(DNNL_ARG_WEIGHTS, c.w, pd->weights_desc());
  if (epilogue.bias) call.input(DNNL_ARG_BIAS, bias, pd->bias_desc());
  call.output(DNNL_ARG_DST, c.y, pd->dst_desc());
  call.finish(pd->scratchpad_desc());
  return std::make_unique<CallKernel>(std::move(call), "conv2d" + epilogue_name(epilogue));
}

std::unique_ptr<Kernel> conv2d_backward_data_kernel(const KernelRequest& request, Algorithm algorithm) {
  const Conv c = conv_of(request.node, request.out[0], request.in[1], request.in[0], algorithm);
  const auto pd = best(c, [&](const memory::desc& x, const memory::desc& y) {
    return BackwardData::primitive_desc(
        BackwardData::desc(c.algorithm, x, c.any_w, y, c.strides, c.dilation, c.low, c.high), user_scratchpad(), engine(),
        hint(c, x, y));
  });
  if (!pd) return nullptr;
  ReorderedCall call(BackwardData(*pd), pd->impl_info_str(), pd->scratchpad_desc().get_size());
  call.input(DNNL_ARG_DIFF_DST, c.y, pd->diff_dst_desc());
  call.input(DNNL_ARG_WEIGHTS, c.w, pd->weights_desc());
  call.output(DNNL_ARG_DIFF_SRC, c.x, pd->diff_src_desc());
  call.finish(pd->scratchpad_desc());
  return std::make_unique<CallKernel>(std::move(call), "conv2d_backward_data");
}

std::unique_ptr<Kernel> conv2d_backward_weights_kernel(const KernelRequest& request, Algorithm algorithm) {
  const Conv c = conv_of(request.node, request.in[0], request.out[0], request.in[1], algorithm);
  const auto pd = best(c, [&](const memory::desc& x, const memory::desc& y) {
    return BackwardWeights::primitive_desc(
        BackwardWeights::desc(c.algorithm, x, c.any_w, y, c.strides, c.dilation, c.low, c.high), user_scratchpad(),
        engine(), hint(c, x, y));
  });
  if (!pd) return nullptr;
  ReorderedCall call(BackwardWeights(*pd), pd->impl_info_str(), pd->scratchpad_desc().get_size());
  call.input(DNNL_ARG_SRC, c.x, pd->src_desc());
  call.input(DNNL_ARG_DIFF_DST, c.y, pd->diff_dst_desc());
  call.output(DNNL_ARG_DIFF_WEIGHTS, c.w, pd->diff_weights_desc());
  call.finish(pd->scratchpad_desc());
  return std::make_unique<CallKernel>(std::move(call), "conv2d_backward_weights");
}

}  // namespace thalweg::onednn
