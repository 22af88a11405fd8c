// SPDX-License-Identifier: Apache-2.0
#include <nlohmann/json.hpp>

#include <cmath>
#include <map>

#include "thalweg/graph/opdef.h"
#include "thalweg/graph/print.h"
#include "thalweg/lib/compile/summary.h"
#include "thalweg/lib/inspect/formats.h"
#include "thalweg/lib/inspect/kernel_of.h"

namespace thalweg {
namespace {

using Json = nlohmann::ordered_json;

/// oneDNN Graph's word for an op, where it has one: Netron then shows it in its colour.
std::string kind_of(const Node& node) {
  static const std::map<std::string_view, std::string_view> kinds = {
      {"matmul", "MatMul"}, {"conv2d", "Convolution"}, {"conv2d_backward_data", "ConvolutionBackwardData"},
      {"conv2d_backward_weights", "ConvolutionBackwardWeights"}, {"add", "Add"}, {"sub", "Subtract"},
      {"mul", "Multiply"}, {"div", "Divide"}, {"max", "Maximum"}, {"min", "Minimum"}, {"relu", "ReLU"},
      {"sigmoid", "Sigmoid"}, {"tanh", "Tanh"}, {"gelu", "GELU"}, {"elu", "Elu"}, {"exp", "Exp"}, {"log", "Log"},
      {"sqrt", "Sqrt"}, {"square", "Square"}, {"abs", "Abs"}, {"clip", "Clamp"}, {"max_pool", "MaxPool"},
      {"avg_pool", "AvgPool"}, {"reshape", "StaticReshape"}, {"transpose", "StaticTranspose"}, {"cast", "TypeCast"},
      {"softmax", "SoftMax"}, {"log_softmax", "LogSoftmax"}, {"batch_norm_training", "BatchNormForwardTraining"},
      {"batch_norm_inference", "BatchNormInference"}, {"batch_norm_backward", "BatchNormTrainingBackward"},
      {"layer_norm", "LayerNorm"}, {"layer_norm_backward", "LayerNormBackward"}, {"concat", "Concat"},
      {"select", "Select"}};
  const auto found = kinds.find(node.op->name);
  return std::string(found == kinds.end() ? node.op->name : found->second);
}

std::string dtype_of(DType dtype) {
  switch (dtype) {
    case DType::i32: return "s32";
    case DType::i64: return "s64";
    case DType::f64:
      return "undef";  // oneDNN Graph has none, and Netron opens nothing with a word that it does not know
    case DType::boolean: return "boolean";
    default: return std::string(to_string(dtype));
  }
}

/// Type and value as oneDNN Graph writes attributes; numbers that JSON cannot hold are words.
Json attribute(const AttrValue& value) {
  switch (value.kind()) {
    case AttrKind::flag: return {{"type", "bool"}, {"value", value.flag() ? 1 : 0}};
    case AttrKind::integer: return {{"type", "s64"}, {"value", value.integer()}};
    case AttrKind::real:
      if (std::isfinite(value.real())) return {{"type", "f32"}, {"value", value.real()}};
      return {{"type", "string"}, {"value", to_string(value)}};
    case AttrKind::text: return {{"type", "string"}, {"value", value.text()}};
    case AttrKind::integers: return {{"type", "s64[]"}, {"value", value.integers()}};
    case AttrKind::reals: break;
  }
  Json list = Json::array();
  for (const double x : value.reals()) list.push_back(std::isfinite(x) ? Json(x) : Json(to_string(AttrValue(x))));
  return {{"type", "f32[]"}, {"value", list}};
}

class Writer {
 public:
  Writer(const Staged& staged, bool portable)
      : staged_(staged), graph_(staged.graph), labels_(graph_), portable_(portable), first_(graph_.size()) {
    for (NodeId id = 0; id < graph_.size(); ++id) {
      first_[id] = values_;
      values_ += graph_.node(id).types.size();
    }
  }

