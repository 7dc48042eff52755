"""--html: pages that stand alone, hold the numbers, and never run what a checkpoint says."""

import json
import re
from html.parser import HTMLParser

import pytest
import torch
from safetensors.torch import save_file

VOID = {"meta", "br", "path"}
EVIL = "<script>alert(1)</script>\"'><img src=x onerror=alert(2)>&amp;"


class Page(HTMLParser):
    """Checks that every element is closed, and collects what is shown."""

    def __init__(self, text):
        super().__init__(convert_charrefs=True)
        self.open, self.tags, self.text, self.titles, self.attributes, self.code = [], [], [], [], [], ""
        self.feed(text)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag, attributes):
        self.tags.append(tag)
        self.attributes += attributes
        self.titles += [value for key, value in attributes if key == "title"]
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attributes):
        self.tags.append(tag)
        self.attributes += attributes

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if self.open and self.open[-1] in ("script", "style"):
            self.code += data
        else:
            self.text.append(data)


def read(path):
    page = Page(path.read_text())
    assert page.tags.count("script") == 1 and "img" not in page.tags and "link" not in page.tags
    assert "alert" not in page.code and not re.search(r"https?:|url\(|@import|fetch|innerHTML", page.code)
    assert not any(key.startswith("on") or key in ("src", "href") for key, _ in page.attributes)
    return page


def llama(seed=0):
    generator = torch.Generator().manual_seed(seed)
    shapes = {"model.embed_tokens.weight": (30, 8), "lm_head.weight": (30, 8)}
    for layer in (0, 1, 2, 10):
        for part in ("self_attn.q_proj", "self_attn.k_proj", "mlp.up_proj", "mlp.down_proj"):
            shapes[f"model.layers.{layer}.{part}.weight"] = (8, 8)
        shapes[f"model.layers.{layer}.input_layernorm.weight"] = (8,)
    return {name: torch.randn(shape, generator=generator) for name, shape in shapes.items()}


def heat_of(path):
    """{(layer, part): text} of the heat map."""
    table = re.search(r'<table class="heat">(.*?)</table>', path.read_text(), re.S).group(1)
    parts = re.findall(r'<th class="n">(.*?)</th>', table)
    out = {}
    for row in re.findall(r"<tr><th>(.*?)</th>(.*?)</tr>", table.split("<tbody>")[1], re.S):
        for part, cell in zip(parts, re.findall(r"<td.*?>(.*?)</td>", row[1])):
            out[row[0], part] = cell
    return out


def test_stats_page(kilter, tmp_path):
    tensors = llama()
    save_file(tensors, tmp_path / "a.safetensors")
    kilter("stats", tmp_path / "a.safetensors", "--html", tmp_path / "page.html", status=0)
    page = read(tmp_path / "page.html")
    assert all(name in page.text for name in tensors)
    heat = heat_of(tmp_path / "page.html")
    value = tensors["model.layers.1.mlp.up_proj.weight"]
    assert float(heat["model.layers.1", "up"]) == pytest.approx(float((value**2).mean().sqrt()), rel=0.06)
    both = torch.cat([tensors["model.embed_tokens.weight"].ravel()])
    assert float(heat["outside of layers", "embed"]) == pytest.approx(float((both**2).mean().sqrt()), rel=0.06)
    assert list(dict.fromkeys(layer for layer, _ in heat)) == [
        "outside of layers", *(f"model.layers.{i}" for i in (0, 1, 2, 10))]
    assert set(part for _, part in heat) == {"embed", "norm", "q", "k", "up", "down", "head"}
    assert any(title.startswith("model.layers.2.self_attn.q_proj.weight, 64 numbers") for title in page.titles)
    assert page.tags.count("svg") == len(tensors) + 1


