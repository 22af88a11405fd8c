// SPDX-License-Identifier: Apache-2.0
#include "thalweg/lib/io/checksum.h"

#include <fmt/format.h>
#include <zlib.h>

namespace thalweg {

std::uint32_t crc32_of(std::span<const std::byte> bytes) {
  return static_cast<std::uint32_t>(crc32_z(0, reinterpret_cast<const Bytef*>(bytes.data()), bytes.size()));
}

std::uint32_t crc32_joined(std::uint32_t first, std::uint32_t rest, std::uint64_t rest_bytes) {
  return static_cast<std::uint32_t>(crc32_combine64(first, rest, static_cast<z_off64_t>(rest_bytes)));
}

std::string crc32_text(std::uint32_t crc) { return fmt::format("{:08x}", crc); }

}  // namespace thalweg
