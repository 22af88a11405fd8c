// SPDX-License-Identifier: Apache-2.0
#include "thalweg/lib/kernels/wide_tiles.h"

#include <cstddef>
#include <memory>

#if defined(__x86_64__)
#include "thalweg/lib/kernels/vector_writer.h"

namespace thalweg {
namespace {

using Xbyak::Reg64;
using Xbyak::Zmm;

using TileFunction = void (*)(const ProductTile&);
using TurningFunction = decltype(ProductTiles::turn);

constexpr int float_bytes = 4, wide_bytes = 64;
/// Vectors of a panel, and the most rows whose sums leave registers for a row of the panel and two numbers of a.
constexpr int vectors = 2, most_rows = 14;
constexpr int unrolled = 4;
constexpr std::size_t code_bytes = 1 << 18;

// The registers of a tile: its sums, one row of b, then numbers of a in every lane.
Zmm sum(int row, int v) { return Zmm(row * vectors + v); }
Zmm column(int v) { return Zmm(most_rows * vectors + v); }
Zmm spread(int row) { return Zmm((most_rows + 1) * vectors + row % 2); }

/// Writes tiles of each number of rows: of a left operand with adjacent columns, and of one with adjacent rows.
class WideTileWriter final : public Xbyak::CodeGenerator {
 public:
  WideTileWriter() : CodeGenerator(code_bytes, Xbyak::DontSetProtectRWE) {
    for (const bool turned : {false, true})
      for (int rows = 1; rows <= most_rows; ++rows) {
        align(32);
        entries_[turned][rows - 1] = getCurr<TileFunction>();
        tile(rows, turned);
      }
    align(32);
    turning_ = getCurr<TurningFunction>();
    turning();
    setProtectModeRE();
  }
  TurningFunction turning_entry() const { return turning_; }
  TileFunction entry(bool turned, std::size_t row) const { return entries_[turned][row]; }

 private:
  // rdi the tile; rsi b, rcx the depth that is left, rax from a row of a (or a turned column) to the next; r8 to r11
  // and rbx every third row of a, or r8 a turned column and r9 three steps. While b is packed, rdx where it lies, rbp
  // from its row to the next and r12 some rows further down; else rdx and rbp are the same of c.
  const Reg64 step_ = rax, panel_ = rsi, left_ = rcx, at_ = rdx, row_ = rbp, ahead_ = r12;
  const Reg64 pointers_[(most_rows + 2) / 3] = {r8, r9, r10, r11, rbx};
  const Reg64& rows_of(int row) const { return pointers_[row / 3]; }

  Xbyak::Address field(std::size_t offset) { return ptr[rdi + static_cast<int>(offset)]; }

  void tile(int rows, bool turned) {
    const Reg64 saved[] = {rbx, rbp, r12};
    for (const Reg64& r : saved) push(r);
    pointers(rows, turned);
    start(rows);
    sums(rows, turned);
    finish(rows);
    vzeroupper();
    for (std::size_t i = std::size(saved); i-- > 0;) pop(saved[i]);
    ret();
  }

  void pointers(int rows, bool turned) {
    mov(step_, field(offsetof(ProductTile, a_step)));
    shl(step_, 2);
    mov(r8, field(offsetof(ProductTile, a)));
    mov(panel_, field(offsetof(ProductTile, b)));
    if (turned) return lea(r9, ptr[step_ + step_ * 2]);
    for (int row = 3; row < rows; row += 3) {
      lea(rows_of(row), ptr[rows_of(row - 3) + step_ * 2]);
      add(rows_of(row), step_);
    }
  }

  void sums(int rows, bool turned) {
    Xbyak::Label packed, done;
    mov(left_, field(offsetof(ProductTile, depth)));
    mov(at_, field(offsetof(ProductTile, source)));
    test(at_, at_);
    jz(packed, T_NEAR);
    mov(row_, field(offsetof(ProductTile, source_row)));
    shl(row_, 2);
    mov(ahead_, row_);
    shl(ahead_, 4);
    add(ahead_, at_);
    depth({rows, turned, true});
    jmp(done, T_NEAR);
    L(packed);
    mov(row_, field(offsetof(ProductTile, c_row)));
    shl(row_, 2);
    imul(at_, row_, rows);
    add(at_, field(offsetof(ProductTile, c)));
    depth({rows, turned, false});
    L(done);
  }

