// SPDX-License-Identifier: Apache-2.0
#include "thalweg/lib/train/fit.h"

#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstring>
#include <numeric>
#include <utility>

#include "thalweg/graph/fail.h"
#include "thalweg/graph/opdef.h"
#include "thalweg/lib/base/signals.h"
#include "thalweg/lib/base/threads.h"
#include "thalweg/lib/kernels/finite.h"
#include "thalweg/lib/kernels/simd.h"
#include "thalweg/lib/onednn/version.h"
#include "thalweg/lib/train/accumulation.h"
#include "thalweg/lib/train/batches.h"
#include "thalweg/lib/train/check_finite.h"
#include "thalweg/lib/train/checkpointing.h"
#include "thalweg/lib/train/early_stopping.h"
#include "thalweg/lib/train/means.h"
#include "thalweg/lib/train/progress.h"
#include "thalweg/lib/train/training_state.h"
#include "thalweg/lib/train/with_batch.h"
#include "thalweg/ops/inference.h"
#include "thalweg/ops/loss.h"
#include "thalweg/optim/adjust.h"

namespace thalweg {
namespace {

using Clock = std::chrono::steady_clock;

double seconds_since(Clock::time_point begin) {
  return std::chrono::duration<double>(Clock::now() - begin).count();
}

/// The options, whose numbers are in their ranges; else a RunError at the caller's line.
const FitOptions& checked(const FitOptions& options, SourceLoc loc) {
  const auto need = [&](bool fine, const std::string& otherwise) {
    if (!fine) throw RunError(otherwise, loc);
  };
  const auto& fraction = options.validation.fraction();
  need(options.epochs >= 1, fmt::format("epochs is {}, must be at least 1", options.epochs));
  need(options.batch >= full_batch, fmt::format("batch is {}, must be 0 (as the graph says), full_batch or more",
                                                options.batch));
  need(options.micro_batch >= 0, fmt::format("micro_batch is {}, must be 0 or more", options.micro_batch));
  need(!fraction || (*fraction > 0 && *fraction < 1),
       fmt::format("a validation fraction lies between 0 and 1, and {} was given", fraction.value_or(0)));
  need(options.verbose >= verbose_automatic && options.verbose <= verbose_lines,
       fmt::format("verbose is {}, must be -1 (by itself), 0 (silent), 1 (a bar) or 2 (a line an epoch)",
                   options.verbose));
  need(options.patience || (options.monitor.empty() && options.min_delta == 0),
       "monitor and min_delta say what patience looks at, and no patience was given");
  const bool keeps = !options.checkpoint.folder.empty();
  need(keeps || !options.resume, "resume needs a folder of checkpoints: .checkpoint = {\"runs/a\"}");
  need(!options.resume || !options.compile.tune || !options.checkpoint.same_bits,
       "compile.tune chooses kernels by their times, which differ from run to run: a training that is resumed has other "
       "last bits then; allow it by .checkpoint = {\"runs/a\", 0, {.same_bits = false}}, or do without tune");
  need(!keeps || options.checkpoint.every >= 0,
       fmt::format("checkpoint.every is {}, must be 0 (each epoch) or more", options.checkpoint.every));
  need(!keeps || options.checkpoint.keep >= 1,
       fmt::format("checkpoint.keep is {}, must be at least 1", options.checkpoint.keep));
  return options;
}

/// How many samples are learned from.
Dim learned(const Dataset& train, const FitOptions& options) {
  const auto& fraction = options.validation.fraction();
  return fraction ? validation_begin(train.size(), *fraction) : train.size();
}

/// Samples a step.
Dim batch_asked(const Graph& graph, Dim learned, const FitOptions& options) {
  if (options.batch == full_batch) return learned;
  return options.batch == 0 ? batch_of(graph) : options.batch;
}

/// The graph for what is computed at once.
Graph computed_at_once(const Graph& graph, Dim batch, const FitOptions& options) {
  if (options.micro_batch > 0) return with_batch(graph, std::min(options.micro_batch, batch));
  return options.batch == 0 ? graph.clone() : with_batch(graph, batch);
}

/// Gives `to` the values of `from`; the first time it becomes a copy.
void copy_variables(const Variables& from, Variables& to) {
  if (to.names().empty()) {
    to = from.clone();
    return;
  }
  for (const std::string& name : from.names()) to.set(name, from.at(name));
}

/// One training run.
class Training final : public TrainingRun {
 public:
  Training(const Graph& graph, const Dataset& train, const FitOptions& options, SourceLoc loc)
      : options_(checked(options, loc)),
        loc_(loc),
        train_(train),
        learning_(learned(train, options)),
        batch_(batch_asked(graph, learning_, options)),
        checkpoints_(options.checkpoint, options.resume),
        graph_(computed_at_once(graph, batch_, options)),
        binding_(bind_inputs(graph_, train, options.input, options.label, loc)),
        means_(graph_),
        progress_(options.verbose, options.epochs, train.size()) {
    check_options();
    if (options_.micro_batch > 0 && !options_.ghost_batches) check_separable(graph);
    if (options_.patience)
      callbacks_.emplace_back(EarlyStopping({.monitor = options_.monitor, .min_delta = options_.min_delta,
                                             .patience = *options_.patience, .restore_best_weights = true}, loc_));
    callbacks_.insert(callbacks_.end(), options_.callbacks.begin(), options_.callbacks.end());
    for (const AnyCallback& callback : callbacks_) callback->on_build(graph_);
    bears_not_finite_ = std::any_of(callbacks_.begin(), callbacks_.end(),
                                    [](const AnyCallback& callback) { return callback->bears_not_finite(); });
    adjust_rates();
    place_validation();
    if (checkpoints_) {
      facts_ = facts();
      checkpoints_.find(facts_);
    }
    compile_programs();
    name_columns();
    const Graph predicting = inference(graph_);
    for (const NodeId id : predicting.variables()) weights_.push_back(predicting.node(id).name);
  }

