// SPDX-License-Identifier: Apache-2.0
#pragma once

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
  explicit KernelCheck(const PlannedProgram& planned);
  void before(std::size_t kernel, std::span<const void* const> in) override;
  void after(std::size_t kernel, std::span<void* const> out) override;
  /// The first result of a kernel that departs.
  const std::optional<Finding>& first() const { return first_; }
  std::size_t compared() const { return compared_; }  ///< values

 private:
  using Values = std::map<ValueId, Array<double>>;
  const Array<double>& evaluated(ValueId value, Values& values) const;
  Values moved(const Values& values, std::uint64_t seed) const;
  void compare(std::size_t kernel, std::size_t result, const void* address);

  const PlannedProgram& planned_;
  Values operands_;
  std::optional<Finding> first_;
  std::size_t compared_ = 0;
};

}  // namespace thalweg
