// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <map>
#include <string>

#include "thalweg/graph/graph.h"
#include "thalweg/lib/base/tensor.h"
#include "thalweg/lib/compile/program.h"

namespace thalweg {

/// The content of a safetensors file (https://github.com/huggingface/safetensors): tensors by name, and free text.
struct Safetensors {
  std::map<std::string, Tensor> tensors;
  std::map<std::string, std::string> metadata;
};

/// Writes a safetensors file, completely or not at all. The same content gives the same bytes. Dtypes: F32 BF16 F64 I32
/// I64 U8 BOOL. Throws RunError.
THALWEG_API void write_safetensors(const Safetensors& content, const std::string& path);
/// Reads a safetensors file. Everything in it is checked: sizes against the file, that the tensors lie side by side
/// without overlap or hole, each one's dtype, shape and bytes against one another, no name twice. Throws RunError with
/// the path and the tensor's name.
THALWEG_API Safetensors read_safetensors(const std::string& path);

struct LoadOptions {
  bool allow_missing = false;  ///< variables that the file lacks keep their values
  bool allow_unknown = false;  ///< tensors that are no variable are left in the file
};
/// Writes all variables (parameters, optimizer slots, counters) as a safetensors file.
THALWEG_API void save_weights(const Variables& variables, const std::string& path,
                              const std::map<std::string, std::string>& metadata = {});
/// Gives the variables the file's values; of a checkpoint, those of its variables. Throws RunError listing every tensor
/// that is missing, unknown or of another
/// type; nothing is changed then.
THALWEG_API void load_weights(const Variables& variables, const std::string& path, const LoadOptions& options = {});
/// The variables of a graph, from a file.
THALWEG_API Variables load_weights(const Graph& graph, const std::string& path, const LoadOptions& options = {});

}  // namespace thalweg
