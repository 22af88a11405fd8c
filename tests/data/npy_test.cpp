// SPDX-License-Identifier: Apache-2.0
#include "thalweg/lib/io/npy.h"

#include <gtest/gtest.h>

#include <cstdlib>

#include "files.h"
#include "thalweg/lib/base/bytes.h"
#include "thalweg/lib/io/npy_format.h"

namespace thalweg {
namespace {

using testing::content_of;
using testing::Folder;
using testing::run_error_of;

/// A file of version 1 with that dictionary.
std::string npy(std::string dictionary, const std::string& data) {
  dictionary += '\n';
  return std::string("\x93NUMPY\x01\x00", 8) + static_cast<char>(dictionary.size() & 0xff) +
         static_cast<char>(dictionary.size() >> 8) + dictionary + data;
}
std::string typed(const std::string& type, const std::string& shape, const std::string& data, bool fortran = false) {
  return npy("{'descr': '" + type + "', 'fortran_order': " + (fortran ? "True" : "False") + ", 'shape': " + shape + ", }",
             data);
}
Tensor parsed(const std::string& bytes) { return parse_npy(bytes_of(bytes), "a.npy"); }
std::string refusal(const std::string& bytes) {
  return run_error_of([&] { parsed(bytes); });
}

std::string from_hex(std::string_view hex) {
  std::string bytes;
  for (std::size_t i = 0; i + 1 < hex.size(); i += 2)
    bytes += static_cast<char>(std::stoi(std::string(hex.substr(i, 2)), nullptr, 16));
  return bytes;
}

// numpy.savez_compressed (2.4) of w = f8 big-endian [[1.5,-2],[0,3]], n = i2 in Fortran order [[0,1,2],[3,4,5]],
// ok = [True, False].
const std::string archive_of_numpy = from_hex(
    "504b03042d0000000800000021009dee34f5ffffffffffffffff05001400772e6e707901001000a00000000000000052000000000000009bec17"
    "ea1b10c9c850c650ad9e925a9c5ca46ea5a06e9766a1aea3a09e965f54529498179f5f94920a12774bcc294e058a17672416a402f91a463a0a46"
    "9a3a0ab50a64032efb1f0c60708001153870406800504b03042d00000008000000210068c6180fffffffffffffffff050014006e2e6e70790100"
    "10008c0000000000000051000000000000009bec17ea1b10c9c850c650ad9e925a9c5ca46ea5a06e9369a4aea3a09e965f54529498179f5f9492"
    "0a120f292a4d050a17672416a402b91a463a0ac69a3a0ab50ae4032e06066606460616062606560600504b03042d000000080000002100ee19bb"
    "5dffffffffffffffff060014006f6b2e6e707901001000820000000000000046000000000000009bec17ea1b10c9c850c650ad9e925a9c5ca46e"
    "a5a05e9364a8aea3a09e965f54529498179f5f94920a12774bcc294e058a17672416a402f91a463a9a3a0ab50a14002e460600504b01022d032d"
    "0000000800000021009dee34f552000000a0000000050000000000000000000000800100000000772e6e7079504b01022d032d00000008000000"
    "210068c6180f510000008c0000000500000000000000000000008001890000006e2e6e7079504b01022d032d000000080000002100ee19bb5d46"
    "000000820000000600000000000000000000008001110100006f6b2e6e7079504b050600000000030003009a0000008f0100000000");

TEST(Npy, ReadsEveryTypeAndOrder) {
  EXPECT_EQ(parsed(typed("<f4", "(2,)", std::string("\0\0\xc0\x3f\0\0\0\xc0", 8))).numbers(),
            (std::vector<double>{1.5, -2}));
  EXPECT_EQ(parsed(typed(">i2", "(2,)", std::string("\x01\x02\xff\xff", 4))).numbers(), (std::vector<double>{258, -1}));
  EXPECT_EQ(parsed(typed("<u2", "(1,)", "\xff\xff")).numbers(), (std::vector<double>{65535}));
  EXPECT_EQ(parsed(typed("|i1", "(1, 2)", "\xff\x05")).type(), i32(1, 2));
  EXPECT_EQ(parsed(typed("|u1", "()", "\x07")).type(), u8());
  EXPECT_EQ(parsed(typed("|u1", "(2, 3)", "\x01\x02\x03\x04\x05\x06", true)).numbers(),
            (std::vector<double>{1, 3, 5, 2, 4, 6}));
  EXPECT_EQ(parsed(typed("|u1", "(1,2,1,3)", "\x01\x02\x03\x04\x05\x06", true)).numbers(),
            (std::vector<double>{1, 3, 5, 2, 4, 6}));
  EXPECT_EQ(parsed(typed(">f8", "(1,)", std::string("\x3f\xf8\0\0\0\0\0\0", 8))).numbers(), (std::vector<double>{1.5}));
  // One axis has one order.
  EXPECT_EQ(parsed(typed("|u1", "(3,)", "\x01\x02\x03", true)).numbers(), (std::vector<double>{1, 2, 3}));
  // Keys in any order and quotes, no comma at the end.
  EXPECT_EQ(parsed(npy("{\"shape\":(1,),\"fortran_order\":False,\"descr\":\"|b1\"}", "\x01")).type(), boolean(1));
}

TEST(Npy, WritesWhatNumpyWrites) {
  const Folder folder;
  const Tensor tensor(f32(2, 3), std::vector<double>{0, 1, 2, 3, 4, 5});
  write_npy(tensor, folder.file("a.npy"));
  const std::string bytes = content_of(folder.file("a.npy"));
  ASSERT_EQ(bytes.size(), 152u);
  EXPECT_EQ(bytes.substr(0, 11), std::string("\x93NUMPY\x01\x00v\x00{", 11));
  EXPECT_EQ(bytes.substr(10, 60), "{'descr': '<f4', 'fortran_order': False, 'shape': (2, 3), } ");
  EXPECT_EQ(bytes[127], '\n');
  EXPECT_EQ(read_npy(folder.file("a.npy")).numbers(), tensor.numbers());
  for (const TensorType& type : {f64(), f64(3), i32(1, 2), i64(2), u8(5), boolean(2)}) {
    const Tensor ones(type, std::vector<double>(static_cast<std::size_t>(type.elements()), 1));
    write_npy(ones, folder.file("b.npy"));
    EXPECT_EQ(read_npy(folder.file("b.npy")).type(), type);
    EXPECT_EQ(read_npy(folder.file("b.npy")).numbers(), ones.numbers());
  }
  EXPECT_EQ(run_error_of([&] { write_npy(Tensor(), "c.npy"); }), "c.npy: an empty tensor cannot be written");
  EXPECT_CONTAINS(run_error_of([&] { write_npy(Tensor(bf16(2)), folder.file("c.npy")); }),
                  "NumPy has no bf16: cast it to f32");
  EXPECT_FALSE(std::filesystem::exists(folder.file("c.npy")));
}

TEST(Npy, NamesWhatIsWrong) {
  const std::string ok = typed("|u1", "(3,)", "abc");
  EXPECT_NO_THROW(parsed(ok));
  for (std::size_t n = 0; n < ok.size(); ++n) EXPECT_THROW(parsed(ok.substr(0, n)), RunError) << n;
  EXPECT_CONTAINS(refusal(ok + "d"), "shape (3) of u1 needs 3 bytes, and 4 follow");
  EXPECT_CONTAINS(refusal("PK\3\4 and more"), "does not begin with \\x93NUMPY");
  EXPECT_CONTAINS(refusal(typed("|O", "(1,)", "x")), "Python objects are never unpickled");
  EXPECT_CONTAINS(refusal(typed("<c8", "(1,)", "x")), "type `<c8` is none of f4");
  EXPECT_CONTAINS(refusal(typed("|f4", "(1,)", "xxxx")), "type `|f4`");
  EXPECT_CONTAINS(refusal(npy("{'descr': [('a', '<f4')], 'fortran_order': False, 'shape': (1,), }", "xxxx")),
                  "a structured type");
  EXPECT_CONTAINS(refusal(typed("|u1", "(3)", "abc")), "a tuple of one size is written (3,)");
  EXPECT_CONTAINS(refusal(typed("|u1", "(-3,)", "abc")), "a size was expected");
  EXPECT_CONTAINS(refusal(typed("|u1", "(0,)", "")), "an axis of size 0");
  EXPECT_CONTAINS(refusal(typed("|u1", "(1,1,1,1,1,1,1,1,1)", "a")), "more than 8 axes");
  EXPECT_CONTAINS(refusal(typed("<f8", "(4611686018427387904,4611686018427387904)", "a")), "multiply beyond 2^64");
  EXPECT_CONTAINS(refusal(typed("|u1", "(99999999999999999999,)", "a")), "a size was expected");
  EXPECT_CONTAINS(refusal(npy("{'descr': '|u1', 'shape': (3,), }", "abc")), "lacks one of");
  EXPECT_CONTAINS(refusal(npy("{'descr': '|u1', 'descr': '|u1', }", "abc")), "comes twice");
  EXPECT_CONTAINS(refusal(npy("{'x': 1}", "abc")), "`x` is none of");
  EXPECT_CONTAINS(refusal(npy("{'descr': '|u1", "abc")), "a text without an end");
  EXPECT_CONTAINS(refusal(typed("|b1", "(1,)", "\x02")), "a byte of 0x2 is not a b1");
  EXPECT_CONTAINS(refusal(std::string("\x93NUMPY\x02\x00\xff\xff\xff\xff", 12)), "longer than the limit of 65536");
  for (const int version : {0, 4})
    EXPECT_EQ(refusal("\x93NUMPY" + std::string{static_cast<char>(version), '\0'}),
              "a.npy: byte 6: version " + std::to_string(version) + " is none of 1 to 3");
}

TEST(Npy, NamesWhatIsWrongInADictionary) {
  // The dictionary begins at byte 10, and a line feed follows it.
  const std::string types = " is none of f4 f8 i1 i2 i4 i8 u1 u2 b1";
  const std::string lacking = "the header lacks one of descr, fortran_order, shape";
  const std::pair<const char*, std::string> cases[] = {
      {"", "byte 11: `{` was expected, and here is ``"},
      {"{", "byte 12: a key in quotes was expected"},
      {"{1: 2}", "byte 11: a key in quotes was expected"},
      {"{'descr' '|u1'}", "byte 19: `:` was expected, and here is `'|u1'}\\x0a`"},
      {"{'descr':", "byte 20: a type in quotes was expected"},
      {"{'descr': ''}", "byte 22: type ``" + types},
      {"{'descr': 'xf4'}", "byte 25: type `xf4`" + types},
      {"{'fortran_order': 0}", "byte 28: True or False was expected"},
      {"{'shape': (3 4)}", "byte 23: `,` or `)` was expected"},
      {"{'shape': (3,), 'fortran_order': True}", "byte 49: " + lacking},
      {"{'descr': '|u1', 'shape': (3,)}", "byte 42: " + lacking},
      {"{'descr': '|u1', 'fortran_order': True}", "byte 50: " + lacking},
      {"{} {}", "byte 13: something follows the dictionary"},
  };
  for (const auto& [dictionary, message] : cases) EXPECT_EQ(refusal(npy(dictionary, "abc")), "a.npy: " + message);
}

TEST(Npz, ReadsWhatNumpyCompressed) {
  const Folder folder;
  const auto arrays = read_npz(folder.write("a.npz", archive_of_numpy));
  ASSERT_EQ(arrays.size(), 3u);
  EXPECT_EQ(arrays.at("w").type(), f64(2, 2));
  EXPECT_EQ(arrays.at("w").numbers(), (std::vector<double>{1.5, -2, 0, 3}));
  EXPECT_EQ(arrays.at("n").numbers(), (std::vector<double>{0, 1, 2, 3, 4, 5}));
  EXPECT_EQ(arrays.at("ok").numbers(), (std::vector<double>{1, 0}));
}

TEST(Npz, GoesToAFileAndBack) {
  const Folder folder;
  const std::map<std::string, Tensor> arrays{{"w", Tensor(f32(2), std::vector<double>{1, 2})},
                                             {"layer/b", Tensor(i64(), std::vector<double>{7})}};
  write_npz(arrays, folder.file("a.npz"));
  const auto back = read_npz(folder.file("a.npz"));
  ASSERT_EQ(back.size(), 2u);
  EXPECT_EQ(back.at("w").numbers(), arrays.at("w").numbers());
  EXPECT_EQ(back.at("layer/b").type(), i64());
  const std::string once = content_of(folder.file("a.npz"));
  write_npz(arrays, folder.file("a.npz"));
  EXPECT_EQ(content_of(folder.file("a.npz")), once);
  write_npz({}, folder.file("none.npz"));
  EXPECT_TRUE(read_npz(folder.file("none.npz")).empty());
  if (std::system("python3 -c 'import numpy' 2>/dev/null") != 0) return;
  EXPECT_EQ(std::system(("python3 -c \"import numpy, sys; a = numpy.load(sys.argv[1]); "
                         "assert list(a['w']) == [1, 2] and a['layer/b'] == 7\" " + folder.file("a.npz")).c_str()), 0);
}

TEST(Npz, EveryDamageIsFoundOrHarmless) {
  const auto read = [](const std::string& bytes) { return parse_npz(bytes_of(bytes), "a.npz"); };
  const auto whole = read(archive_of_numpy);
  for (std::size_t n = 0; n < archive_of_numpy.size(); ++n)
    EXPECT_THROW(read(archive_of_numpy.substr(0, n)), RunError) << n;
  std::size_t unnoticed = 0;
  for (std::size_t bit = 0; bit < 8 * archive_of_numpy.size(); ++bit) {
    std::string damaged = archive_of_numpy;
    damaged[bit / 8] = static_cast<char>(damaged[bit / 8] ^ (1 << (bit % 8)));
    try {
      // Times, versions and the like may be wrong, numbers may not; a name has no checksum in a zip archive.
      const auto arrays = read(damaged);
      ++unnoticed;
      for (const auto& [name, tensor] : arrays)
        if (whole.contains(name)) {
          EXPECT_EQ(tensor.numbers(), whole.at(name).numbers()) << "bit " << bit;
        }
    } catch (const RunError&) {
    }
  }
  EXPECT_LT(unnoticed, 8 * archive_of_numpy.size() / 3);
}

TEST(Npz, RefusesLies) {
  const Folder folder;
  const auto refusal_of = [&](const std::string& bytes) {
    return run_error_of([&] { read_npz(folder.write("a.npz", bytes)); });
  };
  EXPECT_CONTAINS(refusal_of("no archive"), "is not a zip archive");
  EXPECT_CONTAINS(refusal_of(""), "is not a zip archive");
  write_npz({{"a", Tensor(f32(2))}, {"b", Tensor(f32(2))}}, folder.file("two.npz"));
  const std::string two = content_of(folder.file("two.npz"));
  const std::size_t directory = two.find("PK\x01\x02");
  const std::size_t second = two.find("PK\x01\x02", directory + 1);
  const auto changed = [&](std::size_t at, const std::string& bytes) {
    std::string other = two;
    return other.replace(at, bytes.size(), bytes);
  };
  EXPECT_CONTAINS(refusal_of(changed(directory + 8, "\x01")), "a.npy: is encrypted");
  EXPECT_CONTAINS(refusal_of(changed(directory + 10, "\x0e")), "is packed by method 14");
  EXPECT_CONTAINS(refusal_of(changed(directory + 16, "wxyz")), "its data has CRC");
  EXPECT_CONTAINS(refusal_of(changed(directory + 20, "\xff\xff\xff\xff")), "zip64");
  EXPECT_CONTAINS(refusal_of(changed(directory + 46, "a.txt")), "is not called `<name>.npy`");
  EXPECT_CONTAINS(refusal_of(changed(second + 46, "x.npy")), "x.npy: has another name in its header");
  EXPECT_CONTAINS(refusal_of(changed(second + 42, std::string(4, '\0'))), "its bytes overlap");
  const std::size_t end = two.find("PK\x05\x06");
  const std::string most(4, '\xff');
  struct Case {
    std::size_t at;
    std::string bytes;
    const char* message;
  };
  for (const Case& c : std::vector<Case>{
           {end + 4, "\x01", "is a part of an archive"},
           {end + 6, "\x01", "is a part of an archive"},
           {end + 8, "\x01", "is a part of an archive"},
           {end + 10, most.substr(2), "(zip64) are not read"},
           {end + 12, most, "(zip64) are not read"},
           {end + 16, most, "(zip64) are not read"},
           {end + 12, "\x01", "the directory takes 1 bytes from "},
           {end + 8, std::string("\x01\0\x01\0", 4), "bytes follow the last entry"},
           {directory, "PK\x09\x09", "no entry begins where one must"},
           {directory + 24, "\x01", "a.npy: is not packed, and has two sizes"},
           {directory + 24, most, "a.npy: has 4 GiB or more (zip64), which is not read"},
           {directory + 42, most, "a.npy: has 4 GiB or more (zip64), which is not read"},
           {directory + 42, "\xf0\xff\xff\x7f", "a.npy: lies outside the archive"},
           {directory + 42, "\x01", "a.npy: no header stands at its offset"},
           {directory + 28, std::string("\x04\0\x01\0", 4) + two.substr(directory + 32, 14) + ".npy", ".npy: is not called"},
           {8, "\x08", "a.npy: header and directory differ"}})
    EXPECT_CONTAINS(refusal_of(changed(c.at, c.bytes)), c.message);
  const std::string out = folder.file("out.npz");
  const Tensor one{f32()};
  EXPECT_CONTAINS(run_error_of([&] { write_npz({{"", one}}, out); }), "`` cannot be an array's name");
  EXPECT_CONTAINS(run_error_of([&] { write_npz({{std::string(5000, 'a'), one}}, out); }), "cannot be an array's name");
  std::map<std::string, Tensor> many;
  for (int i = 0; i < 0xffff; ++i) many.emplace(std::to_string(i), one);
  EXPECT_CONTAINS(run_error_of([&] { write_npz(many, out); }), "65535 arrays are too many for an archive");
  // A bomb says what it will be, and no memory is taken for it.
  std::string bomb = archive_of_numpy;
  const std::size_t entry = bomb.find("PK\x01\x02");
  bomb.replace(entry + 24, 4, std::string("\xf0\xff\xff\xff", 4));
  EXPECT_CONTAINS(refusal_of(bomb), "82 bytes cannot inflate to 4294967280");
  for (std::size_t at = bomb.find("PK\x01\x02"); at != bomb.npos; at = bomb.find("PK\x01\x02", at + 1))
    bomb.replace(at + 24, 4, std::string("\xf0\xff\xff\xff", 4));
  EXPECT_CONTAINS(refusal_of(bomb), "ok.npy: more than 8589934592 bytes in all");
  std::string twice = two;
  for (std::size_t at = 0; (at = twice.find("b.npy", at)) != twice.npos;) twice[at] = 'a';
  EXPECT_CONTAINS(refusal_of(twice), "a.npy: comes twice");
}

}  // namespace
}  // namespace thalweg
