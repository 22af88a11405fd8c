// SPDX-License-Identifier: Apache-2.0
// Private: CRC-32 (ISO-HDLC: the polynomial 0x04C11DB7 of Ethernet, gzip, zip and PNG). Of damage it finds by proof
// what a hash of the same length finds by chance: every flipped bit, every two flipped bits that lie less than 512 MiB
// apart, every burst of up to 32 bits; of anything else it lets 1 in 2^32 pass. Against intent it is no protection,
// and no digest without a key is.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>

namespace thalweg {

std::uint32_t crc32_of(std::span<const std::byte> bytes);
/// The CRC of a text of which the first part has the CRC `first` and the rest, `rest_bytes` long, the CRC `rest`.
std::uint32_t crc32_joined(std::uint32_t first, std::uint32_t rest, std::uint64_t rest_bytes);
/// Eight hexadecimal digits.
std::string crc32_text(std::uint32_t crc);

}  // namespace thalweg
