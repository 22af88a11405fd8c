// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <map>
#include <string>

#include "thalweg/lib/base/tensor.h"

namespace thalweg {

/// Reads NumPy's format of one array (https://numpy.org/doc/stable/reference/generated/numpy.lib.format.html), versions
/// 1 to 3, in C or Fortran order and either byte order. f4 f8 i4 i8 u1 b1 keep their type; i1 i2 u2 become i32, as
/// they do from IDX. Objects, structures and whatever else needs Python are refused, and nothing is ever unpickled.
/// Throws RunError with the path and the byte.
THALWEG_API Tensor read_npy(const std::string& path);
/// Writes an array, version 1, in C order, completely or not at all. The same tensor gives the same bytes. NumPy has no
/// bf16: such a tensor is refused. Throws RunError.
THALWEG_API void write_npy(const Tensor& tensor, const std::string& path);

/// Reads an archive of arrays as numpy.savez and savez_compressed write it: by name, without `.npy`. Every size is
/// checked against the file before memory is taken for it, every CRC against the data. Refuses encryption, entries that
/// overlap or come twice, and archives of 4 GiB or more. Throws RunError with the path and the entry.
THALWEG_API std::map<std::string, Tensor> read_npz(const std::string& path);
/// Writes an archive, not compressed, completely or not at all. The same tensors give the same bytes. Throws RunError.
THALWEG_API void write_npz(const std::map<std::string, Tensor>& tensors, const std::string& path);

}  // namespace thalweg
