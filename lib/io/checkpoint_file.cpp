// SPDX-License-Identifier: Apache-2.0
#include "thalweg/lib/io/checkpoint_file.h"

#include <algorithm>
#include <charconv>
#include <string_view>

#include "thalweg/graph/fail.h"
#include "thalweg/lib/base/bytes.h"
#include "thalweg/lib/io/checksum.h"
#include "thalweg/lib/io/safetensors_format.h"

namespace thalweg {
namespace {

constexpr std::string_view no_digest = "00000000";
constexpr std::string_view name_begin = "checkpoint-";
constexpr std::string_view name_end = ".safetensors";
constexpr std::string_view lock_name = "lock";

std::span<const std::byte> bytes_in(const Tensor& tensor) {
  return {static_cast<const std::byte*>(tensor.data()), tensor.bytes()};
}

std::string digest_of(const Tensor& tensor) { return crc32_text(crc32_of(bytes_in(tensor))); }
std::string digest_line(const std::string& name, const std::string& digest) { return fmt::format("{} {}\n", name, digest); }

/// The content as a file will hold it, but for the file's own digest; digest(tensor) is each tensor's.
template <class F>
SafetensorsImage image_with_digests(const Safetensors& content, const std::string& path, F digest) {
  std::string lines;
  for (const auto& [name, tensor] : content.tensors) lines += digest_line(name, digest(tensor));
  Safetensors signed_content = content;  // tensors share their bytes
  signed_content.metadata[std::string(tensor_digests_key)] = lines;
  signed_content.metadata[std::string(file_digest_key)] = no_digest;
  return image_of(signed_content, path);
}

/// Where the file's digest stands in a header, in bytes; npos if nowhere. No key comes twice.
std::size_t digest_place(std::string_view header) {
  const std::string before = fmt::format("\"{}\":\"", file_digest_key);
  std::size_t place = header.find(before);
  // At the end of a longer key its quote is escaped.
  while (place != header.npos && header[place - 1] == '\\') place = header.find(before, place + 1);
  if (place == header.npos) return header.npos;
  const std::size_t begin = place + before.size();
  return begin + no_digest.size() < header.size() && header[begin + no_digest.size()] == '"' ? begin : header.npos;
}

/// The tensor whose bytes are not those that were written, if there is one. Names and lines stand in the same order.
std::optional<std::string> damaged_tensor(const Safetensors& content, std::string_view written) {
  for (const auto& [name, tensor] : content.tensors) {
    const std::string line = digest_line(name, digest_of(tensor));
    if (!written.starts_with(line)) return name;
    written.remove_prefix(line.size());
  }
  if (!written.empty()) return std::string(written.substr(0, written.find(' ')));  // it has gone
  return {};
}

/// 42 of `checkpoint-000042.safetensors`.
std::optional<std::uint64_t> number_of(std::string_view name) {
  if (!name.starts_with(name_begin) || !name.ends_with(name_end)) return {};
  const std::string_view digits =
      name.substr(name_begin.size(), name.size() - std::min(name.size(), name_begin.size() + name_end.size()));
  std::uint64_t number = 0;
  const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), number);
  if (digits.empty() || error != std::errc() || end != digits.data() + digits.size() || number == 0 ||
      number >= std::uint64_t{1} << 62)
    return {};
  return number;
}

}  // namespace

void write_checkpoint(const Safetensors& content, const std::string& path) {
  SafetensorsImage image = image_with_digests(content, path, digest_of);
  std::uint32_t crc = crc32_of(image.length);
  crc = crc32_joined(crc, crc32_of(bytes_of(image.header)), image.header.size());
  for (const auto& part : image.data) crc = crc32_joined(crc, crc32_of(part), part.size());
  image.header.replace(digest_place(image.header), no_digest.size(), crc32_text(crc));
  write_file(path, image.parts());
}

void check_checkpoint(const Safetensors& content, const std::string& path) {
  image_with_digests(content, path, [](const Tensor&) { return std::string(no_digest); });
}

