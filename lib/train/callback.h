// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <concepts>
#include <map>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>
#include <vector>

#include "thalweg/graph/function.h"
#include "thalweg/graph/graph.h"
#include "thalweg/graph/shared.h"
#include "thalweg/lib/compile/program.h"
#include "thalweg/lib/train/history.h"

namespace thalweg {

/// The training that a callback is part of: what it may read, and what it may ask for.
class THALWEG_API TrainingRun {
 public:
  /// fit's own copy of the graph, for whole batches: its updates are a step.
  virtual const Graph& graph() const = 0;
  /// Every variable of it: weights, slots, counters. Between steps they may be read and written.
  virtual const Variables& variables() const = 0;
  /// The names of the variables that prediction reads: parameters and running statistics, not the optimizer's slots.
  virtual const std::vector<std::string>& weights() const = 0;
  /// The scalar outputs that the history has means of, loss first.
  virtual const std::vector<std::string>& measures() const = 0;
  /// What was measured; from on_epoch_end on, its last row is this epoch's.
  virtual const History& history() const = 0;
  /// The program that ran the last step: its outputs are that step's. Throws RunError before the first.
  virtual const Program& program() const = 0;

  virtual int epochs() const = 0;  ///< how many were asked for
  virtual int epoch() const = 0;   ///< from 1; in on_train_begin, how many a resumed training has behind it
  virtual Dim steps() const = 0;   ///< of an epoch
  virtual Dim step() const = 0;    ///< of this epoch, from 1; 0 in on_epoch_begin

  /// The learning rate of the next step: what the first optimizer's schedule gives, times what set_rate() made of it.
  /// Throws RunError where no callback has said that it sets the rate (Callback::sets_rate).
  virtual double rate() const = 0;
  /// Multiplies all rates, from the next step on, by what makes rate() this number now; a schedule goes on beneath.
  /// Throws RunError as rate() does, and for a number that is not finite, is below 0, or cannot be reached from 0.
  virtual void set_rate(double rate) = 0;

  /// Makes the step at hand the last, and its epoch too: Keras' `stop_training`.
  virtual void stop() = 0;
  virtual bool stopping() const = 0;
  /// Says whose weights the variables hold when training is over: `history.best_epoch`.
  virtual void set_best_epoch(int epoch) = 0;
  /// A line between those of the progress, unless fit is silent.
  virtual void say(std::string_view line) = 0;

 protected:
  ~TrainingRun() = default;
};

/// What a callback has to remember for a training to be resumed as if it had not been interrupted: tensors and texts by
/// name. Names are the callback's own; those of the same callback never meet those of another.
struct THALWEG_API CallbackState {
  std::map<std::string, Tensor> tensors;
  std::map<std::string, std::string> texts;

  /// A number as a tensor f64[]: exact, nan and infinities too.
  void set(const std::string& name, double number);
  /// Throws RunError if the name is missing or is no scalar.
  double number(const std::string& name) const;
  /// The same for what counts something: a whole number from 0 to 2^31 - 1. Throws RunError for another.
  int whole(const std::string& name) const;
};

/// What fit calls while it trains, in Keras' words. Derive, and override what is needed:
///
///     on_train_begin, for each epoch { on_epoch_begin, for each step { on_train_batch_begin, the step,
///     on_train_batch_end }, with validation { on_test_begin, on_test_end }, on_epoch_end }, on_train_end
///
/// Callbacks are called in the order of FitOptions::callbacks. An exception ends the training. on_train_end is called
/// however training ends (the epochs are over, stop(), SIGINT, an exception) for every callback whose on_train_begin
/// returned; in an epoch that was cut short, on_epoch_end is not.
class THALWEG_API Callback {
 public:
  virtual ~Callback() = default;

  /// By what messages and checkpoints call it: `EarlyStopping`.
  virtual std::string name() const { return "Callback"; }
  /// Whether it calls TrainingRun::set_rate(). fit then makes the rates of its copy of the graph adjustable, and the
  /// history gets a column `learning_rate`.
  virtual bool sets_rate() const { return false; }
  /// Whether it deals with measures that are nan or infinite; fit then does not throw Diverged.
  virtual bool bears_not_finite() const { return false; }
  /// Before the graph is compiled: may add outputs to fit's copy of it, which on_train_batch_end then reads.
  virtual void on_build(Graph& graph);

