// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "thalweg/graph/graph.h"
#include "thalweg/ops/image.h"
#include "thalweg/ops/random.h"

namespace thalweg {

// Data augmentation: nodes between an input and a net that change what training sees, and that inference(g) leaves out.
// Images are float [B,H,W,C]. Every number is drawn for a sample in an epoch (ops/random.h: sample_ids, epoch): a
// sample looks the same in whatever batch, at whatever place in it and on however many threads it is met, and other in
// each epoch. Names and units are those of Keras' layers; moves are bilinear about the image's centre, ((H-1)/2,
// (W-1)/2), as affine_transform says. Two calls draw apart; `draw` sets seed and key. Errors, at the line of the image:
// a type that is no float [B,H,W,C], a range whose ends are not finite or the wrong way round, a probability outside
// [0, 1].

/// What a factor is drawn from, uniformly: [-x, x] for one number, as in Keras.
struct FactorRange {
  double low = 0;
  double high = 0;
  FactorRange(double x) : low(-x), high(x) {}  // NOLINT: `.height = 0.1`
  FactorRange(double lo, double hi) : low(lo), high(hi) {}
};

struct FlipOptions {
  double horizontal = 0.5;  ///< the probability that left and right are exchanged
  double vertical = 0;      ///< that top and bottom are
  /// One toss decides both, as in Keras' RandomFlip("horizontal_and_vertical"): the image itself, or half a turn.
  bool together = false;
  Draw draw = {};
};
/// Flipped or not, exactly: Keras' RandomFlip (there with both probabilities 0.5 or 0).
THALWEG_API Value random_flip(Operand image, FlipOptions options = {});

struct CropOptions {
  FillMode mode = FillMode::constant;
  double fill = 0;
  Draw draw = {};
};
/// `padding` pixels added on each side and an image of the old size cut out, at a whole offset, each as likely:
/// torchvision's RandomCrop with padding. Error: padding below 0.
THALWEG_API Value random_crop(Operand image, int padding, CropOptions options = {});

struct MoveOptions {
  FillMode mode = FillMode::reflect;
  double fill = 0;  ///< of FillMode::constant
  Draw draw = {};
};
/// Shifted down by height * H and right by width * W pixels, factors drawn from the ranges: Keras' RandomTranslation.
THALWEG_API Value random_translation(Operand image, FactorRange height, FactorRange width, MoveOptions options = {});
/// Turned counter-clockwise by a factor of a full turn: Keras' RandomRotation.
THALWEG_API Value random_rotation(Operand image, FactorRange factor, MoveOptions options = {});
/// Zoomed out by 1 + factor, in where it is below 0, both axes alike: Keras' RandomZoom. Error: a factor of -1 or less.
THALWEG_API Value random_zoom(Operand image, FactorRange factor, MoveOptions options = {});
/// The same with a factor for each axis.
THALWEG_API Value random_zoom(Operand image, FactorRange height, FactorRange width, MoveOptions options = {});

struct ColourOptions {
  double low = 0;   ///< of the range of pixels: results are held in it
  double high = 1;
  Draw draw = {};
};
/// x + factor * (high - low), held in the range: Keras' RandomBrightness.
THALWEG_API Value random_brightness(Operand image, FactorRange factor, ColourOptions options = {});
/// (x - mean) * (1 + factor) + mean with the mean of each channel, held in the range: Keras' RandomContrast. Error: a
/// factor below -1.
THALWEG_API Value random_contrast(Operand image, FactorRange factor, ColourOptions options = {});
/// x + stddev * n, each n normal: Keras' GaussianNoise. Error: stddev not finite or below 0.
THALWEG_API Value random_noise(Operand image, double stddev, Draw draw = {});

struct CutoutOptions {
  double probability = 1;
  double fill = 0;
  Draw draw = {};
};
/// A square of `size` pixels about a pixel, each as likely, filled; it may reach beyond the image (DeVries, Taylor:
/// Improved regularization of convolutional neural networks with cutout, 2017). Error: size below 1.
THALWEG_API Value cutout(Operand image, int size, CutoutOptions options = {});

/// Images and the labels that belong to them.
struct Mixed {
  Value image;
  Value labels;
};
// Two images become one: neighbours in a batch, samples 2k and 2k + 1, are partners, and each gets its own share of the
// other; the last sample of an odd batch stays as it is. fit shuffles, so that neighbours are any two. The share is
// drawn for the sample, whatever the batch. Who the partner is depends on the order of the epoch, and while batches are
// cut from it at even places on nothing else: results are then the same for any even batch size. With an odd size,
// partners are others in every second batch. Labels are float [B,…], such as one_hot(labels, classes), for
// cross_entropy. In inference both stay as they are.

/// share * x + (1 - share) * partner for images and labels, share ~ Beta(alpha, alpha): Zhang, Cisse, Dauphin,
/// Lopez-Paz: mixup, 2018; Keras' MixUp. Any rank. Errors: alpha not above 0, labels that are not float [B,…].
THALWEG_API Mixed mixup(Operand image, Operand labels, double alpha = 0.2, Draw draw = {});
/// A box of the partner's pixels, sides sqrt(1 - share) of H and W about a centre anywhere, cut at the edges, with
/// share ~ Beta(alpha, alpha); labels are mixed by the area that the box has: Yun et al.: CutMix, 2019; Keras' CutMix.
THALWEG_API Mixed cutmix(Operand image, Operand labels, double alpha = 1, Draw draw = {});

}  // namespace thalweg
