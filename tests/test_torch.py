"""Models and dictionaries in PyTorch have the outputs that they have here: needs PyTorch, from 1.13 on.

The authors' and ARENA's classes, and those of dictionary_learning, are written again here from their descriptions.
"""

import io
import pickle
import tarfile
import zipfile

import jax
import jax.numpy as jnp
import numpy as np
import pytest

torch = pytest.importorskip("torch", exc_type=ImportError)

from test_layouts import CLASSES, KEY, METHODS, activations, lengths_of, trained  # noqa: E402

from superpose import measures, models, train  # noqa: E402
from superpose.features import Independent  # noqa: E402
from superpose.torch import arrays, dictionary, dictionary_state, model, module, save_dictionary, state_dict  # noqa: E402


def tensor(values):
    """As `torch.as_tensor`, also where PyTorch was built with another NumPy."""
    return torch.from_dlpack(np.array(values, order="C"))


def numbers(of):
    return np.array(np.from_dlpack(of.detach()))


def samples(*shape):
    return np.random.default_rng(0).normal(size=shape).astype(np.float32)


def outputs(given, x):
    """What models here make of samples (sample, feature), or (sample, member, feature)."""
    for_all = jax.vmap(lambda model, x: model(x)) if given.W.ndim == 3 else given
    return np.asarray(jax.vmap(lambda x: for_all(given, x) if given.W.ndim == 3 else given(x))(x))


def made(kind, **settings):
    """One model and several side by side, with biases that are not 0."""

    def init(key):
        drawn = kind.init(5, 2, key=key, **settings)
        moved = [
            None if b is None else 0.1 * jax.random.normal(key, b.shape) for b in (drawn.b, drawn.hidden_bias)
        ]
        return kind(drawn.W, moved[0], drawn.W_out, moved[1], drawn.activation, drawn.hidden_activation)

    return init(KEY), train.ensemble(init, members=3, key=KEY)


# Modules.


@pytest.mark.parametrize("activation", models.activations)
@pytest.mark.parametrize("kind", CLASSES)
def test_a_module_has_the_outputs_of_its_model_and_gives_it_back(kind, activation):
    settings = {"activation": activation, "hidden_activation": activation, "hidden_bias": True}
    for given in (*made(kind, activation=activation), *made(kind, **settings)):
        own = module(given)
        x = samples(20, *given.W.shape[:-2], 5)
        np.testing.assert_allclose(numbers(own(tensor(x))), outputs(given, x), atol=1e-6)
        back = model(own)
        assert type(back) is kind
        for one, other in zip(jax.tree.leaves(given), jax.tree.leaves(back), strict=True):
            np.testing.assert_array_equal(one, other)
        assert (back.activation, back.hidden_activation) == (given.activation, given.hidden_activation)


def test_double_precision_is_kept():
    W, b, x = np.random.default_rng(0).normal(size=(2, 5)), np.full(5, 0.1), samples(7, 5).astype(np.float64)
    own = module(models.ReluOutput(W, b))
    np.testing.assert_allclose(numbers(own(tensor(x))), np.maximum(x @ W.T @ W + b, 0), atol=1e-14)
    assert model(own).W.dtype == np.float64
    assert state_dict(models.ReluOutput(W, b), "arena")["W"].dtype == torch.float64
    assert module(models.ReluOutput(jnp.asarray(W, jnp.bfloat16), b)).W.dtype == torch.float32


def test_a_module_trains_as_its_model_does():
    (given, _), x = made(models.ReluOutput, activation="gelu"), samples(50, 5)
    own = module(given)
    ((own(tensor(x)) - tensor(x)) ** 2).sum().backward()
    slope = jax.grad(lambda model: ((jax.vmap(model)(x) - x) ** 2).sum())(given)
    np.testing.assert_allclose(numbers(own.W.grad), slope.W, rtol=1e-4, atol=1e-4)
    np.testing.assert_allclose(numbers(own.b.grad), slope.b, rtol=1e-4, atol=1e-4)


