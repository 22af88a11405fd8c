// SPDX-License-Identifier: Apache-2.0
// Zip archives of arrays (PKWARE's APPNOTE 6.3, as far as numpy uses it).
#include <algorithm>
#include <cstdint>
#include <string_view>
#include <vector>

#include "thalweg/graph/fail.h"
#include "thalweg/lib/base/bytes.h"
#include "thalweg/lib/base/file.h"
#include "thalweg/lib/io/checksum.h"
#include "thalweg/lib/io/npy.h"
#include "thalweg/lib/io/npy_format.h"

namespace thalweg {
namespace {

constexpr std::uint32_t local_mark = 0x04034b50, central_mark = 0x02014b50, end_mark = 0x06054b50;
constexpr std::size_t local_bytes = 30, end_bytes = 22, longest_comment = 0xffff;
constexpr std::uint32_t in_zip64 = 0xffffffff;
constexpr std::string_view suffix = ".npy";

struct Entry {
  std::string name;
  std::uint16_t method = 0;
  std::uint32_t crc = 0;
  std::uint32_t packed = 0, size = 0;
  std::uint32_t offset = 0;  ///< of its local header
};

class Archive {
 public:
  Archive(std::span<const std::byte> bytes, const std::string& path) : bytes_(bytes), path_(path) {}

  std::map<std::string, Tensor> run() {
    std::vector<Entry> entries = directory();
    std::sort(entries.begin(), entries.end(), [](const Entry& a, const Entry& b) { return a.offset < b.offset; });
    std::map<std::string, Tensor> tensors;
    std::uint64_t end = 0, total = 0;
    for (const Entry& e : entries) {
      total += e.size;
      if (total > largest_file) entry_error(e, fmt::format("more than {} bytes in all", largest_file));
    }
    for (const Entry& e : entries) {
      if (e.offset < end) entry_error(e, "its bytes overlap those of the entry before");
      const std::span<const std::byte> packed = packed_bytes(e, end);
      const std::string source = fmt::format("{}: {}", path_, shown(e.name));
      const std::vector<std::byte> inflated =
          e.method == 0 ? std::vector<std::byte>{} : inflate_raw(packed, e.size, source);
      const std::span<const std::byte> content = e.method == 0 ? packed : std::span<const std::byte>(inflated);
      if (const std::uint32_t crc = crc32_of(content); crc != e.crc)
        entry_error(e, fmt::format("its data has CRC {}, and {} was written", crc32_text(crc), crc32_text(e.crc)));
      if (!tensors.emplace(e.name.substr(0, e.name.size() - suffix.size()), parse_npy(content, source)).second)
        entry_error(e, "comes twice");
    }
    return tensors;
  }

 private:
  [[noreturn]] void entry_error(const Entry& entry, std::string_view what) const {
    run_error("{}: {}: {}", shown(path_), shown(entry.name), what);
  }

  /// Where the end record begins; a comment may follow it.
  std::size_t find_end() const {
    if (bytes_.size() >= end_bytes) {
      const std::size_t last = bytes_.size() - end_bytes;
      for (std::size_t comment = 0; comment <= std::min(last, longest_comment); ++comment) {
        ByteReader in(bytes_.subspan(last - comment), path_);
        if (in.little_endian<std::uint32_t>("a mark") != end_mark) continue;
        in.take(end_bytes - 6, "the end record");
        if (in.little_endian<std::uint16_t>("the comment's length") == comment) return last - comment;
      }
    }
    run_error("{}: is not a zip archive, or is cut off: it has no end record", shown(path_));
  }

  std::vector<Entry> directory() {
    const std::size_t end = find_end();
    ByteReader in(bytes_.subspan(end), path_);
    in.take(4, "the mark");
    const auto disk = in.little_endian<std::uint16_t>("the disk's number");
    const auto first_disk = in.little_endian<std::uint16_t>("the disk's number");
    const auto here = in.little_endian<std::uint16_t>("the number of entries");
    const auto count = in.little_endian<std::uint16_t>("the number of entries");
    const auto size = in.little_endian<std::uint32_t>("the directory's size");
    const auto offset = in.little_endian<std::uint32_t>("the directory's offset");
    if (count == 0xffff || size == in_zip64 || offset == in_zip64)
      run_error("{}: archives of 4 GiB or 65,535 entries (zip64) are not read", shown(path_));
    if (disk != 0 || first_disk != 0 || here != count) run_error("{}: is a part of an archive", shown(path_));
    if (std::uint64_t{offset} + size != end)
      run_error("{}: the directory takes {} bytes from {} on, and the end record stands at {}", shown(path_), size,
                offset, end);
    directory_begin_ = offset;
    ByteReader list(bytes_.subspan(offset, size), path_ + ": directory");
    std::vector<Entry> entries;
    for (unsigned i = 0; i < count; ++i) entries.push_back(entry(list));
    if (list.remaining() != 0) run_error("{}: {} bytes follow the last entry", shown(path_), list.remaining());
    return entries;
  }

