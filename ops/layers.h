// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <concepts>
#include <cstdint>
#include <optional>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

#include "thalweg/graph/function.h"
#include "thalweg/graph/graph.h"
#include "thalweg/ops/convention.h"
#include "thalweg/ops/init.h"
#include "thalweg/ops/window.h"

// Composites: what a network is written in. Each makes its variables under its own name, and its nodes carry the
// caller's line and that name as scope.

namespace thalweg {

/// What follows a layer: an op by its name, `.activation = relu`, or a lambda for one with options.
class Activation {
 public:
  /// Nothing follows.
  Activation() = default;
  /// Of functions of one name the op is meant, so that `.activation = tanh` is not C's.
  Activation(Value (*op)(Operand)) : apply_(op) {}  // NOLINT: `.activation = tanh`
  template <class F>
    requires(!std::same_as<std::remove_cvref_t<F>, Activation> && std::is_invocable_r_v<Value, F&, Operand>)
  Activation(F apply) : apply_(std::move(apply)) {}  // NOLINT: `.activation = [](Operand x) { … }`

  explicit operator bool() const { return static_cast<bool>(apply_); }
  Value operator()(Operand x) const { return apply_(std::move(x)); }

 private:
  Function<Value(Operand)> apply_;
};

struct DenseOptions {
  Init init = glorot_uniform();
  Init bias_init = zeros();
  bool bias = true;
  Activation activation = {};
  std::string name = {};  ///< empty: `dense`, `dense_1`, … the first that is free
};
/// activation(x * kernel + bias) over the last axis of x: [..,K] gives [..,units]. Variables `<name>/kernel`
/// [K,units] and `<name>/bias` [units]; initializers default to Keras' glorot_uniform and zeros.
THALWEG_API Value dense(Operand x, Dim units, const DenseOptions& options = {});

struct ConvOptions {
  Extent strides = 1;
  Extent dilation = 1;
  std::string_view padding = {};  ///< as in Conv2dOptions
  std::vector<Dim> pads = {};
  Dim groups = 1;
  Init init = glorot_uniform();
  Init bias_init = zeros();
  bool bias = true;
  Activation activation = {};
  std::string name = {};  ///< empty: `conv`, `conv_1`, …
};
/// activation(conv2d(x, kernel) + bias): x [N,H,W,C] gives [N,H',W',filters]. Variables `<name>/kernel`
/// [window height, window width, C/groups, filters] and `<name>/bias` [filters].
THALWEG_API Value conv(Operand x, Dim filters, Extent window, const ConvOptions& options = {});

/// conv along one axis: x [N,L,C] gives [N,L',filters]. Options as for `conv`, of which it reads the widths; `pads` are
/// [left,right]. Variables `<name>/kernel` [window, C/groups, filters] and `<name>/bias`; empty name: `conv1d`, ….
THALWEG_API Value conv1d(Operand x, Dim filters, Dim window, const ConvOptions& options = {});

struct DepthwiseConvOptions {
  Extent strides = 1;
  Extent dilation = 1;
  std::string_view padding = {};
  std::vector<Dim> pads = {};
  Dim multiplier = 1;  ///< results a channel; those of one channel lie next to each other
  /// What a fan initializer takes for fans: keras counts as if each result saw all channels (fan_in = h*w*C, fan_out =
  /// h*w*multiplier), torch what a result sees (h*w, and h*w*C*multiplier).
  Convention convention = Convention::keras;
  Init init = glorot_uniform();
  Init bias_init = zeros();
  bool bias = true;
  Activation activation = {};
  std::string name = {};  ///< empty: `depthwise_conv`, `depthwise_conv_1`, …
};
/// A convolution of each channel by itself: x [N,H,W,C] gives [N,H',W',C*multiplier]. Variables `<name>/kernel`
/// [window height, window width, 1, C*multiplier] and `<name>/bias`.
THALWEG_API Value depthwise_conv(Operand x, Extent window, const DepthwiseConvOptions& options = {});
/// depthwise_conv without bias and activation, and a convolution with a window of 1 that mixes its channels (Chollet
/// 2017): `options` are those of the depthwise part, its bias and activation come after the whole. Variables
/// `<name>/depthwise_kernel`, `<name>/kernel` [1,1,C*multiplier,filters] and `<name>/bias`.
THALWEG_API Value separable_conv(Operand x, Dim filters, Extent window, const DepthwiseConvOptions& options = {});

struct ConvTransposeOptions {
  Extent strides = 1;
  Extent dilation = 1;
  std::string_view padding = {};  ///< as in ConvTranspose2dOptions, as the two below
  std::vector<Dim> pads = {};
  std::optional<Extent> output_padding = {};
  Dim groups = 1;
  Init init = glorot_uniform();
  Init bias_init = zeros();
  bool bias = true;
  Activation activation = {};
  std::string name = {};  ///< empty: `conv_transpose`, `conv_transpose_1`, …
};
/// activation(conv2d_transpose(x, kernel) + bias): x [N,H,W,C] gives [N,H',W',filters]. Variables `<name>/kernel`
/// [window height, window width, filters/groups, C] (Keras' layout) and `<name>/bias` [filters].
THALWEG_API Value conv_transpose(Operand x, Dim filters, Extent window, const ConvTransposeOptions& options = {});

struct PreluOptions {
  Init init = filled(0.25);  ///< torch's; Keras' is zeros
  bool shared = false;       ///< one slope for all channels
  std::string name = {};     ///< empty: `prelu`, `prelu_1`, …
};
/// prelu with a variable `<name>/slope` [C], or [1] where it is shared.
THALWEG_API Value prelu(Operand x, const PreluOptions& options = {});

struct DropoutOptions {
  std::int64_t seed = 0;
};
/// In training x * mask / (1 - rate), each element kept with probability 1 - rate (inverted dropout, Srivastava et al.
/// 2014), drawn anew every step; at inference x. rate in [0,1); at 0 it is x itself.
THALWEG_API Value dropout(Operand x, double rate, const DropoutOptions& options = {});

/// dropout of whole channels: x [N,..,C] with positions between, each channel of a sample kept or dropped as a whole
/// (Tompson et al. 2015; Keras: SpatialDropout, torch: Dropout1d, 2d and 3d).
THALWEG_API Value spatial_dropout(Operand x, double rate, const DropoutOptions& options = {});
/// dropout for nets of `selu` (Klambauer et al. 2017): what is dropped becomes -1.7581, the limit of selu, and all is
/// moved and scaled so that mean 0 and variance 1 stay.
THALWEG_API Value alpha_dropout(Operand x, double rate, const DropoutOptions& options = {});
/// In training x times normal numbers of mean 1 and standard deviation sqrt(rate / (1 - rate)); at inference x. rate in
/// [0,1) (Srivastava et al. 2014).
THALWEG_API Value gaussian_dropout(Operand x, double rate, const DropoutOptions& options = {});
/// In training x plus normal numbers of mean 0 and that standard deviation, at least 0; at inference x.
THALWEG_API Value gaussian_noise(Operand x, double stddev, const DropoutOptions& options = {});

/// Left out, the numbers are those of the convention. keras: eps 1e-3, running_update_rate 0.01 ("momentum" 0.99),
/// running variance biased. torch: eps 1e-5, running_update_rate 0.1, running variance unbiased (biased where a
/// channel has one value only: n/(n-1) has no meaning there).
struct BatchNormOptions {
  Convention convention = Convention::keras;
  std::optional<double> eps = {};
  std::optional<double> running_update_rate = {};  ///< running = (1 - r) * running + r * batch; in [0,1]
  std::string name = {};                           ///< empty: `batch_norm`, `batch_norm_1`, …
};
/// Batch normalization over all axes but the last: in training by the batch's statistics, at inference by the running
/// ones. Variables `<name>/gamma`, `<name>/beta`, and `<name>/mean`, `<name>/variance` that updates of this graph keep.
THALWEG_API Value batch_norm(Operand x, const BatchNormOptions& options = {});

struct LayerNormOptions {
  double eps = 1e-3;  ///< Keras'; torch's is 1e-5
  Dim axes = 1;       ///< how many of the last axes are normalized together
  std::string name = {};
};
/// layer_norm with variables `<name>/gamma` (ones) and `<name>/beta` (zeros) over the last axes of x.
THALWEG_API Value layer_norm(Operand x, const LayerNormOptions& options = {});

struct GroupNormOptions {
  Dim groups = 32;    ///< -1: one for each channel, which is instance normalization
  double eps = 1e-3;  ///< Keras'; torch's is 1e-5
  std::string name = {};  ///< empty: `group_norm`, `group_norm_1`, …
};
/// group_norm with variables `<name>/gamma` (ones) and `<name>/beta` (zeros), one number a channel.
THALWEG_API Value group_norm(Operand x, const GroupNormOptions& options = {});

struct RmsNormOptions {
  double eps = 1e-6;  ///< Keras'; torch's is the spacing of the dtype at 1
  Dim axes = 1;       ///< how many of the last axes are normalized together
  std::string name = {};
};
/// rms_norm with a variable `<name>/gamma` (ones) over the last axes of x.
THALWEG_API Value rms_norm(Operand x, const RmsNormOptions& options = {});

/// [N,..] as [N, product of the rest].
THALWEG_API Value flatten(Operand x);
/// x + branch(x); both must be of one type (He et al. 2016).
THALWEG_API Value residual(Operand x, const Function<Value(Value)>& branch);
/// shortcut(x) + branch(x): for a branch that changes the type, as a convolution with a window of 1 does.
THALWEG_API Value residual(Operand x, const Function<Value(Value)>& branch,
                           const Function<Value(Value)>& shortcut);

/// Share of samples, as an f32 scalar, whose largest score is at the label: scores [..,C] (logits or probabilities),
/// labels (integers) [..]. Of equal scores the first counts.
THALWEG_API Value accuracy(Operand scores, Operand labels);
/// Share of elements, as an f32 scalar, where (score > threshold) is (target > 1/2): scores are probabilities for the
/// threshold 0.5, logits for 0; target is of the scores' shape, a float or an integer.
THALWEG_API Value binary_accuracy(Operand scores, Operand target, double threshold = 0.5);

}  // namespace thalweg
