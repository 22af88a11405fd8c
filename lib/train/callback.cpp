// SPDX-License-Identifier: Apache-2.0
#include "thalweg/lib/train/callback.h"

#include <array>
#include <cmath>
#include <limits>

#include "thalweg/graph/fail.h"

namespace thalweg {

void CallbackState::set(const std::string& name, double number) {
  tensors.insert_or_assign(name, Tensor(TensorType{DType::f64, {}}, std::array{number}));
}

double CallbackState::number(const std::string& name) const {
  const auto found = tensors.find(name);
  if (found == tensors.end()) run_error("the state of a callback lacks '{}'", shown(name));
  if (found->second.type() != TensorType{DType::f64, {}})
    run_error("'{}' in the state of a callback is {}, must be f64[]", shown(name), to_string(found->second.type()));
  return found->second.number(0);
}

int CallbackState::whole(const std::string& name) const {
  constexpr int most = std::numeric_limits<int>::max();
  const double x = number(name);
  if (!(x >= 0 && x <= most) || x != std::floor(x))
    run_error("'{}' in the state of a callback is {}, must be a whole number from 0 to {}", shown(name), x, most);
  return static_cast<int>(x);
}

void Callback::on_build(Graph&) {}
void Callback::on_train_begin(TrainingRun&) {}
void Callback::on_epoch_begin(TrainingRun&) {}
void Callback::on_train_batch_begin(TrainingRun&) {}
void Callback::on_train_batch_end(TrainingRun&) {}
void Callback::on_test_begin(TrainingRun&) {}
void Callback::on_test_end(TrainingRun&) {}
void Callback::on_epoch_end(TrainingRun&) {}
void Callback::on_train_end(TrainingRun&) {}
void Callback::load(const CallbackState&) {}

void AnyCallback::must_point() const {
  if (!callback_) throw RunError("a callback is an empty pointer");
}

AnyCallback AnyCallback::at_epoch_end(Function<void(TrainingRun&)> function) {
  return LambdaCallback({.on_epoch_end = std::move(function)});
}

namespace {
void call(const Function<void(TrainingRun&)>& hook, TrainingRun& run) {
  if (hook) hook(run);
}
}  // namespace

void LambdaCallback::on_train_begin(TrainingRun& run) { call(hooks_.on_train_begin, run); }
void LambdaCallback::on_epoch_begin(TrainingRun& run) { call(hooks_.on_epoch_begin, run); }
void LambdaCallback::on_train_batch_begin(TrainingRun& run) { call(hooks_.on_train_batch_begin, run); }
void LambdaCallback::on_train_batch_end(TrainingRun& run) { call(hooks_.on_train_batch_end, run); }
void LambdaCallback::on_epoch_end(TrainingRun& run) { call(hooks_.on_epoch_end, run); }
void LambdaCallback::on_train_end(TrainingRun& run) { call(hooks_.on_train_end, run); }

}  // namespace thalweg