Safetensors read_checkpoint(const std::string& path) {
  return within_memory(path, [&] { return parse_checkpoint(read_file(path, largest_tensor_file()), path); });
}

Safetensors parse_checkpoint(std::span<const std::byte> bytes, const std::string& path) {
  const std::string_view text = text_of(bytes);
  Safetensors content = parse_safetensors(bytes, path);
  const auto digests = content.metadata.extract(std::string(tensor_digests_key));
  const std::size_t place = digest_place(text.substr(0, header_end(bytes, path)));
  if (digests.empty() || place == text.npos) run_error("{}: is not a checkpoint: it has no digests", shown(path));
  std::uint32_t crc = crc32_of(bytes_of(text.substr(0, place)));
  crc = crc32_joined(crc, crc32_of(bytes_of(no_digest)), no_digest.size());
  const std::string_view rest = text.substr(place + no_digest.size());
  crc = crc32_joined(crc, crc32_of(bytes_of(rest)), rest.size());
  if (const std::string found = crc32_text(crc); found != text.substr(place, no_digest.size())) {
    if (const auto name = damaged_tensor(content, digests.mapped()))
      run_error("{}: tensor '{}' is damaged: its bytes do not have the digest that was written", shown(path),
                shown(*name));
    run_error("{}: it is damaged: the file has digest {}, and {} was written", shown(path), found,
              shown(text.substr(place, no_digest.size())));
  }
  if (const auto name = damaged_tensor(content, digests.mapped()))
    run_error("{}: tensor '{}' does not have the digest that was written", shown(path), shown(*name));
  content.metadata.erase(std::string(file_digest_key));
  return content;
}

CheckpointFolder::CheckpointFolder(const std::string& folder)
    : folder_((make_folder(folder), folder)), lock_(locked_file(folder_ + "/" + std::string(lock_name))) {
  for (const std::string& name : list_folder(folder_)) {
    if (const auto number = number_of(name)) numbers_.push_back(*number);
    else if (name.starts_with(name_begin) && name.ends_with(temporary_suffix)) remove_file(folder_ + "/" + name);
  }
  std::sort(numbers_.begin(), numbers_.end());
  if (!numbers_.empty()) next_ = numbers_.back() + 1;
}

std::string CheckpointFolder::path_of(std::uint64_t number) const {
  return fmt::format("{}/{}{:06}{}", folder_, name_begin, number, name_end);
}

std::optional<CheckpointFolder::Found> CheckpointFolder::newest(std::vector<std::string>& damaged) {
  while (!numbers_.empty()) {
    const std::string path = path_of(numbers_.back());
    bool was_read = false;
    try {
      const std::vector<std::byte> bytes = read_file(path, largest_tensor_file());
      was_read = true;
      return Found{path, parse_checkpoint(bytes, path)};
    } catch (const OutOfMemory&) {
      throw;
    } catch (const RunError& error) {
      damaged.emplace_back(error.what());
      // What could not be read today may be whole tomorrow: save() leaves it where it is.
      if (was_read) damaged_.push_back(numbers_.back());
      numbers_.pop_back();
    }
  }
  if (damaged.empty()) return {};
  run_error("{}: none of its {} checkpoints is whole\n    {}", shown(folder_), damaged.size(),
            fmt::join(damaged, "\n    "));
}

std::string CheckpointFolder::save(const Safetensors& content, int keep) {
  const std::string path = path_of(next_);
  write_checkpoint(content, path);
  numbers_.push_back(next_++);
  // The new one is on the disk: what is older may go, and what cannot be removed harms nobody.
  const std::size_t most = static_cast<std::size_t>(std::max(keep, 1));
  std::vector<std::uint64_t> old = std::move(damaged_);
  damaged_.clear();
  if (numbers_.size() > most) {
    const auto end = numbers_.end() - static_cast<std::ptrdiff_t>(most);
    old.insert(old.end(), numbers_.begin(), end);
    numbers_.erase(numbers_.begin(), end);
  }
  for (const std::uint64_t number : old) try_remove_file(path_of(number));
  return path;
}

}  // namespace thalweg