  History run() {
    resume();
    try {
      for (const AnyCallback& callback : callbacks_) {
        callback->on_train_begin(*this);
        ++begun_;
      }
      if (const auto& found = checkpoints_.found())
        for (std::size_t i = 0; i < callbacks_.size(); ++i) callbacks_[i]->load(found->callbacks[i].second);
      train();
    } catch (...) {
      end();  // what went wrong first is what the caller is told
      throw;
    }
    if (const std::exception_ptr error = end()) std::rethrow_exception(error);
    // A signal that came while the last epoch was saved has cut nothing short, and must not be lost all the same.
    history_.interrupted = history_.interrupted || signals_.came();
    if (history_.interrupted) signals_.told_of();
    return history_;
  }

  const Graph& graph() const override { return graph_; }
  const Variables& variables() const override { return history_.variables; }
  const std::vector<std::string>& weights() const override { return weights_; }
  const std::vector<std::string>& measures() const override { return means_.names(); }
  const History& history() const override { return history_; }
  const Program& program() const override {
    if (last_program_ == nullptr) throw RunError("no step has run yet");
    return *last_program_;
  }
  int epochs() const override { return options_.epochs; }
  int epoch() const override { return epoch_; }
  Dim steps() const override { return (steps_->count() + micro_batches_ - 1) / micro_batches_; }
  Dim step() const override { return step_; }
  double rate() const override { return rate_with(feeds_.rate_scale); }
  void set_rate(double rate) override {
    if (!std::isfinite(rate) || rate < 0) run_error("the learning rate cannot be set to {}", number_text(rate));
    const double unscaled = rate_with(1);
    if (unscaled == 0 && rate != 0) run_error("the learning rate is 0 by its schedule, and cannot be set to {}", rate);
    if (unscaled != 0) feeds_.rate_scale = rate / unscaled;
  }
  void stop() override { stopping_ = true; }
  bool stopping() const override { return stopping_; }
  void set_best_epoch(int epoch) override { history_.best_epoch = epoch; }
  void say(std::string_view line) override { progress_.say(line); }

 private:
  void train() {
    set_counters();
    warn_of_horizons();
    const Clock::time_point begin = Clock::now();
    for (const std::string& line : checkpoints_.passed_over()) warn(line);
    if (checkpoints_.found()) progress_.say(checkpoints_.resuming());
    while ((epoch_ < options_.epochs && !stopping_) || steps_done_ > 0) {
      ++epoch_;
      epoch_begin_ = Clock::now();
      // In the midst of an epoch they come from the checkpoint.
      if (options_.when_diverged == WhenDiverged::restore && steps_done_ == 0)
        copy_variables(history_.variables, restored_);
      bool learned = false;
      try {
        learned = learn();
      } catch (const Diverged& error) {
        if (options_.when_diverged == WhenDiverged::raise) throw;
        copy_variables(restored_, history_.variables);
        history_.diverged = true;
        progress_.say(error.what());
        break;
      }
      if (!learned || !validate()) {
        history_.interrupted = true;
        if (checkpoints_) save();
        progress_.say(fmt::format("Interrupted in epoch {} after {:.1f}s{}", epoch_, seconds_since(begin),
                                  checkpoints_.last_path().empty() ? "" : "; saved " + checkpoints_.last_path()));
        break;
      }
      add_row(epoch_seconds());
      steps_done_ = 0;
      earlier_seconds_ = 0;
      tell(&Callback::on_epoch_end);
      const bool last = stopping_ || epoch_ >= options_.epochs;
      if (checkpoints_.due_each_epoch() || (checkpoints_ && last)) save();
    }
    history_.stopped_early = stopping_;
  }

