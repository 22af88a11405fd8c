// SPDX-License-Identifier: Apache-2.0
#include "thalweg/lib/kernels/vector_code.h"

#if defined(__x86_64__)
#include <algorithm>
#include <limits>
#include <numeric>
#include <span>

#include "thalweg/graph/error.h"
#include "thalweg/lib/kernels/target.h"
#include "thalweg/lib/kernels/vector_writer.h"

namespace thalweg {
namespace {

using Xbyak::Address;
using Xbyak::Operand;
using Xbyak::Opmask;
using Xbyak::Reg64;
using Xbyak::Xmm;
using Xbyak::Ymm;
using Xbyak::Zmm;

static_assert(vector_elements == VectorWriter::lanes);
constexpr std::size_t never = std::numeric_limits<std::size_t>::max();

/// Writes one loop. Its body is written once for a whole vector and once for each number of elements that may be left
/// (with AVX-512, which masks any number of them, once for all); each time the registers are handed out anew: a line
/// that no register is left for goes to the frame, the one whose next use is the farthest first.
class LoopWriter : public VectorWriter {
 public:
  /// `spare` registers are not needed by the body: what it would read from memory each time may stay in them.
  LoopWriter(const VectorLoop& loop, std::size_t code_bytes, int spare, bool wide)
      : VectorWriter(code_bytes, wide ? 2 : 1), loop_(loop), lines_(loop.tape.lines()), wide_(wide),
        width_(wide ? 2 * lanes : lanes), bytes_(wide ? 2 * vector_bytes : vector_bytes) {
    find_uses();
    find_tested();
    give_places();
    choose_kept(spare);
    write();
    setProtectModeRE();
  }
  LoopFunction entry() const { return getCode<LoopFunction>(); }
  /// The registers that no body took.
  int unused() const { return registers() - most_registers_; }

 private:
  /// A pointer in a general register, or in the frame.
  struct Pointer {
    int reg = -1;
    int slot = -1;
  };
  /// A body for vectors with subnormal factors, which stands behind the loop.
  struct Careful {
    Xbyak::Label begin, done;
    int elements, ahead;
  };
  /// A line that stays in a register through the whole loop.
  struct Kept {
    int reg;
    std::size_t line;
  };

  // ---------------------------------------------------------------- vectors

  /// A whole vector. (A Zmm remains one in the place of a Ymm.)
  Ymm vec(int r) const { return wide_ ? Ymm(Zmm(r)) : Ymm(r); }
  /// The low half of one.
  Xmm half(int r) const { return wide_ ? Xmm(Ymm(r)) : Xmm(r); }
  bool is_whole() const { return elements_ == width_; }
  void extract_high(const Xmm& to, const Ymm& x) {
    wide_ ? vextractf64x4(Ymm(to.getIdx()), Zmm(x.getIdx()), 1) : vextractf128(to, x, 1);
  }
  void insert_high(int to, int high) {
    wide_ ? vinsertf64x4(Zmm(to), Zmm(to), Ymm(high), 1) : vinsertf128(Ymm(to), Ymm(to), Xmm(high), 1);
  }
  /// Ones in the lanes that k has.
  void spread(const Ymm& to, const Opmask& k, bool f64) { f64 ? vpmovm2q(to, k) : vpmovm2d(to, k); }
  /// With AVX-512, the mask of the elements that are left, or of a half of them in double.
  Opmask left(int half) const { return Opmask(half < 0 ? 1 : 2 + half); }
  Opmask free_mask() const { return Opmask(4); }

  // ---------------------------------------------------------------- what is where

  bool is_load(std::size_t i) const { return lines_[i].op == VectorOp::load; }
  std::size_t stream_of(std::size_t i) const { return lines_[i].bits >> 1; }
  int half_of(std::size_t i) const { return static_cast<int>(lines_[i].bits & 1); }
  bool is_repeated(std::size_t i) const { return is_load(i) && loop_.inputs[stream_of(i)].repeats; }
  bool is_constant(std::size_t i) const { return lines_[i].op == VectorOp::constant; }
  /// A line that is never written down: it is read where it lies.
  bool has_home(std::size_t i) const { return is_constant(i) || is_repeated(i); }
  /// Elements that one instruction reads where they lie.
  bool is_read_in_place(std::size_t i) const {
    if (!is_load(i) || is_repeated(i) || !is_whole() || uses(i).size() != 1 || is_output(i)) return false;
    const DType dtype = loop_.inputs[stream_of(i)].dtype;
    return dtype == DType::f32 || size_of(dtype) == 8;
  }
  /// The lines that read a line.
  std::span<const std::size_t> uses(std::size_t i) const {
    return {use_.data() + first_use_[i], first_use_[i + 1] - first_use_[i]};
  }
  bool is_output(std::size_t i) const { return is_output_[i]; }

  void find_uses() {
    // Counted, then listed line by line, each reader once.
    const auto each_use = [&](auto note) {
      for (std::size_t i = 0; i < lines_.size(); ++i) {
        const auto& x = lines_[i].x;
        for (std::size_t k = 0; k < x.size(); ++k)
          if (x[k] >= 0 && std::find(x.begin(), x.begin() + static_cast<std::ptrdiff_t>(k), x[k]) ==
                               x.begin() + static_cast<std::ptrdiff_t>(k))
            note(index(x[k]), i);
      }
    };
    first_use_.assign(lines_.size() + 1, 0);
    each_use([&](std::size_t line, std::size_t) { ++first_use_[line + 1]; });
    std::partial_sum(first_use_.begin(), first_use_.end(), first_use_.begin());
    use_.resize(first_use_.back());
    std::vector<std::size_t> next(first_use_.begin(), first_use_.end() - 1);
    each_use([&](std::size_t line, std::size_t reader) { use_[next[line]++] = reader; });
    is_output_.assign(lines_.size(), false);
    for (const VectorLoop::Output& output : loop_.outputs)
      for (const int line : output.lines)
        if (line >= 0) is_output_[index(line)] = true;
    // An output may lie on an input: nothing is stored before everything is loaded.
    for (std::size_t i = 0; i < lines_.size(); ++i)
      if (is_load(i) && !is_repeated(i)) all_loaded_ = std::max(all_loaded_, uses(i).empty() ? i : uses(i).front());
  }

