// SPDX-License-Identifier: Apache-2.0
// Small made-up data sets in the formats of real ones, for tests that run whole programs.
#pragma once

#include <cstdint>
#include <string>

#include "shell.h"

namespace thalweg::project {

/// Numbers that are the same on every machine.
class Noise {
 public:
  explicit Noise(std::uint64_t seed) : state_(seed) {}
  /// Below `end`.
  std::uint32_t below(std::uint32_t end) {
    state_ = state_ * 6364136223846793005ULL + 1442695040888963407ULL;
    return static_cast<std::uint32_t>(state_ >> 33) % end;
  }

 private:
  std::uint64_t state_;
};

inline void put_big_endian(std::string& bytes, std::uint32_t number) {
  for (int shift = 24; shift >= 0; shift -= 8) bytes += static_cast<char>(number >> shift & 0xff);
}

/// IDX files of `count` images under MNIST's names: class c is a bright bar at a place of its own, with noise.
inline void write_idx_pair(const std::filesystem::path& folder, const std::string& prefix, std::uint32_t count) {
  Noise noise(count);
  std::string images, labels;
  put_big_endian(images, 0x803);
  for (const std::uint32_t size : {count, 28U, 28U}) put_big_endian(images, size);
  put_big_endian(labels, 0x801);
  put_big_endian(labels, count);
  for (std::uint32_t i = 0; i < count; ++i) {
    const std::uint32_t digit = i % 10;
    labels += static_cast<char>(digit);
    for (std::uint32_t row = 0; row < 28; ++row)
      for (std::uint32_t column = 0; column < 28; ++column) {
        const bool bar = row >= 4 + 2 * digit && row < 6 + 2 * digit && column >= 6 && column < 22;
        images += static_cast<char>(bar ? 255 : noise.below(64));
      }
  }
  write_text(folder / (prefix + "-images-idx3-ubyte"), images);
  write_text(folder / (prefix + "-labels-idx1-ubyte"), labels);
}

inline void write_small_mnist(const std::filesystem::path& folder) {
  std::filesystem::create_directories(folder);
  write_idx_pair(folder, "train", 1280);
  write_idx_pair(folder, "t10k", 320);
}

/// A table with a header, four columns of numbers and a label that is a word.
inline void write_flowers(const std::filesystem::path& file) {
  Noise noise(7);
  std::string table = "length,width,petal,height,species\n";
  const char* const names[] = {"rose", "tulip", "violet"};
  for (std::uint32_t i = 0; i < 150; ++i) {
    const std::uint32_t kind = i % 3;
    for (std::uint32_t column = 0; column < 4; ++column)
      table += std::to_string(10 * kind * (column + 1) + noise.below(8)) + "." + std::to_string(noise.below(10)) + ",";
    table.append(names[kind]).append("\n");
  }
  write_text(file, table);
}

}  // namespace thalweg::project
