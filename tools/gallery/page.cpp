// SPDX-License-Identifier: Apache-2.0
#include "page.h"

#include <fmt/format.h>

#include "thalweg/lib/base/xml_text.h"

namespace thalweg::gallery {
namespace {

constexpr const char* page_style = R"(
:root { color-scheme: light dark; --back: #ffffff; --panel: #f6f8fa; --text: #1f2328; --soft: #59636e; --line: #d1d9e0;
  --accent: #0969da; --warn: #9a6700; }
@media (prefers-color-scheme: dark) { :root { --back: #0d1117; --panel: #151b23; --text: #e6edf3; --soft: #9198a1;
  --line: #30363d; --accent: #58a6ff; --warn: #d29922; } }
* { box-sizing: border-box; }
body { margin: 0 auto; padding: 24px 20px 80px; max-width: 1120px; background: var(--back); color: var(--text);
  font: 15px/1.55 system-ui, sans-serif; }
h1 { font-size: 26px; margin: 0 0 6px; }
header p { margin: 4px 0; color: var(--soft); max-width: 78ch; }
nav { display: flex; flex-wrap: wrap; gap: 4px 6px; margin: 16px 0 8px; }
nav a { padding: 2px 9px; border: 1px solid var(--line); border-radius: 12px; color: var(--text); text-decoration: none;
  font-size: 13px; }
nav a small { color: var(--soft); }
nav a:hover { border-color: var(--accent); color: var(--accent); }
section { border-top: 1px solid var(--line); margin-top: 30px; padding-top: 18px; }
h2 { font-size: 19px; margin: 0; overflow-wrap: anywhere; }
h2 small { color: var(--soft); font-weight: 400; margin-right: 6px; }
.about { color: var(--soft); margin: 2px 0 8px; }
.says { border-left: 3px solid var(--accent); padding: 2px 0 2px 12px; margin: 10px 0; max-width: 92ch; }
.says.not { border-color: var(--warn); }
.charts { display: flex; flex-wrap: wrap; align-items: flex-start; gap: 10px; margin: 12px 0; }
.charts svg { max-width: 100%; height: auto; border: 1px solid var(--line); border-radius: 6px; }
pre { background: var(--panel); border: 1px solid var(--line); border-radius: 6px; padding: 10px 12px; overflow-x: auto;
  font: 12.5px/1.5 ui-monospace, monospace; margin: 10px 0 0; }
.file { color: var(--soft); font-size: 12px; }
)";

std::string code_of(const std::string& row) {
  for (const Code& code : codes())
    if (code.row == row)
      return fmt::format("<pre><code>{}</code></pre>\n<div class=\"file\">{}</div>\n", xml_text(code.text),
          xml_text(code.file));
  return "";
}

/// Numbers keep their unit beside them.
std::string unbroken(std::string text) {
  for (std::size_t at = 0; (at = text.find(" %", at)) != std::string::npos;) text.replace(at, 1, "&nbsp;");
  return text;
}

std::string section_of(const Exhibit& exhibit) {
  const Experiment& experiment = exhibit.experiment;
  std::string html = fmt::format("<section id=\"{0}\">\n<h2><small>{0}</small> {1}</h2>\n<p class=\"about\">{2}</p>\n",
                                 experiment.row, xml_text(experiment.title), xml_text(experiment.about));
  html += fmt::format("<p class=\"says{}\">{}{}</p>\n<div class=\"charts\">\n", exhibit.shown.holds ? "" : " not",
                      exhibit.shown.holds ? "" : "(This run does not show it.) ",
                      unbroken(xml_text(exhibit.shown.sentence)));
  for (const Chart& chart : exhibit.shown.charts) html += chart.element();
  return html + "</div>\n" + code_of(experiment.row) + "</section>\n";
}

}  // namespace

std::string page_of(const std::vector<Exhibit>& exhibits, const std::string& data) {
  double seconds = 0;
  std::string links, sections;
  for (const Exhibit& exhibit : exhibits) {
    seconds += exhibit.seconds;
    // A call of the lecture's is named by what it calls.
    const std::string& title = exhibit.experiment.title;
    links += fmt::format("<a href=\"#{0}\"><small>{0}</small> {1}</a>\n", exhibit.experiment.row,
                         xml_text(title.substr(0, title.find('('))));
    sections += section_of(exhibit);
  }
  return fmt::format(
      "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n"
      "<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n"
      "<title>How networks learn - Thalweg</title>\n<style>{}{}</style>\n</head>\n<body>\n"
      "<header>\n<h1>How networks learn</h1>\n"
      "<p>One experiment for each technique. The code under each is what was compiled and ran; every number was measured in this "
      "run ({} in {:.1f} seconds).</p>\n"
      "<p>Data: {}. <code>lab.fit</code> is <code>fit()</code> on the training samples, judged after each epoch on the samples "
      "held out, on one thread, so that each run gives the same numbers (times apart).</p>\n</header>\n<nav>\n{}</nav>\n{}</body>\n</html>\n",
      chart_style(), page_style, exhibits.size() == 1 ? "1 experiment" : fmt::format("{} experiments",
          exhibits.size()), seconds, xml_text(data), links, sections);
}

}  // namespace thalweg::gallery
