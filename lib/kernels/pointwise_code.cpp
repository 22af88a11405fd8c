// SPDX-License-Identifier: Apache-2.0
#include "thalweg/lib/kernels/pointwise_code.h"

#include <algorithm>
#include <optional>

#include "thalweg/graph/opdef.h"
#include "thalweg/lib/base/threads.h"
#include "thalweg/lib/kernels/finite.h"
#include "thalweg/lib/kernels/pointwise_blocks.h"

namespace thalweg {
namespace {

/// Below this many elements a second thread costs more than it brings.
constexpr std::size_t elements_per_thread = 32768;
/// A long row is cut here between threads.
constexpr std::size_t segment = 4096;

// ---------------------------------------------------------------- a group on a tape

/// A value of a group for one vector of elements: f64 and i64 are two halves, f32 and bf16 one vector of f32, bool a
/// mask.
struct Cell {
  DType dtype = DType::f32;
  int low = -1, high = -1;
};

class Recorder {
 public:
  Recorder(VectorTape& tape, const PointwiseGroup& group) : tape_(tape), group_(group) {}

  /// Every step on the tape; false where one has no vector code.
  bool record() {
    for (std::size_t i = 0; i < group_.inputs.size(); ++i)
      if (!is_covered(group_.inputs[i].dtype)) return false;
    for (const PointwiseGroup::Step& step : group_.steps) {
      if (!is_covered(step.dtype)) return false;
      std::vector<Cell> operands;
      for (const int operand : step.operands)
        operands.push_back(operand < 0 ? input(static_cast<std::size_t>(-1 - operand))
                                       : steps_[static_cast<std::size_t>(operand)]);
      const std::optional<Cell> cell = of(*step.node, operands, step.dtype);
      if (!cell) return false;
      steps_.push_back(*cell);
    }
    return true;
  }
  /// The lines that an output stores.
  std::array<int, 2> stored(int step) {
    const Cell& cell = steps_[static_cast<std::size_t>(step)];
    if (cell.dtype == DType::bf16) return {rounded_bits(cell.low), -1};
    return {cell.low, cell.high};
  }

 private:
  static bool is_covered(DType d) {
    return d == DType::f32 || d == DType::f64 || d == DType::bf16 || d == DType::boolean || d == DType::i64;
  }
  static bool is_wide(DType d) { return size_of(d) == 8; }
  static VectorLane lane_of(DType d) {
    if (d == DType::i64) return VectorLane::u64;
    return d == DType::f64 ? VectorLane::f64 : VectorLane::f32;
  }

  int put(VectorOp op, VectorLane lane, std::array<int, 3> x, std::uint64_t bits = 0) {
    return tape_.add({op, lane, x, bits});
  }
  Cell input(std::size_t i) {
    const DType dtype = group_.inputs[i].dtype;
    const auto half = [&](std::uint64_t which) {
      return put(VectorOp::load, lane_of(dtype), {-1, -1, -1}, i << 1 | which);
    };
    return is_wide(dtype) ? Cell{dtype, half(0), half(1)} : Cell{dtype, half(0)};
  }

  /// f applied to the vector of each operand: once, or to the halves.
  template <class F>
  std::optional<Cell> each(DType out, std::span<const Cell> operands, F f) {
    std::vector<int> low, high;
    for (const Cell& c : operands) {
      low.push_back(c.low);
      high.push_back(c.high);
    }
    const std::optional<int> first = f(low);
    if (!first || !is_wide(operands[0].dtype)) return first ? std::optional(Cell{out, *first}) : std::nullopt;
    const std::optional<int> second = f(high);
    return second ? std::optional(Cell{out, *first, *second}) : std::nullopt;
  }

  std::optional<Cell> of(const Node& node, std::span<const Cell> x, DType out) {
    const std::string_view op = node.op->name;
    if (op == "cast") return cast(x[0], out);
    if (op == "broadcast" || op == "stop_gradient" || op == "by_mode") return x[0];
    if (op == "select") return select(x, out);
    if (op == "compare") return compare(node.attrs.text("mode"), x);
    if (op == "is_finite") return is_finite(x[0]);
    if (out == DType::boolean) return logic(op, x);
    if (op == "floor" && out != DType::i64) return each(out, x, [&](const std::vector<int>& v) -> std::optional<int> {
      return put(VectorOp::floor, lane_of(out), {v[0], -1, -1});
    });
    if (out == DType::i64) return whole(op, x);
    const PointwiseFunction function = pointwise_function(node);
    return each(out, x, [&](const std::vector<int>& v) {
      return out == DType::f64 ? record_f64_function(tape_, function.name, v)
                               : record_function(tape_, function.name, v, function.parameters.data());
    });
  }