def test_one_of_several_is_a_module_by_itself():
    _, several = made(models.Untied, hidden_activation="relu")
    own, x = module(several), samples(20, 5)
    one = own.member(1)
    np.testing.assert_allclose(numbers(one(tensor(x))), outputs(train.member(several, 1), x), atol=1e-6)
    np.testing.assert_allclose(numbers(own(tensor(x)[:, None]))[:, 1], numbers(one(tensor(x))), atol=1e-6)
    with torch.no_grad():
        one.W.zero_()
    np.testing.assert_array_equal(numbers(own.W), several.W)
    with pytest.raises(IndexError, match="there is one model"):
        one.member(0)


def test_a_batch_is_not_taken_for_members():
    _, several = made(models.ReluOutput)
    for shape in ((3, 5), (20, 2, 5), (20, 3, 4), (5,)):
        with pytest.raises(ValueError, match=r"x must have the shape \(\.\.\., 3, 5\), got"):
            module(several)(torch.zeros(shape[0] + 4, *shape[1:]) if shape == (3, 5) else torch.zeros(shape))


def test_experts_work_as_here():
    given = models.Mixture.init(6, 4, experts=3, active=2, key=KEY)
    own, x = module(given), samples(30, 6)
    np.testing.assert_allclose(numbers(own(tensor(x))), outputs(given, x), atol=1e-6)
    assert ((numbers(own.encode(tensor(x))) != 0).sum(axis=1) == 4).all()
    assert (model(own).experts, model(own).active) == (3, 2)


def test_activations_of_ones_own_are_given_in_both():
    given, x = models.ReluOutput([[1, -1]], [0, 0], activation=jnp.sin), samples(4, 2)
    with pytest.raises(ValueError, match=r"activation sin is no function of PyTorch.*activation=torch.sin"):
        module(given)
    own = module(given, activation=torch.sin)
    np.testing.assert_allclose(numbers(own(tensor(x))), outputs(given, x), atol=1e-6)
    with pytest.raises(ValueError, match=r"activation is a function of PyTorch.*activation=jnp.sin"):
        model(own)
    assert model(own, activation=jnp.sin).activation is jnp.sin
    assert model(module(models.ReluOutput([[1, -1]], [0, 0], activation=jax.nn.relu))).activation == "relu"


def test_a_class_that_computes_in_its_own_way_is_refused():
    class Own(models.ReluOutput):
        def encode(self, x):
            return 2 * super().encode(x)

    class Named(models.ReluOutput):
        """Nothing but a name."""

    with pytest.raises(TypeError, match="Own computes in a way of its own"):
        module(Own([[1, -1]], [0, 0]))
    assert module(Named([[1, -1]], [0, 0])).kind is models.ReluOutput
    with pytest.raises(TypeError, match="model must be a network"):
        module(np.ones((2, 3)))


# The authors' notebook, and ARENA.


class NotebookModel(torch.nn.Module):
    """The authors': `W` (instances, features, hidden), `out = ReLU(W W^T x + b_final)`."""

    def __init__(self, n_instances, n_features, n_hidden):
        super().__init__()
        self.W = torch.nn.Parameter(torch.randn(n_instances, n_features, n_hidden))
        self.b_final = torch.nn.Parameter(torch.randn(n_instances, n_features))

    def forward(self, features):
        hidden = torch.einsum("...if,ifh->...ih", features, self.W)
        return torch.relu(torch.einsum("...ih,ifh->...if", hidden, self.W) + self.b_final)


class ArenaModel(torch.nn.Module):
    """ARENA's: `W` (inst, d_hidden, feats); its neuron model has a ReLU in the hidden layer, too."""

    def __init__(self, n_inst, feats, d_hidden, neurons=False):
        super().__init__()
        self.W = torch.nn.Parameter(torch.randn(n_inst, d_hidden, feats))
        self.b_final = torch.nn.Parameter(torch.randn(n_inst, feats))
        self.neurons = neurons

    def forward(self, features):
        hidden = torch.einsum("...if,ihf->...ih", features, self.W)
        hidden = torch.relu(hidden) if self.neurons else hidden
        return torch.relu(torch.einsum("...ih,ihf->...if", hidden, self.W) + self.b_final)