  double epoch_seconds() const { return earlier_seconds_ + seconds_since(epoch_begin_); }

  // ---- checkpoints

  std::vector<Fact> facts() const {
    const Dataset* judge = options_.validation.data() ? &*options_.validation.data() : nullptr;
    const CompileOptions& compiling = options_.compile;
    return {{"graph", graph_digest(graph_)},
            {"batch", std::to_string(batch_)},
            {"computed_at_once", std::to_string(batch_of(graph_))},
            {"samples", std::to_string(learning_)},
            {"data", data_digest(train_)},
            {"validation", !judging_ ? "none" : judge ? data_digest(*judge) : "part of the data"},
            {"inputs", binding_.input + " " + binding_.label},
            {"shuffle", options_.shuffle ? fmt::format("by seed {}", options_.seed) : "no"},
            {"passes", fmt::format("fold {:d}, cse {:d}, dce {:d}, fuse {:d}, layout {:d}, in_place {:d}, "
                                   "generate {:d}, tune {:d}, winograd {:d}", compiling.fold, compiling.cse,
                                   compiling.dce, compiling.fuse, compiling.layout, compiling.in_place, compiling.generate, compiling.tune,
                                   compiling.winograd), true},
            {"precision", compiling.precision == Precision::bf16 ? "bf16" : "f32", true},
            {"logical_threads", std::to_string(compiling.logical_threads), true},
            {"version", THALWEG_VERSION, true},
            {"onednn", onednn::version(), true},
            {"instruction_set", fmt::format("{} {}", onednn::instruction_set(), simd().target), true}};
  }

  /// The training between two steps. Variables share their bytes with it.
  TrainingState state() const {
    TrainingState now;
    now.facts = facts_;
    now.epochs_done = static_cast<int>(history_.rows.size());
    now.steps_done = steps_done_;
    now.stopping = stopping_;
    now.best_epoch = history_.best_epoch;
    now.seconds = steps_done_ > 0 ? epoch_seconds() : 0;
    now.last_loss = last_loss_;
    now.rate_scale = feeds_.rate_scale;
    now.last_rate = last_rate_;
    now.sums = means_.sums();
    now.samples = steps_done_ > 0 ? means_.samples() : 0;
    now.columns = history_.columns;
    now.rows = history_.rows;
    now.training_threads = steps_->threads();
    if (apply_) now.update_threads = apply_->logical_threads();
    if (checks_) now.validation_threads = checks_->threads();
    for (const NodeId id : graph_.variables())
      now.variables.emplace(graph_.node(id).name, history_.variables.at(graph_.node(id).name));
    if (steps_done_ > 0)
      for (const std::string& name : restored_.names()) now.epoch_begin.emplace(name, restored_.at(name));
    now.skipped = skipped_of_epoch_;
    now.warnings = history_.warnings;
    for (const AnyCallback& callback : callbacks_) now.callbacks.emplace_back(callback->name(), callback->save());
    return now;
  }

  void save() {
    if (const std::string problem = checkpoints_.save(state()); !problem.empty()) warn(problem);
  }

  /// Goes on from a checkpoint if there is one, and says now if none can be written later.
  void resume() {
    if (!checkpoints_) return;
    const TrainingState here = state();
    if (checkpoints_.found()) {
      checkpoints_.check(here);
      take_up(*checkpoints_.found());
    }
    if (const std::string problem = checkpoints_.cannot_hold(here); !problem.empty()) warn(problem);
  }

  /// What callbacks know follows once they have begun.
  void take_up(const TrainingState& saved) {
    for (const auto& [name, value] : saved.variables) history_.variables.set(name, value);
    epoch_ = saved.epochs_done;
    steps_done_ = saved.steps_done;
    stopping_ = saved.stopping;
    history_.best_epoch = saved.best_epoch;
    history_.rows = saved.rows;
    earlier_seconds_ = saved.seconds;
    last_loss_ = saved.last_loss;
    feeds_.rate_scale = saved.rate_scale;
    last_rate_ = saved.last_rate;
    history_.warnings = saved.warnings;
    if (steps_done_ == 0) return;
    means_.go_on(saved.sums, saved.samples);
    skipped_of_epoch_ = saved.skipped;
    if (options_.when_diverged != WhenDiverged::restore) return;
    // Saved by a training that would have thrown: the checkpoint itself is then the last that is known to be good.
    copy_variables(history_.variables, restored_);
    for (const auto& [name, value] : saved.epoch_begin) restored_.set(name, value);
  }

  void tell(void (Callback::*hook)(TrainingRun&)) {
    for (const AnyCallback& callback : callbacks_) ((*callback).*hook)(*this);
  }