  /// Counting: what the vectors have for 64-bit numbers. They wrap around.
  std::optional<Cell> whole(std::string_view op, std::span<const Cell> x) {
    if (op != "add" && op != "sub") return {};
    return each(DType::i64, x, [&](const std::vector<int>& v) -> std::optional<int> {
      return put(op == "add" ? VectorOp::add : VectorOp::sub, VectorLane::u64, {v[0], v[1], -1});
    });
  }

  /// The masks of a bool for the halves of f64.
  Cell wide_mask(const Cell& mask) {
    return {DType::f64, put(VectorOp::widen_mask, VectorLane::f64, {mask.low, -1, -1}, 0),
            put(VectorOp::widen_mask, VectorLane::f64, {mask.low, -1, -1}, 1)};
  }
  /// What compare gave for an operand, as a bool.
  Cell mask_of(const Cell& compared) {
    if (compared.high < 0) return {DType::boolean, compared.low};
    return {DType::boolean, put(VectorOp::narrow_mask, VectorLane::f32, {compared.low, compared.high, -1})};
  }

  std::optional<Cell> select(std::span<const Cell> x, DType out) {
    const Cell mask = is_wide(out) ? wide_mask(x[0]) : x[0];
    const auto chosen = [&](int m, int yes, int no) { return put(VectorOp::blend, lane_of(out), {m, yes, no}); };
    Cell cell{out, chosen(mask.low, x[1].low, x[2].low)};
    if (is_wide(out)) cell.high = chosen(mask.high, x[1].high, x[2].high);
    return cell;
  }

  int compared(VectorCompare how, VectorLane lane, int a, int b) {
    return put(VectorOp::compare, lane, {a, b, -1}, static_cast<std::uint64_t>(how));
  }
  std::optional<Cell> compare(std::string_view mode, std::span<const Cell> x) {
    constexpr std::array<std::string_view, 6> modes{"eq", "ne", "lt", "le", "gt", "ge"};
    const auto how = static_cast<VectorCompare>(std::find(modes.begin(), modes.end(), mode) - modes.begin());
    if (x[0].dtype == DType::boolean || x[0].dtype == DType::i64) return {};
    const auto mask = each(x[0].dtype, x, [&](const std::vector<int>& v) -> std::optional<int> {
      return compared(how, lane_of(x[0].dtype), v[0], v[1]);
    });
    return mask_of(*mask);
  }
  std::optional<Cell> is_finite(const Cell& x) {
    if (x.dtype == DType::boolean || x.dtype == DType::i64) return {};
    const bool f64 = x.dtype == DType::f64;
    const int sign = f64 ? tape_.constant(-0.0) : tape_.constant(-0.0f);
    const int infinity = f64 ? tape_.constant(std::numeric_limits<double>::infinity())
                             : tape_.constant(std::numeric_limits<float>::infinity());
    const auto mask = each(x.dtype, std::span(&x, 1), [&](const std::vector<int>& v) -> std::optional<int> {
      const int size = put(VectorOp::bit_andnot, lane_of(x.dtype), {sign, v[0], -1});
      return compared(VectorCompare::lt, lane_of(x.dtype), size, infinity);
    });
    return mask_of(*mask);
  }
  std::optional<Cell> logic(std::string_view op, std::span<const Cell> x) {
    if (std::any_of(x.begin(), x.end(), [](const Cell& c) { return c.dtype != DType::boolean; })) return {};
    const auto f32 = VectorLane::f32;
    if (op == "logical_and") return Cell{DType::boolean, put(VectorOp::bit_and, f32, {x[0].low, x[1].low, -1})};
    if (op == "logical_or") return Cell{DType::boolean, put(VectorOp::bit_or, f32, {x[0].low, x[1].low, -1})};
    if (op != "logical_not") return {};
    const int ones = put(VectorOp::constant, VectorLane::u32, {-1, -1, -1}, 0xffffffff);
    return Cell{DType::boolean, put(VectorOp::bit_xor, f32, {x[0].low, ones, -1})};
  }

