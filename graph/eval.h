// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <cstddef>
#include <span>
#include <string_view>
#include <type_traits>
#include <vector>

#include "thalweg/graph/attrs.h"
#include "thalweg/graph/type.h"

namespace thalweg {

struct Dual;

/// A row-major tensor of the reference interpreter. Integers and booleans are whole numbers in S.
template <class S>
struct Array {
  Shape shape;
  std::vector<S> data;

  Array() = default;
  explicit Array(Shape s, S fill = S{}) : shape(s), data(static_cast<std::size_t>(s.elements()), fill) {}
  Array(Shape s, std::vector<S> d) : shape(s), data(std::move(d)) {}
  S& operator[](std::size_t i) { return data[i]; }
  const S& operator[](std::size_t i) const { return data[i]; }
  std::size_t size() const { return data.size(); }
};

/// Walks the index of a shape in row-major order.
class Index {
 public:
  explicit Index(const Shape& shape) : shape_(shape) {}
  Dim operator[](std::size_t axis) const { return at_[axis]; }
  /// Steps to the next index; false after the last.
  bool next() {
    for (std::size_t axis = shape_.rank(); axis-- > 0;) {
      if (++at_[axis] < shape_[axis]) return true;
      at_[axis] = 0;
    }
    return false;
  }

 private:
  Shape shape_;
  std::array<Dim, Shape::max_rank> at_{};
};

/// What the meaning of an op sees: its operands, attributes and result types; it fills the results.
template <class S>
class Eval {
 public:
  Eval(const Attrs& node_attrs, std::span<const Array<S>* const> in, std::span<const TensorType> in_types,
       std::span<Array<S>> out, std::span<const TensorType> out_types, std::string_view node_name)
      : attrs(node_attrs), name(node_name), in_(in), in_types_(in_types), out_(out), out_types_(out_types) {}

  const Attrs& attrs;
  std::string_view name;  ///< of the variable or input; empty elsewhere

  std::size_t operands() const { return in_.size(); }
  const Array<S>& in(std::size_t i) const { return *in_[i]; }
  const TensorType& in_type(std::size_t i) const { return in_types_[i]; }
  /// Result i, already of its shape and filled with zeros.
  Array<S>& out(std::size_t i = 0) { return out_[i]; }
  const TensorType& out_type(std::size_t i = 0) const { return out_types_[i]; }

  /// out[k] = f(in0[k], in1[k], …) with numpy broadcasting.
  template <class F>
  void each(F f) {
    if constexpr (std::is_invocable_v<F, S>) {
      if (in_.size() == 1) apply([&](std::size_t k) { return f(in(0)[k]); });
    }
    if constexpr (std::is_invocable_v<F, S, S>) {
      if (in_.size() == 2) {
        const auto a = spread(0), b = spread(1);
        apply([&](std::size_t k) { return f(in(0)[a[k]], in(1)[b[k]]); });
      }
    }
    if constexpr (std::is_invocable_v<F, S, S, S>) {
      if (in_.size() == 3) {
        const auto a = spread(0), b = spread(1), c = spread(2);
        apply([&](std::size_t k) { return f(in(0)[a[k]], in(1)[b[k]], in(2)[c[k]]); });
      }
    }
  }
  /// For each element of the result, the element of operand i that broadcasts onto it.
  std::vector<std::size_t> spread(std::size_t i) const { return spread(in(i).shape, out_types_[0].shape); }
  static std::vector<std::size_t> spread(const Shape& from, const Shape& to) {
    std::vector<std::size_t> at(static_cast<std::size_t>(to.elements()));
    const std::vector<Dim> strides = strides_of(from);
    const std::size_t lead = to.rank() - from.rank();
    Index index(to);
    for (std::size_t& k : at) {
      Dim offset = 0;
      for (std::size_t axis = 0; axis < from.rank(); ++axis)
        if (from[axis] != 1) offset += strides[axis] * index[axis + lead];
      k = static_cast<std::size_t>(offset);
      index.next();
    }
    return at;
  }

 private:
  template <class F>
  void apply(F f) {
    for (std::size_t k = 0; k < out_[0].size(); ++k) out_[0][k] = f(k);
  }
  std::span<const Array<S>* const> in_;
  std::span<const TensorType> in_types_;
  std::span<Array<S>> out_;
  std::span<const TensorType> out_types_;
};

/// The meaning of an op, over doubles and over duals, from one generic lambda `[](auto& e) { … }`.
struct Meaning {
  void (*f64)(Eval<double>&) = nullptr;
  void (*dual)(Eval<Dual>&) = nullptr;

  constexpr Meaning() = default;
  template <class F>
  constexpr Meaning(F)  // NOLINT: an OpDef writes `.eval = [](auto& e) { … }`
      : f64([](Eval<double>& e) { F{}(e); }), dual([](Eval<Dual>& e) { F{}(e); }) {}
  constexpr explicit operator bool() const { return f64 != nullptr; }
};

}  // namespace thalweg
