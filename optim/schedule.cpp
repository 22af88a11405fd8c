// SPDX-License-Identifier: Apache-2.0
#include "thalweg/optim/schedule.h"

#include <cmath>

#include "thalweg/graph/fail.h"
#include "thalweg/ops/pointwise.h"
#include "thalweg/ops/source.h"

namespace thalweg {
namespace {

/// The greatest number of steps up to which every one is exact in double.
constexpr std::int64_t exact_steps = std::int64_t{1} << 53;

void need_rate(std::string_view schedule, std::string_view what, double value, SourceLoc loc) {
  if (!std::isfinite(value) || value < 0)
    graph_error(loc, "{}: {} must be finite and at least 0, got {}", schedule, what, value);
}

void need_positive(std::string_view schedule, std::string_view what, double value, SourceLoc loc) {
  if (!std::isfinite(value) || value <= 0)
    graph_error(loc, "{}: {} must be finite and above 0, got {}", schedule, what, value);
}

/// step / decay_steps in double, without the fraction for a staircase.
Value progress(const Value& step, double decay_steps, DecayOptions options) {
  const Value exact = cast(step, DType::f64) / decay_steps;
  return options.staircase ? floor(exact) : exact;
}

}  // namespace

Schedule::Schedule(double number, SourceLoc loc) : number_(number) { need_rate("schedule", "the rate", number, loc); }

Value Schedule::operator()(const Value& step) const {
  if (!at_) return constant(step.graph(), number_, f64());
  Value at = (*at_)(step);
  if (!at || at.type() != TensorType{DType::f64, {}})
    graph_error(at ? at.node().loc : SourceLoc{}, "schedule: it must give a scalar of type f64[], got {}",
                at ? to_string(at.type()) : "an empty Value");
  return at;
}

Schedule piecewise_constant(std::vector<std::int64_t> boundaries, std::vector<double> values, Convention convention,
                            SourceLoc loc) {
  if (values.size() != boundaries.size() + 1)
    graph_error(loc, "piecewise_constant: {} boundaries need {} values, got {}", boundaries.size(),
                boundaries.size() + 1, values.size());
  for (std::size_t i = 0; i < boundaries.size(); ++i)
    if (boundaries[i] < 0 || boundaries[i] > exact_steps || (i > 0 && boundaries[i] <= boundaries[i - 1]))
      graph_error(loc, "piecewise_constant: boundaries must ascend, from 0 to 2^53, got {}",
                  to_string(AttrValue(boundaries)));
  for (const double value : values) need_rate("piecewise_constant", "every value", value, loc);
  return Schedule([=](const Value& step) {
    Value rate = constant(step.graph(), values.back(), f64());
    for (std::size_t i = boundaries.size(); i-- > 0;) {
      const auto bound = static_cast<double>(boundaries[i]);
      const Value before = convention == Convention::keras ? less_equal(step, bound) : less(step, bound);
      rate = select(before, values[i], rate);
    }
    return rate;
  });
}

Schedule exponential_decay(double initial, double decay_rate, double decay_steps, DecayOptions options, SourceLoc loc) {
  need_rate("exponential_decay", "initial", initial, loc);
  need_rate("exponential_decay", "decay_rate", decay_rate, loc);
  need_positive("exponential_decay", "decay_steps", decay_steps, loc);
  return Schedule([=](const Value& step) {
    const Value turns = progress(step, decay_steps, options);
    return initial * pow(decay_rate, turns);
  });
}

Schedule inverse_time_decay(double initial, double decay_rate, double decay_steps, DecayOptions options,
                            SourceLoc loc) {
  need_rate("inverse_time_decay", "initial", initial, loc);
  need_rate("inverse_time_decay", "decay_rate", decay_rate, loc);
  need_positive("inverse_time_decay", "decay_steps", decay_steps, loc);
  return Schedule(
      [=](const Value& step) { return initial / (1.0 + decay_rate * progress(step, decay_steps, options)); });
}

Schedule polynomial_decay(double initial, double decay_steps, PolynomialOptions options, SourceLoc loc) {
  need_rate("polynomial_decay", "initial", initial, loc);
  need_positive("polynomial_decay", "decay_steps", decay_steps, loc);
  need_rate("polynomial_decay", "end", options.end, loc);
  need_positive("polynomial_decay", "power", options.power, loc);
  return Schedule([=](const Value& step) {
    const Value at = cast(step, DType::f64);
    Value done;
    if (options.cycle) {
      const Value turns = max(-floor(-(at / decay_steps)), 1.0);  // rounded up, and 1 at step 0
      done = at / (turns * decay_steps);
    } else {
      done = min(at, decay_steps) / decay_steps;
    }
    const Value left = 1.0 - done;
    return (initial - options.end) * (options.power == 1 ? left : pow(left, options.power)) + options.end;
  });
}

Schedule linear(double initial, double target, std::int64_t steps, SourceLoc loc) {
  need_rate("linear", "initial", initial, loc);
  need_rate("linear", "target", target, loc);
  need_positive("linear", "steps", static_cast<double>(steps), loc);
  return Schedule([=](const Value& step) {
    const auto last = static_cast<double>(steps);
    const Value done = min(cast(step, DType::f64), last) / last;
    // Weights of both ends, so that the line ends at the target to the last bit.
    const Value from = (1.0 - done) * initial, to = done * target;
    return from + to;
  });
}

Schedule join(Schedule first, std::int64_t at, Schedule rest, SourceLoc loc) {
  if (at < 1) graph_error(loc, "join: the second schedule must start at step 1 or later, got {}", at);
  return Schedule([first = std::move(first), at, rest = std::move(rest)](const Value& step) {
    const auto start = static_cast<double>(at);
    const Value before = less(step, start), early = first(step), late = rest(step - start);
    return select(before, early, late);
  });
}

}  // namespace thalweg