  /// The bits of the nearest bf16, halves to even, in the low half of each lane; a NaN stays one.
  int rounded_bits(int x) {
    const auto u32 = VectorLane::u32;
    const auto word = [&](std::uint64_t bits) { return put(VectorOp::constant, u32, {-1, -1, -1}, bits); };
    const int high = put(VectorOp::shift_right, u32, {x, -1, -1}, 16);
    const int odd = put(VectorOp::bit_and, u32, {high, word(1), -1});
    const int up = put(VectorOp::add, u32, {put(VectorOp::add, u32, {x, word(0x7fff), -1}), odd, -1});
    const int nearest = put(VectorOp::shift_right, u32, {up, -1, -1}, 16);
    const int quiet = put(VectorOp::bit_or, u32, {high, word(0x40), -1});
    return put(VectorOp::blend, u32, {compared(VectorCompare::ne, VectorLane::f32, x, x), quiet, nearest});
  }
  int rounded(int x) { return put(VectorOp::shift_left, VectorLane::u32, {rounded_bits(x), -1, -1}, 16); }

  std::optional<Cell> cast(const Cell& x, DType out) {
    if (x.dtype == DType::i64 || out == DType::i64) return x.dtype == out ? std::optional(x) : std::nullopt;
    const bool from_f64 = x.dtype == DType::f64;
    if (out == DType::boolean) {
      if (x.dtype == DType::boolean) return x;
      const int zero = from_f64 ? tape_.constant(0.0) : tape_.constant(0.0f);
      const auto mask = each(x.dtype, std::span(&x, 1), [&](const std::vector<int>& v) -> std::optional<int> {
        return compared(VectorCompare::ne, lane_of(x.dtype), v[0], zero);
      });
      return mask_of(*mask);
    }
    Cell single = x;
    if (x.dtype == DType::boolean) {
      single.low = put(VectorOp::bit_and, VectorLane::f32, {x.low, tape_.constant(1.0f), -1});
    } else if (from_f64) {
      if (out == DType::f64) return x;
      if (out == DType::bf16) return {};  // by way of f32 it would be rounded twice
      single = {DType::f32, put(VectorOp::narrow, VectorLane::f32, {x.low, x.high, -1})};
    }
    if (out == DType::bf16) return Cell{out, rounded(single.low)};
    if (out == DType::f32) return Cell{out, single.low};
    return Cell{out, put(VectorOp::widen, VectorLane::f64, {single.low, -1, -1}, 0),
                put(VectorOp::widen, VectorLane::f64, {single.low, -1, -1}, 1)};
  }

  VectorTape& tape_;
  const PointwiseGroup& group_;
  std::vector<Cell> steps_;
};

// ---------------------------------------------------------------- the kernel

using Part = PointwisePart;

std::vector<bool> repeats_of(const PointwiseSpace& space) {
  std::vector<bool> repeats;
  for (const auto& stride : space.stride) repeats.push_back(stride[space.rank - 1] == 0);
  return repeats;
}

class GeneratedKernel final : public Kernel {
 public:
  GeneratedKernel(std::span<const PointwiseGroup> groups, PointwiseLoop loop, int threads)
      : parts_(std::move(loop.parts)), code_(std::move(loop.code)), loop_(code_->function()),
        source_(std::move(loop.loop)), threads_(threads), inputs_(groups[0].inputs.size()),
        outputs_(groups[0].outputs.size()) {
    for (const PointwiseGroup& group : groups) {
      for (const TensorType& type : group.inputs) {
        whole_.push_back(type.elements() == group.space.elements());
        in_bytes_.push_back(size_of(type.dtype));
      }
      for (const int step : group.outputs)
        out_bytes_.push_back(size_of(group.steps[static_cast<std::size_t>(step)].dtype));
    }
    elements_ = parts_.back().begin + parts_.back().elements;
    watched_.resize(out_bytes_.size());
    workers_ = parts_of(threads_, (elements_ + segment - 1) / segment, elements_per_thread / segment);
    for (const auto& step : groups[0].steps) name_ += (name_.empty() ? "" : ",") + std::string(step.node->op->name);
    name_ = groups.size() == 1 ? "own:pointwise(" + name_ + ")"
                               : "own:pointwise(" + name_ + " on " + std::to_string(groups.size()) + " tensors)";
  }

  std::string name() const override { return name_; }
  /// Another group's operands may still be needed.
  bool in_place(std::size_t operand, std::size_t result) const override {
    return whole_[operand] && operand / inputs_ == result / outputs_;
  }
  std::size_t scratch_bytes() const override {
    return is_plain() ? 0 : static_cast<std::size_t>(workers()) * worker_bytes();
  }

