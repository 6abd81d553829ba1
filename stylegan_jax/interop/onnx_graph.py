"""ONNX graph of a generator: the sampler in the operators of another runtime.

Inputs, all float32, with N images, L layers, and one z for all layers or one for each
(style mixing):

    z       [N, 1 or L, z_dim]         unit normal
    labels  [N, 1 or L, label_size]    one-hot; of networks with classes
    psi     []                         of truncation; of networks with a mean of w
    move    [1 or N, L, w_dim]         added to w after truncation; with styles
    noise   []                         strength of the stored noise; of networks with it

and one output, `images` `[N, H, W, C]`. Inside, images are NCHW, weights are scaled,
and upsampling with the convolution after it is one transposed convolution of 4x4.

Source of the operators: https://onnx.ai/onnx/operators (opset 18).
"""

import math
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from stylegan_jax.interop.bundle import generator_arrays
from stylegan_jax.networks.config import num_layers
from stylegan_jax.networks.generator import Generator
from stylegan_jax.networks.layers import HE_GAIN
from stylegan_jax.ops.normalize import EPSILON

_OPSET, _IR_VERSION = 18, 8  # of December 2022; later runtimes read them
_BLUR = np.outer([1, 2, 1], [1, 2, 1]) / 16


def make_model(
    generator: Generator, *, cutoff: int | None = 8, notes: dict[str, str] | None = None
) -> onnx.ModelProto:
    """The graph, weights and noise included; always float32.

    Layers from `cutoff` on are not truncated (None: all are); `notes` become metadata.
    """
    return _Emitter(generator).model(cutoff, notes or {})


