// SPDX-License-Identifier: Apache-2.0
// The page of `thalweg dump --format html` in headless Chromium, used with mouse and keys. Skipped where there is no
// Chromium.
#include <gtest/gtest.h>

#include <iostream>
#include <memory>

#include "browser.h"

namespace thalweg::project {
namespace {

class Page : public testing::Test {
 protected:
  void SetUp() override {
    if (Browser::program().empty()) GTEST_SKIP() << "no Chromium here";
    browser_ = std::make_unique<Browser>();
  }

  void open(const std::string& arguments, const std::string& fragment = "") {
    const std::filesystem::path file = folder_.path() / "page.html";
    const Ran ran = run(word_of(setting("THALWEG_TOOL")) + " dump --format html -o " + word_of(file) + " " + arguments);
    ASSERT_EQ(ran.status, 0) << ran.err;
    browser_->open(file, fragment);
    // What the test asks again and again.
    browser_->value("all = (s) => [...document.querySelectorAll(s)]; boxes = () => all('#nodes > g').length;"
                    "with_text = (s, t) => all(s).find((e) => e.textContent.includes(t)); 0");
  }
  int boxes() { return browser_->value("boxes()").get<int>(); }

  Folder folder_;
  std::unique_ptr<Browser> browser_;
};
#define EXPECT_PAGE(expression) EXPECT_TRUE(browser_->holds(expression)) << expression

TEST_F(Page, SaysAtOnceWhereTheMemoryGoesAndWhatDidNotFuse) {
  open("lenet --batch 4 --stage planned");
  EXPECT_PAGE("boxes() > 2 && boxes() < 80");
  const auto side = browser_->value("document.getElementById('side').textContent").get<std::string>();
  for (const char* words : {"Where the memory goes", "weights and counters", "what the optimizer remembers",
                            "values kept from the forward part", "gradients", "What did not fuse", "Alive at the peak"})
    EXPECT_NE(side.find(words), std::string::npos) << words;
  EXPECT_PAGE("all('#unfused td.code').length > 1 && all('#peak tr.go').length > 3 && all('#layers tr.go').length > 3");
  EXPECT_PAGE("all('#timeline rect.b').length > 10 && all('#timeline text.label').length > 2");
  // What is drawn how is said above the graph, and a layer without a scope has the name of its op.
  EXPECT_PAGE("['one kernel', 'through memory'].every((w) => document.getElementById('legend').textContent.includes(w))");
  EXPECT_PAGE("with_text('#layers tr.go', 'max_pool')");
  // All of it is large enough to be read, and within the window.
  EXPECT_PAGE("thalweg.zoom >= .5 && all('#nodes > g').every((g) => g.getBoundingClientRect().x >= 0)");
}

TEST_F(Page, AnswersMouseAndKeys) {
  open("lenet --batch 4 --stage planned");
  browser_->click("document.getElementById('shut')");
  const int closed = boxes();
  EXPECT_LT(closed, 40);
  browser_->click("with_text('#nodes > g.group', 'forward')");
  EXPECT_GT(boxes(), closed);
  browser_->click("document.getElementById('open')");
  EXPECT_PAGE("all('#nodes > g.group.shut').length === 0 && boxes() > 100");
  EXPECT_PAGE("all('#boxes > g.group.kernel').length > 2 && all('#edges > path.un').length > 10");

  // A node shows what it is connected with, and the panel what it is, wherever that was scrolled to.
  browser_->value("document.getElementById('side').scrollTop = 300; 0");
  browser_->click(
      "all('#nodes > g.node').find((g) => g.textContent.includes('conv2d') && !g.textContent.includes('back'))");
  EXPECT_PAGE("all('#nodes > g.is').length === 1");
  EXPECT_PAGE("all('#nodes > g.in').length && all('#edges > path.in').length");
  EXPECT_PAGE("all('#nodes > g.out').length && all('#nodes > g.grad').length && all('#edges > path.dim').length");
  EXPECT_PAGE("document.getElementById('details').textContent.includes('lenet.cpp:')");
  EXPECT_PAGE("document.getElementById('side').scrollTop === 0");
  browser_->click("document.querySelector('#details a.v')");
  EXPECT_PAGE(
      "document.querySelector('#nodes > g.is') && !document.querySelector('#nodes > "
      "g.is').textContent.includes('conv2d')");
  browser_->press("Escape", 27);
  EXPECT_PAGE("all('#nodes > g.is').length === 0");

  // A reason lists its edges, and leads to them; pointed at, an edge tells its reason.
  browser_->click("document.querySelector('#unfused tr.go')");
  EXPECT_PAGE("all('#unfused a.v').length >= 2");
  browser_->click("document.querySelector('#unfused a.v')");
  EXPECT_PAGE("all('#nodes > g.is').length === 1 && all('#edges > path.un').length > 0");
  browser_->value("window.edge = all('#edges > path.un.out')[0].nextElementSibling; 0");
  browser_->value("edge.dispatchEvent(new MouseEvent('mousemove', {bubbles: true, clientX: 100, clientY: 100})); 0");
  EXPECT_PAGE("document.getElementById('tip').textContent.includes('not fused: ')");

  // Search, by keys alone.
  browser_->press("Escape", 27);
  browser_->press("/", 191);
  browser_->type("max_pool");
  EXPECT_PAGE("all('#hits div').length > 2");
  browser_->press("Enter", 13);
  EXPECT_PAGE("document.querySelector('#nodes > g.is').textContent.includes('max_pool')");

  // The timeline leads to the graph, and the graph to it.
  browser_->click("all('#timeline rect.b').sort((a, b) => b.width.baseVal.value - a.width.baseVal.value)[0]");
  EXPECT_PAGE("all('#nodes > g.is').length === 1 && all('#timeline rect.is').length >= 1");
  browser_->click("document.querySelector('#peak tr.go')");
  EXPECT_PAGE("all('#nodes > g.is').length === 1 && all('#timeline rect.is').length >= 1");

  // Wheel and drag.
  const double zoom = browser_->value("thalweg.zoom").get<double>(), x = browser_->value("thalweg.x").get<double>();
  browser_->wheel("document.getElementById('graph')", -200);
  EXPECT_GT(browser_->value("thalweg.zoom").get<double>(), zoom);
  browser_->drag("document.getElementById('graph')", 120, 40);
  EXPECT_NE(browser_->value("thalweg.x").get<double>(), x);
  browser_->click("document.getElementById('fit')");

  // Stages by the slider's keys, groupings, the theme.
  browser_->value("document.getElementById('stage').focus(); 0");
  browser_->press("Home", 36);
  EXPECT_PAGE("document.getElementById('stagename').textContent === 'built'");
  EXPECT_PAGE("!document.getElementById('boxes').textContent.includes('backward')");
  EXPECT_PAGE("!document.getElementById('world').textContent.includes('@step')");
  EXPECT_PAGE("document.getElementById('time').style.display === 'none'");
  browser_->press("ArrowRight", 39);
  EXPECT_PAGE("document.getElementById('stagename').textContent === 'autodiff'");
  for (const char* by : {"scope", "none", "kernel", "origin"}) {
    browser_->value(std::string("{ const s = document.getElementById('by'); s.value = '") + by +
                    "'; s.dispatchEvent(new Event('change')); } 0");
    EXPECT_GT(boxes(), 0) << by;
  }
  const bool dark = browser_->holds("document.documentElement.classList.contains('dark')");
  browser_->click("document.getElementById('theme')");
  EXPECT_NE(browser_->holds("document.documentElement.classList.contains('dark')"), dark);
}

TEST_F(Page, EveryStageOfTheZooDrawsWithDotAndWithout) {
  for (const std::string model : {"tiny --no-dot", "digits", "digits --no-dot", "resnet20"}) {
    SCOPED_TRACE(model);
    open(model + " --batch 2 --stage planned");
    if (model.ends_with("--no-dot")) {
      EXPECT_PAGE("!('places' in D)");
    } else if (run("dot -V").status == 0) {
      EXPECT_PAGE("Object.keys(D.places.fused).length > 3");
    }
    for (int stage = 0; stage < 8; ++stage) {
      browser_->value("set_stage(" + std::to_string(stage) + "); document.getElementById('open').click(); 0");
      EXPECT_PAGE("boxes() > 5 && !document.getElementById('world').innerHTML.includes('NaN')");
      // No two boxes of a group overlap.
      EXPECT_PAGE(
          "(() => { const clear = (g) => g.items.every((a, i) => (!a.children || !is_open(a) || clear(a)) && "
          "g.items.every("
          "(b, j) => i >= j || a.x + a.w <= b.x + .5 || b.x + b.w <= a.x + .5 || a.y + a.h <= b.y + .5 || "
          "b.y + b.h <= a.y + .5)); return clear(tree); })()");
    }
  }
}

TEST_F(Page, TenThousandNodesOpenCollapsed) {
  std::string text = "graph g {\n  %x = input : f32[2]\n  %0 = tanh %x : f32[2]  # net.cpp:1 in block0/a\n";
  for (int i = 1; i < 10'000; ++i)
    text += "  %" + std::to_string(i) + " = add %" + std::to_string(i - 1) + ", %x : f32[2]  # net.cpp:" +
            std::to_string(i) + " in block" + std::to_string(i / 500) + "/layer" + std::to_string(i / 50) + "\n";
  write_text(folder_.path() / "g.txt", text + "  output y = %9999\n}\n");
  open(word_of(folder_.path() / "g.txt"));
  EXPECT_PAGE("boxes() > 0 && boxes() < 40");
  // Half a second where something else runs too; a machine of many tests takes longer, but draws no more for it.
  const double milliseconds = browser_->value("performance.getEntriesByType('navigation')[0].loadEventEnd").get<double>();
  std::cout << "[ figure   ] milliseconds until a page of 10,000 nodes is there: " << milliseconds << std::endl;
  EXPECT_LT(milliseconds, 5000);
  EXPECT_PAGE("all('*').length < 400");
  browser_->click("document.querySelector('#nodes > g.group')");
  EXPECT_PAGE("boxes() > 10 && boxes() < 100");
  // As compiled, with its kernels and its memory.
  open(word_of(folder_.path() / "g.txt") + " --stage planned");
  EXPECT_PAGE("boxes() > 0 && boxes() < 40 && all('*').length < 600");
}

}  // namespace
}  // namespace thalweg::project
