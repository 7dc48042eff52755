"""Conditions and addresses; the history they are asked of has steps 100, 200 (v1) and 300, and a branch lr/sweep."""


def seeds():
    texts = {
        "where": "loss<2 and step>1000",
        "where-all": "not (step>=150 or loss!=0.01) and author~'A*' and final=true and time<'2026-11-21'",
        "where-quoted": "note=\"x y\" or message ~ 'a*' and digest>=0",
        "where-unfinished": "step<",
        "where-parentheses": "(" * 20 + "step=100" + ")" * 20,
        "where-not": "not " * 20 + "step=100",
        "branch": "main~1",
        "branch-slash": "lr/sweep",
        "tag": "v1",
        "step": "step:200",
        "best": "main:best:-loss",
        "time": "time:1970-01-03T12:30",
        "back": "main~99999999999999999999",
        "bucket": "s3://bucket/runs.kilter@main~3/model.safetensors",
        "empty": "",
    }
    for name, text in texts.items():
        yield name, text.encode()
