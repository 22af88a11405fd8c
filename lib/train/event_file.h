// SPDX-License-Identifier: Apache-2.0
// Private: TensorBoard's files. A file is a row of records (TFRecord): the length as u64, its masked CRC32C, the bytes,
// their masked CRC32C; all little endian. Each record is a protobuf message `Event`
// (https://github.com/tensorflow/tensorboard, compat/proto/event.proto and summary.proto).
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>

namespace thalweg {

/// CRC-32C (Castagnoli; RFC 3720, appendix B.4), and TFRecord's mask of it: rotated right by 15, plus 0xa282ead8.
std::uint32_t crc32c(std::string_view bytes);
std::uint32_t masked_crc32c(std::string_view bytes);

/// The record that holds these bytes.
std::string event_record(std::string_view bytes);
/// An Event that names the file's version; every file begins with it.
std::string version_event(double wall_time);
/// An Event with one number, as f32.
std::string scalar_event(double wall_time, std::int64_t step, std::string_view tag, double value);
/// An Event with the distribution of the numbers: their range in `bins` equal parts; what is not finite is left out.
std::string histogram_event(double wall_time, std::int64_t step, std::string_view tag, std::span<const double> numbers,
                            int bins = 30);

}  // namespace thalweg
