// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>

#include "thalweg/graph/graph.h"
#include "thalweg/lib/compile/program.h"
#include "thalweg/lib/inspect/stage.h"

namespace thalweg {

enum class DumpFormat : std::uint8_t {
  text,  ///< the graph's text; from `fused` on kernel by kernel, which comments name: `parse` reads it back
  dot,   ///< Graphviz: scopes, and from `fused` on kernels, as clusters; colours by origin
  svg,   ///< a picture drawn by a layered layout of its own
  json,  ///< nodes as oneDNN Graph's files have them, which Netron opens; scope, origin, line and plan beside
  html   ///< one page that needs no network: collapsing, search, stages, memory
};
THALWEG_API std::span<const DumpFormat> dump_formats();
THALWEG_API std::string_view to_string(DumpFormat format);
/// Throws RunError with the nearest names.
THALWEG_API DumpFormat dump_format_named(std::string_view name);

struct DumpOptions {
  Stage stage = Stage::optim;
  DumpFormat format = DumpFormat::text;
  CompileOptions compile = {};
  /// Leaves out what depends on the machine: implementations' instruction sets, scratch, places in the arena.
  bool portable = false;
  /// html: lays groups out by Graphviz's dot where it is found by PATH and quick; else the page does it by itself.
  bool use_dot = true;
};
/// A graph at a stage, in a format. In every format each node keeps its scope, its origin and its line.
/// An html page holds the stages from `built` to the given one.
THALWEG_API std::string dump(const Graph& graph, const DumpOptions& options = {});

}  // namespace thalweg