class ArenaComputation(torch.nn.Module):
    """ARENA's model of computation: `W1` (inst, d_hidden, feats), `W2` (inst, feats, d_hidden)."""

    def __init__(self, n_inst, feats, d_hidden):
        super().__init__()
        self.W1 = torch.nn.Parameter(torch.randn(n_inst, d_hidden, feats))
        self.W2 = torch.nn.Parameter(torch.randn(n_inst, feats, d_hidden))
        self.b_final = torch.nn.Parameter(torch.randn(n_inst, feats))

    def forward(self, features):
        hidden = torch.relu(torch.einsum("...if,ihf->...ih", features, self.W1))
        return torch.relu(torch.einsum("...ih,ifh->...if", hidden, self.W2) + self.b_final)


@pytest.mark.parametrize(
    ("own", "kind", "layout"),
    [
        (lambda: NotebookModel(4, 5, 2), models.ReluOutput, "notebook"),
        (lambda: ArenaModel(4, 5, 2), models.ReluOutput, "arena"),
        (lambda: ArenaModel(4, 5, 2, neurons=True), models.ReluHidden, "arena"),
        (lambda: ArenaComputation(4, 5, 2), models.Untied, "arena"),
    ],
    ids=["notebook", "arena", "neurons", "computation"],
)
def test_the_authors_and_arenas_classes_load_both_ways(own, kind, layout, tmp_path, capsys):
    torch.manual_seed(0)
    theirs, x = own(), samples(30, 4, 5)
    settings = {"hidden_activation": "relu"} if kind is models.Untied else {}
    torch.save(theirs.state_dict(), tmp_path / "model.pt")
    torch.save({"model_state_dict": theirs.state_dict(), "epoch": 3}, tmp_path / "checkpoint.pth")
    for source in (theirs, theirs.state_dict(), tmp_path / "model.pt", str(tmp_path / "checkpoint.pth")):
        found = model(source, kind, **settings)
        assert f"the layout {layout}" in capsys.readouterr().err
        assert type(found) is kind
        np.testing.assert_allclose(outputs(found, x), numbers(theirs(tensor(x))), atol=1e-5)
    fresh = own()
    fresh.load_state_dict(state_dict(found, layout))
    np.testing.assert_array_equal(numbers(fresh(tensor(x))), numbers(theirs(tensor(x))))


def test_one_model_is_one_instance_of_the_authors():
    one, _ = made(models.ReluOutput)
    theirs, x = NotebookModel(1, 5, 2), samples(30, 5)
    theirs.load_state_dict(state_dict(one, "notebook"))
    np.testing.assert_allclose(numbers(theirs(tensor(x)[:, None]))[:, 0], outputs(one, x), atol=1e-6)


# Files.


class Evil:
    def __reduce__(self):
        return open, ("ran", "w")