  /// Ends every callback that has begun, whatever the others throw; the first of that comes back.
  std::exception_ptr end() {
    std::exception_ptr first;
    for (std::size_t i = 0; i < begun_; ++i) {
      try {
        callbacks_[i]->on_train_end(*this);
      } catch (...) {
        if (!first) first = std::current_exception();
      }
    }
    return first;
  }

  void check_options() const {
    const Dim micro = options_.micro_batch;
    if (micro > 0 && batch_ < learning_ && batch_ % micro != 0 && micro < batch_)
      throw RunError(fmt::format("a batch of {} samples cannot be cut into micro-batches of {}: it must be a multiple",
                                 batch_, micro), loc_);
    if (means_.names().empty())
      run_error("graph '{}' has no scalar output: name the loss by `g.output(\"loss\", loss)`", graph_.name());
    if (graph_.updates().empty())
      run_error("graph '{}' updates nothing, so that there is nothing to train: call minimize() first", graph_.name());
  }

  static constexpr const char* rate_name = "fit/learning_rate";

  /// Lets callbacks set the rate, if one of them wants to.
  void adjust_rates() {
    sets_rate_ = std::any_of(callbacks_.begin(), callbacks_.end(), [](const AnyCallback& c) { return c->sets_rate(); });
    if (!sets_rate_) return;
    const Value rate = scale_rates(graph_, Feeds::rate_scale_name);
    if (rate) graph_.output(rate_name, rate);
    else sets_rate_ = false;
  }

  /// The rate of the next step by its schedule, times `scale`.
  double rate_with(double scale) const {
    if (!rate_) not_adjustable();
    rate_->input<double>(Feeds::rate_scale_name)[0] = scale;
    rate_->run();
    return rate_->scalar(rate_name);
  }

  [[noreturn]] void not_adjustable() const {
    for (const AnyCallback& callback : callbacks_)
      if (callback->sets_rate())
        run_error("graph '{}' has no learning rate: no optimizer with a rate updates it", graph_.name());
    throw RunError("the learning rate is fixed: a callback that sets it says so by sets_rate(), or Hooks::sets_rate");
  }

  void place_validation() {
    if (options_.validation.fraction()) {
      judging_ = {&train_, learning_, train_.size(), {}};
    } else if (const auto& data = options_.validation.data()) {
      bind_inputs(graph_, *data, binding_.input, binding_.label);
      judging_ = {&*data, 0, data->size(), {}};
    }
    order_.resize(static_cast<std::size_t>(learning_));
    keys_.resize(options_.shuffle ? order_.size() : 0);
    std::iota(order_.begin(), order_.end(), 0u);
  }

  void compile_programs() {
    CompileOptions compiling = options_.compile;
    compiling.variables = options_.variables.value_or(Variables());
    history_.variables = compiling.variables;
    // A resumed training is cut as it was when it began, on however many cores it now runs.
    const auto& found = checkpoints_.found();
    const bool chosen = found && compiling.logical_threads == 0;
    const Threads threads = chosen ? found->training_threads : Threads{};
    if (sets_rate_) rate_.emplace(compile(inference(graph_, {rate_name}), compiling));
    if (options_.micro_batch > 0) {
      const Accumulation parts = accumulation(graph_);
      steps_.emplace(parts.gather, learning_, binding_, compiling, threads);
      CompileOptions updating = compiling;
      if (chosen) updating.logical_threads = found->update_threads;
      apply_.emplace(compile(parts.apply, updating));
      apply_graph_.emplace(parts.apply);
      const Dim micro = batch_of(graph_);
      micro_batches_ = (std::min(batch_, learning_) + micro - 1) / micro;
    } else {
      steps_.emplace(graph_, learning_, binding_, compiling, threads);
    }
    if (!judging_) return;
    const Graph predicting = inference(graph_, means_.read());
    checks_.emplace(predicting, judging_->end - judging_->begin, binding_, compiling,
                    chosen ? found->validation_threads : Threads{});
    validation_means_ = means_;
  }

  void name_columns() {
    history_.columns = {"epoch"};
    for (const std::string& name : means_.names()) history_.columns.push_back(name);
    for (const std::string& name : validation_means_.names()) history_.columns.push_back("val_" + name);
    if (rate_ && !history_.has("learning_rate")) history_.columns.push_back("learning_rate");
    history_.columns.push_back("seconds");
  }