  /// The loop is written anew, unless it watches the result in another part already.
  bool watch(std::size_t result, std::atomic<bool>& flag) override {
    VectorLoop::Output& output = source_.outputs[result % outputs_];
    if (output.dtype != DType::f32 && output.dtype != DType::f64) return false;
    if (!output.watched) {
      output.watched = true;
      auto code = generate(source_);
      if (!code) {
        output.watched = false;
        return false;
      }
      code_ = std::move(code);
      loop_ = code_->function();
    }
    watched_[result] = true;
    flag_ = &flag;
    return true;
  }

  void run(const void* const* in, void* const* out, void* scratch) const override {
    if (workers() == 1) {
      for (const Part& part : parts_) run_all(part, in + part.first_in, out + part.first_out, scratch);
      return;
    }
    parallel_for(threads_, (elements_ + segment - 1) / segment, elements_per_thread / segment,
                 [&](std::size_t begin, std::size_t end, std::size_t worker) {
      auto* room = static_cast<std::byte*>(scratch) + worker * worker_bytes();
      const std::size_t first = begin * segment, last = std::min(end * segment, elements_);
      for (const Part& part : parts_) {
        const std::size_t from = std::max(first, part.begin), to = std::min(last, part.begin + part.elements);
        if (from < to) run_range(part, in, out, from - part.begin, to - part.begin, room);
      }
    });
  }

 private:
  int workers() const { return workers_; }
  /// Whether every part is one call with the kernel's own pointers.
  bool is_plain() const {
    return workers() == 1 && std::all_of(parts_.begin(), parts_.end(), [](const Part& p) { return p.space.rank <= 2; });
  }
  /// Room for one worker's pointers.
  std::size_t worker_bytes() const { return ((inputs_ + outputs_) * sizeof(void*) + 63) / 64 * 64; }

  void run_all(const Part& part, const void* const* in, void* const* out, void* scratch) const {
    const PointwiseSpace& s = part.space;
    if (part.elements == 0) return;
    if (s.rank == 1) return run_loop(part, in, out, 1, s.size[0]);
    if (s.rank == 2) return run_loop(part, in, out, s.size[0], s.size[1]);
    run_rows(part, in, out, 0, s.rows(), scratch);
  }

  void run_loop(const Part& part, const void* const* in, void* const* out, std::size_t rows, std::size_t n) const {
    if (loop_(in, out, rows, n) != 0) note(part, out, rows, n);
  }
  /// What the loop watches may be watched in other parts only.
  void note(const Part& part, void* const* out, std::size_t rows, std::size_t n) const {
    for (std::size_t o = 0; o < outputs_; ++o)
      if (watched_[part.first_out + o] && !all_finite(source_.outputs[o].dtype, out[o], rows * n))
        flag_->store(true, std::memory_order_relaxed);
  }

  /// Elements [from, to) of a part: the end of a row, whole rows, the beginning of a row. A cut lies where a vector
  /// of eight would begin; what an element becomes does not depend on the others of its vector.
  void run_range(const Part& part, const void* const* in, void* const* out, std::size_t from, std::size_t to,
                 void* room) const {
    const auto* own_in = in + part.first_in;
    auto* const* own_out = out + part.first_out;
    const std::size_t inner = part.space.inner();
    const auto cut = [&](std::size_t at) {
      const std::size_t column = at % inner;
      return at == part.elements ? at : at - column % vector_elements;
    };
    from = cut(from);
    to = cut(to);
    if (from >= to) return;
    std::size_t row = from / inner;
    const std::size_t last_row = to / inner;
    if (from % inner != 0) {
      const std::size_t end = row == last_row ? to % inner : inner;
      run_piece(part, own_in, own_out, row, from % inner, end - from % inner, room);
      ++row;
    }
    if (row < last_row) run_rows(part, own_in, own_out, row, last_row, room);
    if (to % inner != 0 && row <= last_row) run_piece(part, own_in, own_out, last_row, 0, to % inner, room);
  }

