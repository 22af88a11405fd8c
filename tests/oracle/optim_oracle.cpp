// SPDX-License-Identifier: Apache-2.0
// Runs update rules (with clipping and averages), schedules and ReduceLROnPlateau in double, as a list of cases asks
// for: JSON in, JSON out, for comparison with another framework that runs beside it.
#include <fmt/format.h>

#include <functional>
#include <iostream>
#include <iterator>
#include <map>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "thalweg/graph/interpret.h"
#include "thalweg/lib/train/learning_rate.h"
#include "thalweg/ops/pointwise.h"
#include "thalweg/ops/reduce.h"
#include "thalweg/ops/source.h"
#include "thalweg/optim/adafactor.h"
#include "thalweg/optim/adam.h"
#include "thalweg/optim/adaptive.h"
#include "thalweg/optim/minimize.h"
#include "thalweg/optim/muon.h"
#include "thalweg/optim/sgd.h"
#include "thalweg/optim/sign.h"

namespace thalweg {
namespace {

using Json = nlohmann::json;

constexpr Convention torch = Convention::torch;

/// The settings of a case; every one must be there.
struct Settings {
  const Json& json;
  double operator[](const char* name) const { return json.at(name).get<double>(); }
  bool flag(const char* name) const { return json.at(name).get<bool>(); }
};

const std::map<std::string, std::function<Optimizer(const Settings&)>> rules = {
    {"SGD", [](const Settings& s) -> Optimizer {
       return Sgd{.rate = s["lr"], .momentum = s["momentum"], .nesterov = s.flag("nesterov"), .convention = torch,
                  .dampening = s["dampening"], .weight_decay = s["weight_decay"]};
     }},
    {"Adam", [](const Settings& s) -> Optimizer {
       return Adam{.rate = s["lr"], .beta1 = s["beta1"], .beta2 = s["beta2"], .epsilon = s["eps"], .convention = torch,
                   .amsgrad = s.flag("amsgrad"), .weight_decay = s["weight_decay"]};
     }},
    {"AdamW", [](const Settings& s) -> Optimizer {
       return AdamW{.rate = s["lr"], .beta1 = s["beta1"], .beta2 = s["beta2"], .epsilon = s["eps"], .convention = torch,
                    .amsgrad = s.flag("amsgrad"), .weight_decay = s["weight_decay"]};
     }},
    {"Adamax", [](const Settings& s) -> Optimizer {
       return Adamax{.rate = s["lr"], .beta1 = s["beta1"], .beta2 = s["beta2"], .convention = torch,
                     .epsilon = s["eps"], .weight_decay = s["weight_decay"]};
     }},
    {"NAdam", [](const Settings& s) -> Optimizer {
       return Nadam{.rate = s["lr"], .beta1 = s["beta1"], .beta2 = s["beta2"], .epsilon = s["eps"],
                    .momentum_decay = s["momentum_decay"], .convention = torch, .weight_decay = s["weight_decay"],
                    .decoupled = s.flag("decoupled_weight_decay")};
     }},
    {"RAdam", [](const Settings& s) -> Optimizer {
       return RAdam{.rate = s["lr"], .beta1 = s["beta1"], .beta2 = s["beta2"], .epsilon = s["eps"],
                    .weight_decay = s["weight_decay"], .decoupled = s.flag("decoupled_weight_decay")};
     }},
    {"Adagrad", [](const Settings& s) -> Optimizer {
       return Adagrad{.rate = s["lr"], .convention = torch, .initial = s["initial_accumulator_value"],
                      .epsilon = s["eps"], .rate_decay = s["lr_decay"], .weight_decay = s["weight_decay"]};
     }},
    {"Adadelta", [](const Settings& s) -> Optimizer {
       return Adadelta{.rate = s["lr"], .rho = s["rho"], .epsilon = s["eps"], .weight_decay = s["weight_decay"]};
     }},
    {"RMSprop", [](const Settings& s) -> Optimizer {
       return RmsProp{.rate = s["lr"], .rho = s["alpha"], .momentum = s["momentum"], .centered = s.flag("centered"),
                      .convention = torch, .epsilon = s["eps"], .weight_decay = s["weight_decay"]};
     }},
    {"Rprop", [](const Settings& s) -> Optimizer {
       return Rprop{.rate = s["lr"], .shrink = s["shrink"], .grow = s["grow"], .smallest = s["smallest"],
                    .largest = s["largest"]};
     }},
    {"Adafactor", [](const Settings& s) -> Optimizer {
       return Adafactor{.rate = Schedule(s["lr"]), .beta2_decay = s["beta2_decay"], .epsilon2 = s["eps2"],
                        .clip_threshold = s["d"], .weight_decay = s["weight_decay"], .convention = torch};
     }},
    {"Muon", [](const Settings& s) -> Optimizer {
       return Muon{.rate = s["lr"], .momentum = s["momentum"], .nesterov = s.flag("nesterov"),
                   .weight_decay = s["weight_decay"], .convention = torch};
     }},
};

std::vector<Duration> durations(const Json& list) {
  std::vector<Duration> all;
  for (const Json& time : list) all.emplace_back(time.get<double>());
  return all;
}

const std::map<std::string, std::function<Schedule(const Settings&)>> schedules = {
    {"StepLR", [](const Settings& s) { return step_decay(s["lr"], s["gamma"], s["step_size"]); }},
    {"MultiStepLR",
     [](const Settings& s) { return multi_step(s["lr"], s["gamma"], durations(s.json.at("milestones"))); }},
    {"ConstantLR", [](const Settings& s) {
       return piecewise_constant({Duration(s["total_iters"])}, {s["lr"] * s["factor"], s["lr"]}, torch);
     }},
    {"LinearLR", [](const Settings& s) {
       return linear(s["lr"] * s["start_factor"], s["lr"] * s["end_factor"], s["total_iters"]);
     }},
    {"ExponentialLR", [](const Settings& s) { return exponential_decay(s["lr"], s["gamma"], 1); }},
    {"PolynomialLR", [](const Settings& s) {
       return polynomial_decay(s["lr"], s["total_iters"], {.end = 0, .power = s["power"]});
     }},
    {"CosineAnnealingLR", [](const Settings& s) {
       return cosine_decay(s["lr"], s["T_max"], {.alpha = s["eta_min"] / s["lr"], .periodic = true});
     }},
    {"CosineAnnealingWarmRestarts", [](const Settings& s) {
       return cosine_decay_restarts(s["lr"], s["T_0"], {.t_mul = s["T_mult"], .alpha = s["eta_min"] / s["lr"]});
     }},
    {"OneCycleLR", [](const Settings& s) {
       return one_cycle(s["max_lr"], s["total_steps"],
                        {.rise = s["pct_start"], .div_factor = s["div_factor"],
                         .final_div_factor = s["final_div_factor"], .straight = s.flag("linear"),
                         .three_phase = s.flag("three_phase")});
     }},
    {"CyclicLR", [](const Settings& s) {
       const std::string mode = s.json.at("mode");
       const CycleShape shape = mode == "triangular"    ? CycleShape::triangular
                                : mode == "triangular2" ? CycleShape::triangular2
                                                        : CycleShape::exp_range;
       return cyclic(s["base_lr"], s["max_lr"], s["step_size_up"],
                     {.down = Duration(s["step_size_down"]), .shape = shape, .factor = s["gamma"]});
     }},
    {"SequentialLR", [](const Settings& s) {
       return join(linear(s["lr"] * s["start_factor"], s["lr"], s["milestone"]), s["milestone"],
                   exponential_decay(s["lr"], s["gamma"], 1));
     }},
};

Clip clip_of(const Json& asked) {
  const std::string kind = asked.at("clip");
  const double limit = asked.at("limit");
  if (kind == "value") return by_value(limit);
  if (kind == "none") return {};
  return by_global_norm(limit, {.convention = torch, .infinity = kind == "infinity"});
}

std::optional<Schedule> average_of(const Json& asked) {
  const std::string kind = asked.at("average");
  if (kind == "ema") return ema(asked.at("momentum"));
  if (kind == "swa") return equal_average();
  return {};
}

/// The variable after each of the gradients, and last its average if there is one.
Json trajectory(const Json& asked) {
  const Shape shape(asked.at("shape").get<std::vector<Dim>>());
  const TensorType type{DType::f64, shape};
  Graph g("oracle");
  const Value w = variable(g, "w", type, values(asked.at("start").get<std::vector<double>>()));
  minimize(sum(w * input(g, "g", type)), rules.at(asked.at("rule"))({asked.at("settings")}),
           {.clip = clip_of(asked), .average = average_of(asked)});
  Interpreter run(g);
  Json all = Json::array();
  for (const Json& gradient : asked.at("gradients")) {
    run.set("g", {shape, gradient.get<std::vector<double>>()});
    run.step();
    all.push_back(run.variable("w").data);
  }
  if (average_of(asked)) all.push_back(run.variable("average/w").data);
  return all;
}

/// The rate at steps 0, 1, 2, …
Json rates(const Json& asked) {
  Graph g("oracle");
  const Value at = step(g);
  g.output("rate", schedules.at(asked.at("schedule"))({asked.at("settings")})(at));
  g.update(at, at + 1);
  Interpreter run(g);
  Json all = Json::array();
  for (int i = 0; i < asked.at("steps").get<int>(); ++i) {
    run.step();
    all.push_back(run.output("rate")[0]);
  }
  return all;
}

/// A training of which a callback sees nothing but a metric and the rate that it sets.
class Metrics final : public TrainingRun {
 public:
  Metrics(double rate, std::vector<double> metrics) : rate_(rate), metrics_(std::move(metrics)) {
    history_.columns = {"loss"};
  }
  bool next() {
    if (epoch_ == epochs()) return false;
    history_.rows.push_back({metrics_[static_cast<std::size_t>(epoch_++)]});
    return true;
  }

