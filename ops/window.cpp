// SPDX-License-Identifier: Apache-2.0
#include "thalweg/ops/window.h"

#include <algorithm>

#include "thalweg/graph/fail.h"

namespace thalweg {
namespace {

constexpr std::array<std::string_view, 2> axis_names = {"height", "width"};

/// Beyond this no product of the rules below can overflow 64 bits.
constexpr Dim max_window_number = Dim{1} << 30;

void check_range(std::string_view name, Dim value) {
  if (value > max_window_number) rule_error("{} is {}, must be at most {}", name, value, max_window_number);
}

void pad_same(WindowGeometry& g, std::size_t axis, Dim extent) {
  g.out[axis] = (g.in[axis] + g.stride[axis] - 1) / g.stride[axis];
  const Dim total = std::max<Dim>((g.out[axis] - 1) * g.stride[axis] + extent - g.in[axis], 0);
  g.pad_low[axis] = total / 2;
  g.pad_high[axis] = total - total / 2;
}

}  // namespace

std::array<Dim, 2> pair_of(const Attrs& attrs, std::string_view name, std::array<Dim, 2> fallback) {
  const std::vector<Dim>& list = attrs.integers(name);
  if (list.empty()) return fallback;
  if (list.size() != 2)
    rule_error("attribute {} is {}, must be two numbers [height,width]", name, to_string(AttrValue(list)));
  for (const Dim value : list) check_range(name, value);
  return {list[0], list[1]};
}

std::vector<Attr> window_attrs(std::string_view padding, const std::vector<Dim>& pads) {
  std::vector<Attr> attrs;
  if (padding.empty()) padding = pads.empty() ? "valid" : "explicit";
  attrs.emplace_back("padding", padding);
  if (!pads.empty()) attrs.emplace_back("pads", pads);
  return attrs;
}

WindowGeometry window_geometry(const Attrs& attrs, WindowGeometry g) {
  const std::string& padding = attrs.text("padding");
  const std::vector<Dim>& pads = attrs.integers("pads");
  if (padding == "explicit" && pads.size() != 4)
    rule_error("padding=explicit needs pads [top,bottom,left,right], got {}", to_string(AttrValue(pads)));
  if (padding != "explicit" && !pads.empty())
    rule_error("attribute pads is {}, which only padding=explicit reads, not padding={}", to_string(AttrValue(pads)),
               padding);
  for (const Dim pad : pads) check_range("a number of pads", pad);
  for (std::size_t axis = 0; axis < 2; ++axis) {
    check_range("the input's size", g.in[axis]);
    check_range("the window's size", g.size[axis]);
    const Dim extent = g.dilation[axis] * (g.size[axis] - 1) + 1;
    if (padding == "same") {
      pad_same(g, axis, extent);
      continue;
    }
    if (padding == "explicit") {
      g.pad_low[axis] = pads[2 * axis];
      g.pad_high[axis] = pads[2 * axis + 1];
    }
    const Dim padded = g.in[axis] + g.pad_low[axis] + g.pad_high[axis];
    if (extent > padded)
      rule_error("a window of {} {} (dilation included) is larger than the padded input of {}", axis_names[axis],
                 extent, padded);
    g.out[axis] = (padded - extent) / g.stride[axis] + 1;
  }
  return g;
}

}  // namespace thalweg