  bool is_factor(std::size_t i) const {
    return std::any_of(uses(i).begin(), uses(i).end(), [&](std::size_t u) {
      return lines_[u].op == VectorOp::mul && lines_[u].lane == VectorLane::f32;
    });
  }
  /// The streams of f32 that are multiplied, at once or after one addition: averages that fade away, and what they fade
  /// towards.
  void find_tested() {
    if (!wide_) return;
    for (std::size_t i = 0; i < lines_.size(); ++i) {
      if (!is_load(i) || is_repeated(i) || loop_.inputs[stream_of(i)].dtype != DType::f32) continue;
      const bool is_tested = is_factor(i) || std::any_of(uses(i).begin(), uses(i).end(), [&](std::size_t u) {
        return (lines_[u].op == VectorOp::add || lines_[u].op == VectorOp::sub) && is_factor(u);
      });
      if (is_tested) tested_.push_back(stream_of(i));
    }
  }

  void give_places() {
    const Reg64 free[] = {rbx, rcx, r8, r9, r10, r11, r12, r13, r14};
    std::size_t taken = 0;
    const auto give = [&](bool often) {
      Pointer p;
      if (often && taken < std::size(free)) p.reg = free[taken++].getIdx();
      else p.slot = frame(8);
      pointers_.push_back(p);
    };
    for (const auto& input : loop_.inputs) give(!input.repeats);
    for (std::size_t o = 0; o < loop_.outputs.size(); ++o) give(true);
    frame_ = (frame_ + bytes_ - 1) / bytes_ * bytes_;
    for (const auto& input : loop_.inputs) repeated_.push_back(input.repeats ? frame(bytes_) : -1);
  }
  /// The constants and repeated elements that are read most often, from the last register down.
  void choose_kept(int spare) {
    std::vector<std::size_t> homes;
    for (std::size_t i = 0; i < lines_.size(); ++i)
      if (has_home(i) && !uses(i).empty()) homes.push_back(i);
    std::stable_sort(homes.begin(), homes.end(),
                     [&](std::size_t a, std::size_t b) { return uses(a).size() > uses(b).size(); });
    homes.resize(std::min(homes.size(), static_cast<std::size_t>(std::max(spare, 0))));
    for (const std::size_t line : homes) kept_.push_back({registers() - 1 - static_cast<int>(kept_.size()), line});
  }
  bool is_row_bound(std::size_t i) const { return is_repeated(i) && loop_.inputs[stream_of(i)].row_step != 0; }
  void load_kept(bool row_bound) {
    for (const Kept& k : kept_)
      if (is_row_bound(k.line) == row_bound) vmovups(vec(k.reg), home(k.line));
  }

  int frame(int bytes) {
    const int at = frame_;
    frame_ += bytes;
    return at;
  }

  // ---------------------------------------------------------------- the loop around the body

  void write() {
    const Reg64 saved[] = {rbx, r12, r13, r14, r15};
    push(rbp);
    mov(rbp, rsp);
    for (const Reg64& r : saved) push(r);
    sub(rsp, 0x1000000);
    const std::size_t frame_size_at = getSize() - 4;
    and_(rsp, -bytes_);
    load_pointers();
    // From here on: rsi rows left, rdx elements of a row, rax the element, r15 the last one at which a whole vector
    // begins, rdi for passing use.
    lay_out_repeated([](const VectorLoop::Input& input) { return input.row_step == 0; });
    load_kept(false);
    if (watches())
      for (int r = registers(); r < held(); ++r) vxorps(vec(r), vec(r), vec(r));
    Xbyak::Label row, next_row;
    L(row);
    lay_out_repeated([](const VectorLoop::Input& input) { return input.row_step != 0; });
    load_kept(true);
    xor_(eax, eax);
    // A short body is written several times, so that counting takes no share of the time.
    if (lines_.size() <= unrolled_lines) write_whole(unrolled);
    write_whole(1);
    write_rests(next_row);
    L(next_row);
    for (std::size_t i = 0; i < pointers_.size(); ++i) {
      const bool in = i < loop_.inputs.size();
      advance(pointers_[i], in ? loop_.inputs[i].row_step : loop_.outputs[i - loop_.inputs.size()].row_step);
    }
    dec(rsi);
    jnz(row, T_NEAR);
    xor_(eax, eax);
    if (watches()) test_seen();
    vzeroupper();
    lea(rsp, ptr[rbp - static_cast<int>(std::size(saved)) * 8]);
    for (std::size_t i = std::size(saved); i-- > 0;) pop(saved[i]);
    pop(rbp);
    ret();
    write_careful();
    write_constants();
    rewrite(frame_size_at, static_cast<std::uint64_t>(most_frame_ + bytes_), 4);
  }

  /// The body for `vectors` whole vectors at a time, while there are so many.
  void write_whole(int vectors) {
    Xbyak::Label next, done;
    lea(r15, ptr[rdx - vectors * width_]);
    cmp(rax, r15);
    jg(done, T_NEAR);
    align(16);
    L(next);
    for (int v = 0; v < vectors; ++v) {
      ahead_ = v * width_;
      body(width_);
    }
    ahead_ = 0;
    add(rax, vectors * width_);
    cmp(rax, r15);
    jle(next, T_NEAR);
    L(done);
  }