  /// Pointers at one element, in the worker's room.
  struct Pointers {
    const void** in;
    void** out;
  };
  Pointers at(const Part& part, const void* const* in, void* const* out, std::size_t row, std::size_t column,
              void* room) const {
    const PointwiseSpace& s = part.space;
    const Pointers p{static_cast<const void**>(room), static_cast<void**>(room) + inputs_};
    PointwiseSpace::Extents index{};
    std::size_t rest = row;
    for (std::size_t axis = s.rank - 1; axis-- > 0;) {
      index[axis] = rest % s.size[axis];
      rest /= s.size[axis];
    }
    for (std::size_t i = 0; i < inputs_; ++i) {
      std::size_t offset = column * s.stride[i][s.rank - 1];
      for (std::size_t axis = 0; axis + 1 < s.rank; ++axis) offset += index[axis] * s.stride[i][axis];
      p.in[i] = static_cast<const std::byte*>(in[i]) + offset * in_bytes_[i];
    }
    for (std::size_t o = 0; o < outputs_; ++o)
      p.out[o] = static_cast<std::byte*>(out[o]) + (row * s.inner() + column) * out_bytes_[o];
    return p;
  }
  void run_piece(const Part& part, const void* const* in, void* const* out, std::size_t row, std::size_t column,
                 std::size_t n, void* room) const {
    const Pointers p = at(part, in, out, row, column, room);
    run_loop(part, p.in, p.out, 1, n);
  }
  /// Rows [from, to), as many at once as follow each other in every operand.
  void run_rows(const Part& part, const void* const* in, void* const* out, std::size_t from, std::size_t to,
                void* room) const {
    const PointwiseSpace& s = part.space;
    const std::size_t run = s.rank < 2 ? 1 : s.size[s.rank - 2];
    while (from < to) {
      const std::size_t rows = std::min(to - from, run - from % run);
      const Pointers p = at(part, in, out, from, 0, room);
      run_loop(part, p.in, p.out, rows, s.inner());
      from += rows;
    }
  }

  std::vector<Part> parts_;
  std::unique_ptr<LoopCode> code_;
  LoopFunction loop_;
  VectorLoop source_;  ///< of the code
  int threads_, workers_ = 1;
  std::size_t inputs_, outputs_;
  std::vector<bool> watched_;  ///< which results
  std::atomic<bool>* flag_ = nullptr;
  std::vector<bool> whole_;
  std::vector<std::size_t> in_bytes_, out_bytes_;
  std::size_t elements_ = 0;
  std::string name_;
};

}  // namespace

bool has_vector_code(const PointwiseGroup& group) {
  VectorTape tape;
  return has_generated_loops() && Recorder(tape, group).record();
}

std::optional<PointwiseLoop> pointwise_loop(std::span<const PointwiseGroup> groups) {
  if (!has_generated_loops()) return {};
  PointwiseLoop result;
  std::vector<Part>& parts = result.parts;
  VectorLoop& loop = result.loop;
  std::size_t inputs = 0, outputs = 0, elements = 0;
  for (const PointwiseGroup& group : groups) {
    Part part{.first_in = inputs, .first_out = outputs, .space = pointwise_space(group.space, group.inputs),
              .elements = static_cast<std::size_t>(group.space.elements()), .begin = elements};
    const bool alike = parts.empty() || (part.space.rank == 1 && parts[0].space.rank == 1 &&
                                         repeats_of(part.space) == repeats_of(parts[0].space));
    if (!alike) return {};
    loop.remainders.push_back(part.space.inner() % vector_elements);
    inputs += group.inputs.size();
    outputs += group.outputs.size();
    elements += part.elements;
    parts.push_back(std::move(part));
  }
  const PointwiseGroup& group = groups[0];
  const PointwiseSpace& space = parts[0].space;
  const std::vector<bool> repeats = repeats_of(space);
  const auto row_step = [&](std::size_t stride, DType dtype) {
    return space.rank < 2 ? 0 : static_cast<std::ptrdiff_t>(stride * size_of(dtype));
  };
  for (std::size_t i = 0; i < group.inputs.size(); ++i) {
    const DType dtype = group.inputs[i].dtype;
    loop.inputs.push_back({dtype, repeats[i], row_step(space.rank < 2 ? 0 : space.stride[i][space.rank - 2], dtype)});
  }
  Recorder recorder(loop.tape, group);
  if (!recorder.record()) return {};
  for (const int step : group.outputs) {
    const DType dtype = group.steps[static_cast<std::size_t>(step)].dtype;
    loop.outputs.push_back({dtype, recorder.stored(step), row_step(space.inner(), dtype)});
  }
  result.code = generate(loop);
  if (!result.code) return {};
  return result;
}

std::unique_ptr<Kernel> generated_pointwise(std::span<const PointwiseGroup> groups, int threads) {
  std::optional<PointwiseLoop> loop = pointwise_loop(groups);
  if (!loop) return nullptr;
  return std::make_unique<GeneratedKernel>(groups, std::move(*loop), std::max(threads, 1));
}

}  // namespace thalweg
