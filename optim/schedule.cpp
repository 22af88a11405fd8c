// SPDX-License-Identifier: Apache-2.0
#include "thalweg/optim/schedule.h"

#include <algorithm>
#include <cmath>
#include <numbers>

#include "thalweg/graph/fail.h"
#include "thalweg/graph/opdef.h"
#include "thalweg/ops/pointwise.h"
#include "thalweg/ops/reduce.h"
#include "thalweg/ops/source.h"

namespace thalweg {
namespace {

/// The greatest number of steps up to which every one is exact in double.
constexpr double exact_steps = 0x1p53;
/// More cycles than this are not laid out in a graph.
constexpr double least_growth = 1.01;

/// The arguments of one schedule, at the user's line.
struct Arguments {
  std::string_view schedule;
  SourceLoc loc;

  void rate(std::string_view what, double value) const {
    if (!std::isfinite(value) || value < 0)
      graph_error(loc, "{}: {} must be finite and at least 0, got {}", schedule, what, value);
  }
  void above(std::string_view what, double value, double min) const {
    if (!std::isfinite(value) || value <= min)
      graph_error(loc, "{}: {} must be finite and above {}, got {}", schedule, what, min, value);
  }
  void part(std::string_view what, double value) const {
    if (!(value >= 0 && value <= 1)) graph_error(loc, "{}: {} must lie in [0, 1], got {}", schedule, what, value);
  }
  void time(std::string_view what, Duration value) const { above(what, value.count(), 0); }
  void one_unit(Duration a, Duration b) const {
    if (a.in_epochs() != b.in_epochs())
      graph_error(loc, "{}: times must all be in iterations or all in epochs", schedule);
  }
  void ascending(std::string_view what, const std::vector<Duration>& times) const {
    std::vector<double> counts;
    for (const Duration& time : times) counts.push_back(time.count());
    for (std::size_t i = 0; i < counts.size(); ++i) {
      one_unit(times[i], times[0]);
      if (!(counts[i] >= 0 && counts[i] <= exact_steps) || (i > 0 && counts[i] <= counts[i - 1]))
        graph_error(loc, "{}: {} must ascend, from 0 to 2^53, got {}", schedule, what, to_string(AttrValue(counts)));
      if (!times[i].in_epochs() && counts[i] != std::floor(counts[i]))
        graph_error(loc, "{}: {} in iterations must be whole, got {}", schedule, what, counts[i]);
    }
  }
};

/// The step in the unit of that time, in f64.
Value position(const Value& step, Duration unit) {
  const Value exact = cast(step, DType::f64);
  if (!unit.in_epochs()) return exact;
  const Value known = steps_per_epoch(step.graph()), positive = greater(known, 0);
  return exact / cast(check(known, positive,
                            "a schedule in epochs needs to know how many steps an epoch has: fit() says so; without it "
                            "set the variable steps_per_epoch"),
                      DType::f64);
}

/// A time in steps, in f64.
Value in_steps(const Value& step, Duration time) {
  if (!time.in_epochs()) return constant(step.graph(), time.count(), f64());
  return time.count() * cast(steps_per_epoch(step.graph()), DType::f64);
}

/// s / decay_steps in double, without the fraction for a staircase.
Value progress(const Value& step, Duration decay_steps, DecayOptions options) {
  const Value exact = position(step, decay_steps) / decay_steps.count();
  return options.staircase ? floor(exact) : exact;
}

/// Both ends weighed, so that the line ends at `to` to the last bit.
Value between(const Value& done, double from, double to) {
  const Value first = (1.0 - done) * from, second = done * to;
  return first + second;
}

/// (1 + cos(π·done)) / 2: from 1 to 0.
Value half_wave(const Value& done) { return 0.5 * (1.0 + cos(std::numbers::pi * done)); }

/// values[i] between boundaries, which are checked.
Schedule stepping(std::vector<Duration> boundaries, std::vector<double> values, Convention convention) {
  const std::optional<Duration> horizon = boundaries.empty() ? std::nullopt : std::optional(boundaries.back());
  const auto at = [=](const Value& step) {
    Value rate = constant(step.graph(), values.back(), f64());
    for (std::size_t i = boundaries.size(); i-- > 0;) {
      // Whole steps are compared as they are.
      const double count = boundaries[i].count();
      const Value now = boundaries[i].in_epochs() ? position(step, boundaries[i]) : step;
      const Value before = convention == Convention::keras ? less_equal(now, count) : less(now, count);
      rate = select(before, values[i], rate);
    }
    return rate;
  };
  return Schedule(at, horizon);
}

std::optional<Duration> later(Duration at, const std::optional<Duration>& horizon) {
  if (!horizon || horizon->in_epochs() != at.in_epochs()) return at;
  const double end = at.count() + horizon->count();
  return at.in_epochs() ? Duration(Epochs(end)) : Duration(end);
}

}  // namespace

Value steps_per_epoch(Graph graph, SourceLoc loc) {
  const std::string name = "steps_per_epoch";
  if (!graph.has(name)) return variable(graph, name, i64(), zeros(), {.trainable = false}, loc);
  const Value found = graph.find(name);
  if (found.node().op->name != "variable" || found.type() != i64())
    graph_error(loc, "a schedule in epochs: the name '{}' is taken\n    {}", name, describe(found));
  return found;
}

Schedule::Schedule(double number, SourceLoc loc) : number_(number) {
  Arguments{"schedule", loc}.rate("the rate", number);
}

Value Schedule::operator()(const Value& step) const {
  if (!at_) return constant(step.graph(), number_, f64());
  Value at = (*at_)(step);
  if (!at || at.type() != TensorType{DType::f64, {}})
    graph_error(at ? at.node().loc : SourceLoc{}, "schedule: it must give a scalar of type f64[], got {}",
                at ? to_string(at.type()) : "an empty Value");
  return at;
}

Schedule piecewise_constant(std::vector<Duration> boundaries, std::vector<double> values, Convention convention,
                            SourceLoc loc) {
  const Arguments arguments{"piecewise_constant", loc};
  if (values.size() != boundaries.size() + 1)
    graph_error(loc, "piecewise_constant: {} boundaries need {} values, got {}", boundaries.size(),
                boundaries.size() + 1, values.size());
  arguments.ascending("boundaries", boundaries);
  for (const double value : values) arguments.rate("every value", value);
  return stepping(std::move(boundaries), std::move(values), convention);
}

Schedule multi_step(double initial, double factor, std::vector<Duration> milestones, SourceLoc loc) {
  const Arguments arguments{"multi_step", loc};
  arguments.rate("initial", initial);
  arguments.rate("factor", factor);
  arguments.ascending("milestones", milestones);
  std::vector<double> values{initial};
  for (std::size_t i = 0; i < milestones.size(); ++i) values.push_back(values.back() * factor);
  for (const double value : values) arguments.rate("every value", value);
  return stepping(std::move(milestones), std::move(values), Convention::torch);
}

Schedule step_decay(double initial, double factor, Duration every, SourceLoc loc) {
  const Arguments arguments{"step_decay", loc};
  arguments.rate("initial", initial);
  arguments.rate("factor", factor);
  arguments.time("every", every);
  return exponential_decay(initial, factor, every, {.staircase = true}, loc);
}

Schedule exponential_decay(double initial, double decay_rate, Duration decay_steps, DecayOptions options,
                           SourceLoc loc) {
  const Arguments arguments{"exponential_decay", loc};
  arguments.rate("initial", initial);
  arguments.rate("decay_rate", decay_rate);
  arguments.time("decay_steps", decay_steps);
  return Schedule([=](const Value& step) {
    const Value turns = progress(step, decay_steps, options);
    return initial * pow(decay_rate, turns);
  });
}

Schedule inverse_time_decay(double initial, double decay_rate, Duration decay_steps, DecayOptions options,
                            SourceLoc loc) {
  const Arguments arguments{"inverse_time_decay", loc};
  arguments.rate("initial", initial);
  arguments.rate("decay_rate", decay_rate);
  arguments.time("decay_steps", decay_steps);
  return Schedule(
      [=](const Value& step) { return initial / (1.0 + decay_rate * progress(step, decay_steps, options)); });
}

Schedule polynomial_decay(double initial, Duration decay_steps, PolynomialOptions options, SourceLoc loc) {
  const Arguments arguments{"polynomial_decay", loc};
  arguments.rate("initial", initial);
  arguments.time("decay_steps", decay_steps);
  arguments.rate("end", options.end);
  arguments.above("power", options.power, 0);
  const auto at = [=](const Value& step) {
    const Value now = position(step, decay_steps);
    Value done;
    if (options.cycle) {
      const Value turns = max(-floor(-(now / decay_steps.count())), 1.0);  // rounded up, and 1 at step 0
      done = now / (turns * decay_steps.count());
    } else {
      done = min(now, decay_steps.count()) / decay_steps.count();
    }
    const Value left = 1.0 - done;
    return (initial - options.end) * (options.power == 1 ? left : pow(left, options.power)) + options.end;
  };
  return Schedule(at, options.cycle ? std::nullopt : std::optional(decay_steps));
}

Schedule linear(double initial, double target, Duration steps, SourceLoc loc) {
  const Arguments arguments{"linear", loc};
  arguments.rate("initial", initial);
  arguments.rate("target", target);
  arguments.time("steps", steps);
  const auto at = [=](const Value& step) {
    return between(min(position(step, steps), steps.count()) / steps.count(), initial, target);
  };
  return Schedule(at, steps);
}

Schedule cosine_decay(double initial, Duration decay_steps, CosineOptions options, SourceLoc loc) {
  const Arguments arguments{"cosine_decay", loc};
  arguments.rate("initial", initial);
  arguments.time("decay_steps", decay_steps);
  arguments.part("alpha", options.alpha);
  arguments.rate("warmup_steps", options.warmup_steps.count());
  const double warmup = options.warmup_steps.count();
  if (options.warmup_target.has_value() != (warmup > 0))
    graph_error(loc, "cosine_decay: warmup_target and warmup_steps belong together");
  if (warmup > 0) {
    arguments.rate("warmup_target", *options.warmup_target);
    arguments.one_unit(decay_steps, options.warmup_steps);
  }
  const double peak = options.warmup_target.value_or(initial);
  const auto at = [=](const Value& step) {
    const Value now = position(step, decay_steps), past = warmup > 0 ? max(now - warmup, 0.0) : now;
    const Value done = (options.periodic ? past : min(past, decay_steps.count())) / decay_steps.count();
    const Value decayed = peak * ((1 - options.alpha) * half_wave(done) + options.alpha);
    if (warmup == 0) return decayed;
    const Value rising = less(now, warmup);
    return select(rising, between(now / warmup, initial, peak), decayed);
  };
  if (options.periodic) return Schedule(at);
  return Schedule(at, warmup > 0 ? later(options.warmup_steps, decay_steps) : decay_steps);
}

Schedule cosine_decay_restarts(double initial, Duration first_decay_steps, RestartsOptions options, SourceLoc loc) {
  const Arguments arguments{"cosine_decay_restarts", loc};
  arguments.rate("initial", initial);
  arguments.time("first_decay_steps", first_decay_steps);
  arguments.part("alpha", options.alpha);
  arguments.rate("m_mul", options.m_mul);
  if (options.t_mul != 1 && !(options.t_mul >= least_growth && std::isfinite(options.t_mul)))
    graph_error(loc, "cosine_decay_restarts: t_mul must be 1, or finite and at least {}, got {}", least_growth,
                options.t_mul);
  std::vector<double> begins, lengths;
  for (double begin = 0, length = first_decay_steps.count(); begin <= exact_steps && options.t_mul != 1;
       begin += length, length *= options.t_mul) {
    begins.push_back(begin);
    lengths.push_back(length);
  }
  return Schedule([=](const Value& step) {
    const double first = first_decay_steps.count();
    const Value now = position(step, first_decay_steps);
    Value cycle, done;
    if (options.t_mul == 1) {
      cycle = floor(now / first);
      done = now / first - cycle;
    } else {
      const Graph graph = step.graph();
      const TensorType cycles{DType::f64, Shape{static_cast<Dim>(begins.size())}};
      const Value starts = constant(graph, begins, cycles), spans = constant(graph, lengths, cycles);
      const Value begun = greater_equal(now, starts);
      const Value begin = max(select(begun, starts, 0.0), Axes{}), span = max(select(begun, spans, 0.0), Axes{});
      cycle = sum(cast(begun, DType::f64)) - 1.0;
      done = (now - begin) / span;
    }
    const Value wave = (1 - options.alpha) * half_wave(done);
    const Value height = options.m_mul == 1 ? constant(step.graph(), 1, f64()) : pow(options.m_mul, cycle);
    return initial * (wave * height + options.alpha);
  });
}

namespace {

/// One stretch of a cycle: from one value to another, up to the step `end`.
struct Stretch {
  double from, to;
  Value end;
};

void check_cycle(const Arguments& arguments, Duration steps, const OneCycleOptions& options) {
  arguments.time("steps", steps);
  if (!steps.in_epochs() && steps.count() < 2)
    graph_error(arguments.loc, "{}: steps must be at least 2, got {}", arguments.schedule, steps.count());
  const double most = options.three_phase ? 0.5 : 1;
  if (!(options.rise > 0 && options.rise < most))
    graph_error(arguments.loc, "{}: rise must lie in (0, {}), got {}", arguments.schedule, most, options.rise);
  arguments.above("div_factor", options.div_factor, 0);
  arguments.above("final_div_factor", options.final_div_factor, 0);
}

/// What goes from `begin` to `peak`, and back to `begin` (three_phase), and to `end`.
Schedule cycle_of(double begin, double peak, double end, Duration steps, const OneCycleOptions& options) {
  const auto at = [=](const Value& step) {
    const Value now = cast(step, DType::f64), all = in_steps(step, steps);
    std::vector<Stretch> stretches{{begin, peak, options.rise * all - 1.0}};
    if (options.three_phase) stretches.push_back({peak, begin, 2 * options.rise * all - 2.0});
    stretches.push_back({options.three_phase ? begin : peak, end, all - 1.0});
    Value rate;
    for (std::size_t i = stretches.size(); i-- > 0;) {
      const Stretch& s = stretches[i];
      const Value start = i == 0 ? constant(step.graph(), 0, f64()) : stretches[i - 1].end;
      const Value length = s.end - start;
      const Value done = min((now - start) / length, 1.0);
      const Value here = options.straight ? between(done, s.from, s.to) : between(1.0 - half_wave(done), s.from, s.to);
      rate = rate ? select(less_equal(now, s.end), here, rate) : here;
    }
    return rate;
  };
  return Schedule(at, steps);
}

}  // namespace

Schedule one_cycle(double greatest, Duration steps, OneCycleOptions options, SourceLoc loc) {
  const Arguments arguments{"one_cycle", loc};
  arguments.rate("greatest", greatest);
  check_cycle(arguments, steps, options);
  const double begin = greatest / options.div_factor;
  return cycle_of(begin, greatest, begin / options.final_div_factor, steps, options);
}

Schedule one_cycle_momentum(double low, double high, Duration steps, OneCycleOptions options, SourceLoc loc) {
  const Arguments arguments{"one_cycle_momentum", loc};
  arguments.part("low", low);
  arguments.part("high", high);
  check_cycle(arguments, steps, options);
  return cycle_of(high, low, high, steps, options);
}

Schedule cyclic(double low, double high, Duration up, CyclicOptions options, SourceLoc loc) {
  const Arguments arguments{"cyclic", loc};
  arguments.rate("low", low);
  arguments.rate("high", high);
  arguments.time("up", up);
  const Duration down = options.down.value_or(up);
  arguments.time("down", down);
  arguments.one_unit(up, down);
  arguments.rate("factor", options.factor);
  const double period = up.count() + down.count(), turn = up.count() / period;
  return Schedule([=](const Value& step) {
    const Value now = position(step, up), cycles = now / period, cycle = floor(cycles);
    const Value done = cycles - cycle;
    const Value rising = done / turn, falling = (1.0 - done) / (1 - turn);
    const Value height = (high - low) * select(less_equal(done, turn), rising, falling);
    if (options.shape == CycleShape::triangular) return low + height;
    const Value factor = options.shape == CycleShape::triangular2 ? pow(0.5, cycle) : pow(options.factor, now);
    return low + height * factor;
  });
}

Schedule join(Schedule first, Duration at, Schedule rest, SourceLoc loc) {
  const double count = at.count();
  const bool fine = at.in_epochs() ? std::isfinite(count) && count > 0
                                   : count >= 1 && count <= exact_steps && count == std::floor(count);
  if (!fine) graph_error(loc, "join: the second schedule must start at step 1 or later, got {}", count);
  const std::optional<Duration> horizon = later(at, rest.horizon());
  const auto joined = [first = std::move(first), at, rest = std::move(rest)](const Value& step) {
    const Value start = at.in_epochs() ? cast(in_steps(step, at), DType::i64)
                                       : constant(step.graph(), at.count(), i64());
    const Value before = less(step, start), early = first(step), late = rest(step - start);
    return select(before, early, late);
  };
  return Schedule(joined, horizon);
}

Schedule warm_up(Duration steps, Schedule then, double from, SourceLoc loc) {
  const Arguments arguments{"warm_up", loc};
  arguments.time("steps", steps);
  arguments.rate("from", from);
  const Schedule rising = [=](const Value& step) {
    const Value done = position(step, steps) / steps.count(), left = (1.0 - done) * from;
    return left + done * then(constant(step.graph(), 0, i64()));
  };
  return join(rising, steps, then, loc);
}

Schedule adjustable(Schedule schedule, std::string name) {
  const std::optional<Duration> horizon = schedule.horizon();
  const auto at = [schedule = std::move(schedule), name = std::move(name)](const Value& step) {
    const Graph graph = step.graph();
    const Value scale = graph.has(name) ? graph.find(name) : variable(graph, name, f64(), ones(), {.trainable = false});
    return schedule(step) * scale;
  };
  return Schedule(at, horizon);
}

}  // namespace thalweg