  void load_pointers() {
    mov(rax, rdx);
    mov(r15, rcx);
    const std::size_t inputs = loop_.inputs.size();
    for (std::size_t i = 0; i < pointers_.size(); ++i) {
      const auto from =
          i < inputs ? qword[rdi + static_cast<int>(i) * 8] : qword[rsi + static_cast<int>(i - inputs) * 8];
      if (pointers_[i].reg >= 0) {
        mov(Reg64(pointers_[i].reg), from);
      } else {
        mov(rdx, from);
        mov(qword[rsp + pointers_[i].slot], rdx);
      }
    }
    mov(rsi, rax);
    mov(rdx, r15);
  }

  void write_rests(const Xbyak::Label& next_row) {
    if (wide_) return write_masked_rest(next_row);
    std::vector<int> rests;
    for (const std::size_t r : loop_.remainders)
      if (r % vector_elements != 0) rests.push_back(static_cast<int>(r % vector_elements));
    std::sort(rests.begin(), rests.end());
    rests.erase(std::unique(rests.begin(), rests.end()), rests.end());
    if (rests.empty()) return;
    mov(rdi, rdx);
    sub(rdi, rax);
    for (const int r : rests) {
      Xbyak::Label other;
      cmp(rdi, r);
      jne(other, T_NEAR);
      body(r);
      if (r != rests.back()) jmp(next_row, T_NEAR);
      L(other);
    }
  }

  void write_masked_rest(const Xbyak::Label& next_row) {
    mov(rdi, rdx);
    sub(rdi, rax);
    jz(next_row, T_NEAR);
    mov(r15d, -1);
    bzhi(r15d, r15d, edi);
    kmovd(left(-1), r15d);
    kmovw(left(0), left(-1));
    kshiftrw(left(1), left(-1), lanes);
    body(0);
  }

  void advance(const Pointer& pointer, std::ptrdiff_t bytes) {
    if (bytes == 0) return;
    const bool small = bytes == static_cast<std::int32_t>(bytes);
    if (!small) mov(rdi, static_cast<std::uint64_t>(bytes));
    if (pointer.reg >= 0) {
      if (small) add(Reg64(pointer.reg), static_cast<std::uint32_t>(bytes));
      else add(Reg64(pointer.reg), rdi);
    } else if (small) {
      add(qword[rsp + pointer.slot], static_cast<std::uint32_t>(bytes));
    } else {
      add(qword[rsp + pointer.slot], rdi);
    }
  }

  /// Writes the one element of a row into every lane of its place in the frame.
  template <class Which>
  void lay_out_repeated(Which which) {
    for (std::size_t i = 0; i < loop_.inputs.size(); ++i) {
      if (!loop_.inputs[i].repeats || !which(loop_.inputs[i])) continue;
      mov(rdi, qword[rsp + pointers_[i].slot]);
      switch (loop_.inputs[i].dtype) {
        case DType::f64:
        case DType::i64: vbroadcastsd(vec(0), ptr[rdi]); break;
        case DType::bf16:
          movzx(edi, word[rdi]);
          shl(edi, 16);
          vmovd(xmm0, edi);
          vpbroadcastd(vec(0), xmm0);
          break;
        case DType::boolean:
          movzx(edi, byte[rdi]);
          neg(edi);
          sbb(edi, edi);
          vmovd(xmm0, edi);
          vpbroadcastd(vec(0), xmm0);
          break;
        default: vbroadcastss(vec(0), ptr[rdi]);
      }
      vmovaps(ptr[rsp + repeated_[i]], vec(0));
    }
  }

  // ---------------------------------------------------------------- registers

  std::size_t next_use(std::size_t line, std::size_t now) const {
    const auto later = uses(line);
    const auto it = std::upper_bound(later.begin(), later.end(), now);
    if (it != later.end()) return *it;
    if (!is_output(line)) return never;
    for (std::size_t o = 0; o < loop_.outputs.size(); ++o)
      for (const int x : loop_.outputs[o].lines)
        if (!stored_[o] && x == static_cast<int>(line)) return lines_.size();
    return never;
  }

  int take_register(std::size_t now) {
    int best = -1;
    std::size_t farthest = 0;
    for (int r = 0; r < registers() - static_cast<int>(kept_.size()); ++r) {
      if (locked_[index(r)]) continue;
      most_registers_ = std::max(most_registers_, r + 1);
      if (holder_[index(r)] < 0) return lock(r);
      const std::size_t next = next_use(index(holder_[index(r)]), now);
      if (best < 0 || next > farthest) {
        best = r;
        farthest = next;
      }
    }
    const auto line = index(holder_[index(best)]);
    if (!has_home(line) && spill_[line] < 0) {
      if (free_spills_.empty()) free_spills_.push_back(frame(bytes_));
      spill_[line] = free_spills_.back();
      free_spills_.pop_back();
      vmovups(ptr[rsp + spill_[line]], vec(best));
    }
    register_of_[line] = -1;
    holder_[index(best)] = -1;
    return lock(best);
  }
  bool is_kept(std::size_t line) const {
    return std::any_of(kept_.begin(), kept_.end(), [&](const Kept& k) { return k.line == line; });
  }
  int lock(int r) {
    locked_[index(r)] = true;
    return r;
  }
  void hold(int r, std::size_t line) {
    holder_[index(r)] = static_cast<int>(line);
    register_of_[line] = r;
  }
  /// Frees the register and the frame's place of a line that nothing reads any more.
  void release(int x, std::size_t now) {
    if (x < 0 || next_use(index(x), now) != never || is_kept(index(x))) return;
    if (register_of_[index(x)] >= 0) {
      holder_[index(register_of_[index(x)])] = -1;
      locked_[index(register_of_[index(x)])] = false;
      register_of_[index(x)] = -1;
    }
    if (spill_[index(x)] >= 0) {
      // Not yet free: the instruction may still read it there, after making room for its result.
      ended_spills_.push_back(spill_[index(x)]);
      spill_[index(x)] = -1;
    }
  }

