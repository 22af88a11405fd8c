// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <array>
#include <cstring>
#include <limits>
#include <numeric>

#include "thalweg/graph/fail.h"
#include "thalweg/graph/opdef.h"
#include "thalweg/lib/base/tensor.h"
#include "thalweg/lib/base/threads.h"
#include "thalweg/lib/kernels/finite.h"
#include "thalweg/lib/kernels/own.h"
#include "thalweg/lib/kernels/pointwise_blocks.h"
#include "thalweg/lib/kernels/pointwise_code.h"
#include "thalweg/lib/kernels/pointwise_space.h"

namespace thalweg {
namespace {

constexpr std::size_t usual_block = 1024;
/// Below this many elements a second thread costs more than it brings.
constexpr std::size_t elements_per_thread = 32768;
constexpr std::size_t line = 64;

std::size_t rounded(std::size_t bytes) { return (bytes + line - 1) / line * line; }

/// How an input comes into its block.
enum class Feed {
  direct,   ///< it has the space's elements one by one: read where it lies
  fixed,    ///< every block sees the same numbers (a scalar, a row that fits a block): laid out once for each worker
  gathered  ///< copied, or converted from bf16, block by block
};

struct Input {
  DType dtype = DType::f32;
  Feed feed = Feed::direct;
  std::size_t period = 0;  ///< elements after which it repeats; 0 if it does not
  PointwiseSpace::Extents stride{};  ///< along the loops; 0 repeats
  std::size_t slot = 0;    ///< offset in the worker's scratch, where it has one
};

struct Action {
  BlockFunction function = nullptr;
  std::array<int, 3> operand{};  ///< number of the value: inputs first, then actions
  std::array<double, 2> parameters{};
  std::size_t slot = 0;
  int direct_output = -1;        ///< output whose memory it writes at once
};

class PointwiseKernel final : public Kernel {
 public:
  PointwiseKernel(const PointwiseGroup& group, int threads) : threads_(std::max(threads, 1)) {
    elements_ = static_cast<std::size_t>(group.space.elements());
    find_loops(group);
    choose_block();
    for (const PointwiseGroup::Step& step : group.steps) add_action(group, step);
    place(group);
    name_ = "own:pointwise(";
    for (std::size_t i = 0; i < group.steps.size(); ++i) {
      if (i > 0) name_ += ',';
      name_ += group.steps[i].node->op->name;
    }
    name_ += ')';
  }

  std::string name() const override { return name_; }
  std::size_t scratch_bytes() const override { return static_cast<std::size_t>(workers()) * worker_bytes_; }
  bool in_place(std::size_t operand, std::size_t) const override { return whole_[operand]; }
  bool watch(std::size_t result, std::atomic<bool>& flag) override {
    watched_.push_back({result, &flag});
    return true;
  }

  void run(const void* const* in, void* const* out, void* scratch) const override {
    const std::size_t blocks = (elements_ + block_ - 1) / block_;
    parallel_for(threads_, blocks, grain(), [&](std::size_t begin, std::size_t end, std::size_t worker) {
      std::byte* room = static_cast<std::byte*>(scratch) + worker * worker_bytes_;
      const auto** values = reinterpret_cast<const void**>(room);
      for (std::size_t i = 0; i < inputs_.size(); ++i)
        if (inputs_[i].feed == Feed::fixed) {
          gather(inputs_[i], in[i], 0, std::min(block_, elements_), room + inputs_[i].slot);
          values[i] = room + inputs_[i].slot;
        }
      for (std::size_t b = begin; b < end; ++b) {
        const std::size_t first = b * block_;
        run_block(in, out, room, values, first, std::min(block_, elements_ - first));
      }
    });
  }

 private:
  std::size_t grain() const { return std::max<std::size_t>(1, elements_per_thread / block_); }
  int workers() const { return parts_of(threads_, (elements_ + block_ - 1) / block_, grain()); }

