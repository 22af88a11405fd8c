// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <vector>

namespace thalweg::tool {

/// One line of a picture: a value for each epoch, the first epoch being 1. Values that are not finite leave a gap.
struct Curve {
  std::string name;
  std::vector<double> values;
};

struct Panel {
  std::string title;
  std::vector<Curve> curves;  ///< at most two
};

/// A picture of the panels side by side, as SVG without scripts or foreign fonts.
std::string curves_svg(const std::string& title, const std::vector<Panel>& panels);

}  // namespace thalweg::tool