  /// Walks over the rows of c.
  template <class F>
  void each_row(int rows, F body) {
    mov(at_, field(offsetof(ProductTile, c)));
    mov(row_, field(offsetof(ProductTile, c_row)));
    shl(row_, 2);
    for (int row = 0; row < rows; ++row) {
      for (int v = 0; v < vectors; ++v) body(sum(row, v), ptr[at_ + v * wide_bytes]);
      if (row + 1 < rows) add(at_, row_);
    }
  }

  template <class F>
  void each_sum(int rows, F body) {
    for (int row = 0; row < rows; ++row)
      for (int v = 0; v < vectors; ++v) body(sum(row, v), v);
  }

  /// The sums start from c or from 0.
  void start(int rows) {
    Xbyak::Label zeros, ready;
    cmp(byte[rdi + static_cast<int>(offsetof(ProductTile, adds))], 0);
    jz(zeros, T_NEAR);
    each_row(rows, [&](const Zmm& x, const Xbyak::Address& c) { vmovups(x, c); });
    jmp(ready, T_NEAR);
    L(zeros);
    each_sum(rows, [&](const Zmm& x, int) { vpxord(x, x, x); });
    L(ready);
  }

  /// How the sums of a tile are made.
  struct Way {
    int rows;
    bool turned, packs;
  };
  /// One number of the depth; `at` of the unrolled ones.
  void term(const Way& way, int at) {
    for (int v = 0; v < vectors; ++v) {
      const Xbyak::Address packed = ptr[panel_ + (at * vectors + v) * wide_bytes];
      vmovups(column(v), way.packs ? ptr[at_ + v * wide_bytes] : packed);
      if (!way.packs) continue;
      vmovups(packed, column(v));
      prefetcht0(ptr[ahead_ + v * wide_bytes]);
    }
    if (way.packs) {
      add(at_, row_);
      add(ahead_, row_);
    }
    for (int row = 0; row < way.rows; ++row) {
      vbroadcastss(spread(row), way.turned ? turned_number(row, at) : number(row, at));
      for (int v = 0; v < vectors; ++v) vfmadd231ps(sum(row, v), column(v), spread(row));
    }
  }
  Xbyak::Address number(int row, int at) {
    const Reg64 a = rows_of(row);
    const int offset = at * float_bytes;
    return row % 3 == 0 ? ptr[a + offset] : ptr[a + step_ * (row % 3) + offset];
  }
  Xbyak::Address turned_number(int row, int at) {
    const int offset = row * float_bytes;
    return at == 0 ? ptr[r8 + offset] : at == 3 ? ptr[r8 + r9 + offset] : ptr[r8 + step_ * at + offset];
  }
  void advance(const Way& way, int terms) {
    add(panel_, terms * vectors * wide_bytes);
    if (way.turned) return lea(r8, ptr[r8 + step_ * terms]);
    for (int row = 0; row < way.rows; row += 3) add(rows_of(row), terms * float_bytes);
  }
  void depth(const Way& way) {
    Xbyak::Label many, few, next, done;
    sub(left_, unrolled);
    jl(few, T_NEAR);
    align(32);
    L(many);
    for (int at = 0; at < unrolled; ++at) term(way, at);
    // Lines of c that the next tile writes, a row at a time: all at once they would keep a and b waiting.
    if (!way.packs) {
      for (int v = 0; v < vectors; ++v) prefetchw(ptr[at_ + v * wide_bytes]);
      add(at_, row_);
    }
    advance(way, unrolled);
    sub(left_, unrolled);
    jge(many, T_NEAR);
    L(few);
    add(left_, unrolled);
    jz(done, T_NEAR);
    L(next);
    term(way, 0);
    advance(way, 1);
    dec(left_);
    jnz(next, T_NEAR);
    L(done);
  }

  void finish(int rows) {
    Xbyak::Label without_bias, whole;
    mov(rcx, field(offsetof(ProductTile, bias)));
    test(rcx, rcx);
    jz(without_bias, T_NEAR);
    each_sum(rows, [&](const Zmm& x, int v) { vaddps(x, x, ptr[rcx + v * wide_bytes]); });
    L(without_bias);
    mov(rcx, field(offsetof(ProductTile, slope)));
    test(rcx, rcx);
    jz(whole, T_NEAR);
    slope(rows);
    L(whole);
    each_row(rows, [&](const Zmm& x, const Xbyak::Address& c) { vmovups(c, x); });
  }

