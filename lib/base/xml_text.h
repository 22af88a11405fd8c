// SPDX-License-Identifier: Apache-2.0
// Private: texts within pictures and pages.
#pragma once

#include <string>
#include <string_view>

namespace thalweg {

/// A text as XML shows it; control characters become U+FFFD.
std::string xml_text(std::string_view text);

}  // namespace thalweg
