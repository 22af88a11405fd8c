// SPDX-License-Identifier: Apache-2.0
#include "thalweg/lib/onednn/version.h"

#include <fmt/format.h>

#include <oneapi/dnnl/dnnl.hpp>

namespace thalweg::onednn {

std::string version() {
  const dnnl_version_t* v = dnnl_version();
  return fmt::format("{}.{}.{}", v->major, v->minor, v->patch);
}

std::string instruction_set() { return fmt::format("{:#x}", static_cast<unsigned>(dnnl::get_effective_cpu_isa())); }

}  // namespace thalweg::onednn