def test_diff_page(kilter, tmp_path):
    a = llama()
    b = {name: tensor.clone() for name, tensor in a.items()}
    b["model.layers.1.mlp.up_proj.weight"] *= 1.5
    b["model.layers.2.mlp.up_proj.weight"] *= 1.001
    del b["lm_head.weight"]
    b["new"] = torch.ones(3)
    save_file(a, tmp_path / "a.safetensors", {"step": "1"})
    save_file(b, tmp_path / "b.safetensors", {"step": "<2>"})
    report = kilter("diff", tmp_path / "a.safetensors", tmp_path / "b.safetensors", "--html", tmp_path / "page.html",
                    "--json", status=1).json
    page = read(tmp_path / "page.html")
    heat = heat_of(tmp_path / "page.html")
    assert heat["model.layers.1", "up"] == "0.5" and heat["model.layers.2", "up"] == "0.001"
    assert heat["model.layers.0", "up"] == "0" and ("outside of layers", "head") not in heat
    text = "".join(page.text)
    for said in ("only in A", "only in B", "<2>", "step", report["a"]):
        assert said in text
    rows = re.findall(r'<td class="name">(.*?)</td><td>(.*?)</td>', (tmp_path / "page.html").read_text())
    assert dict(rows)["model.layers.1.mlp.up_proj.weight"] == "changed"


def test_hostile_names_stay_text(kilter, tmp_path):
    folders = [tmp_path / "a", tmp_path / "b"]
    for i, folder in enumerate(folders):
        folder.mkdir()
        save_file({EVIL + ".0.weight": torch.randn(4, 4), f"{EVIL}{i}": torch.ones(2), "line\nbreak\u202e": torch.ones(1)},
                  folder / "model.safetensors", {EVIL: EVIL * (i + 1)})
        (folder / "config.json").write_text(json.dumps({EVIL: i, "value": EVIL * (i + 1)}))
        (folder / "tokenizer.json").write_text(json.dumps({"model": {"vocab": {EVIL + str(i): 0}}, EVIL: [EVIL, i]}))
    kilter("diff", *folders, "--html", tmp_path / "diff.html", status=1)
    kilter("stats", folders[0], "--html", tmp_path / "stats.html", status=0)
    for name in ("diff", "stats"):
        page = read(tmp_path / f"{name}.html")
        assert any(EVIL[:25] in text for text in page.text) and any(EVIL[:25] in title for title in page.titles)
        assert "\u202e" not in "".join(page.text)
    one = tmp_path / f"{EVIL.replace('/', '|')}.safetensors"
    save_file({"w": torch.ones(2)}, one)
    kilter("stats", one, "--html", tmp_path / "name.html", status=0)
    read(tmp_path / "name.html")


def test_pages_are_not_replaced_unasked(kilter, tmp_path):
    save_file({"w": torch.ones(2)}, tmp_path / "a.safetensors")
    target = tmp_path / "page.html"
    target.write_text("mine")
    for command in (("stats", tmp_path / "a.safetensors"), ("diff", *[tmp_path / "a.safetensors"] * 2)):
        run = kilter(*command, "--html", target, status=2)
        assert "--force" in run.err and target.read_text() == "mine"
        kilter(*command, "--html", target, "--force", status=0)
        read(target)
        target.write_text("mine")
    kilter("stats", tmp_path / "a.safetensors", "--html", tmp_path / "none" / "page.html", status=4)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.safetensors", "page.html"]


def test_pages_of_nothing(kilter, tmp_path):
    save_file({"empty": torch.zeros(0), "nan": torch.full((3, 3), torch.nan), "zero": torch.zeros(2, 2)},
              tmp_path / "a.safetensors")
    kilter("stats", tmp_path / "a.safetensors", "--html", tmp_path / "s.html", status=0)
    kilter("diff", *[tmp_path / "a.safetensors"] * 2, "--html", tmp_path / "d.html", status=0)
    for name in ("s", "d"):
        read(tmp_path / f"{name}.html")
    assert 'class="mark"' in (tmp_path / "s.html").read_text()
