// SPDX-License-Identifier: Apache-2.0
#include <string_view>

#include "thalweg/graph/fail.h"
#include "thalweg/lib/base/bytes.h"
#include "thalweg/lib/base/file.h"
#include "thalweg/lib/base/signals.h"
#include "thalweg/lib/base/threads.h"
#include "thalweg/lib/data/readers.h"

namespace thalweg {
namespace {

constexpr std::size_t side = 32, channels = 3, plane = side * side, picture = plane * channels;

/// How a record begins: so many label bytes, of which one is taken.
struct Format {
  std::size_t labels;
  std::size_t taken;
  int classes;
};

/// The records of some files: a picture is three planes, red, green and blue.
Dataset read_records(const std::vector<std::string>& paths, const Format& format) {
  const FloatingPointScope floating_point;
  const std::size_t record = format.labels + picture;
  std::vector<std::vector<std::byte>> files;
  std::size_t records = 0;
  for (const std::string& path : paths) {
    files.push_back(read_maybe_gzip(path));
    if (files.back().empty() || files.back().size() % record != 0)
      run_error("{}: {} bytes are no whole number of records of {} bytes", path, files.back().size(), record);
    records += files.back().size() / record;
  }
  const auto n = static_cast<Dim>(records);
  Dataset data;
  data.inputs = Tensor(f32(n, side, side, channels));
  data.labels = Tensor(i32(n));
  float* pixels = data.inputs.as<float>().data();
  std::int32_t* label = data.labels.as<std::int32_t>().data();
  for (std::size_t f = 0; f < files.size(); ++f) {
    for (std::size_t at = 0; at < files[f].size(); at += record, pixels += picture, ++label) {
      check_interrupted("reading", paths[f]);
      const std::byte* in = files[f].data() + at;
      *label = std::to_integer<std::int32_t>(in[format.taken]);
      if (*label >= format.classes)
        run_error("{}: byte {}: label {} is not below {}", paths[f], at + format.taken, *label, format.classes);
      for (std::size_t k = 0; k < picture; ++k)
        pixels[k % plane * channels + k / plane] =
            static_cast<float>(std::to_integer<int>(in[format.labels + k])) / 255.0f;
    }
  }
  return data;
}

/// The lines of a file of names, if it is there and has as many as there are classes; else numbers.
std::vector<std::string> names_from(const std::string& path, int classes) {
  std::vector<std::string> names;
  if (is_there(path)) {
    const std::vector<std::byte> bytes = read_file(path);
    std::string_view text = text_of(bytes);
    while (!text.empty()) {
      std::string_view line = text.substr(0, text.find('\n'));
      text.remove_prefix(std::min(text.size(), line.size() + 1));
      while (!line.empty() && (line.back() == '\r' || line.back() == ' ')) line.remove_suffix(1);
      if (!line.empty()) names.emplace_back(line);
    }
  }
  if (names.size() == static_cast<std::size_t>(classes)) return names;
  names.clear();
  for (int k = 0; k < classes; ++k) names.push_back(std::to_string(k));
  return names;
}

TrainTest cifar10_in(const std::string& folder) {
  constexpr Format format{.labels = 1, .taken = 0, .classes = 10};
  std::vector<std::string> parts;
  for (int i = 1; i <= 5; ++i) parts.push_back(fmt::format("{}/data_batch_{}.bin", folder, i));
  TrainTest sets{read_records(parts, format), read_records({folder + "/test_batch.bin"}, format)};
  sets.train.classes = {"airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck"};
  sets.test.classes = sets.train.classes;
  sets.train.name = "cifar10 train";
  sets.test.name = "cifar10 test";
  return sets;
}

TrainTest cifar100_in(const std::string& folder, bool coarse) {
  const Format format{.labels = 2, .taken = coarse ? std::size_t{0} : std::size_t{1}, .classes = coarse ? 20 : 100};
  TrainTest sets{read_records({folder + "/train.bin"}, format), read_records({folder + "/test.bin"}, format)};
  sets.train.classes =
      names_from(folder + (coarse ? "/coarse_label_names.txt" : "/fine_label_names.txt"), format.classes);
  sets.test.classes = sets.train.classes;
  sets.train.name = "cifar100 train";
  sets.test.name = "cifar100 test";
  return sets;
}

}  // namespace

TrainTest cifar10(const std::string& folder) {
  return within_memory(folder, [&] { return cifar10_in(folder); });
}

TrainTest cifar100(const std::string& folder, bool coarse) {
  return within_memory(folder, [&] { return cifar100_in(folder, coarse); });
}

}  // namespace thalweg