  Address home(std::size_t line) {
    if (is_constant(line)) {
      const bool narrow = lines_[line].lane == VectorLane::f32 || lines_[line].lane == VectorLane::u32;
      return narrow ? constant32(static_cast<std::uint32_t>(lines_[line].bits)) : constant64(lines_[line].bits);
    }
    if (is_repeated(line)) return ptr[rsp + repeated_[stream_of(line)]];
    if (spill_[line] >= 0) return ptr[rsp + spill_[line]];
    const DType dtype = loop_.inputs[stream_of(line)].dtype;
    return at(pointers_[stream_of(line)], dtype, half_of(line) * bytes_);
  }
  /// The current elements of a stream, `offset` bytes on. May use rdi: valid for the next instruction only.
  Address at(const Pointer& pointer, DType dtype, int offset = 0) {
    Reg64 base = rdi;
    if (pointer.reg >= 0) base = Reg64(pointer.reg);
    else mov(rdi, qword[rsp + pointer.slot]);
    const auto bytes = static_cast<int>(size_of(dtype));
    return ptr[base + rax * bytes + (offset + ahead_ * bytes)];
  }

  bool in_register(int x) const { return register_of_[index(x)] >= 0; }
  Ymm reg(int x, std::size_t now) {
    if (!in_register(x)) {
      const int r = take_register(now);
      vmovups(vec(r), home(index(x)));
      hold(r, index(x));
    }
    return vec(lock(register_of_[index(x)]));
  }
  /// A register or memory. To be asked for after every register of the instruction.
  const Operand& any(int x) {
    if (in_register(x)) {
      any_register_ = vec(lock(register_of_[index(x)]));
      return any_register_;
    }
    any_memory_ = home(index(x));
    return any_memory_;
  }

  // ---------------------------------------------------------------- the body

  void body(int elements) {
    elements_ = elements;
    if (tested_.empty()) return write_body();
    test_for_subnormals();
    write_body();
    L(careful_.back().done);
  }

  /// A subnormal factor or product costs a multiplication 100 cycles and more, and averages that fade away stay
  /// subnormal: the least number times 0.9 is rounded up to itself. Such vectors are multiplied in double instead,
  /// where nothing is subnormal, by a body of their own.
  void test_for_subnormals() {
    constexpr std::uint8_t subnormal = 0x20;
    const Opmask any = free_mask(), other(any.getIdx() + 1);
    for (std::size_t t = 0; t < tested_.size(); ++t) {
      const Opmask to = t == 0 ? any : other;
      const Address from = at(pointers_[tested_[t]], DType::f32);
      if (!is_whole()) vmovups(zmm0 | left(-1) | T_z, from);
      is_whole() ? vfpclassps(to, zword[from.getRegExp()], subnormal) : vfpclassps(to, zmm0, subnormal);
      if (t > 0 && t + 1 < tested_.size()) korw(any, any, other);
    }
    kortestw(any, tested_.size() > 1 ? other : any);
    careful_.push_back({{}, {}, elements_, ahead_});
    jnz(careful_.back().begin, T_NEAR);
  }
  void write_careful() {
    is_careful_ = true;
    for (Careful& careful : careful_) {
      L(careful.begin);
      elements_ = careful.elements;
      ahead_ = careful.ahead;
      write_body();
      jmp(careful.done, T_NEAR);
    }
  }
  /// The same bits as in f32: products are exact in double, and double has more than twice the digits of quotients and
  /// roots. Each is rounded to f32 once.
  void in_double(std::size_t i) {
    const VectorLine& l = lines_[i];
    const bool is_root = l.op == VectorOp::sqrt;
    const Ymm x = reg(l.x[0], i), y = is_root ? x : reg(l.x[1], i);
    const int low = take_register(i), high = take_register(i), free = take_register(i);
    hold(low, i);
    for (const int r : {low, high}) {
      const auto part = [&](int to, const Ymm& from) {
        if (r == high) extract_high(Xmm(to), from);
        vcvtps2pd(Zmm(to), Ymm(r == high ? to : from.getIdx()));
      };
      part(r, x);
      if (!is_root) part(free, y);
      const Zmm to(r), other(free);
      is_root ? vsqrtpd(to, to) : l.op == VectorOp::mul ? vmulpd(to, to, other) : vdivpd(to, to, other);
      vcvtpd2ps(Ymm(r), to);
    }
    insert_high(low, high);
  }

  void write_body() {
    holder_.fill(-1);
    register_of_.assign(lines_.size(), -1);
    spill_.assign(lines_.size(), -1);
    for (const Kept& k : kept_) hold(k.reg, k.line);
    free_spills_.clear();
    ended_spills_.clear();
    const int frame_before = frame_;
    stored_.assign(loop_.outputs.size(), false);
    for (std::size_t i = 0; i < lines_.size(); ++i) {
      if (uses(i).empty() && !is_output(i)) continue;
      locked_.fill(false);
      if (!has_home(i) && !is_read_in_place(i)) line(i);
      for (const int x : lines_[i].x) release(x, i);
      free_spills_.insert(free_spills_.end(), ended_spills_.begin(), ended_spills_.end());
      ended_spills_.clear();
      if (i >= all_loaded_) store_what_is_ready(i);
    }
    store_what_is_ready(lines_.size());
    most_frame_ = std::max(most_frame_, frame_);
    frame_ = frame_before;
  }

