// SPDX-License-Identifier: Apache-2.0
#include "thalweg/ops/pointwise.h"

#include "thalweg/ops/make.h"

namespace thalweg {
namespace {

constexpr OpDef add_op{
    .name = "add", .arity = 2, .fusion = Fusion::pointwise, .commutative = true,
    .infer = broadcast_numeric,
    .gradient = gradient_of([](const Vjp& v) { return v.dy(); }, [](const Vjp& v) { return v.dy(); }),
    .eval = [](auto& e) { e.each([](auto a, auto b) { return a + b; }); },
};

constexpr OpDef mul_op{
    .name = "mul", .arity = 2, .fusion = Fusion::pointwise, .commutative = true,
    .infer = broadcast_numeric,
    .gradient = gradient_of([](const Vjp& v) { return v.dy() * v.x(1); }, [](const Vjp& v) { return v.dy() * v.x(0); }),
    .eval = [](auto& e) { e.each([](auto a, auto b) { return a * b; }); },
};

constexpr OpDef tanh_op{
    .name = "tanh", .arity = 1, .fusion = Fusion::pointwise,
    .infer = same_float,
    .gradient = gradient_of([](const Vjp& v) { return v.dy() * (1.0 + v.y() * v.y() * -1.0); }),
    .eval = [](auto& e) { e.each([](auto x) { using std::tanh; return tanh(x); }); },
};

}  // namespace

Value add(Operand a, Operand b) { return make(add_op, {a, b}); }
Value mul(Operand a, Operand b) { return make(mul_op, {a, b}); }
Value tanh(Operand x) { return make(tanh_op, {x}); }

OpList pointwise_ops() { return {&add_op, &mul_op, &tanh_op}; }

}  // namespace thalweg