  /// Forgets what an earlier training left, and checks what it was given against this one.
  virtual void on_train_begin(TrainingRun& run);
  virtual void on_epoch_begin(TrainingRun& run);
  virtual void on_train_batch_begin(TrainingRun& run);
  virtual void on_train_batch_end(TrainingRun& run);
  virtual void on_test_begin(TrainingRun& run);
  virtual void on_test_end(TrainingRun& run);
  virtual void on_epoch_end(TrainingRun& run);
  virtual void on_train_end(TrainingRun& run);

  /// What it knows now, between two steps.
  virtual CallbackState save() const { return {}; }
  /// Takes up what save() gave. A resumed training calls it after on_train_begin. Throws RunError for a state that is
  /// not its own.
  virtual void load(const CallbackState& state);
};

/// A std::shared_ptr or std::unique_ptr of a callback, or what owns one as they do.
template <class P>
concept OwnsCallback = !std::is_pointer_v<P> && requires(const P& pointer) {
  { *pointer } -> std::convertible_to<Callback&>;
  pointer ? 0 : 1;
};

/// A callback as FitOptions holds it: shared, not copied, so that the caller may keep a hand on it. Made of a
/// std::shared_ptr; of an object, which it copies; or of a function that is called at the end of each epoch.
class THALWEG_API AnyCallback {
 public:
  /// Throws RunError for an empty pointer.
  template <OwnsCallback P>
    requires(!std::same_as<P, AnyCallback>)
  AnyCallback(P pointer)  // NOLINT: `.callbacks = {early}`
      : AnyCallback(new detail::Housed<P>(std::move(pointer))) {}
  template <class C>
    requires std::derived_from<std::remove_cvref_t<C>, Callback>
  AnyCallback(C&& callback)  // NOLINT: `.callbacks = {EarlyStopping({.patience = 3})}`
      : callback_(detail::share<std::remove_cvref_t<C>>(std::forward<C>(callback))) {}
  template <class F>
    requires(!std::derived_from<std::remove_cvref_t<F>, Callback> &&
             !std::same_as<std::remove_cvref_t<F>, AnyCallback> && std::is_invocable_v<F&, TrainingRun&>)
  AnyCallback(F&& on_epoch_end)  // NOLINT: `.callbacks = {[](TrainingRun& run) { … }}`
      : AnyCallback(at_epoch_end(std::forward<F>(on_epoch_end))) {}

  Callback& operator*() const { return *callback_; }
  Callback* operator->() const { return callback_.get(); }

 private:
  template <class P>
  explicit AnyCallback(detail::Housed<P>* home)
      : callback_(home->object ? &static_cast<Callback&>(*home->object) : nullptr, home) {
    must_point();
  }
  void must_point() const;
  static AnyCallback at_epoch_end(Function<void(TrainingRun&)> function);
  detail::Shared<Callback> callback_;
};

/// Functions in the place of hooks; those left out do nothing.
struct THALWEG_API Hooks {
  bool sets_rate = false;  ///< whether one of them calls TrainingRun::set_rate()
  Function<void(TrainingRun&)> on_train_begin = {};
  Function<void(TrainingRun&)> on_epoch_begin = {};
  Function<void(TrainingRun&)> on_train_batch_begin = {};
  Function<void(TrainingRun&)> on_train_batch_end = {};
  Function<void(TrainingRun&)> on_epoch_end = {};
  Function<void(TrainingRun&)> on_train_end = {};
};

/// A callback made of functions: `LambdaCallback({.on_train_batch_end = [&](TrainingRun& run) { … }})`.
class THALWEG_API LambdaCallback : public Callback {
 public:
  explicit LambdaCallback(Hooks hooks) : hooks_(std::move(hooks)) {}
  std::string name() const override { return "LambdaCallback"; }
  bool sets_rate() const override { return hooks_.sets_rate; }
  void on_train_begin(TrainingRun& run) override;
  void on_epoch_begin(TrainingRun& run) override;
  void on_train_batch_begin(TrainingRun& run) override;
  void on_train_batch_end(TrainingRun& run) override;
  void on_epoch_end(TrainingRun& run) override;
  void on_train_end(TrainingRun& run) override;

 private:
  Hooks hooks_;
};

}  // namespace thalweg