  void line(std::size_t i) {
    const VectorLine& l = lines_[i];
    if (is_careful_ && l.lane == VectorLane::f32 &&
        (l.op == VectorOp::mul || l.op == VectorOp::div || l.op == VectorOp::sqrt))
      return in_double(i);
    switch (l.op) {
      case VectorOp::load: {
        const int r = take_register(i);
        load(vec(r), i);
        hold(r, i);
        return;
      }
      case VectorOp::constant: return;
      case VectorOp::fma:
      case VectorOp::fnma: return multiply_add(i);
      case VectorOp::blend: {
        const Ymm m = reg(l.x[0], i), no = reg(l.x[2], i);
        const Operand& yes = any(l.x[1]);
        const Ymm to = target(i);
        if (!wide_) return vblendvps(to, no, yes, m);
        const bool f64 = l.lane == VectorLane::f64;
        f64 ? vpmovq2m(free_mask(), m) : vpmovd2m(free_mask(), m);
        f64 ? vblendmpd(to | free_mask(), no, yes) : vblendmps(to | free_mask(), no, yes);
        return;
      }
      case VectorOp::widen:
      case VectorOp::widen_mask: return widened(i);
      case VectorOp::narrow:
      case VectorOp::narrow_mask: return narrowed(i);
      case VectorOp::sqrt: {
        const bool f64 = l.lane == VectorLane::f64;
        const Operand& x = any(l.x[0]);
        const Ymm to = target(i);
        return f64 ? vsqrtpd(to, x) : vsqrtps(to, x);
      }
      case VectorOp::nearest:
      case VectorOp::floor: {
        const bool f64 = l.lane == VectorLane::f64;
        const std::uint8_t how = l.op == VectorOp::floor ? 9 : 8;
        const Operand& x = any(l.x[0]);
        const Ymm to = target(i);
        if (wide_) return f64 ? vrndscalepd(to, x, how) : vrndscaleps(to, x, how);
        return f64 ? vroundpd(to, x, how) : vroundps(to, x, how);
      }
      case VectorOp::shift_left:
      case VectorOp::shift_right: {
        const Ymm x = reg(l.x[0], i), to = target(i);
        const auto by = static_cast<std::uint8_t>(l.bits);
        if (l.lane == VectorLane::u64) l.op == VectorOp::shift_left ? vpsllq(to, x, by) : vpsrlq(to, x, by);
        else l.op == VectorOp::shift_left ? vpslld(to, x, by) : vpsrld(to, x, by);
        return;
      }
      default: return two(i);
    }
  }

  /// The result's register; those of operands that end here are free for it.
  Ymm target(std::size_t i) {
    for (const int x : lines_[i].x) release(x, i);
    const int r = take_register(i);
    hold(r, i);
    return vec(r);
  }

  void two(std::size_t i) {
    const VectorLine& l = lines_[i];
    int a = l.x[0], b = l.x[1];
    const bool swaps = l.op == VectorOp::bit_and || l.op == VectorOp::bit_or || l.op == VectorOp::bit_xor ||
                       ((l.op == VectorOp::add || l.op == VectorOp::mul) && l.lane != VectorLane::f32 &&
                        l.lane != VectorLane::f64);
    if (swaps && !in_register(a) && in_register(b)) std::swap(a, b);
    const Ymm x = reg(a, i);
    const Operand& y = any(b);
    const Ymm to = target(i);
    switch (l.lane) {
      case VectorLane::f32: return two_f32(l, to, x, y);
      case VectorLane::f64: return two_f64(l, to, x, y);
      default: return two_whole(l, to, x, y);
    }
  }
  static int comparison(const VectorLine& l) {
    constexpr std::array<int, 6> predicates{0, 4, 0x11, 0x12, 0x1e, 0x1d};  // quiet; only `ne` holds for NaN
    return predicates[l.bits];
  }
  void two_f32(const VectorLine& l, const Ymm& to, const Ymm& x, const Operand& y) {
    switch (l.op) {
      case VectorOp::add: return vaddps(to, x, y);
      case VectorOp::sub: return vsubps(to, x, y);
      case VectorOp::mul: return vmulps(to, x, y);
      case VectorOp::div: return vdivps(to, x, y);
      case VectorOp::min: return vminps(to, x, y);
      case VectorOp::max: return vmaxps(to, x, y);
      case VectorOp::compare:
        if (!wide_) return vcmpps(to, x, y, static_cast<std::uint8_t>(comparison(l)));
        vcmpps(free_mask(), x, y, static_cast<std::uint8_t>(comparison(l)));
        return spread(to, free_mask(), false);
      default: return bits(l, to, x, y);
    }
  }
  void two_f64(const VectorLine& l, const Ymm& to, const Ymm& x, const Operand& y) {
    switch (l.op) {
      case VectorOp::add: return vaddpd(to, x, y);
      case VectorOp::sub: return vsubpd(to, x, y);
      case VectorOp::mul: return vmulpd(to, x, y);
      case VectorOp::div: return vdivpd(to, x, y);
      case VectorOp::min: return vminpd(to, x, y);
      case VectorOp::max: return vmaxpd(to, x, y);
      case VectorOp::compare:
        if (!wide_) return vcmppd(to, x, y, static_cast<std::uint8_t>(comparison(l)));
        vcmppd(free_mask(), x, y, static_cast<std::uint8_t>(comparison(l)));
        return spread(to, free_mask(), true);
      default: return bits(l, to, x, y);
    }
  }
  void two_whole(const VectorLine& l, const Ymm& to, const Ymm& x, const Operand& y) {
    const bool wide = l.lane == VectorLane::u64;
    switch (l.op) {
      case VectorOp::add: return wide ? vpaddq(to, x, y) : vpaddd(to, x, y);
      case VectorOp::sub: return wide ? vpsubq(to, x, y) : vpsubd(to, x, y);
      default: return bits(l, to, x, y);
    }
  }
  void bits(const VectorLine& l, const Ymm& to, const Ymm& x, const Operand& y) {
    switch (l.op) {
      case VectorOp::bit_and: return vandps(to, x, y);
      case VectorOp::bit_or: return vorps(to, x, y);
      case VectorOp::bit_xor: return vxorps(to, x, y);
      case VectorOp::bit_andnot: return vandnps(to, x, y);
      default: throw InternalError("a vector operation has no instruction for its lanes");
    }
  }

