"""DeepSpeed folders in small. Contents are pickles: the target makes torch files of them."""

from torch_zip_seeds import ODICT, integers, number, storage, tensor, text

BETWEEN = b"\x1e"


def dictionary(entries):
    return b"}(" + b"".join(k + v for k, v in entries) + b"u"


def named(**entries):
    return dictionary([(text(k.encode()), v) for k, v in entries.items()])


def listed(*items):
    return b"](" + b"".join(items) + b"e"


def ordered(entries):
    return b"ccollections\nOrderedDict\n)R(" + b"".join(k + v for k, v in entries) + b"u"


def flat(count, key=b"0", offset=0):
    return tensor(storage(key, 16), [count], [1], offset)


def pickle(body):
    return b"\x80\x02" + body + b"."


def shapes(**sizes):
    return ordered([(text(k.encode()), b"ctorch\nSize\n" + integers(v) + b"\x85R") for k, v in sizes.items()])


def model(module=b"}", **more):
    return pickle(named(module=module, buffer_names=listed(), shared_params=b"}",
                        param_shapes=listed(shapes(a=[3, 2], b=[4])), **more))


def folder(files):
    out = BETWEEN.join(name.encode() + b"\n" + content for name, content in files.items())
    assert out.count(BETWEEN) == len(files) - 1
    return out


def state(slots, count):
    return named(state=dictionary([(number(0), named(**{s: flat(count, b"1") for s in slots}, step=number(3)))]),
                 param_groups=listed(named(lr=number(1), params=listed(number(0)))))


def zero2(rank, count=6, **more):
    return pickle(named(optimizer_state_dict=named(
        zero_stage=number(2), partition_count=listed(number(2)), single_partition_of_fp32_groups=listed(flat(count)),
        base_optimizer_state=state(["exp_avg", "exp_avg_sq"], count), **more)))


def zero3(rank, count=5):
    return pickle(named(optimizer_state_dict=named(
        zero_stage=number(3), partition_count=number(2), fp32_flat_groups=listed(flat(2), flat(count - 2, b"1")),
        optimizer_state_dict=state(["exp_avg"], 2))))


def seeds():
    assert ODICT
    one = {"t/mp_rank_00_model_states.pt": model()}
    two = {f"t/zero_pp_rank_{r}_mp_rank_00_optim_states.pt": zero2(r, 6 - r) for r in (0, 1)}
    yield "stage2", folder(one | two)
    yield "paddings", folder(one | {
        f"t/bf16_zero_pp_rank_{r}_mp_rank_00_optim_states.pt":
            zero2(r, 6, param_alignment_paddings=listed(listed(number(1), number(1)))) for r in (0, 1)})
    three = {f"t/zero_pp_rank_{r}_mp_rank_00_optim_states.pt": zero3(r) for r in (0, 1)}
    frozen = {"frozen_param_shapes": shapes(f=[3]), "frozen_param_fragments": named(f=flat(2))}
    three |= {f"t/zero_pp_rank_{r}_mp_rank_00_model_states.pt": model(**frozen) for r in (0, 1)}
    yield "stage3", folder(three)
    yield "missing", folder({k: v for k, v in three.items() if "rank_1" not in k})
    weights = ordered([(text(b"a"), flat(4)), (text(b"buf"), flat(2))])
    yield "plain", folder({"t/mp_rank_00_model_states.pt": model(weights, optimizer=named(x=flat(1)))})
    yield "experts", folder(one | two | {
        "t/layer_0_expert_1_mp_rank_00_model_states.pt": pickle(named(e=flat(3)))})
    yield "universal", folder({
        "t/zero/a/fp32.pt": pickle(named(param=flat(6), cat_dim=number(0))),
        "t/zero/a/exp_avg.pt": pickle(flat(6, b"1")), "t/zero/a/step.pt": pickle(number(7)),
        "t/mp_rank_00_model_states.pt": model()})
    yield "junk", folder({"t/mp_rank_00_model_states.pt": b"no torch file"} | two)
