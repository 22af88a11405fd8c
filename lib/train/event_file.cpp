// SPDX-License-Identifier: Apache-2.0
#include "thalweg/lib/train/event_file.h"

#include <algorithm>
#include <array>
#include <bit>
#include <cmath>
#include <limits>
#include <vector>

namespace thalweg {
namespace {

constexpr std::array<std::uint32_t, 256> crc_table = [] {
  std::array<std::uint32_t, 256> table{};
  for (std::uint32_t byte = 0; byte < 256; ++byte) {
    std::uint32_t crc = byte;
    for (int bit = 0; bit < 8; ++bit) crc = (crc >> 1) ^ (crc & 1 ? 0x82F63B78u : 0);
    table[byte] = crc;
  }
  return table;
}();

template <class T>
void add_little_endian(std::string& to, T number) {
  for (std::size_t i = 0; i < sizeof(T); ++i) to += static_cast<char>((number >> (8 * i)) & 0xff);
}

/// A protobuf message, written field by field.
class Message {
 public:
  Message& varint(int field, std::int64_t number) { return key(field, 0).raw_varint(static_cast<std::uint64_t>(number)); }
  Message& real(int field, double number) {
    key(field, 1);
    add_little_endian(bytes_, std::bit_cast<std::uint64_t>(number));
    return *this;
  }
  Message& single(int field, float number) {
    key(field, 5);
    add_little_endian(bytes_, std::bit_cast<std::uint32_t>(number));
    return *this;
  }
  Message& bytes(int field, std::string_view text) {
    key(field, 2).raw_varint(text.size());
    bytes_ += text;
    return *this;
  }
  Message& packed(int field, std::span<const double> numbers) {
    key(field, 2).raw_varint(8 * numbers.size());
    for (const double number : numbers) add_little_endian(bytes_, std::bit_cast<std::uint64_t>(number));
    return *this;
  }
  const std::string& text() const { return bytes_; }

 private:
  Message& key(int field, int wire) { return raw_varint(static_cast<std::uint64_t>(field * 8 + wire)); }
  Message& raw_varint(std::uint64_t number) {
    for (; number >= 0x80; number >>= 7) bytes_ += static_cast<char>(number | 0x80);
    bytes_ += static_cast<char>(number);
    return *this;
  }
  std::string bytes_;
};

/// Event {wall_time = 1, step = 2, summary = 5 {value = 1}}.
std::string summary_event(double wall_time, std::int64_t step, const Message& value) {
  return Message().real(1, wall_time).varint(2, step).bytes(5, Message().bytes(1, value.text()).text()).text();
}

}  // namespace

std::uint32_t crc32c(std::string_view bytes) {
  std::uint32_t crc = 0xFFFFFFFF;
  for (const char c : bytes) crc = (crc >> 8) ^ crc_table[(crc ^ static_cast<unsigned char>(c)) & 0xff];
  return ~crc;
}

std::uint32_t masked_crc32c(std::string_view bytes) { return std::rotr(crc32c(bytes), 15) + 0xA282EAD8u; }

std::string event_record(std::string_view bytes) {
  std::string record;
  add_little_endian(record, static_cast<std::uint64_t>(bytes.size()));
  add_little_endian(record, masked_crc32c(record));
  record += bytes;
  add_little_endian(record, masked_crc32c(bytes));
  return record;
}

std::string version_event(double wall_time) {
  return Message().real(1, wall_time).bytes(3, "brain.Event:2").text();
}

std::string scalar_event(double wall_time, std::int64_t step, std::string_view tag, double value) {
  return summary_event(wall_time, step, Message().bytes(1, tag).single(2, static_cast<float>(value)));
}

std::string histogram_event(double wall_time, std::int64_t step, std::string_view tag, std::span<const double> numbers,
                            int bins) {
  double low = std::numeric_limits<double>::infinity(), high = -low, sum = 0, squares = 0, count = 0;
  for (const double x : numbers) {
    if (!std::isfinite(x)) continue;
    low = std::min(low, x);
    high = std::max(high, x);
    sum += x;
    squares += x * x;
    ++count;
  }
  std::vector<double> limits, counts;
  if (count == 0) low = high = 0;
  // The parts are measured in shares of the range, which itself may be larger than a double holds.
  const auto place = [&](double x) { return (x / 2 - low / 2) / (high / 2 - low / 2); };
  const int parts = low < high ? bins : 1;
  counts.resize(static_cast<std::size_t>(parts));
  for (int i = 1; i < parts; ++i) {
    const double share = static_cast<double>(i) / parts;
    limits.push_back(low * (1 - share) + high * share);
  }
  limits.push_back(high);
  for (const double x : numbers) {
    if (!std::isfinite(x)) continue;
    const int part = parts == 1 ? 0 : std::min(parts - 1, static_cast<int>(place(x) * parts));
    ++counts[static_cast<std::size_t>(part)];
  }
  const Message histogram = Message().real(1, low).real(2, high).real(3, count).real(4, sum).real(5, squares)
                                .packed(6, limits).packed(7, counts);
  return summary_event(wall_time, step, Message().bytes(1, tag).bytes(5, histogram.text()));
}

}  // namespace thalweg
