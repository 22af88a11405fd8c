// SPDX-License-Identifier: Apache-2.0
// Good files, what has once been a finding (corpus/<parser>/), and random damage to both. `fuzz_test --seeds DIR` writes
// the good files for libFuzzer to start from.
#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <random>

#include "../trust/soak.h"
#include "parsers.h"
#include "thalweg/graph/error.h"

namespace thalweg {
namespace {

using testing::feed;
using testing::Parser;
using testing::parsers;

std::span<const std::byte> bytes_of(const std::string& text) { return std::as_bytes(std::span(text)); }

std::vector<std::string> corpus_of(const Parser& parser) {
  std::vector<std::string> files = parser.seeds();
  const std::filesystem::path folder =
      std::filesystem::path(std::getenv("THALWEG_SOURCE")) / "tests/fuzz/corpus" / parser.name;
  if (!std::filesystem::exists(folder)) return files;
  for (const auto& entry : std::filesystem::directory_iterator(folder)) {
    std::ifstream in(entry.path(), std::ios::binary);
    files.emplace_back(std::istreambuf_iterator<char>(in), std::istreambuf_iterator<char>());
  }
  return files;
}

/// Damages a file: one to four changes of the kinds that break parsers.
std::string damaged(std::string bytes, const std::vector<std::string>& others, std::mt19937_64& random) {
  const auto below = [&](std::size_t n) { return n == 0 ? 0 : random() % n; };
  static const std::vector<std::string> pieces{
      std::string(4, '\xff'), std::string(8, '\xff'), std::string(4, '\0'), "\x7f\xff\xff\xff", "\x80",
      "-1", "18446744073709551616", "1e999", "nan", "[", "{", "\"", ",", "\n", "\r\n", "%", "@", "\\x", "0x", "4294967295"};
  for (std::size_t i = 1 + below(4); i-- > 0;) {
    const std::size_t at = below(bytes.size() + 1);
    switch (below(7)) {
      case 0:
        if (at < bytes.size()) bytes[at] = static_cast<char>(bytes[at] ^ (1 << below(8)));
        break;
      case 1:
        if (at < bytes.size()) bytes[at] = static_cast<char>(random());
        break;
      case 2: bytes.resize(at); break;
      case 3: bytes.insert(at, pieces[below(pieces.size())]); break;
      case 4: {
        const std::string& piece = pieces[below(pieces.size())];
        bytes.replace(at, std::min(piece.size(), bytes.size() - at), piece);
        break;
      }
      case 5: bytes.erase(at, 1 + below(16)); break;
      default: {
        const std::string& other = others[below(others.size())];
        const std::size_t from = below(other.size() + 1);
        bytes.insert(at, other.substr(from, below(64)));
      }
    }
  }
  return bytes;
}

TEST(Fuzz, GoodFilesAreRead) {
  for (const Parser& parser : parsers())
    for (const std::string& file : parser.seeds()) EXPECT_NO_THROW(feed(parser, bytes_of(file))) << parser.name;
}

TEST(Fuzz, NoDamageIsMoreThanAnError) {
  const std::uint64_t runs = testing::count_of("THALWEG_SOAK_FUZZ", 10'000);
  std::mt19937_64 random(testing::count_of("THALWEG_SOAK_SEED", 11));
  for (const Parser& parser : parsers()) {
    const std::vector<std::string> files = corpus_of(parser);
    for (const std::string& file : files)
      for (std::size_t n = 0; n <= std::min<std::size_t>(file.size(), 2000); ++n) feed(parser, bytes_of(file.substr(0, n)));
    for (std::uint64_t i = 0; i < runs; ++i) {
      const std::string file = damaged(files[random() % files.size()], files, random);
      try {
        feed(parser, bytes_of(file));
      } catch (const std::exception& error) {
        ADD_FAILURE() << parser.name << ", run " << i << ": " << error.what() << "\n"
                      << ::testing::PrintToString(file);
      }
    }
    testing::report("damaged files read by " + std::string(parser.name), runs);
  }
}

}  // namespace
}  // namespace thalweg

int main(int count, char** words) {
  if (count == 3 && std::string(words[1]) == "--seeds") {
    for (const auto& parser : thalweg::testing::parsers()) {
      const std::filesystem::path folder = std::filesystem::path(words[2]) / parser.name;
      std::filesystem::create_directories(folder);
      int number = 0;
      for (const std::string& file : parser.seeds())
        std::ofstream(folder / std::to_string(number++), std::ios::binary) << file;
    }
    return 0;
  }
  ::testing::InitGoogleTest(&count, words);
  return RUN_ALL_TESTS();
}