  /// A pass over the training samples, or what is left of one; false if a signal cut it short.
  bool learn() {
    if (options_.shuffle) permute(order_, keys_, options_.seed, static_cast<std::uint64_t>(epoch_));
    const Samples samples{&train_, 0, learning_, order_};
    // Once callbacks were told that an epoch begins, a step follows: what they changed must not be changed twice.
    if (signals_.came()) return false;
    step_ = steps_done_;
    feeds_.epoch = epoch_;
    if (steps_done_ == 0) {
      means_.reset();
      skipped_of_epoch_ = 0;
      tell(&Callback::on_epoch_begin);
    }
    for (Dim i = steps_done_; i < steps() && !stopping_; ++i) {
      step_ = i + 1;
      tell(&Callback::on_train_batch_begin);
      if (!options_.check_finite.empty()) copy_variables(history_.variables, before_step_);
      means_.mark();
      const Dim done = run_step(i, samples);
      if (rate_) last_rate_ = last_program_->scalar(rate_name);
      if (was_skipped()) {
        means_.take_back();
        ++skipped_of_epoch_;
      } else if (!bears_not_finite_) {
        check_finite(i, samples);
      }
      tell(&Callback::on_train_batch_end);
      steps_done_ = i + 1;
      if (checkpoints_.due((epoch_ - 1) * steps() + steps_done_)) save();
      if (progress_.due() && skipped_of_epoch_ < step_)
        progress_.show(epoch_, done, epoch_seconds(), means_.names(), means_.means());
      if (signals_.came()) return false;
    }
    tell_of_skipped(skipped_of_epoch_);
    return true;
  }

  /// Runs a step, in one or in micro-batches; how many samples of the epoch are done then.
  Dim run_step(Dim index, const Samples& samples) {
    const Dim first = index * micro_batches_, end = std::min(first + micro_batches_, steps_->count());
    not_finite_.reset();
    for (Dim k = first; k < end; ++k) {
      last_program_ = &run_one(*steps_, k, samples, "training");
      look_at_outputs(*last_program_);
      means_.add(*last_program_, steps_->size(k));
    }
    const Dim done = steps_->first(end - 1) + steps_->size(end - 1);
    if (!apply_) return done;
    if (sets_rate_) apply_->input<double>(Feeds::rate_scale_name)[0] = feeds_.rate_scale;
    try {
      apply_->run();
    } catch (const RunError& error) {
      run_error("{}\n    in epoch {}, step {} of {}", error.what(), epoch_, step_, steps());
    }
    look_at_outputs(*apply_);
    means_.add_late(*apply_, done - steps_->first(first));
    return done;
  }

  /// What the graph's schedules and its policy for steps that are not finite count by.
  void set_counters() {
    const Variables& all = history_.variables;
    for (const std::string& name : all.names()) {
      if (!name.starts_with("accumulated/")) continue;
      Tensor left = all.at(name);  // by a training that an error ended in the middle of a step
      std::memset(left.data(), 0, left.bytes());
    }
    if (all.has("steps_per_epoch")) all.at("steps_per_epoch").as<std::int64_t>()[0] = steps();
    if (!all.has("skipped_steps")) return;
    skipped_ = all.at("skipped_steps");
    skipped_before_ = skipped_->as<std::int64_t>()[0];
  }

  /// Whether the step that just ran updated nothing because it was not finite (NonFinite::skip).
  bool was_skipped() {
    if (!skipped_) return false;
    const std::int64_t now = skipped_->as<std::int64_t>()[0];
    return std::exchange(skipped_before_, now) != now;
  }

  void tell_of_skipped(Dim skipped) {
    if (skipped == 0) return;
    if (skipped == step_)
      throw Diverged(fmt::format("all {} steps of epoch {} were skipped, their loss or gradients were not finite: "
                                 "training has diverged; a smaller learning rate may help", skipped, epoch_));
    warn(fmt::format("{} of {} steps of epoch {} were skipped: their loss or gradients were not finite", skipped, step_,
                     epoch_));
  }

  void warn(std::string text) {
    progress_.say(text);
    // A resumed training has its earlier ones already.
    if (std::find(history_.warnings.begin(), history_.warnings.end(), text) == history_.warnings.end())
      history_.warnings.push_back(std::move(text));
  }

  /// A schedule that is made for a longer training never gets to where it should end.
  void warn_of_horizons() {
    const std::string counter = "step";
    const double behind = history_.variables.has(counter) ? history_.variables.at(counter).numbers().at(0) : 0;
    const Dim left = (options_.epochs - epoch_) * steps() - steps_done_;
    const double last = behind + static_cast<double>(left);
    for (NodeId id = 0; id < graph_.size(); ++id) {
      const Node& node = graph_.node(id);
      if (node.op->name != "note" || !node.attrs.text("about").starts_with("horizon")) continue;
      const bool in_epochs = node.attrs.text("about") == "horizon_epochs";
      const double asked = node.attrs.real("number"), end = in_epochs ? last / static_cast<double>(steps()) : last;
      if (asked <= end) continue;
      warn(fmt::format("{}: the schedule changes until {} {}, and this training ends at {}: it stops short of the "
                       "schedule's end", to_string(node.loc), in_epochs ? "epoch" : "step", asked, end));
    }
  }

