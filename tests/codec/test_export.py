"""The exported ONNX files do what the codec does."""

import itertools
import json

import numpy as np
import onnx
import pytest

from xlvla import catalog
from xlvla.codec import ACTIVATIONS, HandCodec, Layer, Network
from xlvla.errors import XlvlaError
from xlvla_policy.latent.export import CARD, decoder, encoder, export, file_name

onnxruntime = pytest.importorskip("onnxruntime")

WITHIN = 1e-5


def run(model: onnx.ModelProto | str, given: np.ndarray) -> np.ndarray:
    content = model if isinstance(model, str) else model.SerializeToString()
    session = onnxruntime.InferenceSession(content, providers=["CPUExecutionProvider"])
    (wanted,) = session.run(None, {session.get_inputs()[0].name: given.astype(np.float32)})
    return wanted


@pytest.fixture(scope="module")
def exported(codec, tmp_path_factory):
    out = tmp_path_factory.mktemp("onnx")
    return out, export(codec, out)


def test_every_hand_and_side_gives_the_same_numbers_as_numpy(codec, exported):
    out, _ = exported
    for hand, side in itertools.product(codec.hands, ("left", "right")):
        lower, upper = codec.limits(hand, side)
        q = np.random.default_rng(0).uniform(lower - 0.2, upper + 0.2, (128, len(lower)))
        z = codec.encode(hand, side, q)
        np.testing.assert_allclose(
            run(str(out / file_name(hand, side, "encoder")), q), z, atol=WITHIN, rtol=WITHIN
        )
        there = codec.decode(hand, side, z)
        np.testing.assert_allclose(
            run(str(out / file_name(hand, side, "decoder")), z), there, atol=WITHIN, rtol=0
        )


def test_a_batch_may_be_empty_one_or_many(codec, exported):
    out, _ = exported
    for count in (0, 1, 7):
        found = run(
            str(out / file_name("xhand", "right", "decoder")), np.ones((count, codec.latent_dim))
        )
        assert found.shape == (count, len(codec.joints("xhand", "right")))


def test_wild_latents_stay_within_the_limits(codec, exported):
    lower, upper = codec.limits("xhand", "right")
    wild = 1e30 * np.random.default_rng(0).standard_normal((64, codec.latent_dim))
    q = run(str(exported[0] / file_name("xhand", "right", "decoder")), wild)
    assert (q >= lower).all() and (q <= upper).all()


def test_the_files_say_what_they_are(codec, exported):
    out, written = exported
    assert len(written) == 4 * len(codec.hands) + 1
    card = json.loads((out / CARD).read_text())
    assert card["codec"] == codec.hash
    entry = card["hands"]["paxini"]["left"]
    assert tuple(entry["joints"]) == catalog.hand("paxini").joint_names("left")
    model = onnx.load(out / entry["encoder"])
    assert {prop.key: prop.value for prop in model.metadata_props}["hand"] == "paxini"


def part(activation: str, normalised: bool) -> HandCodec:
    draw = np.random.default_rng(0)

    def array(*shape: int) -> np.ndarray:
        return draw.standard_normal(shape).astype(np.float32)

    def network(*widths: int) -> Network:
        extra = [(array(w), array(w)) if normalised else (None, None) for w in widths[1:-1]] + [
            (None, None)
        ]
        shapes = zip(itertools.pairwise(widths), extra, strict=True)
        return Network(
            tuple(Layer(array(i, o), array(o), *pair) for (i, o), pair in shapes),
            ACTIVATIONS[activation],
        )

    lower = np.array([-1, 0, 0.5], np.float32)
    upper = np.array([1, 0.3, 2], np.float32)
    return HandCodec(("a", "b", "c"), lower, upper, network(3, 16, 8, 5), network(5, 8, 16, 3))


@pytest.mark.parametrize(
    ("activation", "normalised"), list(itertools.product(ACTIVATIONS, (False, True)))
)
def test_every_kind_of_network_is_exported(activation, normalised):
    ours = part(activation, normalised)
    q = np.random.default_rng(1).uniform(-1, 2, (32, 3))
    z = np.random.default_rng(1).standard_normal((32, 5))
    np.testing.assert_allclose(
        run(encoder(ours), q), ours.encode(q.astype(np.float32)), atol=WITHIN, rtol=WITHIN
    )
    np.testing.assert_allclose(
        run(decoder(ours), z), ours.decode(z.astype(np.float32)), atol=WITHIN, rtol=WITHIN
    )


def test_an_activation_without_onnx_form_is_refused():
    ours = part("relu", False)
    with pytest.raises(XlvlaError, match="has no ONNX form"):
        encoder(
            HandCodec(
                ours.joints,
                ours.lower,
                ours.upper,
                Network(ours.encoder.layers, np.sin),
                ours.decoder,
            )
        )
