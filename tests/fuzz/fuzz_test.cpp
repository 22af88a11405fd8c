// SPDX-License-Identifier: Apache-2.0
// Good files, what has once been a finding (corpus/<parser>/), what libFuzzer found to take every way through a parser
// (corpus/<parser>.hex, by -merge=1 -use_counters=0), and random damage to all of them. `fuzz_test --seeds DIR` writes
// the good files for libFuzzer to start from.
#include <gtest/gtest.h>

#include <algorithm>
#include <chrono>
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

/// The inputs of a file of hexadecimal digits, one a line.
void add_hex(const std::filesystem::path& file, std::vector<std::string>& files) {
  std::ifstream in(file);
  for (std::string line; std::getline(in, line);) {
    std::string bytes;
    for (std::size_t i = 0; i + 1 < line.size(); i += 2)
      bytes += static_cast<char>(std::stoi(line.substr(i, 2), nullptr, 16));
    files.push_back(std::move(bytes));
  }
}

std::vector<std::string> corpus_of(const Parser& parser) {
  std::vector<std::string> files = parser.seeds();
  if (parser.refused != nullptr)
    for (std::string& file : parser.refused()) files.push_back(std::move(file));
  const char* source = std::getenv("THALWEG_SOURCE");
  if (source == nullptr) return files;
  const std::filesystem::path folder = std::filesystem::path(source) / "tests/fuzz/corpus" / parser.name;
  add_hex(folder.string() + ".hex", files);
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

class Fuzz : public ::testing::TestWithParam<Parser> {};

TEST_P(Fuzz, GoodFilesAreRead) {
  for (const std::string& file : GetParam().seeds()) {
    testing::InMemory memory(bytes_of(file));
    EXPECT_NO_THROW(GetParam().read("file")) << ::testing::PrintToString(file);
  }
}

TEST_P(Fuzz, NoDamageIsMoreThanAnError) {
  const Parser& parser = GetParam();
  const auto end = std::chrono::steady_clock::now() +
                   std::chrono::seconds(testing::count_of("THALWEG_SOAK_FUZZ_SECONDS", 10));
  std::mt19937_64 random(testing::count_of("THALWEG_SOAK_SEED", 11));
  const std::vector<std::string> files = corpus_of(parser);
  std::uint64_t runs = 0;
  const auto try_one = [&](const std::string& file) {
    ++runs;
    try {
      feed(parser, bytes_of(file));
    } catch (const std::exception& error) {
      ADD_FAILURE() << parser.name << ", run " << runs << ": " << error.what() << "\n" << ::testing::PrintToString(file);
    }
  };
  for (const std::string& file : files)
    for (std::size_t n = 0; n <= std::min<std::size_t>(file.size(), 2000); ++n) try_one(file.substr(0, n));
  while (std::chrono::steady_clock::now() < end)
    for (int i = 0; i < 64; ++i) try_one(damaged(files[random() % files.size()], files, random));
  testing::report("files of the corpus of " + std::string(parser.name), files.size());
  testing::report("damaged files read by " + std::string(parser.name), runs);
}

INSTANTIATE_TEST_SUITE_P(Readers, Fuzz, ::testing::ValuesIn(parsers().begin(), parsers().end()),
                         [](const auto& one) { return std::string(one.param.name); });

TEST(Parsers, EachHasATestOfItsOwn) {
  std::ifstream in(std::string(std::getenv("THALWEG_SOURCE")) + "/tests/fuzz/meson.build");
  const std::string text{std::istreambuf_iterator<char>(in), {}};
  for (const Parser& parser : parsers()) EXPECT_NE(text.find("'" + std::string(parser.name) + "'"), text.npos) << parser.name;
}

}  // namespace
}  // namespace thalweg

int main(int count, char** words) {
  if (count == 3 && std::string(words[1]) == "--seeds") {
    for (const auto& parser : thalweg::testing::parsers()) {
      const std::filesystem::path folder = std::filesystem::path(words[2]) / parser.name;
      std::filesystem::create_directories(folder);
      int number = 0;
      for (const std::string& file : thalweg::corpus_of(parser))
        std::ofstream(folder / std::to_string(number++), std::ios::binary) << file;
    }
    return 0;
  }
  ::testing::InitGoogleTest(&count, words);
  return RUN_ALL_TESTS();
}