  Entry entry(ByteReader& in) const {
    if (in.little_endian<std::uint32_t>("an entry") != central_mark)
      run_error("{}: directory: no entry begins where one must", shown(path_));
    Entry e;
    in.take(4, "versions");
    const auto flags = in.little_endian<std::uint16_t>("flags");
    e.method = in.little_endian<std::uint16_t>("the method");
    in.take(4, "the time");
    e.crc = in.little_endian<std::uint32_t>("the CRC");
    e.packed = in.little_endian<std::uint32_t>("the packed size");
    e.size = in.little_endian<std::uint32_t>("the size");
    const auto name = in.little_endian<std::uint16_t>("the name's length");
    const auto extra = in.little_endian<std::uint16_t>("the extra field's length");
    const auto comment = in.little_endian<std::uint16_t>("the comment's length");
    in.take(8, "attributes");
    e.offset = in.little_endian<std::uint32_t>("the offset");
    e.name = text_of(in.take(name, "the name"));
    in.take(std::uint64_t{extra} + comment, "extra field and comment");
    if ((flags & 0x2041) != 0) entry_error(e, "is encrypted");
    if (e.method != 0 && e.method != 8) entry_error(e, fmt::format("is packed by method {}, not 0 or 8", e.method));
    if (!e.name.ends_with(suffix) || e.name.size() == suffix.size()) entry_error(e, "is not called `<name>.npy`");
    if (e.packed == in_zip64 || e.size == in_zip64 || e.offset == in_zip64)
      entry_error(e, "has 4 GiB or more (zip64), which is not read");
    if (e.method == 0 && e.packed != e.size) entry_error(e, "is not packed, and has two sizes");
    return e;
  }

  /// The entry's bytes behind its local header; `end` gets where they end.
  std::span<const std::byte> packed_bytes(const Entry& e, std::uint64_t& end) const {
    if (e.offset > directory_begin_) entry_error(e, "lies outside the archive");
    ByteReader in(bytes_.subspan(e.offset, directory_begin_ - e.offset), fmt::format("{}: {}", path_, shown(e.name)));
    if (in.little_endian<std::uint32_t>("its header") != local_mark) entry_error(e, "no header stands at its offset");
    in.take(4, "its version and flags");
    if (in.little_endian<std::uint16_t>("its method") != e.method) entry_error(e, "header and directory differ");
    in.take(local_bytes - 14, "its header");
    const auto name = in.little_endian<std::uint16_t>("its name's length");
    const auto extra = in.little_endian<std::uint16_t>("its extra field's length");
    if (text_of(in.take(name, "its name")) != e.name) entry_error(e, "has another name in its header");
    in.take(extra, "its extra field");
    const auto packed = in.take(e.packed, "its data");
    end = e.offset + in.offset();
    return packed;
  }

  std::span<const std::byte> bytes_;
  const std::string& path_;
  std::size_t directory_begin_ = 0;
};

/// Appends little-endian numbers.
struct Bytes {
  std::string text;
  Bytes& u16(std::uint64_t x) { return number(x, 2); }
  Bytes& u32(std::uint64_t x) { return number(x, 4); }
  Bytes& number(std::uint64_t x, int bytes) {
    for (int i = 0; i < bytes; ++i) text += static_cast<char>((x >> (8 * i)) & 0xff);
    return *this;
  }
};

constexpr std::uint16_t version_needed = 20;
constexpr std::uint32_t no_time = 0x00210000;  // 1980-01-01: the same tensors give the same bytes

}  // namespace

std::map<std::string, Tensor> parse_npz(std::span<const std::byte> bytes, const std::string& path) {
  return Archive(bytes, path).run();
}

std::map<std::string, Tensor> read_npz(const std::string& path) {
  return within_memory(path, [&] { return parse_npz(read_file(path), path); });
}

void write_npz(const std::map<std::string, Tensor>& tensors, const std::string& path) {
  std::vector<std::string> headers;  // kept alive until they are written
  headers.reserve(2 * tensors.size());
  std::vector<std::span<const std::byte>> parts;
  Bytes directory;
  std::uint64_t offset = 0;
  if (tensors.size() >= 0xffff) run_error("{}: {} arrays are too many for an archive", shown(path), tensors.size());
  for (const auto& [key, tensor] : tensors) {
    const std::string name = key + std::string(suffix);
    if (key.empty() || name.size() > 4096) run_error("{}: `{}` cannot be an array's name", shown(path), shown(key));
    headers.push_back(npy_header(tensor, path));
    const std::string& array = headers.back();
    const std::span<const std::byte> data{static_cast<const std::byte*>(tensor.data()), tensor.bytes()};
    const std::uint64_t size = array.size() + data.size();
    const std::uint32_t crc = crc32_joined(crc32_of(bytes_of(array)), crc32_of(data), data.size());
    Bytes facts;
    facts.u16(0).u16(0).u32(no_time).u32(crc).u32(size).u32(size).u16(name.size()).u16(0);
    Bytes local;
    local.u32(local_mark).u16(version_needed).text += facts.text + name;
    directory.u32(central_mark).u16(version_needed).u16(version_needed).text += facts.text;
    directory.u16(0).u16(0).u16(0).u32(0).u32(offset).text += name;
    headers.push_back(std::move(local.text));
    parts.insert(parts.end(), {bytes_of(headers.back()), bytes_of(array), data});
    offset += headers.back().size() + size;
    if (offset >= in_zip64) run_error("{}: archives of 4 GiB or more are not written", shown(path));
  }
  const std::size_t directory_size = directory.text.size();
  directory.u32(end_mark).u16(0).u16(0).u16(tensors.size()).u16(tensors.size()).u32(directory_size).u32(offset).u16(0);
  parts.push_back(bytes_of(directory.text));
  write_file(path, parts);
}

}  // namespace thalweg
