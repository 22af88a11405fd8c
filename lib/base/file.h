// SPDX-License-Identifier: Apache-2.0
// Private: whole files in and out.
#pragma once

#include <cstddef>
#include <cstdint>
#include <initializer_list>
#include <new>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "thalweg/graph/export.h"
#include "thalweg/lib/base/memory.h"

namespace thalweg {

/// Owns a file descriptor; a negative one is none.
class Descriptor {
 public:
  explicit Descriptor(int number) : number_(number) {}
  ~Descriptor();
  Descriptor(Descriptor&& other) noexcept;
  Descriptor(const Descriptor&) = delete;
  Descriptor& operator=(const Descriptor&) = delete;
  int get() const { return number_; }
  /// Closes now, to hear of an error that the system kept for this moment (quota, network disks).
  int close();

 private:
  int number_;
};

/// What a reader takes at most, before and after inflating.
inline constexpr std::uint64_t largest_file = std::uint64_t{8} << 30;
/// What a file of tensors may hold: models that we write ourselves are as large as they are, so that here it is half of
/// the memory there is (for the file and its tensors), where that is more.
std::uint64_t largest_tensor_file();
/// From this many bytes on, inflated data may be at most `largest_ratio` times the compressed: data that someone
/// measured stays far below, while deflate itself reaches 1032.
inline constexpr std::uint64_t ratio_free = std::uint64_t{4} << 20;
inline constexpr std::uint64_t largest_ratio = 300;

/// The bytes of a regular file. Throws RunError with the path, what was tried and the system's reason; also for
/// anything but a regular file, and for more than `limit` bytes.
THALWEG_API std::vector<std::byte> read_file(const std::string& path, std::uint64_t limit = largest_file);

/// Throws OutOfMemory: memory has ended while `path` was read.
[[noreturn]] void no_memory_for(const std::string& path);
/// What `read` gives; where memory ends within it, the RunError names `path`.
template <class F>
auto within_memory(const std::string& path, F&& read) {
  try {
    return read();
  } catch (const std::bad_alloc&) {
    no_memory_for(path);
  } catch (const OutOfMemory&) {
    no_memory_for(path);
  }
}

/// Whether the bytes begin as gzip does.
THALWEG_API bool is_gzip(std::span<const std::byte> bytes);
/// Inflates gzip data of one or more members, checking each one's CRC and size. Throws RunError naming `source` for
/// anything cut off, damaged, followed by other bytes, larger than `limit`, or blown up beyond `largest_ratio`.
THALWEG_API std::vector<std::byte> gunzip(std::span<const std::byte> bytes, const std::string& source,
                                          std::uint64_t limit = largest_file);
/// Inflates deflated data without a header that must give exactly `size` bytes. Throws RunError naming `source` for
/// anything else, and before it takes memory for a size that such data cannot give.
std::vector<std::byte> inflate_raw(std::span<const std::byte> bytes, std::uint64_t size, const std::string& source);
/// read_file(), inflated if it is gzip.
THALWEG_API std::vector<std::byte> read_maybe_gzip(const std::string& path, std::uint64_t limit = largest_file);

/// Makes or replaces a file by the parts, one after another: at every moment the path holds the old content or the
/// whole new one. The bytes are on the disk when it returns. Throws RunError; the old file is then untouched.
THALWEG_API void write_file(const std::string& path, std::span<const std::span<const std::byte>> parts);
THALWEG_API void write_file(const std::string& path, std::string_view text);

/// Files under construction end so: `weights.safetensors.812-0.tmp`.
inline constexpr std::string_view temporary_suffix = ".tmp";

/// Makes the folder and those above it, unless they are there. Throws RunError.
void make_folder(const std::string& path);
/// Whether the path leads to anything; whether it leads to a folder. Throws RunError where that cannot be told.
bool is_there(const std::string& path);
bool is_folder(const std::string& path);
/// The names in a folder, sorted. Throws RunError.
std::vector<std::string> list_folder(const std::string& path);
/// Removes a file, if it is there. Throws RunError.
void remove_file(const std::string& path);
/// The same where it does not matter whether it works.
void try_remove_file(const std::string& path);
/// Opens a file, made if needed, and takes its lock for as long as the descriptor lives. Throws RunError, also if
/// another process has the lock, naming it.
Descriptor locked_file(const std::string& path);
/// Puts what was made, renamed and removed in a folder on the disk. Throws RunError.
void sync_folder(const std::string& folder);

}  // namespace thalweg
