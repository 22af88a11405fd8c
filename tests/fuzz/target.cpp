// SPDX-License-Identifier: Apache-2.0
// libFuzzer's way in, compiled once for each parser: -DTHALWEG_PARSER="idx".
#include <cstdint>
#include <cstdlib>

#include "parsers.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace thalweg::testing;
  static const Parser& parser = []() -> const Parser& {
    for (const Parser& one : parsers())
      if (one.name == THALWEG_PARSER) return one;
    std::abort();
  }();
  feed(parser, {reinterpret_cast<const std::byte*>(data), size});
  return 0;
}
