// SPDX-License-Identifier: Apache-2.0
#include "thalweg/lib/train/training_state.h"

#include <algorithm>
#include <charconv>
#include <limits>

#include "thalweg/graph/fail.h"
#include "thalweg/graph/philox.h"
#include "thalweg/graph/print.h"
#include "thalweg/lib/base/threads.h"
#include "thalweg/lib/io/checkpoint_file.h"
#include "thalweg/lib/io/checksum.h"

namespace thalweg {
namespace {

std::string key_of(std::string_view name) { return fmt::format("thalweg.{}", name); }
std::string callback_prefix(std::size_t index) { return fmt::format("callback{}{}{}", checkpoint_mark, index, checkpoint_mark); }
std::string epoch_begin_prefix() { return fmt::format("epoch_begin{}", checkpoint_mark); }
std::string run_name(std::string_view name) { return fmt::format("run{}{}", checkpoint_mark, name); }
constexpr Dim most_whole = std::numeric_limits<std::int32_t>::max();
constexpr Dim most_samples = Dim{1} << 53;

Tensor list_tensor(const std::vector<double>& numbers) {
  return Tensor(f64(static_cast<Dim>(numbers.size())), numbers);
}

/// Reads a content, taking out of it what was read.
class Reader {
 public:
  Reader(const Safetensors& content, const std::string& path) : rest_(content), path_(path) {}

  std::string text(const std::string& key) {
    const auto node = rest_.metadata.extract(key);
    if (node.empty()) run_error("{}: the checkpoint lacks {}", shown(path_), key);
    return node.mapped();
  }
  Dim whole(const std::string& name, Dim most) {
    const std::string key = key_of(name), value = text(key);
    Dim number = 0;
    const auto [end, error] = std::from_chars(value.data(), value.data() + value.size(), number);
    if (value.empty() || error != std::errc() || end != value.data() + value.size() || number < 0 || number > most)
      run_error("{}: {} is `{}`, must be a whole number from 0 to {}", shown(path_), key, shown(value), most);
    return number;
  }
  std::optional<Tensor> tensor(const std::string& name) {
    const auto node = rest_.tensors.extract(name);
    if (node.empty()) return {};
    return node.mapped();
  }
  std::vector<double> numbers(const std::string& name) {
    const auto found = tensor(run_name(name));
    if (!found) return {};
    if (found->type().dtype != DType::f64)
      run_error("{}: tensor '{}' is {}, must be f64", shown(path_), run_name(name), to_string(found->type()));
    return found->numbers();
  }
  /// Names `prefix…` and what follows the prefix.
  template <class T>
  std::map<std::string, T> with_prefix(std::map<std::string, T>& from, const std::string& prefix) {
    std::map<std::string, T> found;
    for (auto it = from.lower_bound(prefix); it != from.end() && it->first.starts_with(prefix); it = from.erase(it))
      found.emplace(it->first.substr(prefix.size()), it->second);
    return found;
  }
  Safetensors& rest() { return rest_; }

