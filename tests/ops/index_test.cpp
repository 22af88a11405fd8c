// SPDX-License-Identifier: Apache-2.0
#include "thalweg/ops/index.h"

#include "run.h"
#include "thalweg/graph/autodiff.h"
#include "thalweg/ops/movement.h"
#include "thalweg/ops/pointwise.h"
#include "thalweg/ops/reduce.h"
#include "thalweg/ops/source.h"

namespace thalweg::testing {
namespace {

using Numbers = std::vector<double>;

TEST(Gather, TakesAlongAnyAxis) {
  Graph g;
  const Value table = input(g, "table", f64(2, 3)), indices = input(g, "indices", i32(2, 2));
  const Value rows = gather(table, indices), columns = gather(table, indices, -1);
  EXPECT_EQ(rows.type(), f64(2, 2, 3));
  EXPECT_EQ(columns.type(), f64(2, 2, 2));
  const Interpreter run = evaluated(g, {{"table", {1, 2, 3, 4, 5, 6}}, {"indices", {1, 0, 1, 1}}});
  EXPECT_EQ(run.at(rows).data, (Numbers{4, 5, 6, 1, 2, 3, 4, 5, 6, 4, 5, 6}));
  EXPECT_EQ(run.at(columns).data, (Numbers{2, 1, 2, 2, 5, 4, 5, 5}));
}

TEST(Gather, GradientsOfRepeatedRowsAddUp) {
  Graph g;
  const Value table = input(g, "table", f64(3)), indices = input(g, "indices", i64(3));
  const Value taken = gather(table, indices);
  const Value first = gradients(sum(square(taken)), {table})[0];
  const Value second = gradients(sum(square(first)), {table})[0];
  const Interpreter run = evaluated(g, {{"table", {1, 2, 3}}, {"indices", {2, 0, 2}}});
  EXPECT_EQ(run.at(first).data, (Numbers{2, 0, 12}));
  // first is 2 n x with n the number of uses, so the slope of its square is 8 n^2 x.
  EXPECT_EQ(run.at(second).data, (Numbers{8, 0, 96}));
}

TEST(ScatterAdd, AddsDuplicatesAndPassesGradientsOn) {
  Graph g;
  const Value base = input(g, "base", f64(2, 2)), indices = input(g, "indices", u8(3)),
              updates = input(g, "updates", f64(2, 3));
  const Value y = scatter_add(base, indices, updates, 1);
  const std::vector<Value> slopes = gradients(sum(square(y)), {base, updates});
  const Interpreter run =
      evaluated(g, {{"base", {1, 2, 3, 4}}, {"indices", {1, 1, 0}}, {"updates", {10, 20, 30, 40, 50, 60}}});
  EXPECT_EQ(run.at(y).data, (Numbers{31, 32, 63, 94}));
  EXPECT_EQ(run.at(slopes[0]).data, (Numbers{62, 64, 126, 188}));
  EXPECT_EQ(run.at(slopes[1]).data, (Numbers{64, 64, 62, 188, 188, 126}));
}

TEST(OneHot, HasOneAxisMore) {
  Graph g;
  const Value labels = input(g, "labels", i64(2));
  const Value hot = one_hot(labels, 3), flags = one_hot(labels, 3, DType::boolean);
  EXPECT_EQ(hot.type(), f32(2, 3));
  EXPECT_EQ(flags.type(), boolean(2, 3));
  const Interpreter run = evaluated(g, {{"labels", {2, 0}}});
  EXPECT_EQ(run.at(hot).data, (Numbers{0, 0, 1, 1, 0, 0}));
  EXPECT_EQ(run.at(flags).data, (Numbers{0, 0, 1, 1, 0, 0}));
}

TEST(Index, OutOfRangeNamesPositionValueAndBound) {
  for (const double bad : {-1.0, 3.0, -2147483648.0, 2147483647.0}) {
    Graph g;
    const Value table = input(g, "table", f64(3)), indices = input(g, "indices", i32(2));
    const Value taken = gather(table, indices);
    const Feeds feeds{{"table", {1, 2, 3}}, {"indices", {0, bad}}};
    const std::string fact = "index 1 is " + to_string(AttrValue(bad)) + ", must be in [0, 3)";
    EXPECT_EQ(thrown<RunError>([&] { evaluated(g, feeds); }), "gather: " + fact);

    Graph h;
    const Value at = input(h, "indices", i32(2));
    scatter_add(input(h, "table", f64(3)), at, constant(h, 1, f64(2)));
    EXPECT_EQ(thrown<RunError>([&] { evaluated(h, feeds); }), "scatter_add: " + fact);

    Graph k;
    one_hot(input(k, "indices", i32(2)), 3);
    EXPECT_EQ(thrown<RunError>([&] { evaluated(k, {{"indices", {0, bad}}}); }), "one_hot: " + fact);
  }
}

TEST(Movement, StridedSlicesAndPadsAreInverse) {
  Graph g;
  const Value x = input(g, "x", f64(2, 5));
  const Value part = slice(x, {0, 1}, {2, -1}, {1, 2});
  EXPECT_EQ(part.type(), f64(2, 2));
  const Value back = pad(part, {0, 1}, {0, 1}, -1, {0, 1});
  EXPECT_EQ(back.type(), x.type());
  const Value dx = gradients(sum(part * part), {x})[0];
  const Value dpart = gradients(sum(back * x), {part})[0];
  const Interpreter run = evaluated(g, {{"x", {0, 1, 2, 3, 4, 5, 6, 7, 8, 9}}});
  EXPECT_EQ(run.at(part).data, (Numbers{1, 3, 6, 8}));
  EXPECT_EQ(run.at(back).data, (Numbers{-1, 1, -1, 3, -1, -1, 6, -1, 8, -1}));
  EXPECT_EQ(run.at(dx).data, (Numbers{0, 2, 0, 6, 0, 0, 12, 0, 16, 0}));
  EXPECT_EQ(run.at(dpart).data, (Numbers{1, 3, 6, 8}));
}

TEST(Movement, TransposeAndConcatGiveEachPartItsGradient) {
  Graph g;
  const Value a = input(g, "a", f64(2, 1)), b = input(g, "b", f64(2, 2));
  const Value both = concat({a, b}, -1), turned = transpose(both);
  const std::vector<Value> slopes = gradients(sum(square(turned)), {a, b});
  const Interpreter run = evaluated(g, {{"a", {1, 2}}, {"b", {3, 4, 5, 6}}});
  EXPECT_EQ(run.at(both).data, (Numbers{1, 3, 4, 2, 5, 6}));
  EXPECT_EQ(run.at(turned).data, (Numbers{1, 2, 3, 5, 4, 6}));
  EXPECT_EQ(run.at(slopes[0]).data, (Numbers{2, 4}));
  EXPECT_EQ(run.at(slopes[1]).data, (Numbers{6, 8, 10, 12}));
}

TEST(Index, Errors) {
  Graph g;
  const Value table = input(g, "table", f32(3, 2)), at = input(g, "at", i32(4)), real = input(g, "real", f32(4));
  const auto first_line = [](auto build) {
    const std::string text = thrown<GraphError>(build);
    return text.substr(0, text.find('\n'));
  };
  EXPECT_EQ(first_line([&] { gather(table, real); }), "HERE: gather: the indices must be i32, i64 or u8, is f32[4]");
  EXPECT_EQ(first_line([&] { scatter_add(table, at, real); }), "HERE: scatter_add: the updates must be [4,2], are [4]");
  EXPECT_NE(first_line([&] { one_hot(at, 0); }).find("HERE: one_hot: "), std::string::npos);
  EXPECT_NE(first_line([&] { gather(table, at, 2); }).find("HERE: gather: "), std::string::npos);
}

}  // namespace
}  // namespace thalweg::testing