  void run_block(const void* const* in, void* const* out, std::byte* room, const void** values, std::size_t first,
                 std::size_t n) const {
    for (std::size_t i = 0; i < inputs_.size(); ++i) {
      const Input& input = inputs_[i];
      if (input.feed == Feed::direct) {
        values[i] = static_cast<const std::byte*>(in[i]) + first * size_of(input.dtype);
      } else if (input.feed == Feed::gathered) {
        gather(input, in[i], first, n, room + input.slot);
        values[i] = room + input.slot;
      }
    }
    for (std::size_t k = 0; k < actions_.size(); ++k) {
      const Action& action = actions_[k];
      void* to = action.direct_output < 0
                     ? room + action.slot
                     : static_cast<std::byte*>(out[action.direct_output]) +
                           first * size_of(output_dtypes_[static_cast<std::size_t>(action.direct_output)]);
      const auto value = [&](std::size_t i) { return values[static_cast<std::size_t>(action.operand[i])]; };
      action.function({value(0), value(1), value(2), to, n, action.parameters.data()});
      values[inputs_.size() + k] = to;
    }
    for (std::size_t o = 0; o < output_values_.size(); ++o) {
      if (stored_[o]) continue;
      const void* from = values[output_values_[o]];
      const std::size_t each = size_of(output_dtypes_[o]);
      auto* to = static_cast<std::byte*>(out[o]) + first * each;
      if (output_dtypes_[o] == DType::bf16) {
        bf16_from_f32(static_cast<const float*>(from), reinterpret_cast<std::uint16_t*>(to), n);
      } else {
        std::memcpy(to, from, n * each);
      }
    }
    // What was just written is still in the nearest cache.
    for (const Watched& w : watched_) {
      const DType dtype = output_dtypes_[w.result];
      if (!all_finite(dtype, static_cast<const std::byte*>(out[w.result]) + first * size_of(dtype), n))
        w.flag->store(true, std::memory_order_relaxed);
    }
  }

  /// Lays elements [first, first + n) of the space, as this input repeats over it, one after the other.
  void gather(const Input& input, const void* data, std::size_t first, std::size_t n, std::byte* to) const {
    const std::size_t each = size_of(input.dtype);
    const std::size_t cell = size_of(cell_of(input.dtype));
    std::array<std::size_t, Shape::max_rank> at{};
    std::size_t rest = first, offset = 0;
    for (std::size_t axis = loops_.rank; axis-- > 0;) {
      at[axis] = rest % loops_.size[axis];
      rest /= loops_.size[axis];
      offset += at[axis] * input.stride[axis];
    }
    const std::size_t inner = loops_.rank - 1;
    const auto* base = static_cast<const std::byte*>(data);
    for (std::size_t done = 0; done < n;) {
      const std::size_t run = std::min(n - done, loops_.size[inner] - at[inner]);
      copy_run(input, base + offset * each, run, to + done * cell);
      done += run;
      offset -= at[inner] * input.stride[inner];
      at[inner] = 0;
      for (std::size_t axis = inner; axis-- > 0;) {
        offset += input.stride[axis];
        if (++at[axis] < loops_.size[axis]) break;
        offset -= at[axis] * input.stride[axis];
        at[axis] = 0;
      }
    }
  }

  void copy_run(const Input& input, const std::byte* from, std::size_t n, std::byte* to) const {
    const bool repeat = input.stride[loops_.rank - 1] == 0;
    switch (input.dtype) {
      case DType::bf16: {
        const auto* x = reinterpret_cast<const std::uint16_t*>(from);
        auto* y = reinterpret_cast<float*>(to);
        if (repeat) std::fill(y, y + n, float_of(*x));
        else f32_from_bf16(x, y, n);
        break;
      }
      case DType::f32:
      case DType::i32: copy_cells<std::uint32_t>(repeat, from, n, to); break;
      case DType::f64:
      case DType::i64: copy_cells<std::uint64_t>(repeat, from, n, to); break;
      case DType::u8:
      case DType::boolean: copy_cells<std::uint8_t>(repeat, from, n, to); break;
    }
  }
  template <class T>
  static void copy_cells(bool repeat, const std::byte* from, std::size_t n, std::byte* to) {
    if (!repeat) {
      std::memcpy(to, from, n * sizeof(T));
      return;
    }
    T x;
    std::memcpy(&x, from, sizeof x);
    std::fill_n(reinterpret_cast<T*>(to), n, x);
  }

