// SPDX-License-Identifier: Apache-2.0
#include "thalweg/lib/base/xml_text.h"

namespace thalweg {

std::string xml_text(std::string_view text) {
  std::string out;
  for (const char c : text) {
    if (c == '&') out += "&amp;";
    else if (c == '<') out += "&lt;";
    else if (c == '>') out += "&gt;";
    else if (c == '"') out += "&quot;";
    else if (static_cast<unsigned char>(c) < 0x20 && c != '\n') out += "\xef\xbf\xbd";
    else out += c;
  }
  return out;
}

}  // namespace thalweg
