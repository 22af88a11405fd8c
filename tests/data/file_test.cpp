// SPDX-License-Identifier: Apache-2.0
#include "thalweg/lib/base/file.h"

#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>
#include <zlib.h>

#include <array>
#include <csignal>

#include "files.h"
#include "thalweg/lib/base/bytes.h"

namespace thalweg {
namespace {

using testing::content_of;
using testing::Folder;
using testing::run_error_of;

std::string gzip(const std::string& text) {
  z_stream z{};
  deflateInit2(&z, 9, Z_DEFLATED, MAX_WBITS + 16, 8, Z_DEFAULT_STRATEGY);
  std::string out(deflateBound(&z, text.size()) + 64, '\0');
  z.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(text.data()));
  z.avail_in = static_cast<uInt>(text.size());
  z.next_out = reinterpret_cast<Bytef*>(out.data());
  z.avail_out = static_cast<uInt>(out.size());
  EXPECT_EQ(deflate(&z, Z_FINISH), Z_STREAM_END);
  out.resize(out.size() - z.avail_out);
  deflateEnd(&z);
  return out;
}

std::string inflated(const std::string& packed, std::uint64_t limit = largest_file) {
  const auto bytes = gunzip(bytes_of(packed), "packed", limit);
  return std::string(text_of(bytes));
}

TEST(Gunzip, ReadsOneAndSeveralMembers) {
  EXPECT_EQ(inflated(gzip("thalweg")), "thalweg");
  EXPECT_EQ(inflated(gzip("")), "");
  EXPECT_EQ(inflated(gzip("a valley") + gzip("") + gzip("'s line")), "a valley's line");
  std::string large;
  for (std::int64_t i = 0; i < 400000; ++i) large += std::to_string(i * 7919 % 100003);
  EXPECT_EQ(inflated(gzip(large)), large);
}

TEST(Gunzip, RefusesEveryTruncation) {
  const std::string packed = gzip("the line of steepest descent along a valley");
  for (std::size_t n = 0; n < packed.size(); ++n)
    EXPECT_THROW(inflated(packed.substr(0, n)), RunError) << n << " of " << packed.size() << " bytes";
}

TEST(Gunzip, RefusesEveryTruncationOfMoreThanOneChunk) {
  // Cut where a chunk of the result is full, the data ends while zlib still has some to give.
  const std::string packed = gzip(std::string(600'000, '\0'));
  for (std::size_t n = 2; n < packed.size(); ++n)
    EXPECT_EQ(run_error_of([&] { inflated(packed.substr(0, n)); }),
              "packed: the gzip data is cut off after " + std::to_string(n) + " bytes");
}

TEST(InflateRaw, RefusesEveryTruncation) {
  const std::string text = "the line of steepest descent along a valley", packed = gzip(text);
  const std::string raw = packed.substr(10, packed.size() - 18);  // without gzip's header, CRC and size
  EXPECT_EQ(text_of(inflate_raw(bytes_of(raw), text.size(), "raw")), text);
  for (std::size_t n = 0; n < raw.size(); ++n)
    EXPECT_EQ(run_error_of([&] { inflate_raw(bytes_of(raw.substr(0, n)), text.size(), "raw"); }),
              "raw: the deflate data is cut off after " + std::to_string(n) + " bytes");
}

TEST(Gunzip, RefusesDamage) {
  const std::string text = "the line of steepest descent along a valley";
  const std::string packed = gzip(text);
  // Header bytes 3 to 9 (flags, time, compressor, system) and the bits that fill up the last byte of the compressed
  // data, before CRC and size, say nothing about the content.
  for (std::size_t bit = 0; bit < 8 * packed.size(); ++bit) {
    std::string damaged = packed;
    damaged[bit / 8] = static_cast<char>(damaged[bit / 8] ^ (1 << (bit % 8)));
    try {
      EXPECT_EQ(inflated(damaged), text) << "bit " << bit;
      EXPECT_TRUE((bit / 8 >= 3 && bit / 8 < 10) || bit / 8 == packed.size() - 9) << "bit " << bit << " went unnoticed";
    } catch (const RunError&) {
    }
  }
  std::string wrong_crc = packed;
  wrong_crc[packed.size() - 8] = static_cast<char>(~wrong_crc[packed.size() - 8]);
  EXPECT_CONTAINS(run_error_of([&] { inflated(wrong_crc); }), "incorrect data check");
  std::string wrong_size = packed;
  wrong_size.back() = 1;
  EXPECT_CONTAINS(run_error_of([&] { inflated(wrong_size); }), "incorrect length check");
  EXPECT_CONTAINS(run_error_of([&] { inflated(packed + "garbage"); }), "follow the gzip data");
  EXPECT_CONTAINS(run_error_of([&] { inflated("no gzip"); }), "stand at the beginning");
  EXPECT_CONTAINS(run_error_of([&] { inflated(""); }), "is empty");
}

TEST(Gunzip, RefusesBombsEarly) {
  const std::string bomb = gzip(std::string(std::size_t{64} << 20, '\0'));
  EXPECT_CONTAINS(run_error_of([&] { inflated(bomb); }), "300 times");
  EXPECT_CONTAINS(run_error_of([&] { inflated(gzip(std::string(10000, 'x')), 9999); }), "limit of 9999");
  // Small things may be as uniform as they like.
  EXPECT_EQ(inflated(gzip(std::string(1 << 20, '\0'))).size(), std::size_t{1} << 20);
}

TEST(ReadFile, NamesWhatIsWrong) {
  const Folder folder;
  EXPECT_CONTAINS(run_error_of([&] { read_file(folder.file("none")); }), "cannot open: No such file or directory");
  EXPECT_CONTAINS(run_error_of([&] { read_file(folder.path()); }), "is a directory");
  EXPECT_CONTAINS(run_error_of([&] { read_file("/dev/null"); }), "not a regular file");
  ASSERT_EQ(mkfifo(folder.file("pipe").c_str(), 0600), 0);
  EXPECT_CONTAINS(run_error_of([&] { read_file(folder.file("pipe")); }), "not a regular file");
  const std::string path = folder.write("ten", "0123456789");
  EXPECT_EQ(text_of(read_file(path)), "0123456789");
  EXPECT_CONTAINS(run_error_of([&] { read_file(path, 9); }), "10 bytes are more than the limit of 9");
  EXPECT_TRUE(read_file(folder.write("empty", "")).empty());
}

TEST(WriteFile, ReplacesWholeAndLeavesNothingElse) {
  const Folder folder;
  const std::string path = folder.file("out");
  write_file(path, "first");
  EXPECT_EQ(content_of(path), "first");
  ASSERT_EQ(chmod(path.c_str(), 0640), 0);
  const std::array parts{bytes_of("sec"), bytes_of(""), bytes_of("ond")};
  write_file(path, parts);
  EXPECT_EQ(content_of(path), "second");
  struct stat status {};
  ASSERT_EQ(stat(path.c_str(), &status), 0);
  EXPECT_EQ(status.st_mode & 0777u, 0640u);
  EXPECT_EQ(folder.files(), 1u);
}

TEST(WriteFile, FailsWithoutATrace) {
  const Folder folder;
  EXPECT_CONTAINS(run_error_of([&] { write_file(folder.file("no/out"), "x"); }), "No such file or directory");
  EXPECT_CONTAINS(run_error_of([&] { write_file(folder.path(), "x"); }), "is a directory");
  EXPECT_CONTAINS(run_error_of([&] { write_file("/dev/full", "x"); }), "not a regular file");
  EXPECT_THROW(write_file("", "x"), RunError);
  EXPECT_EQ(folder.files(), 0u);
}

TEST(WriteFile, FullDiskKeepsTheOldFile) {
  const Folder folder;
  const std::string path = folder.write("out", "old");
  // A limit on file sizes stands in for a disk that fills up in the middle of writing.
  rlimit before{};
  getrlimit(RLIMIT_FSIZE, &before);
  const auto handler = std::signal(SIGXFSZ, SIG_IGN);
  const rlimit small{4096, before.rlim_max};
  setrlimit(RLIMIT_FSIZE, &small);
  const std::string message = run_error_of([&] { write_file(path, std::string(10000, 'x')); });
  setrlimit(RLIMIT_FSIZE, &before);
  std::signal(SIGXFSZ, handler);
  EXPECT_CONTAINS(message, "cannot write: File too large");
  EXPECT_EQ(content_of(path), "old");
  EXPECT_EQ(folder.files(), 1u);
}

TEST(ByteReader, ReadsBothOrdersAndNeverBeyond) {
  const std::string text("\x01\x02\x03\x04\x05", 5);
  ByteReader in(bytes_of(text), "five");
  EXPECT_EQ(in.big_endian<std::uint16_t>("a"), 0x0102);
  EXPECT_EQ(in.little_endian<std::uint16_t>("b"), 0x0403);
  EXPECT_EQ(run_error_of([&] { in.big_endian<std::uint32_t>("size"); }),
            "five: byte 4: size needs 4 bytes, and 1 are left");
  EXPECT_THROW(in.take(~std::uint64_t{0}, "all"), RunError);
  std::uint64_t x = 0;
  EXPECT_FALSE(checked_mul(std::uint64_t{1} << 32, std::uint64_t{1} << 32, x));
  EXPECT_FALSE(checked_add(~std::uint64_t{0}, 1, x));
  EXPECT_TRUE(checked_mul(3, 5, x) && x == 15);
}

}  // namespace
}  // namespace thalweg
