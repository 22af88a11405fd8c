// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <string>
#include <vector>

#include "thalweg/lib/compile/program.h"

namespace thalweg {

/// What a machine can do at most: 0 where it is not known.
struct MachineLimits {
  double flops = 0;      ///< FLOP/s in f32
  double bandwidth = 0;  ///< bytes/s to and from memory
};

/// Times of a program's kernels.
struct Profile {
  struct KernelTime {
    std::size_t kernel = 0;
    std::string implementation = {};
    std::string results = {};  ///< `%3 : f32[64,128]`
    std::string line = {};     ///< the user's
    double seconds = 0;   ///< the median of all steps
    double flops = 0;
    std::size_t bytes = 0;  ///< operands read and results written
    /// The share of the least possible time; 0 without limits.
    double of_roofline(const MachineLimits& limits) const;
  };
  struct Span {
    std::size_t kernel = 0;
    std::size_t thread = 0;  ///< 0 is the caller
    bool part = false;       ///< a thread's part of the kernel, else the whole kernel
    double begin = 0, seconds = 0;  ///< since the first step
  };
  std::string name = {};
  int threads = 1;
  std::vector<KernelTime> kernels = {};      ///< in execution order
  double step_seconds = 0;              ///< the median of steps that nobody observed
  std::vector<Span> spans = {};              ///< of every observed step
  std::vector<std::size_t> live_bytes = {};  ///< of the arena, while each kernel runs

  /// The slowest kernels first, at most `top`.
  THALWEG_API std::string text(std::size_t top, const MachineLimits& limits) const;
  THALWEG_API std::string json(const MachineLimits& limits) const;
  /// For chrome://tracing and Perfetto: a track for each thread and a counter of live bytes. Of oneDNN's kernels the
  /// caller's thread is seen alone.
  THALWEG_API std::string trace() const;
};

struct ProfileOptions {
  int steps = 20;
  int warm = 3;  ///< steps before
};
/// Runs steps on the program's present inputs, so its variables move on. Half of the steps are observed.
THALWEG_API Profile profile(Program& program, const ProfileOptions& options = {});

}  // namespace thalweg
