// SPDX-License-Identifier: Apache-2.0
// Private: the writer of small products. Xbyak stays behind this header.
#pragma once

#include <bit>
#include <vector>

#include "thalweg/lib/kernels/product_code.h"
#include "thalweg/lib/kernels/vector_writer.h"

namespace thalweg {

/// Sizes and strides (in elements) of c = a · b; c is dense. The depth may lie in `blocks` blocks of k, as the rows of
/// a window do.
struct ProductShape {
  int m = 0, n = 0, k = 0;
  int a_row = 0, a_column = 0, b_row = 0, b_column = 1;
  ProductEnd end = {};
  int blocks = 1, a_block = 0, b_block = 0;
  std::vector<int> a_rows = {};  ///< where each row of a begins, if that is not at multiples of a_row
  bool whole_rows = false;       ///< rows of b are filled up to whole vectors
  bool adds = false;             ///< to what c holds
  bool packs() const { return b_column != 1; }
  int vectors() const { return (n + VectorWriter::lanes - 1) / VectorWriter::lanes; }
};

/// `room` is for a packed b: k rows of whole vectors, where packs(); or the sums of columns. `bias` may be a gate.
using ProductFunction = void (*)(const float* a, const float* b, const float* bias, float* c, float* room);

/// Writes a product as tiles of rows and vectors of columns, with all sums of a tile in registers over the whole depth.
class ProductWriter : public VectorWriter {
 public:
  explicit ProductWriter(const ProductShape& shape);
  ProductFunction entry() const { return getCode<ProductFunction>(); }

 private:
  void write();
  void sum_columns();
  void pack();
  void panel(int vectors, int rest);
  void tile(int first, int rows, int vectors, int rest);
  void depth(int first, int rows, int vectors, bool masks);
  void step(const Xbyak::Reg64& a, const Xbyak::Reg64& b, int first, int rows, int vectors, bool masks, int at);
  void finish(int rows, int vectors, int rest);
  int panel_vectors() const;

  ProductShape s_;
};

}  // namespace thalweg
