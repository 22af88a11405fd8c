// SPDX-License-Identifier: Apache-2.0
#if defined(__x86_64__)
#include "thalweg/lib/kernels/product_writer.h"

namespace thalweg {
namespace {

using Xbyak::Reg64;
using Xbyak::Xmm;
using Xbyak::Ymm;

constexpr int float_bytes = 4;
constexpr std::size_t code_bytes = 1 << 17;

int tile_rows(int vectors) {
  constexpr std::array<int, 5> rows{0, 12, 6, 3, 2};
  return vectors < 5 ? rows[static_cast<std::size_t>(vectors)] : 1;
}

// The registers of a tile: its sums, then the vectors of one row of b (one at a time if the tile has one row), then one
// number of a in every lane; the last register masks the end of a row of b.
Ymm sum(int vectors, int row, int v) { return Ymm(row * vectors + v); }
Ymm column(int rows, int vectors, int v) { return Ymm(rows * vectors + (rows == 1 ? 0 : v)); }
Ymm spread(int rows, int vectors) { return Ymm(rows * vectors + (rows == 1 ? 1 : vectors)); }
constexpr int mask_register = 15;

}  // namespace

ProductWriter::ProductWriter(const ProductShape& shape) : VectorWriter(code_bytes), s_(shape) {
  write();
  setProtectModeRE();
}

// rdi a, rsi b, rdx bias, rcx c, r8 room; of the panel: rsi, rdx, rcx; of the tile: r9 a, r12 c; over the depth: r11 a,
// rax b; counters: r10 blocks, rbx depth, r13 panels, r14 tiles.
void ProductWriter::write() {
  const Reg64 saved[] = {rbx, r12, r13, r14};
  for (const Reg64& r : saved) push(r);
  if (s_.packs()) pack();
  if (s_.end.column_sums) sum_columns();
  if (s_.end.gate) sub(rdx, rcx);  // from a number of c to that of the gate
  const int full = s_.n / lanes, wide = panel_vectors();
  if (const int panels = full / wide; panels > 0) {
    Xbyak::Label next;
    if (panels > 1) mov(r13d, panels);
    L(next);
    panel(wide, 0);
    add(rsi, wide * vector_bytes);
    add(rcx, wide * vector_bytes);
    if (s_.end.bias) add(rdx, wide * vector_bytes);
    if (panels > 1) {
      dec(r13d);
      jnz(next, T_NEAR);
    }
  }
  if (const int left = s_.vectors() - full / wide * wide; left > 0) panel(left, s_.n % lanes);
  vzeroupper();
  for (std::size_t i = std::size(saved); i-- > 0;) pop(saved[i]);
  ret();
  write_constants();
}

/// The sums of b's columns in ascending rows, in double: a few columns after the other.
void ProductWriter::sum_columns() {
  constexpr int four = 4, at_once = 8;
  const Ymm row(at_once);
  for (int first = 0; first < s_.n; first += at_once * four) {
    const int columns = std::min(s_.n - first, at_once * four), sums = (columns + four - 1) / four;
    const int rest = columns % four;
    const auto is_cut = [&](int v) { return rest != 0 && v == sums - 1; };
    if (rest != 0) vmovaps(Xmm(mask_register), mask(rest, float_bytes));
    for (int v = 0; v < sums; ++v) vxorps(Ymm(v), Ymm(v), Ymm(v));
    lea(rax, ptr[rsi + first * float_bytes]);
    mov(ebx, s_.k);
    Xbyak::Label next;
    L(next);
    for (int v = 0; v < sums; ++v) {
      const auto from = ptr[rax + v * four * float_bytes];
      if (is_cut(v)) {
        vmaskmovps(Xmm(at_once), Xmm(mask_register), from);
        vcvtps2pd(row, Xmm(at_once));
      } else {
        vcvtps2pd(row, from);
      }
      vaddpd(Ymm(v), Ymm(v), row);
    }
    add(rax, s_.b_row * float_bytes);
    dec(ebx);
    jnz(next, T_NEAR);
    for (int v = 0; v < sums; ++v) {
      const auto to = ptr[r8 + (first + v * four) * float_bytes];
      vcvtpd2ps(Xmm(v), Ymm(v));
      is_cut(v) ? vmaskmovps(to, Xmm(mask_register), Xmm(v)) : vmovups(to, Xmm(v));
    }
  }
}

/// How many vectors of columns a panel has, so that the sums of its tiles are many and fit the registers.
int ProductWriter::panel_vectors() const {
  constexpr std::array<int, 4> most{1, 8, 4, 3};
  return std::min(s_.vectors(), s_.m < 4 ? most[index(s_.m)] : 2);
}

/// Lays b out in rows of whole vectors, with zeros at the end of each.
void ProductWriter::pack() {
  Xbyak::Label next;
  mov(rax, rsi);
  mov(r11, r8);
  mov(ebx, s_.k);
  L(next);
  for (int v = 0; v < s_.vectors(); ++v) {
    const int count = std::min(lanes, s_.n - v * lanes);
    const auto at = [&](int j) { return ptr[rax + (v * lanes + j) * s_.b_column * float_bytes]; };
    const auto four = [&](const Xmm& x, int from) {
      vmovss(x, at(from));
      for (int j = 1; j < 4 && from + j < count; ++j) vinsertps(x, x, at(from + j), static_cast<std::uint8_t>(j << 4));
    };
    const int free = v % 4 * 2;  // others than before, so that nothing waits
    four(Xmm(free), 0);
    if (count > 4) {
      four(Xmm(free + 1), 4);
      vinsertf128(Ymm(free), Ymm(free), Xmm(free + 1), 1);
    }
    vmovups(ptr[r11 + v * vector_bytes], Ymm(free));
  }
  add(rax, s_.b_row * float_bytes);
  add(r11, s_.vectors() * vector_bytes);
  dec(ebx);
  jnz(next, T_NEAR);
  mov(rsi, r8);
}

void ProductWriter::panel(int vectors, int rest) {
  const int blocks = (s_.m + tile_rows(vectors) - 1) / tile_rows(vectors);
  const int rows = (s_.m + blocks - 1) / blocks;
  mov(r9, rdi);
  mov(r12, rcx);
  if (!s_.a_rows.empty()) {
    for (int first = 0; first < s_.m; first += rows) {
      tile(first, std::min(rows, s_.m - first), vectors, rest);
      add(r12, rows * s_.n * float_bytes);
    }
    return;
  }
  const int whole = s_.m / rows;
  Xbyak::Label next;
  if (whole > 1) mov(r14d, whole);
  L(next);
  tile(0, rows, vectors, rest);
  if (whole > 1 || s_.m % rows != 0) {
    add(r9, rows * s_.a_row * float_bytes);
    add(r12, rows * s_.n * float_bytes);
  }
  if (whole > 1) {
    dec(r14d);
    jnz(next, T_NEAR);
  }
  if (s_.m % rows != 0) tile(0, s_.m % rows, vectors, rest);
}

void ProductWriter::tile(int first, int rows, int vectors, int rest) {
  const bool masks = rest != 0 && !s_.packs() && !s_.whole_rows;
  for (int i = 0; i < rows; ++i)
    for (int v = 0; v < vectors; ++v) {
      const Ymm x = sum(vectors, i, v);
      const auto from = ptr[r12 + (i * s_.n * float_bytes + v * vector_bytes)];
      if (!s_.adds) {
        vxorps(x, x, x);
      } else if (v == vectors - 1 && rest != 0) {
        vmovaps(x, mask(rest, float_bytes));
        vmaskmovps(x, x, from);
      } else {
        vmovups(x, from);
      }
    }
  if (masks) vmovaps(Ymm(mask_register), mask(rest, float_bytes));
  depth(first, rows, vectors, masks);
  finish(rows, vectors, rest);
}

void ProductWriter::depth(int first, int rows, int vectors, bool masks) {
  // Rows that begin anywhere have code of their own, tile by tile: less of it each.
  const int unrolled = s_.a_rows.empty() ? 320 : 100;
  constexpr int at_once = 4;
  const int b_step = (s_.packs() || s_.whole_rows ? s_.vectors() * lanes : s_.b_row) * float_bytes;
  const int a_step = s_.a_column * float_bytes;
  const bool straight = s_.k * (vectors + rows * (1 + vectors)) <= unrolled;
  const auto steps = [&](const Reg64& a, const Reg64& b, int count) {
    for (int at = 0; at < count; ++at) step(a, b, first, rows, vectors, masks, at);
  };
  if (straight && s_.blocks == 1) return steps(r9, rsi, s_.k);
  mov(r11, r9);
  mov(rax, rsi);
  Xbyak::Label block;
  if (s_.blocks > 1) mov(r10d, s_.blocks);
  L(block);
  int walked = 0;
  if (straight) {
    steps(r11, rax, s_.k);
  } else {
    Xbyak::Label next;
    mov(ebx, s_.k / at_once);
    L(next);
    steps(r11, rax, at_once);
    add(r11, at_once * a_step);
    add(rax, at_once * b_step);
    dec(ebx);
    jnz(next, T_NEAR);
    walked = s_.k / at_once * at_once;
    steps(r11, rax, s_.k - walked);
  }
  if (s_.blocks == 1) return;
  add(r11, s_.a_block * float_bytes - walked * a_step);
  add(rax, s_.b_block * float_bytes - walked * b_step);
  dec(r10d);
  jnz(block, T_NEAR);
}

/// One position of the depth: a column of a times a row of b.
void ProductWriter::step(const Reg64& a, const Reg64& b, int first, int rows, int vectors, bool masks, int at) {
  const int b_step = (s_.packs() || s_.whole_rows ? s_.vectors() * lanes : s_.b_row) * float_bytes;
  const auto is_masked = [&](int v) { return masks && v == vectors - 1; };
  const auto from = [&](int v) { return ptr[b + (at * b_step + v * vector_bytes)]; };
  const auto load = [&](int v) {
    const Ymm to = column(rows, vectors, v);
    is_masked(v) ? vmaskmovps(to, Ymm(mask_register), from(v)) : vmovups(to, from(v));
  };
  if (rows > 1)
    for (int v = 0; v < vectors; ++v) load(v);
  const Ymm x = spread(rows, vectors);
  for (int i = 0; i < rows; ++i) {
    const int row = s_.a_rows.empty() ? i * s_.a_row : s_.a_rows[index(first + i)];
    vbroadcastss(x, ptr[a + (at * s_.a_column + row) * float_bytes]);
    for (int v = 0; v < vectors; ++v) {
      if (rows == 1 && is_masked(v)) load(v);
      if (rows == 1 && !is_masked(v)) vfmadd231ps(sum(vectors, i, v), x, from(v));
      else vfmadd231ps(sum(vectors, i, v), x, column(rows, vectors, v));
    }
  }
}

void ProductWriter::finish(int rows, int vectors, int rest) {
  const Ymm first = column(rows, vectors, 0), second = spread(rows, vectors);
  for (int v = 0; v < vectors; ++v) {
    const int count = v == vectors - 1 && rest != 0 ? rest : lanes;
    if (s_.end.bias) {
      if (count < lanes) vmovaps(first, mask(count, float_bytes));
      const auto from = ptr[rdx + v * vector_bytes];
      count < lanes ? vmaskmovps(first, first, from) : vmovups(first, from);
      for (int i = 0; i < rows; ++i) vaddps(sum(vectors, i, v), sum(vectors, i, v), first);
    }
    for (int i = 0; i < rows; ++i) {
      const Ymm x = sum(vectors, i, v);
      if (s_.end.relu) {
        vcmpps(second, x, constant32(0), 0x12);  // x <= 0, and not NaN
        vandnps(x, second, x);
      }
      if (s_.end.gate) {
        const auto from = ptr[r12 + rdx + (i * s_.n * float_bytes + v * vector_bytes)];
        if (count < lanes) vmovaps(second, mask(count, float_bytes));
        count < lanes ? vmaskmovps(second, second, from) : vmovups(second, from);
        vcmpps(second, second, constant32(0), 0x1e);  // > 0
        vandps(x, x, second);
      }
      if (s_.end.leaky_slope) {
        vmulps(second, x, constant32(std::bit_cast<std::uint32_t>(static_cast<float>(*s_.end.leaky_slope))));
        vcmpps(first, x, constant32(0), 0x1e);  // x > 0
        vblendvps(x, second, x, first);
      }
      store_floats(x, Xmm(second.getIdx()), count, [&](int offset) {
        return ptr[r12 + (i * s_.n * float_bytes + v * vector_bytes + offset)];
      });
    }
  }
}

}  // namespace thalweg
#endif
