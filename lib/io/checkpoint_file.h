// SPDX-License-Identifier: Apache-2.0
// Private: safetensors files that know when they are damaged, and a folder of them of which the newest good one counts.
#pragma once

#include <cstdint>
#include <cstddef>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "thalweg/lib/base/file.h"
#include "thalweg/lib/io/safetensors.h"

namespace thalweg {

/// Metadata keys that a checkpoint's digests stand under: a CRC-32 for each tensor's bytes (`name crc`, a line each),
/// and one over the whole file with its own eight digits as zeros.
inline constexpr std::string_view tensor_digests_key = "thalweg.crc32.tensors";
inline constexpr std::string_view file_digest_key = "thalweg.crc32.file";
/// Metadata key that says that a file is a checkpoint, and of which format.
inline constexpr std::string_view checkpoint_key = "thalweg.checkpoint";
inline constexpr std::string_view checkpoint_format = "2";
/// Tensors of a checkpoint that are no variables have one of these in their names; no variable has.
inline constexpr char checkpoint_mark = ':';

/// Writes the content, and the digests in its metadata, completely or not at all. Throws RunError.
void write_checkpoint(const Safetensors& content, const std::string& path);
/// Throws RunError where write_checkpoint would for what the content is; nothing is written, and no tensor is read.
void check_checkpoint(const Safetensors& content, const std::string& path);
/// Reads what write_checkpoint wrote. Throws RunError for any other file, naming the tensor that is damaged if it is
/// one. The content's metadata holds no digests.
Safetensors read_checkpoint(const std::string& path);
/// The same of a file's bytes; messages name `path`.
Safetensors parse_checkpoint(std::span<const std::byte> bytes, const std::string& path);

/// A folder of checkpoints `checkpoint-000042.safetensors`, held by one process at a time.
class CheckpointFolder {
 public:
  /// Makes the folder if needed, locks it, and removes what an interrupted write left in it. Throws RunError, also if
  /// another process has the folder or it cannot be written.
  explicit CheckpointFolder(const std::string& folder);

  struct Found {
    std::string path;
    Safetensors content;
  };
  /// The newest checkpoint that can be read and is whole. `damaged` gets why each newer one is not. Nothing if there is
  /// no checkpoint; throws RunError if there are some, and none is whole.
  std::optional<Found> newest(std::vector<std::string>& damaged);
  bool empty() const { return numbers_.empty(); }
  const std::string& path() const { return folder_; }

  /// Writes the next checkpoint, and removes what newest() found damaged and all but the last `keep` (at least 1) whole
  /// ones. Returns its path.
  /// Throws RunError; those that were there are then still there.
  std::string save(const Safetensors& content, int keep);

 private:
  std::string path_of(std::uint64_t number) const;
  std::string folder_;
  Descriptor lock_;
  std::vector<std::uint64_t> numbers_;  ///< ascending, without those that newest() passed over
  std::vector<std::uint64_t> damaged_;
  std::uint64_t next_ = 1;
};

}  // namespace thalweg
