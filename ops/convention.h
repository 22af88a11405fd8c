// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <string_view>

namespace thalweg {

/// Whose formula a norm, update rule, schedule or clipping follows, where the frameworks disagree on numbers.
enum class Convention : std::uint8_t {
  keras,  ///< Keras 3
  torch,  ///< PyTorch 2
  optax   ///< Optax 0.2
};

constexpr std::string_view to_string(Convention convention) {
  return convention == Convention::keras ? "keras" : convention == Convention::torch ? "torch" : "optax";
}

}  // namespace thalweg