  bool validate() {
    if (!judging_) return true;
    tell(&Callback::on_test_begin);
    validation_means_.reset();
    for (Dim i = 0; i < checks_->count(); ++i) {
      if (signals_.came()) return false;
      validation_means_.add(run_one(*checks_, i, *judging_, "validation"), checks_->size(i));
    }
    tell(&Callback::on_test_end);
    return true;
  }

  Program& run_one(Batches& batches, Dim index, const Samples& samples, std::string_view what) const {
    try {
      return batches.run(index, samples, feeds_);
    } catch (const LabelError& error) {
      // Its row counts within the batch. A sample of several rows (the letters of a text) has them side by side.
      const Dim rows = std::max<Dim>(1, error.labels()[0] / batches.size(index));
      const Dim sample = samples.number(batches.first(index) + error.row() / rows);
      failed(error.called(fmt::format("{} of the data set", sample)), batches, index, what);
    } catch (const RunError& error) {
      failed(error, batches, index, what);
    }
  }

  [[noreturn]] void failed(const RunError& error, const Batches& batches, Dim index, std::string_view what) const {
    run_error("{}\n    in epoch {}, {} batch {} of {} ({} samples)", error.what(), epoch_, what, index + 1,
              batches.count(), batches.size(index));
  }

  void look_at_outputs(const Program& program) {
    for (const std::string& name : means_.names()) {
      if (!program.has_output(name)) continue;
      const double x = program.scalar(name);
      if (!std::isfinite(x) && !not_finite_) not_finite_ = {name, x};
    }
    const std::string& loss = means_.names()[0];
    if (!not_finite_ && program.has_output(loss)) last_loss_ = program.scalar(loss);
  }

  /// Of the step that just ran, unless it was skipped.
  void check_finite(Dim index, const Samples& samples) {
    try {
      if (not_finite_) diverged(not_finite_->first, not_finite_->second, samples);
      if (!(apply_ ? *apply_ : *last_program_).finite()) tell_variable(samples);
    } catch (const Diverged& error) {
      if (options_.check_finite.empty()) throw;
      try {
        if (!apply_) tell_node(error, steps_->graph(index), before_step_, steps_->inputs(index, samples, feeds_));
        tell_node_of_parts(error, index, samples);
      } catch (const Diverged&) {
        throw;
      } catch (const InternalError&) {
        throw;
      } catch (const std::exception& other) {
        // That the search failed is less than what it was for.
        throw Diverged(fmt::format("{}\n    which node it came from cannot be told: {}", error.what(), other.what()));
      }
    }
  }

  /// What a step updates; a variable that nothing changes may hold an infinity on purpose.
  [[noreturn]] void tell_variable(const Samples& samples) const {
    for (const Graph::Update& update : graph_.updates()) {
      const std::string& name = graph_.node(update.variable.node).name;
      const Tensor& value = history_.variables.at(name);
      if (const auto at = first_not_finite(value)) diverged("variable '" + name + "'", value.number(*at), samples);
    }
    throw InternalError("a step wrote what is not finite, and no variable holds it");
  }

  using Inputs = std::map<std::string, Tensor>;

  [[noreturn]] void tell_node(const Diverged& error, const Graph& graph, const Variables& before,
                              const Inputs& inputs) const {
    const auto found = thalweg::check_finite(graph, before, inputs, last_program_->logical_threads());
    std::string where = "the step is in " + options_.check_finite;
    try {
      write_replay(graph, before, inputs, options_.check_finite);
    } catch (const RunError& problem) {
      where = fmt::format("the step could not be kept: {}", problem.what());
    }
    throw Diverged(fmt::format("{}\n    {}\n    {}", error.what(),
                               found ? found->text : "every op by itself is finite: it came by joining them", where));
  }

  /// A step in micro-batches is several graphs: runs them again up to the one that breaks.
  [[noreturn]] void tell_node_of_parts(const Diverged& error, Dim index, const Samples& samples) const {
    const int threads = last_program_->logical_threads();
    const Variables replayed = before_step_.clone();
    const Dim first = index * micro_batches_, end = std::min(first + micro_batches_, steps_->count());
    for (Dim k = first; k < end; ++k) {
      const Inputs inputs = steps_->inputs(k, samples, feeds_);
      const Graph& graph = steps_->graph(k);
      if (thalweg::check_finite(graph, replayed, inputs, threads)) tell_node(error, graph, replayed, inputs);
      Program program = compile(graph, {.logical_threads = threads, .variables = replayed});
      for (const auto& [name, tensor] : inputs) program.feed(name, tensor);
      program.run();
    }
    Inputs inputs;
    if (sets_rate_) inputs.emplace(Feeds::rate_scale_name, Tensor(f64(), std::vector<double>{feeds_.rate_scale}));
    tell_node(error, *apply_graph_, replayed, inputs);
  }

