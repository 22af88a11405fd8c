// SPDX-License-Identifier: Apache-2.0
// Private: machine code for a loop over a VectorTape, made when a program is compiled.
#pragma once

#include <cstddef>
#include <memory>
#include <vector>

#include "thalweg/graph/type.h"
#include "thalweg/lib/kernels/vector_tape.h"

namespace thalweg {

/// Rows of elements: how each operand and result goes on, and what is done to a vector of elements.
struct VectorLoop {
  struct Input {
    DType dtype = DType::f32;    ///< f32, f64, i64, bf16 or bool
    bool repeats = false;        ///< one element for a whole row
    std::ptrdiff_t row_step = 0; ///< bytes from a row to the next
  };
  struct Output {
    DType dtype = DType::f32;
    std::array<int, 2> lines{-1, -1};  ///< what is stored; two halves for f64 and i64
    std::ptrdiff_t row_step = 0;
    bool watched = false;  ///< f32 or f64, and to be seen by the loop if it is not finite
  };
  VectorTape tape;  ///< its streams are the inputs, in order
  std::vector<Input> inputs;
  std::vector<Output> outputs;
  /// The numbers of elements, modulo `vector_elements`, that a row may have.
  std::vector<std::size_t> remainders;
};
inline constexpr std::size_t vector_elements = 8;

/// Runs `rows` rows of `n` elements; returns 1 if it stored nan or infinity to a watched output, or numbers so large that
/// their sum is not finite, else 0. An output may be the buffer of an input that does not repeat and has its rows in the
/// same places. Results do not depend on how elements are cut into rows and calls.
using LoopFunction = int (*)(const void* const* in, void* const* out, std::size_t rows, std::size_t n);

/// Owns a function's machine code.
class LoopCode {
 public:
  virtual ~LoopCode() = default;
  virtual LoopFunction function() const = 0;
};

/// Whether this machine runs generated loops: x86-64 with AVX2 and FMA, and memory that may be executed.
bool has_generated_loops();
/// Null where the machine has none, or where the loop is too large.
std::unique_ptr<LoopCode> generate(const VectorLoop& loop);

}  // namespace thalweg
