// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <vector>

#include "gallery.h"

namespace thalweg::gallery {

/// An experiment that was made.
struct Exhibit {
  Experiment experiment;
  Shown shown;
  double seconds = 0;
};
/// One HTML page with code, charts and sentence of each, that needs no network; `data` says what was learned.
std::string page_of(const std::vector<Exhibit>& exhibits, const std::string& data);

}  // namespace thalweg::gallery
