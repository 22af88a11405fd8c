// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "thalweg/graph/graph.h"
#include "thalweg/ops/init.h"

namespace thalweg {

/// A value that every run is fed, by name.
THALWEG_API Value input(Graph graph, std::string name, TensorType type, SourceLoc loc = SourceLoc::current());

struct VariableOptions {
  /// Whether `minimize` moves it; running statistics, optimizer slots and counters are not.
  bool trainable = true;
};
/// A value that lives from step to step: `init` gives the first one, `Graph::update` the next ones. Float types take
/// every initializer, the others zeros, ones, constant and values. Errors: a name that is taken, values that the dtype
/// does not hold, low > high, a negative stddev.
THALWEG_API Value variable(Graph graph, std::string name, TensorType type, const Init& init = zeros(),
                           VariableOptions options = {}, SourceLoc loc = SourceLoc::current());

/// A tensor of `type` that is `number` everywhere. NaN and infinities are allowed in float types; in the others the
/// number must be whole and in range.
THALWEG_API Value constant(Graph graph, double number, TensorType type, SourceLoc loc = SourceLoc::current());
/// A tensor of `type` with these elements in row-major order; a single one fills the tensor.
THALWEG_API Value constant(Graph graph, std::vector<double> values, TensorType type,
                           SourceLoc loc = SourceLoc::current());
/// The one number that every element of the value is known to be: of a `constant` of one value, or of its broadcast.
THALWEG_API std::optional<double> constant_number(const Value& value);

/// How many steps were made: the variable `step`, i64[], first 0, not trainable; made on first use. Throws GraphError
/// if the name belongs to something else.
THALWEG_API Value step(Graph graph, SourceLoc loc = SourceLoc::current());

/// x in another dtype. To a float: rounded to nearest, even. Float to integer: truncated toward zero, held at the ends
/// of the range, NaN is 0. Integer to a smaller integer: held at the ends of the range. To bool: whether it is not 0 (NaN
/// is true). The gradient is cast back; through integers and bool there is none.
THALWEG_API Value cast(Operand x, DType dtype);
/// x, through which no gradient flows.
THALWEG_API Value stop_gradient(Operand x);
/// `train` while training; `inference(g)` puts `infer` in its place. Equal types. The gradient goes to `train` only.
THALWEG_API Value by_mode(Operand train, Operand infer);
/// x, with a remark for those who read the graph; a compiler leaves it out. `objective`: minimize() minimizes x;
/// `horizon` and `horizon_epochs`: the schedule x changes until that many steps or epochs, `number`. Any dtype.
THALWEG_API Value note(Operand x, std::string_view about, double number = 0);
/// x where `condition` (bool[]) is true; else the run ends with a RunError with that message, and no variable is
/// updated. Any dtype. It happens only where something reads the result.
THALWEG_API Value check(Operand x, Operand condition, std::string message);

/// Throws RuleError for the first of the values that the dtype does not hold: for integers a fraction or what is out
/// of range, for bool anything but 0 and 1, for floats a finite number that would become infinite.
void need_representable(const std::vector<double>& values, DType dtype);

}  // namespace thalweg
