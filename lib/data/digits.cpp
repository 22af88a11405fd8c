// SPDX-License-Identifier: Apache-2.0
#include <lib/digits_file.h>  // made when the build is configured

#include "thalweg/lib/base/bytes.h"
#include "thalweg/lib/base/file.h"
#include "thalweg/lib/data/csv_text.h"
#include "thalweg/lib/data/readers.h"

// The table lies in the library itself, so that it is found wherever that is. (See digits.md for where it is from.)
asm(R"(
  .pushsection .rodata
  .global thalweg_digits_begin
  .hidden thalweg_digits_begin
  .global thalweg_digits_end
  .hidden thalweg_digits_end
thalweg_digits_begin:
  .incbin ")" THALWEG_DIGITS_FILE R"("
thalweg_digits_end:
  .byte 0
  .popsection
)");

extern "C" {
extern const unsigned char thalweg_digits_begin[] __attribute__((visibility("hidden")));
extern const unsigned char thalweg_digits_end[] __attribute__((visibility("hidden")));
}

namespace thalweg {

Dataset digits() {
  const std::string source = "the library's digits.csv.gz";
  const std::span<const unsigned char> packed(thalweg_digits_begin, thalweg_digits_end);
  const std::vector<std::byte> text = gunzip(std::as_bytes(packed), source);
  const Dataset table = csv_text(text_of(text), source, {.header = false});
  constexpr double brightest = 16;
  Dataset data = scaled(table, 1 / brightest);
  data.inputs = reshaped(data.inputs, {data.size(), 8, 8, 1});
  data.features.clear();
  data.name = "digits";
  return data;
}

}  // namespace thalweg
