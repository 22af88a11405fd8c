// SPDX-License-Identifier: Apache-2.0
#include "thalweg/lib/onednn/primitive.h"

#include <algorithm>

#include "thalweg/graph/fail.h"
#include "thalweg/graph/opdef.h"
#include "thalweg/lib/base/threads.h"

namespace thalweg::onednn {

const dnnl::engine& engine() {
  static const dnnl::engine cpu(dnnl::engine::kind::cpu, 0);
  return cpu;
}

dnnl::memory::data_type data_type(DType dtype) {
  switch (dtype) {
    case DType::f32: return dnnl::memory::data_type::f32;
    case DType::bf16: return dnnl::memory::data_type::bf16;
    case DType::i32: return dnnl::memory::data_type::s32;
    case DType::u8: return dnnl::memory::data_type::u8;
    default: return dnnl::memory::data_type::undef;
  }
}

dnnl::memory::desc dense(const TensorType& type, std::span<const std::size_t> order) {
  const std::vector<Dim> strides = strides_of(type.shape);
  dnnl::memory::dims dims, steps;
  for (std::size_t i = 0; i < type.shape.rank(); ++i) {
    const std::size_t axis = order.empty() ? i : order[i];
    dims.push_back(type.shape[axis]);
    steps.push_back(strides[axis]);
  }
  return {dims, data_type(type.dtype), steps};
}

bool is_reference(const std::string& implementation) {
  return implementation.starts_with("ref") || implementation.find(":ref") != std::string::npos ||
         implementation.find("simple") == 0;
}

void rethrow(const dnnl::error& error, const Node& node) {
  throw InternalError(
      fmt::format("oneDNN failed with status {} ({}) in {}", static_cast<int>(error.status), error.what(),
                  node.op->name),
      node.loc);
}

bool sizes_are_safe(const KernelRequest& request) {
  constexpr std::size_t limit = std::size_t{1} << 40;
  const auto small = [](const TensorType& type) { return type.bytes() < limit; };
  return std::all_of(request.in.begin(), request.in.end(), small) &&
         std::all_of(request.out.begin(), request.out.end(), small);
}

// ---- Call

Call::Call(dnnl::primitive primitive, std::string implementation)
    : primitive_(std::move(primitive)), implementation_(std::move(implementation)), stream_(engine()) {}

void Call::argument(int arg, const dnnl::memory::desc& desc) {
  memories_.emplace_back(desc, engine(), static_cast<void*>(DNNL_MEMORY_NONE));
  arguments_.push_back({arg, memories_.back().get()});
}

void Call::set(std::size_t index, const void* address) const {
  const dnnl_memory_t memory = arguments_[index].memory;
  void* present = nullptr;
  dnnl_memory_get_data_handle(memory, &present);
  // Setting a handle costs more than looking: a program's addresses never change after its first step.
  if (present != address) dnnl_memory_set_data_handle(memory, const_cast<void*>(address));
}

void Call::execute() const {
  dismiss_team();
  const dnnl_status_t status = dnnl_primitive_execute(primitive_.get(), stream_.get(),
                                                      static_cast<int>(arguments_.size()), arguments_.data());
  if (status != dnnl_success)
    throw InternalError(fmt::format("oneDNN: {} failed with status {}", implementation_, static_cast<int>(status)));
}

// ---- ReorderedCall

namespace {

struct ReorderCall {
  Call call;
  std::size_t scratchpad_bytes;
};

ReorderCall reorder_call(const dnnl::memory::desc& from, const dnnl::memory::desc& to) {
  dnnl::primitive_attr attr;
  attr.set_scratchpad_mode(dnnl::scratchpad_mode::user);
  const dnnl::reorder::primitive_desc pd(engine(), from, engine(), to, attr);
  Call call(dnnl::reorder(pd), pd.impl_info_str());
  call.argument(DNNL_ARG_FROM, from);
  call.argument(DNNL_ARG_TO, to);
  call.argument(DNNL_ARG_SCRATCHPAD, pd.scratchpad_desc());
  return {std::move(call), pd.scratchpad_desc().get_size()};
}

}  // namespace

ReorderedCall::ReorderedCall(dnnl::primitive primitive, std::string implementation, std::size_t scratchpad_bytes)
    : main_(std::move(primitive), std::move(implementation)) {
  scratchpad_offset_ = place(scratchpad_bytes);
}

std::size_t ReorderedCall::place(std::size_t bytes) {
  const std::size_t offset = scratch_bytes_;
  scratch_bytes_ += (bytes + 63) / 64 * 64;
  return offset;
}

void ReorderedCall::add_reorder(std::vector<Reorder>& list, const dnnl::memory::desc& from,
                                const dnnl::memory::desc& to, std::size_t tensor, std::size_t bytes) {
  auto [call, scratchpad] = reorder_call(from, to);
  list.push_back({std::move(call), tensor, arguments_, place(bytes), place(scratchpad)});
}

void ReorderedCall::input(int arg, const dnnl::memory::desc& kept, const dnnl::memory::desc& wanted) {
  main_.argument(arg, wanted);
  if (kept == wanted)
    direct_in_.emplace_back(arguments_, inputs_);
  else
    add_reorder(before_, kept, wanted, inputs_, wanted.get_size());
  ++arguments_;
  ++inputs_;
}

void ReorderedCall::output(int arg, const dnnl::memory::desc& kept, const dnnl::memory::desc& wanted) {
  main_.argument(arg, wanted);
  if (kept == wanted)
    direct_out_.emplace_back(arguments_, outputs_);
  else
    add_reorder(after_, wanted, kept, outputs_, wanted.get_size());
  ++arguments_;
  ++outputs_;
}

void ReorderedCall::finish(const dnnl::memory::desc& scratchpad) { main_.argument(DNNL_ARG_SCRATCHPAD, scratchpad); }

void ReorderedCall::run(const void* const* in, void* const* out, void* scratch) const {
  auto* bytes = static_cast<std::byte*>(scratch);
  for (const auto& [argument, tensor] : direct_in_) main_.set(argument, in[tensor]);
  for (const auto& [argument, tensor] : direct_out_) main_.set(argument, out[tensor]);
  for (const Reorder& reorder : before_) {
    reorder.call.set(0, in[reorder.tensor]);
    reorder.call.set(1, bytes + reorder.offset);
    reorder.call.set(2, bytes + reorder.scratchpad);
    reorder.call.execute();
    main_.set(reorder.argument, bytes + reorder.offset);
  }
  for (const Reorder& reorder : after_) main_.set(reorder.argument, bytes + reorder.offset);
  main_.set(arguments_, bytes + scratchpad_offset_);
  main_.execute();
  for (const Reorder& reorder : after_) {
    reorder.call.set(0, bytes + reorder.offset);
    reorder.call.set(1, out[reorder.tensor]);
    reorder.call.set(2, bytes + reorder.scratchpad);
    reorder.call.execute();
  }
}

}  // namespace thalweg::onednn