  /// A sample of the last step that holds a number which is not finite; empty if there is none.
  std::string wrong_sample(const Samples& samples) const {
    const Dim end = std::min(step_ * batch_, samples.end - samples.begin);
    for (Dim place = (step_ - 1) * batch_; place < end; ++place) {
      const Dim number = samples.number(place);
      const Dataset sample = rows(*samples.data, number, number + 1);
      for (const auto& [what, tensor] : {std::pair("", &sample.inputs), std::pair(" of its label", &sample.labels)}) {
        if (!*tensor) continue;
        if (const auto at = first_not_finite(*tensor))
          return fmt::format("sample {} of the data set holds {} at element {}{}", number,
                             number_text(tensor->number(*at)), *at, what);
      }
    }
    return {};
  }

  [[noreturn]] void diverged(std::string_view what, double x, const Samples& samples) const {
    const std::string wrong = wrong_sample(samples);
    const std::string why =
        !wrong.empty() ? wrong + "; leave it out or fill it in"
                       : fmt::format("training has diverged (the last finite {} was {}); a smaller learning rate or "
                                     "clipping the gradients may help", means_.names()[0],
                                     last_loss_ ? number_text(*last_loss_) : "none");
    throw Diverged(fmt::format("{} is {} in epoch {}, step {} of {}: {}", what, number_text(x), epoch_, step_, steps(),
                               why));
  }

  void add_row(double seconds) {
    std::vector<double> row{static_cast<double>(epoch_)};
    for (const double mean : means_.means()) row.push_back(mean);
    if (judging_)
      for (const double mean : validation_means_.means()) row.push_back(mean);
    if (row.size() + 2 == history_.columns.size()) row.push_back(last_rate_);
    row.push_back(seconds);
    history_.rows.push_back(std::move(row));
    progress_.end_epoch(history_);
  }

