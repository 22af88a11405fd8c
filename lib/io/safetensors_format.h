// SPDX-License-Identifier: Apache-2.0
// Private: safetensors between bytes and content, for those who read and write more than the content.
#pragma once

#include <array>
#include <cstddef>
#include <span>
#include <string>
#include <vector>

#include "thalweg/lib/io/safetensors.h"

namespace thalweg {

/// A file as it will be written. It refers to the content's tensors.
struct SafetensorsImage {
  std::array<std::byte, 8> length{};  ///< of the header
  std::string header;
  std::vector<std::span<const std::byte>> data;
  std::vector<std::span<const std::byte>> parts() const;
};
/// `path` is what messages name. Throws RunError for names that are no UTF-8.
SafetensorsImage image_of(const Safetensors& content, const std::string& path);
/// Throws RunError, as read_safetensors does.
Safetensors parse_safetensors(std::span<const std::byte> bytes, const std::string& path);
/// How many bytes length and header take. Throws RunError.
std::size_t header_end(std::span<const std::byte> bytes, const std::string& path);

}  // namespace thalweg
