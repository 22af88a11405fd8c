// SPDX-License-Identifier: Apache-2.0
#include "thalweg/lib/data/dataset.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <numeric>

#include "files.h"

namespace thalweg {
namespace {

using testing::run_error_of;
using Numbers = std::vector<double>;

Dataset counting(Dim n, Dim columns) {
  Dataset data;
  std::vector<double> numbers(static_cast<std::size_t>(n * columns)), labels(static_cast<std::size_t>(n));
  std::iota(numbers.begin(), numbers.end(), 0.0);
  std::iota(labels.begin(), labels.end(), 0.0);
  data.inputs = Tensor(f32(n, columns), numbers);
  data.labels = Tensor(i32(n), labels);
  return data;
}

TEST(Permutation, IsOne) {
  for (const Dim n : {1, 2, 3, 17, 1000}) {
    std::vector<std::uint32_t> order = permutation(n, 42, 3);
    std::sort(order.begin(), order.end());
    std::vector<std::uint32_t> all(static_cast<std::size_t>(n));
    std::iota(all.begin(), all.end(), 0u);
    EXPECT_EQ(order, all);
  }
}

TEST(Permutation, DependsOnSeedAndEpochOnly) {
  EXPECT_EQ(permutation(1000, 1, 2), permutation(1000, 1, 2));
  EXPECT_NE(permutation(1000, 1, 2), permutation(1000, 1, 3));
  EXPECT_NE(permutation(1000, 1, 2), permutation(1000, 2, 2));
  EXPECT_NE(permutation(1000, 0, 1), permutation(1000, 1, 0));
  EXPECT_NE(permutation(1000, 1, 0), permutation(1000, 1, std::uint64_t{1} << 32));
}

TEST(Permutation, IsFair) {
  // Where element 0 of 8 goes, over 8000 epochs: 1000 each, give or take 6 standard deviations of 29.6.
  std::vector<int> counts(8);
  for (std::uint64_t epoch = 0; epoch < 8000; ++epoch) {
    const auto order = permutation(8, 7, epoch);
    ++counts[static_cast<std::size_t>(std::find(order.begin(), order.end(), 0u) - order.begin())];
  }
  for (const int count : counts) EXPECT_NEAR(count, 1000, 178);
}

TEST(Split, KeepsRowsTogetherAndLosesNone) {
  const TrainTest parts = split(counting(10, 2), 0.25, 5);
  EXPECT_EQ(parts.train.size(), 7);
  EXPECT_EQ(parts.test.size(), 3);
  std::vector<double> seen;
  for (const Dataset* part : {&parts.train, &parts.test})
    for (Dim i = 0; i < part->size(); ++i) {
      const double label = part->labels.number(static_cast<std::size_t>(i));
      EXPECT_EQ(part->inputs.number(static_cast<std::size_t>(2 * i)), 2 * label);
      EXPECT_EQ(part->inputs.number(static_cast<std::size_t>(2 * i + 1)), 2 * label + 1);
      seen.push_back(label);
    }
  std::sort(seen.begin(), seen.end());
  EXPECT_EQ(seen, counting(10, 1).labels.numbers());
  EXPECT_NE(split(counting(100, 1), 0.5, 1).train.labels.numbers(), split(counting(100, 1), 0.5, 2).train.labels.numbers());
}

TEST(Split, CutsWhereKerasDoes) {
  EXPECT_EQ(validation_begin(60000, 0.1), 54000);
  EXPECT_EQ(validation_begin(150, 0.2), 120);
  EXPECT_EQ(validation_begin(10, 0.25), 7);  // floor(7.5)
  EXPECT_EQ(validation_begin(1797, 0.2), 1437);
  EXPECT_THROW(validation_begin(1, 0.5), RunError);
  EXPECT_THROW(validation_begin(10, 0.95), RunError);
  for (const double bad : {0.0, 1.0, -0.5, 1.5, std::nan("")}) EXPECT_THROW(validation_begin(10, bad), RunError);
}

TEST(Rows, AreCheckedAndCopied) {
  const Dataset data = counting(4, 2);
  EXPECT_EQ(rows(data, 1, 3).inputs.numbers(), (Numbers{2, 3, 4, 5}));
  EXPECT_EQ(take(data, std::vector<std::uint32_t>{3, 0}).inputs.numbers(), (Numbers{6, 7, 0, 1}));
  EXPECT_THROW(rows(data, 2, 2), RunError);
  EXPECT_THROW(rows(data, 0, 5), RunError);
  EXPECT_THROW(take(data, std::vector<std::uint32_t>{4}), RunError);
  EXPECT_THROW(take(data, {}), RunError);
  EXPECT_THROW(rows(Dataset{}, 0, 1), RunError);
}

TEST(Scaling, StandardizesByTheTrainingSetAlone) {
  TrainTest data;
  data.train.inputs = Tensor(f32(4, 2), Numbers{1, 7, 3, 7, 5, 7, 7, 7});
  data.test.inputs = Tensor(f32(1, 2), Numbers{9, 8});
  const TrainTest scaled = standardized(data);
  const double deviation = std::sqrt(5.0);
  const Numbers expected{-3 / deviation, 0, -1 / deviation, 0, 1 / deviation, 0, 3 / deviation, 0};
  for (std::size_t i = 0; i < expected.size(); ++i) EXPECT_NEAR(scaled.train.inputs.number(i), expected[i], 1e-7);
  EXPECT_NEAR(scaled.test.inputs.number(0), 5 / deviation, 1e-6);
  EXPECT_EQ(scaled.test.inputs.number(1), 0);  // a column that was constant in training says nothing
}

TEST(Scaling, UnitRangeAndFactor) {
  Dataset data;
  data.inputs = Tensor(u8(3, 1), Numbers{50, 100, 150});
  EXPECT_EQ(unit_range(data)(data).inputs.numbers(), (Numbers{0, 0.5, 1}));
  EXPECT_EQ(thalweg::scaled(data, 0.5).inputs.numbers(), (Numbers{25, 50, 75}));
  EXPECT_EQ(thalweg::scaled(data, 0.5).inputs.type(), f32(3, 1));
  EXPECT_CONTAINS(run_error_of([&] { unit_range(data)(counting(2, 3)); }), "1 columns was given samples of 3");
}

}  // namespace
}  // namespace thalweg
