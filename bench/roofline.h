// SPDX-License-Identifier: Apache-2.0
// The limits of this machine, measured: what benchmarks are compared with.
#pragma once

#include <cstddef>
#include <utility>
#include <vector>

namespace thalweg::bench {

/// What the machine can do with a number of threads.
struct Roofline {
  int threads = 1;
  const char* instructions = "";  ///< the vector instructions that were measured, as Highway names them
  double flops = 0;  ///< peak f32 multiply-adds of independent registers, two operations each: FLOP/s
  /// Bytes/s of x = a * x + b in place, read and write counted, over a footprint in bytes (all threads' together);
  /// from small to large.
  std::vector<std::pair<std::size_t, double>> in_place;

  /// Bytes/s in place over a footprint: between the measured sizes by the logarithm of the size.
  double bandwidth(std::size_t footprint) const;
  /// The least time of work with these operations and bytes of memory: seconds.
  double bound(double operations, std::size_t bytes) const;
};

/// The machine's limits at that many threads; measured at the first call for each (about a second), then kept.
const Roofline& roofline(int threads);

}  // namespace thalweg::bench