def test_nothing_but_tensors_is_read(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    torch.save(NotebookModel(4, 5, 2), tmp_path / "whole.pt")
    torch.save({"W": Evil()}, tmp_path / "evil.pt")
    torch.save({"W": torch.zeros(2, 3)}, tmp_path / "old.pt", _use_new_zipfile_serialization=False)
    with zipfile.ZipFile(
        tmp_path / "script.pt", "w"
    ) as archive:  # what tells PyTorch that it is TorchScript's
        archive.writestr("script/data.pkl", pickle.dumps(Evil()))
        archive.writestr("script/constants.pkl", pickle.dumps(Evil()))
    (tmp_path / "plain.pt").write_bytes(pickle.dumps(Evil()))
    with tarfile.open(tmp_path / "tar.pt", "w") as archive:
        for name in ("storages", "tensors", "pickle"):
            data = pickle.dumps(Evil())
            info = tarfile.TarInfo(name)
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
    torch.save({"W": torch.zeros(200, 300)}, tmp_path / "cut.pt")
    (tmp_path / "cut.pt").write_bytes((tmp_path / "cut.pt").read_bytes()[:5000])
    with zipfile.ZipFile(tmp_path / "zip.pt", "w") as archive:
        archive.writestr("a/data.txt", "no tensors")
    torch.save(3, tmp_path / "number.pt")
    torch.save({"epoch": 3}, tmp_path / "none.pt")
    torch.save({"W": torch.zeros(2, 3, dtype=torch.complex64)}, tmp_path / "complex.pt")
    (tmp_path / "pickle.pkl").write_bytes(pickle.dumps(Evil()))
    for name, said in {
        "whole": "holds more than tensors",
        "evil": "holds more than tensors",
        "old": "may run code where it is read",
        "script": "may run code where it is read",
        "plain": "may run code where it is read",
        "tar": "may run code where it is read",
        "zip": "may run code where it is read",
        "cut": "cannot read",
        "number": "must hold tensors by name, got int",
        "none": "holds no tensors by name, only epoch",
        "complex": "W cannot be had as numbers: must be real",
        "absent": "cannot read .*absent.pt: No such file",
    }.items():
        for read in (arrays, model, dictionary):
            with pytest.raises(ValueError, match=said) as error:
                read(tmp_path / f"{name}.pt")
            assert "\n" not in str(error.value)
    with pytest.raises(ValueError, match="must end in"):
        arrays(tmp_path / "pickle.pkl")
    with pytest.raises(ValueError, match="may run code where it is read, so it is not"):
        model(tmp_path / "pickle.pkl")
    assert not (tmp_path / "ran").exists()


def test_tensors_of_all_types_are_read(tmp_path):
    kinds = {"half": torch.float16, "brain": torch.bfloat16, "single": torch.float32, "double": torch.float64,
             "long": torch.int64, "bool": torch.bool}  # fmt: skip
    values = torch.tensor([[0.0, 1.0], [1.0, 0.0], [0.0, 0.0]]).t()
    torch.save(
        {name: values.to(kind) for name, kind in kinds.items()} | {"one": torch.tensor(3)}, tmp_path / "a.pt"
    )
    found = arrays(tmp_path / "a.pt")
    types = {name: each.dtype for name, each in found.items()}
    assert types == {
        "half": np.float32, "brain": np.float32, "single": np.float32, "double": np.float64,
        "long": np.int64, "bool": np.uint8, "one": np.int64,
    }  # fmt: skip
    for name in kinds:
        assert found[name].tolist() == [[0, 1, 0], [1, 0, 0]]


# Dictionaries. A class of dictionary_learning is what it does with arrays of these names.


class _OfLinear(torch.nn.Module):
    """Encoder and decoder are layers; `b` is what the decoder's bias is called."""

    def __init__(self, d, n, b, bias):
        super().__init__()
        self.encoder, self.decoder = torch.nn.Linear(d, n, bias=bias), torch.nn.Linear(n, d, bias=False)
        self.register_parameter(b, torch.nn.Parameter(torch.zeros(d)))
        self.b = b

    def read(self, x):
        return self.encoder(x - getattr(self, self.b))

    def forward(self, x):
        return self.decoder(self.encode(x)) + getattr(self, self.b)


class AutoEncoder(_OfLinear):
    def __init__(self, d, n):
        super().__init__(d, n, "bias", True)

    def encode(self, x):
        return torch.relu(self.read(x))


class AutoEncoderTopK(_OfLinear):
    def __init__(self, d, n, k=1):
        super().__init__(d, n, "b_dec", True)
        self.register_buffer("k", torch.tensor(k, dtype=torch.int))
        self.register_buffer("threshold", torch.tensor(-1.0))

    def encode(self, x):
        p = torch.relu(self.read(x))
        kept = p.topk(int(self.k), dim=-1)
        return torch.zeros_like(p).scatter_(-1, kept.indices, kept.values)


class BatchTopKSAE(AutoEncoderTopK):
    def encode(self, x):
        p = torch.relu(self.read(x))
        return p * (p > self.threshold)


class GatedAutoEncoder(_OfLinear):
    def __init__(self, d, n):
        super().__init__(d, n, "decoder_bias", False)
        for name in ("r_mag", "gate_bias", "mag_bias"):
            self.register_parameter(name, torch.nn.Parameter(torch.zeros(n)))

    def encode(self, x):
        read = self.read(x)
        return (read + self.gate_bias > 0) * torch.relu(self.r_mag.exp() * read + self.mag_bias)


class JumpReluAutoEncoder(torch.nn.Module):
    apply_b_dec_to_input = False

    def __init__(self, d, n):
        super().__init__()
        shapes = {"W_enc": (d, n), "b_enc": (n,), "W_dec": (n, d), "b_dec": (d,), "threshold": (n,)}
        for name, shape in shapes.items():
            self.register_parameter(name, torch.nn.Parameter(torch.zeros(shape)))

    def encode(self, x):
        p = (x - self.b_dec if self.apply_b_dec_to_input else x) @ self.W_enc + self.b_enc
        return torch.relu(p * (p > self.threshold))

    def forward(self, x):
        return self.encode(x) @ self.W_dec + self.b_dec


LEARNED = {
    each.__name__: each for each in (AutoEncoder, AutoEncoderTopK, GatedAutoEncoder, JumpReluAutoEncoder)
}
OF_METHOD = {"relu": "AutoEncoder", "tied": "AutoEncoder", "long": "AutoEncoder", "topk": "AutoEncoderTopK",
             "gated": "GatedAutoEncoder"}  # fmt: skip


@pytest.mark.parametrize("name", METHODS)
def test_dictionary_learnings_classes_load_what_is_trained_here(name, tmp_path):
    sae, h = trained(name), activations()
    theirs = LEARNED[OF_METHOD.get(name, "JumpReluAutoEncoder")](8, 12)
    theirs.load_state_dict(dictionary_state(sae, "dictionary_learning"))
    z = np.asarray(jax.vmap(sae.encode)(h))
    np.testing.assert_allclose(numbers(theirs.encode(tensor(h))), z, atol=2e-6)
    np.testing.assert_allclose(numbers(theirs(tensor(h))), jax.vmap(sae)(h), atol=2e-6)
    save_dictionary(sae, tmp_path / "d", "dictionary_learning")
    for source in (theirs, theirs.state_dict(), tmp_path / "d", tmp_path / "d" / "ae.pt"):
        found = dictionary(source)
        np.testing.assert_allclose(jax.vmap(found.encode)(h), z * lengths_of(sae), atol=2e-6)
        np.testing.assert_allclose(jax.vmap(found)(h), jax.vmap(sae)(h), atol=2e-6)


def test_a_threshold_is_used_where_the_class_uses_it():
    torch.manual_seed(0)
    h, theirs = activations(), BatchTopKSAE(8, 12, k=3)
    with torch.no_grad():
        theirs.threshold.fill_(0.4)
        theirs.b_dec.normal_()
    lengths = numbers(theirs.decoder.weight.norm(dim=0))
    found = dictionary(theirs)
    assert found.kind == "jumprelu"
    np.testing.assert_allclose(
        jax.vmap(found.encode)(h), numbers(theirs.encode(tensor(h))) * lengths, atol=2e-6
    )
    assert dictionary(theirs.state_dict()).kind == "topk"  # all that its arrays say
    jump = JumpReluAutoEncoder(8, 12)
    with torch.no_grad():
        for each in jump.parameters():
            each.normal_()
    lengths = numbers(jump.W_dec.norm(dim=1))
    for taken in (False, True):
        jump.apply_b_dec_to_input = taken
        z = numbers(jump.encode(tensor(h))) * lengths
        np.testing.assert_allclose(jax.vmap(dictionary(jump).encode)(h), z, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("name", METHODS)
def test_saelens_loads_what_is_trained_here(name, tmp_path):
    sae_lens = pytest.importorskip("sae_lens", exc_type=ImportError)
    sae, h = trained(name), activations()
    save_dictionary(sae, tmp_path / "s", "saelens")
    theirs = sae_lens.SAE.load_from_disk(str(tmp_path / "s"))
    with torch.no_grad():
        codes = theirs.encode(tensor(h))
        np.testing.assert_allclose(numbers(codes), jax.vmap(sae.encode)(h), atol=1e-5)
        np.testing.assert_allclose(numbers(theirs.decode(codes)), jax.vmap(sae)(h), atol=1e-5)
    theirs.load_state_dict(dictionary_state(sae, "saelens"))
    found = dictionary(theirs)
    np.testing.assert_allclose(jax.vmap(found.encode)(h), numbers(codes) * lengths_of(sae), atol=1e-5)


def test_tensors_that_have_a_gradient_are_numbers_too():
    W = torch.nn.Parameter(torch.tensor([[1.0, -2.0]]))
    assert measures.norms(W).tolist() == [1.0, 2.0]
    assert Independent(0.1, torch.ones(3, requires_grad=True)).importance.tolist() == [1.0, 1.0, 1.0]
