// SPDX-License-Identifier: Apache-2.0
// thalweg train: the whole way from a data set to a trained, judged and written net.
#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <limits>
#include <memory>

#include "command.h"
#include "models.h"
#include "options.h"
#include "thalweg/thalweg.h"

namespace thalweg::tool {
namespace {

/// What the command line says of a training run.
struct Settings {
  std::string data = {};     ///< a folder or a file
  std::string label = "-1";  ///< of a table
  std::string model = "cnn";
  std::string out = "thalweg-out";
  int epochs = 1;
  std::int64_t batch = 32;
  double rate = 1e-3;
  std::uint64_t seed = 1;
  int threads = 0;
  std::string checkpoints = {};  ///< a folder; empty: none
  std::int64_t every = 0;
  bool resume = false;
};

constexpr double test_share = 0.2, validation_share = 0.1;

Value net(const Settings& settings, const Value& x, Dim classes) {
  if (settings.model == "cnn") return convolutional_net(x, classes);
  const bool images = x.rank() > 2;
  return images ? dense_net(x, classes, 512, 0.2) : dense_net(x, classes, 64, 0.1);
}

TensorType batch_type(const Dataset& data, Dim batch) {
  std::vector<Dim> sizes = data.inputs.shape().vector();
  sizes[0] = batch;
  return {DType::f32, Shape(sizes)};
}

/// One sample through the net, for the table of its layers.
Graph model_graph(const Settings& settings, const Dataset& data) {
  Graph g("model");
  g.output("scores", net(settings, input(g, "x", batch_type(data, 1)), static_cast<Dim>(data.classes.size())));
  return inference(g);
}

Graph training_graph(const Settings& settings, const Dataset& data, Dim batch) {
  Graph g("step");
  const Value x = input(g, "x", batch_type(data, batch));
  const Value label = input(g, "label", i32(batch));
  const Value scores = net(settings, x, static_cast<Dim>(data.classes.size()));
  const Value loss = mean(sparse_cross_entropy(scores, label));
  // Straight down to a hundredth by the last step: the last epochs settle instead of wandering.
  const double samples = static_cast<double>(data.size()) * (1 - validation_share);
  const double steps = std::ceil(samples / static_cast<double>(batch)) * settings.epochs;
  minimize(loss, Adam{.rate = polynomial_decay(settings.rate, steps, {.end = settings.rate / 100})});
  g.output("loss", loss);
  g.output("accuracy", accuracy(scores, label));
  g.output("scores", scores);
  return g;
}

void print_data(const TrainTest& data) {
  std::vector<Dim> sample = data.train.inputs.shape().vector();
  sample.erase(sample.begin());
  fmt::print("{} training and {} test samples of {}, {} classes\n\n", with_commas(data.train.size()),
             with_commas(data.test.size()), to_string(TensorType{DType::f32, Shape(sample)}),
             data.train.classes.size());
}

void print_memory(const Program& program, Dim batch) {
  const auto bytes = [](std::size_t n) { return with_commas(static_cast<std::int64_t>(n)); };
  const MemoryReport& memory = program.memory();
  fmt::print("planned memory of a step of {} samples: {} bytes\n", batch, bytes(memory.total()));
  fmt::print("  variables {}, constants {}, inputs {}, activations and gradients {}\n", bytes(memory.variables),
             bytes(memory.constants), bytes(memory.inputs), bytes(memory.arena));
  fmt::print("  {} kernels, cut for {} {}\n\n", program.kernels(), program.logical_threads(),
             program.logical_threads() == 1 ? "thread" : "threads");
  std::fflush(stdout);
}

History trained(const Graph& graph, const Dataset& data, const Settings& settings, const CompileOptions& compiling) {
  try {
    return fit(graph, data, {.epochs = settings.epochs, .validation = validation_share, .seed = settings.seed,
                             .checkpoint = {settings.checkpoints, settings.every}, .resume = settings.resume,
                             .compile = compiling});
  } catch (const Diverged& error) {
    throw Stop(numeric_failure, error.what());
  }
}

/// The class of the largest score, for each sample.
std::vector<std::size_t> answers(const Tensor& scores) {
  const auto samples = static_cast<std::size_t>(scores.shape()[0]),
             classes = static_cast<std::size_t>(scores.shape()[1]);
  const std::span<const float> score = scores.as<float>();
  std::vector<std::size_t> found(samples);
  for (std::size_t i = 0; i < samples; ++i) {
    const auto row = score.subspan(i * classes, classes);
    found[i] = static_cast<std::size_t>(std::max_element(row.begin(), row.end()) - row.begin());
  }
  return found;
}

/// A name as a terminal may show it: control characters as \xNN.
std::string shown(const std::string& name) {
  std::string text;
  for (std::size_t i = 0; i < name.size(); ++i) {
    const auto byte = static_cast<unsigned char>(name[i]);
    const auto next = static_cast<unsigned char>(i + 1 < name.size() ? name[i + 1] : 0);
    const bool c1 = byte == 0xc2 && next >= 0x80 && next < 0xa0;  // the control characters of Unicode beyond ASCII
    if (c1) {
      text += fmt::format("\\x{:02x}", next);
      ++i;
    } else if (byte < 0x20 || byte == 0x7f) {
      text += fmt::format("\\x{:02x}", byte);
    } else {
      text += name[i];
    }
  }
  return text;
}

constexpr std::size_t most_classes_shown = 50;

void print_confusion(std::span<const std::int32_t> truths, const std::vector<std::size_t>& answered,
                     const std::vector<std::string>& classes) {
  if (classes.size() > most_classes_shown) {
    fmt::print("no confusion matrix: {} classes are more than the {} that one is printed for\n\n",
               with_commas(static_cast<std::int64_t>(classes.size())), most_classes_shown);
    return;
  }
  std::vector<std::int64_t> counts(classes.size() * classes.size());
  for (std::size_t i = 0; i < truths.size(); ++i)
    ++counts[static_cast<std::size_t>(truths[i]) * classes.size() + answered[i]];
  std::vector<std::string> names;
  for (const std::string& name : classes) names.push_back(shown(name));
  std::size_t width = 5;
  for (const std::string& name : names) width = std::max(width, name.size() + 1);
  fmt::print("confusion matrix (rows: the truth, columns: the answer)\n{:>{}}", "", width);
  for (const std::string& name : names) fmt::print("{:>{}}", name, width);
  for (std::size_t truth = 0; truth < names.size(); ++truth) {
    fmt::print("\n{:>{}}", names[truth], width);
    for (std::size_t answer = 0; answer < names.size(); ++answer)
      fmt::print("{:>{}}", counts[truth * names.size() + answer], width);
  }
  fmt::print("\n\n");
}

void write_results(const std::filesystem::path& out, const Graph& graph, const History& history) {
  save_weights(history.variables, (out / "weights.safetensors").string());
  write_csv(history, (out / "history.csv").string());
  write_svg(history, (out / "curve.svg").string());
  write_text(graph, (out / "step.txt").string());
  fmt::print("written: {0}/weights.safetensors, {0}/history.csv, {0}/curve.svg, {0}/step.txt\n", out.string());
}

Status train(const TrainTest& data, const Settings& settings) {
  if (data.train.classes.size() < 2)
    throw Stop(bad_input, "the labels are all of one class: there is nothing to learn");
  made_folder(settings.out);
  const std::filesystem::path out = settings.out;
  print_data(data);
  fmt::print("{}\n", summary(model_graph(settings, data.train)).text());
  const Dim batch = std::min(settings.batch, data.train.size());
  const Graph graph = training_graph(settings, data.train, batch);
  const CompileOptions compiling{.logical_threads = settings.threads};
  print_memory(compile(graph, compiling), batch);
  const History history = trained(graph, data.train, settings, compiling);
  write_results(out, graph, history);
  if (history.interrupted) throw Stop(interrupted, "interrupted; what was learned until then is written");

  const Tensor scores = predict(graph, history.variables, data.test.inputs, "scores", {.compile = compiling});
  const std::vector<std::size_t> answered = answers(scores);
  const std::span<const std::int32_t> truths = data.test.labels.as<std::int32_t>();
  print_confusion(truths, answered, data.train.classes);
  std::int64_t right = 0;
  for (std::size_t i = 0; i < truths.size(); ++i) right += static_cast<std::size_t>(truths[i]) == answered[i];
  fmt::print("test accuracy {:.2f} %\n", 100 * static_cast<double>(right) / static_cast<double>(data.test.size()));
  return succeeded;
}

void add_common(CLI::App* command, const std::shared_ptr<Settings>& settings) {
  command->add_option("--epochs", settings->epochs, "times through the training set")
      ->check(CLI::Range(1, 1000000))->capture_default_str();
  command->add_option("--batch", settings->batch, "samples a step")
      ->check(CLI::Range(1, 1000000))
      ->capture_default_str();
  command->add_option("--rate", settings->rate, "Adam's learning rate")->check(positive)->capture_default_str();
  command->add_option("--seed", settings->seed, "of the split and of every shuffle")->capture_default_str();
  command->add_option("--out", settings->out, "folder for weights, history, curve and text")->capture_default_str();
  command->add_option("--threads", settings->threads, "threads that the work is cut for; 0 lets the compiler choose")
      ->check(CLI::Range(0, 256))->capture_default_str();
  CLI::Option* folder = command->add_option("--checkpoints", settings->checkpoints, "folder that keeps the training");
  command->add_option("--every", settings->every, "steps from one checkpoint to the next; 0: one an epoch")
      ->check(CLI::Range(0, 1000000000))->capture_default_str()->needs(folder);
  command->add_flag("--resume", settings->resume, "go on from the last checkpoint")->needs(folder);
}

void add_model(CLI::App* command, const std::shared_ptr<Settings>& settings) {
  command->add_option("--model", settings->model, "cnn or mlp")->check(CLI::IsMember({"cnn", "mlp"}))
      ->capture_default_str();
}

CLI::App* add_task(CLI::App* train_command, Action& action, const char* name, const char* help,
                   const Settings& defaults, TrainTest (*load)(const Settings&), std::shared_ptr<Settings>& settings) {
  settings = std::make_shared<Settings>(defaults);
  CLI::App* command = train_command->add_subcommand(name, help);
  add_common(command, settings);
  command->callback([settings, load, &action] {
    action = [settings, load] {
      // From the first file on: what is being written is written to its end, and what was learned is kept.
      const Interruption interruption;
      return train(load(*settings), *settings);
    };
  });
  return command;
}

}  // namespace

void add_train(CLI::App& app, Action& action) {
  CLI::App* command = app.add_subcommand("train", "Train a classifier, judge it on samples it has not seen, write it");
  command->require_subcommand(1);
  std::shared_ptr<Settings> settings;

  CLI::App* digits_command = add_task(
      command, action, "digits", "1,797 handwritten digits of 8x8 pixels, carried in the library",
      {.epochs = 15, .batch = 32}, [](const Settings& s) { return split(digits(), test_share, s.seed); }, settings);
  add_model(digits_command, settings);

  CLI::App* mnist_command = add_task(
      command, action, "mnist", "MNIST or a set of its form: IDX files in a folder", {.epochs = 5, .batch = 64},
      [](const Settings& s) { return mnist(s.data); }, settings);
  mnist_command->add_option("--data", settings->data, "folder with the four files, gzipped or not")->required();
  add_model(mnist_command, settings);

  CLI::App* csv_command = add_task(
      command, action, "csv", "a table of numbers with a column of labels: an MLP on standardized columns",
      {.model = "mlp", .epochs = 100, .batch = 16},
      [](const Settings& s) { return standardized(split(csv(s.data, {.label = s.label}), test_share, s.seed)); },
      settings);
  csv_command->add_option("--data", settings->data, "the file, gzipped or not")->required();
  csv_command->add_option("--label", settings->label, "the labels' column: its name, or its position from 0")
      ->required();
}

}  // namespace thalweg::tool
