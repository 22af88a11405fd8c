// SPDX-License-Identifier: Apache-2.0
#include "thalweg/lib/onednn/fastest.h"

#include <algorithm>
#include <chrono>
#include <cstring>
#include <unordered_map>
#include <utility>

#include "thalweg/graph/opdef.h"
#include "thalweg/lib/onednn/primitive.h"
#include "thalweg/ops/conv.h"

namespace thalweg::onednn {
namespace {

using dnnl::memory;
using Dims = memory::dims;
using Tag = memory::format_tag;

memory zeros(const memory::desc& desc) {
  memory m(desc, engine());
  if (desc.get_size() > 0) std::memset(m.get_data_handle(), 0, desc.get_size());
  return m;
}

/// Operands are zeros: the time of dense arithmetic does not depend on them.
double median_seconds(const dnnl::primitive& primitive, const std::unordered_map<int, memory>& arguments) {
  using Clock = std::chrono::steady_clock;
  dnnl::stream stream(engine());
  primitive.execute(stream, arguments);
  std::vector<double> times;
  const auto begin = Clock::now();
  while (times.size() < 3 || (Clock::now() - begin < std::chrono::milliseconds(15) && times.size() < 1000)) {
    const auto before = Clock::now();
    primitive.execute(stream, arguments);
    times.push_back(std::chrono::duration<double>(Clock::now() - before).count());
  }
  std::nth_element(times.begin(), times.begin() + static_cast<std::ptrdiff_t>(times.size() / 2), times.end());
  return times[times.size() / 2];
}

class Fastest {
 public:
  /// `make` returns a primitive descriptor, or throws where oneDNN has none; `arguments` gives its memories.
  template <class Primitive, class Make, class Arguments>
  void consider(Make make, Arguments arguments) {
    try {
      const auto pd = make();
      const std::string name = pd.impl_info_str();
      if (is_reference(name)) return;
      const double seconds = median_seconds(Primitive(pd), arguments(pd));
      if (!best_ || seconds < best_->seconds) best_ = TimedPrimitive{seconds, name};
    } catch (const dnnl::error& error) {
      if (error.status != dnnl_unimplemented) throw;
    }
  }
  const std::optional<TimedPrimitive>& best() const { return best_; }

