// SPDX-License-Identifier: Apache-2.0
#include "thalweg/lib/data/dataset.h"

#include <algorithm>
#include <cmath>
#include <cstring>

#include "thalweg/graph/fail.h"
#include "thalweg/lib/base/threads.h"

namespace thalweg {
namespace {

TensorType with_rows(const TensorType& type, Dim rows) {
  std::vector<Dim> dims = type.shape.vector();
  dims[0] = rows;
  return {type.dtype, Shape(dims)};
}

std::size_t row_bytes(const Tensor& tensor) { return tensor.bytes() / static_cast<std::size_t>(tensor.shape()[0]); }

void check(const Dataset& data) {
  if (!data.inputs || data.inputs.shape().rank() == 0) throw RunError("the dataset has no samples");
  if (data.labels && (data.labels.shape().rank() == 0 || data.labels.shape()[0] != data.size()))
    run_error("the dataset has {} samples and labels {}", data.size(), to_string(data.labels.type()));
  if (data.weights && data.weights.type() != f32(data.size()))
    run_error("the dataset has {} samples and weights {}", data.size(), to_string(data.weights.type()));
}

Tensor taken(const Tensor& from, std::span<const std::uint32_t> samples) {
  if (!from) return {};
  Tensor to(with_rows(from.type(), static_cast<Dim>(samples.size())));
  const std::size_t bytes = row_bytes(from);
  auto* out = static_cast<std::byte*>(to.data());
  const auto* in = static_cast<const std::byte*>(from.data());
  for (std::size_t i = 0; i < samples.size(); ++i) std::memcpy(out + i * bytes, in + samples[i] * bytes, bytes);
  return to;
}

Tensor cut(const Tensor& from, Dim begin, Dim end) {
  if (!from) return {};
  Tensor to(with_rows(from.type(), end - begin));
  std::memcpy(to.data(), static_cast<const std::byte*>(from.data()) + static_cast<std::size_t>(begin) * row_bytes(from),
              to.bytes());
  return to;
}

Dataset like(const Dataset& data, Tensor inputs, Tensor labels, Tensor weights) {
  return {std::move(inputs), std::move(labels), data.classes, data.features, data.name, std::move(weights)};
}

/// Elements of one sample.
std::size_t columns_of(const Dataset& data) {
  return static_cast<std::size_t>(data.inputs.type().elements() / data.size());
}

/// The inputs as f32, each element x of column c as f(x, c).
template <class F>
Dataset mapped(const Dataset& data, F f) {
  check(data);
  const std::size_t columns = columns_of(data);
  Tensor to(TensorType{DType::f32, data.inputs.shape()});
  const std::span<float> out = to.as<float>();
  const auto each = [&](auto in) {
    std::size_t k = 0;
    for (Dim row = 0; row < data.size(); ++row)
      for (std::size_t c = 0; c < columns; ++c, ++k) out[k] = static_cast<float>(f(static_cast<double>(in[k]), c));
  };
  if (data.inputs.type().dtype == DType::f32) each(data.inputs.as<float>());
  else if (data.inputs.type().dtype == DType::u8) each(data.inputs.as<std::uint8_t>());
  else each(data.inputs.numbers());
  return like(data, std::move(to), data.labels, data.weights);
}

double at(const Dataset& data, Dim row, std::size_t columns, std::size_t c) {
  return data.inputs.number(static_cast<std::size_t>(row) * columns + c);
}

/// 1 / width, or 0 for a column that says nothing.
double inverse(double width) { return width > 0 ? 1 / width : 0; }

}  // namespace

Dataset take(const Dataset& data, std::span<const std::uint32_t> samples) {
  check(data);
  if (samples.empty()) throw RunError("no samples were taken: a dataset has at least one");
  for (const std::uint32_t s : samples)
    if (s >= data.size()) run_error("sample {} was taken of a dataset of {}", s, data.size());
  return like(data, taken(data.inputs, samples), taken(data.labels, samples), taken(data.weights, samples));
}

Dataset rows(const Dataset& data, Dim begin, Dim end) {
  check(data);
  if (begin < 0 || begin >= end || end > data.size())
    run_error("samples [{}, {}) of a dataset of {}", begin, end, data.size());
  return like(data, cut(data.inputs, begin, end), cut(data.labels, begin, end), cut(data.weights, begin, end));
}

Dim validation_begin(Dim samples, double fraction) {
  if (!(fraction > 0 && fraction < 1)) run_error("a validation fraction lies between 0 and 1, and {} was given", fraction);
  const auto begin = static_cast<Dim>(std::floor(static_cast<double>(samples) * (1.0 - fraction)));
  if (begin <= 0 || begin >= samples)
    run_error("{} samples split at fraction {} leave {} to learn from and {} to validate", samples, fraction, begin,
              samples - begin);
  return begin;
}

TrainTest split(const Dataset& data, double fraction, std::uint64_t seed) {
  check(data);
  const auto begin = static_cast<std::size_t>(validation_begin(data.size(), fraction));
  const std::vector<std::uint32_t> order = permutation(data.size(), seed);
  const std::span<const std::uint32_t> all(order);
  return {take(data, all.first(begin)), take(data, all.subspan(begin))};
}

Dataset Scaling::operator()(const Dataset& data) const {
  const FloatingPointScope floating_point;
  check(data);
  if (shift.size() != factor.size() || shift.size() != columns_of(data))
    run_error("a scaling of {} columns was given samples of {}", shift.size(), columns_of(data));
  return mapped(data, [this](double x, std::size_t c) { return (x - shift[c]) * factor[c]; });
}

Scaling standardization(const Dataset& data) {
  const FloatingPointScope floating_point;
  check(data);
  const std::size_t columns = columns_of(data);
  const auto n = static_cast<double>(data.size());
  Scaling scaling{std::vector<double>(columns), std::vector<double>(columns)};
  for (std::size_t c = 0; c < columns; ++c) {
    double sum = 0;
    bool constant = true;
    for (Dim row = 0; row < data.size(); ++row) {
      sum += at(data, row, columns, c);
      constant = constant && at(data, row, columns, c) == at(data, 0, columns, c);
    }
    const double mean = constant ? at(data, 0, columns, c) : sum / n;
    double squares = 0;  // in a second walk: the difference of two large sums would lose everything
    for (Dim row = 0; row < data.size(); ++row) {
      const double d = at(data, row, columns, c) - mean;
      squares += d * d;
    }
    scaling.shift[c] = mean;
    scaling.factor[c] = inverse(std::sqrt(squares / n));
  }
  return scaling;
}

Scaling unit_range(const Dataset& data) {
  const FloatingPointScope floating_point;
  check(data);
  const std::size_t columns = columns_of(data);
  Scaling scaling{std::vector<double>(columns), std::vector<double>(columns)};
  for (std::size_t c = 0; c < columns; ++c) {
    double low = at(data, 0, columns, c);
    double high = low;
    for (Dim row = 1; row < data.size(); ++row) {
      low = std::min(low, at(data, row, columns, c));
      high = std::max(high, at(data, row, columns, c));
    }
    scaling.shift[c] = low;
    scaling.factor[c] = inverse(high - low);
  }
  return scaling;
}

TrainTest standardized(const TrainTest& data) {
  const Scaling scaling = standardization(data.train);
  return {scaling(data.train), scaling(data.test)};
}

Dataset scaled(const Dataset& data, double factor) {
  const FloatingPointScope floating_point;
  return mapped(data, [factor](double x, std::size_t) { return x * factor; });
}

}  // namespace thalweg
