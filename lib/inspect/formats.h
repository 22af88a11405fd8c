// SPDX-License-Identifier: Apache-2.0
// Private: the formats of a dump, each in a file of its own.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "thalweg/lib/base/xml_text.h"
#include "thalweg/lib/inspect/stage.h"

namespace thalweg {

std::string dot_of(const Staged& staged, bool portable);
std::string svg_of(const Staged& staged, bool portable);
std::string json_of(const Staged& staged, bool portable);
std::string html_of(const Graph& graph, Stage last, const CompileOptions& options, bool use_dot);

/// An implementation without what differs between machines: `onednn:matmul+bias:brg:avx512_core` is
/// `onednn:matmul+bias`, and nothing is left of where a kernel came from.
std::string implementation_text(const PlannedKernel& kernel, bool portable);
/// The colour of an origin as `#rrggbb`; distinct for the colour-blind too (Okabe and Ito's palette, lightened).
std::string_view colour_of(Origin origin);

}  // namespace thalweg