class _Emitter:
    """Nodes and weights so far; methods return the name of what they compute."""

    def __init__(self, generator: Generator) -> None:
        self.generator, self.config = generator, generator.config
        self.arrays = generator_arrays(generator)
        self.nodes: list[onnx.NodeProto] = []
        self.weights: list[onnx.TensorProto] = []
        self.inputs: list[onnx.ValueInfoProto] = []

    def model(self, cutoff: int | None, notes: dict[str, str]) -> onnx.ModelProto:
        """The whole graph."""
        config, size = self.config, self.generator.resolution
        w = self._truncated(self._mapped(), cutoff)
        drawn = self._perceptron(w) if config.mlp_layers else self._synthesis(w)
        self._op("Transpose", drawn, perm=[0, 2, 3, 1], output="images")
        shape = ["n", size, size, config.num_channels]
        graph = helper.make_graph(
            self.nodes,
            "generator",
            self.inputs,
            [helper.make_tensor_value_info("images", TensorProto.FLOAT, shape)],
            self.weights,
        )
        model = helper.make_model(
            graph,
            opset_imports=[helper.make_opsetid("", _OPSET)],
            ir_version=_IR_VERSION,
            producer_name="stylegan_jax",
        )
        helper.set_model_props(model, notes)
        return model

    # --- Parts of a graph ----------------------------------------------------------

    def _input(self, name: str, *shape: int | str) -> str:
        kind = TensorProto.FLOAT
        self.inputs.append(helper.make_tensor_value_info(name, kind, shape))
        return name

    def _op(self, kind: str, *inputs: Any, output: str = "", **attributes: Any) -> str:
        """A node; arrays among its inputs become weights, `None` is left out."""
        names = ["" if x is None else self._name(x) for x in inputs]
        output = output or f"x{len(self.nodes)}"
        self.nodes.append(helper.make_node(kind, names, [output], **attributes))
        return output

    def _name(self, x: Any) -> str:
        if isinstance(x, str):
            return x
        array = np.asarray(x)
        if array.dtype.kind == "f":
            array = array.astype(np.float32, order="C")
        name = f"weight{len(self.weights)}"
        self.weights.append(numpy_helper.from_array(array, name))
        return name

    def _scaled(self, path: str, gain: float, lr_multiplier: float = 1.0) -> np.ndarray:
        """A weight as `networks.layers.scaled_weight` has it."""
        weight = self.arrays[f"{path}/weight"]
        fan_in = math.prod(weight.shape[:-1])
        return weight * (gain * lr_multiplier / math.sqrt(fan_in))

    def _leaky_relu(self, x: Any) -> str:
        return self._op("LeakyRelu", x, alpha=0.2)

    def _pixel_norm(self, x: str, axis: int) -> str:
        square = self._op("ReduceMean", self._op("Mul", x, x), np.array([axis]))
        return self._op(
            "Div", x, self._op("Sqrt", self._op("Add", square, np.array(EPSILON)))
        )

    def _dense(self, x: str, path: str, gain: float, lr_multiplier: float = 1.0) -> str:
        weight = self._scaled(path, gain, lr_multiplier)
        bias = self.arrays[f"{path}/bias"] * lr_multiplier
        return self._op("Add", self._op("MatMul", x, weight), bias)

    # --- From z to w ---------------------------------------------------------------

    def _mapped(self) -> str:
        """`[N, 1 or L, w_dim]`."""
        config = self.config
        x = self._input("z", "n", "l", config.z_dim)
        if config.label_size:
            y = self._input("labels", "n", "l", config.label_size)
            if config.embed_labels:
                y = self._op("MatMul", y, self.arrays["mapping/label_concat/weight"])
            x = self._op("Concat", x, y, axis=2)
        if config.normalize_z:
            x = self._pixel_norm(x, 2)
        for i in range(config.mapping_layers):
            multiplier = config.mapping_lr_multiplier
            x = self._leaky_relu(
                self._dense(x, f"mapping/dense{i}", HE_GAIN, multiplier)
            )
        return x

    def _truncated(self, w: str, cutoff: int | None) -> str:
        """`[N, L, w_dim]`."""
        config, mean = self.config, self.generator.truncation_mean
        if not config.use_styles:
            return w
        cutoff = config.num_ws if cutoff is None else cutoff
        early = np.arange(config.num_ws)[:, None] < cutoff
        if mean is not None:
            psi = self._input("psi")
            strength = self._op("Where", early, psi, np.float32(1))
            w = self._op("Mul", self._op("Sub", w, mean), strength)
            w = self._op("Add", w, mean)
        move = self._input("move", "m", config.num_ws, config.w_dim)
        return self._op("Add", w, move)

    # --- From w to images ----------------------------------------------------------

    def _perceptron(self, w: str) -> str:
        config, size = self.config, self.generator.resolution
        x = w
        for i in range(config.mlp_layers):
            x = self._leaky_relu(self._dense(x, f"synthesis/dense{i}", HE_GAIN))
        x = self._dense(x, "synthesis/output", 1.0)
        x = self._op("Reshape", x, np.array([-1, size, size, config.num_channels]))
        if size > 1:
            x = self._op("Sub", self._op("Mul", self._op("Sigmoid", x), 2.0), 1.0)
        return self._op("Transpose", x, perm=[0, 3, 1, 2])

    def _synthesis(self, w: str) -> str:
        size, alpha = self.generator.resolution, self.generator.alpha
        if self.config.use_noise:
            self._input("noise")
        x, previous = None, None
        for layer in range(num_layers(size)):
            if layer % 2 == 0:
                previous = x
            x = self._layer(x, w, layer)
        assert x is not None
        images = self._to_rgb(x, size)
        if alpha is None or previous is None:
            return images
        coarse = self._op(
            "Resize",
            self._to_rgb(previous, size // 2),
            None,
            np.array([1, 1, 2, 2], np.float32),
            mode="nearest",
            coordinate_transformation_mode="asymmetric",
            nearest_mode="floor",
        )
        coarse = self._op("Mul", coarse, 1 - np.asarray(alpha))
        return self._op("Add", coarse, self._op("Mul", images, np.asarray(alpha)))

    def _to_rgb(self, x: str, size: int) -> str:
        path = f"synthesis/to_rgb{size}"
        weight = self._scaled(path, 1.0).transpose(3, 2, 0, 1)
        return self._op("Conv", x, weight, self.arrays[f"{path}/bias"])

    def _layer(self, x: str | None, w: str, layer: int) -> str:
        """One `networks.layers.StyledLayer`."""
        config = self.config
        size = 2 ** (layer // 2 + 2)
        name = f"conv{layer % 2}" if layer > 1 else "conv"
        if layer == 0:
            name = "const" if config.const_input else "dense"
        path = f"synthesis/block{size}/{name}"
        row = layer if config.use_styles else 0
        w = self._op("Gather", w, np.array(row), axis=1)  # [N, w_dim]
        y = self._weighted(x, w, path, name, layer)
        if config.use_noise:
            image = layer - layer % 2 if config.shared_noise else layer
            strength = self.arrays[f"{path}/noise_weight"].reshape(1, -1, 1, 1)
            strength = self._op("Mul", strength, "noise")
            noise = self.arrays[f"noise/{image}"].transpose(0, 3, 1, 2)
            y = self._op("Add", y, self._op("Mul", noise, strength))
        y = self._leaky_relu(y)
        if config.use_pixel_norm:
            y = self._pixel_norm(y, 1)
        channels = config.channels(size)
        if config.use_instance_norm:
            ones, zeros = np.ones(channels), np.zeros(channels)
            epsilon = config.instance_norm_epsilon
            y = self._op("InstanceNormalization", y, ones, zeros, epsilon=epsilon)
        return self._styled(y, w, path, channels) if config.use_styles else y

    def _weighted(self, x: str | None, w: str, path: str, name: str, layer: int) -> Any:
        """What a layer begins with, its bias added; `[N or 1, C, H, W]`."""
        config, bias = self.config, self.arrays[f"{path}/bias"]
        if name == "const":
            const = self.arrays[f"{path}/const"] + bias
            return const.transpose(0, 3, 1, 2)
        if name == "dense":
            weight = self._scaled(path, HE_GAIN / 4)
            # Rows, columns, channels to channels, rows, columns.
            weight = weight.reshape(-1, 16, len(bias)).transpose(0, 2, 1)
            weight = weight.reshape(len(weight), -1)
            y = self._op("Gemm", w, weight, np.repeat(bias, 16))
            return self._op("Reshape", y, np.array([-1, len(bias), 4, 4]))
        kernel = self._scaled(path, HE_GAIN)
        if layer % 2 or layer < 2:
            kernel = kernel.transpose(3, 2, 0, 1)
            return self._op("Conv", x, kernel, bias, pads=[1, 1, 1, 1])
        early = config.bias_before_blur or not config.blur
        # `ops.resample.upsample_conv`, whose 4x4 kernel this is.
        fused = 2 ** (layer // 2 + 2) >= config.fused_from
        kernel = kernel if fused else kernel[::-1, ::-1]
        wide = np.zeros((4, 4, *kernel.shape[2:]), np.float32)
        for i, j in np.ndindex(2, 2):
            wide[i : i + 3, j : j + 3] += kernel
        x = self._op(
            "ConvTranspose",
            x,
            wide.transpose(2, 3, 0, 1),
            bias if early else None,
            strides=[2, 2],
            pads=[1, 1, 1, 1],
        )
        if not config.blur:
            return x
        taps = np.broadcast_to(_BLUR, (len(bias), 1, 3, 3))
        late = None if early else bias
        return self._op("Conv", x, taps, late, pads=[1, 1, 1, 1], group=len(bias))

    def _styled(self, x: str, w: str, path: str, channels: int) -> str:
        weight = self._scaled(f"{path}/style", 1.0)
        bias = self.arrays[f"{path}/style/bias"].copy()
        bias[:channels] += 1  # scales are added to 1
        for part, kind in ((slice(channels), "Mul"), (slice(channels, None), "Add")):
            style = self._op("Gemm", w, weight[:, part], bias[part])
            style = self._op("Reshape", style, np.array([-1, channels, 1, 1]))
            x = self._op(kind, x, style)
        return x
