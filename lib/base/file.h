// SPDX-License-Identifier: Apache-2.0
// Private: whole files in and out.
#pragma once

#include <cstddef>
#include <cstdint>
#include <initializer_list>
#include <span>
#include <string>
#include <vector>

#include "thalweg/graph/export.h"

namespace thalweg {

/// What a reader takes at most, before and after inflating.
inline constexpr std::uint64_t largest_file = std::uint64_t{8} << 30;
/// From this many bytes on, inflated data may be at most `largest_ratio` times the compressed: data that someone
/// measured stays far below, while deflate itself reaches 1032.
inline constexpr std::uint64_t ratio_free = std::uint64_t{4} << 20;
inline constexpr std::uint64_t largest_ratio = 300;

/// The bytes of a regular file. Throws RunError with the path, what was tried and the system's reason; also for
/// anything but a regular file, and for more than `limit` bytes.
THALWEG_API std::vector<std::byte> read_file(const std::string& path, std::uint64_t limit = largest_file);

/// Whether the bytes begin as gzip does.
THALWEG_API bool is_gzip(std::span<const std::byte> bytes);
/// Inflates gzip data of one or more members, checking each one's CRC and size. Throws RunError naming `source` for
/// anything cut off, damaged, followed by other bytes, larger than `limit`, or blown up beyond `largest_ratio`.
THALWEG_API std::vector<std::byte> gunzip(std::span<const std::byte> bytes, const std::string& source,
                                          std::uint64_t limit = largest_file);
/// read_file(), inflated if it is gzip.
THALWEG_API std::vector<std::byte> read_maybe_gzip(const std::string& path, std::uint64_t limit = largest_file);

/// Makes or replaces a file by the parts, one after another: at every moment the path holds the old content or the
/// whole new one. The bytes are on the disk when it returns. Throws RunError; the old file is then untouched.
THALWEG_API void write_file(const std::string& path, std::span<const std::span<const std::byte>> parts);
THALWEG_API void write_file(const std::string& path, std::string_view text);

}  // namespace thalweg
