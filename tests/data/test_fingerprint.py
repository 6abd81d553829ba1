import zipfile

import numpy as np
import pytest

from stylegan_jax.common.images import write_png
from stylegan_jax.data import encoded, portraits
from stylegan_jax.data.cache import DecodedSource
from stylegan_jax.data.config import DataConfig
from stylegan_jax.data.sources import open_source
