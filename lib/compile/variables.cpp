// SPDX-License-Identifier: Apache-2.0
#include <cstring>
#include <map>

#include "thalweg/graph/fail.h"
#include "thalweg/graph/opdef.h"
#include "thalweg/lib/compile/program.h"
#include "thalweg/ops/init.h"

namespace thalweg {

struct Variables::State {
  std::map<std::string, Tensor, std::less<>> values;
};

Variables::Variables() : state_(detail::share<State>()) {}

bool Variables::has(std::string_view name) const { return state_->values.contains(name); }

Tensor Variables::at(std::string_view name) const {
  if (const auto it = state_->values.find(name); it != state_->values.end()) return it->second;
  run_error("there is no variable '{}'{}", name, suggestion(name, names()));
}

std::vector<std::string> Variables::names() const {
  std::vector<std::string> all;
  for (const auto& [name, value] : state_->values) all.push_back(name);
  return all;
}

void Variables::set(std::string_view name, const Tensor& value) {
  Tensor place = at(name);
  if (!value) run_error("variable '{}' was given an empty tensor", name);
  if (place.type() != value.type())
    run_error("variable '{}' is {}, the value given is {}", name, to_string(place.type()), to_string(value.type()));
  std::memcpy(place.data(), value.data(), value.bytes());
}

Tensor Variables::ensure(const Graph& graph, NodeId variable) {
  const Node& node = graph.node(variable);
  if (const auto it = state_->values.find(node.name); it != state_->values.end()) {
    if (it->second.type() != node.types[0])
      run_error("variable '{}' is {} in the store and {} in graph '{}'", node.name, to_string(it->second.type()),
                to_string(node.types[0]), graph.name());
    return it->second;
  }
  const TensorType& type = node.types[0];
  Tensor value(type);
  // A new tensor's zeros take no memory until a step writes them.
  if (node.attrs.text("init") != "zeros")
    initial_values(node.attrs, node.name, type, [&](std::size_t first, std::span<const double> numbers) {
      store_numbers(type.dtype, numbers, static_cast<std::byte*>(value.data()) + first * size_of(type.dtype), first);
    });
  state_->values.emplace(node.name, value);
  return value;
}

std::size_t Variables::bytes() const {
  std::size_t total = 0;
  for (const auto& [name, value] : state_->values) total += value.bytes();
  return total;
}

Variables Variables::clone() const {
  Variables copy;
  for (const auto& [name, value] : state_->values) copy.state_->values.emplace(name, value.clone());
  return copy;
}

}  // namespace thalweg
