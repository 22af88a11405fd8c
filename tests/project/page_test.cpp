// SPDX-License-Identifier: Apache-2.0
// The page of `thalweg dump --format html` in headless Chromium: clicked through by a script that is put behind its own.
// Skipped where there is no Chromium.
#include <gtest/gtest.h>

#include "shell.h"

namespace thalweg::project {
namespace {

std::string chromium() {
  for (const char* name : {"chromium", "chromium-browser", "google-chrome"})
    if (run(std::string("command -v ") + name).status == 0)
      return std::string(name) + " --headless --no-sandbox --disable-gpu --hide-scrollbars --window-size=1500,900";
  return "";
}

std::string page_of(const std::string& arguments) {
  const Ran ran = run(word_of(setting("THALWEG_TOOL")) + " dump --format html " + arguments);
  EXPECT_EQ(ran.status, 0) << ran.err;
  return ran.out;
}

/// What a script says of the page, a line for each call of `say(what, truth)`.
std::string said(const std::string& page, const std::string& script) {
  const Folder folder;
  const std::string tail =
      "<script>'use strict';\nconst lines = [], say = (what, ok) => lines.push((ok ? 'ok ' : 'FAILED ') + what);\n"
      "const click = (e) => e.dispatchEvent(new MouseEvent('click', {bubbles: true}));\n"
      "const all = (s) => [...document.querySelectorAll(s)];\n"
      "try {\n" + script + "\n} catch (e) { lines.push('FAILED ' + e + ' ' + e.stack); }\n"
      "document.title = 'said';\n"
      "document.body.insertAdjacentHTML('beforeend', '<pre id=\"said\">' + lines.join('\\n') + '\\n</pre>');</script>";
  write_text(folder.path() / "page.html", page + tail);
  const Ran ran = run(chromium() + " --user-data-dir=" + word_of(folder.path() / "profile") +
                      " --virtual-time-budget=4000 --dump-dom " + word_of("file://" + (folder.path() / "page.html").string()));
  const std::string mark = "<pre id=\"said\">";
  const std::size_t from = ran.out.rfind(mark);  // the script itself holds it too
  if (from == std::string::npos) return "FAILED: the script did not end\n" + ran.err;
  return ran.out.substr(from + mark.size(), ran.out.find("</pre>", from) - from - mark.size());
}

TEST(Page, AnswersClicksSearchAndTheStageSlider) {
  if (chromium().empty()) GTEST_SKIP() << "no Chromium here";
  const std::string report = said(page_of("lenet --batch 4 --stage planned"), R"(
const boxes = () => all('#nodes > g').length;
say('opens collapsed', boxes() > 2 && boxes() < 80);
say('says where the memory goes', document.getElementById('side').textContent.includes('Where the memory goes'));
say('says what did not fuse', all('#unfused td.code').length > 1);
say('names what is alive at the peak', all('#peak tr.go').length > 3);
document.getElementById('shut').click();
const before = boxes();
click(all('#nodes > g.group').find((g) => g.textContent.startsWith('forward')));
say('a group opens', boxes() > before);
document.getElementById('open').click();
say('all open', all('#nodes > g.group.shut').length === 0 && boxes() > 100);
say('fused groups are outlined', all('#boxes > g.group.kernel').length > 2);
say('unfused edges are marked', all('#edges > path.un').length > 10);
const node = all('#nodes > g.node').find((g) => g.textContent.includes('conv2d') && !g.textContent.includes('backward'));
click(node);
say('a node is picked', all('#nodes > g.is').length === 1);
say('its inputs light up', all('#nodes > g.in').length >= 1 && all('#edges > path.in').length >= 1);
say('its outputs light up', all('#nodes > g.out').length >= 1);
say('its gradients light up', all('#nodes > g.grad').length >= 1);
say('its details are told', document.getElementById('details').textContent.includes('lenet.cpp:'));
const edge = all('#edges > path.un')[0].nextElementSibling;
edge.dispatchEvent(new MouseEvent('mousemove', {bubbles: true, clientX: 100, clientY: 100}));
say('an edge tells its reason', document.getElementById('tip').textContent.includes('not fused: '));
const find = document.getElementById('find');
find.value = 'max_pool'; find.dispatchEvent(new Event('input'));
say('search finds', all('#hits div').length > 2);
click(all('#hits div')[1]);
say('a hit is picked', document.querySelector('#nodes > g.is').textContent.includes('max_pool'));
const bar = all('#timeline rect.b');
say('the timeline has buffers', bar.length > 10);
click(bar[0]);
say('a buffer leads to its node', all('#nodes > g.is').length === 1 && all('#timeline rect.is').length >= 1);
click(all('#unfused tr.go')[0]);
say('a reason lists its edges', all('#unfused a.v').length >= 2);
const stage = document.getElementById('stage');
stage.value = 0; stage.dispatchEvent(new Event('input'));
say('the slider leads to built', document.getElementById('stagename').textContent === 'built');
say('built has no backward part', !document.getElementById('boxes').textContent.includes('backward'));
say('built has no timeline', document.getElementById('time').style.display === 'none');
for (const by of ['scope', 'none', 'kernel', 'origin']) {
  const select = document.getElementById('by');
  select.value = by; select.dispatchEvent(new Event('change'));
  say('grouped by ' + by, boxes() > 0);
}
const dark = document.documentElement.classList.contains('dark');
document.getElementById('theme').click();
say('the theme changes', document.documentElement.classList.contains('dark') !== dark);
document.getElementById('shut').click();
say('all close', boxes() < 40);
)");
  EXPECT_EQ(report.find("FAILED"), std::string::npos) << report;
  EXPECT_GT(lines_of(report).size(), 25U) << report;
}

TEST(Page, EveryStageOfTheZooDraws) {
  if (chromium().empty()) GTEST_SKIP() << "no Chromium here";
  for (const char* model : {"tiny", "digits", "resnet20"}) {
    const std::string report = said(page_of(std::string(model) + " --batch 2 --stage planned"), R"(
for (let s = 0; s < 8; ++s) {
  const stage = document.getElementById('stage');
  stage.value = s; stage.dispatchEvent(new Event('input'));
  document.getElementById('open').click();
  say('stage ' + s, all('#nodes > g').length > 5 && !document.getElementById('world').innerHTML.includes('NaN'));
}
)");
    EXPECT_EQ(report.find("FAILED"), std::string::npos) << model << "\n" << report;
    EXPECT_EQ(lines_of(report).size(), 8U) << report;
  }
}

TEST(Page, TenThousandNodesOpenCollapsed) {
  if (chromium().empty()) GTEST_SKIP() << "no Chromium here";
  std::string text = "graph g {\n  %x = input : f32[2]\n  %0 = tanh %x : f32[2]  # net.cpp:1 in block0/a\n";
  for (int i = 1; i < 10'000; ++i)
    text += "  %" + std::to_string(i) + " = add %" + std::to_string(i - 1) + ", %x : f32[2]  # net.cpp:" +
            std::to_string(i) + " in block" + std::to_string(i / 500) + "/layer" + std::to_string(i / 50) + "\n";
  const Folder folder;
  write_text(folder.path() / "g.txt", text + "  output y = %9999\n}\n");
  const std::string report = said(page_of(word_of(folder.path() / "g.txt")), R"(
say('opens collapsed', all('#nodes > g').length > 0 && all('#nodes > g').length < 40);
click(all('#nodes > g.group')[0]);
say('opens', all('#nodes > g').length > 10 && all('#nodes > g').length < 100);
)");
  EXPECT_EQ(report, "ok opens collapsed\nok opens\n");
}

}  // namespace
}  // namespace thalweg::project