  void find_loops(const PointwiseGroup& group) {
    loops_ = pointwise_space(group.space, group.inputs);
    for (std::size_t i = 0; i < group.inputs.size(); ++i) {
      inputs_.push_back({.dtype = group.inputs[i].dtype, .stride = loops_.stride[i]});
      whole_.push_back(group.inputs[i].elements() == group.space.elements());
    }
    for (std::size_t i = 0; i < inputs_.size(); ++i) {
      Input& input = inputs_[i];
      if (whole_[i]) continue;
      // Repeating on the outer loops only: the period is what lies inside them.
      std::size_t outer = 0;
      while (outer < loops_.rank && input.stride[outer] == 0) ++outer;
      input.period = 1;
      for (std::size_t axis = outer; axis < loops_.rank; ++axis) input.period *= loops_.size[axis];
    }
  }

  /// A block is a whole number of periods of the rows that fit it.
  void choose_block() {
    std::size_t unit = 1;
    for (const Input& input : inputs_)
      if (input.period > 1 && input.period <= usual_block) {
        const std::size_t both = std::lcm(unit, input.period);
        if (both <= usual_block) unit = both;
      }
    block_ = std::min(usual_block / unit * unit, std::max<std::size_t>(elements_, 1));
    for (std::size_t i = 0; i < inputs_.size(); ++i) {
      Input& input = inputs_[i];
      const bool same_blocks = input.period > 0 && (block_ % input.period == 0 || block_ == elements_);
      if (whole_[i] && input.dtype != DType::bf16) input.feed = Feed::direct;
      else if (!whole_[i] && same_blocks) input.feed = Feed::fixed;
      else input.feed = Feed::gathered;
    }
  }

  void add_action(const PointwiseGroup& group, const PointwiseGroup::Step& step) {
    std::vector<DType> types;
    Action action;
    for (std::size_t i = 0; i < step.operands.size() && i < action.operand.size(); ++i) {
      const int operand = step.operands[i];
      const bool input = operand < 0;
      const auto at = static_cast<std::size_t>(input ? -1 - operand : operand);
      types.push_back(input ? group.inputs.at(at).dtype : group.steps.at(at).dtype);
      action.operand[i] = static_cast<int>(input ? at : inputs_.size() + at);
    }
    const PointwiseBlock block = pointwise_block(*step.node, types, step.dtype);
    if (block.function == nullptr)
      throw InternalError(fmt::format("no pointwise block for {} of {}", step.node->op->name, to_string(step.dtype)));
    action.function = block.function;
    action.parameters = block.parameters;
    actions_.push_back(action);
  }

  /// Gives every value its place: outputs that nothing can disturb are written at once, the rest share the slots of
  /// the worker's scratch by last use.
  void place(const PointwiseGroup& group) {
    const std::size_t values = inputs_.size() + actions_.size();
    std::vector<std::size_t> last(values, 0);
    std::size_t last_direct_read = 0;
    for (std::size_t k = 0; k < actions_.size(); ++k) {
      for (std::size_t i = 0; i < group.steps[k].operands.size(); ++i) {
        const auto v = static_cast<std::size_t>(actions_[k].operand[i]);
        last[v] = k;
        if (v < inputs_.size() && whole_[v]) last_direct_read = k;
      }
    }
    stored_.assign(group.outputs.size(), false);
    for (std::size_t o = 0; o < group.outputs.size(); ++o) {
      const auto step = static_cast<std::size_t>(group.outputs[o]);
      output_values_.push_back(inputs_.size() + step);
      output_dtypes_.push_back(group.steps[step].dtype);
      last[inputs_.size() + step] = actions_.size();
      // An output may lie on an input: nothing may be read from there after it.
      Action& action = actions_[step];
      if (step >= last_direct_read && action.direct_output < 0 && group.steps[step].dtype != DType::bf16) {
        action.direct_output = static_cast<int>(o);
        stored_[o] = true;
      }
    }
    std::size_t used = rounded(values * sizeof(void*));
    const auto fresh = [&](DType dtype) {
      const std::size_t at = used;
      // A line more than a power of two, so that the slots do not meet in the same cache sets.
      used += rounded(block_ * size_of(cell_of(dtype))) + line;
      return at;
    };
    for (Input& input : inputs_)
      if (input.feed != Feed::direct) input.slot = fresh(input.dtype);
    struct Free {
      std::size_t bytes, slot;
    };
    std::vector<Free> unused;
    for (std::size_t k = 0; k < actions_.size(); ++k) {
      const std::size_t bytes = size_of(cell_of(group.steps[k].dtype));
      const auto give_back = [&] {
        for (std::size_t i = 0; i < group.steps[k].operands.size(); ++i) {
          const auto v = static_cast<std::size_t>(actions_[k].operand[i]);
          if (v < inputs_.size() || last[v] != k) continue;
          last[v] = actions_.size() + 1;  // once, if it is read twice
          const std::size_t step = v - inputs_.size();
          if (actions_[step].direct_output < 0)
            unused.push_back({size_of(cell_of(group.steps[step].dtype)), actions_[step].slot});
        }
      };
      give_back();
      if (actions_[k].direct_output >= 0) continue;
      const auto found = std::find_if(unused.begin(), unused.end(), [&](const Free& f) { return f.bytes == bytes; });
      if (found == unused.end()) {
        actions_[k].slot = fresh(group.steps[k].dtype);
      } else {
        actions_[k].slot = found->slot;
        unused.erase(found);
      }
    }
    worker_bytes_ = rounded(used);
  }