  /// What is not positive becomes 0 without a sign where the slope is 0.
  void slope(int rows) {
    const Zmm zero = column(0), factor = column(1);
    Xbyak::Label scaled, done;
    vpxord(zero, zero, zero);
    vbroadcastss(factor, ptr[rcx]);
    mov(ecx, dword[rcx]);  // without its sign
    add(ecx, ecx);
    jnz(scaled, T_NEAR);
    each_sum(rows, [&](const Zmm& x, int) {
      vcmpleps(k1, x, zero);
      vmovaps(x | k1, zero);
    });
    jmp(done, T_NEAR);
    L(scaled);
    each_sum(rows, [&](const Zmm& x, int) {
      vcmpleps(k1, x, zero);
      vmulps(x | k1, x, factor);
    });
    L(done);
  }

  /// Blocks of 16 by 16: of each quarter of a row of the block, every fourth row in a vector; then every four vectors
  /// are turned within their quarters.
  void turning() {
    // rdi from, rsi from a row to the next and rax three of them, rdx blocks, rcx to, r8 from its row to the next.
    const Reg64 fourth[] = {rdi, r9, r10, r11};
    shl(rsi, 2);
    shl(r8, 2);
    lea(rax, ptr[rsi + rsi * 2]);
    for (int i = 1; i < 4; ++i) lea(fourth[i], ptr[fourth[i - 1] + rsi * 4]);
    Xbyak::Label next;
    L(next);
    for (int quarter = 0; quarter < 4; ++quarter)
      for (int row = 0; row < 4; ++row) {
        const auto part = [&](int i) {
          const Xbyak::RegExp at = row == 0 ? fourth[i] : row == 3 ? fourth[i] + rax : fourth[i] + rsi * row;
          return ptr[at + quarter * 16];
        };
        const Zmm x(quarter * 4 + row);
        vmovups(Xbyak::Xmm(x.getIdx()), part(0));
        for (int i = 1; i < 4; ++i) vinsertf32x4(x, x, part(i), static_cast<std::uint8_t>(i));
      }
    for (int quarter = 0; quarter < 4; ++quarter) turn_quarter(quarter);
    for (const Reg64& r : fourth) add(r, wide_bytes);
    dec(rdx);
    jnz(next, T_NEAR);
    vzeroupper();
    ret();
  }
  void turn_quarter(int quarter) {
    const auto row = [&](int i) { return Zmm(quarter * 4 + i); };
    const Zmm low[] = {Zmm(16), Zmm(17)}, high[] = {Zmm(18), Zmm(19)};
    for (int i = 0; i < 2; ++i) {
      vunpcklps(low[i], row(2 * i), row(2 * i + 1));
      vunpckhps(high[i], row(2 * i), row(2 * i + 1));
    }
    vunpcklpd(row(0), low[0], low[1]);
    vunpckhpd(row(1), low[0], low[1]);
    vunpcklpd(row(2), high[0], high[1]);
    vunpckhpd(row(3), high[0], high[1]);
    for (int i = 0; i < 4; ++i) {
      vmovups(ptr[rcx], row(i));
      add(rcx, r8);
    }
  }

  TileFunction entries_[2][most_rows] = {};
  TurningFunction turning_ = nullptr;
};

/// Null where no code may be written.
const WideTileWriter* wide_tiles() {
  static const std::unique_ptr<WideTileWriter> written = []() -> std::unique_ptr<WideTileWriter> {
    try {
      return std::make_unique<WideTileWriter>();
    } catch (const Xbyak::Error&) {
      return nullptr;
    }
  }();
  return written.get();
}

}  // namespace

ProductTiles with_wide_tiles(const ProductTiles& loops) {
  ProductTiles tiles = loops;
  const WideTileWriter* const wide = wide_tiles();
  if (wide == nullptr) return tiles;
  static_assert(most_rows <= most_product_rows);
  tiles.most_rows = most_rows;
  tiles.most_depth = 1024;  // b streams from the second-level cache, of 1 MB or more
  tiles.block_bytes = 512 << 10;
  tiles.packs = true;
  tiles.turn = wide->turning_entry();
  for (std::size_t row = 0; row < most_rows; ++row) {
    tiles.rows[row] = wide->entry(false, row);
    tiles.turned_rows[row] = wide->entry(true, row);
  }
  return tiles;
}

}  // namespace thalweg

#else

namespace thalweg {

ProductTiles with_wide_tiles(const ProductTiles& loops) { return loops; }

}  // namespace thalweg
#endif
