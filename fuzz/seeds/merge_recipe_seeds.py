"""Recipes of merges: each part of the grammar, and each limit of the reader."""

LINEAR = """merge_method: linear
models:
  - model: org/a
    parameters: {weight: [0.1, 0.9]}
  - model: {model: {path: b, revision: main}}
    parameters:
      weight:
        - {filter: self_attn, value: 1}
        - value: 1e-1
base_model: org/a
dtype: bfloat16
out_dtype: float16
name: x
compat: paper
seed: 7
"""
SLICES = """slices:
- sources:
  - model: a
    layer_range: [0, 4]
  - {model: b, layer_range: [4, 8], parameters: {weight: "2"}}
  base_model: a
  parameters: {t: [0, .5, 1]}
merge_method: slerp
base_model: a
parameters: {int8_mask: yes}
"""
MODULES = """merge_method: ties
modules:
  default:
    models: &models [{model: a}, {model: b}]
    parameters: {weight: 1, density: 0.5}
  vision:
    models: *models
tokenizer:
  source: union
  pad_to_multiple_of: 64
  tokens:
    <|im_start|>: {source: b, force: true}
    "<new>\\u00e9\\n": {source: {kind: zero}}
    <old>: {source: {kind: model_token, model: a, token_id: 3}}
chat_template: "{% for m in messages %}{{ m }}{% endfor %}"
"""


def seeds():
    yield "linear", LINEAR.encode()
    yield "slices", SLICES.encode()
    yield "modules", MODULES.encode()
    yield "adapter", LINEAR.replace("model: org/a", "model: {model: a, lora: c}", 1).encode()
    yield "merge-keys", b"merge_method: linear\nmodels:\n- &a {model: a, parameters: {weight: 1}}\n- {<<: *a, model: b}\n"
    yield "unknown-key", LINEAR.replace("seed", "sead").encode()
    yield "alias-inside-itself", b"a: &a [*a]"
    yield "expansion", b"a: &a [1,1,1,1,1,1,1,1]\n" + b"".join(
        b"%c: &%c [%s]\n" % (c + 1, c + 1, b",".join([b"*%c" % c] * 8)) for c in b"abcdefg")
    yield "deep", b"[" * 200 + b"]" * 200
    yield "documents", b"a: 1\n---\nb: 2\n"
    yield "tag", b"!!python/name:os.system a"
    yield "texts", "a: |\n  two\n  lines\nb: >-\n  one\n  line\n'c d': \"\\t\\x07\\u2028\"\n? e\n: ~\n".encode()
    yield "key-twice", b"a: 1\na: 2\n"
    yield "key-list", b"[1]: 2\n"
    yield "no-utf8", b"a: \xff\xfe\n"
    yield "utf16", "a: 1".encode("utf-16")
    yield "null", b"~"
    yield "dots", b"- ...\n- '...'\n- --\n- '-'\n- '~'\n- ''\n"
