// SPDX-License-Identifier: Apache-2.0
#include "thalweg/ops/augment.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <functional>
#include <map>

#include "../data/files.h"
#include "models.h"
#include "thalweg/graph/interpret.h"
#include "thalweg/lib/compile/program.h"
#include "thalweg/lib/train/fit.h"
#include "thalweg/lib/train/with_batch.h"
#include "thalweg/ops/index.h"
#include "thalweg/ops/inference.h"

namespace thalweg {
namespace {

using testing::run_error_of;

constexpr Dim side = 9, channels = 2, samples = 12;
constexpr std::size_t each = side * side * channels;

/// Pictures that are all different: numbers in [0, 1).
std::vector<float> pictures() {
  std::vector<float> all(samples * each);
  for (std::size_t i = 0; i < all.size(); ++i)
    all[i] = static_cast<float>(uniform24(philox(philox_counter(i, 7), {1, 2})[0]));
  return all;
}

/// The output of that name, in double.
std::vector<double> meaning_of(const Graph& g, const std::map<std::string, std::vector<double>>& feeds,
                               const std::string& output = "y") {
  Interpreter interpreter(g);
  for (const auto& [name, numbers] : feeds)
    interpreter.set(name, Array<double>(g.find(name).shape(), numbers));
  interpreter.evaluate();
  return interpreter.output(output).data;
}

using Augmentation = std::function<Value(const Value& image)>;

Graph augmented(Dim batch, const Augmentation& change) {
  Graph g("augmented");
  g.output("y", change(input(g, "x", f32(batch, side, side, channels))));
  return g;
}

/// What becomes of all pictures, in batches of that size.
std::vector<float> seen(const Augmentation& change, Dim batch, std::int64_t epoch, int threads = 1,
                        std::vector<std::int64_t> order = {}) {
  if (order.empty())
    for (std::int64_t i = 0; i < samples; ++i) order.push_back(i);
  const std::vector<float> all = pictures();
  std::vector<float> result(all.size());
  Program program = compile(augmented(batch, change), {.logical_threads = threads});
  for (Dim first = 0; first < samples; first += batch) {
    for (Dim i = 0; i < batch; ++i) {
      const auto id = static_cast<std::size_t>(order[static_cast<std::size_t>(first + i)]);
      std::copy_n(all.begin() + static_cast<std::ptrdiff_t>(id * each), each,
                  program.input<float>("x").begin() + static_cast<std::ptrdiff_t>(static_cast<std::size_t>(i) * each));
      program.input<std::int64_t>("sample_id")[static_cast<std::size_t>(i)] = static_cast<std::int64_t>(id);
    }
    program.input<std::int64_t>("epoch")[0] = epoch;
    program.run();
    for (Dim i = 0; i < batch; ++i)
      std::copy_n(program.output<float>("y").begin() + static_cast<std::ptrdiff_t>(static_cast<std::size_t>(i) * each),
                  each,
                  result.begin() + order[static_cast<std::size_t>(first + i)] * static_cast<std::ptrdiff_t>(each));
  }
  return result;
}

/// Every augmentation of pictures alone.
const std::map<std::string, Augmentation>& augmentations() {
  static const std::map<std::string, Augmentation> all = {
      {"flip", [](const Value& x) { return random_flip(x, {.vertical = 0.5}); }},
      {"crop", [](const Value& x) { return random_crop(x, 2); }},
      {"translation", [](const Value& x) { return random_translation(x, 0.2, 0.2); }},
      {"rotation", [](const Value& x) { return random_rotation(x, 0.1, {.mode = FillMode::wrap}); }},
      {"zoom", [](const Value& x) { return random_zoom(x, 0.3, {.mode = FillMode::nearest}); }},
      {"zoom of each axis", [](const Value& x) { return random_zoom(x, 0.3, {-0.2, 0.1}); }},
      {"brightness", [](const Value& x) { return random_brightness(x, 0.2); }},
      {"contrast", [](const Value& x) { return random_contrast(x, 0.4); }},
      {"noise", [](const Value& x) { return random_noise(x, 0.1); }},
      {"cutout", [](const Value& x) { return cutout(x, 4, {.probability = 0.7}); }},
      {"all at once", [](const Value& x) {
         const Value moved = random_rotation(random_flip(random_crop(x, 1)), 0.05);
         return cutout(random_noise(random_contrast(moved, 0.2), 0.01), 3);
       }}};
  return all;
}

TEST(Augmentation, IsTheSameForAnyBatchOrderAndThreads) {
  std::vector<std::int64_t> backwards(samples);
  for (std::size_t i = 0; i < backwards.size(); ++i) backwards[i] = samples - 1 - static_cast<std::int64_t>(i);
  for (const auto& [name, change] : augmentations()) {
    SCOPED_TRACE(name);
    const std::vector<float> once = seen(change, samples, 3);
    EXPECT_NE(once, pictures());
    for (const Dim batch : {1, 2, 3, 6}) EXPECT_EQ(seen(change, batch, 3), once) << batch;
    EXPECT_EQ(seen(change, 4, 3, 1, backwards), once);
    EXPECT_EQ(seen(change, samples, 3, 4), once);
    EXPECT_NE(seen(change, samples, 4), once) << "another epoch";
  }
}

TEST(Augmentation, IsTheIdentityInInference) {
  for (const auto& [name, change] : augmentations()) {
    const Graph g = inference(augmented(4, change));
    EXPECT_EQ(g.size(), 1u) << name;
    EXPECT_EQ(g.inputs().size(), 1u) << name;
  }
}

TEST(Augmentation, FollowsTheBatch) {
  for (const auto& [name, change] : augmentations()) {
    SCOPED_TRACE(name);
    // Lines differ between the two builds by accident only: none is known here.
    EXPECT_EQ(print(with_batch(augmented(6, change), 5)), print(augmented(5, change)));
  }
}

TEST(Augmentation, KernelsSayWhatTheInterpreterSays) {
  const std::vector<float> all = pictures();
  std::map<std::string, std::vector<double>> feeds;
  feeds["x"].assign(all.begin(), all.end());
  feeds["epoch"] = {5};
  for (std::int64_t i = 0; i < samples; ++i) feeds["sample_id"].push_back(static_cast<double>(i));
  for (const auto& [name, change] : augmentations()) {
    SCOPED_TRACE(name);
    const std::vector<float> got = seen(change, samples, 5);
    const std::vector<double> want = meaning_of(augmented(samples, change), feeds);
    for (std::size_t i = 0; i < got.size(); ++i) ASSERT_NEAR(got[i], want[i], 1e-5) << i;
  }
}

TEST(Augmentation, FlipsAreExactAndIndependent) {
  const std::vector<float> before = pictures();
  const auto flips = [&](const std::vector<float>& after) {
    std::string words;
    for (std::size_t s = 0; s < samples; ++s) {
      char word = '?';
      for (int kind = 0; kind < 4; ++kind) {
        bool same = true;
        for (std::size_t r = 0; r < side; ++r)
          for (std::size_t c = 0; c < side; ++c)
            for (std::size_t k = 0; k < channels; ++k) {
              const std::size_t rr = kind & 2 ? side - 1 - r : r, cc = kind & 1 ? side - 1 - c : c;
              same = same && after[s * each + (r * side + c) * channels + k] ==
                                 before[s * each + (rr * side + cc) * channels + k];
            }
        if (same) word = "=hvr"[kind];
      }
      words += word;
    }
    return words;
  };
  const std::string apart =
      flips(seen([](const Value& x) { return random_flip(x, {.vertical = 0.5}); }, samples, 1)) +
      flips(seen([](const Value& x) { return random_flip(x, {.vertical = 0.5}); }, samples, 2));
  for (const char word : std::string("=hvr")) EXPECT_NE(apart.find(word), std::string::npos) << apart;
  EXPECT_EQ(apart.find('?'), std::string::npos) << apart;
  const std::string together = flips(seen(
      [](const Value& x) { return random_flip(x, {.vertical = 0.5, .together = true}); }, samples, 1));
  EXPECT_EQ(together.find_first_not_of("=r"), std::string::npos) << together;
  EXPECT_EQ(flips(seen([](const Value& x) { return random_flip(x, {.horizontal = 1}); }, samples, 1)),
            std::string(samples, 'h'));
}

TEST(Augmentation, CropsMoveWholePixels) {
  const std::vector<float> before = pictures();
  const std::vector<float> after = seen([](const Value& x) { return random_crop(x, 2, {.fill = -1}); }, samples, 1);
  std::map<std::pair<int, int>, int> offsets;
  for (std::size_t s = 0; s < samples; ++s)
    for (int dr = -2; dr <= 2; ++dr)
      for (int dc = -2; dc <= 2; ++dc) {
        bool same = true;
        for (int r = 0; r < side; ++r)
          for (int c = 0; c < side; ++c) {
            const int rr = r + dr, cc = c + dc;
            const bool inside = rr >= 0 && rr < side && cc >= 0 && cc < side;
            const auto from = static_cast<std::size_t>((rr * side + cc) * channels);
            const float want = inside ? before[s * each + from] : -1.0f;
            same = same && after[s * each + static_cast<std::size_t>((r * side + c) * channels)] == want;
          }
        if (same) ++offsets[{dr, dc}];
      }
  int found = 0;
  for (const auto& [offset, count] : offsets) found += count;
  EXPECT_EQ(found, samples);
  EXPECT_GT(offsets.size(), 5u);
}

// ---- the geometry

/// An image of 4x5 moved by one map, in double.
std::vector<double> moved(const std::vector<double>& map, const AffineOptions& options) {
  Graph g;
  const std::vector<double> image = {0.5, 5, 3, 1, 6, 3, 1.5, 6, 4, 2, 6, 4, 2.5, 0, 5, 2, 0, 5, 3.5, 1};
  g.output("y", affine_transform(constant(g, image, f64(1, 4, 5, 1)), constant(g, map, f64(1, 6)), options));
  return meaning_of(g, {});
}

TEST(AffineTransform, SaysWhatScipySays) {
  // scipy.ndimage.affine_transform(image, …, order=1, cval=-1), scipy 1.x, in the modes grid-constant, nearest, reflect
  // and grid-wrap.
  const double c = std::cos(0.2 * M_PI), s = std::sin(0.2 * M_PI);
  const std::vector<double> turn = {c, s, 1.5 - c * 1.5 - s * 2, -s, c, 2 + s * 1.5 - c * 2};
  const std::vector<double> far = {0.7, 0, -6.3, 0, 1.3, 9.6};
  struct Example {
    const std::vector<double>& map;
    FillMode mode;
    std::vector<double> want;
  };
  const std::vector<Example> examples = {
      {turn, FillMode::constant,
       {-0.3930543028, 1.69322226651, 2.09606776844, 2.84932650655, 1.19433130895, 3.17769598303, 3.85341038798,
        5.0639623636, 1.55328399959, 3.65443515912, 2.33347499524, 2.46246947749, 3.10667370785, 2.69651595981,
        2.39418337739, 1.80855001916, 4.87842878855, 1.51718287608, 2.93829864168, -0.457073238226}},
      {turn, FillMode::nearest,
       {4.47271222062, 2.85467823187, 2.09606776844, 2.84932650655, 3.38613503907, 3.54136386828, 3.85341038798,
        5.0639623636, 1.55328399959, 3.65443515912, 2.33347499524, 2.46246947749, 3.10667370785, 2.69651595981,
        2.68964659349, 4.61386496093, 4.87842878855, 1.51718287608, 4.63669557968, 3.89546583453}},
      {turn, FillMode::wrap,
       {1.668065327, 3.4682464721, 2.09606776844, 2.84932650655, 3.88584690626, 3.3096888183, 3.85341038798,
        5.0639623636, 1.55328399959, 3.65443515912, 2.33347499524, 2.46246947749, 3.10667370785, 2.69651595981,
        2.68412596469, 4.11415309374, 4.87842878855, 1.51718287608, 4.18732862716, 1.78992820753}},
      {far, FillMode::constant, std::vector<double>(20, -1)},
      {far, FillMode::nearest, std::vector<double>(20, 6)},
      {far, FillMode::reflect,
       {5.1, 3.435, 3.08, 2.65, 4.1, 4.4, 2.6, 3.08, 2.4, 3.4, 2.0, 0.2, 4.7, 2.25, 1.0, 2.0, 0.2, 4.7, 2.25, 1.0}},
      {far, FillMode::wrap,
       {4.7, 3.435, 3.08, 2.65, 4.9, 4.0, 2.6, 3.08, 2.4, 4.2, 1.71, 0.635, 4.49, 2.375, 1.78, 2.48, 3.68, 3.02, 3.25,
        1.64}}};
  for (const Example& example : examples) {
    const std::vector<double> got = moved(example.map, {.mode = example.mode, .fill = -1});
    for (std::size_t i = 0; i < 20; ++i)
      EXPECT_NEAR(got[i], example.want[i], 1e-10) << static_cast<int>(example.mode) << " " << i;
  }
}

TEST(AffineTransform, QuarterTurnsAreExact) {
  Graph g;
  const Value image = constant(g, {1, 2, 3, 4}, f64(1, 2, 2, 1));
  const Value turn = unit_vector(constant(g, 0.25, f64(1)));
  g.output("turn", turn);
  EXPECT_EQ(meaning_of(g, {}, "turn"), (std::vector<double>{0, 1}));
  // Counter-clockwise: what was at the top right comes to the top left.
  const Value map = constant(g, {0, 1, 0, -1, 0, 1}, f64(1, 6));
  g.output("y", affine_transform(image, map));
  EXPECT_EQ(meaning_of(g, {}), (std::vector<double>{2, 4, 1, 3}));
  EXPECT_TRUE(std::isnan(moved({NAN, 0, 0, 0, 1, 0}, {})[0]));
  EXPECT_TRUE(std::isnan(moved({1, 0, INFINITY, 0, 1, 0}, {})[0]));
  EXPECT_EQ(moved({1, 0, 1e300, 0, 1, 0}, {.fill = 2}), std::vector<double>(20, 2));
}

// ---- mixing

TEST(Mixing, SharesAreBetaAndKeyedBySample) {
  Graph g;
  const Value ids = input(g, "ids", i64(4000)), when = input(g, "epoch", i64());
  for (const double alpha : {0.2, 1.0, 4.0})
    g.output("b" + std::to_string(static_cast<int>(alpha * 10)), sample_beta(ids, when, f64(4000), alpha));
  std::map<std::string, std::vector<double>> feeds;
  for (int i = 0; i < 4000; ++i) feeds["ids"].push_back(i);
  feeds["epoch"] = {1};
  for (const double alpha : {0.2, 1.0, 4.0}) {
    const std::vector<double> b = meaning_of(g, feeds, "b" + std::to_string(static_cast<int>(alpha * 10)));
    double sum = 0, squares = 0;
    for (const double x : b) {
      EXPECT_GE(x, 0);
      EXPECT_LE(x, 1);
      sum += x;
      squares += (x - 0.5) * (x - 0.5);
    }
    const double variance = 1 / (4 * (2 * alpha + 1));
    // Six standard errors of the mean, and of the variance (a bounded number's fourth moment is at most its second's).
    EXPECT_NEAR(sum / 4000, 0.5, 6 * std::sqrt(variance / 4000)) << alpha;
    EXPECT_NEAR(squares / 4000, variance, 6 * std::sqrt(variance / 4 / 4000)) << alpha;
  }
}

struct Pair {
  std::vector<float> image, labels;
};
Pair mixed_by(const std::function<Mixed(const Value&, const Value&)>& mix, Dim batch, std::int64_t epoch) {
  Graph g("mixed");
  const Value x = input(g, "x", f32(batch, side, side, channels)), t = input(g, "t", f32(batch, samples));
  const Mixed m = mix(x, t);
  g.output("y", m.image);
  g.output("u", m.labels);
  Program program = compile(g);
  const std::vector<float> all = pictures();
  Pair pair;
  for (Dim first = 0; first < samples; first += batch) {
    const auto at = static_cast<std::ptrdiff_t>(static_cast<std::size_t>(first) * each);
    std::copy_n(all.begin() + at, static_cast<std::ptrdiff_t>(static_cast<std::size_t>(batch) * each),
                program.input<float>("x").begin());
    for (Dim i = 0; i < batch; ++i) {
      program.input<std::int64_t>("sample_id")[static_cast<std::size_t>(i)] = first + i;
      for (Dim k = 0; k < samples; ++k)
        program.input<float>("t")[static_cast<std::size_t>(i * samples + k)] = k == first + i ? 1.0f : 0.0f;
    }
    program.input<std::int64_t>("epoch")[0] = epoch;
    program.run();
    const auto y = program.output<float>("y"), u = program.output<float>("u");
    pair.image.insert(pair.image.end(), y.begin(), y.end());
    pair.labels.insert(pair.labels.end(), u.begin(), u.end());
  }
  return pair;
}

TEST(Mixing, IsTheSameForAnyEvenBatch) {
  for (const auto& mix : {std::function<Mixed(const Value&, const Value&)>([](const Value& x, const Value& t) {
                            return mixup(x, t, 0.5);
                          }),
                          std::function<Mixed(const Value&, const Value&)>([](const Value& x, const Value& t) {
                            return cutmix(x, t);
                          })}) {
    const Pair once = mixed_by(mix, 12, 2);
    for (const Dim batch : {2, 4, 6}) {
      const Pair other = mixed_by(mix, batch, 2);
      EXPECT_EQ(other.image, once.image) << batch;
      EXPECT_EQ(other.labels, once.labels) << batch;
    }
    EXPECT_NE(mixed_by(mix, 12, 3).image, once.image);
    // The last of an odd batch stays as it is.
    const Pair odd = mixed_by(mix, 3, 2);
    const std::vector<float> all = pictures();
    for (std::size_t i = 2 * each; i < 3 * each; ++i) ASSERT_EQ(odd.image[i], all[i]);
    for (Dim k = 0; k < samples; ++k) EXPECT_EQ(odd.labels[static_cast<std::size_t>(2 * samples + k)], k == 2 ? 1 : 0);
  }
}

TEST(Mixing, LabelsSayHowMuchOfEachThereIs) {
  const std::vector<float> all = pictures();
  const Pair up = mixed_by([](const Value& x, const Value& t) { return mixup(x, t, 1); }, 12, 1);
  const Pair cut = mixed_by([](const Value& x, const Value& t) { return cutmix(x, t); }, 12, 1);
  int pasted = 0;
  for (std::size_t s = 0; s < samples; ++s) {
    const std::size_t other = s ^ 1;
    const float share = up.labels[s * samples + s];
    EXPECT_NEAR(up.labels[s * samples + other], 1 - share, 1e-6);
    for (std::size_t i = 0; i < each; ++i)
      ASSERT_NEAR(up.image[s * each + i], share * all[s * each + i] + (1 - share) * all[other * each + i], 1e-5);
    int own = 0;
    for (std::size_t i = 0; i < each; i += channels) {
      const float x = cut.image[s * each + i];
      if (x == all[s * each + i]) ++own;
      else ASSERT_EQ(x, all[other * each + i]);
    }
    EXPECT_NEAR(cut.labels[s * samples + s], own / 81.0, 1e-6);
    pasted += 81 - own;
  }
  EXPECT_GT(pasted, 81);
}

// ---- fit

TEST(Augmentation, FitFeedsEpochsAndSamples) {
  // A net that says which samples it saw in which epoch: the sum of both, as outputs.
  const auto model = [](Dim batch) {
    Graph g("fed");
    const Value x = input(g, "x", f32(batch, 2)), t = input(g, "t", i32(batch));
    testing::finish(g, dense(random_noise(x, 0.1), 3), t, Sgd{.rate = 0.1});
    g.output("epochs", cast(epoch(g), DType::f64));
    g.output("ids", mean(cast(sample_ids(g, batch), DType::f64)));
    return g;
  };
  const Dataset data = testing::spiral(21);
  const History history = fit(model(4), data, {.epochs = 2, .validation = 1.0 / 3, .verbose = 0});
  EXPECT_EQ(history["epochs"], (std::vector<double>{1, 2}));
  EXPECT_NEAR(history["ids"][0], 6.5, 1e-12);    // samples 0 to 13, shuffled
  EXPECT_NEAR(history["val_ids"][0], 17, 1e-12);  // 14 to 20
  // The noise of a sample does not depend on the batch it comes in: neither do full-batch gradients of a sum.
  const Scores a = evaluate(model(4), history.variables, data), b = evaluate(model(7), history.variables, data);
  EXPECT_NEAR(a["loss"], b["loss"], 1e-6);
  EXPECT_EQ(a["ids"], 10);
  const Tensor scores = predict(model(4), history.variables, data.inputs, "logits");
  EXPECT_EQ(scores.shape()[0], 21);
}

TEST(Augmentation, WrongArgumentsNameTheirLine) {
  Graph g;
  const Value x = input(g, "x", f32(4, 8, 8, 3)), flat = input(g, "flat", f32(4, 8));
  const auto error = [](const std::function<void()>& f) -> std::string {
    try {
      f();
    } catch (const GraphError& e) {
      return std::string(e.what()).substr(0, std::string(e.what()).find('\n'));
    }
    return "no error";
  };
  const SourceLoc at{"net.cpp", 8};
  const Operand image(x, at);
  EXPECT_EQ(error([&] { random_flip({flat, at}); }), "net.cpp:8: random_flip: needs images [B,H,W,C], got f32[4,8]");
  EXPECT_EQ(error([&] { random_flip(image, {.horizontal = 1.5}); }),
            "net.cpp:8: random_flip: horizontal is 1.5, must be in [0, 1]");
  EXPECT_EQ(error([&] { random_crop(image, -1); }), "net.cpp:8: random_crop: padding is -1, must be 0 or more");
  EXPECT_EQ(error([&] { random_rotation(image, {0.2, 0.1}); }),
            "net.cpp:8: random_rotation: factor is drawn from [0.2, 0.1], which is no range");
  EXPECT_EQ(error([&] { random_translation(image, std::nan(""), 0.1); }),
            "net.cpp:8: random_translation: height is drawn from [nan, nan], which is no range");
  EXPECT_EQ(error([&] { random_contrast(image, 1.5); }),
            "net.cpp:8: random_contrast: factor is drawn from [-1.5, 1.5], must be -1 or more");
  EXPECT_EQ(error([&] { random_brightness(image, 0.1, {.low = 1, .high = 0}); }),
            "net.cpp:8: random_brightness: pixels are in [1, 0], which is no range");
  EXPECT_EQ(error([&] { random_noise(image, -1); }), "net.cpp:8: random_noise: stddev is -1, must be 0 or more");
  EXPECT_EQ(error([&] { cutout(image, 0); }), "net.cpp:8: cutout: size is 0, must be 1 or more");
  EXPECT_EQ(error([&] { mixup(image, flat, 0); }), "net.cpp:8: mixup: alpha is 0, must be above 0");
  EXPECT_EQ(error([&] { cutmix(image, input(g, "t", i32(4))); }),
            "net.cpp:8: cutmix: labels must be float [4,…], as one_hot() makes them, got i32[4]");
  EXPECT_EQ(error([&] { random_noise(3, 1); }).substr(0, 12), "augment_test");
  Graph taken;
  const Value y = input(taken, "x", f32(4, 8, 8, 3));
  input(taken, "epoch", f32(3));
  EXPECT_CONTAINS(error([&] { random_flip({y, at}); }),
                  "net.cpp:8: the name 'epoch' is that of an input i64[], which fit feeds, and is taken");
}

}  // namespace
}  // namespace thalweg