 private:
  Safetensors rest_;
  const std::string& path_;
};

std::vector<std::string> lines_of(const std::string& text) {
  std::vector<std::string> lines;
  for (std::size_t begin = 0; begin < text.size();) {
    const std::size_t end = std::min(text.find('\n', begin), text.size());
    lines.push_back(text.substr(begin, end - begin));
    begin = end + 1;
  }
  return lines;
}

}  // namespace

Safetensors to_checkpoint(const TrainingState& state) {
  Safetensors content;
  content.metadata[std::string(checkpoint_key)] = checkpoint_format;
  const auto text = [&](std::string_view name, auto value) {
    content.metadata[key_of(name)] = fmt::format("{}", value);
  };
  for (const Fact& fact : state.facts) text(fact.name, fact.value);
  text("epochs_done", state.epochs_done);
  text("steps_done", state.steps_done);
  text("stopping", state.stopping ? 1 : 0);
  text("best_epoch", state.best_epoch);
  text("samples_done", state.samples);
  text("threads.training", state.training_threads.whole);
  text("threads.training_rest", state.training_threads.rest);
  text("threads.update", state.update_threads);
  text("threads.validation", state.validation_threads.whole);
  text("threads.validation_rest", state.validation_threads.rest);
  text("columns", fmt::format("{}", fmt::join(state.columns, "\n")));
  text("callbacks", state.callbacks.size());
  text("skipped", state.skipped);
  text("warnings", fmt::format("{}", fmt::join(state.warnings, "\n")));

  content.tensors.emplace(run_name("seconds"), list_tensor({state.seconds}));
  content.tensors.emplace(run_name("last_rate"), list_tensor({state.last_rate}));
  content.tensors.emplace(run_name("rate_scale"), list_tensor({state.rate_scale}));
  if (state.last_loss) content.tensors.emplace(run_name("last_loss"), list_tensor({*state.last_loss}));
  if (!state.sums.empty()) content.tensors.emplace(run_name("sums"), list_tensor(state.sums));
  std::vector<double> history;
  for (const std::vector<double>& row : state.rows) history.insert(history.end(), row.begin(), row.end());
  if (!history.empty())
    content.tensors.emplace(run_name("history"), Tensor(f64(static_cast<Dim>(state.rows.size()),
                                                            static_cast<Dim>(state.columns.size())), history));
  for (const auto& [name, tensor] : state.variables) content.tensors.emplace(name, tensor);
  for (const auto& [name, tensor] : state.epoch_begin) content.tensors.emplace(epoch_begin_prefix() + name, tensor);
  for (std::size_t i = 0; i < state.callbacks.size(); ++i) {
    const auto& [name, saved] = state.callbacks[i];
    text(fmt::format("callback.{}", i), name);
    for (const auto& [key, tensor] : saved.tensors) content.tensors.emplace(callback_prefix(i) + key, tensor);
    for (const auto& [key, value] : saved.texts) content.metadata.emplace(callback_prefix(i) + key, value);
  }
  return content;
}

TrainingState from_checkpoint(const Safetensors& content, const std::vector<Fact>& facts, const std::string& path) {
  Reader in(content, path);
  TrainingState state;
  if (const std::string format = in.text(std::string(checkpoint_key)); format != checkpoint_format)
    run_error("{}: is a checkpoint of format `{}`, and this Thalweg reads format {}", shown(path), shown(format),
              checkpoint_format);
  for (const Fact& fact : facts) state.facts.push_back({fact.name, in.text(key_of(fact.name)), fact.bits_only});
  state.epochs_done = static_cast<int>(in.whole("epochs_done", most_whole));
  state.steps_done = in.whole("steps_done", most_whole);
  state.stopping = in.whole("stopping", 1) != 0;
  state.best_epoch = static_cast<int>(in.whole("best_epoch", most_whole));
  state.samples = in.whole("samples_done", most_samples);
  const auto threads = [&](const std::string& name) {
    return static_cast<int>(in.whole("threads." + name, most_logical_threads));
  };
  state.training_threads = {threads("training"), threads("training_rest")};
  state.update_threads = threads("update");
  state.validation_threads = {threads("validation"), threads("validation_rest")};
  state.columns = lines_of(in.text(key_of("columns")));
  state.skipped = in.whole("skipped", most_whole);
  state.warnings = lines_of(in.text(key_of("warnings")));
  if (const std::vector<double> seconds = in.numbers("seconds"); !seconds.empty()) state.seconds = seconds[0];
  if (const std::vector<double> loss = in.numbers("last_loss"); !loss.empty()) state.last_loss = loss[0];
  if (const std::vector<double> rate = in.numbers("last_rate"); !rate.empty()) state.last_rate = rate[0];
  if (const std::vector<double> scale = in.numbers("rate_scale"); !scale.empty()) state.rate_scale = scale[0];
  state.sums = in.numbers("sums");
  const std::vector<double> history = in.numbers("history");
  const std::size_t width = state.columns.size();
  if (width == 0 || history.size() != width * static_cast<std::size_t>(state.epochs_done))
    run_error("{}: the history has {} numbers, which is not {} epochs of {} columns", shown(path), history.size(),
              state.epochs_done, width);
  for (std::size_t at = 0; at < history.size(); at += width)
    state.rows.emplace_back(history.begin() + static_cast<std::ptrdiff_t>(at),
                            history.begin() + static_cast<std::ptrdiff_t>(at + width));
  const auto count = static_cast<std::size_t>(in.whole("callbacks", 10'000));
  for (std::size_t i = 0; i < count; ++i) {
    const std::string name = in.text(key_of(fmt::format("callback.{}", i)));
    CallbackState saved{.tensors = in.with_prefix(in.rest().tensors, callback_prefix(i)),
                        .texts = in.with_prefix(in.rest().metadata, callback_prefix(i))};
    state.callbacks.emplace_back(name, std::move(saved));
  }
  state.epoch_begin = in.with_prefix(in.rest().tensors, epoch_begin_prefix());
  state.variables = std::move(in.rest().tensors);
  return state;
}

void check_same_run(const TrainingState& here, const TrainingState& saved, bool same_bits, const std::string& path) {
  std::vector<std::string> problems;
  bool bits_only = true;
  for (std::size_t i = 0; i < here.facts.size(); ++i) {
    const Fact& fact = here.facts[i];
    if (fact.value == saved.facts[i].value || (fact.bits_only && !same_bits)) continue;
    problems.push_back(fmt::format("{} is {} in the checkpoint and {} here", fact.name,
                                   shown(saved.facts[i].value), shown(fact.value)));
    bits_only = bits_only && fact.bits_only;
  }
  const auto named = [&](std::string text) {
    problems.push_back(std::move(text));
    bits_only = false;
  };
  for (const auto& [name, tensor] : here.variables) {
    const auto found = saved.variables.find(name);
    if (found == saved.variables.end()) named(fmt::format("variable '{}' is not in the checkpoint", name));
    else if (found->second.type() != tensor.type())
      named(fmt::format("variable '{}' is {} in the checkpoint and {} here", name, to_string(found->second.type()),
                        to_string(tensor.type())));
  }
  for (const auto& [name, tensor] : saved.variables)
    if (!here.variables.contains(name)) named(fmt::format("'{}' of the checkpoint is no variable here", shown(name)));
  std::vector<std::string> callbacks, saved_callbacks;
  for (const auto& [name, state] : here.callbacks) callbacks.push_back(name);
  for (const auto& [name, state] : saved.callbacks) saved_callbacks.push_back(shown(name));
  if (callbacks != saved_callbacks)
    named(fmt::format("callbacks are [{}] in the checkpoint and [{}] here", fmt::join(saved_callbacks, ", "),
                      fmt::join(callbacks, ", ")));
  if (saved.columns != here.columns)
    named(fmt::format("columns of the history are [{}] in the checkpoint and [{}] here",
                      shown(fmt::format("{}", fmt::join(saved.columns, ", "))), fmt::join(here.columns, ", ")));
  if (problems.empty()) return;
  run_error("{}: is not of this training\n    {}{}", shown(path), fmt::join(problems, "\n    "),
            bits_only ? "\n    training could go on, though not with the same bits: .same_bits = false allows it" : "");
}

std::string graph_digest(const Graph& graph) {
  Graph plain(graph.name());
  for (NodeId id = 0; id < graph.size(); ++id) {
    Node node = graph.node(id);
    node.loc = {};
    const auto operands = graph.operands(id);
    plain.add_copy(node, std::vector<ValueId>(operands.begin(), operands.end()));
  }
  for (const Graph::Output& output : graph.outputs()) plain.output(output.name, plain.value(output.value));
  for (const Graph::Update& update : graph.updates()) plain.update(plain.value(update.variable), plain.value(update.next));
  return fmt::format("{:016x}", fnv1a(print(plain)));
}

std::string data_digest(const Dataset& data) {
  std::uint32_t crc = 0;
  for (const Tensor& tensor : {data.inputs, data.labels, data.weights}) {
    const std::span<const std::byte> bytes{static_cast<const std::byte*>(tensor.data()), tensor.bytes()};
    crc = crc32_joined(crc, crc32_of(bytes), bytes.size());
  }
  return crc32_text(crc);
}

}  // namespace thalweg