  bool ends(int x, std::size_t now) const {
    return in_register(x) && next_use(index(x), now) == never && !is_kept(index(x));
  }
  /// Gives the register of an operand that ends here to the result.
  Ymm inherit(int x, std::size_t i) {
    const int r = lock(register_of_[index(x)]);
    register_of_[index(x)] = -1;
    hold(r, i);
    return vec(r);
  }
  void multiply_add(std::size_t i) {
    int a = lines_[i].x[0], b = lines_[i].x[1];
    const int c = lines_[i].x[2];
    const bool f64 = lines_[i].lane == VectorLane::f64, minus = lines_[i].op == VectorOp::fnma;
    if (!in_register(a) && in_register(b)) std::swap(a, b);
    if (ends(c, i) && c != a && c != b) {
      lock(register_of_[index(c)]);
      const Ymm x = reg(a, i);
      const Operand& y = any(b);
      const Ymm to = inherit(c, i);
      if (minus) f64 ? vfnmadd231pd(to, x, y) : vfnmadd231ps(to, x, y);
      else f64 ? vfmadd231pd(to, x, y) : vfmadd231ps(to, x, y);
      return;
    }
    if (!(ends(a, i) && a != b && a != c) && ends(b, i) && a != b && b != c) std::swap(a, b);
    const bool takes_a = ends(a, i) && a != b && a != c;
    if (in_register(a)) lock(register_of_[index(a)]);
    const Ymm y = reg(b, i);
    int r = -1;
    if (!takes_a) {
      r = take_register(i);
      vmovups(vec(r), any(a));
      hold(r, i);
    }
    const Operand& z = any(c);
    const Ymm to = takes_a ? inherit(a, i) : vec(r);
    if (minus) f64 ? vfnmadd213pd(to, y, z) : vfnmadd213ps(to, y, z);
    else f64 ? vfmadd213pd(to, y, z) : vfmadd213ps(to, y, z);
  }

  void widened(std::size_t i) {
    const bool is_mask = lines_[i].op == VectorOp::widen_mask, high = lines_[i].bits != 0;
    const Ymm x = reg(lines_[i].x[0], i), to = target(i);
    if (high) extract_high(Xmm(to.getIdx()), x);
    const Xmm from = half(high ? to.getIdx() : x.getIdx());
    is_mask ? vpmovsxdq(to, from) : vcvtps2pd(to, from);
  }

  void narrowed(std::size_t i) {
    const Ymm low = reg(lines_[i].x[0], i), high = reg(lines_[i].x[1], i);
    const bool is_mask = lines_[i].op == VectorOp::narrow_mask;
    const int r = take_register(i), free = wide_ || !is_mask ? take_register(i) : r;
    if (!is_mask) {
      vcvtpd2ps(half(r), low);
      vcvtpd2ps(half(free), high);
      insert_high(r, free);
    } else if (wide_) {
      vpmovqd(Ymm(r), Zmm(low.getIdx()));
      vpmovqd(Ymm(free), Zmm(high.getIdx()));
      insert_high(r, free);
    } else {
      vshufps(Ymm(r), low, high, 0x88);
      vpermpd(Ymm(r), Ymm(r), 0xd8);
    }
    hold(r, i);
  }

  // ---------------------------------------------------------------- memory

  /// How many of the four doubles of a half there are. (Not for the masked end of a row.)
  int doubles(int half) const { return std::clamp(elements_ - half * lanes / 2, 0, lanes / 2); }

  void load(const Ymm& to, std::size_t i) {
    const Pointer& p = pointers_[stream_of(i)];
    const Xmm low(to.getIdx());
    const DType dtype = loop_.inputs[stream_of(i)].dtype;
    if (wide_) return load_wide(to, p, dtype, half_of(i));
    const bool whole = elements_ == lanes;
    switch (dtype) {
      case DType::f32:
        if (!whole) vmovaps(to, mask(elements_, 4));
        whole ? vmovups(to, at(p, dtype)) : vmaskmovps(to, to, at(p, dtype));
        return;
      case DType::f64:
      case DType::i64: {
        const int half = half_of(i), count = doubles(half);
        if (count == 0) return vxorps(to, to, to);
        if (count < lanes / 2) vmovaps(to, mask(count, 8));
        const Address from = at(p, dtype, half * vector_bytes);
        count == lanes / 2 ? vmovups(to, from) : vmaskmovpd(to, to, from);
        return;
      }
      case DType::bf16:
        if (whole) {
          vpmovzxwd(to, at(p, dtype));
        } else {
          vpxor(low, low, low);
          for (int k = 0; k < elements_; ++k) vpinsrw(low, low, at(p, dtype, k * 2), static_cast<std::uint8_t>(k));
          vpmovzxwd(to, low);
        }
        return vpslld(to, to, 16);
      default:  // bool
        if (whole) {
          vpmovzxbd(to, at(p, dtype));
        } else {
          vpxor(low, low, low);
          for (int k = 0; k < elements_; ++k) vpinsrb(low, low, at(p, dtype, k), static_cast<std::uint8_t>(k));
          vpmovzxbd(to, low);
        }
        return vpcmpgtd(to, to, constant32(0));
    }
  }

