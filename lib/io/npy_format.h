// SPDX-License-Identifier: Apache-2.0
// Private: NumPy's array format between bytes and tensors, for files and for entries of archives.
#pragma once

#include <cstddef>
#include <map>
#include <span>
#include <string>

#include "thalweg/lib/base/tensor.h"

namespace thalweg {

/// What read_npy() makes of a file's bytes. Throws RunError naming `source`.
Tensor parse_npy(std::span<const std::byte> bytes, const std::string& source);
/// What read_npz() makes of a file's bytes. Throws RunError naming `path`.
std::map<std::string, Tensor> parse_npz(std::span<const std::byte> bytes, const std::string& path);
/// Everything that comes before a tensor's bytes. Throws RunError naming `path` for bf16 and for an empty tensor.
std::string npy_header(const Tensor& tensor, const std::string& path);

}  // namespace thalweg