  // Means and callbacks are computed in the same state as kernels, whatever the caller's is.
  const FloatingPointScope floating_point_;
  // Before the rest, so that a signal that comes while programs are compiled or a checkpoint is read is not lost.
  const HeldSignals signals_;
  const FitOptions& options_;
  SourceLoc loc_;
  const Dataset& train_;
  Dim learning_;  ///< how many samples are learned from
  Dim batch_;     ///< samples a step
  Checkpointing checkpoints_;
  std::vector<Fact> facts_;  ///< what a checkpoint of this training says of it
  Graph graph_;
  Binding binding_;
  std::optional<Samples> judging_;
  std::vector<std::uint32_t> order_;
  std::vector<std::uint64_t> keys_;
  std::optional<Batches> steps_;  ///< whole steps, or their micro-batches
  std::optional<Program> apply_;  ///< what comes after the micro-batches of a step
  std::optional<Graph> apply_graph_;
  Dim micro_batches_ = 1;         ///< of a step
  std::optional<Tensor> skipped_;
  std::int64_t skipped_before_ = 0;
  std::optional<std::pair<std::string, double>> not_finite_;  ///< of the step's outputs, the first
  std::optional<Batches> checks_;
  Means means_;
  Means validation_means_;
  Progress progress_;
  History history_;
  Variables before_step_;  ///< if each step is checked
  Variables restored_;     ///< of the last epoch's end, if they are to be restored
  std::vector<AnyCallback> callbacks_;
  std::size_t begun_ = 0;             ///< how many of them
  std::vector<std::string> weights_;  ///< by name: what prediction reads
  const Program* last_program_ = nullptr;
  bool bears_not_finite_ = false;
  bool sets_rate_ = false;
  mutable std::optional<Program> rate_;  ///< the learning rate as a program of its own
  Feeds feeds_;
  std::optional<double> last_loss_;
  double last_rate_ = 0;  ///< if rates are adjustable: of the last step
  int epoch_ = 0;
  Dim step_ = 0;        ///< the step at hand, or the last
  Dim steps_done_ = 0;  ///< of the epoch at hand; 0 between epochs
  Dim skipped_of_epoch_ = 0;
  Clock::time_point epoch_begin_ = Clock::now();
  double earlier_seconds_ = 0;  ///< that the epoch took before the training was cut short
  bool stopping_ = false;
};

CompileOptions with_variables(const CompileOptions& options, const Variables& variables) {
  CompileOptions with = options;
  with.variables = variables;
  return with;
}

/// Refuses variables that would be made up: prediction with weights that nobody trained.
void check_variables(const Graph& graph, const Variables& variables) {
  std::vector<std::string> missing;
  for (const NodeId id : graph.variables())
    if (!variables.has(graph.node(id).name)) missing.push_back(graph.node(id).name);
  if (!missing.empty()) run_error("the variables given lack {}", fmt::join(missing, ", "));
}

Graph sized(const Graph& graph, Dim batch) { return batch == 0 ? graph : with_batch(graph, batch); }

/// The only output with an axis.
std::string main_output(const Graph& graph, SourceLoc loc) {
  std::vector<std::string> names;
  for (const Graph::Output& output : graph.outputs())
    if (graph.type(output.value).shape.rank() > 0) names.push_back(output.name);
  if (names.size() == 1) return names[0];
  throw RunError(fmt::format("graph '{}' has {} outputs with an axis{}{}: name the one to predict", graph.name(),
                             names.size(), names.empty() ? "" : ": ", fmt::join(names, ", ")), loc);
}

/// The input that prediction feeds.
std::string only_input(const Graph& graph, const std::string& name, SourceLoc loc) {
  std::vector<NodeId> ids = graph.inputs();
  std::erase_if(ids, [&](NodeId id) { return is_fed(graph.node(id)); });
  if (ids.size() == 1 && (name.empty() || graph.node(ids[0]).name == name)) return graph.node(ids[0]).name;
  std::vector<std::string> names;
  for (const NodeId id : ids) names.push_back(graph.node(id).name);
  throw RunError(fmt::format("prediction feeds one input{}{}, and this output reads {}", name.empty() ? "" : ", ", name,
                             names.empty() ? "none" : fmt::format("{}", fmt::join(names, ", "))), loc);
}

void check_batch(Dim batch, SourceLoc loc) {
  if (batch < 0) throw RunError(fmt::format("batch is {}, must be 0 (as the graph says) or more", batch), loc);
}

}  // namespace

History fit(const Graph& graph, const Dataset& train, const FitOptions& options, SourceLoc loc) {
  return Training(graph, train, options, loc).run();
}

History fit(const Graph& graph, const TrainTest& data, const FitOptions& options, SourceLoc loc) {
  return fit(graph, data.train, options, loc);
}

double Scores::operator[](std::string_view name) const {
  const auto at = std::find(names.begin(), names.end(), name);
  if (at == names.end()) run_error("there is no score '{}'{}", shown(name), suggestion(name, names));
  return values[static_cast<std::size_t>(at - names.begin())];
}

Scores evaluate(const Graph& graph, const Variables& variables, const Dataset& data, const RunOptions& options,
                SourceLoc loc) {
  const FloatingPointScope floating_point;
  check_batch(options.batch, loc);
  Graph sized_graph = options.batch == 0 ? graph.clone() : with_batch(graph, options.batch);
  Means means(sized_graph);
  if (means.names().empty()) run_error("graph '{}' has no scalar output to evaluate", graph.name());
  const Binding binding = bind_inputs(sized_graph, data, options.input, options.label, loc);
  const Graph predicting = inference(sized_graph, means.read());
  check_variables(predicting, variables);
  Batches batches(predicting, data.size(), binding, with_variables(options.compile, variables));
  const Samples samples{&data, 0, data.size(), {}};
  for (Dim i = 0; i < batches.count(); ++i) {
    check_interrupted("evaluating");
    means.add(batches.run(i, samples), batches.size(i));
  }
  return {means.names(), means.means()};
}

Tensor predict(const Graph& graph, const Variables& variables, const Tensor& inputs, const std::string& output,
               const RunOptions& options, SourceLoc loc) {
  check_batch(options.batch, loc);
  const std::string name = output.empty() ? main_output(graph, loc) : output;
  const Graph predicting = sized(inference(graph, {name}), options.batch);
  check_variables(predicting, variables);
  const Dataset data{.inputs = inputs, .labels = {}, .classes = {}, .features = {}, .name = {}};
  const Binding binding = bind_inputs(predicting, data, only_input(predicting, options.input, loc), {});
  const TensorType& type = predicting.find(name).type();
  if (type.shape.rank() == 0 || type.shape[0] != batch_of(predicting))
    throw RunError(fmt::format("output '{}' is {}: its first axis is not the batch of {}", name, to_string(type),
                               batch_of(predicting)), loc);
  Batches batches(predicting, data.size(), binding, with_variables(options.compile, variables));

  std::vector<Dim> dims = type.shape.vector();
  dims[0] = data.size();
  Tensor all(TensorType{type.dtype, Shape(dims)});
  const std::size_t row = all.bytes() / static_cast<std::size_t>(data.size());
  const Samples samples{&data, 0, data.size(), {}};
  for (Dim i = 0; i < batches.count(); ++i) {
    check_interrupted("predicting");
    const Tensor part = batches.run(i, samples).fetch(name);
    std::memcpy(static_cast<std::byte*>(all.data()) + static_cast<std::size_t>(batches.first(i)) * row, part.data(),
                part.bytes());
  }
  return all;
}

}  // namespace thalweg
