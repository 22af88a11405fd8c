// SPDX-License-Identifier: Apache-2.0
// The commands that look into graphs, as a user runs them: golden results on the zoo, exit statuses, and that garbage
// gets one line with its place. THALWEG_UPDATE_GOLDEN=1 writes the golden files anew.
#include <gtest/gtest.h>

#include <algorithm>
#include <map>
#include <regex>

#include "shell.h"
#include "thalweg/lib/kernels/target.h"

namespace thalweg::project {
namespace {

Ran thalweg_run(const std::string& arguments) { return run(word_of(setting("THALWEG_TOOL")) + " " + arguments); }

/// Other kernels are the fastest with smaller instruction sets, so that plans differ there: golden/avx2 and golden/sse41
/// have what does. From the folder for this processor (or for what ONEDNN_MAX_CPU_ISA leaves of it) to the general one.
std::vector<std::filesystem::path> golden_folders() {
  const std::filesystem::path all = source_root() / "tests/project/golden";
  if ((allowed_targets() & HWY_AVX3) != 0) return {all};
  if (may_write_avx2()) return {all / "avx2", all};
  return {all / "sse41", all / "avx2", all};
}

void expect_text(const std::string& name, const std::string& text) {
  const std::vector<std::filesystem::path> folders = golden_folders();
  const auto found_from = [&](std::size_t first) {
    while (first + 1 < folders.size() && !std::filesystem::exists(folders[first] / name)) ++first;
    return folders[first] / name;
  };
  if (const char* update = std::getenv("THALWEG_UPDATE_GOLDEN"); update != nullptr && *update != '\0') {
    std::filesystem::create_directories(folders[0]);
    std::filesystem::remove(folders[0] / name);
    if (folders.size() == 1 || text != read_text(found_from(1))) write_text(folders[0] / name, text);
  }
  const std::filesystem::path golden = found_from(0);
  EXPECT_EQ(text, read_text(golden)) << "golden file " << golden;
}

void expect_golden(const std::string& name, const std::string& arguments, int status = 0) {
  SCOPED_TRACE("thalweg " + arguments);
  const Ran ran = thalweg_run(arguments);
  EXPECT_EQ(ran.status, status) << ran.err;
  expect_text(name, ran.out);
}

const std::vector<std::string> zoo = {"tiny", "lecture", "digits",   "lenet",   "autoencoder",
                                      "mlp",  "dbn",     "resnet20", "resnet50"};

// What is golden holds no number of the machine: no implementation, no arena, no time. --portable leaves them out, or
// the test puts # in the place of numbers.

/// Each number as #; of an implementation what is the same on every machine.
std::string masked(const std::string& text) {
  static const std::regex kernel("onednn:([a-z0-9_+]*)[a-z0-9_:+]*"), blanks(" +"),
      number("-?[0-9][0-9,]*(\\.[0-9]+)?(e[-+]?[0-9]+)?");
  return std::regex_replace(
      std::regex_replace(std::regex_replace(text, kernel, "onednn:$1"), number, "#"), blanks, " ");
}
std::string sorted_lines(const std::string& text) {
  std::vector<std::string> lines = lines_of(text);
  std::sort(lines.begin(), lines.end());
  std::string all;
  for (const std::string& line : lines) all += line + "\n";
  return all;
}

TEST(Golden, Models) { expect_golden("models.txt", "models"); }

TEST(Golden, Summaries) {
  for (const std::string& model : zoo) expect_golden("summary-" + model + ".txt", "summary --portable " + model);
}

TEST(Golden, Dumps) {
  for (const char* stage : {"built", "autodiff", "optim", "folded"})
    expect_golden(std::string("dump-tiny-") + stage + ".txt", std::string("dump tiny --stage ") + stage);
  expect_golden("dump-tiny-built.dot", "dump tiny --stage built --format dot");
  expect_golden("dump-tiny-built.json", "dump tiny --stage built --json");
  expect_golden("dump-tiny-built.svg", "dump tiny --stage built --format svg");
}

TEST(Golden, RewritesOfTheZoo) {
  std::string all;
  for (const std::string& model : zoo) {
    const Ran ran = thalweg_run("passes --portable " + model);
    EXPECT_EQ(ran.status, 0) << ran.err;
    all += model + "\n" + ran.out;
  }
  expect_text("passes-zoo.txt", all);
}

// What became of a node that no kernel computes is the same everywhere.
TEST(Golden, ExplainsWhatRewritesTook) {
  expect_golden("explain-lenet-folded.txt", "explain lenet %22");
  expect_golden("explain-lenet-merged.txt", "explain lenet %35");
}

TEST(Golden, PassesDiffAndReasons) {
  expect_golden("passes-lecture.txt", "passes lecture --portable --full");
  expect_golden("diff-tiny-folded.txt", "diff tiny --to folded", 1);
  expect_golden("diff-tiny-batch.txt", "diff tiny lecture", 1);
  expect_golden("reasons.txt", "explain --reasons");
}

TEST(Golden, DumpsOfPlans) {
  for (const char* stage : {"fused", "laid-out", "scheduled", "planned"})
    expect_golden(std::string("dump-lecture-") + stage + ".txt",
                  std::string("dump lecture --portable --stage ") + stage);
  expect_golden("dump-lenet-planned.txt", "dump lenet --portable --stage planned");
  expect_golden("dump-lecture-planned.dot", "dump lecture --portable --stage planned --format dot");
}

TEST(Golden, Memory) {
  for (const char* model : {"lecture", "lenet", "autoencoder"})
    expect_golden(std::string("memory-") + model + ".txt", std::string("memory --portable ") + model);
  expect_golden("memory-resnet20.txt", "memory --portable --top 30 resnet20");
}

TEST(Golden, Explanations) {
  expect_golden("explain-lenet-kernel.txt", "explain --portable lenet %2");
  expect_golden("explain-lenet-variable.txt", "explain --portable lenet @conv/kernel");
  expect_golden("explain-lenet-update.txt", "explain --portable lenet %49");
}

TEST(Golden, WhatDidNotFuseInTheZoo) {
  expect_golden("unfused-lecture.txt", "explain --unfused lecture");
  expect_golden("unfused-lenet.txt", "explain --unfused lenet");
  // Of all nets how many edges of each reason, on one thread as on two.
  std::string all;
  for (const std::string& model : zoo) {
    std::map<std::string, std::size_t> counts;
    std::string lines;
    for (const char* threads : {"1", "2"}) {
      const Ran ran = thalweg_run("explain --unfused --threads " + std::string(threads) + " " + model);
      EXPECT_EQ(ran.status, 0) << ran.err;
      if (lines.empty()) lines = ran.out;
      EXPECT_EQ(lines, ran.out) << model;
    }
    for (const std::string& line : lines_of(lines)) {
      const std::size_t at = line.find(": ") + 2;
      ++counts[line.substr(at, line.find(',', at) - at)];
    }
    all += model + "\n";
    for (const auto& [reason, count] : counts) all += "  " + reason + " " + std::to_string(count) + "\n";
  }
  expect_text("unfused-zoo.txt", all);
}

TEST(Golden, Differences) {
  expect_golden("diff-lenet-folded.txt", "diff lenet --to folded", 1);
  expect_golden("diff-resnet20-autodiff.txt", "diff resnet20 --stage folded --without cse", 1);
}

TEST(Golden, Json) {
  const std::vector<std::pair<std::string, std::string>> rows = {
      {"models", "models"},
      {"summary-lecture", "summary --portable lecture"},
      {"memory-lecture", "memory --portable lecture"},
      {"explain-lecture", "explain --portable lecture %0"},
      {"unfused-lecture", "explain --unfused lecture"},
      {"reasons", "explain --reasons"},
      {"passes-lecture", "passes --portable lecture"},
      {"bisect-lecture", "bisect lecture"}};
  for (const auto& [name, command] : rows) expect_golden(name + ".json", command + " --json");
  expect_golden("diff-lecture-folded.json", "diff lecture --to folded --json", 1);
}

TEST(Golden, FormsOfWhatIsMeasured) {
  const auto expect_masked = [](const std::string& name, const Ran& ran) {
    EXPECT_EQ(ran.status, 0) << ran.err;
    expect_text(name, masked(ran.out));
  };
  expect_masked("check-lecture.txt", thalweg_run("check lecture --threads 2"));
  expect_masked("check-lecture.json", thalweg_run("check lecture --threads 2 --json"));
  expect_masked("check-resnet20.txt", thalweg_run("check resnet20 --batch 2 --threads 2 --steps 1 --most-flops 1e8"));
  expect_masked("profile-lecture.json", thalweg_run("profile lecture --threads 1 --steps 2 --json"));
  // The slowest kernel comes first: sorted, no line depends on which it is.
  Ran table = thalweg_run("profile lecture --threads 1 --steps 2 --top 1000");
  table.out = std::regex_replace(table.out, std::regex("% of limit above 100:[^\n]*\n"), "");
  EXPECT_EQ(table.status, 0) << table.err;
  expect_text("profile-lecture.txt", sorted_lines(masked(table.out)));
}

TEST(Inspect, EveryCommandRunsOnAModelOnAFileAndOnStandardInput) {
  const Folder folder;
  const std::string file = word_of(folder.path() / "step.txt"), out = word_of(folder.path() / "out");
  ASSERT_EQ(thalweg_run("dump tiny -o " + file).status, 0);
  for (const char* command :
       {"dump", "dump --stage planned", "dump --format html", "html", "summary", "memory", "explain --unfused",
        "passes", "bisect", "profile --steps 2 --no-limits", "check --steps 1"}) {
    SCOPED_TRACE(command);
    for (const std::string& source : {std::string("tiny"), file, "- <" + file}) {
      const Ran ran = thalweg_run(std::string(command) + " " + source);
      EXPECT_EQ(ran.status, 0) << ran.err;
      EXPECT_EQ(ran.err, "");
      EXPECT_FALSE(ran.out.empty());
    }
    const bool is_page = std::string_view(command).find("html") != std::string_view::npos;
    const Ran json = thalweg_run(std::string(command) + (is_page ? "" : " --json") + " tiny");
    EXPECT_EQ(json.status, 0) << json.err;
    const auto begins = [&](const char* what) { return json.out.starts_with(what); };
    EXPECT_TRUE(is_page ? begins("<!doctype html>") : begins("{") || begins("[")) << json.out.substr(0, 80);
    const Ran quiet = thalweg_run(std::string(command) + " tiny -o " + out);
    EXPECT_EQ(quiet.out, "");
    EXPECT_FALSE(read_text(folder.path() / "out").empty());
  }
  EXPECT_EQ(thalweg_run("diff tiny " + file).status, 0);
  EXPECT_EQ(thalweg_run("diff tiny lecture --json").status, 1);
  EXPECT_EQ(thalweg_run("explain tiny %3").status, 0);
  EXPECT_EQ(thalweg_run("summary tiny --batch 7").status, 0);
  EXPECT_EQ(thalweg_run("memory tiny --top 3 --svg " + out).status, 0);
  EXPECT_TRUE(read_text(folder.path() / "out").starts_with("<svg"));
  EXPECT_EQ(thalweg_run("profile tiny --steps 2 --no-limits --trace " + out).status, 0);
  EXPECT_TRUE(read_text(folder.path() / "out").starts_with("{\"displayTimeUnit\""));
}

TEST(Inspect, OptionsThatAllCommandsTake) {
  for (const char* command :
       {"models", "dump tiny", "summary tiny", "memory tiny", "explain tiny %3", "explain --reasons",
        "explain tiny --unfused", "explain tiny %3 --unfused", "diff tiny tiny", "passes tiny --full", "bisect tiny",
        "profile tiny --steps 1 --no-limits", "check tiny --steps 1"}) {
    SCOPED_TRACE(command);
    const Ran plain = thalweg_run(std::string(command) + " --color never"),
              json = thalweg_run(std::string(command) + " --json");
    EXPECT_EQ(plain.status, 0) << plain.err;
    EXPECT_EQ(plain.out.find('\x1b'), std::string::npos);
    EXPECT_TRUE(json.out.starts_with("{") || json.out.starts_with("[")) << json.out.substr(0, 80);
  }
  EXPECT_NE(thalweg_run("explain tiny --unfused --color always").out.find("\x1b[33mheavy-consumer\x1b[0m"),
            std::string::npos);
  EXPECT_EQ(thalweg_run("passes tiny --pass-limit 0").out, "no rewrite changes anything\n");
  EXPECT_EQ(thalweg_run("memory tiny --top x").err,
            "thalweg: --top: Value x not in range 1 to 1000000000 (see thalweg memory --help)\n");
}

/// A safetensors file of one tensor.
std::string safetensors(const std::string& name, const std::string& dtype, const std::string& shape,
                        const std::string& bytes) {
  std::string header = "{\"" + name + "\":{\"dtype\":\"" + dtype + "\",\"shape\":" + shape + ",\"data_offsets\":[0," +
                       std::to_string(bytes.size()) + "]}}";
  header.resize((header.size() + 7) / 8 * 8, ' ');
  std::string length(8, '\0');
  for (std::size_t i = 0; i < 8; ++i) length[i] = static_cast<char>(header.size() >> 8 * i);
  return length + header + bytes;
}

TEST(Inspect, ProfilesGivenInputs) {
  const Folder folder;
  const std::filesystem::path file = folder.path() / "in.safetensors";
  const std::string command = "profile tiny --steps 1 --no-limits --feeds " + word_of(file);
  write_text(file, safetensors("x", "F32", "[15,4]", std::string(240, '\0')));
  EXPECT_EQ(thalweg_run(command).status, 0) << thalweg_run(command).err;
  write_text(file, safetensors("x", "F32", "[15,5]", std::string(300, '\0')));
  EXPECT_EQ(thalweg_run(command).status, 3);
  write_text(file, safetensors("labl", "F32", "[1]", std::string(4, '\0')));
  const Ran ran = thalweg_run(command);
  EXPECT_EQ(ran.status, 3);
  EXPECT_EQ(ran.err, "thalweg: " + file.string() + ": the graph has no input 'labl' (did you mean label?)\n");
}

// dot is asked for the page's layout: one that is slow, wrong or broken is done without, in silence.
TEST(Inspect, ThePageDoesWithoutDot) {
  const Folder folder;
  const std::string tool = word_of(setting("THALWEG_TOOL"));
  const auto page_with = [&](const std::string& script) {
    const std::filesystem::path dot = folder.path() / "dot";
    write_text(dot, "#!/bin/sh\n" + script + "\n");
    std::filesystem::permissions(dot, std::filesystem::perms::owner_all);
    return run("PATH=" + word_of(folder.path()) + ":$PATH " + tool +
               " dump lenet --batch 2 --stage planned --format html");
  };
  const Ran without = thalweg_run("dump lenet --batch 2 --stage planned --format html --no-dot");
  EXPECT_EQ(without.status, 0);
  for (const char* script : {"exit 1", "kill -9 $$", "echo graph 1 2 3", "cat /dev/zero",
                             "echo stop; exec cat >/dev/null", "exec sleep 600"}) {
    SCOPED_TRACE(script);
    const Ran ran = page_with(script);
    EXPECT_EQ(ran.status, 0);
    EXPECT_EQ(ran.err, "");
    EXPECT_EQ(ran.out, without.out);
  }
  if (run("dot -V").status != 0) GTEST_SKIP() << "no dot here";
  const Ran with = thalweg_run("dump lenet --batch 2 --stage planned --format html");
  EXPECT_NE(with.out.find("\"places\":{\"source\":"), std::string::npos);
}

TEST(Inspect, DotIsValidForGraphviz) {
  if (run("dot -V").status != 0) GTEST_SKIP() << "no dot here";
  for (const char* stage : {"built", "planned"}) {
    const Ran ran = run(word_of(setting("THALWEG_TOOL")) + " dump lenet --batch 2 --format dot --stage " + stage +
                        " | dot -Tsvg >/dev/null");
    EXPECT_EQ(ran.status, 0) << ran.err;
  }
}

TEST(Inspect, AMisspeltWordGetsTheNearestOne) {
  const std::vector<std::pair<std::string, std::string>> rows = {
      {"dmp tiny", "thalweg: there is no command 'dmp' (did you mean dump?) (see thalweg --help)\n"},
      {"sumary tiny", "thalweg: there is no command 'sumary' (did you mean summary, memory?) (see thalweg --help)\n"},
      {"train", "thalweg: thalweg train needs a command: digits, mnist, csv (see thalweg train --help)\n"},
      {"train digit", "thalweg: there is no command 'digit' (did you mean digits?) (see thalweg train --help)\n"},
      {"train digits --epoch 3",
       "thalweg: there is no option '--epoch' (did you mean --epochs, --batch?) (see thalweg train digits --help)\n"},
      {"summary tiny --threds=2",
       "thalweg: there is no option '--threds' (did you mean --threads?) (see thalweg summary --help)\n"},
      {"dump tiny --stage fusd",
       "thalweg: there is no stage 'fusd' (did you mean fused?); the stages are built, autodiff, "
       "optim, folded, fused, laid-out, scheduled, planned (see thalweg dump --help)\n"},
      {"dump tiny --format jsn",
       "thalweg: there is no format 'jsn' (did you mean json?); the formats are text, dot, svg, "
       "json, html (see thalweg dump --help)\n"},
      {"html tiny --stage fusd",
       "thalweg: there is no stage 'fusd' (did you mean fused?); the stages are built, autodiff, "
       "optim, folded, fused, laid-out, scheduled, planned (see thalweg html --help)\n"}};
  for (const auto& [arguments, message] : rows) {
    const Ran ran = thalweg_run(arguments);
    EXPECT_EQ(ran.status, 2);
    EXPECT_EQ(ran.err, message);
    EXPECT_EQ(ran.out, "");
  }
  const Ran model = thalweg_run("dump lennet");
  EXPECT_EQ(model.status, 3);
  EXPECT_EQ(model.err, "thalweg: lennet: cannot open: No such file or directory (errno 2) (did you mean lenet?)\n");
}

TEST(Inspect, WrongUsageIsOneLineAndStatusTwo) {
  for (const char* arguments : {"memory", "summary", "explain", "explain tiny", "diff tiny", "diff - -", "passes",
                                "bisect", "profile", "profile tiny --steps 0", "memory tiny --top 0",
                                "dump tiny --batch 0", "check tiny --color red", "dump tiny --threads -1",
                                "dump tiny --json --format dot", "dump tiny --no-dot",
                                "dump tiny --portable --format html", "html", "html tiny --json", "html tiny --stage nope",
                                "explain tiny --reasons"}) {
    const Ran ran = thalweg_run(arguments);
    EXPECT_EQ(ran.status, 2) << arguments << ran.err;
    EXPECT_EQ(ran.out, "");
    EXPECT_EQ(lines_of(ran.err).size(), 1U) << ran.err;
    EXPECT_NE(ran.err.find("--help"), std::string::npos) << ran.err;
  }
}

TEST(Inspect, CheckTellsRightFromWrongFromNotFinite) {
  const Folder folder;
  write_text(folder.path() / "nan.txt",
             "graph g {\n  %x = input : f32[4]\n  %0 = neg %x : f32[4]\n  %1 = log %0 : f32[4]  # net.cpp:7\n"
             "  output y = %1\n}\n");
  const Ran ran = thalweg_run("check --color always " + word_of(folder.path() / "nan.txt"));
  EXPECT_EQ(ran.status, 4);
  EXPECT_NE(ran.out.find("net.cpp:7"), std::string::npos) << ran.out;
  EXPECT_NE(ran.out.find("\x1b[31m"), std::string::npos);
  EXPECT_EQ(thalweg_run("check tiny --steps 1").out.find('\x1b'), std::string::npos);
}

struct Garbage {
  std::string name, text;
};

/// What is wrong with a graph's text, in every way there is.
std::vector<Garbage> wrong_texts() {
  const std::string whole = thalweg_run("dump lecture").out;
  std::string deep = "graph g {\n  %0 = ";
  deep.append(100'000, '[').append("\n}\n");
  std::string binary = "graph g {\n  %x = in";
  for (int i = 0; i < 4096; ++i) binary += static_cast<char>(i * 37);
  return {{"truncated", whole.substr(0, whole.size() / 2)},
          {"long", "graph g {\n  %x = input : f32[" + std::string(100'000'000, '1') + "]\n}\n"},
          {"cyclic",
           "graph g {\n  %x = input : f32[2]\n  %0 = add %x, %1 : f32[2]\n  %1 = tanh %0 : f32[2]\n"
           "  output y = %1\n}\n"},
          {"unknown", "graph g {\n  %x = input : f32[2]\n  %0 = tnah %x : f32[2]\n  output y = %0\n}\n"},
          {"deep", deep},
          {"binary", binary},
          {"empty", ""}};
}

/// The same of its JSON.
std::vector<Garbage> wrong_json() {
  const std::string whole = thalweg_run("dump tiny --json").out;
  const auto changed = [&](const std::string& from, const std::string& to) {
    const std::size_t at = whole.find(from);
    EXPECT_NE(at, std::string::npos) << from;
    return whole.substr(0, at) + to + whole.substr(at + from.size());
  };
  const std::size_t inputs = whole.find("\"inputs\": [\n    {"), id = whole.find("\"id\": ", inputs);
  const std::size_t end_of_id = whole.find_first_of(",\n", id);
  std::string binary = whole.substr(0, 200);
  for (int i = 0; i < 4096; ++i) binary += static_cast<char>(i * 37);
  return {{"truncated", whole.substr(0, whole.size() / 2)},
          {"long", "{\"name\": \"" + std::string(100'000'000, '1') + "\"}"},
          {"cyclic", whole.substr(0, id) + "\"id\": 40" + whole.substr(end_of_id)},
          {"unknown", changed("\"op\": \"matmul\"", "\"op\": \"mtamul\"")},
          {"deep", "{\"graph\": " + std::string(100'000, '[')},
          {"binary", binary},
          {"empty", "{}"}};
}

/// `thalweg: FILE:12:5: what`, and nothing else.
void expect_place(const Ran& ran, const std::string& file) {
  EXPECT_EQ(ran.status, 3);
  EXPECT_EQ(ran.out, "");
  EXPECT_EQ(lines_of(ran.err).size(), 1U) << ran.err;
  EXPECT_LT(ran.err.size(), 1000U);
  const std::string start = "thalweg: " + file + ":";
  ASSERT_TRUE(ran.err.starts_with(start)) << ran.err.substr(0, 300);
  const auto digits = [&](std::size_t from) {
    std::size_t at = from;
    while (at < ran.err.size() && ran.err[at] >= '0' && ran.err[at] <= '9') ++at;
    return at - from;
  };
  const std::size_t line = digits(start.size()), column = digits(start.size() + line + 1);
  EXPECT_TRUE(line > 0 && column > 0 && ran.err.substr(start.size() + line + 1 + column, 2) == ": ")
      << ran.err.substr(0, 300);
}

// FILE is where the file stands in the command.
const char* const reading_commands[] = {
    "dump FILE", "dump --stage planned --format html FILE", "dump --json FILE", "html FILE", "summary FILE",
    "memory FILE", "explain FILE %0", "explain --unfused FILE", "diff FILE --to folded", "diff tiny FILE", "passes FILE",
    "bisect FILE", "profile --no-limits FILE", "check FILE"};

std::string with_file(std::string command, const std::string& file) {
  return command.replace(command.find("FILE"), 4, file);
}

class GarbageOf : public testing::TestWithParam<bool> {};

TEST_P(GarbageOf, EachKindIsOneLineWithItsPlaceAndStatusThreeInEachCommand) {
  const Folder folder;
  for (const auto& [name, text] : GetParam() ? wrong_json() : wrong_texts()) {
    const std::filesystem::path file = folder.path() / (name + ".txt");
    write_text(file, text);
    for (const char* command : reading_commands) {
      SCOPED_TRACE(name + ": " + command);
      expect_place(thalweg_run(with_file(command, word_of(file))), file.string());
    }
    SCOPED_TRACE(name + " on standard input");
    expect_place(thalweg_run("dump - <" + word_of(file)), "standard input");
  }
}
INSTANTIATE_TEST_SUITE_P(Inspect, GarbageOf, testing::Values(false, true),
                         [](const auto& one) { return one.param ? "Json" : "Text"; });

TEST(Inspect, AWrongNodeOfJsonIsFoundByLineAndColumn) {
  const Folder folder;
  const std::filesystem::path file = folder.path() / "net.json";
  const std::string whole = thalweg_run("dump tiny --json").out;
  // The third element of the list, as it is printed: line and column of its brace.
  std::size_t at = 0;
  for (int node = 0; node < 3; ++node) at = whole.find("\n  {", at + 1);
  const auto line = 1 + std::count(whole.begin(), whole.begin() + static_cast<std::ptrdiff_t>(at) + 1, '\n');
  const std::size_t op = whole.find("\"op\": \"", at) + 7;
  write_text(file, whole.substr(0, op) + "no_" + whole.substr(op));
  const std::string err = thalweg_run("dump " + word_of(file)).err;
  EXPECT_TRUE(err.starts_with("thalweg: " + file.string() + ":" + std::to_string(line) + ":3: node 2: no op is called"))
      << err;
}

}  // namespace
}  // namespace thalweg::project
