from .comparing import compare as compare
from .comparing import fid as fid
from .comparing import kid as kid
from .reconstruction import psnr as psnr
from .reconstruction import ssim as ssim
