// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "thalweg/lib/base/tensor.h"

namespace thalweg {

/// Samples and what they are called. Copies share the bytes.
struct Dataset {
  Tensor inputs = {};                    ///< [N, …], f32 (or u8 as read from an IDX file)
  Tensor labels = {};                    ///< i32[N] class numbers, or f32[N,1] targets; empty where there are none
  std::vector<std::string> classes = {};  ///< the name of each class; empty if labels are not classes
  std::vector<std::string> features;  ///< names of the input's columns, of tables that name them
  std::string name = {};
  Tensor weights = {};  ///< f32[N], how much each sample counts, at least 0: what `sample_weights` reads; empty: all 1

  /// Number of samples.
  Dim size() const { return inputs ? inputs.shape()[0] : 0; }
};

/// A set to learn from, and one to be judged by.
struct TrainTest {
  Dataset train;
  Dataset test;
};

/// A permutation of [0, n) that depends on n, seed and epoch only: positions sorted by a Philox number each.
THALWEG_API std::vector<std::uint32_t> permutation(Dim n, std::uint64_t seed, std::uint64_t epoch = 0);
/// The same into memory of the caller's: `order` gets the permutation, `keys` is scratch of the same size. Allocates
/// nothing.
THALWEG_API void permute(std::span<std::uint32_t> order, std::span<std::uint64_t> keys, std::uint64_t seed,
                         std::uint64_t epoch);

/// The samples of these numbers, in this order; throws RunError for a number out of range or none at all.
THALWEG_API Dataset take(const Dataset& data, std::span<const std::uint32_t> samples);
/// The samples [begin, end); throws RunError unless 0 <= begin < end <= N.
THALWEG_API Dataset rows(const Dataset& data, Dim begin, Dim end);
/// Shuffles by `permutation(N, seed)` and gives the last ceil(fraction N) samples to the test set, as Keras' and
/// scikit-learn's splits do. Throws RunError unless both sets get a sample.
THALWEG_API TrainTest split(const Dataset& data, double fraction, std::uint64_t seed = 0);
/// Where Keras' validation split cuts: floor(N (1 - fraction)); the samples from there on validate. No shuffling
/// comes before. Throws RunError for a fraction outside (0, 1), or if one part would be empty.
THALWEG_API Dim validation_begin(Dim samples, double fraction);

/// x -> (x - shift) * factor, for each column of a sample.
struct THALWEG_API Scaling {
  std::vector<double> shift;
  std::vector<double> factor;
  /// The dataset with scaled f32 inputs; throws RunError for another number of columns.
  Dataset operator()(const Dataset& data) const;
};
/// Mean 0 and variance 1 (over N) for each column of these inputs; a constant column becomes 0.
THALWEG_API Scaling standardization(const Dataset& data);
/// Each column's range to [0, 1]; a constant column becomes 0.
THALWEG_API Scaling unit_range(const Dataset& data);
/// Both sets standardized by the numbers of the training set alone: what is measured on the test set must not be
/// known while training.
THALWEG_API TrainTest standardized(const TrainTest& data);
/// The dataset with inputs as f32 times `factor` (1/255 brings bytes to [0, 1]).
THALWEG_API Dataset scaled(const Dataset& data, double factor);

}  // namespace thalweg
