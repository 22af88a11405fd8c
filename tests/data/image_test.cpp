// SPDX-License-Identifier: Apache-2.0
// Pictures and sets of them.
#include <fmt/format.h>
#include <gtest/gtest.h>
#include <zlib.h>

#include <cmath>
#include <filesystem>

#include "files.h"
#include "thalweg/lib/data/readers.h"

namespace thalweg {
namespace {

using testing::content_of;
using testing::Folder;
using testing::run_error_of;

std::string written(const std::string& path, const std::string& content) {
  std::ofstream(path, std::ios::binary) << content;
  return path;
}

std::string big_endian(std::uint32_t x) {
  std::string bytes;
  for (int shift = 24; shift >= 0; shift -= 8) bytes += static_cast<char>(x >> shift);
  return bytes;
}

std::string chunk(const std::string& type, const std::string& data) {
  const std::string body = type + data;
  const auto crc = crc32(0, reinterpret_cast<const Bytef*>(body.data()), static_cast<uInt>(body.size()));
  return big_endian(static_cast<std::uint32_t>(data.size())) + body + big_endian(static_cast<std::uint32_t>(crc));
}

std::string deflated(const std::string& data) {
  uLongf size = compressBound(data.size());
  std::string out(size, '\0');
  compress(reinterpret_cast<Bytef*>(out.data()), &size, reinterpret_cast<const Bytef*>(data.data()), data.size());
  out.resize(size);
  return out;
}

const std::string signature = "\x89PNG\r\n\x1a\n";

std::string header(std::uint32_t width, std::uint32_t height, int depth, int colour, int interlace = 0,
                   int compression = 0, int filter = 0) {
  std::string data = big_endian(width) + big_endian(height);
  for (const int x : {depth, colour, compression, filter, interlace}) data += static_cast<char>(x);
  return chunk("IHDR", data);
}

/// A PNG file whose rows are given with their filter bytes.
std::string png(std::uint32_t width, std::uint32_t height, int depth, int colour, const std::string& rows,
                const std::string& before = {}) {
  return signature + header(width, height, depth, colour) + before + chunk("IDAT", deflated(rows)) + chunk("IEND", "");
}

std::vector<double> read(const Folder& folder, const std::string& content) {
  return read_image(written(folder.file("picture"), content)).numbers();
}

std::vector<double> over(double most, std::vector<double> numbers) {
  for (double& x : numbers) x = static_cast<double>(static_cast<float>(x) / static_cast<float>(most));
  return numbers;
}

TEST(Png, EveryDepthAndColour) {
  using Chars = std::string;
  const Folder folder;
  const auto bytes = [](std::initializer_list<int> list) {
    Chars text;
    for (const int x : list) text += static_cast<char>(x);
    return text;
  };
  EXPECT_EQ(read(folder, png(3, 1, 8, 0, bytes({0, 0, 128, 255}))), over(255, {0, 128, 255}));
  EXPECT_EQ(read(folder, png(3, 2, 1, 0, bytes({0, 0xA0, 0, 0x40}))), over(1, {1, 0, 1, 0, 1, 0}));
  EXPECT_EQ(read(folder, png(3, 1, 2, 0, bytes({0, 0x1B}))), over(3, {0, 1, 2}));
  EXPECT_EQ(read(folder, png(3, 1, 4, 0, bytes({0, 0x5A, 0xF0}))), over(15, {5, 10, 15}));
  EXPECT_EQ(read(folder, png(1, 1, 16, 0, bytes({0, 0x12, 0x34}))), over(65535, {0x1234}));
  EXPECT_EQ(read(folder, png(1, 1, 8, 2, bytes({0, 1, 2, 3}))), over(255, {1, 2, 3}));
  EXPECT_EQ(read(folder, png(1, 1, 16, 2, bytes({0, 0, 1, 0, 2, 1, 0}))), over(65535, {1, 2, 256}));
  EXPECT_EQ(read(folder, png(1, 1, 8, 6, bytes({0, 1, 2, 3, 200}))), over(255, {1, 2, 3}));
  EXPECT_EQ(read(folder, png(2, 1, 8, 4, bytes({0, 9, 200, 8, 100}))), over(255, {9, 8}));
  const Chars palette = chunk("PLTE", bytes({10, 20, 30, 40, 50, 60}));
  EXPECT_EQ(read(folder, png(2, 1, 8, 3, bytes({0, 1, 0}), palette)), over(255, {40, 50, 60, 10, 20, 30}));
  EXPECT_EQ(read(folder, png(2, 1, 1, 3, bytes({0, 0x40}), palette)), over(255, {10, 20, 30, 40, 50, 60}));
  // What begins with a small letter may be passed over.
  EXPECT_EQ(read(folder, png(1, 1, 8, 0, bytes({0, 7}), chunk("tEXt", "Comment"))), over(255, {7}));
}

TEST(Png, EveryFilter) {
  // Rows of four RGB pixels, filtered by the formulas of the standard (clause 9), must come out as they went in.
  const Folder folder;
  constexpr int width = 4, step = 3, row = width * step, height = 10;
  std::vector<int> raw;
  for (int i = 0; i < row * height; ++i) raw.push_back((i * 73 + i * i * 5) % 256);
  std::string rows;
  for (int y = 0; y < height; ++y) {
    const int filter = y % 5;
    rows += static_cast<char>(filter);
    for (int i = 0; i < row; ++i) {
      const auto at = [&](int yy, int ii) {
        return yy < 0 || ii < 0 ? 0 : raw[static_cast<std::size_t>(yy * row + ii)];
      };
      const int a = at(y, i - step), b = at(y - 1, i), c = i < step ? 0 : at(y - 1, i - step);
      const int pa = std::abs(b - c), pb = std::abs(a - c), pc = std::abs(a + b - 2 * c);
      const int paeth = pa <= pb && pa <= pc ? a : pb <= pc ? b : c;
      const int predicted[] = {0, a, b, (a + b) / 2, paeth};
      rows += static_cast<char>(at(y, i) - predicted[filter]);
    }
  }
  const std::vector<double> got = read(folder, png(width, height, 8, 2, rows));
  ASSERT_EQ(got.size(), raw.size());
  for (std::size_t i = 0; i < raw.size(); ++i)
    ASSERT_EQ(got[i], static_cast<double>(static_cast<float>(raw[i]) / 255.0f)) << i;
}

TEST(Png, FiltersInACorner) {
  // Above the first row and to the left of a row there are zeros.
  const Folder folder;
  const double second[] = {3, 8, 3, 5, 8};
  for (int filter = 0; filter < 5; ++filter) {
    const std::string row{static_cast<char>(filter), 5, 3};
    EXPECT_EQ(read(folder, png(2, 1, 8, 0, row)), over(255, {5, second[filter]})) << filter;
  }
  // Paeth's predictor takes what is above to the left where it alone is nearest: 7 + 12 - 10 = 9, and 10 is.
  EXPECT_EQ(read(folder, png(2, 2, 8, 0, std::string{0, 10, 12, 4, -3, 40})), over(255, {10, 12, 7, 50}));
}

TEST(Png, SaysWhatIsWrong) {
  const Folder folder;
  const auto error = [&](const std::string& content) {
    const std::string message = run_error_of([&] { read(folder, content); });
    return message.substr(message.find("picture: ") + 9);
  };
  const std::string good = png(2, 2, 8, 0, std::string("\0ab\0cd", 6));
  EXPECT_EQ(error(""), "neither PNG nor a binary PGM or PPM (P5, P6): the file is empty");
  EXPECT_EQ(error("GIF89a garbage"), "neither PNG nor a binary PGM or PPM (P5, P6)");
  EXPECT_EQ(error(signature + header(0, 3, 8, 0)), "a picture of 0x3 pixels; sides from 1 to 65536 are understood");
  EXPECT_EQ(error(signature + header(3, 0, 8, 0)), "a picture of 3x0 pixels; sides from 1 to 65536 are understood");
  EXPECT_EQ(error(signature + header(4000000000u, 3, 8, 0)),
            "a picture of 4000000000x3 pixels; sides from 1 to 65536 are understood");
  EXPECT_EQ(error(signature + header(3, 65537, 8, 0)),
            "a picture of 3x65537 pixels; sides from 1 to 65536 are understood");
  EXPECT_EQ(error(signature + header(2, 2, 8, 0, 1)), "interlaced PNG is not read; save it without");
  EXPECT_EQ(error(signature + header(2, 2, 8, 0, 0, 1)),
            "compression method 1 and filter method 0, and PNG has 0 and 0");
  EXPECT_EQ(error(signature + header(2, 2, 8, 0, 0, 0, 2)),
            "compression method 0 and filter method 2, and PNG has 0 and 0");
  const std::pair<int, int> wrong_depths[] = {{0, 3}, {5, 8}, {3, 3}, {3, 16}, {2, 3}, {2, 4}, {4, 2}, {6, 32}};
  for (const auto& [colour, depth] : wrong_depths)
    EXPECT_EQ(error(signature + header(2, 2, depth, colour)),
              fmt::format("colour type {} with a depth of {} bits is not PNG", colour, depth));
  EXPECT_EQ(error(signature + chunk("IDAT", "x")), "byte 8: chunk IDAT, and a PNG file begins with one IHDR");
  EXPECT_EQ(error(signature + header(2, 2, 8, 0) + header(2, 2, 8, 0)),
            "byte 33: chunk IHDR, and a PNG file begins with one IHDR");
  EXPECT_EQ(error(signature + chunk("IHDR", "short")), "byte 8: IHDR has 5 bytes, must have 13");
  for (const std::size_t size : {0u, 4u, 771u})
    EXPECT_EQ(error(signature + header(2, 2, 8, 3) + chunk("PLTE", std::string(size, 'x'))),
              "byte 33: a palette of " + std::to_string(size) + " bytes, and 1 to 256 colours of 3 are understood");
  EXPECT_EQ(error(signature + header(2, 2, 8, 0) + chunk("ABCD", "")),
            "byte 33: chunk ABCD is needed to show the picture, and not understood");
  EXPECT_EQ(error(png(2, 1, 8, 3, std::string("\0\0\1", 3))), "the palette is missing");
  EXPECT_EQ(error(png(2, 1, 8, 3, std::string("\0\0\2", 3), chunk("PLTE", "abcdef"))),
            "pixel (0, 1) has colour 2, and the palette has 2");
  EXPECT_EQ(error(png(2, 1, 8, 0, std::string("\5ab", 3))), "row 0 has filter 5, and PNG has 0 to 4");
  EXPECT_EQ(error(png(2, 2, 8, 0, std::string("\0ab", 3))), "3 bytes of pixels, and the picture's size needs 6");
  EXPECT_EQ(error(signature + header(2, 1, 8, 0) + chunk("IDAT", "garbage") + chunk("IEND", "")),
            "the compressed pixels are damaged or cut off");
  EXPECT_EQ(error(png(2, 1, 8, 0, std::string("\0ab\0cd", 6))), "the pixels go on beyond the picture's size");
  const std::string pixels = deflated(std::string("\0ab", 3));
  for (std::size_t cut = 1; cut <= 4; ++cut) {  // of the stream's checksum, after all pixels
    const std::string data = chunk("IDAT", pixels.substr(0, pixels.size() - cut)) + chunk("IEND", "");
    EXPECT_EQ(error(signature + header(2, 1, 8, 0) + data), "the compressed pixels are damaged or cut off") << cut;
  }
  // A size that the file cannot hold is refused before memory is asked for.
  EXPECT_CONTAINS(error(png(9000, 9000, 16, 6, std::string("\0ab", 3))), "bytes of compressed pixels cannot hold");
  EXPECT_CONTAINS(error(png(65536, 65536, 1, 0, std::string(600'000, '\0'))), "65536x65536 pixels is larger than any");
  std::string damaged = good;
  damaged[30] = static_cast<char>(damaged[30] ^ 1);
  EXPECT_EQ(error(damaged), "byte 8: the checksum of chunk IHDR is wrong");
  for (std::size_t cut = 8; cut < good.size(); ++cut) EXPECT_NE(error(good.substr(0, cut)), "") << cut;
  // No change of one byte may do more than raise an error or change pixels.
  for (std::size_t i = 0; i < good.size(); ++i)
    for (const int flip : {0x01, 0x80, 0xff}) {
      std::string changed = good;
      changed[i] = static_cast<char>(changed[i] ^ flip);
      EXPECT_NE(error(changed), "") << i;
    }
}

TEST(Netpbm, GrayAndColour) {
  const Folder folder;
  EXPECT_EQ(read(folder, "P5 3 1 255\nabc"), over(255, {97, 98, 99}));
  EXPECT_EQ(read(folder, "P6\n# a comment\n1 2 # another\n255\nabcdef"), over(255, {97, 98, 99, 100, 101, 102}));
  EXPECT_EQ(read(folder, std::string("P5 1 2 1000 \x01\x02\x03\x00", 16)), over(1000, {258, 768}));
  const auto error = [&](const std::string& content) {
    const std::string message = run_error_of([&] { read(folder, content); });
    return message.substr(message.find("picture: ") + 9);
  };
  EXPECT_EQ(error("P5 3 1 255\nab"), "byte 11: 3x1 pixels need 3 bytes, and 2 follow");
  EXPECT_EQ(error("P5 3 1 255\nabcd"), "byte 11: 3x1 pixels need 3 bytes, and 4 follow");
  EXPECT_EQ(error("P5 x 1 255\nabc"), "byte 3: the width is expected, a number of at most 7 digits");
  EXPECT_EQ(error("P5 3 123456789 255\n"), "byte 5: the height is expected, a number of at most 7 digits");
  EXPECT_EQ(error("P5 3 1"), "byte 5: the height is expected, a number of at most 7 digits");
  EXPECT_EQ(error("P5 3, 1 255\n"), "byte 3: the width is expected, a number of at most 7 digits");
  EXPECT_EQ(error("P5 3x 1 255\n"), "byte 3: the width is expected, a number of at most 7 digits");
  EXPECT_EQ(error("P5 # 3 1 255"), "byte 12: the width is expected, a number of at most 7 digits");
  EXPECT_EQ(error("P5\n"), "byte 3: the width is expected, a number of at most 7 digits");
  for (const std::string sides : {"0x1", "1x0", "65537x1", "1x65537"}) {
    std::string words = sides;
    words[sides.find('x')] = ' ';
    EXPECT_EQ(error("P5 " + words + " 255\n"),
              "a picture of " + sides + " pixels; sides from 1 to 65536 are understood");
  }
  for (const std::string most : {"0", "65536"})
    EXPECT_EQ(error("P5 1 1 " + most + "\nab"), "the largest value is " + most + ", must be 1 to 65535");
  EXPECT_EQ(error("P5 2 1 97\nab"), "byte 11: value 98 is above the largest, 97");
  EXPECT_EQ(error("P"), "neither PNG nor a binary PGM or PPM (P5, P6)");
  EXPECT_EQ(error("P3 1 1 255 1 2 3"), "neither PNG nor a binary PGM or PPM (P5, P6)");
}

TEST(ImageFolder, ClassesAreFolders) {
  const Folder folder;
  for (const char* name : {"set", "set/dogs", "set/cats", "set/cats/deeper"})
    std::filesystem::create_directory(folder.file(name));
  written(folder.file("set/dogs/1.ppm"), "P6 1 1 255\nabc");
  written(folder.file("set/cats/b.PNG"), png(1, 1, 8, 2, std::string("\0\1\2\3", 4)));
  written(folder.file("set/cats/a.png"), png(1, 1, 8, 2, std::string("\0\4\5\6", 4)));
  written(folder.file("set/cats/notes.txt"), "no picture");
  written(folder.file("set/README"), "no class");
  const Dataset data = image_folder(folder.file("set"));
  EXPECT_EQ(data.classes, (std::vector<std::string>{"cats", "dogs"}));
  EXPECT_EQ(data.inputs.type(), f32(3, 1, 1, 3));
  EXPECT_EQ(data.labels.numbers(), (std::vector<double>{0, 0, 1}));
  EXPECT_EQ(data.inputs.numbers(), over(255, {4, 5, 6, 1, 2, 3, 97, 98, 99}));

  written(folder.file("set/dogs/2.pgm"), "P5 1 1 255\na");
  const std::string sizes = run_error_of([&] { image_folder(folder.file("set")); });
  EXPECT_CONTAINS(sizes, "2.pgm is [1,1,1], and ");
  EXPECT_CONTAINS(sizes, "a.png is [1,1,3]: all pictures must be of one size");
  std::filesystem::create_directory(folder.file("set/empty"));
  std::filesystem::remove(folder.file("set/dogs/2.pgm"));
  EXPECT_CONTAINS(run_error_of([&] { image_folder(folder.file("set")); }),
                  "empty: no picture (.png, .pgm, .ppm) is in it");
  EXPECT_CONTAINS(run_error_of([&] { image_folder(folder.file("set/empty")); }),
                  "empty: no folder is in it, and each class is one");
  EXPECT_CONTAINS(run_error_of([&] { image_folder(folder.file("none")); }), "none");
}

TEST(Cifar, PlanesBecomeChannels) {
  const Folder folder;
  const auto record = [](int label, int first) {
    std::string bytes(1, static_cast<char>(label));
    for (int i = 0; i < 3072; ++i) bytes += static_cast<char>(first + i / 1024 * 50 + i % 1024 % 7);
    return bytes;
  };
  for (int i = 1; i <= 5; ++i) written(folder.file("data_batch_" + std::to_string(i) + ".bin"), record(i, i));
  written(folder.file("test_batch.bin"), record(9, 1) + record(0, 2));
  const TrainTest sets = cifar10(folder.file("."));
  EXPECT_EQ(sets.train.inputs.type(), f32(5, 32, 32, 3));
  EXPECT_EQ(sets.train.labels.numbers(), (std::vector<double>{1, 2, 3, 4, 5}));
  EXPECT_EQ(sets.test.labels.numbers(), (std::vector<double>{9, 0}));
  EXPECT_EQ(sets.test.classes[9], "truck");
  // Pixel (1, 3) of picture 1: 35 = 0 mod 7 in each plane.
  const std::span<const float> pixels = std::as_const(sets.train.inputs).as<float>();
  for (std::size_t k = 0; k < 3; ++k)
    EXPECT_EQ(pixels[3072 + 35 * 3 + k], static_cast<float>(2 + 50 * k) / 255.0f);

  written(folder.file("train.bin"), std::string("\x01") + record(42, 1));
  written(folder.file("test.bin"), std::string("\x13") + record(99, 1));
  written(folder.file("fine_label_names.txt"), "apple\nbear\n");  // too few: numbers are the names
  EXPECT_EQ(cifar100(folder.file(".")).test.labels.number(0), 99);
  EXPECT_EQ(cifar100(folder.file("."), true).test.labels.number(0), 19);
  EXPECT_EQ(cifar100(folder.file(".")).train.classes[7], "7");
  std::string names;  // as an editor may leave them: blanks at the ends of lines, empty lines, no last newline
  for (int i = 0; i < 20; ++i) names += "kind" + std::to_string(i) + (i % 2 == 0 ? " \r\n\n" : i == 19 ? "" : "\n");
  written(folder.file("coarse_label_names.txt"), names);
  EXPECT_EQ(cifar100(folder.file("."), true).train.classes[18], "kind18");
  EXPECT_EQ(cifar100(folder.file("."), true).test.classes[19], "kind19");
  EXPECT_EQ(cifar100(folder.file("."), true).train.name, "cifar100 train");

  written(folder.file("test_batch.bin"), record(10, 1));
  EXPECT_CONTAINS(run_error_of([&] { cifar10(folder.file(".")); }), "test_batch.bin: byte 0: label 10 is not below 10");
  written(folder.file("test_batch.bin"), record(1, 1) + "x");
  EXPECT_CONTAINS(run_error_of([&] { cifar10(folder.file(".")); }),
                  "test_batch.bin: 3074 bytes are no whole number of records of 3073 bytes");
  written(folder.file("test_batch.bin"), "");
  EXPECT_CONTAINS(run_error_of([&] { cifar10(folder.file(".")); }), "test_batch.bin: 0 bytes are no whole number");
  std::filesystem::remove(folder.file("data_batch_3.bin"));
  EXPECT_CONTAINS(run_error_of([&] { cifar10(folder.file(".")); }), "data_batch_3.bin");
}

}  // namespace
}  // namespace thalweg
