// SPDX-License-Identifier: Apache-2.0
#include "thalweg/lib/train/fit.h"

#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstring>
#include <numeric>

#include "thalweg/graph/fail.h"
#include "thalweg/graph/opdef.h"
#include "thalweg/lib/train/batches.h"
#include "thalweg/lib/train/early_stopping.h"
#include "thalweg/lib/train/interruption.h"
#include "thalweg/lib/train/progress.h"
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

/// Means of scalar outputs over samples: each batch weighs as many as it holds.
class Means {
 public:
  explicit Means(std::vector<std::string> names)
      : names_(std::move(names)), sums_(names_.size()), means_(names_.size()) {}
  void reset() {
    std::fill(sums_.begin(), sums_.end(), 0.0);
    samples_ = 0;
  }
  void add(const Program& program, Dim samples) {
    for (std::size_t i = 0; i < names_.size(); ++i)
      sums_[i] += program.scalar(names_[i]) * static_cast<double>(samples);
    samples_ += samples;
  }
  const std::vector<std::string>& names() const { return names_; }
  const std::vector<double>& means() {
    for (std::size_t i = 0; i < sums_.size(); ++i) means_[i] = sums_[i] / static_cast<double>(samples_);
    return means_;
  }

 private:
  std::vector<std::string> names_;
  std::vector<double> sums_;
  std::vector<double> means_;
  Dim samples_ = 0;
};

/// The first number of the tensor that is nan or infinite.
std::optional<double> first_not_finite(const Tensor& tensor) {
  const auto search = [](auto numbers, auto number_of) -> std::optional<double> {
    for (const auto x : numbers)
      if (!std::isfinite(number_of(x))) return static_cast<double>(number_of(x));
    return {};
  };
  const auto itself = [](auto x) { return x; };
  switch (tensor.type().dtype) {
    case DType::f32: return search(tensor.as<float>(), itself);
    case DType::f64: return search(tensor.as<double>(), itself);
    case DType::bf16: return search(tensor.as<std::uint16_t>(), float_of);
    default: return {};
  }
}

/// `nan` without the sign that the processor happens to give it.
std::string number_text(double x) { return std::isnan(x) ? "nan" : fmt::format("{:.6g}", x); }

/// One training run.
class Training final : public TrainingRun {
 public:
  Training(const Graph& graph, const Dataset& train, const FitOptions& options, SourceLoc loc)
      : options_(options),
        loc_(loc),
        train_(train),
        graph_(options.batch == 0 ? graph.clone() : with_batch(graph, options.batch)),
        binding_(bind_inputs(graph_, train, options.input, options.label)),
        learning_(train.size()),
        means_(scalar_outputs(graph_)),
        validation_means_(std::vector<std::string>{}),
        progress_(options.verbose, options.epochs, train.size()) {
    check_options();
    if (options_.patience)
      callbacks_.emplace_back(EarlyStopping({.monitor = options_.monitor, .min_delta = options_.min_delta,
                                             .patience = *options_.patience, .restore_best_weights = true}, loc_));
    callbacks_.insert(callbacks_.end(), options_.callbacks.begin(), options_.callbacks.end());
    for (const AnyCallback& callback : callbacks_) callback->on_build(graph_);
    bears_not_finite_ = std::any_of(callbacks_.begin(), callbacks_.end(),
                                    [](const AnyCallback& callback) { return callback->bears_not_finite(); });
    adjust_rates();
    place_validation();
    compile_programs();
    name_columns();
    const Graph predicting = inference(graph_);
    for (const NodeId id : predicting.variables()) weights_.push_back(predicting.node(id).name);
  }