  const Graph& graph() const override { return graph_; }
  const Variables& variables() const override { return variables_; }
  const std::vector<std::string>& weights() const override { return names_; }
  const std::vector<std::string>& measures() const override { return history_.columns; }
  const History& history() const override { return history_; }
  const Program& program() const override { throw RunError("no step has run"); }
  int epochs() const override { return static_cast<int>(metrics_.size()); }
  int epoch() const override { return epoch_; }
  Dim steps() const override { return 1; }
  Dim step() const override { return 1; }
  double rate() const override { return rate_; }
  void set_rate(double rate) override { rate_ = rate; }
  void stop() override {}
  bool stopping() const override { return false; }
  void set_best_epoch(int) override {}
  void say(std::string_view) override {}

 private:
  double rate_;
  std::vector<double> metrics_;
  Graph graph_{"metrics"};
  Variables variables_;
  std::vector<std::string> names_;
  History history_;
  int epoch_ = 0;
};

/// The rate after each epoch.
Json rates_on_plateaus(const Json& asked) {
  const Settings s{asked.at("settings")};
  Metrics run(s["lr"], asked.at("metrics").get<std::vector<double>>());
  ReduceLROnPlateau callback({.monitor = "loss",
                              .factor = s["factor"],
                              .patience = static_cast<int>(s["patience"]),
                              .min_delta = s["threshold"],
                              .relative = s.flag("relative"),
                              .cooldown = static_cast<int>(s["cooldown"]),
                              .min_rate = s["min_lr"],
                              .convention = torch});
  callback.on_train_begin(run);
  Json all = Json::array();
  while (run.next()) {
    callback.on_epoch_end(run);
    all.push_back(run.rate());
  }
  return all;
}

Json answer(const Json& asked) {
  if (asked.contains("rule")) return trajectory(asked);
  return asked.contains("schedule") ? rates(asked) : rates_on_plateaus(asked);
}

}  // namespace
}  // namespace thalweg

int main() {
  try {
    const std::string text(std::istreambuf_iterator<char>(std::cin), {});
    nlohmann::json answers = nlohmann::json::array();
    for (const nlohmann::json& asked : nlohmann::json::parse(text))
      answers.push_back(thalweg::answer(asked));
    std::cout << answers.dump() << '\n';
    return 0;
  } catch (const std::exception& error) {
    std::cerr << "optim_oracle: " << error.what() << '\n';
    return 1;
  }
}
