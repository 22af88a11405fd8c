// SPDX-License-Identifier: Apache-2.0
#include <gtest/gtest.h>

#include <algorithm>

#include "files.h"
#include "thalweg/lib/data/readers.h"

namespace thalweg {
namespace {

using testing::data_folder;
using testing::Folder;
using testing::run_error_of;

std::string big_endian(std::uint32_t x) {
  return {static_cast<char>(x >> 24), static_cast<char>(x >> 16), static_cast<char>(x >> 8), static_cast<char>(x)};
}
std::string labels(const std::string& values) {
  return big_endian(2049) + big_endian(static_cast<std::uint32_t>(values.size())) + values;
}
std::string images(std::uint32_t n, std::uint32_t h, std::uint32_t w) {
  std::string text = big_endian(2051) + big_endian(n) + big_endian(h) + big_endian(w);
  for (std::uint32_t i = 0; i < n * h * w; ++i) text += static_cast<char>(i % 256);
  return text;
}

TEST(Idx, ReadsEveryElementType) {
  const Folder folder;
  EXPECT_EQ(read_idx(folder.write("u8", images(2, 3, 2))).type(), u8(2, 3, 2));
  const auto typed = [&](char code, const std::string& data) {
    return read_idx(folder.write("typed", std::string("\0\0", 2) + code + '\x01' + big_endian(2) + data)).numbers();
  };
  EXPECT_EQ(typed('\x09', "\xFF\x05"), (std::vector<double>{-1, 5}));
  EXPECT_EQ(typed('\x0B', std::string("\xFF\xFE\x01\x00", 4)), (std::vector<double>{-2, 256}));
  EXPECT_EQ(typed('\x0C', big_endian(7) + big_endian(0xFFFFFFFF)), (std::vector<double>{7, -1}));
  EXPECT_EQ(typed('\x0D', big_endian(0x3FC00000) + big_endian(0xC0000000)), (std::vector<double>{1.5, -2}));
  EXPECT_EQ(typed('\x0E', big_endian(0x3FF80000) + big_endian(0) + big_endian(0xC0000000) + big_endian(0)),
            (std::vector<double>{1.5, -2}));
}

TEST(Idx, RefusesEveryTruncationAndEveryExtraByte) {
  const Folder folder;
  const std::string whole = images(2, 2, 3);
  for (std::size_t n = 0; n < whole.size(); ++n)
    EXPECT_THROW(read_idx(folder.write("cut", whole.substr(0, n))), RunError) << n;
  EXPECT_CONTAINS(run_error_of([&] { read_idx(folder.write("more", whole + "x")); }), "need 12 bytes of data, and 13");
}

TEST(Idx, RefusesEveryBitFlipOfTheHeader) {
  const Folder folder;
  const std::string whole = images(2, 2, 3);
  for (std::size_t bit = 0; bit < 8 * 16; ++bit) {
    std::string damaged = whole;
    damaged[bit / 8] = static_cast<char>(damaged[bit / 8] ^ (1 << (bit % 8)));
    // One bit makes i8 of u8, of the same size: only the magic number of images tells them apart.
    if (bit == 2 * 8) EXPECT_EQ(read_idx(folder.write("flip", damaged)).type().dtype, DType::i32);
    else EXPECT_THROW(read_idx(folder.write("flip", damaged)), RunError) << "bit " << bit;
  }
}

TEST(Idx, RefusesSizesBeyondReason) {
  const Folder folder;
  const std::string huge = big_endian(2051) + big_endian(0xFFFFFFFF) + big_endian(0xFFFFFFFF) + big_endian(0xFFFFFFFF);
  EXPECT_CONTAINS(run_error_of([&] { read_idx(folder.write("huge", huge)); }), "beyond 2^64");
  EXPECT_CONTAINS(run_error_of([&] { read_idx(folder.write("zero", labels(""))); }), "axis 0 has size 0");
  EXPECT_CONTAINS(run_error_of([&] { read_idx(folder.write("rank", std::string("\0\0\x08\0", 4))); }), "0 axes");
}

TEST(Images, ScalesAndChecks) {
  const Folder folder;
  const std::string x = folder.write("x", images(3, 2, 2)), t = folder.write("t", labels(std::string("\x00\x09\x01", 3)));
  const Dataset data = read_idx_images(x, t);
  EXPECT_EQ(data.inputs.type(), f32(3, 2, 2, 1));
  EXPECT_EQ(data.inputs.as<float>()[11], 11.0f / 255.0f);
  EXPECT_EQ(data.labels.numbers(), (std::vector<double>{0, 9, 1}));
  EXPECT_EQ(data.classes.size(), 10u);

  const std::string swapped = run_error_of([&] { read_idx_images(t, x); });
  EXPECT_CONTAINS(swapped, "holds images (magic 2051) where labels (magic 2049) are expected");
  EXPECT_EQ(run_error_of([&] { read_idx_images(t, t); }),
            t + ": holds labels (magic 2049) where images (magic 2051) are expected: are the two files swapped?");
  EXPECT_EQ(run_error_of([&] { read_idx_images(x, t, 0); }), "0 classes, and at least 1 is needed");
  EXPECT_CONTAINS(run_error_of([&] { read_idx_images(x, folder.write("two", labels("\x01\x02"))); }),
                  "holds 3 images");
  EXPECT_CONTAINS(run_error_of([&] { read_idx_images(x, folder.write("ten", labels("\x01\x0A\x01"))); }),
                  "label 10 of sample 1 is not below 10");
  std::string little = labels("\x01\x02\x03");
  std::reverse(little.begin(), little.begin() + 4);
  EXPECT_CONTAINS(run_error_of([&] { read_idx_images(x, folder.write("little", little)); }), "little-endian");
}

TEST(Mnist, SaysWhichFileIsMissing) {
  const Folder folder;
  EXPECT_CONTAINS(run_error_of([&] { mnist(folder.path()); }), "no train-images-idx3-ubyte");
}

TEST(Mnist, ReadsTheRealOne) {
  if (data_folder().empty()) GTEST_SKIP() << "THALWEG_DATA is not set";
  const TrainTest data = mnist(data_folder() + "/mnist");
  EXPECT_EQ(data.train.inputs.type(), f32(60000, 28, 28, 1));
  EXPECT_EQ(data.train.labels.type(), i32(60000));
  EXPECT_EQ(data.test.inputs.type(), f32(10000, 28, 28, 1));
  const auto pixels = std::as_const(data.test.inputs).as<float>();
  EXPECT_EQ(*std::max_element(pixels.begin(), pixels.end()), 1.0f);
  // The first labels as everybody prints them.
  EXPECT_EQ(rows(data.train, 0, 5).labels.numbers(), (std::vector<double>{5, 0, 4, 1, 9}));
  EXPECT_EQ(rows(data.test, 0, 5).labels.numbers(), (std::vector<double>{7, 2, 1, 0, 4}));
}

TEST(Digits, AreInTheLibrary) {
  const Dataset data = digits();
  EXPECT_EQ(data.inputs.type(), f32(1797, 8, 8, 1));
  EXPECT_EQ(data.labels.type(), i32(1797));
  EXPECT_EQ(data.classes, (std::vector<std::string>{"0", "1", "2", "3", "4", "5", "6", "7", "8", "9"}));
  // The first row of the table: 0,0,5,13,9,1,0,0 and the classes' counts that scikit-learn states.
  EXPECT_EQ(data.inputs.as<float>()[3], 13.0f / 16.0f);
  std::vector<int> counts(10);
  for (const std::int32_t label : std::as_const(data.labels).as<std::int32_t>()) ++counts[static_cast<std::size_t>(label)];
  EXPECT_EQ(counts, (std::vector<int>{178, 182, 177, 183, 181, 182, 181, 179, 174, 180}));
  const auto pixels = std::as_const(data.inputs).as<float>();
  EXPECT_EQ(*std::max_element(pixels.begin(), pixels.end()), 1.0f);
  EXPECT_EQ(*std::min_element(pixels.begin(), pixels.end()), 0.0f);
}

}  // namespace
}  // namespace thalweg