  History run() {
    try {
      for (const AnyCallback& callback : callbacks_) {
        callback->on_train_begin(*this);
        ++begun_;
      }
      train();
    } catch (...) {
      end();  // what went wrong first is what the caller is told
      throw;
    }
    if (const std::exception_ptr error = end()) std::rethrow_exception(error);
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
  Dim steps() const override { return steps_->count(); }
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
    const Interruption interruption;
    const Clock::time_point begin = Clock::now();
    while (epoch_ < options_.epochs && !stopping_) {
      ++epoch_;
      const Clock::time_point epoch_begin = Clock::now();
      const bool learned = learn(interruption);
      check_variables_finite();
      if (!learned || !validate(interruption)) {
        history_.interrupted = true;
        progress_.say(fmt::format("Interrupted in epoch {} after {:.1f}s", epoch_, seconds_since(begin)));
        break;
      }
      add_row(seconds_since(epoch_begin));
      tell(&Callback::on_epoch_end);
    }
    history_.stopped_early = stopping_;
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
    if (options_.epochs < 1) throw RunError(fmt::format("epochs is {}, must be at least 1", options_.epochs), loc_);
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
    if (const auto& fraction = options_.validation.fraction()) {
      learning_ = validation_begin(train_.size(), *fraction);
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
    steps_.emplace(graph_, learning_, binding_, compiling);
    if (sets_rate_) rate_.emplace(compile(inference(graph_, {rate_name}), compiling));
    if (!judging_) return;
    const Graph predicting = inference(graph_, means_.names());
    checks_.emplace(predicting, judging_->end - judging_->begin, binding_, compiling);
    validation_means_ = Means(means_.names());
  }

  void name_columns() {
    history_.columns = {"epoch"};
    for (const std::string& name : means_.names()) history_.columns.push_back(name);
    for (const std::string& name : validation_means_.names()) history_.columns.push_back("val_" + name);
    if (rate_ && !history_.has("learning_rate")) history_.columns.push_back("learning_rate");
    history_.columns.push_back("seconds");
  }

  /// A pass over the training samples; false if SIGINT cut it short.
  bool learn(const Interruption& interruption) {
    if (options_.shuffle) permute(order_, keys_, options_.seed, static_cast<std::uint64_t>(epoch_));
    const Samples samples{&train_, 0, learning_, order_};
    const Clock::time_point begin = Clock::now();
    means_.reset();
    step_ = 0;
    tell(&Callback::on_epoch_begin);
    for (Dim i = 0; i < steps_->count() && !stopping_; ++i) {
      if (interruption.came()) return false;
      step_ = i + 1;
      tell(&Callback::on_train_batch_begin);
      last_program_ = &run_one(*steps_, i, samples, "training");
      check_outputs_finite();
      means_.add(*last_program_, steps_->size(i));
      tell(&Callback::on_train_batch_end);
      const Dim done = steps_->first(i) + steps_->size(i);
      if (progress_.due()) progress_.show(epoch_, done, seconds_since(begin), means_.names(), means_.means());
    }
    return !interruption.came();
  }

  bool validate(const Interruption& interruption) {
    if (!judging_) return true;
    tell(&Callback::on_test_begin);
    validation_means_.reset();
    for (Dim i = 0; i < checks_->count(); ++i) {
      if (interruption.came()) return false;
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

  void check_outputs_finite() {
    if (bears_not_finite_) return;
    for (const std::string& name : means_.names())
      if (const double x = last_program_->scalar(name); !std::isfinite(x)) diverged(name, x);
    last_loss_ = last_program_->scalar(means_.names()[0]);
  }

  /// What a step updates; a variable that nothing changes may hold an infinity on purpose.
  void check_variables_finite() const {
    if (bears_not_finite_) return;
    for (const Graph::Update& update : graph_.updates()) {
      const std::string& name = graph_.node(update.variable.node).name;
      if (const auto x = first_not_finite(history_.variables.at(name)))
        diverged("variable '" + name + "'", *x);
    }
  }

  [[noreturn]] void diverged(std::string_view what, double x) const {
    throw Diverged(fmt::format(
        "{} is {} in epoch {}, step {} of {}: training has diverged (the last finite {} was {}); a smaller learning "
        "rate or clipping the gradients may help",
        what, number_text(x), epoch_, step_, steps_->count(), means_.names()[0],
        last_loss_ ? number_text(*last_loss_) : "none"));
  }

  void add_row(double seconds) {
    std::vector<double> row{static_cast<double>(epoch_)};
    for (const double mean : means_.means()) row.push_back(mean);
    if (judging_)
      for (const double mean : validation_means_.means()) row.push_back(mean);
    if (row.size() + 2 == history_.columns.size()) row.push_back(last_program_->scalar(rate_name));
    row.push_back(seconds);
    history_.rows.push_back(std::move(row));
    progress_.end_epoch(history_);
  }

  const FitOptions& options_;
  SourceLoc loc_;
  const Dataset& train_;
  Graph graph_;
  Binding binding_;
  Dim learning_;  ///< how many samples are learned from
  std::optional<Samples> judging_;
  std::vector<std::uint32_t> order_;
  std::vector<std::uint64_t> keys_;
  std::optional<Batches> steps_;
  std::optional<Batches> checks_;
  Means means_;
  Means validation_means_;
  Progress progress_;
  History history_;
  std::vector<AnyCallback> callbacks_;
  std::size_t begun_ = 0;             ///< how many of them
  std::vector<std::string> weights_;  ///< by name: what prediction reads
  const Program* last_program_ = nullptr;
  bool bears_not_finite_ = false;
  bool sets_rate_ = false;
  mutable std::optional<Program> rate_;  ///< the learning rate as a program of its own
  Feeds feeds_;
  std::optional<double> last_loss_;
  int epoch_ = 0;
  Dim step_ = 0;  ///< of the epoch
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
std::string main_output(const Graph& graph) {
  std::vector<std::string> names;
  for (const Graph::Output& output : graph.outputs())
    if (graph.type(output.value).shape.rank() > 0) names.push_back(output.name);
  if (names.size() == 1) return names[0];
  run_error("graph '{}' has {} outputs with an axis{}{}: name the one to predict", graph.name(), names.size(),
            names.empty() ? "" : ": ", fmt::join(names, ", "));
}

/// The input that prediction feeds.
std::string only_input(const Graph& graph, const std::string& name) {
  const std::vector<NodeId> ids = graph.inputs();
  if (ids.size() == 1 && (name.empty() || graph.node(ids[0]).name == name)) return graph.node(ids[0]).name;
  std::vector<std::string> names;
  for (const NodeId id : ids) names.push_back(graph.node(id).name);
  run_error("prediction feeds one input{}{}, and this output reads {}", name.empty() ? "" : ", ", name,
            names.empty() ? "none" : fmt::format("{}", fmt::join(names, ", ")));
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

Scores evaluate(const Graph& graph, const Variables& variables, const Dataset& data, const RunOptions& options) {
  Means means(scalar_outputs(graph));
  if (means.names().empty()) run_error("graph '{}' has no scalar output to evaluate", graph.name());
  const Graph sized_graph = sized(graph, options.batch);
  const Binding binding = bind_inputs(sized_graph, data, options.input, options.label);
  const Graph predicting = inference(sized_graph, means.names());
  check_variables(predicting, variables);
  Batches batches(predicting, data.size(), binding, with_variables(options.compile, variables));
  const Samples samples{&data, 0, data.size(), {}};
  for (Dim i = 0; i < batches.count(); ++i) means.add(batches.run(i, samples), batches.size(i));
  return {means.names(), means.means()};
}

Tensor predict(const Graph& graph, const Variables& variables, const Tensor& inputs, const std::string& output,
               const RunOptions& options) {
  const std::string name = output.empty() ? main_output(graph) : output;
  const Graph predicting = sized(inference(graph, {name}), options.batch);
  check_variables(predicting, variables);
  const Dataset data{.inputs = inputs, .labels = {}, .classes = {}, .features = {}, .name = {}};
  const Binding binding = bind_inputs(predicting, data, only_input(predicting, options.input), {});
  const TensorType& type = predicting.find(name).type();
  if (type.shape.rank() == 0 || type.shape[0] != batch_of(predicting))
    run_error("output '{}' is {}: its first axis is not the batch of {}", name, to_string(type), batch_of(predicting));
  Batches batches(predicting, data.size(), binding, with_variables(options.compile, variables));

  std::vector<Dim> dims = type.shape.vector();
  dims[0] = data.size();
  Tensor all(TensorType{type.dtype, Shape(dims)});
  const std::size_t row = all.bytes() / static_cast<std::size_t>(data.size());
  const Samples samples{&data, 0, data.size(), {}};
  for (Dim i = 0; i < batches.count(); ++i) {
    const Tensor part = batches.run(i, samples).fetch(name);
    std::memcpy(static_cast<std::byte*>(all.data()) + static_cast<std::size_t>(batches.first(i)) * row, part.data(),
                part.bytes());
  }
  return all;
}

}  // namespace thalweg