  void load_wide(const Ymm& to, const Pointer& p, DType dtype, int half) {
    const bool in_double = size_of(dtype) == 8;
    const Ymm masked = is_whole() ? to : to | left(in_double ? half : -1) | T_z;
    const Address from = at(p, dtype, in_double ? half * bytes_ : 0);
    switch (dtype) {
      case DType::f32: return vmovups(masked, from);
      case DType::f64:
      case DType::i64: return vmovupd(masked, from);
      case DType::bf16: vpmovzxwd(masked, from); return vpslld(to, to, 16);
      default:  // bool
        vpmovzxbd(masked, from);
        vptestmd(free_mask(), to, to);
        return spread(to, free_mask(), false);
    }
  }

  /// Stores every output that is computed, up to line `now`.
  void store_what_is_ready(std::size_t now) {
    for (std::size_t o = 0; o < loop_.outputs.size(); ++o) {
      const auto& lines = loop_.outputs[o].lines;
      const auto ready = [&](int x) { return x < 0 || index(x) <= now; };
      if (stored_[o] || !ready(lines[0]) || !ready(lines[1])) continue;
      locked_.fill(false);
      store(o, now);
      if (loop_.outputs[o].watched) watch(o, now);
      stored_[o] = true;
      for (const int x : lines) release(x, now);
    }
  }

  void store(std::size_t o, std::size_t now) {
    const VectorLoop::Output& output = loop_.outputs[o];
    const Pointer& p = pointers_[loop_.inputs.size() + o];
    if (wide_) return store_wide(output, p, now);
    switch (output.dtype) {
      case DType::f32: return store_floats(reg(output.lines[0], now), p, now);
      case DType::f64:
      case DType::i64:
        for (int half = 0; half < 2; ++half)
          if (doubles(half) > 0) store_doubles(reg(output.lines[index(half)], now), p, half, now);
        return;
      case DType::bf16: return store_low(reg(output.lines[0], now), p, output.dtype, now);
      default: return store_low(reg(output.lines[0], now), p, output.dtype, now);
    }
  }

  void store_wide(const VectorLoop::Output& output, const Pointer& p, std::size_t now) {
    const auto to = [&](int half) {
      const Address whole = at(p, output.dtype, std::max(half, 0) * bytes_);
      return is_whole() ? whole : whole | left(half);
    };
    const Ymm x = reg(output.lines[0], now);
    switch (output.dtype) {
      case DType::f32: return vmovups(to(-1), x);
      case DType::f64:
      case DType::i64:
        vmovupd(to(0), x);
        return vmovupd(to(1), reg(output.lines[1], now));
      case DType::bf16: return vpmovdw(to(-1), Zmm(x.getIdx()));
      default: {
        const Zmm ones(take_register(now));
        vpsrld(ones, x, 31);
        return vpmovdb(to(-1), ones);
      }
    }
  }

  /// Adds what is stored to sums that can only be finite if every number was: they take one instruction, and add no
  /// wrong numbers past the end of a row.
  void watch_wide(std::size_t o, std::size_t now) {
    const VectorLoop::Output& output = loop_.outputs[o];
    if (output.dtype == DType::f32) {
      const int sum = registers() + static_cast<int>(o) % (seen_sums - 1);
      return vaddps(is_whole() ? vec(sum) : vec(sum) | left(-1), vec(sum), reg(output.lines[0], now));
    }
    const Ymm sum = vec(held() - 1);
    for (int half = 0; half < 2; ++half)
      vaddpd(is_whole() ? sum : sum | left(half), sum, reg(output.lines[index(half)], now));
  }
  /// eax = 1 if something watched was, or may have been, not finite.
  void test_seen() {
    if (!wide_) {
      vptest(Ymm(registers()), Ymm(registers()));
      return setnz(al);
    }
    constexpr std::uint8_t not_finite = 0x99;  // NaNs and infinities
    for (int r = registers() + 1; r < held() - 1; ++r) vaddps(vec(registers()), vec(registers()), vec(r));
    vfpclassps(free_mask(), vec(registers()), not_finite);
    vfpclasspd(left(-1), vec(held() - 1), not_finite);
    kortestw(free_mask(), left(-1));
    setnz(al);
  }

  /// An exponent of ones only is that of nan and infinity.
  void watch(std::size_t o, std::size_t now) {
    if (wide_) return watch_wide(o, now);
    const bool wide = size_of(loop_.outputs[o].dtype) == 8;
    const Ymm free(take_register(now));
    for (const int x : loop_.outputs[o].lines) {
      const int part = wide ? doubles(x == loop_.outputs[o].lines[0] ? 0 : 1) : elements_;
      if (x < 0 || part == 0) continue;
      const Address exponent = wide ? constant64(0x7ff0000000000000) : constant32(0x7f800000);
      vandps(free, reg(x, now), exponent);
      wide ? vpcmpeqq(free, free, exponent) : vpcmpeqd(free, free, exponent);
      // What is computed beyond the end of a row is nobody's number.
      if (part < (wide ? lanes / 2 : lanes)) vandps(free, free, mask(part, wide ? 8 : 4));
      vorps(Ymm(registers()), Ymm(registers()), free);
    }
  }

