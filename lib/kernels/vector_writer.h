// SPDX-License-Identifier: Apache-2.0
// Private: what writers of AVX2 and AVX-512 code share. Xbyak stays behind this header.
#pragma once

#include <algorithm>
#include <array>
#include <cstdint>
#include <vector>

// Xbyak's headers are not written for our warnings.
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wconversion"
#pragma GCC diagnostic ignored "-Wshadow"
#pragma GCC diagnostic ignored "-Wpedantic"
#include <xbyak/xbyak.h>
#include <xbyak/xbyak_util.h>
#pragma GCC diagnostic pop
// It takes counts and displacements as unsigned numbers; writers compute with int.
#pragma GCC diagnostic ignored "-Wsign-conversion"

namespace thalweg {

/// A code buffer with a pool of constants behind the code.
class VectorWriter : public Xbyak::CodeGenerator {
 public:
  static constexpr int vector_bytes = 32;
  static constexpr int lanes = 8;  ///< of f32

 protected:
  /// Constants fill `pool_vectors` vectors of 32 bytes each.
  explicit VectorWriter(std::size_t code_bytes, int pool_vectors = 1)
      : CodeGenerator(code_bytes, Xbyak::DontSetProtectRWE), pool_vectors_(pool_vectors) {}
  static std::size_t index(int i) { return static_cast<std::size_t>(i); }

  Xbyak::Address constant(std::array<std::uint64_t, 4> words) {
    const auto it = std::find(pool_.begin(), pool_.end(), words);
    const auto at = static_cast<int>(it - pool_.begin());
    if (it == pool_.end()) pool_.push_back(words);
    return ptr[rip + constants_ + at * pool_vectors_ * vector_bytes];
  }
  /// 32 bits in every lane.
  Xbyak::Address constant32(std::uint32_t bits) { return constant64(std::uint64_t{bits} << 32 | bits); }
  Xbyak::Address constant64(std::uint64_t bits) { return constant({bits, bits, bits, bits}); }
  /// All ones in the first `count` of lanes of `bytes` bytes.
  Xbyak::Address mask(int count, int bytes) {
    std::array<std::uint64_t, 4> words{};
    for (int i = 0; i < count * bytes; ++i) words[index(i / 8)] |= std::uint64_t{0xff} << (i % 8 * 8);
    return constant(words);
  }
  /// To be called once, after the last instruction.
  void write_constants() {
    align(index(pool_vectors_ * vector_bytes));
    L(constants_);
    for (const auto& words : pool_)
      for (int copy = 0; copy < pool_vectors_; ++copy)
        for (const std::uint64_t x : words) dq(x);
  }

  /// Stores the first `count` floats of x at `address(offset in bytes)`; `free` is overwritten.
  template <class F>
  void store_floats(const Xbyak::Ymm& x, const Xbyak::Xmm& free, int count, F address) {
    if (count == lanes) return vmovups(address(0), x);
    Xbyak::Xmm from(x.getIdx());
    int done = 0;
    if (count >= 4) {
      vmovups(address(0), from);
      if (count > 4) vextractf128(free, x, 1);
      from = free;
      done = 4;
    }
    if (count - done >= 2) {
      vmovlps(address(done * 4), from);
      if (count - done > 2) vmovhlps(free, from, from);
      from = free;
      done += 2;
    }
    if (count > done) vmovss(address(done * 4), from);
  }

 private:
  int pool_vectors_;
  std::vector<std::array<std::uint64_t, 4>> pool_;
  Xbyak::Label constants_;
};

}  // namespace thalweg
