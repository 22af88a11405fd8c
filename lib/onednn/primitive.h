// SPDX-License-Identifier: Apache-2.0
// Private: what every oneDNN lowering shares.
#pragma once

#include <array>
#include <oneapi/dnnl/dnnl.hpp>
#include <optional>
#include <string>
#include <vector>

#include "thalweg/graph/type.h"
#include "thalweg/lib/kernels/kernel.h"

namespace thalweg::onednn {

const dnnl::engine& engine();
dnnl::memory::data_type data_type(DType dtype);
/// Row-major layout of `shape`, or of its axes in another order: axis i of the descriptor is axis `order[i]`.
dnnl::memory::desc dense(const TensorType& type, std::span<const std::size_t> order = {});
/// Whether a primitive descriptor's implementation is oneDNN's reference loop, 100 to 500 times slower than the rest.
bool is_reference(const std::string& implementation);
/// Throws InternalError naming the node for what oneDNN answers with a text without facts.
[[noreturn]] void rethrow(const dnnl::error& error, const Node& node);
/// oneDNN takes at most this many bytes of one tensor before its own size arithmetic is in doubt.
bool sizes_are_safe(const KernelRequest& request);

/// A primitive with its arguments prepared: tensors are set by address, once for each new address.
class Call {
 public:
  Call() = default;
  Call(dnnl::primitive primitive, std::string implementation);
  /// Declares that argument `arg` has this layout; arguments are later set in the order of declaration.
  void argument(int arg, const dnnl::memory::desc& desc);
  void set(std::size_t index, const void* address) const;
  void execute() const;
  const std::string& implementation() const { return implementation_; }
  explicit operator bool() const { return static_cast<bool>(primitive_); }

 private:
  dnnl::primitive primitive_;
  std::string implementation_;
  std::vector<dnnl::memory> memories_;
  std::vector<dnnl_exec_arg_t> arguments_;
  dnnl::stream stream_;
};

/// A heavy primitive between layout changes. Each tensor has the layout the program keeps it in and the one the
/// primitive wants; where they differ, a reorder runs before or after it, through a place in the scratch.
class ReorderedCall {
 public:
  ReorderedCall(dnnl::primitive primitive, std::string implementation, std::size_t scratchpad_bytes);
  void input(int arg, const dnnl::memory::desc& kept, const dnnl::memory::desc& wanted);
  void output(int arg, const dnnl::memory::desc& kept, const dnnl::memory::desc& wanted);
  /// To be called after the last input and output.
  void finish(const dnnl::memory::desc& scratchpad);
  void run(const void* const* in, void* const* out, void* scratch) const;
  std::size_t scratch_bytes() const { return scratch_bytes_; }
  std::size_t reorders() const { return before_.size() + after_.size(); }
  const std::string& implementation() const { return main_.implementation(); }

 private:
  struct Reorder {
    Call call;
    std::size_t tensor;   ///< index among the inputs, or among the outputs
    std::size_t argument; ///< of the main call
    std::size_t offset;   ///< of the wanted layout in the scratch
    std::size_t scratchpad;  ///< of oneDNN's own
  };
  std::size_t place(std::size_t bytes);
  void add_reorder(std::vector<Reorder>& list, const dnnl::memory::desc& from, const dnnl::memory::desc& to,
                   std::size_t tensor, std::size_t bytes);
  Call main_;
  std::vector<Reorder> before_, after_;
  std::vector<std::pair<std::size_t, std::size_t>> direct_in_, direct_out_;  ///< argument, tensor
  std::size_t arguments_ = 0, inputs_ = 0, outputs_ = 0;
  std::size_t scratch_bytes_ = 0, scratchpad_offset_ = 0;
};

}  // namespace thalweg::onednn
