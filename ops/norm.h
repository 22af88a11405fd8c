// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "thalweg/graph/graph.h"

namespace thalweg {

/// What batch_norm_training returns.
struct BatchNormed {
  Value y;         ///< of the type of x
  Value mean;      ///< [C]: of the batch
  Value variance;  ///< [C]: of the batch, biased (divided by the count)
};

/// Batch normalization (Ioffe and Szegedy 2015) by the statistics of the batch: x [..,C], gamma and beta [C],
/// y = gamma * (x - mean) / sqrt(variance + eps) + beta, mean and variance over all axes but the last. One value a
/// channel is allowed: its variance is 0, so y is beta. eps > 0.
THALWEG_API BatchNormed batch_norm_training(Operand x, Operand gamma, Operand beta, double eps = 1e-3);
/// The same formula by given statistics [C].
THALWEG_API Value batch_norm_inference(Operand x, Operand gamma, Operand beta, Operand mean, Operand variance,
                                       double eps = 1e-3);

/// What the backward ops of the norms return: each of the type of what it is the gradient of.
struct NormGradients {
  Value dx, dgamma, dbeta;
};
/// Gradients of y of batch_norm_training, where mean and variance are those of x.
THALWEG_API NormGradients batch_norm_backward(Operand x, Operand gamma, Operand mean, Operand variance, Operand dy,
                                              double eps = 1e-3);

/// Layer normalization (Ba, Kiros and Hinton 2016): y = gamma * (x - mean) / sqrt(variance + eps) + beta, where mean
/// and biased variance are those of the last axes of x, as many as gamma and beta have; their shapes are x's there.
/// eps > 0; 1e-3 is Keras' default, torch's is 1e-5.
THALWEG_API Value layer_norm(Operand x, Operand gamma, Operand beta, double eps = 1e-3);
/// Gradients of layer_norm.
THALWEG_API NormGradients layer_norm_backward(Operand x, Operand gamma, Operand dy, double eps = 1e-3);

/// Group normalization (Wu and He 2018) of x [N,..,C]: the channels in `groups` equal parts, each normalized over its
/// channels and all positions of a sample; gamma and beta [C]. groups = C is instance normalization. eps > 0; 1e-3 is
/// Keras' default, torch's is 1e-5. Errors: groups that do not divide the channels.
THALWEG_API Value group_norm(Operand x, Operand gamma, Operand beta, Dim groups, double eps = 1e-3);

/// Root mean square normalization (Zhang and Sennrich 2019): gamma * x / sqrt(mean(x^2) + eps), the mean over the last
/// axes of x, as many as gamma has. eps > 0; 1e-6 is Keras' default, torch's is the spacing of the dtype at 1.
THALWEG_API Value rms_norm(Operand x, Operand gamma, double eps = 1e-6);

}  // namespace thalweg
