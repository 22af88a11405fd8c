// SPDX-License-Identifier: Apache-2.0
#include "thalweg/lib/train/history.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <limits>

#include "../data/files.h"
#include "thalweg/lib/train/progress.h"

namespace thalweg {
namespace {

using testing::content_of;
using testing::Folder;
using testing::run_error_of;

History example() {
  History history;
  history.columns = {"epoch", "loss", "accuracy", "val_loss", "val_accuracy", "seconds"};
  history.rows = {{1, 1.5, 0.25, 1.75, 0.5, 0.125}, {2, 0.1, 0.75, 0.2, 1, 0.25}};
  return history;
}

TEST(History, ReadsByName) {
  const History history = example();
  EXPECT_EQ(history["val_loss"], (std::vector<double>{1.75, 0.2}));
  EXPECT_EQ(history.last("accuracy"), 0.75);
  EXPECT_EQ(history.epochs(), 2u);
  EXPECT_CONTAINS(run_error_of([&] { history["val_los"]; }), "did you mean val_loss");
  EXPECT_CONTAINS(run_error_of([&] { History{.columns = {"loss"}, .rows = {}, .variables = {}, .warnings = {}}.last("loss"); }),
                  "no epoch yet");
}

TEST(History, WritesCsv) {
  const Folder folder;
  write_csv(example(), folder.file("history.csv"));
  EXPECT_EQ(content_of(folder.file("history.csv")),
            "epoch,loss,accuracy,val_loss,val_accuracy,seconds\n"
            "1,1.5,0.25,1.75,0.5,0.125\n"
            "2,0.1,0.75,0.2,1,0.25\n");
}

/// Whether every tag is closed in order and every attribute quoted: what XML asks of this text.
::testing::AssertionResult well_formed(const std::string& text) {
  std::vector<std::string> open;
  for (std::size_t at = 0; at < text.size();) {
    if (text[at] == '&') {
      const std::size_t end = text.find(';', at);
      if (end == text.npos || end - at > 6) return ::testing::AssertionFailure() << "a bare & at " << at;
    }
    if (text[at] != '<') {
      ++at;
      continue;
    }
    const std::size_t end = text.find('>', at);
    if (end == text.npos) return ::testing::AssertionFailure() << "an open tag at " << at;
    const std::string tag = text.substr(at + 1, end - at - 1);
    if (std::count(tag.begin(), tag.end(), '"') % 2 != 0) return ::testing::AssertionFailure() << "quotes in " << tag;
    if (tag.find('<') != tag.npos) return ::testing::AssertionFailure() << "< in " << tag;
    const std::string name = tag.substr(tag[0] == '/' ? 1 : 0, tag.find_first_of(" /", 1) - (tag[0] == '/' ? 1 : 0));
    if (tag[0] == '/') {
      if (open.empty() || open.back() != tag.substr(1)) return ::testing::AssertionFailure() << "closes " << tag;
      open.pop_back();
    } else if (tag.back() != '/') {
      open.push_back(name);
    }
    at = end + 1;
  }
  if (!open.empty()) return ::testing::AssertionFailure() << open.back() << " stays open";
  return ::testing::AssertionSuccess();
}

TEST(Svg, IsWellFormedWhateverWasMeasured) {
  History odd = example();
  odd.columns[2] = "a<b & \"c\"";
  odd.rows.push_back({3, std::nan(""), std::numeric_limits<double>::infinity(), 0.1, 1, 0.1});
  History one = example();
  one.rows.resize(1);
  History none = example();
  none.rows.clear();
  History constant = example();
  constant.rows[0][1] = constant.rows[1][1] = 0;
  for (const History& history : {example(), odd, one, none, constant, History{}}) {
    const std::string svg = to_svg(history);
    EXPECT_TRUE(well_formed(svg));
    EXPECT_EQ(svg.find("nan"), svg.npos);
    EXPECT_EQ(svg.find("inf"), svg.npos);
  }
}

TEST(Svg, ShowsEveryCurveByName) {
  const std::string svg = to_svg(example());
  for (const char* part : {">loss<", ">val_loss<", ">accuracy<", ">val_accuracy<", "prefers-color-scheme: dark",
                           ">epoch<", "Learning curves over 2 epochs"})
    EXPECT_CONTAINS(svg, part);
  // Losses above, the rest below; what is measured on held-out samples is dashed.
  EXPECT_LT(svg.find(">val_loss<"), svg.find("translate(0 270)"));
  EXPECT_GT(svg.find(">accuracy<"), svg.find("translate(0 270)"));
  EXPECT_CONTAINS(svg, "class=\"curve k0\"");
  EXPECT_CONTAINS(svg, "class=\"curve k1 dashed\"");
  const Folder folder;
  write_svg(example(), folder.file("curves.svg"));
  EXPECT_EQ(content_of(folder.file("curves.svg")), svg);
}

TEST(Progress, LinesAreKerasLike) {
  EXPECT_EQ(epoch_line(example(), 5),
            "Epoch 2/5 - 0.2s - loss: 0.1000 - accuracy: 0.7500 - val_loss: 0.2000 - val_accuracy: 1.0000");
  EXPECT_EQ(measures_text({"loss", "rate"}, {1e-5, 0}), "loss: 1.0000e-05 - rate: 0.0000");
}

TEST(Progress, BarFitsTheScreen) {
  Screen screen{.open = true, .terminal = true, .utf8 = false, .colour = false, .width = 100};
  EXPECT_EQ(bar_line(screen, 1, 5, 500, 1000, 0.5, "loss: 0.35"),
            "Epoch 1/5 [===============>..............] 500/1000 1.0k/s ETA 0s - loss: 0.35");
  for (int width = 1; width < 120; ++width) {
    screen.width = width;
    EXPECT_LE(bar_line(screen, 1, 5, 500, 1000, 0.5, "loss: 0.35 - accuracy: 0.9").size(),
              static_cast<std::size_t>(width));
  }
  screen.utf8 = true;
  screen.width = 100;
  EXPECT_CONTAINS(bar_line(screen, 1, 5, 500, 1000, 100, "x"), "━━━───");
  EXPECT_CONTAINS(bar_line(screen, 1, 5, 500, 1000, 100, "x"), "5/s ETA 1:40 - x");
  EXPECT_EQ(bar_line(screen, 1, 5, 500, 1000, 100, "x").find('\x1b'), std::string::npos);
}

}  // namespace
}  // namespace thalweg
