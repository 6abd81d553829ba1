from .crops import align as align
from .crops import paste_back as paste_back
from .landmarks import read_landmarks as read_landmarks
