// SPDX-License-Identifier: Apache-2.0
// Every optimizer and every schedule, with settings that use all of its slots.
#pragma once

#include <map>
#include <string>

#include "thalweg/optim/adafactor.h"
#include "thalweg/optim/adam.h"
#include "thalweg/optim/adaptive.h"
#include "thalweg/optim/layerwise.h"
#include "thalweg/optim/muon.h"
#include "thalweg/optim/schedule.h"
#include "thalweg/optim/schedule_free.h"
#include "thalweg/optim/sgd.h"
#include "thalweg/optim/sign.h"

namespace thalweg::testing {

inline std::map<std::string, Schedule> schedules() {
  return {{"constant", 0.05},
          {"piecewise", piecewise_constant({2, 5}, {0.1, 0.05, 0.01})},
          {"exponential", exponential_decay(0.1, 0.5, 4)},
          {"staircase", exponential_decay(0.1, 0.5, 4, {.staircase = true})},
          {"inverse", inverse_time_decay(0.1, 0.5, 4)},
          {"polynomial", polynomial_decay(0.1, 6)},
          {"cycle", polynomial_decay(0.1, 4, {.cycle = true})},
          {"linear", linear(0.1, 0.01, 7)},
          {"multi step", multi_step(0.1, 0.5, {2, 4})},
          {"step", step_decay(0.1, 0.5, 3)},
          {"cosine", cosine_decay(0.1, 7)},
          {"restarts", cosine_decay_restarts(0.1, 3)},
          {"one cycle", one_cycle(0.1, 8)},
          {"cyclic", cyclic(0.01, 0.1, 2)},
          {"warm-up", warm_up(3, exponential_decay(0.1, 0.5, 4))},
          {"join", join(linear(0.01, 0.1, 3), 3, exponential_decay(0.1, 0.9, 2))}};
}

inline std::map<std::string, Optimizer> optimizers(const Schedule& rate) {
  return {{"sgd", Sgd{.rate = rate}},
          {"momentum", Sgd{.rate = rate, .momentum = 0.9}},
          {"nesterov", Sgd{.rate = rate, .momentum = 0.9, .nesterov = true}},
          {"torch momentum", Sgd{.rate = rate, .momentum = 0.9, .convention = Convention::torch, .dampening = 0.1}},
          {"torch nesterov", Sgd{.rate = rate, .momentum = 0.9, .nesterov = true, .convention = Convention::torch}},
          {"adagrad", Adagrad{.rate = rate}},
          {"adadelta", Adadelta{.rate = rate}},
          {"rmsprop", RmsProp{.rate = rate}},
          {"centered rmsprop", RmsProp{.rate = rate, .momentum = 0.5, .centered = true}},
          {"adam", Adam{.rate = rate}},
          {"amsgrad", Adam{.rate = rate, .amsgrad = true}},
          {"adamw", AdamW{.rate = rate}},
          {"adamax", Adamax{.rate = rate}},
          {"nadam", Nadam{.rate = rate}},
          {"radam", RAdam{.rate = rate}},
          {"ftrl", Ftrl{.rate = rate}},
          {"lion", Lion{.rate = rate}},
          {"rprop", Rprop{.rate = rate}},
          {"lamb", Lamb{.rate = rate}},
          {"lars", Lars{.rate = rate}},
          {"adafactor", Adafactor{.rate = rate, .relative_step = false}},
          {"muon", Muon{.rate = rate}},
          {"schedule-free adamw", ScheduleFreeAdamW{.rate = rate}},
          {"schedule-free sgd", ScheduleFreeSgd{.rate = rate}}};
}

}  // namespace thalweg::testing
