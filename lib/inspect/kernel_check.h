// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <limits>
#include <map>
#include <optional>
#include <vector>

#include "thalweg/graph/interpret.h"
#include "thalweg/lib/compile/program.h"

namespace thalweg {

/// Compares each kernel of a step with the meaning of its nodes, in double, on the very operands that it read. How far
/// a result may be off is found by moving the operands by their own rounding, and leaves room for that of the sums.
class THALWEG_API KernelCheck : public StepObserver {
 public:
  struct Finding {
    std::size_t kernel = 0;
    ValueId value;
    Dim element = 0;
    double expected = 0, got = 0, bound = 0;
  };
  /// Where all kernels would take the interpreter more than `most_flops`, compares one of each kind from the cheapest
  /// on, then what more there is room for.
  explicit KernelCheck(const PlannedProgram& planned, double most_flops = std::numeric_limits<double>::infinity());
  void before(std::size_t kernel, std::span<const void* const> in) override;
  void after(std::size_t kernel, std::span<void* const> out) override;
  /// The first result of a kernel that departs.
  const std::optional<Finding>& first() const { return first_; }
  std::size_t compared() const { return compared_; }  ///< values
  std::size_t kernels() const { return kernels_; }    ///< that are compared
  std::size_t kinds_left_out() const { return kinds_left_out_; }  ///< of kernels, with none of them compared
  double cheapest_left_out() const { return cheapest_left_out_; }  ///< the interpreter's operations; 0 if none is

  /// How often the interpreter computes each kernel: on its operands, and on some that are moved by their rounding.
  static constexpr int sweeps = 5;

 private:
  using Values = std::map<ValueId, Array<double>>;
  const Array<double>& evaluated(ValueId value, Values& values) const;
  Values moved(const Values& values, std::uint64_t seed) const;
  void compare(std::size_t kernel, std::size_t result, const void* address);
  void choose(double most_flops);

  const PlannedProgram& planned_;
  Values operands_;
  std::optional<Finding> first_;
  std::size_t compared_ = 0, kernels_ = 0, kinds_left_out_ = 0;
  double cheapest_left_out_ = 0;
  std::vector<bool> chosen_;  ///< of each kernel
};

}  // namespace thalweg