  struct Watched {
    std::size_t result;
    std::atomic<bool>* flag;
  };

  int threads_;
  std::size_t elements_ = 0;
  std::size_t block_ = 0;
  std::size_t worker_bytes_ = 0;
  PointwiseSpace loops_;
  std::vector<Input> inputs_;
  std::vector<bool> whole_;  ///< which inputs have an element for each of the space's
  std::vector<Action> actions_;
  std::vector<std::size_t> output_values_;
  std::vector<DType> output_dtypes_;
  std::vector<bool> stored_;
  std::vector<Watched> watched_;
  std::string name_;
};

/// Groups one after the other, where no one loop runs them all.
class SequenceKernel final : public Kernel {
 public:
  SequenceKernel(std::span<const PointwiseGroup> groups, int threads, bool generate) {
    for (const PointwiseGroup& group : groups) {
      kernels_.push_back({pointwise_kernel(group, threads, generate), first_of_.size(), outputs_});
      for (std::size_t i = 0; i < group.inputs.size(); ++i) first_of_.push_back(kernels_.size() - 1);
      outputs_ += group.outputs.size();
    }
  }
  std::string name() const override {
    const std::string one = kernels_[0].kernel->name();
    return one.substr(0, one.size() - 1) + " on " + std::to_string(kernels_.size()) + " tensors)";
  }
  std::size_t scratch_bytes() const override {
    std::size_t most = 0;
    for (const Entry& entry : kernels_) most = std::max(most, entry.kernel->scratch_bytes());
    return most;
  }
  bool in_place(std::size_t operand, std::size_t result) const override {
    const Entry& entry = kernels_[first_of_[operand]];
    const std::size_t results = outputs_ / kernels_.size();
    return result / results == first_of_[operand] && entry.kernel->in_place(operand - entry.first_in, result % results);
  }
  void run(const void* const* in, void* const* out, void* scratch) const override {
    for (const Entry& entry : kernels_) entry.kernel->run(in + entry.first_in, out + entry.first_out, scratch);
  }

 private:
  struct Entry {
    std::unique_ptr<Kernel> kernel;
    std::size_t first_in, first_out;
  };
  std::vector<Entry> kernels_;
  std::vector<std::size_t> first_of_;  ///< the kernel of each input
  std::size_t outputs_ = 0;
};

}  // namespace

bool is_groupable(const Node& node, std::span<const TensorType> in) {
  if (node.types.size() != 1 || in.empty() || in.size() > 3) return false;
  std::vector<DType> types;
  for (const TensorType& type : in) types.push_back(type.dtype);
  return pointwise_block(node, types, node.types[0].dtype).function != nullptr;
}

std::unique_ptr<Kernel> pointwise_kernel(const PointwiseGroup& group, int threads, bool generate) {
  if (generate)
    if (auto kernel = generated_pointwise(std::span(&group, 1), threads)) return kernel;
  return std::make_unique<PointwiseKernel>(group, threads);
}

std::unique_ptr<Kernel> pointwise_kernel(std::span<const PointwiseGroup> groups, int threads, bool generate) {
  if (groups.size() == 1) return pointwise_kernel(groups[0], threads, generate);
  if (generate)
    if (auto kernel = generated_pointwise(groups, threads)) return kernel;
  return std::make_unique<SequenceKernel>(groups, threads, generate);
}

}  // namespace thalweg