  void store_floats(const Ymm& x, const Pointer& p, std::size_t now) {
    const Xmm free(elements_ == lanes ? x.getIdx() : take_register(now));
    VectorWriter::store_floats(x, free, elements_, [&](int offset) { return at(p, DType::f32, offset); });
  }
  void store_doubles(const Ymm& x, const Pointer& p, int half, std::size_t now) {
    const int count = doubles(half), offset = half * vector_bytes;
    if (count == lanes / 2) return vmovups(at(p, DType::f64, offset), x);
    const Xmm free(take_register(now));
    if (count >= 2) vmovups(at(p, DType::f64, offset), Xmm(x.getIdx()));
    if (count == 2) return;
    if (count == 3) vextractf128(free, x, 1);
    vmovsd(at(p, DType::f64, offset + (count - 1) * 8), count == 3 ? free : Xmm(x.getIdx()));
  }
  /// The low bytes of each lane: 16 bits that hold a bf16, or one byte that is 1 where the lane is all ones.
  void store_low(const Ymm& x, const Pointer& p, DType dtype, std::size_t now) {
    const Xmm free(take_register(now)), low(x.getIdx());
    const bool is_bf16 = dtype == DType::bf16;
    vextracti128(free, x, 1);
    is_bf16 ? vpackusdw(free, low, free) : vpackssdw(free, low, free);
    if (is_bf16) {
      if (elements_ == lanes) return vmovups(at(p, dtype), free);
      for (int k = 0; k < elements_; ++k) vpextrw(at(p, dtype, k * 2), free, static_cast<std::uint8_t>(k));
      return;
    }
    vpacksswb(free, free, free);
    vpand(free, free, constant64(0x0101010101010101));
    if (elements_ == lanes) return vmovq(at(p, dtype), free);
    for (int k = 0; k < elements_; ++k) vpextrb(at(p, dtype, k), free, static_cast<std::uint8_t>(k));
  }

  bool watches() const {
    return std::any_of(loop_.outputs.begin(), loop_.outputs.end(), [](const auto& o) { return o.watched; });
  }
  int held() const { return wide_ ? most_held : most_held / 2; }
  /// Those that lines may have: the last ones gather what watched outputs were.
  int registers() const { return held() - (!watches() ? 0 : wide_ ? seen_sums : 1); }

  static constexpr int most_held = 32;
  static constexpr int seen_sums = 4;  ///< with AVX-512: of f32 all but the last one, which is of f64
  static constexpr int unrolled = 2;
  static constexpr std::size_t unrolled_lines = 32;
  const VectorLoop& loop_;
  std::span<const VectorLine> lines_;
  const bool wide_;           ///< AVX-512
  const int width_, bytes_;   ///< of a vector, in f32 and bytes
  std::vector<std::size_t> first_use_, use_;    ///< of each line, where the lines that read it begin
  std::size_t all_loaded_ = 0;                  ///< after this line no stream is read any more
  std::vector<Pointer> pointers_;               ///< of the inputs, then of the outputs
  std::vector<int> repeated_;
  std::vector<Kept> kept_;
  std::vector<std::size_t> tested_;  ///< streams that may hold subnormal factors
  int frame_ = 0, most_frame_ = 0, most_registers_ = 0;
  // Of the body that is being written:
  int elements_ = lanes, ahead_ = 0;  ///< ahead of rax, in elements
  std::array<int, most_held> holder_{};
  std::array<bool, most_held> locked_{};
  std::vector<int> register_of_, spill_, free_spills_, ended_spills_;
  std::vector<bool> stored_;
  std::vector<Careful> careful_;
  std::vector<bool> is_output_;  ///< of each line
  bool is_careful_ = false;
  Ymm any_register_;
  Address any_memory_ = ptr[rsp];
};

class WrittenLoop final : public LoopCode {
 public:
  WrittenLoop(const VectorLoop& loop, std::size_t bytes, int spare, bool wide) : writer_(loop, bytes, spare, wide) {}
  int unused() const { return writer_.unused(); }
  LoopFunction function() const override { return writer_.entry(); }

 private:
  LoopWriter writer_;
};

}  // namespace

bool has_generated_loops() {
  static const bool has = [] {
    if (!may_write_avx2()) return false;
    try {
      // A hardened kernel may refuse memory that is to be executed.
      WrittenLoop(VectorLoop{.tape = {}, .inputs = {}, .outputs = {}, .remainders = {}}, 4096, 0, false);
      return true;
    } catch (const Xbyak::Error&) {
      return false;
    }
  }();
  return has;
}

std::unique_ptr<LoopCode> generate(const VectorLoop& loop) {
  if (!has_generated_loops()) return nullptr;
  const bool wide = may_write_avx512();
  const std::size_t bodies = wide ? 8 : 3 + std::min(loop.remainders.size(), vector_elements - 1);
  const std::size_t line_bytes = wide ? 40 : 24, constant_bytes = VectorWriter::vector_bytes * (wide ? 2 : 1);
  const std::size_t each = (loop.tape.lines().size() + 16 * (loop.inputs.size() + loop.outputs.size())) * line_bytes;
  try {
    const std::size_t bytes = 4096 + bodies * each + loop.tape.lines().size() * constant_bytes;
    auto plain = std::make_unique<WrittenLoop>(loop, bytes, 0, wide);
    const int spare = plain->unused();
    return spare > 0 ? std::make_unique<WrittenLoop>(loop, bytes, spare, wide) : std::move(plain);
  } catch (const Xbyak::Error&) {  // no memory that may be executed
    return nullptr;
  }
}

}  // namespace thalweg

#else

namespace thalweg {
bool has_generated_loops() { return false; }
std::unique_ptr<LoopCode> generate(const VectorLoop&) { return nullptr; }
}  // namespace thalweg

#endif
