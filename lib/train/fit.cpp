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
#include "thalweg/lib/train/early_stop.h"
#include "thalweg/lib/train/interruption.h"
#include "thalweg/lib/train/progress.h"
#include "thalweg/lib/train/with_batch.h"
#include "thalweg/ops/inference.h"

namespace thalweg {
namespace {

using Clock = std::chrono::steady_clock;

double seconds_since(Clock::time_point begin) {
  return std::chrono::duration<double>(Clock::now() - begin).count();
}

/// Means of scalar outputs over samples: each batch weighs as many as it holds.
class Means {
 public:
  explicit Means(std::vector<std::string> names) : names_(std::move(names)), sums_(names_.size()), means_(names_.size()) {}
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

/// The weights of the best epoch, put back at the end of its life: however training ends.
class BestWeights {
 public:
  /// What prediction reads: parameters and running statistics, not the optimizer's slots.
  BestWeights(const Graph& predicting, const Variables& variables) {
    for (const NodeId id : predicting.variables()) {
      const Tensor place = variables.at(predicting.node(id).name);
      pairs_.push_back({place, place.clone()});
    }
  }
  ~BestWeights() {
    if (kept_) copy(&Pair::best, &Pair::place);
  }
  BestWeights(const BestWeights&) = delete;
  BestWeights& operator=(const BestWeights&) = delete;
  void keep() {
    copy(&Pair::place, &Pair::best);
    kept_ = true;
  }

 private:
  struct Pair {
    Tensor place;
    Tensor best;
  };
  void copy(Tensor Pair::*from, Tensor Pair::*to) {
    for (Pair& pair : pairs_) std::memcpy((pair.*to).data(), (pair.*from).data(), (pair.*from).bytes());
  }
  std::vector<Pair> pairs_;
  bool kept_ = false;
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

bool larger_is_better(std::string_view measure) { return measure.find("accuracy") != measure.npos; }

/// One training run.
class Training {
 public:
  Training(const Graph& graph, const Dataset& train, const FitOptions& options)
      : options_(options),
        train_(train),
        graph_(options.batch == 0 ? graph : with_batch(graph, options.batch)),
        binding_(bind_inputs(graph_, train, options.input, options.label)),
        learning_(train.size()),
        means_(scalar_outputs(graph_)),
        validation_means_(std::vector<std::string>{}),
        progress_(options.verbose, options.epochs, train.size()) {
    check_options();
    place_validation();
    compile_programs();
    name_columns();
    if (options_.patience) watch();
  }

  History run() {
    const Interruption interruption;
    const Clock::time_point begin = Clock::now();
    for (int epoch = 1; epoch <= options_.epochs; ++epoch) {
      const Clock::time_point epoch_begin = Clock::now();
      const bool learned = learn(epoch, interruption);
      check_variables_finite(epoch);
      if (!learned || !validate(epoch, interruption)) {
        history_.interrupted = true;
        progress_.say(fmt::format("Interrupted in epoch {} after {:.1f}s", epoch, seconds_since(begin)));
        break;
      }
      add_row(epoch, seconds_since(epoch_begin));
      if (judge(epoch)) {
        history_.stopped_early = true;
        break;
      }
    }
    if (stop_) history_.best_epoch = stop_->best_epoch();
    return history_;
  }

 private:
  void check_options() const {
    if (options_.epochs < 1) run_error("epochs is {}, must be at least 1", options_.epochs);
    if (options_.patience && *options_.patience < 0) run_error("patience is {}, must be 0 or more", *options_.patience);
    if (!(options_.min_delta >= 0)) run_error("min_delta is {}, must be 0 or more", options_.min_delta);
    if (means_.names().empty())
      run_error("graph '{}' has no scalar output: name the loss by `g.output(\"loss\", loss)`", graph_.name());
    if (graph_.updates().empty())
      run_error("graph '{}' updates nothing, so that there is nothing to train: call minimize() first", graph_.name());
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
    if (!judging_) return;
    const Graph predicting = inference(graph_, means_.names());
    checks_.emplace(predicting, judging_->end - judging_->begin, binding_, compiling);
    validation_means_ = Means(means_.names());
  }

  void name_columns() {
    history_.columns = {"epoch"};
    for (const std::string& name : means_.names()) history_.columns.push_back(name);
    for (const std::string& name : validation_means_.names()) history_.columns.push_back("val_" + name);
    history_.columns.push_back("seconds");
  }