  std::string run() {
    Json nodes = Json::array();
    for (NodeId id = 0; id < graph_.size(); ++id) nodes.push_back(node(id));
    Json file = {{"version", "2.6.3"}, {"engine_kind", "cpu"}, {"fpmath_mode", "strict"}, {"name", graph_.name()},
                 {"stage", to_string(staged_.stage)}, {"graph", nodes}};
    file["output_ports"] = Json::array();
    for (const Graph::Output& out : graph_.outputs()) {
      file["outputs"].push_back({{"name", out.name}, {"value", value_id(out.value)}});
      file["output_ports"].push_back(value_id(out.value));
    }
    for (const Graph::Update& update : graph_.updates())
      file["updates"].push_back(
          {{"variable", graph_.node(update.variable.node).name}, {"value", value_id(update.next)}});
    if (staged_.plan) add_plan(file);
    return file.dump(1, ' ', false, Json::error_handler_t::replace) + "\n";
  }

 private:
  std::size_t value_id(ValueId v) const { return first_[v.node] + v.result; }

  Json tensor(ValueId v) const {
    const TensorType& type = graph_.type(v);
    const bool variable = graph_.node(v.node).op->name == "variable";
    return {{"id", value_id(v)},
            {"type", to_string(type)},
            {"dtype", dtype_of(type.dtype)},
            {"shape", type.shape.vector()},
            {"stride", strides_of(type.shape)},
            {"layout_type", "strided"},
            {"property_type", graph_.node(v.node).op->name == "constant" ? "constant"
                              : variable                                 ? "variable"
                                                                         : "undef"}};
  }

  Json node(NodeId id) const {
    const Node& node = graph_.node(id);
    Json attrs = Json::object(), inputs = Json::array(), outputs = Json::array();
    for (const Attr& attr : node.attrs) attrs[std::string(attr.name)] = attribute(attr.value);
    // Netron shows what stands among the attributes.
    const std::string line = node.loc.known() ? to_string(node.loc) : "";
    attrs["origin"] = {{"type", "string"}, {"value", to_string(node.origin)}};
    if (!node.scope.empty()) attrs["scope"] = {{"type", "string"}, {"value", node.scope}};
    if (!line.empty()) attrs["line"] = {{"type", "string"}, {"value", line}};
    for (const ValueId v : graph_.operands(id)) inputs.push_back(tensor(v));
    for (std::uint32_t r = 0; r < node.types.size(); ++r) outputs.push_back(tensor({id, r}));
    return {{"id", id}, {"name", labels_({id, 0})}, {"kind", kind_of(node)}, {"op", node.op->name}, {"attrs", attrs},
            {"inputs", inputs}, {"outputs", outputs}, {"scope", node.scope}, {"origin", to_string(node.origin)},
            {"line", line}};
  }

  void add_plan(Json& file) const {
    const PlanReport& plan = staged_.plan->plan;
    const bool places = staged_.stage >= Stage::planned && !portable_;
    Json kernels = Json::array();
    for (const PlannedKernel& k : plan.kernels) {
      Json kernel = {{"implementation", implementation_text(k, portable_)}, {"nodes", k.members},
                     {"copies_to_variable", k.copies_to_variable}};
      for (const ValueId v : k.in) kernel["in"].push_back(value_id(v));
      for (const ValueId v : k.out) kernel["out"].push_back(value_id(v));
      if (staged_.stage >= Stage::laid_out) kernel["layout_changes"] = k.reorders;
      if (places) {
        kernel["in_buffers"] = k.in_buffers;
        kernel["out_buffers"] = k.out_buffers;
        if (k.scratch) kernel["scratch"] = *k.scratch;
      }
      kernels.push_back(std::move(kernel));
    }
    file["kernels"] = kernels;
    if (!places) return;
    for (const PlannedBuffer& b : plan.buffers)
      file["buffers"].push_back({{"region", to_string(b.region)}, {"bytes", b.bytes}, {"offset", b.offset},
                                 {"node", b.node}, {"first", b.first}, {"last", b.last}});
    const MemoryReport& m = staged_.plan->memory;
    file["memory"] = {{"variables", m.variables}, {"constants", m.constants}, {"inputs", m.inputs}, {"arena", m.arena},
                      {"largest_live", m.largest_live}, {"total", m.total()}};
  }

  const Staged& staged_;
  const Graph& graph_;
  Labels labels_;
  bool portable_;
  std::vector<std::size_t> first_;
  std::size_t values_ = 0;
};

}  // namespace

std::string json_of(const Staged& staged, bool portable) { return Writer(staged, portable).run(); }

}  // namespace thalweg
