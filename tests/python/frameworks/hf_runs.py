"""Small trainings with transformers' Trainer, each a process of its own."""

import doctest
import json
import os

import peft
import tokenizers
import torch
import transformers

import kilter._hf_folders
import kilter.hf

STEPS, LENGTH, WORDS = 16, 12, 32


def language_model(seed=0, width=16):
    torch.manual_seed(seed)
    config = transformers.GPT2Config(
        n_layer=2, n_head=2, n_embd=width, vocab_size=WORDS, n_positions=LENGTH, bos_token_id=0,
        eos_token_id=1)
    return transformers.GPT2LMHeadModel(config)  # with dropout, and tied embeddings


def with_adapter():
    model = language_model()
    return peft.get_peft_model(model, peft.LoraConfig(
        r=2, lora_dropout=0.1, target_modules=["c_attn"], modules_to_save=["ln_f"],
        fan_in_fan_out=True))


def rows():
    generator = torch.Generator().manual_seed(3)
    made = []
    for _ in range(20):
        ids = torch.randint(2, WORDS, (LENGTH,), generator=generator)
        made.append({"input_ids": ids, "labels": ids})
    return made


def tokenizer():
    words = tokenizers.Tokenizer(
        tokenizers.models.WordLevel({f"w{i}": i for i in range(WORDS)}, unk_token="w0"))
    return transformers.PreTrainedTokenizerFast(tokenizer_object=words, pad_token="w1")


def arguments(**changes):
    return transformers.TrainingArguments(**{
        "output_dir": "out", "max_steps": STEPS, "save_steps": 2, "logging_steps": 3,
        "per_device_train_batch_size": 2, "gradient_accumulation_steps": 2, "learning_rate": 1e-2,
        "lr_scheduler_type": "cosine", "warmup_steps": 3, "use_cpu": True, "report_to": [],
        "disable_tqdm": True, "seed": 7, **changes})


def trainer_of(model, callbacks, **changes):
    return transformers.Trainer(
        model, arguments(**changes), train_dataset=rows(), eval_dataset=rows()[:4],
        processing_class=tokenizer(), callbacks=callbacks)


def note(trainer, name="result"):
    """What a test compares."""
    torch.save(dict(trainer.model.state_dict()), f"{name}.pt")
    logged = [
        {key: row[key] for key in ("step", "loss", "grad_norm", "learning_rate")}
        for row in trainer.state.log_history if "loss" in row]
    with open(f"{name}.json", "w") as file:
        json.dump({"step": trainer.state.global_step, "logged": logged,
                   "best": trainer.state.best_model_checkpoint,
                   "best_step": trainer.state.best_global_step,
                   "folders": sorted(os.listdir("out")) if os.path.isdir("out") else []}, file)


def train(adapter=False, store="runs.kilter", resume=None, name="result", width=16, keep=None,
          preempt=None, slow=0, stop=0, **changes):
    """`store`: None is a Trainer without Kilter."""
    model = with_adapter() if adapter else language_model(width=width)
    callbacks = []
    if store:
        callbacks.append(kilter.hf.Checkpoints(store, keep=keep, preempt_seconds=preempt))
    if slow:
        callbacks.append(Slow(slow))
    if stop:
        callbacks.append(Stop(stop))
    trainer = trainer_of(model, callbacks, **changes)
    trainer.train(resume_from_checkpoint=resume)
    note(trainer, name)


class Slow(transformers.TrainerCallback):
    """Leaves time to be signalled, and says when it may be."""

    def __init__(self, seconds):
        self._seconds = seconds

    def on_step_end(self, args, state, control, **kwargs):
        import time

        if state.global_step == 3:
            open("third-step", "w").close()
        time.sleep(self._seconds)


class Stop(transformers.TrainerCallback):
    """Ends training early, as an interruption would."""

    def __init__(self, step):
        self._step = step

    def on_step_end(self, args, state, control, **kwargs):
        control.should_training_stop = state.global_step >= self._step


def use_restored(place):
    """A restored step is a model as any other."""
    model = transformers.AutoModelForCausalLM.from_pretrained(place)
    assert transformers.AutoTokenizer.from_pretrained(place).convert_tokens_to_ids("w5") == 5
    torch.save(model.state_dict(), "used.pt")


def use_adapter(place):
    """A restored adapter goes onto the base."""
    model = peft.PeftModel.from_pretrained(language_model(), place)
    torch.save(model.state_dict(), "used.pt")


def move(address, to, store):
    kilter.hf.export_checkpoint(address, to)
    kilter.hf.import_checkpoint(to, store)


def examples():
    """Those of the docstrings."""
    for module in (kilter.hf, kilter._hf_folders):
        result = doctest.testmod(module)
        assert result.attempted and not result.failed


def guide(examples):
    """Those of the guide, in order; what stands before them is what a reader has already."""
    begin = {"Trainer": transformers.Trainer, "model": language_model(), "data": rows(),
             "args": arguments(max_steps=4)}
    for example in examples:
        exec(example, begin)
    assert kilter.Store("runs.kilter").find("main").step