  void watch() {
    monitor_ = options_.monitor;
    if (monitor_.empty()) monitor_ = (judging_ ? "val_" : "") + means_.names()[0];
    const auto at = std::find(history_.columns.begin(), history_.columns.end(), monitor_);
    if (at == history_.columns.end())
      run_error("patience watches '{}', which the history lacks{}", shown(monitor_),
                suggestion(monitor_, history_.columns));
    stop_.emplace(*options_.patience, options_.min_delta, larger_is_better(monitor_));
    best_.emplace(inference(graph_), history_.variables);
  }

  /// A pass over the training samples; false if SIGINT cut it short.
  bool learn(int epoch, const Interruption& interruption) {
    if (options_.shuffle) permute(order_, keys_, options_.seed, static_cast<std::uint64_t>(epoch));
    const Samples samples{&train_, 0, learning_, order_};
    const Clock::time_point begin = Clock::now();
    means_.reset();
    steps_done_ = 0;
    for (Dim i = 0; i < steps_->count(); ++i) {
      if (interruption.came()) return false;
      const Program& program = run_one(*steps_, i, samples, epoch, "training");
      check_outputs_finite(program, epoch, i);
      means_.add(program, steps_->size(i));
      steps_done_ = i + 1;
      if (progress_.due())
        progress_.show(epoch, steps_->first(i) + steps_->size(i), seconds_since(begin), means_.names(), means_.means());
    }
    return !interruption.came();
  }

  bool validate(int epoch, const Interruption& interruption) {
    if (!judging_) return true;
    validation_means_.reset();
    for (Dim i = 0; i < checks_->count(); ++i) {
      if (interruption.came()) return false;
      validation_means_.add(run_one(*checks_, i, *judging_, epoch, "validation"), checks_->size(i));
    }
    return true;
  }

  Program& run_one(Batches& batches, Dim index, const Samples& samples, int epoch, std::string_view what) const {
    try {
      return batches.run(index, samples);
    } catch (const RunError& error) {
      run_error("{}\n    in epoch {}, {} batch {} of {} ({} samples)", error.what(), epoch, what, index + 1,
                batches.count(), batches.size(index));
    }
  }

  void check_outputs_finite(const Program& program, int epoch, Dim index) {
    for (const std::string& name : means_.names())
      if (const double x = program.scalar(name); !std::isfinite(x)) diverged(name, x, epoch, index + 1);
    last_loss_ = program.scalar(means_.names()[0]);
  }

  /// What a step updates; a variable that nothing changes may hold an infinity on purpose.
  void check_variables_finite(int epoch) const {
    for (const Graph::Update& update : graph_.updates()) {
      const std::string& name = graph_.node(update.variable.node).name;
      if (const auto x = first_not_finite(history_.variables.at(name)))
        diverged("variable '" + name + "'", *x, epoch, steps_done_);
    }
  }

  [[noreturn]] void diverged(std::string_view what, double x, int epoch, Dim step) const {
    throw Diverged(fmt::format(
        "{} is {} in epoch {}, step {} of {}: training has diverged (the last finite {} was {}); a smaller learning rate "
        "or clipping the gradients may help",
        what, number_text(x), epoch, step, steps_->count(), means_.names()[0],
        last_loss_ ? number_text(*last_loss_) : "none"));
  }

  void add_row(int epoch, double seconds) {
    std::vector<double> row{static_cast<double>(epoch)};
    for (const double mean : means_.means()) row.push_back(mean);
    if (judging_)
      for (const double mean : validation_means_.means()) row.push_back(mean);
    row.push_back(seconds);
    history_.rows.push_back(std::move(row));
    progress_.end_epoch(history_);
  }

  /// Whether the epoch that just ended is the last.
  bool judge(int epoch) {
    bool last = false;
    if (stop_) {
      if (stop_->better(epoch, history_.last(monitor_))) best_->keep();
      last = stop_->stop(epoch, 1);
    }
    for (const Callback& callback : options_.callbacks) {
      EpochEnd end{epoch, history_};
      callback(end);
      last = last || end.stop;
    }
    return last;
  }

  const FitOptions& options_;
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
  std::string monitor_;
  std::optional<EarlyStop> stop_;
  std::optional<BestWeights> best_;
  std::optional<double> last_loss_;
  Dim steps_done_ = 0;  ///< of the epoch
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

History fit(const Graph& graph, const Dataset& train, const FitOptions& options) {
  return Training(graph, train, options).run();
}

History fit(const Graph& graph, const TrainTest& data, const FitOptions& options) {
  return fit(graph, data.train, options);
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
