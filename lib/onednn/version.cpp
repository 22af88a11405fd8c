// SPDX-License-Identifier: Apache-2.0
#include "thalweg/lib/onednn/version.h"

#include <fmt/format.h>

#include <array>
#include <cstddef>
#include <oneapi/dnnl/dnnl.hpp>

namespace thalweg::onednn {

std::string version() {
  const dnnl_version_t* v = dnnl_version();
  return fmt::format("{}.{}.{}", v->major, v->minor, v->patch);
}

std::string instruction_set() { return fmt::format("{:#x}", static_cast<unsigned>(dnnl::get_effective_cpu_isa())); }

bool may_use(Level level) {
  // An instruction set has the bits of all those that it contains.
  constexpr std::array levels{dnnl_cpu_isa_avx2, dnnl_cpu_isa_avx512_core, dnnl_cpu_isa_avx512_core_bf16};
  const auto needed = static_cast<unsigned>(levels[static_cast<std::size_t>(level)]);
  return (static_cast<unsigned>(dnnl_get_effective_cpu_isa()) & needed) == needed;
}

}  // namespace thalweg::onednn
