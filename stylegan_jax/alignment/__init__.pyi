from .crops import align as align
from .landmarks import read_landmarks as read_landmarks
from .pasting import paste_back as paste_back
