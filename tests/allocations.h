// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <optional>
#include <type_traits>

namespace thalweg::testing {

/// Heap allocations of this process while `work` runs, oneDNN's and OpenMP's too; nothing where a sanitizer owns the
/// heap.
std::optional<long> allocations_of(void (*work)(void*), void* context);
template <class F>
std::optional<long> allocations_of(F&& work) {
  return allocations_of([](void* f) { (*static_cast<std::remove_reference_t<F>*>(f))(); }, &work);
}

/// While it lives, allocations do not count.
class Uncounted {
 public:
  Uncounted();
  ~Uncounted();
  Uncounted(const Uncounted&) = delete;
  Uncounted& operator=(const Uncounted&) = delete;
  /// Whether they counted before.
  bool counted() const { return counted_; }

 private:
  bool counted_;
};

}  // namespace thalweg::testing
