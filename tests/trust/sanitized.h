// SPDX-License-Identifier: Apache-2.0
// Whether AddressSanitizer watches: it takes memory, addresses and files of its own.
#pragma once

namespace thalweg::testing {

#if defined(__SANITIZE_ADDRESS__)
inline constexpr bool sanitized = true;
#else
inline constexpr bool sanitized = false;
#endif

}  // namespace thalweg::testing
