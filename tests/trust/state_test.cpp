// SPDX-License-Identifier: Apache-2.0
// What a checkpoint says of a training: all of it comes back, nothing that is wrong in it is taken, and another training
// is told by everything in which it is another.
#include "thalweg/lib/train/training_state.h"

#include <gtest/gtest.h>

#include <cmath>

#include "../data/files.h"
#include "thalweg/graph/parse.h"
#include "thalweg/lib/io/checkpoint_file.h"

namespace thalweg {
namespace {

using testing::run_error_of;

Tensor one(double number) { return Tensor(f32(1), std::vector<double>{number}); }

/// A training in the midst of its third epoch, with everything that one can have.
TrainingState full_state() {
  TrainingState state;
  state.facts = {{"graph", "0123"}, {"version", "1", true}};
  state.epochs_done = 2;
  state.steps_done = 3;
  state.stopping = true;
  state.best_epoch = 1;
  state.seconds = 1.5;
  state.last_loss = 0.25;
  state.last_rate = 0.1;
  state.rate_scale = 0.5;
  state.sums = {4, 5};
  state.samples = 48;
  state.columns = {"epoch", "loss"};
  state.rows = {{1, 0.5}, {2, 0.25}};
  state.training_threads = {4, 2};
  state.validation_threads = {3, 1};
  state.update_threads = 5;
  state.variables = {{"w", one(1)}, {"b", one(2)}};
  state.epoch_begin = {{"w", one(3)}};
  state.skipped = 1;
  state.warnings = {"a step was skipped", "another was"};
  state.callbacks = {{"EarlyStopping", {.tensors = {{"best", one(4)}}, .texts = {{"mode", "min"}}}}, {"Other", {}}};
  return state;
}

TrainingState read_back(const Safetensors& content) { return from_checkpoint(content, full_state().facts, "file"); }

TEST(State, ComesBackWhole) {
  const TrainingState was = full_state(), is = read_back(to_checkpoint(was));
  ASSERT_EQ(is.facts.size(), 2u);
  EXPECT_EQ(is.facts[1].value, "1");
  EXPECT_TRUE(is.facts[1].bits_only);
  EXPECT_EQ(is.epochs_done, 2);
  EXPECT_EQ(is.steps_done, 3);
  EXPECT_TRUE(is.stopping);
  EXPECT_EQ(is.best_epoch, 1);
  EXPECT_EQ(is.seconds, 1.5);
  EXPECT_EQ(is.last_loss, 0.25);
  EXPECT_EQ(is.last_rate, 0.1);
  EXPECT_EQ(is.rate_scale, 0.5);
  EXPECT_EQ(is.sums, was.sums);
  EXPECT_EQ(is.samples, 48);
  EXPECT_EQ(is.columns, was.columns);
  EXPECT_EQ(is.rows, was.rows);
  EXPECT_EQ(is.training_threads.whole * 10 + is.training_threads.rest, 42);
  EXPECT_EQ(is.validation_threads.whole * 10 + is.validation_threads.rest, 31);
  EXPECT_EQ(is.update_threads, 5);
  ASSERT_EQ(is.variables.size(), 2u);
  EXPECT_EQ(is.variables.at("b").number(0), 2);
  ASSERT_EQ(is.epoch_begin.size(), 1u);
  EXPECT_EQ(is.epoch_begin.at("w").number(0), 3);
  EXPECT_EQ(is.skipped, 1);
  EXPECT_EQ(is.warnings, was.warnings);
  ASSERT_EQ(is.callbacks.size(), 2u);
  EXPECT_EQ(is.callbacks[0].first, "EarlyStopping");
  EXPECT_EQ(is.callbacks[0].second.tensors.at("best").number(0), 4);
  EXPECT_EQ(is.callbacks[0].second.texts.at("mode"), "min");
  EXPECT_TRUE(is.callbacks[1].second.tensors.empty() && is.callbacks[1].second.texts.empty());
  EXPECT_NO_THROW(check_same_run(was, is, true, "file"));
}

TEST(State, OfATrainingThatHasJustBegunHasLess) {
  TrainingState state;
  state.columns = {"epoch", "loss"};
  const TrainingState back = from_checkpoint(to_checkpoint(state), {}, "file");
  EXPECT_FALSE(back.last_loss);
  EXPECT_FALSE(back.stopping);
  EXPECT_TRUE(back.sums.empty() && back.rows.empty() && back.variables.empty() && back.callbacks.empty());
}

TEST(State, LacksNothingOfItsMetadata) {
  const Safetensors whole = to_checkpoint(full_state());
  for (const auto& [key, value] : whole.metadata) {
    if (key.starts_with("callback:")) continue;  // what a callback says of itself is its own
    Safetensors less = whole;
    less.metadata.erase(key);
    EXPECT_EQ(run_error_of([&] { read_back(less); }), "file: the checkpoint lacks " + key);
  }
  // Numbers that a training may not have are those it begins with.
  for (const char* name : {"run:seconds", "run:last_loss", "run:last_rate", "run:rate_scale", "run:sums"}) {
    Safetensors less = whole;
    ASSERT_EQ(less.tensors.erase(name), 1u) << name;
    EXPECT_NO_THROW(read_back(less)) << name;
  }
}

TEST(State, NumbersAreWholeAndInTheirRange) {
  const Safetensors whole = to_checkpoint(full_state());
  int numbers = 0;
  for (const auto& [key, value] : whole.metadata) {
    if (value.find_first_not_of("0123456789") != value.npos || key == checkpoint_key || key.ends_with(".graph") ||
        key.ends_with(".version"))
      continue;
    ++numbers;
    for (const char* wrong : {"", "x", "-1", "1x", " 1", "99999999999999999999", "9223372036854775808"}) {
      Safetensors damaged = whole;
      damaged.metadata[key] = wrong;
      EXPECT_CONTAINS(run_error_of([&] { read_back(damaged); }),
                      "file: " + key + " is `" + wrong + "`, must be a whole number from 0 to ");
    }
  }
  EXPECT_GE(numbers, 10);
  const auto refused = [&](const std::string& key, const std::string& value) {
    Safetensors damaged = whole;
    EXPECT_TRUE(damaged.metadata.contains("thalweg." + key)) << key;
    damaged.metadata["thalweg." + key] = value;
    return run_error_of([&] { read_back(damaged); });
  };
  EXPECT_CONTAINS(refused("checkpoint", "1"), "is a checkpoint of format `1`, and this Thalweg reads format 2");
  EXPECT_CONTAINS(refused("stopping", "2"), "must be a whole number from 0 to 1");
  EXPECT_CONTAINS(refused("threads.update", "257"), "from 0 to 256");
  EXPECT_CONTAINS(refused("callbacks", "3"), "the checkpoint lacks thalweg.callback.2");
  EXPECT_CONTAINS(refused("epochs_done", "3"), "the history has 4 numbers, which is not 3 epochs of 2 columns");
  EXPECT_CONTAINS(refused("columns", ""), "the history has 4 numbers, which is not 2 epochs of 0 columns");
  Safetensors narrow = whole;
  narrow.tensors["run:sums"] = one(1);
  EXPECT_EQ(run_error_of([&] { read_back(narrow); }), "file: tensor 'run:sums' is f32[1], must be f64");
}

TEST(State, WithAnotherHistoryIsNotTaken) {
  TrainingState saved = full_state();
  saved.columns = {"epoch", "other"};
  EXPECT_CONTAINS(run_error_of([&] { check_same_run(full_state(), saved, false, "file"); }),
                  "columns of the history are [epoch, other] in the checkpoint and [epoch, loss] here");
}

TEST(State, CountsOfCallbacksAreWholeNumbers) {
  CallbackState state;
  for (const double count : {0.0, 7.0, 2147483647.0}) {
    state.set("wait", count);
    EXPECT_EQ(state.whole("wait"), count);
  }
  for (const double wrong : {-1.0, 0.5, 2147483648.0, 1e300, -1e300, HUGE_VAL, std::nan("")}) {
    state.set("wait", wrong);
    EXPECT_CONTAINS(run_error_of([&] { state.whole("wait"); }), "must be a whole number from 0 to 2147483647");
  }
}

TEST(State, OfAnotherTrainingIsToldByAllThatDiffers) {
  const TrainingState saved = full_state();
  TrainingState here = full_state();
  here.facts[1].value = "2";
  EXPECT_EQ(run_error_of([&] { check_same_run(here, saved, true, "file"); }),
            "file: is not of this training\n    version is 1 in the checkpoint and 2 here\n"
            "    training could go on, though not with the same bits: .same_bits = false allows it");
  EXPECT_NO_THROW(check_same_run(here, saved, false, "file"));
  here.facts[0].value = "4567";
  here.variables = {{"w", Tensor(f32(2))}, {"c", one(1)}};
  here.callbacks.pop_back();
  EXPECT_EQ(run_error_of([&] { check_same_run(here, saved, true, "file"); }),
            "file: is not of this training\n    graph is 0123 in the checkpoint and 4567 here\n"
            "    version is 1 in the checkpoint and 2 here\n    variable 'c' is not in the checkpoint\n"
            "    variable 'w' is f32[1] in the checkpoint and f32[2] here\n    'b' of the checkpoint is no variable here\n"
            "    callbacks are [EarlyStopping, Other] in the checkpoint and [EarlyStopping] here");
}

TEST(State, DigestsTellGraphsAndData) {
  const std::string text = "graph g {\n  @w = variable : f32[2]  # a.cpp:1\n  %0 = square @w : f32[2]  # a.cpp:2\n"
                           "  output y = %0\n  update @w <- %0\n}\n";
  const auto digest = [&](const std::string& from, const std::string& to) {
    std::string changed = text;
    if (!from.empty()) changed.replace(changed.find(from), from.size(), to);
    return graph_digest(parse(changed));
  };
  const std::string usual = digest("", "");
  EXPECT_EQ(usual.size(), 16u);
  EXPECT_EQ(digest("a.cpp:2", "b.cpp:9"), usual);
  EXPECT_NE(digest("square", "exp"), usual);
  EXPECT_NE(digest("output y", "output z"), usual);
  EXPECT_NE(digest("update @w <- %0\n", "\n"), usual);

  Dataset data;
  data.inputs = Tensor(f32(2, 2), std::vector<double>{1, 2, 3, 4});
  data.labels = Tensor(i32(2), std::vector<double>{0, 1});
  const std::string before = data_digest(data);
  EXPECT_EQ(before.size(), 8u);
  data.weights = Tensor(f32(2), std::vector<double>{1, 1});
  EXPECT_NE(data_digest(data), before);
  data.weights = {};
  EXPECT_EQ(data_digest(data), before);
  data.labels.as<std::int32_t>()[1] = 0;
  EXPECT_NE(data_digest(data), before);
}

}  // namespace
}  // namespace thalweg