 private:
  std::optional<TimedPrimitive> best_;
};

std::optional<TimedPrimitive> fastest_matmul(const KernelRequest& request) {
  const Shape &a = request.in[0].shape, &y = request.out[0].shape;
  const bool ta = request.node.attrs.flag("ta"), tb = request.node.attrs.flag("tb");
  const std::size_t rank = y.rank();
  if (rank < 2 || a.rank() != rank || request.in[1].shape.rank() != rank) return {};
  const Dim m = y[rank - 2], n = y[rank - 1], k = a[ta ? rank - 2 : rank - 1];
  Dim batch = 1;
  for (std::size_t i = 0; i + 2 < rank; ++i) batch *= y[i];
  const auto desc = [&](const TensorType& of, Dim rows, Dim columns, bool transposed, bool any) {
    return memory::desc(Dims{batch, rows, columns}, data_type(of.dtype),
                        any ? Tag::any : transposed ? Tag::acb : Tag::abc);
  };
  const TensorType &a_type = request.in[0], &b_type = request.in[1], &y_type = request.out[0];
  Fastest fastest;
  for (const bool any_a : {false, true})
    for (const bool any_b : {false, true})
      fastest.consider<dnnl::matmul>(
          [&] {
            return dnnl::matmul::primitive_desc(
                dnnl::matmul::desc(desc(a_type, m, k, ta, any_a), desc(b_type, k, n, tb, any_b),
                                   desc(y_type, m, n, false, false)),
                engine());
          },
          [](const auto& pd) {
            return std::unordered_map<int, memory>{{DNNL_ARG_SRC, zeros(pd.src_desc())},
                                                   {DNNL_ARG_WEIGHTS, zeros(pd.weights_desc())},
                                                   {DNNL_ARG_DST, zeros(pd.dst_desc())}};
          });
  return fastest.best();
}

/// Which of a convolution's three primitives.
enum class Pass : std::uint8_t { forward, data, weights };

std::optional<TimedPrimitive> fastest_conv(const KernelRequest& request, Pass pass) {
  using Forward = dnnl::convolution_forward;
  using Data = dnnl::convolution_backward_data;
  using Weights = dnnl::convolution_backward_weights;
  const TensorType& x_type = pass == Pass::data ? request.out[0] : request.in[0];
  const TensorType& w_type = pass == Pass::weights ? request.out[0] : request.in[1];
  const TensorType& y_type = pass == Pass::forward ? request.out[0] : request.in[pass == Pass::data ? 0 : 1];
  const ConvGeometry geometry = conv_geometry(request.node.attrs, x_type.shape, w_type.shape);
  const auto activation = [&](const TensorType& t, Tag tag) {
    return memory::desc(Dims{t.shape[0], t.shape[3], t.shape[1], t.shape[2]}, data_type(t.dtype), tag);
  };
  const Dim groups = request.node.attrs.integer("groups");
  const Shape& s = w_type.shape;
  const memory::desc w(groups == 1 ? Dims{s[3], s[2], s[0], s[1]} : Dims{groups, s[3] / groups, s[2], s[0], s[1]},
                       data_type(w_type.dtype), Tag::any);
  Dims strides, dilation, low, high;
  for (std::size_t axis = 0; axis < 2; ++axis) {
    strides.push_back(geometry.stride[axis]);
    dilation.push_back(geometry.dilation[axis] - 1);
    low.push_back(geometry.pad_low[axis]);
    high.push_back(geometry.pad_high[axis]);
  }
  constexpr auto direct = dnnl::algorithm::convolution_direct;
  Fastest fastest;
  for (const Tag tag : {Tag::any, Tag::nhwc}) {
    const memory::desc x = activation(x_type, tag), y = activation(y_type, tag);
    const auto forward = [&] {
      return Forward::primitive_desc(
          Forward::desc(dnnl::prop_kind::forward_training, direct, x, w, y, strides, dilation, low, high), engine());
    };
    if (pass == Pass::forward) {
      fastest.consider<Forward>(forward, [](const auto& pd) {
        return std::unordered_map<int, memory>{{DNNL_ARG_SRC, zeros(pd.src_desc())},
                                               {DNNL_ARG_WEIGHTS, zeros(pd.weights_desc())},
                                               {DNNL_ARG_DST, zeros(pd.dst_desc())}};
      });
    } else if (pass == Pass::data) {
      fastest.consider<Data>(
          [&] {
            return Data::primitive_desc(Data::desc(direct, x, w, y, strides, dilation, low, high), engine(), forward());
          },
          [](const auto& pd) {
            return std::unordered_map<int, memory>{{DNNL_ARG_DIFF_DST, zeros(pd.diff_dst_desc())},
                                                   {DNNL_ARG_WEIGHTS, zeros(pd.weights_desc())},
                                                   {DNNL_ARG_DIFF_SRC, zeros(pd.diff_src_desc())}};
          });
    } else {
      fastest.consider<Weights>(
          [&] {
            return Weights::primitive_desc(Weights::desc(direct, x, w, y, strides, dilation, low, high), engine(),
                                           forward());
          },
          [](const auto& pd) {
            return std::unordered_map<int, memory>{{DNNL_ARG_SRC, zeros(pd.src_desc())},
                                                   {DNNL_ARG_DIFF_DST, zeros(pd.diff_dst_desc())},
                                                   {DNNL_ARG_DIFF_WEIGHTS, zeros(pd.diff_weights_desc())}};
          });
    }
  }
  return fastest.best();
}

}  // namespace

std::optional<TimedPrimitive> fastest_primitive(const KernelRequest& request) {
  const std::string_view op = request.node.op->name;
  if (!request.out.empty() && data_type(request.out[0].dtype) == memory::data_type::undef) return {};
  if (op == "matmul") return fastest_matmul(request);
  if (op == "conv2d") return fastest_conv(request, Pass::forward);
  if (op == "conv2d_backward_data") return fastest_conv(request, Pass::data);
  if (op == "conv2d_backward_weights") return fastest_conv(request, Pass::weights);
  return {};
}

}  // namespace thalweg::onednn
